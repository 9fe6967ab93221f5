"""Numbers of networks as float16, the format in which feature tables keep them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sfqa.errors import UnusableError


def round_to_float16(values: npt.NDArray[Any], model: str, *others: Any) -> npt.NDArray[np.float16]:
    """Return values as float16; ``others`` stay as they are and must be finite, too.

    Raises :class:`UnusableError`, which names the model, for numbers that float16 cannot hold.

    >>> round_to_float16(np.array([1.0, 65504.0]), "CLIP").tolist()
    [1.0, 65504.0]
    """
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float16)
    if not all(np.isfinite(numbers).all() for numbers in (rounded, *others)):
        raise UnusableError(f"not_finite: {model} gave numbers that float16 cannot hold")
    return rounded
