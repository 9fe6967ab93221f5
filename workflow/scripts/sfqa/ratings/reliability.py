"""How far a study can be trusted: split-half reliability and the SOS hypothesis."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from sfqa.errors import UserError
from sfqa.identity import generator
from sfqa.ratings.mos import matrix_of
from sfqa.ratings.screening import Matrix, row_statistics
from sfqa.tables import FLAWED, OK, RELIABILITY, flaw

VERSION = 1


class SplitHalf(NamedTuple):
    """Agreement of two random halves of the ratings.

    ``srcc`` and ``plcc``: means over the halves. ``reliability``: 2 r / (1 + r) of the mean plcc
    (Spearman and Brown), what two studies of the full size would agree to. ``interval``: its 95 %
    interval, the 2.5 and 97.5 % points over halves of samples drawn with replacement. ``unit``:
    what was split, ``raters`` or ``ratings``.
    """

    samples: int
    unit: str
    srcc: float
    plcc: float
    reliability: float
    interval: tuple[float, float]


def split_half(matrix: npt.ArrayLike, seed: int, halves: int = 200) -> SplitHalf:
    """Correlate the MOS of random halves of the ratings.

    ``matrix`` has shape (stimuli, raters), NaN where there is no rating. Where every stimulus has
    all raters, the raters are split in two; otherwise the ratings of each stimulus are, since
    half of the raters would leave stimuli without any. With an odd number one half is larger by
    one. Stimuli with fewer than two ratings are left out. The same seed gives the same halves.

    Raises :class:`UserError` where fewer than three stimuli have two ratings, or where a half's MOS
    are all the same.

    >>> true = np.arange(50.0)[:, None]
    >>> found = split_half(true + np.random.default_rng(1).normal(0, 5, (50, 8)), seed=1)
    >>> found.unit, round(found.reliability, 2)
    ('raters', 0.99)
    """
    scores = np.asarray(matrix, float)
    scores = scores[:, ~np.isnan(scores).all(axis=0)] if scores.size else scores
    scores = scores[np.sum(~np.isnan(scores), axis=1) >= 2]
    if len(scores) < 3:
        raise UserError(
            f"ratings: {len(scores)} samples have two ratings or more; split halves need three"
        )
    whole = not np.isnan(scores).any()
    draw = generator(seed, "split-half")
    found = np.empty((halves, 3))
    for number in range(halves):
        first, second = _halves(scores, whole, draw)
        again = draw.integers(0, len(scores), len(scores))
        ranked = _pearson(stats.rankdata(first), stats.rankdata(second))
        found[number] = ranked, _pearson(first, second), _pearson(first[again], second[again])
    if np.isnan(found[:, :2]).any():
        raise UserError("ratings: half of the ratings gives every sample the same MOS")
    srcc, plcc = float(found[:, 0].mean()), float(found[:, 1].mean())
    interval = _brown(np.nanpercentile(found[:, 2], [2.5, 97.5]))
    return SplitHalf(
        len(scores),
        "raters" if whole else "ratings",
        srcc,
        plcc,
        float(_brown(np.array(plcc))),
        (float(interval[0]), float(interval[1])),
    )


def _halves(scores: Matrix, whole: bool, draw: np.random.Generator) -> tuple[Matrix, Matrix]:
    if whole:
        order = draw.permutation(scores.shape[1])
        cut = len(order) // 2
        return scores[:, order[:cut]].mean(axis=1), scores[:, order[cut:]].mean(axis=1)
    chance = np.where(np.isnan(scores), np.inf, draw.random(scores.shape))
    rank = chance.argsort(axis=1).argsort(axis=1)
    n = np.sum(~np.isnan(scores), axis=1)
    # With an odd number it is chance which half has one more.
    cut = (n + (draw.random(len(n)) < 0.5)) // 2
    first = rank < cut[:, None]
    known = np.nan_to_num(scores)
    upper = np.where(first, known, 0).sum(axis=1) / np.maximum(cut, 1)
    lower = np.where(first, 0, known).sum(axis=1) / (n - cut)
    return upper, lower


def _pearson(first: Matrix, second: Matrix) -> float:
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def _brown(r: Matrix) -> Matrix:
    return 2 * r / (1 + r)


class SosFit(NamedTuple):
    """Fit of sd^2 = a (mos - low) (high - mos); ``r2``: share of the variance of sd^2 explained."""

    a: float
    a_unbiased: float
    r2: float
    n: int
    low: float
    high: float


def sos_fit(matrix: npt.ArrayLike, low: float, high: float) -> SosFit:
    """Fit the SOS hypothesis to raw ratings on the scale from ``low`` to ``high``.

    ``matrix`` has shape (stimuli, raters), NaN where there is no rating; stimuli with fewer than
    two ratings are left out. ``a`` is the least-squares slope through 0, of variances with ddof 1.
    With few ratings both sides are noisy, and the measured (mos - low)(high - mos) is too small by
    sd^2/n on average; ``a_unbiased`` adds that and is the ratio of the two sums, right for any
    number of ratings: 1 where all lie on the ends of the scale, the most there is.

    Source: Hossfeld, Schatz and Egger, SOS: the MOS is not enough!, QoMEX 2011. Raises
    :class:`UserError` for ratings outside the scale and where all lie on one end of it.

    >>> found = sos_fit([[1, 5, 1, 5], [1, 1, 1, 5]], 1, 5)
    >>> round(found.a, 3), round(found.a_unbiased, 3), found.n
    (1.333, 1.0, 2)
    """
    scores = np.asarray(matrix, float)
    given = scores[~np.isnan(scores)]
    if not low < high:
        raise UserError(f"SOS: the scale from {low:g} to {high:g} is none; give its two ends")
    if len(given) and (given.min() < low or given.max() > high):
        raise UserError(
            f"SOS: ratings from {given.min():g} to {given.max():g} are outside the scale from "
            f"{low:g} to {high:g}; give the scale that was used"
        )
    n, mos, sd = row_statistics(scores)
    used = n >= 2
    variance, reach = sd[used] ** 2, (mos[used] - low) * (high - mos[used])
    wider = reach + variance / n[used]
    if not (reach > 0).any():
        raise UserError("SOS: no sample has two ratings away from the ends of the scale")
    a = float((reach * variance).sum() / (reach**2).sum())
    fair = float(variance.sum() / wider.sum())
    total = float(((variance - variance.mean()) ** 2).sum())
    rest = float(((variance - a * reach) ** 2).sum())
    return SosFit(a, fair, 1 - rest / total if total > 0 else np.nan, int(used.sum()), low, high)


def sos_matrices(scores: pd.DataFrame, scale: tuple[float, float]) -> dict[str, Matrix]:
    """Return the ratings (samples, raters) of every dimension that the SOS hypothesis fits.

    ``scores`` has the columns of ``tables.SCORES``.
    """
    found = {}
    for dimension, part in scores.groupby("dimension", sort=True):
        matrix = matrix_of(part).to_numpy(float)
        try:
            sos_fit(matrix, *scale)
        except UserError:
            continue  # the table of reliability says why
        found[str(dimension)] = matrix
    return found


def reliability_table(
    scores: pd.DataFrame, scale: tuple[float, float], seed: int = 0, halves: int = 200
) -> pd.DataFrame:
    """Return split-half reliability and SOS fit of every dimension, a row for each.

    ``scores`` has the columns of ``tables.SCORES``; the rows are those of
    :data:`sfqa.tables.RELIABILITY`. A dimension with too few ratings, or with some outside
    the ``scale``, is a flawed row whose detail says so.

    >>> rows = [(r, s, "q", float(v + k % 2)) for k, r in enumerate("abcd")
    ...         for v, s in enumerate("xyz", 1)]
    >>> frame = pd.DataFrame(rows, columns=["rater", "sample_id", "dimension", "score"])
    >>> reliability_table(frame, (1, 5))[["samples", "raters", "ratings", "status"]].values.tolist()
    [[3, 4, 12, 'ok']]
    """
    rows: list[dict[str, Any]] = []
    for dimension, part in scores.groupby("dimension", sort=True):
        matrix = matrix_of(part).to_numpy(float)
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
            sos = sos_fit(matrix, *scale)
            row |= {"sos_a": sos.a, "sos_a_unbiased": sos.a_unbiased, "sos_r2": sos.r2}
        except UserError as error:
            parts.append(flaw("no_sos_fit", str(error).removeprefix("SOS: ")))
        row |= {"status": FLAWED if parts else OK, "detail": "; ".join(parts)}
        rows.append(row)
    return pd.DataFrame(rows, columns=list(RELIABILITY.names))
