"""The correlations of two runs side by side, for the site."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from sfqa import store, tables
from sfqa.errors import UserError
from sfqa.report import provenance
from sfqa.report.site_columns import Parts, encode_columns
from sfqa.statistics.registry import STATISTICS

_KEY = ["metric", "dimension", "protocol", "level", "pooling"]


def compare_runs(correlation: pd.DataFrame, other: Path) -> Parts:
    """Return the rows of two correlation tables, matched by metric, dimension, protocol and level.

    ``other`` is the results folder of the second run. A column of the first run has its name, that
    of the second run ends with ``_other``; a row that only one run has is empty on the other side.
    Raises :class:`UserError` if the second run has no correlation table or no row in common.
    """
    path = other / tables.CORRELATION.path
    if not path.is_file():
        raise UserError(
            f"--against {other}: no {tables.CORRELATION.path} there; name the results folder of a "
            "run with ratings, such as results/demo"
        )
    columns = [*_KEY, "weights", "synthetic_mos", "n", *(s.name for s in STATISTICS)]
    second = store.load(path).to_pandas().reindex(columns=columns)
    rows = correlation[columns].merge(second, "outer", on=_KEY, suffixes=("", "_other"))
    if not (rows["n"].notna() & rows["n_other"].notna()).any():
        raise UserError(
            f"--against {other}: the two runs have no metric, dimension and protocol in common; "
            "compare runs of the same metrics"
        )
    records = provenance.describe_tables(other, provenance.list_report_tables(other))
    return {
        "dataset": other.resolve().name,
        "identity": provenance.compute_identity(records),
        "rows": encode_columns(rows, list(rows.columns)),
    }
