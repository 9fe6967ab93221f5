"""Reliability of a rating study: split-half correlation and the SOS hypothesis."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from sfqa.arrays import Floats
from sfqa.errors import UserError
from sfqa.identity import random_generator
from sfqa.ratings.mos import pivot_scores
from sfqa.ratings.screening import row_statistics
from sfqa.statistics.functions import correlate_ranks
from sfqa.tables import FLAWED, OK, RELIABILITY, flaw

VERSION = 1


class SplitHalf(NamedTuple):
    """Agreement of two random halves of the ratings.

    ``srcc`` and ``plcc``: means over the splits. ``reliability``: 2 r / (1 + r) of the mean plcc
    (Spearman-Brown), the expected correlation of two full studies. ``interval``: its 95 %
    interval, the 2.5 and 97.5 % points over splits of bootstrapped samples. ``unit``: what was
    split, ``raters`` or ``ratings``.
    """

    samples: int
    unit: str
    srcc: float
    plcc: float
    reliability: float
    interval: tuple[float, float]


def split_half(matrix: npt.ArrayLike, seed: int, halves: int = 200) -> SplitHalf:
    """Correlate the MOS of random halves of the ratings.

    ``matrix`` has shape (stimuli, raters), with NaN for a missing rating. If every rater rated
    every stimulus, the raters are split; otherwise the ratings of each stimulus are, because half
    of the raters might have no rating of some stimuli. An odd number is split into halves that
    differ by one. Stimuli with fewer than two ratings are ignored. The same seed gives the same
    splits.

    Raises :class:`UserError` if fewer than three stimuli have two ratings, or if all MOS of a half
    are equal.

    >>> true = np.arange(50.0)[:, None]
    >>> result = split_half(true + np.random.default_rng(1).normal(0, 5, (50, 8)), seed=1)
    >>> result.unit, round(result.reliability, 2)
    ('raters', 0.99)
    """
    scores = np.asarray(matrix, float)
    scores = scores[:, ~np.isnan(scores).all(axis=0)] if scores.size else scores
    scores = scores[np.sum(~np.isnan(scores), axis=1) >= 2]
    if len(scores) < 3:
        raise UserError(
            f"ratings: {len(scores)} samples have two ratings or more; split halves need three"
        )
    is_complete = not np.isnan(scores).any()
    rng = random_generator(seed, "split-half")
    correlations = np.empty((halves, 3))  # SRCC, PLCC, PLCC of bootstrapped samples
    for number in range(halves):
        first, second = _split_ratings(scores, is_complete, rng)
        resample = rng.integers(0, len(scores), len(scores))
        correlations[number] = (
            _correlate_ranks(first, second),
            _correlate(first, second),
            _correlate(first[resample], second[resample]),
        )
    if np.isnan(correlations[:, :2]).any():
        raise UserError("ratings: half of the ratings gives every sample the same MOS")
    srcc, plcc = float(correlations[:, 0].mean()), float(correlations[:, 1].mean())
    interval = _correct_length(np.nanpercentile(correlations[:, 2], [2.5, 97.5]))
    return SplitHalf(
        len(scores),
        "raters" if is_complete else "ratings",
        srcc,
        plcc,
        float(_correct_length(np.array(plcc))),
        (float(interval[0]), float(interval[1])),
    )


def _split_ratings(
    scores: Floats, is_complete: bool, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return the MOS of two random halves of the ratings."""
    if is_complete:
        order = rng.permutation(scores.shape[1])
        cut = len(order) // 2
        return scores[:, order[:cut]].mean(axis=1), scores[:, order[cut:]].mean(axis=1)
    random = np.where(np.isnan(scores), np.inf, rng.random(scores.shape))
    rank = random.argsort(axis=1).argsort(axis=1)
    n = np.sum(~np.isnan(scores), axis=1)
    # For an odd number, which half is larger is random.
    cut = (n + (rng.random(len(n)) < 0.5)) // 2
    in_first = rank < cut[:, None]
    filled = np.nan_to_num(scores)
    first = np.where(in_first, filled, 0).sum(axis=1) / np.maximum(cut, 1)
    second = np.where(in_first, 0, filled).sum(axis=1) / (n - cut)
    return first, second


def _correlate_ranks(first: Floats, second: Floats) -> float:
    """Return the SRCC; NaN if either side is constant."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    # This order of the arguments gives the same last bit as the tables made before.
    return correlate_ranks(second, first)


def _correlate(first: Floats, second: Floats) -> float:
    """Return the PLCC; NaN if either side is constant."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def _correct_length(r: Floats) -> Floats:
    """Return the correlation of two full studies by the Spearman-Brown formula."""
    return 2 * r / (1 + r)


class SosFit(NamedTuple):
    """Fit of sd^2 = a (mos - low) (high - mos). ``r2``: explained share of the variance of sd^2."""

    a: float
    a_unbiased: float
    r2: float
    n: int
    low: float
    high: float


