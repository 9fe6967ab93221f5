"""The result tables of the field's papers as data: read, laid out as printed, held against ours."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

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
from sfqa.correlation.summarise import MEAN, MODEL, POOLED, VIDEO
from sfqa.errors import UserError, hint
from sfqa.schema import Column, Table
from sfqa.sheets import read_table
from sfqa.store import records

VERSION = 1

#: Where the tables are: figures only, one file each, with index.csv and notes.csv.
FOLDER = Path(__file__).parents[4] / "resources" / "published"

_S = pa.string()
PUBLISHED = Table(
    "published",
    "one printed figure of one table of a paper",
    (
        Column("group", _S, "the block that the row stands in, as printed", nullable=True),
        Column("row", _S, "the row's name, as printed, without the number of its reference"),
        Column("column", _S, "the heading above the statistic", nullable=True),
        Column("statistic", _S, "the column's own heading"),
        Column("value", _S, "the figure with the digits as printed; empty: '-'", nullable=True),
        Column("better", _S, "higher, lower; empty: words or ranks, no order", nullable=True),
        Column("mark", _S, "bold, underline, none; empty: the source lost it", nullable=True),
        Column("dataset", _S, "what was tested on", nullable=True),
        Column("level", _S, "video or model, as in the correlation table", nullable=True),
        Column("dimension", _S, "what was rated, as our tables name it", nullable=True),
    ),
)
_INDEX = ("table", "paper", "number", "title", "heads", "ranked", "marks", "seen", "source")
_MARKS = {BEST: "bold", SECOND: "underline"}
_STATISTICS = ("SRCC", "PLCC", "KRCC", "RMSE")


@dataclass(frozen=True)
class Published:
    """One table of a paper, with what the index says of it.

    ``heads``: the headings of the columns of words. ``ranked``: within the ``table``, within each
    ``group``, or ``none``. ``marks``: the marks that the paper uses; ``seen``: whether the source
    that the figures were taken from still shows them. ``figures``: columns of :data:`PUBLISHED`.
    """

    name: str
    paper: str
    number: str
    title: str
    heads: tuple[str, ...]
    ranked: str
    marks: tuple[str, ...]
    seen: bool
    source: str
    notes: tuple[str, ...]
    figures: pd.DataFrame

    @property
    def label(self) -> str:
        """Name the table as a reader would: 'SFQA, Table 2'."""
        return f"{self.paper}, Table {self.number}"


def index(folder: Path = FOLDER) -> list[dict[str, str]]:
    """Return what is known of every table, in the order of ``index.csv``.

    >>> "sfqa_table2" in [row["table"] for row in index()]
    True
    """
    frame = read_table(folder / "index.csv", "published tables")
    _need(folder / "index.csv", frame, _INDEX)
    return records(frame.fillna(""))


def load(name: str, folder: Path = FOLDER) -> Published:
    """Return one table; :class:`UserError` for an unknown name or a file that is not in form.

    >>> table = load("sfqa_table2"); table.label, len(table.figures)
    ('SFQA, Table 2', 126)
    """
    known = {row["table"]: row for row in index(folder)}
    if name not in known:
        raise UserError(f"published: there is no table {name!r}; {hint(name, known)}")
    row = known[name]
    path = folder / f"{name}.csv"
    figures = read_table(path, "published figures")
    _need(path, figures, PUBLISHED.names)
    figures = figures[PUBLISHED.names].fillna("")
    _check_file(path, figures)
    notes = read_table(folder / "notes.csv", "notes on published tables")
    _need(folder / "notes.csv", notes, ("table", "word", "note"))
    own = notes[notes["table"] == name]
    return Published(
        name,
        row["paper"],
        row["number"],
        row["title"],
        tuple(row["heads"].split("|")),
        row["ranked"],
        tuple(filter(None, row["marks"].split(","))),
        row["seen"] == "yes",
        row["source"],
        tuple(own["note"]),
        figures.reset_index(drop=True),
    )


def _need(path: Path, frame: pd.DataFrame, names: tuple[str, ...] | list[str]) -> None:
    for name in names:
        if name not in frame:
            raise UserError(f"{path}: no column {name!r}; it has {', '.join(frame.columns)}")


def _check_file(path: Path, figures: pd.DataFrame) -> None:
    allowed = {"better": ("higher", "lower", ""), "mark": ("bold", "underline", "none", "")}
    for number, row in enumerate(records(figures), 2):
        where = f"{path}, row {number}"
        for name in ("row", "statistic"):
            if not row[name]:
                raise UserError(f"{where}: column {name!r} is empty; fill it")
        for name, words in allowed.items():
            if row[name] not in words:
                raise UserError(f"{where}: {name} is {row[name]!r}; {hint(row[name], words)}")
        if row["better"] and row["value"] and not re.fullmatch(r"-?\d+(\.\d+)?", row["value"]):
            raise UserError(f"{where}: {row['value']!r} is no number; write it as printed")
    twice = figures[figures.duplicated(["group", "row", "column", "statistic"])]
    if len(twice):
        first = twice.iloc[0]
        raise UserError(
            f"{path}, row {int(twice.index[0]) + 2}: {first['row']!r}, {first['statistic']!r} is "
            "there twice; keep one"
        )


def columns_of(table: Published) -> list[tuple[str, str]]:
    """Return the columns of figures as (heading above, statistic), in the paper's order."""
    ranked = table.figures[table.figures["better"] != ""]
    return [(top, name) for top, name in _unique(ranked, "column", "statistic")]


