"""Mean opinion scores (MOS): from raw ratings to one row per sample and one row per rater."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from sfqa.arrays import Floats
from sfqa.errors import UserError, hint
from sfqa.ratings.screening import SHARES, ScreeningRule, row_statistics
from sfqa.ratings.treatments import METHODS, TreatedRatings
from sfqa.tables import FAILED, FLAWED, OK

VERSION = 3
#: Names of the methods; ``sfqa`` is an alias of ``zscore``, ``bt500`` of ``raw``.
METHOD_NAMES = tuple(METHODS)

#: Cells of a table of samples by raters: that many, or this many times the ratings in it.
_CELLS, _CELLS_PER_RATING = 20_000_000, 500

TableRow = dict[str, Any]


def compute_mos(
    scores: pd.DataFrame,
    method: str = "zscore",
    unanimous: bool = True,
    screening: str = "sureal",
) -> tuple[list[TableRow], list[TableRow]]:
    """Return rows for ``tables.MOS`` and for ``tables.RATERS`` from raw ratings.

    ``scores`` has the columns of ``tables.SCORES``; an empty score is a missing rating. Each
    dimension is processed separately. ``method`` is one of:

    - ``zscore`` (or ``sfqa``): z-scores per rater (ddof 1), BT.500 screening of these; the MOS is
      the mean of the accepted ones after 100 (z + 3) / 6, so that it does not depend on how a rater
      uses the scale (SFQA);
    - ``lgvq``: outlier ratings and raters with more than 5 % outliers are removed; then z-scores of
      the remaining ratings, 100 (z + 3) / 6;
    - ``raw`` (or ``bt500``): BT.500 screening and means of the raw ratings;
    - ``mean``: means of all raw ratings;
    - ``p913``: ratings minus the rater's bias (ITU-T P.913, 12.4), then BT.500 screening;
    - ``p910``: the alternating fit of ITU-T P.910 Annex E, for at least 8 raters.

    The interval is mean -+ t(.975, n - 1) sd / sqrt(n); that of ``p910`` comes from the model (see
    :func:`sfqa.ratings.subjective_models.fit_annex_e`). ``unanimous`` and ``screening`` are the two
    parts of :class:`sfqa.ratings.screening.ScreeningRule`, used by every BT.500 screening.

    A rater whose ratings are all equal has no z-score and is excluded from the z-score MOS; the
    rater's row is flawed. A sample with one accepted rating has no sd and no interval (flawed); a
    sample without ratings has no MOS (failed). A row is synthetic if any rating of the sample is.
    Raises :class:`UserError` for an unknown method or screening, repeated ratings and infinite
    scores.

    >>> rows = [(r, s, "quality", v, False) for r, a in {"r1": (1, 2), "r2": (2, 4)}.items()
    ...         for s, v in zip("ab", a)]
    >>> names = ["rater", "sample_id", "dimension", "score", "synthetic"]
    >>> mos, raters = compute_mos(pd.DataFrame(rows, columns=names), "raw")
    >>> [(row["sample_id"], row["mos"], row["n"]) for row in mos]
    [('a', 1.5, 2), ('b', 3.0, 2)]
    """
    if method not in METHODS:
        raise UserError(f"ratings: no method {method!r}; {hint(method, METHODS)}")
    if screening not in SHARES:
        raise UserError(f"ratings: no screening {screening!r}; {hint(screening, SHARES)}")
    rule = ScreeningRule(screening, unanimous)
    _check_scores(scores)
    mos_rows: list[TableRow] = []
    rater_rows: list[TableRow] = []
    for dimension, part in scores.groupby("dimension", sort=True):
        raw = pivot_scores(part)
        synthetic = part.groupby("sample_id")["synthetic"].any().reindex(raw.index)
        names = [str(name) for name in raw.columns]
        matrix = raw.to_numpy(float)
        treated = METHODS[method](matrix, names, rule)
        mos_rows += _make_mos_rows(
            str(dimension), raw.index, matrix, treated, synthetic.to_numpy(bool)
        )
        rater_rows += _make_rater_rows(str(dimension), names, matrix, treated)
    return mos_rows, rater_rows


def pivot_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of one dimension as a table (samples, raters), both sorted.

    A missing rating is NaN. Raises :class:`UserError` for a table that is nearly empty and would
    not fit into memory, as if each rater of 60,000 had rated another sample.

    >>> rows = pd.DataFrame({"rater": ["b", "a"], "sample_id": ["x", "y"], "score": [1.0, 2.0]})
    >>> pivot_scores(rows).to_numpy().tolist()
    [[nan, 1.0], [2.0, nan]]
    """
    samples, raters = scores["sample_id"].nunique(), scores["rater"].nunique()
    if samples * raters > max(_CELLS, _CELLS_PER_RATING * len(scores)):
        raise UserError(
            f"ratings: {len(scores):,} ratings of {samples:,} samples by {raters:,} raters: on "
            f"average a rater has rated fewer than one in {_CELLS_PER_RATING} samples; check the "
            "column of raters, or keep only those who have rated more"
        )
    raw = scores.pivot(index="sample_id", columns="rater", values="score")
    return raw.sort_index(axis=0).sort_index(axis=1).astype(float)


