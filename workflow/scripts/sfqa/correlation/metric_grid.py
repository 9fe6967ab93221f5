"""A grid of metrics against MOS: the rows of the correlation table as lines and cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from sfqa.correlation.captions import is_negative, list_warnings
from sfqa.correlation.grid import BEST, SECOND, UNDEFINED, Cell, ColumnHeading, Grid
from sfqa.correlation.marks import find_marks
from sfqa.correlation.summarise import KINDS, OVERALL
from sfqa.statistics.registry import NAMES, STATISTICS, find_statistic
from sfqa.tables import FLAWED

#: Rows of the correlation table by metric and dimension.
Records = Mapping[tuple[str, str], Mapping[str, Any]]


def build_metric_grid(
    records: Records,
    metrics: Sequence[str],
    columns: Sequence[str],
    caption: str,
    format_spread: Callable[[str, str, str], str],
    statistics: Sequence[str] = NAMES,
    metric_notes: Mapping[str, Sequence[str]] | None = None,
) -> Grid:
    """Return a line for each of ``metrics``, with every statistic of every dimension.

    ``columns`` are the dimensions. ``format_spread`` returns the small print behind a value, by
    metric, dimension and statistic. ``metric_notes`` are footnotes of metrics. An undefined value
    is an en dash with the reason as its footnote.
    """
    heads = [ColumnHeading("Model type"), ColumnHeading("Metric")]
    heads += [
        ColumnHeading(find_statistic(name).label, format_title(dimension))
        for dimension in columns
        for name in statistics
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
                flawed.setdefault(record["detail"], []).append(format_title(dimension))
        numbers_by_detail = {
            text: get_note_number(f"{', '.join(ds)}: {text}") for text, ds in flawed.items()
        }
        own_numbers = [get_note_number(note) for note in (metric_notes or {}).get(metric, ())]
        note_numbers = tuple(sorted({*own_numbers, *numbers_by_detail.values()}))
        badge = "random weights" if first_record["weights"] == "random" else ""
        cells = [
            Cell(str(first_record["group"]), repeats=first_record["group"] == before),
            Cell(metric, notes=note_numbers, badge=badge),
        ]
        for dimension, record in metric_records.items():
            for stat in statistics:
                value = None if record is None else to_number(record[stat])
                spread = format_spread(metric, dimension, stat)
                if value is None:
                    why = "no_row: not computed" if record is None else str(record["detail"])
                    cells.append(Cell(UNDEFINED, notes=(get_note_number(why),), spread=spread))
                else:
                    rank = ranks.get((metric, dimension, stat), "")
                    detail = str((record or {})["detail"])
                    marks: tuple[int, ...] = ()
                    if find_statistic(stat).is_mapped and find_marks(detail):
                        marks = (numbers_by_detail.get(detail) or get_note_number(detail),)
                    cells.append(Cell(format_value(value), value, rank, marks, spread=spread))
        body.append(cells)
        before = str(first_record["group"])
    frame = pd.DataFrame(list(records.values()))
    return Grid(caption, heads, body, 2, notes, list_warnings(frame, frame["weights"]))


def order_metrics(frame: pd.DataFrame, order: Sequence[str]) -> list[str]:
    """Return the names of the metrics, grouped: controls first, then in the given order."""
    position = {name: number for number, name in enumerate(order)}
    kind_order = {metric_kind: number for number, metric_kind in enumerate(KINDS)}
    listed = to_records(frame.drop_duplicates("metric"))

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


def order_names(names: Iterable[str], first: Sequence[str], last: Sequence[str]) -> list[str]:
    """Return distinct names: those of ``first`` in its order, others sorted, then ``last``."""
    present = set(names)
    rest = sorted(present - set(first) - set(last))
    return [n for n in first if n in present] + rest + [n for n in last if n in present]


def to_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame as dictionaries."""
    return [{str(key): value for key, value in r.items()} for r in frame.to_dict("records")]


def to_number(value: Any) -> float | None:
    """Return a value as a number, None if it is missing."""
    return None if value is None or pd.isna(value) else float(value)


def format_value(value: float) -> str:
    """Return a number with four decimals, and 0 without a sign."""
    text = f"{value:.4f}"
    return text.lstrip("-") if float(text) == 0 else text


def format_title(name: str) -> str:
    """Return the name of a dimension as a heading.

    >>> format_title("visual_quality"), format_title("overall")
    ('Visual quality', 'Overall Average')
    """
    if name == OVERALL:
        return "Overall Average"
    return name.replace("_", " ")[:1].upper() + name.replace("_", " ")[1:]


def _is_ranked(statistic: str, record: Mapping[str, Any]) -> bool:
    """Return whether a statistic of a row may be best or second.

    Not if the SRCC is negative, and not after a curve with a mark.
    """
    if is_negative(record["srcc"]):
        return False
    return not (find_statistic(statistic).is_mapped and find_marks(str(record["detail"])))


def _rank_cells(
    records: Mapping[tuple[str, str], Mapping[str, Any]], columns: Sequence[str]
) -> dict[tuple[str, str, str], str]:
    ranks = {}
    for dimension in columns:
        for statistic in STATISTICS:
            displayed_values = {
                metric: float(format_value(value))
                for (metric, d), record in records.items()
                if d == dimension and record["kind"] != KINDS[0]
                if _is_ranked(statistic.name, record)
                if (value := to_number(record[statistic.name])) is not None
            }
            top = sorted(set(displayed_values.values()), reverse=statistic.higher_is_better)[:2]
            for metric, value in displayed_values.items():
                if value in top:
                    ranks[metric, dimension, statistic.name] = (BEST, SECOND)[top.index(value)]
    return ranks
