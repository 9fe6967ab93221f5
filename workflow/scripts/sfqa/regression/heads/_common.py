"""What heads share: scaling on train rows only, and ranks for model selection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]

#: A column whose spread is below this share of its size is constant in float32.
_CONSTANT = 1e-6


@dataclass(frozen=True)
class Scaler:
    """Mean and standard deviation of train rows; a constant column scales to 0 everywhere.

    >>> Scaler.of(np.array([[1.0, 5.0], [3.0, 5.0]])).scale(np.array([[2.0, 9.0]])).tolist()
    [[0.0, 0.0]]
    """

    mean: Floats
    factor: Floats
    sd: Floats

    @staticmethod
    def of(values: npt.NDArray[np.floating]) -> Scaler:
        """Return the scaler of train rows of shape (rows, columns), ddof 0."""
        mean = values.mean(axis=0, dtype=np.float64)
        sd = values.std(axis=0, dtype=np.float64)
        varies = sd > _CONSTANT * np.abs(mean)
        factor = np.divide(1.0, sd, out=np.zeros_like(sd), where=varies)
        return Scaler(mean, factor, np.where(varies, sd, 0.0))

    def scale(self, values: npt.NDArray[np.floating]) -> Floats:
        """Return (values - mean) / sd, float64."""
        return (values.astype(np.float64) - self.mean) * self.factor

    def unscale(self, values: Floats) -> Floats:
        """Return values * sd + mean; the mean alone for a constant column."""
        return values * self.sd + self.mean


def srcc(prediction: Floats, mos: Floats) -> float:
    """Return the SRCC of two vectors for model selection, -2 (below all) where undefined.

    >>> srcc(np.array([1.0, 2, 3]), np.array([1.0, 3, 2]))
    0.5
    >>> srcc(np.array([1.0, 1, 1]), np.array([1.0, 3, 2]))
    -2.0
    """
    if len(prediction) < 2 or np.ptp(prediction) == 0 or np.ptp(mos) == 0:
        return -2.0
    ranks = stats.rankdata(prediction), stats.rankdata(mos)
    # Rounded, so that equal orders tie exactly and the other criteria decide.
    return round(float(np.corrcoef(*ranks)[0, 1]), 12)