def _make_mos_rows(
    dimension: str,
    samples: pd.Index[str],
    raw: Floats,
    treated: TreatedRatings,
    synthetic: npt.NDArray[np.bool_],
) -> list[TableRow]:
    n, mean, sd = row_statistics(treated.ratings)
    mos = mean if treated.mos is None else treated.mos
    half_width = treated.half_width
    if half_width is None:
        half_width = stats.t.ppf(0.975, np.maximum(n - 1, 1)) * sd / np.sqrt(np.maximum(n, 1))
    raw_count = np.sum(~np.isnan(raw), axis=1)
    rows: list[TableRow] = []
    for k, sample in enumerate(samples):
        row: TableRow = {"sample_id": sample, "dimension": dimension}
        row["synthetic"] = bool(synthetic[k])
        row |= {"mos": None, "n": int(n[k]), "sd": None, "ci95_low": None, "ci95_high": None}
        if n[k] == 0:
            reason = "all of them were left out" if raw_count[k] else "it has none"
            detail = f"no_ratings: of {raw_count[k]} ratings {reason}"
            rows.append({**row, "status": FAILED, "detail": detail})
            continue
        value, half = float(mos[k]), float(half_width[k])
        row["mos"] = value
        if n[k] == 1:
            detail = "one_rating: one kept rating gives no standard deviation and no interval"
            rows.append({**row, "status": FLAWED, "detail": detail})
            continue
        ends = {"sd": float(sd[k]), "ci95_low": value - half, "ci95_high": value + half}
        rows.append({**row, **ends, "status": OK, "detail": ""})
    return rows


def _make_rater_rows(
    dimension: str, names: list[str], raw: Floats, treated: TreatedRatings
) -> list[TableRow]:
    n, mean, sd = row_statistics(np.ascontiguousarray(raw.T))
    return [
        {
            "dimension": dimension,
            "rater": name,
            "n": int(n[k]),
            "mean": float(mean[k]) if n[k] else None,
            "sd": float(sd[k]) if n[k] > 1 else None,
            "p": int(treated.p[k]),
            "q": int(treated.q[k]),
            "rejected": bool(treated.rejected[k]),
            "status": FLAWED if treated.reasons[k] else OK,
            "detail": "; ".join(treated.reasons[k]),
        }
        for k, name in enumerate(names)
    ]


def _check_scores(scores: pd.DataFrame) -> None:
    for column in ("rater", "sample_id", "dimension"):
        if scores[column].isna().any():
            raise UserError(f"ratings: a row has no {column}; fill it or delete the row")
    repeated = scores[scores.duplicated(["rater", "sample_id", "dimension"])]
    if len(repeated):
        row = repeated.iloc[0]
        raise UserError(
            f"ratings: rater {row['rater']!r} rated sample {row['sample_id']!r} twice in dimension "
            f"{row['dimension']!r}; keep one of the two"
        )
    infinite = scores[np.isinf(scores["score"].astype(float))]
    if len(infinite):
        row = infinite.iloc[0]
        raise UserError(
            f"ratings: rater {row['rater']!r}, sample {row['sample_id']!r}: the score is infinite; "
            "correct it or delete the row"
        )
