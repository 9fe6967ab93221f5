"""Each statistic of one pair of arrays: predictions and MOS.

A statistic that is undefined is ``None``; :func:`why_undefined` gives the reason. Scipy is loaded
when a statistic is computed, because the tables' schemas import this file and need none.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sfqa.arrays import Floats

#: Minimum number of points: any three points have an |SRCC| of .5 or 1.
MIN_ROWS = 4

#: A range below this share of the largest value is treated as rounding error.
ROUNDING = 1e-13


def why_undefined(prediction: npt.ArrayLike, mos: npt.ArrayLike) -> str:
    """Return why no correlation is defined, as ``word: sentence``; empty if one is.

    Raises ``ValueError`` unless both arrays are one-dimensional and of equal length. Reasons: fewer
    than :data:`MIN_ROWS` values, a value that is not finite, an array constant up to rounding.

    >>> why_undefined([1, 1, 1, 1], [1, 2, 3, 4])
    'constant_scores: all 4 scores are equal'
    >>> why_undefined([1, 2, 3, 4], [1, 2, 3, 4])
    ''
    """
    x, y = _to_arrays(prediction, mos)
    for name, values in (("scores", x), ("MOS", y)):
        bad = int(np.count_nonzero(~np.isfinite(values)))
        if bad:
            return f"not_finite: {bad} of {x.size} {name} are NaN or infinite"
    if x.size < MIN_ROWS:
        return f"too_few: {x.size} points where at least {MIN_ROWS} are needed"
    if is_constant(x):
        return f"constant_scores: all {x.size} scores are equal"
    if is_constant(y):
        return f"constant_mos: all {x.size} MOS are equal"
    return ""


def is_constant(values: Floats) -> bool:
    """Return whether all values are equal up to rounding (:data:`ROUNDING` of the largest).

    >>> is_constant(np.array([0.3, 0.1 + 0.2]))
    True
    """
    return bool(np.ptp(values) <= ROUNDING * np.max(np.abs(values)))


def srcc(prediction: npt.ArrayLike, mos: npt.ArrayLike) -> float | None:
    """Return Spearman's rank-order correlation, ties at their mean rank; ``None`` if undefined.

    :func:`why_undefined` gives the reason.

    >>> round(srcc([1, 2, 3, 4], [1, 2, 4, 3]), 6)
    0.8
    """
    x, y = _to_arrays(prediction, mos)
    return None if why_undefined(x, y) else correlate_ranks(x, y)


def correlate_ranks(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Return Spearman's correlation of any two arrays that are not constant, ties at mean ranks.

    >>> correlate_ranks([1, 2, 3], [1, 3, 2])
    0.5
    """
    from scipy.stats import rankdata

    return float(np.corrcoef(rankdata(x), rankdata(y))[1, 0])


def plcc(prediction: npt.ArrayLike, mos: npt.ArrayLike) -> float | None:
    """Return Pearson's linear correlation of the values as given; ``None`` if undefined.

    For the field's PLCC, map the predictions first (:mod:`sfqa.correlation.fits`).

    >>> plcc([1, 2, 3, 4], [3, 5, 7, 9])
    1.0
    """
    from scipy.stats import pearsonr

    x, y = _to_arrays(prediction, mos)
    return None if why_undefined(x, y) else float(pearsonr(x, y).statistic)


def krcc(prediction: npt.ArrayLike, mos: npt.ArrayLike) -> float | None:
    """Return Kendall's rank-order correlation, tau-b (corrected for ties); ``None`` if undefined.

    >>> round(krcc([1, 2, 3, 4], [1, 2, 4, 3]), 6)
    0.666667
    """
    from scipy.stats import kendalltau

    x, y = _to_arrays(prediction, mos)
    if why_undefined(x, y):
        return None
    # The p-value is not used; "asymptotic" keeps scipy from counting permutations for it.
    return float(kendalltau(x, y, variant="b", method="asymptotic").statistic)


def rmse(prediction: npt.ArrayLike, mos: npt.ArrayLike) -> float | None:
    """Return the root mean square difference, in the unit of the MOS.

    ``None`` if there is no row or a value is not finite; constant scores are allowed.

    >>> rmse([1, 2, 3, 4], [1, 2, 3, 6])
    1.0
    """
    x, y = _to_arrays(prediction, mos)
    if not x.size or not (np.isfinite(x).all() and np.isfinite(y).all()):
        return None
    return float(np.sqrt(np.mean((x - y) ** 2)))


def _to_arrays(prediction: npt.ArrayLike, mos: npt.ArrayLike) -> tuple[Floats, Floats]:
    x, y = np.asarray(prediction, np.float64), np.asarray(mos, np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"two arrays of one length are needed, not {x.shape} and {y.shape}")
    return x, y
