"""Methods that turn raw ratings into the ratings behind a MOS, one function per publication."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sfqa.arrays import Floats
from sfqa.ratings import screening, subjective_models
from sfqa.ratings.screening import Mask, ScreeningRule
from sfqa.tables import flaw

VERSION = 2

#: A rater with a larger share of outliers is rejected (LGVQ, section 3.3).
_MAX_OUTLIER_SHARE = 0.05


class TreatedRatings(NamedTuple):
    """Result of a method for one dimension.

    ``ratings``: shape (stimuli, raters), on the scale of the MOS, NaN for ratings that do not
    count. ``p``, ``q``: outliers of each rater above and below. ``rejected`` and ``reasons``: per
    rater. ``mos`` and ``half_width`` (of the 95 % interval): per stimulus, if they are not the mean
    of ``ratings`` and its t-interval.
    """

    ratings: Floats
    p: npt.NDArray[np.int64]
    q: npt.NDArray[np.int64]
    rejected: Mask
    reasons: list[list[str]]
    mos: Floats | None = None
    half_width: Floats | None = None


def keep_all(raw: Floats, names: list[str], rule: ScreeningRule) -> TreatedRatings:
    """Use every raw rating."""
    zeros = np.zeros(raw.shape[1], np.int64)
    return TreatedRatings(raw, zeros, zeros, zeros > 0, _describe_raters(raw, False))


def screen_raw(raw: Floats, names: list[str], rule: ScreeningRule) -> TreatedRatings:
    """Reject raters by BT.500 screening of the raw ratings."""
    return _screen_ratings(raw, raw, rule, _describe_raters(raw, False))


def screen_zscores(raw: Floats, names: list[str], rule: ScreeningRule) -> TreatedRatings:
    """Reject raters by BT.500 screening of their z-scores, map these to 0..100 (SFQA, 3.3)."""
    zscores = screening.compute_zscores(raw)
    screened = _screen_ratings(raw, zscores, rule, _describe_raters(raw, True))
    return screened._replace(
        ratings=screening.rescale_zscores(screened.ratings),
        rejected=screened.rejected | _find_constant_raters(raw),
    )


def remove_outliers(raw: Floats, names: list[str], rule: ScreeningRule) -> TreatedRatings:
    """Remove outliers and raters with many of them, map z-scores to 0..100 (LGVQ, 3.3)."""
    is_outlier = screening.find_outliers(raw)
    n, mean = screening.count_true(~np.isnan(raw), 0), screening.row_statistics(raw)[1]
    outliers = screening.count_true(is_outlier, 0)
    rejected = outliers > _MAX_OUTLIER_SHARE * n
    valid = np.where(is_outlier, np.nan, raw)
    reasons = _describe_raters(valid, True)
    for k in np.flatnonzero(rejected):
        share = f"{outliers[k]} of {n[k]} ratings are outliers, more than 5 %, left out (LGVQ)"
        is_empty = bool(np.isnan(valid[:, k]).all())
        reasons[k] = [flaw("screened_out", share), *([] if is_empty else reasons[k])]
    zscores = screening.rescale_zscores(screening.compute_zscores(valid))
    above = screening.count_true(is_outlier & (raw > mean[:, None]), 0)
    return TreatedRatings(
        np.where(rejected, np.nan, zscores),
        above,
        outliers - above,
        rejected | _find_constant_raters(valid),
        reasons,
    )


def apply_p913(raw: Floats, names: list[str], rule: ScreeningRule) -> TreatedRatings:
    """Subtract each rater's bias, then screen by BT.500 (ITU-T P.913, clause 12.4)."""
    reasons = _join_reasons(_describe_raters(raw, False), _describe_connections(raw))
    return _screen_ratings(raw, subjective_models.remove_bias(raw).ratings, rule, reasons)


def apply_p910(raw: Floats, names: list[str], rule: ScreeningRule) -> TreatedRatings:
    """Fit MOS, bias and inconsistency jointly (ITU-T P.910, Annex E); no rater is rejected."""
    model = subjective_models.fit_annex_e(raw, names)
    zeros = np.zeros(raw.shape[1], np.int64)
    reasons = _join_reasons(_describe_raters(raw, False), _describe_connections(raw))
    unbiased = raw - model.bias
    return TreatedRatings(unbiased, zeros, zeros, zeros > 0, reasons, model.mos, model.half_width)


