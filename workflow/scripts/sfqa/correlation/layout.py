"""The correlation table as papers print it, and the leakage panel beside it."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
from pyarrow import csv

from sfqa.correlation.captions import (
    INTERVALS,
    how,
    legend,
    spread_of,
    warnings,
)
from sfqa.correlation.grid import (
    BEST,
    SECOND,
    UNDEFINED,
    Cell,
    Grid,
    Head,
    to_html,
    to_latex,
    to_markdown,
)
from sfqa.correlation.summarise import KINDS, OVERALL, POOLED, VIDEO
from sfqa.errors import UserError
from sfqa.statistics.registry import NAMES, STATISTICS
from sfqa.tables import FLAWED

VERSION = 3

Rows = pd.DataFrame | Iterable[Mapping[str, Any]]

#: Of the CSV: a metric may be called "007" or "NA".
_WORDS = ("model_type", "metric", "kind", "weights", "notes", "group", "dimension")

#: The order in which protocols stand side by side, unless told; others follow by name.
PROTOCOLS = ("random", "disjoint", "grouped", "leave_one_method_out")

#: What else is known of a statistic: the ends of its interval, its SD over the trials.
_ENDS = ("low", "high", "sd")

#: The protocol that others are held against: rows are split without regard to what they share.
RANDOM = "random"


def select(rows: Rows, protocol: str, level: str = VIDEO, pooling: str = POOLED) -> pd.DataFrame:
    """Return the rows of one protocol, level and pooling; :class:`UserError` where there is none.

    >>> select([{"protocol": "random", "level": "video", "pooling": "pooled"}], "random").shape
    (1, 3)
    """
    frame = _frame(rows)
    kept = frame[
        (frame["protocol"] == protocol) & (frame["level"] == level) & (frame["pooling"] == pooling)
    ]
    if kept.empty:
        there = sorted({tuple(r) for r in frame[["protocol", "level", "pooling"]].to_numpy()})
        raise UserError(
            f"correlation: no row of protocol {protocol!r}, level {level!r}, pooling {pooling!r}; "
            f"there are {', '.join('/'.join(t) for t in there)}"
        )
    return kept


def render(
    rows: Rows,
    caption: str,
    order: Sequence[str] = (),
    dimensions: Sequence[str] = (),
    intervals: str = "brackets",
) -> dict[str, str]:
    """Return the table of one protocol, level and pooling as ``csv``, ``md``, ``tex``, ``html``.

    Metrics stand in groups, controls first, then in ``order`` (names), the rest by kind, group and
    name; columns are ``dimensions`` in order, the rest by name, overall last. Best is bold, second
    underlined, controls aside, ties as shown sharing the mark. Undefined is an en dash with its
    reason below. Where the rows have ``<statistic>_low`` and ``_high``, ``intervals`` says how they
    stand behind the figure (:data:`INTERVALS`; the CSV always has both ends). Raises ``ValueError``
    where the rows mix protocols, levels or poolings, and for an unknown word in ``intervals``.
    """
    if intervals not in INTERVALS:
        raise ValueError(f"intervals {intervals!r} is none of {list(INTERVALS)}")
    frame = _frame(rows)
    if frame.empty:
        raise UserError("correlation: no row to lay out; check that metrics have predictions")
    for column in ("protocol", "level", "pooling"):
        if frame[column].nunique() != 1:
            raise ValueError(f"rows of one {column} are needed: {sorted(set(frame[column]))}")
    columns = _ordered(frame["dimension"], [d for d in dimensions if d != OVERALL], [OVERALL])
    records = {(r["metric"], r["dimension"]): r for r in _records(frame)}
    metrics = _metrics(frame, order)
    grid = _grid(records, metrics, columns, f"{caption} {legend(frame, intervals)}", intervals)
    return {
        "csv": _csv(records, metrics, columns),
        "md": to_markdown(grid),
        "tex": to_latex(grid),
        "html": to_html(grid, "Correlation with MOS"),
    }


def leakage_panel(
    rows: Rows, level: str = VIDEO, pooling: str = POOLED, protocols: Sequence[str] = PROTOCOLS
) -> pd.DataFrame:
    """Return SRCC of every regressor under every protocol side by side.

    Columns: group, metric, dimension, weights, one per protocol (those of ``protocols`` first, the
    rest by name), and ``drop_<protocol>``: SRCC under ``random`` minus SRCC under that protocol,
    where random is there; then ``low_<protocol>``, ``high_<protocol>`` and ``sd_<protocol>`` where
    the rows have intervals and SD. Empty where SRCC is undefined (the correlation table says why).
    """
    frame = _frame(rows)
    frame = frame[
        (frame["kind"] == "regressor") & (frame["level"] == level) & (frame["pooling"] == pooling)
    ]
    head = ["group", "metric", "dimension", "weights"]
    if frame.empty:
        return pd.DataFrame(columns=head)
    there = _ordered(frame["protocol"], protocols, [])
    panel = frame.pivot(index=head, columns="protocol", values="srcc")[there]
    panel = panel.astype(float).reset_index()
    panel.columns.name = None
    panel["last"] = panel["dimension"] == OVERALL
    panel = panel.sort_values(["group", "metric", "last", "dimension"]).drop(columns="last")
    for protocol in there:
        if protocol != RANDOM and RANDOM in there:
            panel[f"drop_{protocol}"] = panel[RANDOM] - panel[protocol]
    panel = panel.reset_index(drop=True)
    keys = list(panel[head].itertuples(index=False, name=None))
    for end in _ENDS:
        if f"srcc_{end}" not in frame or not frame[f"srcc_{end}"].notna().any():
            continue
        ends = frame.set_index([*head, "protocol"])[f"srcc_{end}"].astype(float)
        for protocol in there:
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
    """Return :func:`leakage_panel` as ``csv``, ``md``, ``tex``, ``html``.

    A panel without a regressor is a table without rows, and says so. ``intervals`` as in
    :func:`render`; a drop has none, since the two sides were tested on different samples.
    """
    frame = _frame(rows)
    panel = leakage_panel(frame, level, pooling, protocols)
    protocol_names = set(frame["protocol"])
    numbers = [
        name for name in panel.columns[4:] if name in protocol_names or name.startswith("drop_")
    ]
    heads = [Head("Model type"), Head("Metric"), Head("Dimension")]
    for name in numbers:
        drop = name.startswith("drop_")
        protocol = _title(name.removeprefix("drop_") if drop else name)
        heads.append(Head(protocol, "Drop from random" if drop else "SRCC"))
    body, before = [], ("", "")
    for record in _records(panel):
        here = (str(record["group"]), str(record["metric"]))
        badge = "random weights" if record["weights"] == "random" and here != before else ""
        cells = [
            Cell(here[0], repeats=here[0] == before[0]),
            Cell(here[1], repeats=here == before, badge=badge),
            Cell(_title(str(record["dimension"]))),
        ]
        for name in numbers:
            ends = {f"srcc_{end}": record.get(f"{end}_{name}") for end in _ENDS}
            spread = spread_of(ends, "srcc", intervals)
            cells.append(_plain(record[name], spread))
        body.append(cells)
        before = here
    ended = "A drop is SRCC under random splits minus SRCC under the protocol named."
    if panel.empty:
        ended = "There is no regressor."
    else:
        ended += how(frame[frame["kind"] == "regressor"], intervals)
    grid = Grid(f"{caption} {ended}", heads, body, 3, [], warnings(frame, panel["weights"]))
    return {
        "csv": panel.to_csv(index=False, float_format="%.6f", lineterminator="\n"),
        "md": to_markdown(grid),
        "tex": to_latex(grid),
        "html": to_html(grid, "What leakage is worth"),
    }


def as_arrow(text: str) -> pa.Table:
    """Return a table's CSV as an Arrow table: the same columns, empty numbers as nulls.

    >>> as_arrow("metric,overall_srcc\\na,0.5\\nb,\\n")["overall_srcc"].to_pylist()
    [0.5, None]
    """
    words = dict.fromkeys(_WORDS, pa.string())
    options = csv.ConvertOptions(column_types=words, strings_can_be_null=False)
    return csv.read_csv(io.BytesIO(text.encode()), convert_options=options)


def _frame(rows: Rows) -> pd.DataFrame:
    return rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in r.items()} for r in frame.to_dict("records")]


def _ordered(found: Iterable[str], first: Sequence[str], last: Sequence[str]) -> list[str]:
    there = set(found)
    rest = sorted(there - set(first) - set(last))
    return [n for n in first if n in there] + rest + [n for n in last if n in there]


def _metrics(frame: pd.DataFrame, order: Sequence[str]) -> list[str]:
    """Return the metrics' names, groups together: controls first, then as ordered."""
    place = {name: number for number, name in enumerate(order)}
    kinds = {kind: number for number, kind in enumerate(KINDS)}
    listed = _records(frame.drop_duplicates("metric"))

    def rank(r: dict[str, Any]) -> tuple[Any, ...]:
        return (
            r["kind"] != KINDS[0],
            place.get(r["metric"], len(place)),
            kinds[r["kind"]],
            r["group"],
            r["metric"],
        )

    listed.sort(key=rank)
    # A group stands where its first metric does; sorting is stable within it.
    groups = list(dict.fromkeys((r["kind"] != KINDS[0], r["group"]) for r in listed))
    listed.sort(key=lambda r: groups.index((r["kind"] != KINDS[0], r["group"])))
    return [str(r["metric"]) for r in listed]


