"""Read the cells of a table of ratings: names, scores and codes for missing ratings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sfqa.errors import UserError, hint
from sfqa.user_tables import UserTable, read_table
from sfqa.user_tables.numbers import has_decimal_comma, parse_number, read_numbers

#: Joins the parts of a sample's name that comes from several columns.
_SEPARATOR = "/"
#: As many columns of a table are listed in a message: a table can have one for each video.
_MAX_COLUMNS = 10
#: What statistics programs and spreadsheets write for a missing value.
_USUAL_CODES = ("NA", "N/A", "<NA>", "#N/A")


class ScoreReader:
    """Reads columns of scores; NA, N/A and cells that are among ``missing_codes`` are missing.

    ``coded``: by column, the indices of such cells.
    """

    def __init__(self, table: UserTable, source: Mapping[str, Any]) -> None:
        self.table = table
        self.coded: dict[str, set[int]] = {}
        codes = [*(source.get("missing_codes") or ()), *_USUAL_CODES]
        self._codes = {_normalize_code(code) for code in codes}
        self._codes_in_use: dict[str, None] = {}

    @property
    def notes(self) -> list[str]:
        """A note on the number of missing ratings by their codes."""
        count = sum(map(len, self.coded.values()))
        codes = ", ".join(self._codes_in_use)
        return [f"{self.table.path}: {count} ratings are missing (codes {codes})"] if count else []

    def read_scores(self, column: str, remedy: str = "correct it") -> list[float | None]:
        """Return the scores of a column, None for a missing one.

        Raises :class:`UserError` for a cell that is no finite number, ending with ``remedy``.
        """
        cells = self.table.columns[column]
        numbers = self.table.read_numbers(column)
        self.coded[column] = {
            index
            for index, cell in enumerate(cells)
            if numbers.values[index] in self._codes or _normalize_code(cell) in self._codes
        }
        self._codes_in_use |= {str(cells[index]): None for index in self.coded[column]}
        scores: list[float | None] = []
        for index, cell in enumerate(cells):
            value = numbers.values[index]
            if index in self.coded[column] or _is_blank(cell):
                scores.append(None)
            elif math.isfinite(value) and not numbers.is_percent:
                scores.append(value)
            else:
                where = self.table.describe_cell(column, index)
                raise UserError(f"{where}: {str(cell)!r} is not a number; {remedy}")
        return scores


def _normalize_code(code: Any) -> Any:
    """Return a code or cell as a number if it is one, so that -1, "-1.0" and "-1,0" are equal."""
    if _is_blank(code):
        return None
    value = read_numbers([code], decimal_comma=True).values[0] if has_decimal_comma(code) else None
    value = parse_number(code) if value is None else value
    return str(code).strip() if value is None else value


def _is_blank(cell: Any) -> bool:
    return cell is None or (isinstance(cell, float) and math.isnan(cell)) or not str(cell).strip()


def describe_columns(name: str, columns: Sequence[str]) -> str:
    """Return the end of a sentence about a column that a table lacks: the columns that it has.

    Of many columns, such as one for each video, the first ten are listed.

    >>> describe_columns("ratr", ["rater", "a", "b"])
    "the columns are rater, a, b; did you mean 'rater'?"
    """
    suggestion = hint(name, columns)
    nearest = f"; {suggestion}" if suggestion.startswith("did you mean") else ""
    return f"the columns are {_list_columns(columns)}{nearest}"


def _list_columns(columns: Sequence[str]) -> str:
    names = ", ".join(columns[:_MAX_COLUMNS]) or "not known"
    others = len(columns) - _MAX_COLUMNS
    return f"{names} and {others} more" if others > 0 else names


def get_entry(source: Mapping[str, Any], path: Path, name: str) -> Any:
    """Return an entry of the description of a table, which must be there."""
    if not source.get(name):
        raise UserError(
            f"ratings source {path}: the entry {name!r} is missing; {_describe_entry(path, name)}"
        )
    return source[name]


def _describe_entry(path: Path, name: str) -> str:
    """Return what to write for an entry that the description of a table lacks."""
    if name == "dimension_name":
        return (
            "if the table has one dimension, write its name as ratings.dimension_name (sfqa mos: "
            "--name), such as quality; if a column names it, write that as "
            "ratings.columns.dimension (--dimension)"
        )
    columns = list(read_table(path, "scores").columns) if path.is_file() else []
    return (
        f"name its column in ratings.columns; the columns of the table are {_list_columns(columns)}"
    )


def list_sample_columns(source: Mapping[str, Any], path: Path) -> list[str]:
    """Return the columns whose cells are the sample's name."""
    names = get_entry(source, path, "sample_id")
    return [names] if isinstance(names, str) else [str(name) for name in names]


def list_named_columns(source: Mapping[str, Any]) -> list[str]:
    """Return every column that the description of a table names."""
    names: list[str] = []
    for key in ("rater", "sample_id", "score", "dimension", "ignore"):
        entry = source.get(key)
        if isinstance(entry, str):
            names.append(entry)
        elif isinstance(entry, Mapping):
            names += map(str, entry.values())
        else:
            names += map(str, entry or ())
    return names


def require_text(table: UserTable, column: str, index: int) -> str:
    """Return a cell as text; raises :class:`UserError` if it is empty."""
    cell = table.columns[column][index]
    if _is_blank(cell):
        raise UserError(f"{table.describe_cell(column, index)}: empty; fill it or delete the row")
    return str(cell).strip()


def join_samples(table: UserTable, columns: list[str], index: int) -> str:
    """Return the name of a row's sample, from one column or several."""
    return _SEPARATOR.join(require_text(table, column, index) for column in columns)


def make_row(rater: str, sample: str, dimension: str, score: float) -> dict[str, Any]:
    """Return a row of ``tables.SCORES``."""
    return {
        "rater": rater,
        "sample_id": sample,
        "dimension": dimension,
        "score": score,
        "synthetic": False,
    }
