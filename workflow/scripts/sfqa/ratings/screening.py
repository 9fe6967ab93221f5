"""Screening of raters (BT.500) and z-scores, on a matrix of stimuli by raters."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

VERSION = 1

Matrix = npt.NDArray[np.float64]

# A single dissenter among 5 raters lies exactly 2 sigma off, and one among 21 exactly sqrt(20)
# sigma off: such ties are decided as in exact arithmetic, not by the last bit of a float.
_TIE = 1e-9


class Screening(NamedTuple):
    """What BT.500 screening found, one entry per rater."""

    p: npt.NDArray[np.int64]
    q: npt.NDArray[np.int64]
    rejected: npt.NDArray[np.bool_]


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
    raters = scores.shape[1]
    p, q = np.zeros(raters, np.int64), np.zeros(raters, np.int64)
    noise = _TIE * _span(scores.ravel())
    for row in scores:
        present = np.sort(row[~np.isnan(row)])  # sorted: the sums ignore the raters' order
        if present.size < 2:
            continue
        if present[-1] - present[0] <= noise:
            if unanimous:
                p += ~np.isnan(row)
                q += ~np.isnan(row)
            continue
        mean = present.mean()
        square = (present - mean) ** 2
        variance = square.mean()
        kurtosis = (square**2).mean() / variance**2
        narrow = 2 * (1 - _TIE) <= kurtosis <= 4 * (1 + _TIE)
        reach = (2.0 if narrow else np.sqrt(20.0)) * np.sqrt(variance) * (1 - _TIE)
        p += row - mean >= reach  # NaN compares false
        q += mean - row >= reach
    count = np.sum(~np.isnan(scores), axis=0)
    strays = p + q
    rejected = (strays > 0.05 * count) & (np.abs(p - q) < 0.3 * strays)
    if rejected[count > 0].all():
        rejected[:] = False
    return Screening(p, q, rejected)


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
