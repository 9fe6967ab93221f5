"""t-tests of the MOS between every two methods, categories, styles or languages, with Holm."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from sfqa.arrays import Floats
from sfqa.ratings.by_label import LABEL_KINDS, join_labels
from sfqa.tables import FLAWED, LABEL_DIFFERENCES, OK, flaw

VERSION = 1
COLUMNS = tuple(LABEL_DIFFERENCES.names)
#: Significance level.
ALPHA = 0.05

TableRow = dict[str, Any]


def compare_labels(
    mos: pd.DataFrame, samples: pd.DataFrame, extra: Sequence[str] = ()
) -> pd.DataFrame:
    """Compare every two labels of a kind in every dimension; columns ``COLUMNS``.

    ``mos`` and ``samples`` are those of :func:`sfqa.ratings.by_label.average_by_label`. Two methods
    are compared on the pairs that both have, by a paired t-test (unit ``pair``), which removes the
    effects of portrait and song. Labels of the pair itself (category, style, language, tags) are
    compared by Welch's t-test of the pairs' means, after subtracting the methods' means (unit
    ``pair``): videos of a pair share portrait and song and are not independent, and methods that
    failed on some pairs would bias the pairs' means. If samples have no pair, samples are the units
    (Welch).

    t-tests are used because they test the means that the bars show, agree with their intervals,
    and hold for the hundreds of units of a dataset whatever the distribution. ``p_holm`` is p after
    Holm's correction for the comparisons of one kind and dimension; ``significant`` means below
    .05. ``difference`` is a minus b. A comparison that cannot be tested (one unit, no spread) has
    no p and a reason.

    >>> mos = pd.DataFrame({"sample_id": list("abcdef"), "dimension": "q",
    ...     "mos": [10.0, 20.0, 31.0, 15.0, 26.0, 35.0]})
    >>> samples = pd.DataFrame({"sample_id": list("abcdef"), "pair_id": list("xyzxyz"),
    ...     "method": list("mmmnnn")})
    >>> row = compare_labels(mos, samples).iloc[0]
    >>> row["test"], int(row["n_a"]), round(float(row["difference"]), 6), bool(row["significant"])
    ('paired t', 3, -5.0, True)
    """
    labelled = join_labels(mos, samples)
    if "pair_id" not in labelled:
        labelled["pair_id"] = None
    rows: list[TableRow] = []
    for label_kind in (*LABEL_KINDS, *extra):
        if label_kind not in labelled:
            continue
        with_label = labelled[labelled[label_kind].notna()]
        for dimension, part in with_label.groupby("dimension", sort=True):
            rows += _adjust_p_values(_compare_labels(label_kind, str(dimension), part))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _compare_labels(label_kind: str, dimension: str, part: pd.DataFrame) -> list[TableRow]:
    paired = bool(part["pair_id"].notna().all())
    rows = []
    if label_kind == "method" and paired:
        table = part.pivot_table(index="pair_id", columns="method", values="mos")
        for a, b in combinations(sorted(table.columns), 2):
            values_ab = table[[a, b]].dropna().to_numpy(float)
            test = _test_paired(values_ab[:, 0], values_ab[:, 1])
            rows.append(_make_row(label_kind, dimension, a, b, test, "pair"))
        return rows
    unit = "sample"
    mos: pd.DataFrame = part[[label_kind, "mos"]]
    one_label = paired and bool((part.groupby("pair_id")[label_kind].nunique() == 1).all())
    if label_kind != "method" and one_label:
        level = part["mos"] - part.groupby("method")["mos"].transform("mean") + part["mos"].mean()
        pairs = part.assign(mos=level).groupby("pair_id")
        mos = pairs.agg({label_kind: "first", "mos": "mean"})
        unit = "pair"
    values = {
        str(label): rows["mos"].to_numpy(float)
        for label, rows in mos.groupby(label_kind, sort=True)
    }
    for a, b in combinations(sorted(values), 2):
        test = _test_welch(values[a], values[b])
        rows.append(_make_row(label_kind, dimension, a, b, test, unit))
    return rows


def _make_row(
    label_kind: str, dimension: str, a: Any, b: Any, test: TableRow, unit: str
) -> TableRow:
    key = {"label_kind": label_kind, "dimension": dimension, "label_a": str(a), "label_b": str(b)}
    status = {"status": FLAWED if test["detail"] else OK}
    return {**key, "unit": unit, **test, **status}


def _test_paired(a: Floats, b: Floats) -> TableRow:
    n = len(a)
    differences = a - b
    mean = float(differences.mean()) if n else np.nan
    row = {"test": "paired t", "n_a": n, "n_b": n, "difference": mean}
    sd = float(differences.std(ddof=1)) if n > 1 else 0.0
    return {**row, **_test_difference(mean, sd / n**0.5 if n else 0.0, n - 1, n)}


def _test_welch(a: Floats, b: Floats) -> TableRow:
    n, m = len(a), len(b)
    mean = float(a.mean() - b.mean())
    row = {"test": "Welch t", "n_a": n, "n_b": m, "difference": mean}
    if min(n, m) < 2:
        return {**row, **_test_difference(mean, 0.0, 0, min(n, m))}
    u, v = float(a.var(ddof=1)) / n, float(b.var(ddof=1)) / m
    freedom = (u + v) ** 2 / (u**2 / (n - 1) + v**2 / (m - 1)) if u + v > 0 else 1.0
    return {**row, **_test_difference(mean, (u + v) ** 0.5, freedom, min(n, m))}


def _test_difference(difference: float, error: float, freedom: float, n: int) -> TableRow:
    """Return interval and p of a difference with its standard error and degrees of freedom."""
    row: TableRow = {"ci95_low": np.nan, "ci95_high": np.nan, "p": np.nan, "detail": ""}
    if n < 2:
        row["detail"] = flaw("too_few", f"{n} units on one side or in common; a test needs two")
    elif error <= 1e-12 * abs(difference) or error == 0:
        row["detail"] = flaw("no_spread", "the units do not differ among themselves")
    else:
        half = float(stats.t.ppf(0.975, freedom)) * error
        row |= {"ci95_low": difference - half, "ci95_high": difference + half}
        row["p"] = float(2 * stats.t.sf(abs(difference) / error, freedom))
    return row


def _adjust_p_values(rows: list[TableRow]) -> list[TableRow]:
    """Add ``p_holm`` and ``significant`` by Holm's step-down method over the rows with a p."""
    tested = sorted(
        (k for k, row in enumerate(rows) if row["p"] == row["p"]), key=lambda k: rows[k]["p"]
    )
    highest = 0.0
    for rank, k in enumerate(tested):
        highest = max(highest, min(1.0, (len(tested) - rank) * rows[k]["p"]))
        rows[k]["p_holm"] = highest
    for row in rows:
        row.setdefault("p_holm", np.nan)
        row["significant"] = bool(row["p_holm"] < ALPHA)
    return rows