def _unique(frame: pd.DataFrame, *names: str) -> list[tuple[str, ...]]:
    return list(dict.fromkeys(frame[list(names)].itertuples(index=False, name=None)))


def marks(table: Published) -> dict[tuple[str, str, str, str], str]:
    """Return best and second by our rule: (group, row, column, statistic) -> ``best``, ``second``.

    Within the table or within each group, as the paper compares; ties as printed share the mark,
    and the value after a shared best is second. Nothing where the paper does not rank.
    """
    found: dict[tuple[str, str, str, str], str] = {}
    if table.ranked == "none":
        return found
    for own in scopes(table):
        value = own["value"].astype(float)
        ascending = (own["better"] == "lower").all()
        top = sorted(set(value), reverse=not ascending)[:2]
        for row, number in zip(records(own), value, strict=True):
            if number in top:
                key = (row["group"], row["row"], row["column"], row["statistic"])
                found[key] = (BEST, SECOND)[top.index(number)]
    return found


def scopes(table: Published) -> Iterator[pd.DataFrame]:
    """Yield the figures that are compared with one another, where there are some."""
    figures = table.figures
    ranked = figures[(figures["better"] != "") & (figures["value"] != "")]
    by = ["group"] if table.ranked == "group" else []
    for _, own in ranked.groupby([*by, "column", "statistic"], sort=False):
        yield own


def to_grid(table: Published, findings: Sequence[str] = ()) -> Grid:
    """Return the table in the paper's layout, best bold and second underlined by our rule.

    Columns of words (names, and statistics without an order) stand first; a figure that the paper
    leaves out is an en dash. ``findings`` (of published_checks) stand below with the notes.
    """
    cells = {
        (r["group"], r["row"], r["column"], r["statistic"]): r["value"]
        for r in records(table.figures)
    }
    plain = table.figures[table.figures["better"] == ""]
    words = [(top, name) for top, name in _unique(plain, "column", "statistic")]
    numbers = columns_of(table)
    ranks = {key: r for key, r in marks(table).items() if _MARKS[r] in table.marks}
    body, before = [], None
    for group, row in _unique(table.figures, "group", "row"):
        line = [Cell(group, repeats=group == before), Cell(row)][-len(table.heads) :]
        line += [Cell(cells.get((group, row, *word)) or UNDEFINED) for word in words]
        for column in numbers:
            text = cells.get((group, row, *column))
            rank = ranks.get((group, row, *column), "")
            line.append(Cell(text, float(text), rank) if text else Cell(UNDEFINED))
        body.append(line)
        before = group
    heads = [Head(name) for name in table.heads]
    heads += [Head(statistic, top) for top, statistic in words + numbers]
    return Grid(
        f"{table.label}: {table.title}. {_legend(table)}",
        heads,
        body,
        len(table.heads) + len(words),
        [*findings, *table.notes],
    )


def _legend(table: Published) -> str:
    text = f"Figures as printed; source: {table.source}."
    if (table.figures["better"] == "lower").any():
        low = _unique(table.figures[table.figures["better"] == "lower"], "statistic")
        text += f" Less is better for {', '.join(name for (name,) in low)}, more for the rest."
    else:
        text += " More is better in every column of figures."
    if any("distance" in note for note in table.notes):
        text += " Signs as the paper prints them."
    if table.marks:
        bold = "Best in bold" + (", second underlined" if "underline" in table.marks else "")
        where = " within each block" if table.ranked == "group" else ""
        text += f" {bold}{where}, computed from the figures."
        if not table.seen:
            text += " The source of the figures shows none of the paper's own marks."
    return text


def render(table: Published) -> dict[str, str]:
    """Return the table in the paper's layout as ``csv`` (one row per figure), md, tex, html."""
    grid = to_grid(table)
    return {
        "csv": table.figures.to_csv(index=False, lineterminator="\n"),
        "md": to_markdown(grid),
        "tex": to_latex(grid),
        "html": to_html(grid, table.label),
    }


# --- published against ours -----------------------------------------------------------------


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
    own = {(r["metric"], r["dimension"], r["level"]): r for r in records(ours)}
    rows = []
    for figure in records(table.figures):
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
    for key in _unique(frame, "group", "row", "column"):
        own = {r["statistic"]: r for r in records(_where(frame, key))}
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
