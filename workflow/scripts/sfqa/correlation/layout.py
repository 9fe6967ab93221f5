"""The correlation table in the layout of papers, and the leakage panel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sfqa.correlation.captions import (
    INTERVALS,
    describe_drops,
    describe_intervals,
    describe_rows,
    format_spread,
    list_warnings,
)
from sfqa.correlation.grid import (
    UNDEFINED,
    Cell,
    ColumnHeading,
    Grid,
    to_html,
    to_latex,
    to_markdown,
)
from sfqa.correlation.metric_grid import (
    build_metric_grid,
    format_title,
    format_value,
    order_metrics,
    order_names,
    to_number,
    to_records,
)
from sfqa.correlation.summarise import OVERALL, POOLED, VIDEO
from sfqa.csv_text import format_frame
from sfqa.errors import UserError
from sfqa.statistics.registry import NAMES

VERSION = 6

Rows = pd.DataFrame | Iterable[Mapping[str, Any]]

#: The default order of the protocols in the leakage panel; others follow by name.
PROTOCOLS = ("random", "disjoint", "grouped", "leave_one_method_out")

#: What else is known of a statistic: the ends of its interval, its SD over the trials.
_ENDS = ("low", "high", "sd")

#: The reference protocol of the leakage panel: its splits ignore what samples share.
RANDOM = "random"


def select_rows(
    rows: Rows, protocol: str, level: str = VIDEO, pooling: str = POOLED
) -> pd.DataFrame:
    """Return the rows of one protocol, level and pooling; :class:`UserError` if there are none.

    >>> select_rows([{"protocol": "random", "level": "video", "pooling": "pooled"}], "random").shape
    (1, 3)
    """
    frame = _to_frame(rows)
    selected_rows = frame[
        (frame["protocol"] == protocol) & (frame["level"] == level) & (frame["pooling"] == pooling)
    ]
    if selected_rows.empty:
        available = sorted({tuple(r) for r in frame[["protocol", "level", "pooling"]].to_numpy()})
        raise UserError(
            f"correlation: no row of protocol {protocol!r}, level {level!r}, pooling {pooling!r}; "
            f"there are {', '.join('/'.join(t) for t in available)}"
        )
    return selected_rows


def render(
    rows: Rows,
    caption: str,
    order: Sequence[str] = (),
    dimensions: Sequence[str] = (),
    intervals: str = "brackets",
) -> dict[str, str]:
    """Return the table of one protocol, level and pooling as ``csv``, ``md``, ``tex``, ``html``.

    Metrics are grouped: controls first, then in ``order`` (names), the rest by kind, group and
    name. Columns are ``dimensions`` in order, the rest by name, overall last. Best is bold, second
    underlined; controls are not ranked, and displayed ties share the mark. Statistics after a
    mapping with a mark of :data:`sfqa.correlation.marks.UNRANKED` are not ranked either, and have
    the mark's footnote. An undefined value is an en dash with a footnote. If the rows have
    ``<statistic>_low`` and ``_high``, ``intervals`` is their format (:data:`INTERVALS`; the CSV
    always has both ends). Raises ``ValueError`` if the rows mix protocols, levels or poolings, and
    for an unknown word in ``intervals``.
    """
    if intervals not in INTERVALS:
        raise ValueError(f"intervals {intervals!r} is none of {list(INTERVALS)}")
    frame = _to_frame(rows)
    lines = arrange_rows(frame, order, dimensions)
    grid = build_grid(lines, f"{caption} {describe_rows(frame, intervals)}", NAMES, intervals)
    return {
        "csv": build_csv(lines),
        "md": to_markdown(grid),
        "tex": to_latex(grid),
        "html": to_html(grid, "Correlation with MOS"),
    }


@dataclass(frozen=True)
class TableLines:
    """The rows of a table by metric and dimension, and the order of both."""

    records: Mapping[tuple[str, str], Mapping[str, Any]]
    metrics: list[str]
    dimensions: list[str]


def arrange_rows(
    frame: pd.DataFrame, order: Sequence[str] = (), dimensions: Sequence[str] = ()
) -> TableLines:
    """Return the lines of a table of rows of one protocol, level and pooling.

    Orders and errors as of :func:`render`.
    """
    if frame.empty:
        raise UserError("correlation: no row to lay out; check that metrics have predictions")
    for column in ("protocol", "level", "pooling"):
        if frame[column].nunique() != 1:
            raise ValueError(f"rows of one {column} are needed: {sorted(set(frame[column]))}")
    columns = order_names(frame["dimension"], [d for d in dimensions if d != OVERALL], [OVERALL])
    records = {(r["metric"], r["dimension"]): r for r in to_records(frame)}
    return TableLines(records, order_metrics(frame, order), columns)


def build_grid(lines: TableLines, caption: str, statistics: Sequence[str], intervals: str) -> Grid:
    """Return the table with some statistics of every dimension and the text behind each number."""

    def format_record(metric: str, dimension: str, stat: str) -> str:
        return format_spread(lines.records.get((metric, dimension), {}), stat, intervals)

    return build_metric_grid(
        lines.records, lines.metrics, lines.dimensions, caption, format_record, statistics
    )


def build_leakage_panel(
    rows: Rows, level: str = VIDEO, pooling: str = POOLED, protocols: Sequence[str] = PROTOCOLS
) -> pd.DataFrame:
    """Return SRCC of every regressor under every protocol side by side.

    Columns: group, metric, dimension, weights, one per protocol (those of ``protocols`` first, the
    rest by name), and ``drop_<protocol>``: SRCC under ``random`` minus SRCC under that protocol,
    if there is a protocol ``random``; then ``low_<protocol>``, ``high_<protocol>`` and
    ``sd_<protocol>`` if the rows have intervals and SD. A cell is empty if SRCC is undefined.
    """
    frame = _to_frame(rows)
    frame = frame[
        (frame["kind"] == "regressor") & (frame["level"] == level) & (frame["pooling"] == pooling)
    ]
    key_columns = ["group", "metric", "dimension", "weights"]
    if frame.empty:
        return pd.DataFrame(columns=key_columns)
    ordered_protocols = order_names(frame["protocol"], protocols, [])
    panel = frame.pivot(index=key_columns, columns="protocol", values="srcc")[ordered_protocols]
    panel = panel.astype(float).reset_index()
    panel.columns.name = None
    panel["last"] = panel["dimension"] == OVERALL
    panel = panel.sort_values(["group", "metric", "last", "dimension"]).drop(columns="last")
    for protocol in ordered_protocols:
        if protocol != RANDOM and RANDOM in ordered_protocols:
            panel[f"drop_{protocol}"] = panel[RANDOM] - panel[protocol]
    panel = panel.reset_index(drop=True)
    keys = list(panel[key_columns].itertuples(index=False, name=None))
    for end in _ENDS:
        if f"srcc_{end}" not in frame or not frame[f"srcc_{end}"].notna().any():
            continue
        ends = frame.set_index([*key_columns, "protocol"])[f"srcc_{end}"].astype(float)
        for protocol in ordered_protocols:
            panel[f"{end}_{protocol}"] = [ends.get((*key, protocol)) for key in keys]
    return panel


def render_leakage(
    rows: Rows,
    caption: str,
    level: str = VIDEO,
    pooling: str = POOLED,
    protocols: Sequence[str] = PROTOCOLS,
    intervals: str = "brackets",
) -> dict[str, str]:
    """Return :func:`build_leakage_panel` as ``csv``, ``md``, ``tex``, ``html``.

    Without a regressor the table has no rows and the caption says so. ``intervals``: as in
    :func:`render`; drops have none, because the two values come from different test samples.
    """
    frame = _to_frame(rows)
    panel = build_leakage_panel(frame, level, pooling, protocols)
    protocol_names = set(frame["protocol"])
    numbers = [
        name for name in panel.columns[4:] if name in protocol_names or name.startswith("drop_")
    ]
    heads = [ColumnHeading("Model type"), ColumnHeading("Metric"), ColumnHeading("Dimension")]
    for name in numbers:
        drop = name.startswith("drop_")
        protocol = format_title(name.removeprefix("drop_") if drop else name)
        heads.append(ColumnHeading(protocol, "Drop from random" if drop else "SRCC"))
    body, previous_labels = [], ("", "")
    is_folded = not panel.empty and not panel[numbers].notna().any(axis=None)
    for record in [] if is_folded else to_records(panel):
        labels = (str(record["group"]), str(record["metric"]))
        badge = (
            "random weights" if record["weights"] == "random" and labels != previous_labels else ""
        )
        cells = [
            Cell(labels[0], repeats=labels[0] == previous_labels[0]),
            Cell(labels[1], repeats=labels == previous_labels, badge=badge),
            Cell(format_title(str(record["dimension"]))),
        ]
        for name in numbers:
            ends = {f"srcc_{end}": record.get(f"{end}_{name}") for end in _ENDS}
            spread = format_spread(ends, "srcc", intervals)
            cells.append(_build_cell(record[name], spread))
        body.append(cells)
        previous_labels = labels
    closing_sentence = "A drop is SRCC under random splits minus SRCC under the protocol named."
    if panel.empty:
        closing_sentence = "There is no regressor."
    elif is_folded:
        closing_sentence = "No regressor has an SRCC under any protocol: see metrics.csv for why."
    else:
        closing_sentence = " ".join(filter(None, [closing_sentence, describe_drops(panel, RANDOM)]))
        closing_sentence += describe_intervals(frame[frame["kind"] == "regressor"], intervals)
    grid = Grid(
        f"{caption} {closing_sentence}", heads, body, 3, [], list_warnings(frame, panel["weights"])
    )
    return {
        "csv": format_frame(panel, float_format="%.6f"),
        "md": to_markdown(grid),
        "tex": to_latex(grid),
        "html": to_html(grid, "Regressors under every protocol"),
    }


def _to_frame(rows: Rows) -> pd.DataFrame:
    return rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))


def build_csv(*blocks: TableLines) -> str:
    """Return the lines of one table or of several below each other, with everything known of them.

    The columns ``protocol``, ``level`` and ``pooling`` say which rows belong together.
    """
    lines = [line for block in blocks for line in _list_csv_lines(block)]
    return format_frame(pd.DataFrame(lines), float_format="%.6f")


def _list_csv_lines(block: TableLines) -> Iterator[dict[str, Any]]:
    records, columns = block.records, block.dimensions
    for metric in block.metrics:
        metric_records = [(d, records[metric, d]) for d in columns if (metric, d) in records]
        first_record = metric_records[0][1]
        line = {
            "model_type": first_record["group"],
            "metric": metric,
            "protocol": first_record["protocol"],
            "level": first_record["level"],
            "pooling": first_record["pooling"],
            "samples": max(int(r["n"]) for _, r in metric_records),
            "kind": first_record["kind"],
            "weights": first_record["weights"],
            "synthetic_mos": str(any(bool(r["synthetic_mos"]) for _, r in metric_records)).lower(),
        }
        for dimension in columns:
            record: Mapping[str, Any] = dict(metric_records).get(dimension, {})
            for name in (n for stat in (*NAMES, "main_score") for n in _with_ends(stat)):
                if name in NAMES or any(name in r for r in records.values()):
                    line[f"{dimension}_{name}"] = to_number(record.get(name))
        line["notes"] = " | ".join(f"{d}: {r['detail']}" for d, r in metric_records if r["detail"])
        yield line


def _with_ends(stat: str) -> list[str]:
    return [stat, *(f"{stat}_{end}" for end in _ENDS)]


def _build_cell(value: Any, spread: str = "") -> Cell:
    number = to_number(value)
    return Cell(UNDEFINED) if number is None else Cell(format_value(number), number, spread=spread)
