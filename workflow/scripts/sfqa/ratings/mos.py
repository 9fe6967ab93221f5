"""Mean opinion scores: raw ratings to one row per sample and one row per rater."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from sfqa.errors import UserError
from sfqa.ratings import screening
from sfqa.tables import FAILED, FLAWED, OK

VERSION = 1
SCALES = ("zscore", "raw")

Row = dict[str, Any]


def mean_opinion_scores(
    scores: pd.DataFrame, scale: str = "zscore", unanimous: bool = True
) -> tuple[list[Row], list[Row]]:
    """Return rows for ``tables.MOS`` and for ``tables.RATERS`` from raw ratings.

    ``scores`` has the columns of ``tables.SCORES``; an empty score is a rating that is missing.
    Each dimension is treated alone. With ``scale="zscore"`` every rater's ratings become z-scores
    (ddof 1), BT.500 screening is made on these, and the MOS is the mean of the kept ones after
    100 (z + 3) / 6 (the order of the LGVQ and SFQA papers: a rater's own use of the scale then
    decides nothing). With ``scale="raw"`` screening and MOS use the raw ratings. The interval is
    mean -+ t(.975, n - 1) sd / sqrt(n). ``unanimous`` is handed to :func:`screening.bt500`.

    A rater without spread has no z-score and is left out of the z-score MOS, as a flawed row that
    says so. A sample with one kept rating has no sd and no interval (flawed); one with none has
    no MOS (failed). A row is synthetic where any rating behind the sample is. Raises
    :class:`UserError` for an unknown scale, repeated ratings and infinite scores.

    >>> rows = [(r, s, "quality", v, False) for r, a in {"r1": (1, 2), "r2": (2, 4)}.items()
    ...         for s, v in zip("ab", a)]
    >>> names = ["rater", "sample_id", "dimension", "score", "synthetic"]
    >>> mos, raters = mean_opinion_scores(pd.DataFrame(rows, columns=names), "raw")
    >>> [(row["sample_id"], row["mos"], row["n"]) for row in mos]
    [('a', 1.5, 2), ('b', 3.0, 2)]
    """
    if scale not in SCALES:
        raise UserError(f"ratings scale {scale!r} is none of {', '.join(SCALES)}; choose one")
    _check(scores)
    mos_rows: list[Row] = []
    rater_rows: list[Row] = []
    for dimension, part in scores.groupby("dimension", sort=True):
        raw = part.pivot(index="sample_id", columns="rater", values="score")
        raw = raw.sort_index(axis=0).sort_index(axis=1).astype(float)
        synthetic = part.groupby("sample_id")["synthetic"].any()
        mos, raters = _one_dimension(str(dimension), raw, synthetic, scale, unanimous)
        mos_rows += mos
        rater_rows += raters
    return mos_rows, rater_rows


def _one_dimension(
    dimension: str, raw: pd.DataFrame, synthetic: pd.Series[bool], scale: str, unanimous: bool
) -> tuple[list[Row], list[Row]]:
    matrix = raw.to_numpy(float)
    used = screening.zscores(matrix) if scale == "zscore" else matrix
    found = screening.bt500(used, unanimous)
    kept = np.where(found.rejected, np.nan, used)
    if scale == "zscore":
        kept = screening.rescaled(kept)
    mos = [
        {
            "sample_id": sample,
            "dimension": dimension,
            "synthetic": bool(synthetic[sample]),
            **_summary(row[~np.isnan(row)], int(np.sum(~np.isnan(given)))),
        }
        for sample, row, given in zip(raw.index, kept, matrix, strict=True)
    ]
    raters = [
        {
            "dimension": dimension,
            "rater": rater,
            "p": int(found.p[k]),
            "q": int(found.q[k]),
            **_rater(matrix[:, k], found, k, scale),
        }
        for k, rater in enumerate(raw.columns)
    ]
    return mos, raters


def _summary(values: np.ndarray[Any, np.dtype[np.float64]], given: int) -> Row:
    """Mean, spread and interval of one sample's kept ratings; ``given`` counts all it got."""
    n = len(values)
    row: Row = {"mos": None, "n": n, "sd": None, "ci95_low": None, "ci95_high": None}
    if n == 0:
        left = "all of them were left out" if given else "it has none"
        return {**row, "status": FAILED, "detail": f"no_ratings: of {given} ratings {left}"}
    mean = float(np.sort(values).mean())
    if n == 1:
        detail = "one_rating: one kept rating gives no standard deviation and no interval"
        return {**row, "mos": mean, "status": FLAWED, "detail": detail}
    sd = float(np.sort(values).std(ddof=1))
    half = float(stats.t.ppf(0.975, n - 1)) * sd / n**0.5
    spread = {"mos": mean, "sd": sd, "ci95_low": mean - half, "ci95_high": mean + half}
    return {**row, **spread, "status": OK, "detail": ""}


def _rater(
    column: np.ndarray[Any, np.dtype[np.float64]],
    found: screening.Screening,
    number: int,
    scale: str,
) -> Row:
    values = np.sort(column[~np.isnan(column)])
    n, reasons, out = len(values), [], bool(found.rejected[number])
    if out:
        p, q = int(found.p[number]), int(found.q[number])
        reasons.append(
            f"screened_out: {p + q} of {n} ratings stray, {p} up and {q} down; left out (BT.500)"
        )
    if n and values[0] == values[-1]:
        word = "constant" if n > 1 else "one_rating"
        what = f"gave {values[0]:g} to all of {n} samples" if n > 1 else "rated one sample only"
        if scale == "zscore":
            reasons.append(f"{word}: {what}, so has no z-score; left out")
            out = True
        else:
            reasons.append(f"{word}: {what}")
    if not n:
        reasons.append("no_ratings: all scores of this rater are empty")
    return {
        "n": n,
        "mean": float(values.mean()) if n else None,
        "sd": float(values.std(ddof=1)) if n > 1 else None,
        "rejected": out,
        "status": FLAWED if reasons else OK,
        "detail": "; ".join(reasons),
    }


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
