"""Compare the values of a published table with our results."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from sfqa.correlation.grid import Cell, ColumnHeading, Grid
from sfqa.correlation.summarise import MEAN, MODEL, POOLED, VIDEO
from sfqa.errors import UserError, hint
from sfqa.papers.published import Published, unique_rows
from sfqa.splits.protocol_options import ALL
from sfqa.statistics.registry import STATISTICS
from sfqa.store import to_records

#: The statistics that ours have, by the heading that papers give them.
_STATISTICS = {statistic.label: statistic.name for statistic in STATISTICS}
#: The challenges' mean of |SRCC| and |PLCC|, which our tables do not have as a column.
_MAIN_SCORE = "Main Score"
_COMPARED = (*_STATISTICS, _MAIN_SCORE)


def normalize_name(name: str) -> str:
    """Normalize a name for comparison: lower case, letters and digits only.

    >>> normalize_name("FAST-VQA") == normalize_name("fast_vqa")
    True
    """
    return re.sub(r"[^a-z0-9]", "", name.lower())


def compare_with_ours(
    table: Published,
    ours: pd.DataFrame,
    metrics: Mapping[str, str] | None = None,
    dimensions: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Return the published values next to ours, one row per value.

    ``ours``: rows of ``tables.CORRELATION`` of one protocol and one pooling per level. Metrics are
    matched by normalized name, or by ``metrics`` (row of the paper -> our name); ``dimensions``
    likewise. Columns: group, row, metric (ours or empty), dimension, level, statistic, published,
    ours, difference (ours minus published), weights, synthetic_mos, detail (why ours is empty).
    """
    names = {normalize_name(name): name for name in ours["metric"].unique()}
    metric_names, dimension_names = dict(metrics or {}), dict(dimensions or {})
    for entity, mapping, valid_names in (
        ("metric", metric_names, set(table.figures["row"])),
        ("dimension", dimension_names, set(table.figures["dimension"])),
    ):
        for name in mapping:
            if name not in valid_names:
                raise UserError(
                    f"{table.name}: no {entity} {name!r}; {hint(name, sorted(valid_names))}"
                )
    our_records = {(r["metric"], r["dimension"], r["level"]): r for r in to_records(ours)}
    rows = []
    for figure in to_records(table.figures):
        if figure["statistic"] not in _COMPARED or not figure["value"]:
            continue
        metric = metric_names.get(figure["row"], names.get(normalize_name(figure["row"]), ""))
        dimension = dimension_names.get(figure["dimension"], figure["dimension"])
        record = our_records.get((metric, dimension, figure["level"]))
        value = None if record is None else _read_statistic(record, figure["statistic"])
        if value is not None:
            detail = ""
        elif metric not in set(ours["metric"]):
            detail = "no metric of that name"
        elif record is None:
            detail = f"{metric}: no row of {dimension} at {figure['level']} level"
        else:
            detail = str(record["detail"])
        rows.append(
            {
                "group": figure["group"],
                "row": figure["row"],
                "metric": metric if record is not None else "",
                "column": figure["column"],
                "dimension": figure["dimension"],
                "level": figure["level"],
                "statistic": figure["statistic"],
                "published": float(figure["value"]),
                "ours": value,
                "difference": None if value is None else value - float(figure["value"]),
                "weights": "" if record is None else record["weights"],
                "synthetic_mos": record is not None and bool(record["synthetic_mos"]),
                "detail": detail,
            }
        )
    frame = pd.DataFrame(rows)
    return frame.astype({"ours": float, "difference": float}) if rows else frame


def _read_statistic(record: Mapping[str, Any], heading: str) -> float | None:
    """Return a statistic of our row by the heading of papers, None if there is none."""
    names = ("srcc", "plcc") if heading == _MAIN_SCORE else (_STATISTICS[heading],)
    values = [record[name] for name in names]
    if any(value is None or pd.isna(value) for value in values):
        return None
    if heading == _MAIN_SCORE:
        return sum(abs(float(value)) for value in values) / len(values)
    return float(values[0])


