"""The correlation table as SFQA prints its Table 2, with the published figures beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from sfqa.correlation.captions import describe_rows
from sfqa.correlation.grid import ColumnHeading, Grid, to_html, to_latex, to_markdown
from sfqa.correlation.metric_grid import (
    Records,
    build_metric_grid,
    format_value,
    order_metrics,
    order_names,
    to_number,
    to_records,
)
from sfqa.correlation.summarise import KINDS, OVERALL
from sfqa.csv_text import format_frame
from sfqa.statistics.registry import join_words

#: Raised whenever the pages change.
VERSION = 3

#: The statistics of the papers' tables, in their order.
STATISTICS = ("srcc", "plcc", "krcc")


def render_paper_table(
    rows: pd.DataFrame,
    caption: str,
    paper_rows: Sequence[Mapping[str, Any]],
    dimensions: Sequence[str] = (),
) -> dict[str, str]:
    """Return the table of one protocol, level and pooling as ``csv``, ``md``, ``tex``, ``html``.

    Lines are ``paper_rows`` (:func:`sfqa.regression.paper_rows.describe_paper_rows`) in order. The
    lines of a group are together, and its name is beside all of them. Columns are SRCC, PLCC and
    KRCC of ``dimensions`` and of their mean. Best is bold, second underlined. The published figure
    is in parentheses behind ours. Footnotes say what the licences forbid. Without a metric the
    table has no lines and the caption says so.
    """
    names = [str(row["name"]) for row in paper_rows]
    shown_rows = rows[(rows["kind"] != KINDS[0]) & rows["metric"].isin(names)]
    if shown_rows.empty:
        heads = [ColumnHeading("Model type"), ColumnHeading("Metric")]
        return _render(Grid(f"{caption} There is no metric but the controls.", heads, [], 2), "")
    columns = order_names(
        shown_rows["dimension"], [d for d in dimensions if d != OVERALL], [OVERALL]
    )
    records = {(r["metric"], r["dimension"]): r for r in to_records(shown_rows)}
    metrics = order_metrics(shown_rows, names)
    published = _index_published(paper_rows)
    notes = {str(row["name"]): list(row["notes"]) for row in paper_rows}

    def format_published(metric: str, dimension: str, stat: str) -> str:
        value = published.get((metric, dimension), {}).get(stat)
        return "" if value is None else f"({format_value(value)})"

    sources = sorted({str(r["source"]) for r in published.values()})
    sentence = f" In parentheses: published, {join_words(sources)}." if sources else ""
    grid = build_metric_grid(
        records, metrics, columns,
        f"{caption} {describe_rows(shown_rows, 'none', has_controls=False)}{sentence}",
        format_published, STATISTICS, notes,
    )  # fmt: skip
    return _render(grid, _build_csv(records, metrics, columns, published, notes))


def _render(grid: Grid, csv: str) -> dict[str, str]:
    return {
        "csv": csv,
        "md": to_markdown(grid),
        "tex": to_latex(grid, has_multirow=True),
        "html": to_html(grid, "Metrics against MOS, as papers print them"),
    }


def _index_published(paper_rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], Any]:
    """Return the first record of figures of every metric and dimension."""
    published: dict[tuple[str, str], Any] = {}
    for row in paper_rows:
        for record in row["published"]:
            published.setdefault((str(row["name"]), str(record.get("dimension", ""))), record)
    return published


def _build_csv(
    records: Records,
    metrics: Sequence[str],
    columns: Sequence[str],
    published: Mapping[tuple[str, str], Any],
    notes: Mapping[str, Sequence[str]],
) -> str:
    lines = []
    for metric in metrics:
        metric_records = {d: records.get((metric, d), {}) for d in columns}
        first_record = next(r for r in metric_records.values() if r)
        line = {
            "model_type": first_record["group"],
            "metric": metric,
            "weights": first_record["weights"],
            "synthetic_mos": str(bool(first_record["synthetic_mos"])).lower(),
        }
        for dimension, record in metric_records.items():
            for stat in STATISTICS:
                line[f"{dimension}_{stat}"] = to_number(record.get(stat))
                figures = published.get((metric, dimension), {})
                line[f"{dimension}_{stat}_published"] = to_number(figures.get(stat))
        line["licence_notes"] = " ".join(notes.get(metric, ()))
        line["notes"] = " | ".join(
            f"{d}: {r['detail']}" for d, r in metric_records.items() if r.get("detail")
        )
        lines.append(line)
    return format_frame(pd.DataFrame(lines), float_format="%.6f")