def _grid(
    records: Mapping[tuple[str, str], Mapping[str, Any]],
    metrics: Sequence[str],
    columns: Sequence[str],
    caption: str,
    intervals: str,
) -> Grid:
    heads = [Head("Model type"), Head("Metric")]
    heads += [Head(s.label, _title(dimension)) for dimension in columns for s in STATISTICS]
    ranks = _ranks(records, columns)
    notes: list[str] = []

    def number_of(note: str) -> int:
        if note not in notes:
            notes.append(note)
        return notes.index(note) + 1

    body, before = [], ""
    for metric in metrics:
        own = {d: records.get((metric, d)) for d in columns}
        some = next(r for r in own.values() if r is not None)
        flawed: dict[str, list[str]] = {}
        for dimension, record in own.items():
            if record is not None and record["status"] == FLAWED and dimension != OVERALL:
                flawed.setdefault(record["detail"], []).append(_title(dimension))
        known = tuple(number_of(f"{', '.join(ds)}: {text}") for text, ds in flawed.items())
        badge = "random weights" if some["weights"] == "random" else ""
        cells = [
            Cell(str(some["group"]), repeats=some["group"] == before),
            Cell(metric, notes=known, badge=badge),
        ]
        for dimension, record in own.items():
            for stat in NAMES:
                value = None if record is None else _number(record[stat])
                if value is None:
                    why = "no_row: not computed" if record is None else str(record["detail"])
                    cells.append(Cell(UNDEFINED, notes=(number_of(why),)))
                else:
                    rank = ranks.get((metric, dimension, stat), "")
                    spread = spread_of(record or {}, stat, intervals)
                    cells.append(Cell(_shown(value), value, rank, spread=spread))
        body.append(cells)
        before = str(some["group"])
    frame = pd.DataFrame(list(records.values()))
    return Grid(caption, heads, body, 2, notes, warnings(frame, frame["weights"]))