def select_protocol(
    rows: pd.DataFrame, protocol: str | None = None, pooling: str = MEAN
) -> tuple[pd.DataFrame, str]:
    """Return our rows of one protocol, as the tables show them, and the protocol's name.

    Video level is pooled as ``pooling`` says, or all test samples at once if single trials have too
    few of them for a number; model level is pooled. Default protocol: the first of ``disjoint``,
    ``grouped``, ``random`` that exists, else the first by name; ``all``, which has no regressors,
    only if there is no other.
    """
    protocols = sorted(rows["protocol"].unique())
    preferred = [name for name in ("disjoint", "grouped", "random") if name in protocols]
    preferred += [name for name in protocols if name != ALL]
    chosen = protocol or (preferred + protocols)[0]
    if chosen not in protocols:
        raise UserError(f"--protocol {chosen}: ours has none; {hint(chosen, protocols)}")
    rows = rows[rows["protocol"] == chosen]
    video_rows = rows[(rows["level"] == VIDEO) & (rows["pooling"] == pooling)]
    video_pooling = pooling if video_rows["srcc"].notna().any() else POOLED
    pooling_of_level = rows["level"].map({VIDEO: video_pooling, MODEL: POOLED})
    selected = rows[rows["pooling"] == pooling_of_level]
    return selected.reset_index(drop=True), chosen


def split_matched(frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the values that have one of ours, and a sentence about the lines without any.

    ``frame``: the result of :func:`compare_with_ours`. The sentence is empty if nothing is missing.
    """
    keys = ["group", "row", "column"]
    is_matched = frame.groupby(keys)["ours"].transform("count") > 0
    missing = frame[~is_matched]
    if missing.empty:
        return frame, ""
    count = len(missing.drop_duplicates(keys))
    total = len(frame.drop_duplicates(keys))
    names = ", ".join(dict.fromkeys(missing["row"]))
    reasons = ", ".join(dict.fromkeys(missing["detail"]))
    return frame[
        is_matched
    ], f"{count} of {total} lines have no figure of ours ({reasons}): {names}."


def build_comparison_grid(frame: pd.DataFrame, caption: str) -> Grid:
    """Build a table of :func:`compare_with_ours`: a line per model and column of values."""
    statistics = [name for name in _COMPARED if name in set(frame["statistic"])]
    notes: list[str] = []
    body, previous = [], ("", "")
    for key in unique_rows(frame, "group", "row", "column"):
        records = {r["statistic"]: r for r in to_records(_select_rows(frame, key))}
        group, row, column = key
        any_record = next(iter(records.values()))
        reasons = sorted({r["detail"] for r in records.values() if r["detail"]})
        notes += [reason for reason in reasons if reason not in notes]
        numbers = tuple(notes.index(reason) + 1 for reason in reasons)
        badge = "random weights" if any_record["weights"] == "random" else ""
        line = [
            Cell(group, repeats=group == previous[0]),
            Cell(row, repeats=(group, row) == previous, badge=badge),
            Cell(column, notes=numbers),
        ]
        for statistic in statistics:
            record = records.get(statistic, {})
            line += [
                _format_cell(record.get(name), sign)
                for name, sign in (("published", ""), ("ours", ""), ("difference", "+"))
            ]
        body.append(line)
        previous = (group, row)
    headings = [ColumnHeading("Model type"), ColumnHeading("Model"), ColumnHeading("Column")]
    for statistic in statistics:
        headings += [ColumnHeading(name, statistic) for name in ("published", "ours", "difference")]
    warnings = []
    if frame["synthetic_mos"].any():
        warnings.append("Ours were computed against MOS from simulated raters.")
    if (frame["weights"] == "random").any():
        warnings.append("Random weights: ours so marked say nothing about the metric of that name.")
    return Grid(caption, headings, body, 3, notes, warnings)


def _select_rows(frame: pd.DataFrame, key: tuple[str, ...]) -> pd.DataFrame:
    same = (frame["group"] == key[0]) & (frame["row"] == key[1]) & (frame["column"] == key[2])
    return frame[same]


def _format_cell(value: float | None, sign: str) -> Cell:
    if value is None or pd.isna(value):
        return Cell("n/a")
    return Cell(f"{value:{sign}.4f}", float(value))
