"""The criterion by which heads select a model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sfqa.statistics.functions import correlate_ranks

Floats = npt.NDArray[np.float64]


def srcc(prediction: Floats, mos: Floats) -> float:
    """Return the SRCC of two vectors for model selection, -2 (below all) where undefined.

    >>> srcc(np.array([1.0, 2, 3]), np.array([1.0, 3, 2]))
    0.5
    >>> srcc(np.array([1.0, 1, 1]), np.array([1.0, 3, 2]))
    -2.0
    """
    if len(prediction) < 2 or np.ptp(prediction) == 0 or np.ptp(mos) == 0:
        return -2.0
    # Rounded, so that equal orders tie exactly and the other criteria decide.
    return round(correlate_ranks(prediction, mos), 12)