def fit_sos(matrix: npt.ArrayLike, low: float, high: float) -> SosFit:
    """Fit the SOS hypothesis to raw ratings on the scale from ``low`` to ``high``.

    ``matrix`` has shape (stimuli, raters), with NaN for a missing rating; stimuli with fewer than
    two ratings are ignored. ``a`` is the least-squares slope through 0, of variances with ddof 1.
    With few ratings the measured (mos - low)(high - mos) is too small by sd^2/n on average.
    ``a_unbiased`` corrects this: it is the ratio of the two sums after adding sd^2/n, unbiased for
    any number of ratings, and 1 (the maximum) if all ratings are at the ends of the scale.

    Source: Hossfeld, Schatz and Egger, SOS: the MOS is not enough!, QoMEX 2011. Raises
    :class:`UserError` for ratings outside the scale, and if all are at one end of it.

    >>> fit = fit_sos([[1, 5, 1, 5], [1, 1, 1, 5]], 1, 5)
    >>> round(fit.a, 3), round(fit.a_unbiased, 3), fit.n
    (1.333, 1.0, 2)
    """
    scores = np.asarray(matrix, float)
    ratings = scores[~np.isnan(scores)]
    if not low < high:
        raise UserError(f"SOS: the scale from {low:g} to {high:g} is none; give its two ends")
    if len(ratings) and (ratings.min() < low or ratings.max() > high):
        raise UserError(
            f"SOS: ratings from {ratings.min():g} to {ratings.max():g} are outside the scale from "
            f"{low:g} to {high:g}; give the scale that was used"
        )
    n, mos, sd = row_statistics(scores)
    used = n >= 2
    # The largest variance that the scale allows is (mos - low) (high - mos).
    variance, max_variance = sd[used] ** 2, (mos[used] - low) * (high - mos[used])
    unbiased_max = max_variance + variance / n[used]
    if not (max_variance > 0).any():
        raise UserError("SOS: no sample has two ratings away from the ends of the scale")
    a = float((max_variance * variance).sum() / (max_variance**2).sum())
    a_unbiased = float(variance.sum() / unbiased_max.sum())
    total = float(((variance - variance.mean()) ** 2).sum())
    residual = float(((variance - a * max_variance) ** 2).sum())
    r2 = 1 - residual / total if total > 0 else np.nan
    return SosFit(a, a_unbiased, r2, int(used.sum()), low, high)


def select_sos_ratings(scores: pd.DataFrame, scale: tuple[float, float]) -> dict[str, Floats]:
    """Return the ratings (samples, raters) of every dimension that :func:`fit_sos` accepts.

    ``scores`` has the columns of ``tables.SCORES``.
    """
    matrices = {}
    for dimension, part in scores.groupby("dimension", sort=True):
        matrix = pivot_scores(part).to_numpy(float)
        try:
            fit_sos(matrix, *scale)
        except UserError:
            continue  # the reliability table has the reason
        matrices[str(dimension)] = matrix
    return matrices


def compute_reliability(
    scores: pd.DataFrame, scale: tuple[float, float], seed: int = 0, halves: int = 200
) -> pd.DataFrame:
    """Return a row per dimension with its split-half reliability and SOS fit.

    ``scores`` has the columns of ``tables.SCORES``; the rows are those of
    :data:`sfqa.tables.RELIABILITY`. A dimension with too few ratings, or with ratings outside the
    ``scale``, is a flawed row with the reason.

    >>> rows = [(r, s, "q", float(v + k % 2)) for k, r in enumerate("abcd")
    ...         for v, s in enumerate("xyz", 1)]
    >>> frame = pd.DataFrame(rows, columns=["rater", "sample_id", "dimension", "score"])
    >>> table = compute_reliability(frame, (1, 5))
    >>> table[["samples", "raters", "ratings", "status"]].values.tolist()
    [[3, 4, 12, 'ok']]
    """
    rows: list[dict[str, Any]] = []
    for dimension, part in scores.groupby("dimension", sort=True):
        matrix = pivot_scores(part).to_numpy(float)
        n = np.sum(~np.isnan(matrix), axis=1)
        row: dict[str, Any] = dict.fromkeys(RELIABILITY.names)
        row |= {"dimension": str(dimension), "samples": int((n > 0).sum()), "ratings": int(n.sum())}
        row |= {"raters": int((~np.isnan(matrix)).any(axis=0).sum()), "least_ratings": int(n.min())}
        parts = []
        try:
            half = split_half(matrix, seed, halves)
            row |= {"unit": half.unit, "half_srcc": half.srcc, "half_plcc": half.plcc}
            row |= {"reliability": half.reliability}
            row |= {"ci95_low": half.interval[0], "ci95_high": half.interval[1]}
        except UserError as error:
            parts.append(flaw("no_halves", str(error).removeprefix("ratings: ")))
        try:
            sos = fit_sos(matrix, *scale)
            row |= {"sos_a": sos.a, "sos_a_unbiased": sos.a_unbiased, "sos_r2": sos.r2}
        except UserError as error:
            parts.append(flaw("no_sos_fit", str(error).removeprefix("SOS: ")))
        row |= {"status": FLAWED if parts else OK, "detail": "; ".join(parts)}
        rows.append(row)
    return pd.DataFrame(rows, columns=list(RELIABILITY.names))
