"""The criterion by which heads select a model."""

from __future__ import annotations

import numpy as np

from sfqa.arrays import Floats
from sfqa.statistics.functions import correlate_ranks


def score_selection(prediction: Floats, mos: Floats) -> float:
    """Return the SRCC of two vectors; -2, below all others, if it is undefined.

    >>> score_selection(np.array([1.0, 2, 3]), np.array([1.0, 3, 2]))
    0.5
    >>> score_selection(np.array([1.0, 1, 1]), np.array([1.0, 3, 2]))
    -2.0
    """
    if len(prediction) < 2 or np.ptp(prediction) == 0 or np.ptp(mos) == 0:
        return -2.0
    # Rounded, so that equal orders tie exactly and the next criterion decides.
    return round(correlate_ranks(prediction, mos), 12)
