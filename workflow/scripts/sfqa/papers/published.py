"""The result tables of the field's papers as data: read, checked, and ranked as printed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sfqa.correlation.grid import BEST, SECOND
from sfqa.errors import UserError, hint
from sfqa.sheets import read_table
from sfqa.store import to_records
from sfqa.tables import PUBLISHED

VERSION = 1

#: Where the tables are: figures only, one file each, with index.csv and notes.csv.
FOLDER = Path(__file__).parents[4] / "resources" / "published"

_INDEX = ("table", "paper", "number", "title", "heads", "ranked", "marks", "seen", "source")


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
    return to_records(frame.fillna(""))


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
    for number, row in enumerate(to_records(figures), 2):
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
    return [(top, name) for top, name in unique_rows(ranked, "column", "statistic")]


def unique_rows(frame: pd.DataFrame, *names: str) -> list[tuple[str, ...]]:
    """Return the different values of some columns together, in the order of the rows."""
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
        for row, number in zip(to_records(own), value, strict=True):
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
