"""The correlation table in the layout of papers, and the leakage panel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from sfqa.correlation.captions import (
    INTERVALS,
    describe_intervals,
    describe_rows,
    format_spread,
    list_warnings,
)
from sfqa.correlation.grid import (
    BEST,
    SECOND,
    UNDEFINED,
    Cell,
    ColumnHeading,
    Grid,
    to_html,
    to_latex,
    to_markdown,
)
from sfqa.correlation.marks import find_marks
from sfqa.correlation.summarise import KINDS, OVERALL, POOLED, VIDEO
from sfqa.errors import UserError
from sfqa.statistics.registry import NAMES, STATISTICS, find_statistic
from sfqa.tables import FLAWED

VERSION = 4

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
    if frame.empty:
        raise UserError("correlation: no row to lay out; check that metrics have predictions")
    for column in ("protocol", "level", "pooling"):
        if frame[column].nunique() != 1:
            raise ValueError(f"rows of one {column} are needed: {sorted(set(frame[column]))}")
    columns = _order_names(frame["dimension"], [d for d in dimensions if d != OVERALL], [OVERALL])
    records = {(r["metric"], r["dimension"]): r for r in _to_records(frame)}
    metrics = _order_metrics(frame, order)
    grid = _build_grid(
        records, metrics, columns, f"{caption} {describe_rows(frame, intervals)}", intervals
    )
    return {
        "csv": _build_csv(records, metrics, columns),
        "md": to_markdown(grid),
        "tex": to_latex(grid),
        "html": to_html(grid, "Correlation with MOS"),
    }


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
    ordered_protocols = _order_names(frame["protocol"], protocols, [])
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
        protocol = _format_title(name.removeprefix("drop_") if drop else name)
        heads.append(ColumnHeading(protocol, "Drop from random" if drop else "SRCC"))
    body, previous_labels = [], ("", "")
    for record in _to_records(panel):
        labels = (str(record["group"]), str(record["metric"]))
        badge = (
            "random weights" if record["weights"] == "random" and labels != previous_labels else ""
        )
        cells = [
            Cell(labels[0], repeats=labels[0] == previous_labels[0]),
            Cell(labels[1], repeats=labels == previous_labels, badge=badge),
            Cell(_format_title(str(record["dimension"]))),
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
    else:
        closing_sentence += describe_intervals(frame[frame["kind"] == "regressor"], intervals)
    grid = Grid(
        f"{caption} {closing_sentence}", heads, body, 3, [], list_warnings(frame, panel["weights"])
    )
    return {
        "csv": panel.to_csv(index=False, float_format="%.6f", lineterminator="\n"),
        "md": to_markdown(grid),
        "tex": to_latex(grid),
        "html": to_html(grid, "What leakage is worth"),
    }


def _to_frame(rows: Rows) -> pd.DataFrame:
    return rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))


def _to_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in r.items()} for r in frame.to_dict("records")]


def _order_names(names: Iterable[str], first: Sequence[str], last: Sequence[str]) -> list[str]:
    present = set(names)
    rest = sorted(present - set(first) - set(last))
    return [n for n in first if n in present] + rest + [n for n in last if n in present]


def _order_metrics(frame: pd.DataFrame, order: Sequence[str]) -> list[str]:
    """Return the names of the metrics, grouped: controls first, then in the given order."""
    position = {name: number for number, name in enumerate(order)}
    kind_order = {metric_kind: number for number, metric_kind in enumerate(KINDS)}
    listed = _to_records(frame.drop_duplicates("metric"))

    def get_sort_key(r: dict[str, Any]) -> tuple[Any, ...]:
        return (
            r["kind"] != KINDS[0],
            position.get(r["metric"], len(position)),
            kind_order[r["kind"]],
            r["group"],
            r["metric"],
        )

    listed.sort(key=get_sort_key)
    # A group takes the position of its first metric; the sort is stable within a group.
    groups = list(dict.fromkeys((r["kind"] != KINDS[0], r["group"]) for r in listed))
    listed.sort(key=lambda r: groups.index((r["kind"] != KINDS[0], r["group"])))
    return [str(r["metric"]) for r in listed]


def _build_grid(
    records: Mapping[tuple[str, str], Mapping[str, Any]],
    metrics: Sequence[str],
    columns: Sequence[str],
    caption: str,
    intervals: str,
) -> Grid:
    heads = [ColumnHeading("Model type"), ColumnHeading("Metric")]
    heads += [
        ColumnHeading(s.label, _format_title(dimension))
        for dimension in columns
        for s in STATISTICS
    ]
    ranks = _rank_cells(records, columns)
    notes: list[str] = []

    def get_note_number(note: str) -> int:
        if note not in notes:
            notes.append(note)
        return notes.index(note) + 1

    body, before = [], ""
    for metric in metrics:
        metric_records = {d: records.get((metric, d)) for d in columns}
        first_record = next(r for r in metric_records.values() if r is not None)
        flawed: dict[str, list[str]] = {}
        for dimension, record in metric_records.items():
            if record is not None and record["status"] == FLAWED and dimension != OVERALL:
                flawed.setdefault(record["detail"], []).append(_format_title(dimension))
        numbers_by_detail = {
            text: get_note_number(f"{', '.join(ds)}: {text}") for text, ds in flawed.items()
        }
        note_numbers = tuple(numbers_by_detail.values())
        badge = "random weights" if first_record["weights"] == "random" else ""
        cells = [
            Cell(str(first_record["group"]), repeats=first_record["group"] == before),
            Cell(metric, notes=note_numbers, badge=badge),
        ]
        for dimension, record in metric_records.items():
            for stat in NAMES:
                value = None if record is None else _to_number(record[stat])
                if value is None:
                    why = "no_row: not computed" if record is None else str(record["detail"])
                    cells.append(Cell(UNDEFINED, notes=(get_note_number(why),)))
                else:
                    rank = ranks.get((metric, dimension, stat), "")
                    spread = format_spread(record or {}, stat, intervals)
                    detail = str((record or {})["detail"])
                    marks: tuple[int, ...] = ()
                    if not _is_ranked(stat, detail):
                        marks = (numbers_by_detail.get(detail) or get_note_number(detail),)
                    cells.append(Cell(_format_value(value), value, rank, marks, spread=spread))
        body.append(cells)
        before = str(first_record["group"])
    frame = pd.DataFrame(list(records.values()))
    return Grid(caption, heads, body, 2, notes, list_warnings(frame, frame["weights"]))


def _is_ranked(statistic: str, detail: str) -> bool:
    """Return whether a statistic may be best or second: not after a curve with a mark."""
    return not (find_statistic(statistic).is_mapped and find_marks(detail))


def _rank_cells(
    records: Mapping[tuple[str, str], Mapping[str, Any]], columns: Sequence[str]
) -> dict[tuple[str, str, str], str]:
    ranks = {}
    for dimension in columns:
        for statistic in STATISTICS:
            displayed_values = {
                metric: float(_format_value(value))
                for (metric, d), record in records.items()
                if d == dimension and record["kind"] != KINDS[0]
                if _is_ranked(statistic.name, str(record["detail"]))
                if (value := _to_number(record[statistic.name])) is not None
            }
            top = sorted(set(displayed_values.values()), reverse=statistic.higher_is_better)[:2]
            for metric, value in displayed_values.items():
                if value in top:
                    ranks[metric, dimension, statistic.name] = (BEST, SECOND)[top.index(value)]
    return ranks


def _build_csv(
    records: Mapping[tuple[str, str], Mapping[str, Any]],
    metrics: Sequence[str],
    columns: Sequence[str],
) -> str:
    lines = []
    for metric in metrics:
        metric_records = [(d, records[metric, d]) for d in columns if (metric, d) in records]
        first_record = metric_records[0][1]
        line = {
            "model_type": first_record["group"],
            "metric": metric,
            "kind": first_record["kind"],
            "weights": first_record["weights"],
            "synthetic_mos": str(any(bool(r["synthetic_mos"]) for _, r in metric_records)).lower(),
        }
        for dimension in columns:
            record: Mapping[str, Any] = dict(metric_records).get(dimension, {})
            for name in (n for stat in (*NAMES, "main_score") for n in _with_ends(stat)):
                if name in NAMES or any(name in r for r in records.values()):
                    line[f"{dimension}_{name}"] = _to_number(record.get(name))
        line["notes"] = " | ".join(f"{d}: {r['detail']}" for d, r in metric_records if r["detail"])
        lines.append(line)
    return pd.DataFrame(lines).to_csv(index=False, float_format="%.6f", lineterminator="\n")


def _with_ends(stat: str) -> list[str]:
    return [stat, *(f"{stat}_{end}" for end in _ENDS)]


def _build_cell(value: Any, spread: str = "") -> Cell:
    number = _to_number(value)
    return Cell(UNDEFINED) if number is None else Cell(_format_value(number), number, spread=spread)


def _to_number(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)


def _format_value(value: float) -> str:
    text = f"{value:.4f}"
    return text.lstrip("-") if float(text) == 0 else text


def _format_title(name: str) -> str:
    if name == OVERALL:
        return "Overall Average"
    return name.replace("_", " ")[:1].upper() + name.replace("_", " ")[1:]
