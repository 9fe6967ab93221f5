"""Mean opinion scores: raw ratings to one row per sample and one row per rater."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from sfqa.errors import UserError, hint
from sfqa.ratings.screening import Matrix, row_statistics
from sfqa.ratings.treatments import METHODS, Treated
from sfqa.tables import FAILED, FLAWED, OK

VERSION = 2
#: The ways to a MOS; ``sfqa`` is another name of ``zscore``, ``bt500`` of ``raw``.
SCALES = tuple(METHODS)

Row = dict[str, Any]


def mean_opinion_scores(
    scores: pd.DataFrame, scale: str = "zscore", unanimous: bool = True
) -> tuple[list[Row], list[Row]]:
    """Return rows for ``tables.MOS`` and for ``tables.RATERS`` from raw ratings.

    ``scores`` has the columns of ``tables.SCORES``; an empty score is a rating that is missing.
    Each dimension is treated alone. ``scale`` names the method:

    - ``zscore`` (or ``sfqa``): z-scores per rater (ddof 1), BT.500 screening of these, the MOS is
      the mean of the kept ones after 100 (z + 3) / 6 (SFQA: a rater's own use of the scale then
      decides nothing);
    - ``lgvq``: outlier ratings and raters with more than 5 % of them are removed, then z-scores of
      what is left, 100 (z + 3) / 6;
    - ``raw`` (or ``bt500``): BT.500 screening and means of the raw ratings;
    - ``mean``: means of all raw ratings;
    - ``p913``: ratings less the rater's bias (ITU-T P.913, 12.4), then BT.500 screening;
    - ``p910``: the alternation of ITU-T P.910 Annex E, for 8 raters or more.

    The interval is mean -+ t(.975, n - 1) sd / sqrt(n); that of ``p910`` comes from the model (see
    :func:`sfqa.ratings.subjective_models.annex_e`). ``unanimous`` is handed to
    :func:`sfqa.ratings.screening.bt500`.

    A rater without spread has no z-score and is left out of the z-score MOS, as a flawed row that
    says so. A sample with one kept rating has no sd and no interval (flawed); one with none has
    no MOS (failed). A row is synthetic where any rating behind the sample is. Raises
    :class:`UserError` for an unknown method, repeated ratings and infinite scores.

    >>> rows = [(r, s, "quality", v, False) for r, a in {"r1": (1, 2), "r2": (2, 4)}.items()
    ...         for s, v in zip("ab", a)]
    >>> names = ["rater", "sample_id", "dimension", "score", "synthetic"]
    >>> mos, raters = mean_opinion_scores(pd.DataFrame(rows, columns=names), "raw")
    >>> [(row["sample_id"], row["mos"], row["n"]) for row in mos]
    [('a', 1.5, 2), ('b', 3.0, 2)]
    """
    if scale not in METHODS:
        raise UserError(f"ratings: no method {scale!r}; {hint(scale, METHODS)}")
    _check(scores)
    mos_rows: list[Row] = []
    rater_rows: list[Row] = []
    for dimension, part in scores.groupby("dimension", sort=True):
        raw = matrix_of(part)
        synthetic = part.groupby("sample_id")["synthetic"].any().reindex(raw.index)
        names = [str(name) for name in raw.columns]
        matrix = raw.to_numpy(float)
        found = METHODS[scale](matrix, names, unanimous)
        mos_rows += _mos_rows(str(dimension), raw.index, matrix, found, synthetic.to_numpy(bool))
        rater_rows += _rater_rows(str(dimension), names, matrix, found)
    return mos_rows, rater_rows


def matrix_of(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of one dimension as samples by raters, both sorted, NaN for no rating.

    >>> rows = pd.DataFrame({"rater": ["b", "a"], "sample_id": ["x", "y"], "score": [1.0, 2.0]})
    >>> matrix_of(rows).to_numpy().tolist()
    [[nan, 1.0], [2.0, nan]]
    """
    raw = scores.pivot(index="sample_id", columns="rater", values="score")
    return raw.sort_index(axis=0).sort_index(axis=1).astype(float)


def _mos_rows(
    dimension: str,
    samples: pd.Index[str],
    raw: Matrix,
    found: Treated,
    synthetic: npt.NDArray[np.bool_],
) -> list[Row]:
    n, mean, sd = row_statistics(found.kept)
    mos = mean if found.mos is None else found.mos
    half = found.half
    if half is None:
        half = stats.t.ppf(0.975, np.maximum(n - 1, 1)) * sd / np.sqrt(np.maximum(n, 1))
    given = np.sum(~np.isnan(raw), axis=1)
    rows: list[Row] = []
    for k, sample in enumerate(samples):
        row: Row = {"sample_id": sample, "dimension": dimension, "synthetic": bool(synthetic[k])}
        row |= {"mos": None, "n": int(n[k]), "sd": None, "ci95_low": None, "ci95_high": None}
        if n[k] == 0:
            left = "all of them were left out" if given[k] else "it has none"
            detail = f"no_ratings: of {given[k]} ratings {left}"
            rows.append({**row, "status": FAILED, "detail": detail})
            continue
        value, arm = float(mos[k]), float(half[k])
        row["mos"] = value
        if n[k] == 1:
            detail = "one_rating: one kept rating gives no standard deviation and no interval"
            rows.append({**row, "status": FLAWED, "detail": detail})
            continue
        ends = {"sd": float(sd[k]), "ci95_low": value - arm, "ci95_high": value + arm}
        rows.append({**row, **ends, "status": OK, "detail": ""})
    return rows


def _rater_rows(dimension: str, names: list[str], raw: Matrix, found: Treated) -> list[Row]:
    n, mean, sd = row_statistics(np.ascontiguousarray(raw.T))
    return [
        {
            "dimension": dimension,
            "rater": name,
            "n": int(n[k]),
            "mean": float(mean[k]) if n[k] else None,
            "sd": float(sd[k]) if n[k] > 1 else None,
            "p": int(found.p[k]),
            "q": int(found.q[k]),
            "rejected": bool(found.rejected[k]),
            "status": FLAWED if found.reasons[k] else OK,
            "detail": "; ".join(found.reasons[k]),
        }
        for k, name in enumerate(names)
    ]


def _check(scores: pd.DataFrame) -> None:
    for column in ("rater", "sample_id", "dimension"):
        if scores[column].isna().any():
            raise UserError(f"ratings: a row has no {column}; fill it or delete the row")
    twice = scores[scores.duplicated(["rater", "sample_id", "dimension"])]
    if len(twice):
        row = twice.iloc[0]
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
