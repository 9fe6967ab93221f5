"""Screening of raters (BT.500, LGVQ) and z-scores, on a matrix (stimuli, raters)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sfqa.arrays import Floats

VERSION = 3

Mask = npt.NDArray[np.bool_]

#: How the outliers of a rater with missing ratings are counted: see :class:`ScreeningRule`.
SHARES = ("sureal", "own_ratings")
# A rater with a larger share of outliers, balanced between both sides, is rejected (BT.500).
_MAX_SHARE, _MAX_IMBALANCE = 0.05, 0.3

# One of 5 raters who disagrees with the others is exactly 2 sigma away, one of 21 exactly sqrt(20)
# sigma. The tolerance decides such ties as exact arithmetic would.
_TIE = 1e-9


class Screening(NamedTuple):
    """Result of BT.500 screening, one entry per rater (see :func:`screen_raters`)."""

    p: npt.NDArray[np.int64]
    q: npt.NDArray[np.int64]
    rejected: Mask


class ScreeningRule(NamedTuple):
    """What BT.500 leaves open: the share with missing ratings, and samples without disagreement.

    ``share``: ``sureal`` divides a rater's outliers by the number of all stimuli, and a stimulus
    with one rating counts on both sides like one whose ratings are all equal, as sureal 0.9.0
    does. ``own_ratings`` divides by the rater's number of ratings, and a stimulus with one rating
    does not count. Without missing ratings both are the same. ``unanimous``: whether a stimulus
    whose ratings are all equal counts on both sides, or not at all.
    """

    share: str = "sureal"
    unanimous: bool = True


class _Bounds(NamedTuple):
    """Per stimulus: the mean, the distance of the bounds from it, and two properties."""

    mean: Floats
    distance: Floats
    varied: Mask  # at least two ratings, not all equal
    unanimous: Mask  # at least two ratings, all equal
    single: Mask  # one rating


def screen_raters(
    matrix: npt.ArrayLike, unanimous: bool = True, share: str = "sureal"
) -> Screening:
    """Find the raters whose ratings are outliers on both sides, after ITU-R BT.500.

    ``matrix`` has shape (stimuli, raters), on any interval scale, with NaN for a missing rating.
    Per stimulus it computes mean, population sigma and kurtosis b2 = m4/m2^2; the bounds are the
    mean +- 2 sigma if 2 <= b2 <= 4, else +- sqrt(20) sigma. ``p`` counts a rater's ratings at or
    above the upper bound, ``q`` those at or below the lower one. A rater with (p+q)/n > .05 and
    |p-q|/(p+q) < .3 is rejected, where n is the number of stimuli; if all raters would be rejected,
    none is. The Recommendation has no missing ratings. With them the result is that of the
    reference software (sureal 0.9.0); with ``share="own_ratings"`` n is the rater's number of
    ratings (see :class:`ScreeningRule`).

    If all raters of a stimulus agree, both bounds equal the mean, and every rating counts on both
    sides, as the rule says and as sureal does. Many such stimuli make all raters look inconsistent,
    so that in effect none is rejected; ``unanimous=False`` ignores them.

    Among k raters no rating can be further than sqrt(k-1) sigma from the mean: with fewer than 21
    ratings per stimulus the wide bounds cannot be reached, with fewer than 5 the narrow ones cannot
    either.

    Source: Recommendation ITU-R BT.500, annex on the screening of observers.

    >>> screen_raters([[1, 1, 1, 1, 5], [5, 5, 5, 5, 1], [2, 2, 3, 3, 2]])
    Screening(p=array([0, 0, 0, 0, 1]), q=array([0, 0, 0, 0, 1]), rejected=array([False, False, False, False,  True]))
    """  # noqa: E501
    scores = _check_matrix(matrix)
    bounds = _compute_bounds(scores)
    deviation = scores - bounds.mean[:, None]
    limit = np.where(bounds.varied, bounds.distance * (1 - _TIE), np.inf)[:, None]
    p, q = count_true(deviation >= limit, 0), count_true(-deviation >= limit, 0)  # False for NaN
    if unanimous:
        both_sides = bounds.unanimous | (bounds.single & (share == "sureal"))
        agreed = count_true(~np.isnan(scores) & both_sides[:, None], 0)
        p, q = p + agreed, q + agreed
    count = count_true(~np.isnan(scores), 0)
    outliers = p + q
    total = np.full_like(count, len(scores)) if share == "sureal" else count
    rejected = (outliers > _MAX_SHARE * total) & (np.abs(p - q) < _MAX_IMBALANCE * outliers)
    if rejected[count > 0].all():
        rejected[:] = False
    return Screening(p, q, rejected)


def find_outliers(matrix: npt.ArrayLike) -> Mask:
    """Return a mask of the ratings outside the bounds of BT.500, as LGVQ removes them.

    ``matrix`` and bounds are those of :func:`screen_raters`. A rating on a bound is not an outlier
    ("deviate by more than" in section 3.3 of the paper), so a unanimous stimulus has none.

    >>> bool(find_outliers([[1, 1, 1, 1, 5]]).any())  # one of five is exactly 2 sigma away
    False
    >>> find_outliers([[1, 1, 1, 1.5, 1.5, 5]])[0].tolist()
    [False, False, False, False, False, False]
    >>> find_outliers([[1, 2, 2, 2, 3, 3, 1, 2, 5]])[0].tolist()[-1]
    True
    """
    scores = _check_matrix(matrix)
    bounds = _compute_bounds(scores)
    limit = np.where(bounds.varied, bounds.distance * (1 + _TIE), np.inf)
    outliers: Mask = np.abs(scores - bounds.mean[:, None]) > limit[:, None]
    return outliers


def compute_zscores(matrix: npt.ArrayLike) -> Floats:
    """Return the z-scores of each rater: ratings minus the rater's mean, over the sd (ddof 1).

    ``matrix`` and result have shape (stimuli, raters), with NaN for a missing rating. The column of
    a rater with one rating, or with equal ratings, is NaN.

    >>> compute_zscores([[1.0, 3.0], [2.0, 3.0], [3.0, 3.0]]).tolist()
    [[-1.0, nan], [0.0, nan], [1.0, nan]]
    """
    scores = _check_matrix(matrix)
    result = np.full_like(scores, np.nan)
    for number, column in enumerate(scores.T):
        present = np.sort(column[~np.isnan(column)])
        if present.size > 1 and present[0] < present[-1]:
            result[:, number] = (column - present.mean()) / present.std(ddof=1)
    return result


def rescale_zscores(z: Any) -> Any:
    """Map z-scores to the scale from 0 to 100 by 100 (z + 3) / 6, unclipped (LGVQ, SFQA).

    >>> rescale_zscores(0.0), rescale_zscores(3.0)
    (50.0, 100.0)
    """
    return 100.0 * (z + 3.0) / 6.0


def row_statistics(matrix: Floats) -> tuple[npt.NDArray[np.int64], Floats, Floats]:
    """Return n, mean and sd (ddof 1) of every row, ignoring NaN.

    The mean of no ratings and the sd of fewer than two are NaN. The result does not depend on the
    order of the raters, because every row is sorted before it is summed.

    >>> n, mean, sd = row_statistics(np.array([[1.0, np.nan, 3.0], [2.0, np.nan, np.nan]]))
    >>> n.tolist(), mean.tolist(), sd.round(3).tolist()
    ([2, 1], [2.0, 2.0], [1.414, nan])
    """
    ordered, n, mean = _sort_rows(matrix)
    square = np.nan_to_num(ordered - mean[:, None]) ** 2
    sd: Floats = np.sqrt(square.sum(axis=1) / np.where(n > 1, n - 1, np.nan))
    return n, mean, sd


def count_true(mask: Mask, axis: int) -> npt.NDArray[np.int64]:
    """Return the number of True values along an axis.

    >>> count_true(np.array([[True, True], [True, False]]), 0).tolist()
    [2, 1]
    """
    return np.asarray(mask.sum(axis=axis), np.int64)


def _sort_rows(matrix: Floats) -> tuple[Floats, npt.NDArray[np.int64], Floats]:
    """Return the rows sorted with NaN last, their number of ratings, and their mean."""
    ordered = np.sort(matrix, axis=1)
    n = count_true(~np.isnan(ordered), 1)
    total = np.nan_to_num(ordered).sum(axis=1)
    mean = np.where(n > 0, total / np.maximum(n, 1), np.nan)
    # The mean of equal floats may differ from them by rounding, so it is taken from the row.
    same = (n > 0) & (ordered[:, 0] == np.nanmax(np.c_[ordered, np.full(len(n), -np.inf)], axis=1))
    return ordered, n, np.where(same, ordered[:, 0], mean) if ordered.shape[1] else mean


def _compute_bounds(scores: Floats) -> _Bounds:
    """Return, per row of scores, the mean, the distance beyond which a score is an outlier
    (2 or sqrt(20) standard deviations by kurtosis, BT.500), and whether the row varies.
    """
    if 0 in scores.shape:
        none = np.zeros(scores.shape[0], np.bool_)
        return _Bounds(np.full(len(none), np.nan), np.full(len(none), np.nan), none, none, none)
    ordered, n, mean = _sort_rows(scores)
    highest = np.nanmax(np.c_[ordered, np.full(len(n), -np.inf)], axis=1)
    noise = _TIE * _compute_range(scores)
    several = n > 1
    unanimous = several & (highest - np.nan_to_num(ordered[:, 0]) <= noise)
    square = np.nan_to_num(ordered - mean[:, None]) ** 2
    count = np.maximum(n, 1)
    variance = square.sum(axis=1) / count
    varied = several & ~unanimous
    safe = np.where(varied, variance, 1.0)
    kurtosis = (square**2).sum(axis=1) / count / safe**2
    narrow = (kurtosis >= 2 * (1 - _TIE)) & (kurtosis <= 4 * (1 + _TIE))
    distance = np.where(narrow, 2.0, np.sqrt(20.0)) * np.sqrt(safe)
    return _Bounds(mean, distance, varied, unanimous, n == 1)


def _check_matrix(matrix: npt.ArrayLike) -> Floats:
    scores = np.asarray(matrix, dtype=np.float64)
    if scores.ndim != 2:
        raise ValueError(f"the matrix must have shape (stimuli, raters), not {scores.shape}")
    if np.isinf(scores).any():
        raise ValueError("ratings must be finite, or NaN if missing")
    return scores


def _compute_range(values: Floats) -> float:
    present = values[~np.isnan(values)]
    return float(present.max() - present.min()) if present.size else 0.0
