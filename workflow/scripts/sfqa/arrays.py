"""Names for NumPy arrays in signatures: one for each type of number, of any shape."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Floats32: TypeAlias = npt.NDArray[np.float32]
Ints: TypeAlias = npt.NDArray[np.int64]
#: Numbers of any type.
AnyArray: TypeAlias = npt.NDArray[Any]
