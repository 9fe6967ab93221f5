"""The ways from raw ratings to those that count: one function per published method."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sfqa.ratings import screening, subjective_models
from sfqa.ratings.screening import Mask, Matrix
from sfqa.tables import flaw

VERSION = 1

#: A rater with a larger share of outlier ratings is left out (LGVQ, section 3.3).
_OUTLIER_SHARE = 0.05


class Treated(NamedTuple):
    """What a method makes of a matrix of stimuli by raters.

    ``kept``: the ratings that count, on the scale of the MOS, NaN elsewhere; ``p``, ``q``: strays
    above and below per rater; ``rejected`` and ``reasons`` per rater; ``mos`` and ``half`` (of the
    95 % interval) where they are not the mean of ``kept`` and its t-interval.
    """

    kept: Matrix
    p: npt.NDArray[np.int64]
    q: npt.NDArray[np.int64]
    rejected: Mask
    reasons: list[list[str]]
    mos: Matrix | None = None
    half: Matrix | None = None


def mean(raw: Matrix, names: list[str], unanimous: bool) -> Treated:
    """Keep every rating as it is."""
    nobody = np.zeros(raw.shape[1], np.int64)
    return Treated(raw, nobody, nobody, nobody > 0, _habits(raw, False))


def bt500(raw: Matrix, names: list[str], unanimous: bool) -> Treated:
    """Leave out the raters whom BT.500 screening of the raw ratings rejects."""
    return _screened(raw, raw, unanimous, _habits(raw, False))


def zscore(raw: Matrix, names: list[str], unanimous: bool) -> Treated:
    """Screen z-scores by BT.500, then map them to 0..100 (SFQA, section 3.3)."""
    found = _screened(raw, screening.zscores(raw), unanimous, _habits(raw, True))
    return found._replace(
        kept=screening.rescaled(found.kept), rejected=found.rejected | _without_spread(raw)
    )


def lgvq(raw: Matrix, names: list[str], unanimous: bool) -> Treated:
    """Remove outlier ratings and raters with many, then z-scores to 0..100 (LGVQ, section 3.3)."""
    far = screening.outliers(raw)
    n, mid = screening.counts(~np.isnan(raw), 0), screening.row_statistics(raw)[1]
    out = screening.counts(far, 0)
    rejected = out > _OUTLIER_SHARE * n
    valid = np.where(far, np.nan, raw)
    reasons = _habits(valid, True)
    for k in np.flatnonzero(rejected):
        share = f"{out[k]} of {n[k]} ratings are outliers, more than 5 %, left out (LGVQ)"
        nothing_left = bool(np.isnan(valid[:, k]).all())
        reasons[k] = [flaw("screened_out", share), *([] if nothing_left else reasons[k])]
    kept = screening.rescaled(screening.zscores(valid))
    above = screening.counts(far & (raw > mid[:, None]), 0)
    return Treated(
        np.where(rejected, np.nan, kept),
        above,
        out - above,
        rejected | _without_spread(valid),
        reasons,
    )


def p913(raw: Matrix, names: list[str], unanimous: bool) -> Treated:
    """Subtract each rater's bias, then screen by BT.500 (ITU-T P.913, clause 12.4)."""
    reasons = _joined(_habits(raw, False), _unconnected(raw))
    return _screened(raw, subjective_models.remove_bias(raw).ratings, unanimous, reasons)


def p910(raw: Matrix, names: list[str], unanimous: bool) -> Treated:
    """Fit MOS, bias and inconsistency together (ITU-T P.910, Annex E); nobody is left out."""
    found = subjective_models.annex_e(raw, names)
    nobody = np.zeros(raw.shape[1], np.int64)
    reasons = _joined(_habits(raw, False), _unconnected(raw))
    kept = raw - found.bias
    return Treated(kept, nobody, nobody, nobody > 0, reasons, found.mos, found.half_width)


Treatment = Callable[[Matrix, list[str], bool], Treated]

METHODS: dict[str, Treatment] = {
    "zscore": zscore,
    "raw": bt500,
    "sfqa": zscore,
    "lgvq": lgvq,
    "mean": mean,
    "bt500": bt500,
    "p913": p913,
    "p910": p910,
}


def _screened(raw: Matrix, used: Matrix, unanimous: bool, reasons: list[list[str]]) -> Treated:
    found = screening.bt500(used, unanimous)
    n = screening.counts(~np.isnan(raw), 0)
    for k in np.flatnonzero(found.rejected):
        p, q = int(found.p[k]), int(found.q[k])
        strays = f"{p + q} of {n[k]} ratings stray, {p} up and {q} down, left out (BT.500)"
        reasons[k].insert(0, flaw("screened_out", strays))
    kept = np.where(found.rejected, np.nan, used)
    return Treated(kept, found.p, found.q, found.rejected.copy(), reasons)


def _habits(raw: Matrix, left_out: bool) -> list[list[str]]:
    """What is odd about each rater's own ratings; ``left_out``: and so has no z-score."""
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
        what = "rated one sample only"
        if len(values) > 1:
            what = f"gave {values[0]:g} to all of {len(values)} samples"
        end = ", so has no z-score, left out" if left_out else ""
        reasons.append([flaw(word, what + end)])
    return reasons


def _without_spread(raw: Matrix) -> Mask:
    given = ~np.isnan(raw)
    low = np.where(given, raw, np.inf).min(axis=0, initial=np.inf)
    high = np.where(given, raw, -np.inf).max(axis=0, initial=-np.inf)
    alone: Mask = given.any(axis=0) & (low == high)
    return alone


def _unconnected(raw: Matrix) -> list[list[str]]:
    """A remark for every rater where not all raters are linked by samples that they share."""
    groups = subjective_models.connected_groups(raw)
    rated = screening.counts(~np.isnan(raw), 0) > 0
    count = len(np.unique(groups[rated]))
    sentence = (
        f"the raters fall into {count} groups that share no sample, and biases of different "
        "groups cannot be told from differences between their samples"
    )
    return [[flaw("unconnected", sentence)] if count > 1 and r else [] for r in rated]


def _joined(*lists: list[list[str]]) -> list[list[str]]:
    return [[part for parts in own for part in parts] for own in zip(*lists, strict=True)]