#: A method takes raw ratings (stimuli, raters), the raters' names, and the rule of BT.500
#: screening.
Treatment = Callable[[Floats, list[str], ScreeningRule], TreatedRatings]

METHODS: dict[str, Treatment] = {
    "zscore": screen_zscores,
    "raw": screen_raw,
    "sfqa": screen_zscores,
    "lgvq": remove_outliers,
    "mean": keep_all,
    "bt500": screen_raw,
    "p913": apply_p913,
    "p910": apply_p910,
}


def _screen_ratings(
    raw: Floats, ratings: Floats, rule: ScreeningRule, reasons: list[list[str]]
) -> TreatedRatings:
    """Reject raters by BT.500 screening of ``ratings``, which are derived from ``raw``.

    A rater who is kept, but would be left out if the share were that of the own ratings, gets a
    remark.
    """
    screened = screening.screen_raters(ratings, rule.unanimous, rule.share)
    other = screening.screen_raters(ratings, rule.unanimous, "own_ratings")
    n = screening.count_true(~np.isnan(raw), 0)
    rated = ~np.isnan(ratings)
    alone = screening.count_true(rated & (rated.sum(axis=1) == 1)[:, None], 0)
    for k in np.flatnonzero(screened.rejected | other.rejected):
        p, q = int(screened.p[k]), int(screened.q[k])
        sentence = f"{p + q} of {n[k]} ratings stray, {p} up and {q} down"
        if rule == ScreeningRule("sureal", True) and alone[k]:
            sentence += f" ({alone[k]} on both sides as the only ratings of their samples)"
        if screened.rejected[k]:
            reasons[k].insert(0, flaw("screened_out", f"{sentence}, left out (BT.500)"))
        else:
            remark = (
                f"{sentence}, kept because these are no more than 5 % of all {len(raw)} samples"
            )
            end = ", with screening: own_ratings the rater is left out"
            reasons[k].append(flaw("strays", remark + end))
    accepted = np.where(screened.rejected, np.nan, ratings)
    return TreatedRatings(accepted, screened.p, screened.q, screened.rejected.copy(), reasons)


def _describe_raters(raw: Floats, uses_zscores: bool) -> list[list[str]]:
    """Return what is unusual about each rater's ratings: none, only one, or all equal.

    ``uses_zscores``: such a rater has no z-score and is therefore left out.
    """
    reasons: list[list[str]] = []
    for column in raw.T:
        values = column[~np.isnan(column)]
        if not len(values):
            reasons.append(["no_ratings: all scores of this rater are empty"])
            continue
        if values.min() < values.max():
            reasons.append([])
            continue
        word = "constant" if len(values) > 1 else "one_rating"
        sentence = "rated one sample only"
        if len(values) > 1:
            sentence = f"gave {values[0]:g} to all of {len(values)} samples"
        end = ", so has no z-score, left out" if uses_zscores else ""
        reasons.append([flaw(word, sentence + end)])
    return reasons


def _find_constant_raters(raw: Floats) -> Mask:
    """Return a mask of the raters whose ratings are all equal."""
    rated = ~np.isnan(raw)
    low = np.where(rated, raw, np.inf).min(axis=0, initial=np.inf)
    high = np.where(rated, raw, -np.inf).max(axis=0, initial=-np.inf)
    constant: Mask = rated.any(axis=0) & (low == high)
    return constant


def _describe_connections(raw: Floats) -> list[list[str]]:
    """Return a remark for every rater if the raters form groups that share no samples."""
    groups = subjective_models.connected_groups(raw)
    has_rated = screening.count_true(~np.isnan(raw), 0) > 0
    count = len(np.unique(groups[has_rated]))
    sentence = (
        f"the raters fall into {count} groups that share no sample, and biases of different "
        "groups cannot be told from differences between their samples"
    )
    return [[flaw("unconnected", sentence)] if count > 1 and r else [] for r in has_rated]


def _join_reasons(*lists: list[list[str]]) -> list[list[str]]:
    return [[part for parts in rater for part in parts] for rater in zip(*lists, strict=True)]
