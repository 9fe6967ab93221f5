"""Screening of raters (BT.500, LGVQ) and z-scores, on a matrix of stimuli by raters."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

VERSION = 2

Matrix = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# A single dissenter among 5 raters lies exactly 2 sigma off, and one among 21 exactly sqrt(20)
# sigma off: such ties are decided as in exact arithmetic, not by the last bit of a float.
_TIE = 1e-9


class Screening(NamedTuple):
    """What BT.500 screening found, one entry per rater."""

    p: npt.NDArray[np.int64]
    q: npt.NDArray[np.int64]
    rejected: Mask


class _Bounds(NamedTuple):
    """Per stimulus: mean, distance of the bounds from it, and what kind of stimulus it is."""

    mean: Matrix
    reach: Matrix
    spread: Mask  # two ratings or more, not all the same
    unanimous: Mask  # two ratings or more, all the same


def bt500(matrix: npt.ArrayLike, unanimous: bool = True) -> Screening:
    """Find the raters whose ratings stray to both sides, after ITU-R BT.500.

    ``matrix`` has shape (stimuli, raters), on any interval scale, NaN where there is no rating.
    Per stimulus: mean, population sigma, kurtosis b2 = m4/m2^2; the bounds are the mean +- 2 sigma
    where 2 <= b2 <= 4, else +- sqrt(20) sigma. ``p`` counts a rater's ratings at or above the
    upper bound, ``q`` at or below the lower one. A rater with (p+q)/n > .05 and
    |p-q|/(p+q) < .3 is rejected, n being the rater's own number of ratings; where all would be
    rejected, none is.

    Where all raters of a stimulus agree, both bounds are the mean, and every rating counts on
    both sides, as the rule says and as reference software (sureal 0.9.0) has it. Many such
    stimuli make everyone look inconsistent, so that in effect none is rejected;
    ``unanimous=False`` leaves them uncounted. A stimulus with one rating counts for nobody.

    Among k raters no rating can lie further off than sqrt(k-1) sigma: below 21 ratings per
    stimulus the wide bounds are out of reach, and below 5 the narrow ones are too.

    Source: Recommendation ITU-R BT.500, annex on the screening of observers.

    >>> bt500([[1, 1, 1, 1, 5], [5, 5, 5, 5, 1], [2, 2, 3, 3, 2]])
    Screening(p=array([0, 0, 0, 0, 1]), q=array([0, 0, 0, 0, 1]), rejected=array([False, False, False, False,  True]))
    """  # noqa: E501
    scores = _matrix(matrix)
    found = _bounds(scores)
    off = scores - found.mean[:, None]
    reach = np.where(found.spread, found.reach * (1 - _TIE), np.inf)[:, None]
    p, q = counts(off >= reach, 0), counts(-off >= reach, 0)  # NaN compares false
    if unanimous:
        both = counts(~np.isnan(scores) & found.unanimous[:, None], 0)
        p, q = p + both, q + both
    count = counts(~np.isnan(scores), 0)
    strays = p + q
    rejected = (strays > 0.05 * count) & (np.abs(p - q) < 0.3 * strays)
    if rejected[count > 0].all():
        rejected[:] = False
    return Screening(p, q, rejected)


def outliers(matrix: npt.ArrayLike) -> Mask:
    """Mark the single ratings that lie further off than the bounds of BT.500, as LGVQ does.

    ``matrix`` and bounds are those of :func:`bt500`; a rating on a bound is no outlier ("deviate
    by more than" in the paper's section 3.3), so a stimulus on which all agree has none.

    >>> bool(outliers([[1, 1, 1, 1, 5]]).any())  # one of five is exactly 2 sigma off
    False
    >>> outliers([[1, 1, 1, 1.5, 1.5, 5]])[0].tolist()
    [False, False, False, False, False, False]
    >>> outliers([[1, 2, 2, 2, 3, 3, 1, 2, 5]])[0].tolist()[-1]
    True
    """
    scores = _matrix(matrix)
    found = _bounds(scores)
    reach = np.where(found.spread, found.reach * (1 + _TIE), np.inf)
    far: Mask = np.abs(scores - found.mean[:, None]) > reach[:, None]
    return far


def zscores(matrix: npt.ArrayLike) -> Matrix:
    """Return each rater's ratings less the rater's mean, over the rater's sd (ddof 1).

    ``matrix`` has shape (stimuli, raters), NaN where there is no rating; so has the result. The
    column of a rater who gave one rating, or the same to all, has no z-score and is all NaN.

    >>> zscores([[1.0, 3.0], [2.0, 3.0], [3.0, 3.0]]).tolist()
    [[-1.0, nan], [0.0, nan], [1.0, nan]]
    """
    scores = _matrix(matrix)
    result = np.full_like(scores, np.nan)
    for number, column in enumerate(scores.T):
        present = np.sort(column[~np.isnan(column)])
        if present.size > 1 and present[0] < present[-1]:
            result[:, number] = (column - present.mean()) / present.std(ddof=1)
    return result


def rescaled(z: Any) -> Any:
    """Map z-scores to the field's 0..100 scale: 100 (z + 3) / 6, not clipped (LGVQ, SFQA).

    >>> rescaled(0.0), rescaled(3.0)
    (50.0, 100.0)
    """
    return 100.0 * (z + 3.0) / 6.0


def row_statistics(matrix: Matrix) -> tuple[npt.NDArray[np.int64], Matrix, Matrix]:
    """Return n, mean and sd (ddof 1) of every row, over what is not NaN.

    The mean of no rating and the sd of fewer than two are NaN. The order of the raters changes
    not one bit, since every row is sorted before it is summed.

    >>> n, mean, sd = row_statistics(np.array([[1.0, np.nan, 3.0], [2.0, np.nan, np.nan]]))
    >>> n.tolist(), mean.tolist(), sd.round(3).tolist()
    ([2, 1], [2.0, 2.0], [1.414, nan])
    """
    ordered, n, mean = _means(matrix)
    square = np.nan_to_num(ordered - mean[:, None]) ** 2
    sd: Matrix = np.sqrt(square.sum(axis=1) / np.where(n > 1, n - 1, np.nan))
    return n, mean, sd


def counts(mask: Mask, axis: int) -> npt.NDArray[np.int64]:
    """Return how many are true along an axis.

    >>> counts(np.array([[True, True], [True, False]]), 0).tolist()
    [2, 1]
    """
    return np.asarray(mask.sum(axis=axis), np.int64)


def _means(matrix: Matrix) -> tuple[Matrix, npt.NDArray[np.int64], Matrix]:
    """Rows sorted with NaN last, number of ratings, mean."""
    ordered = np.sort(matrix, axis=1)
    n = counts(~np.isnan(ordered), 1)
    total = np.nan_to_num(ordered).sum(axis=1)
    mean = np.where(n > 0, total / np.maximum(n, 1), np.nan)
    # A sum of equal floats need not divide back to the float: where all agree, the mean is that.
    same = (n > 0) & (ordered[:, 0] == np.nanmax(np.c_[ordered, np.full(len(n), -np.inf)], axis=1))
    return ordered, n, np.where(same, ordered[:, 0], mean) if ordered.shape[1] else mean


def _bounds(scores: Matrix) -> _Bounds:
    if 0 in scores.shape:
        none = np.zeros(scores.shape[0], np.bool_)
        return _Bounds(np.full(len(none), np.nan), np.full(len(none), np.nan), none, none)
    ordered, n, mean = _means(scores)
    highest = np.nanmax(np.c_[ordered, np.full(len(n), -np.inf)], axis=1)
    noise = _TIE * _span(scores)
    several = n > 1
    unanimous = several & (highest - np.nan_to_num(ordered[:, 0]) <= noise)
    square = np.nan_to_num(ordered - mean[:, None]) ** 2
    count = np.maximum(n, 1)
    variance = square.sum(axis=1) / count
    spread = several & ~unanimous
    safe = np.where(spread, variance, 1.0)
    kurtosis = (square**2).sum(axis=1) / count / safe**2
    narrow = (kurtosis >= 2 * (1 - _TIE)) & (kurtosis <= 4 * (1 + _TIE))
    reach = np.where(narrow, 2.0, np.sqrt(20.0)) * np.sqrt(safe)
    return _Bounds(mean, reach, spread, unanimous)


def _matrix(matrix: npt.ArrayLike) -> Matrix:
    scores = np.asarray(matrix, dtype=np.float64)
    if scores.ndim != 2:
        raise ValueError(f"need a matrix of stimuli by raters, not shape {scores.shape}")
    if np.isinf(scores).any():
        raise ValueError("ratings must be finite, or NaN where there is none")
    return scores


def _span(values: Matrix) -> float:
    present = values[~np.isnan(values)]
    return float(present.max() - present.min()) if present.size else 0.0
