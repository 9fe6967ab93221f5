"""The figures of a published table with ours beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd

from sfqa.correlation.grid import Cell, Grid, Head
from sfqa.correlation.summarise import MEAN, MODEL, POOLED, VIDEO
from sfqa.errors import UserError, hint
from sfqa.papers.published import Published, unique_rows
from sfqa.store import to_records

_STATISTICS = ("SRCC", "PLCC", "KRCC", "RMSE")


def bare(name: str) -> str:
    """Return a name as it is compared: lower case, letters and digits only.

    >>> bare("FAST-VQA") == bare("fast_vqa")
    True
    """
    return re.sub(r"[^a-z0-9]", "", name.lower())


def compare(
    table: Published,
    ours: pd.DataFrame,
    metrics: Mapping[str, str] | None = None,
    dimensions: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Return the published figures with ours beside them, one row per figure.

    ``ours``: rows of ``tables.CORRELATION`` of one protocol and pooling per level. Metrics pair by
    name (:func:`bare`), or as ``metrics`` (paper's row -> our name) tells; ``dimensions`` likewise.
    Columns: group, row, metric (ours or empty), dimension, level, statistic, published, ours,
    difference (ours minus published), weights, synthetic_mos, detail (why ours is empty).
    """
    names = {bare(name): name for name in ours["metric"].unique()}
    told, renamed = dict(metrics or {}), dict(dimensions or {})
    for kind, given, there in (
        ("metric", told, set(table.figures["row"])),
        ("dimension", renamed, set(table.figures["dimension"])),
    ):
        for name in given:
            if name not in there:
                raise UserError(f"{table.name}: no {kind} {name!r}; {hint(name, sorted(there))}")
    own = {(r["metric"], r["dimension"], r["level"]): r for r in to_records(ours)}
    rows = []
    for figure in to_records(table.figures):
        if figure["statistic"] not in _STATISTICS or not figure["value"]:
            continue
        metric = told.get(figure["row"], names.get(bare(figure["row"]), ""))
        dimension = renamed.get(figure["dimension"], figure["dimension"])
        record = own.get((metric, dimension, figure["level"]))
        value = None if record is None else record[figure["statistic"].lower()]
        value = None if value is None or pd.isna(value) else float(value)
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


def one_protocol(rows: pd.DataFrame, protocol: str | None = None) -> tuple[pd.DataFrame, str]:
    """Return ours under one protocol, as the tables show them, and the protocol's name.

    Video level as the mean over the trials, model level pooled. Without a name: the first of
    ``disjoint``, ``grouped``, ``random`` that is there, else the first by name.
    """
    there = sorted(rows["protocol"].unique())
    first = [name for name in ("disjoint", "grouped", "random") if name in there]
    chosen = protocol or (first + there)[0]
    if chosen not in there:
        raise UserError(f"--protocol {chosen}: ours has none; {hint(chosen, there)}")
    pooling = rows["level"].map({VIDEO: MEAN, MODEL: POOLED})
    kept = rows[(rows["protocol"] == chosen) & (rows["pooling"] == pooling)]
    return kept.reset_index(drop=True), chosen


def compare_grid(frame: pd.DataFrame, caption: str) -> Grid:
    """Return :func:`compare`'s rows as a table: a line per model and column of figures."""
    statistics = [name for name in _STATISTICS if name in set(frame["statistic"])]
    notes: list[str] = []
    body, before = [], ("", "")
    for key in unique_rows(frame, "group", "row", "column"):
        own = {r["statistic"]: r for r in to_records(_where(frame, key))}
        group, row, column = key
        some = next(iter(own.values()))
        reasons = sorted({r["detail"] for r in own.values() if r["detail"]})
        notes += [reason for reason in reasons if reason not in notes]
        numbers = tuple(notes.index(reason) + 1 for reason in reasons)
        badge = "random weights" if some["weights"] == "random" else ""
        line = [
            Cell(group, repeats=group == before[0]),
            Cell(row, repeats=(group, row) == before, badge=badge),
            Cell(column, notes=numbers),
        ]
        for statistic in statistics:
            record = own.get(statistic, {})
            line += [
                _shown(record.get(name), sign)
                for name, sign in (("published", ""), ("ours", ""), ("difference", "+"))
            ]
        body.append(line)
        before = (group, row)
    heads = [Head("Model type"), Head("Model"), Head("Column")]
    for statistic in statistics:
        heads += [Head(name, statistic) for name in ("published", "ours", "difference")]
    warnings = []
    if frame["synthetic_mos"].any():
        warnings.append("Ours were computed against MOS from simulated raters.")
    if (frame["weights"] == "random").any():
        warnings.append("Random weights: ours so marked say nothing about the metric of that name.")
    return Grid(caption, heads, body, 3, notes, warnings)


def _where(frame: pd.DataFrame, key: tuple[str, ...]) -> pd.DataFrame:
    same = (frame["group"] == key[0]) & (frame["row"] == key[1]) & (frame["column"] == key[2])
    return frame[same]


def _shown(value: float | None, sign: str) -> Cell:
    if value is None or pd.isna(value):
        return Cell("n/a")
    return Cell(f"{value:{sign}.4f}", float(value))