def _ranks(
    records: Mapping[tuple[str, str], Mapping[str, Any]], columns: Sequence[str]
) -> dict[tuple[str, str, str], str]:
    ranks = {}
    for dimension in columns:
        for statistic in STATISTICS:
            shown = {
                metric: float(_shown(value))
                for (metric, d), record in records.items()
                if d == dimension and record["kind"] != KINDS[0]
                if (value := _number(record[statistic.name])) is not None
            }
            top = sorted(set(shown.values()), reverse=statistic.higher_is_better)[:2]
            for metric, value in shown.items():
                if value in top:
                    ranks[metric, dimension, statistic.name] = (BEST, SECOND)[top.index(value)]
    return ranks


def _csv(
    records: Mapping[tuple[str, str], Mapping[str, Any]],
    metrics: Sequence[str],
    columns: Sequence[str],
) -> str:
    lines = []
    for metric in metrics:
        own = [(d, records[metric, d]) for d in columns if (metric, d) in records]
        some = own[0][1]
        line = {
            "model_type": some["group"],
            "metric": metric,
            "kind": some["kind"],
            "weights": some["weights"],
            "synthetic_mos": str(any(bool(r["synthetic_mos"]) for _, r in own)).lower(),
        }
        for dimension in columns:
            record: Mapping[str, Any] = dict(own).get(dimension, {})
            for name in (n for stat in (*NAMES, "main_score") for n in _with_ends(stat)):
                if name in NAMES or any(name in r for r in records.values()):
                    line[f"{dimension}_{name}"] = _number(record.get(name))
        line["notes"] = " | ".join(f"{d}: {r['detail']}" for d, r in own if r["detail"])
        lines.append(line)
    return pd.DataFrame(lines).to_csv(index=False, float_format="%.6f", lineterminator="\n")


def _with_ends(stat: str) -> list[str]:
    return [stat, *(f"{stat}_{end}" for end in _ENDS)]


def _plain(value: Any, spread: str = "") -> Cell:
    number = _number(value)
    return Cell(UNDEFINED) if number is None else Cell(_shown(number), number, spread=spread)


def _number(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)


def _shown(value: float) -> str:
    text = f"{value:.4f}"
    return text.lstrip("-") if float(text) == 0 else text


def _title(name: str) -> str:
    if name == OVERALL:
        return "Overall Average"
    return name.replace("_", " ")[:1].upper() + name.replace("_", " ")[1:]
