"""Read the result tables of the field's papers, check their format, and rank their values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sfqa.correlation.grid import BEST, SECOND
from sfqa.errors import UserError, hint
from sfqa.project_files import PROJECT
from sfqa.store import to_records
from sfqa.tables import PUBLISHED
from sfqa.user_tables import read_table

VERSION = 1

#: Folder of the tables: one file of values each, with index.csv and notes.csv.
FOLDER = PROJECT / "resources" / "published"

_INDEX = ("table", "paper", "number", "title", "heads", "ranked", "marks", "seen", "source")


@dataclass(frozen=True)
class Published:
    """A table of a paper, with its entry in the index.

    ``heads``: headings of the text columns. ``ranked``: values are ranked within the ``table``,
    within each ``group``, or not at all (``none``). ``marks``: the marks that the paper uses.
    ``seen``: whether the source of the values still shows them. ``figures``: columns of
    :data:`PUBLISHED`.
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
        """Label of the table in texts, e.g. 'SFQA, Table 2'."""
        return f"{self.paper}, Table {self.number}"


def read_index(folder: Path = FOLDER) -> list[dict[str, str]]:
    """Return the index entries of all tables, in the order of ``index.csv``.

    >>> "sfqa_table2" in [row["table"] for row in read_index()]
    True
    """
    frame = read_table(folder / "index.csv", "published tables").to_frame()
    _require_columns(folder / "index.csv", frame, _INDEX)
    return to_records(frame.fillna(""))


def load_published(name: str, folder: Path = FOLDER) -> Published:
    """Load one table; raises :class:`UserError` for an unknown name or an invalid file.

    >>> table = load_published("sfqa_table2"); table.label, len(table.figures)
    ('SFQA, Table 2', 126)
    """
    index_rows = {row["table"]: row for row in read_index(folder)}
    if name not in index_rows:
        raise UserError(f"published: there is no table {name!r}; {hint(name, index_rows)}")
    row = index_rows[name]
    path = folder / f"{name}.csv"
    figures = read_table(path, "published figures").to_frame()
    _require_columns(path, figures, PUBLISHED.names)
    figures = figures[PUBLISHED.names].fillna("")
    _check_file(path, figures)
    notes = read_table(folder / "notes.csv", "notes on published tables").to_frame()
    _require_columns(folder / "notes.csv", notes, ("table", "word", "note"))
    table_notes = notes[notes["table"] == name]
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
        tuple(table_notes["note"]),
        figures.reset_index(drop=True),
    )


def _require_columns(path: Path, frame: pd.DataFrame, names: tuple[str, ...] | list[str]) -> None:
    for name in names:
        if name not in frame:
            raise UserError(f"{path}: no column {name!r}; it has {', '.join(frame.columns)}")


def _check_file(path: Path, figures: pd.DataFrame) -> None:
    allowed = {"better": ("higher", "lower", ""), "mark": ("bold", "underline", "none", "")}
    for number, row in zip(figures.index, to_records(figures), strict=True):
        where = f"{path}, row {number}"
        for name in ("row", "statistic"):
            if not row[name]:
                raise UserError(f"{where}: column {name!r} is empty; fill it")
        for name, words in allowed.items():
            if row[name] not in words:
                raise UserError(f"{where}: {name} is {row[name]!r}; {hint(row[name], words)}")
        if row["better"] and row["value"] and not re.fullmatch(r"-?\d+(\.\d+)?", row["value"]):
            raise UserError(f"{where}: {row['value']!r} is no number; write it as printed")
    duplicates = figures[figures.duplicated(["group", "row", "column", "statistic"])]
    if len(duplicates):
        first = duplicates.iloc[0]
        raise UserError(
            f"{path}, row {int(duplicates.index[0])}: {first['row']!r}, {first['statistic']!r} "
            "is there twice; keep one"
        )


def columns_of(table: Published) -> list[tuple[str, str]]:
    """Return the numeric columns as (heading above, statistic), in the order of the paper."""
    ranked = table.figures[table.figures["better"] != ""]
    return [(top, name) for top, name in unique_rows(ranked, "column", "statistic")]


def unique_rows(frame: pd.DataFrame, *names: str) -> list[tuple[str, ...]]:
    """Return the distinct combinations of some columns, in the order of the rows."""
    return list(dict.fromkeys(frame[list(names)].itertuples(index=False, name=None)))


def rank_figures(table: Published) -> dict[tuple[str, str, str, str], str]:
    """Return the computed marks: (group, row, column, statistic) -> ``best`` or ``second``.

    Values are ranked within the table or within each group, as the paper compares them. Printed
    ties share a mark, and the next value after a shared best is second. Empty if the paper does not
    rank.
    """
    ranks: dict[tuple[str, str, str, str], str] = {}
    if table.ranked == "none":
        return ranks
    for compared in group_compared(table):
        value = compared["value"].astype(float)
        ascending = (compared["better"] == "lower").all()
        best_two = sorted(set(value), reverse=not ascending)[:2]
        for row, number in zip(to_records(compared), value, strict=True):
            if number in best_two:
                key = (row["group"], row["row"], row["column"], row["statistic"])
                ranks[key] = (BEST, SECOND)[best_two.index(number)]
    return ranks


def group_compared(table: Published) -> Iterator[pd.DataFrame]:
    """Yield the groups of values that are compared with one another."""
    figures = table.figures
    ranked = figures[(figures["better"] != "") & (figures["value"] != "")]
    by = ["group"] if table.ranked == "group" else []
    for _, compared in ranked.groupby([*by, "column", "statistic"], sort=False):
        yield compared
