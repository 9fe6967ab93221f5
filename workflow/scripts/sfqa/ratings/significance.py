"""Which labels differ: every two methods, categories, styles or languages, by t-tests with Holm."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from sfqa.ratings.by_label import LABEL_KINDS, labelled
from sfqa.tables import FLAWED, LABEL_DIFFERENCES, OK, flaw

VERSION = 1
COLUMNS = tuple(LABEL_DIFFERENCES.names)
LEVEL = 0.05

Values = npt.NDArray[np.float64]
Row = dict[str, Any]


def label_differences(
    mos: pd.DataFrame, samples: pd.DataFrame, extra: Sequence[str] = ()
) -> pd.DataFrame:
    """Compare every two labels of a kind in every dimension; columns ``COLUMNS``.

    ``mos`` and ``samples`` as in :func:`sfqa.ratings.by_label.mos_by_label`. Two methods are
    compared on the pairs that both animated: a paired t-test of the differences (unit ``pair``),
    which leaves out what the portrait and the song do to both. Labels of the pair itself
    (category, style, language, tags) are compared by Welch's t-test of the means of each pair's
    videos, after the means of their methods were taken off (unit ``pair``): the videos of one pair
    share portrait and song, and would count as independent otherwise, while methods that failed on
    some pairs would pull their means. Where samples have no pair, samples are the units (Welch).

    t-tests, because they are about the means that the bars show, agree with their intervals, and
    hold for the hundreds of units of a dataset whatever the distribution. ``p_holm`` is p after
    Holm, over the comparisons of one kind and dimension; ``significant``: below .05. ``difference``
    is a minus b. What cannot be tested (one unit, no spread) has no p and says why.

    >>> mos = pd.DataFrame({"sample_id": list("abcdef"), "dimension": "q",
    ...     "mos": [10.0, 20.0, 31.0, 15.0, 26.0, 35.0]})
    >>> samples = pd.DataFrame({"sample_id": list("abcdef"), "pair_id": list("xyzxyz"),
    ...     "method": list("mmmnnn")})
    >>> row = label_differences(mos, samples).iloc[0]
    >>> row["test"], int(row["n_a"]), round(float(row["difference"]), 6), bool(row["significant"])
    ('paired t', 3, -5.0, True)
    """
    known = labelled(mos, samples)
    if "pair_id" not in known:
        known["pair_id"] = None
    rows: list[Row] = []
    for kind in (*LABEL_KINDS, *extra):
        if kind not in known:
            continue
        for dimension, part in known[known[kind].notna()].groupby("dimension", sort=True):
            rows += _holm(_compare(kind, str(dimension), part))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _compare(kind: str, dimension: str, part: pd.DataFrame) -> list[Row]:
    paired = bool(part["pair_id"].notna().all())
    rows = []
    if kind == "method" and paired:
        table = part.pivot_table(index="pair_id", columns="method", values="mos")
        for a, b in combinations(sorted(table.columns), 2):
            both = table[[a, b]].dropna().to_numpy(float)
            rows.append(_row(kind, dimension, a, b, _paired(both[:, 0], both[:, 1]), "pair"))
        return rows
    unit = "sample"
    values: pd.DataFrame = part[[kind, "mos"]]
    one_label = paired and bool((part.groupby("pair_id")[kind].nunique() == 1).all())
    if kind != "method" and one_label:
        level = part["mos"] - part.groupby("method")["mos"].transform("mean") + part["mos"].mean()
        values = part.assign(mos=level).groupby("pair_id").agg({kind: "first", "mos": "mean"})
        unit = "pair"
    own = {str(label): v["mos"].to_numpy(float) for label, v in values.groupby(kind, sort=True)}
    for a, b in combinations(sorted(own), 2):
        rows.append(_row(kind, dimension, a, b, _welch(own[a], own[b]), unit))
    return rows


def _row(kind: str, dimension: str, a: Any, b: Any, found: Row, unit: str) -> Row:
    head = {"label_kind": kind, "dimension": dimension, "label_a": str(a), "label_b": str(b)}
    status = {"status": FLAWED if found["detail"] else OK}
    return {**head, "unit": unit, **found, **status}


def _paired(a: Values, b: Values) -> Row:
    n = len(a)
    step = a - b
    mean = float(step.mean()) if n else np.nan
    row = {"test": "paired t", "n_a": n, "n_b": n, "difference": mean}
    sd = float(step.std(ddof=1)) if n > 1 else 0.0
    return {**row, **_student(mean, sd / n**0.5 if n else 0.0, n - 1, n)}


def _welch(a: Values, b: Values) -> Row:
    n, m = len(a), len(b)
    mean = float(a.mean() - b.mean())
    row = {"test": "Welch t", "n_a": n, "n_b": m, "difference": mean}
    if min(n, m) < 2:
        return {**row, **_student(mean, 0.0, 0, min(n, m))}
    u, v = float(a.var(ddof=1)) / n, float(b.var(ddof=1)) / m
    freedom = (u + v) ** 2 / (u**2 / (n - 1) + v**2 / (m - 1)) if u + v > 0 else 1.0
    return {**row, **_student(mean, (u + v) ** 0.5, freedom, min(n, m))}


def _student(difference: float, error: float, freedom: float, n: int) -> Row:
    row: Row = {"ci95_low": np.nan, "ci95_high": np.nan, "p": np.nan, "detail": ""}
    if n < 2:
        row["detail"] = flaw("too_few", f"{n} units on one side or in common; a test needs two")
    elif error <= 1e-12 * abs(difference) or error == 0:
        row["detail"] = flaw("no_spread", "the units do not differ among themselves")
    else:
        half = float(stats.t.ppf(0.975, freedom)) * error
        row |= {"ci95_low": difference - half, "ci95_high": difference + half}
        row["p"] = float(2 * stats.t.sf(abs(difference) / error, freedom))
    return row


def _holm(rows: list[Row]) -> list[Row]:
    """Holm's step-down over the rows that have a p."""
    tested = sorted(
        (k for k, row in enumerate(rows) if row["p"] == row["p"]), key=lambda k: rows[k]["p"]
    )
    highest = 0.0
    for place, k in enumerate(tested):
        highest = max(highest, min(1.0, (len(tested) - place) * rows[k]["p"]))
        rows[k]["p_holm"] = highest
    for row in rows:
        row.setdefault("p_holm", np.nan)
        row["significant"] = bool(row["p_holm"] < LEVEL)
    return rows
