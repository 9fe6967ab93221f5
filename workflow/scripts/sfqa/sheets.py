"""Read the sheets of portraits and clips; errors name file, row and column."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from sfqa.errors import UserError, hint
from sfqa.user_tables import read_table

IMAGE_COLUMNS = ("image_id", "path", "source", "category", "licence", "prompt")
CLIP_COLUMNS = ("clip_id", "path", "style", "language", "origin", "title", "licence")
IMAGE_CHOICES = {"source": ("real", "ai", "synthetic")}
CLIP_CHOICES = {"origin": ("recorded", "ai", "synthetic")}
_ID = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-")
#: Unicode categories of characters that nobody types: control characters, line separators.
_INVISIBLE_CATEGORIES = ("Cc", "Zl", "Zp", "Cs", "Co")


class SheetRows(list[dict[str, str]]):
    """The rows of a sheet; ``row_numbers`` counts them as a spreadsheet does, from 2."""

    def __init__(self) -> None:
        super().__init__()
        self.row_numbers: list[int] = []


def read_sheet(
    path: Path | str,
    columns: Sequence[str],
    choices: Mapping[str, tuple[str, ...]],
    optional: Sequence[str] = ("licence", "title", "prompt"),
) -> SheetRows:
    """Return the rows of a sheet, the column ``path`` resolved against the sheet's folder.

    The file is read by :func:`sfqa.user_tables.read_table`; cells that are missing at the end of a
    row are empty. The first of ``columns`` identifies the row: letters, digits and ``_ . + -``
    without a double underscore, unique in the sheet. ``choices`` lists the allowed values of some
    columns. Raises :class:`UserError` naming file, row and column.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: there is no such sheet; write one or correct the configuration")

    def check_header(header: list[str]) -> None:
        _check_header(path, header, columns, optional)

    table = read_table(
        path, "files", named=columns, allow_short_rows=True, check_header=check_header
    )
    table.log_notes()
    if not table.rows:
        raise UserError(f"{path}: the sheet has no rows; add one per file")
    rows = SheetRows()
    row_of_key: dict[str, int] = {}
    key = columns[0]
    cells = {name: table.columns.get(name, [""] * len(table.rows)) for name in columns}
    for index, number in enumerate(table.rows):
        where = f"{path}, row {number}"
        row = {name: _format_cell(cells[name][index]) for name in columns}
        for name, value in row.items():
            character = _find_invisible_character(value)
            if character:
                raise UserError(f"{where}, column {name}: holds {character}; delete it")
            if not value and name not in optional:
                raise UserError(f"{where}, column {name}: empty; fill it")
            if name in choices and value not in choices[name]:
                allowed = ", ".join(choices[name])
                raise UserError(
                    f"{where}, column {name}: {value!r} is not one of {allowed}; write one of them"
                )
        if not set(row[key]) <= _ID or "__" in row[key] or row[key][0] in "-.":
            raise UserError(
                f"{where}, column {key}: {row[key]!r} may hold letters, digits and _ . + - only, "
                "no double underscore, and may not begin with - or ."
            )
        if row[key] in row_of_key:
            raise UserError(
                f"{where}, column {key}: {row[key]!r} is in row {row_of_key[row[key]]} too; "
                "rename one"
            )
        row_of_key[row[key]] = number
        row["path"] = str(path.parent / row["path"])
        rows.append(row)
        rows.row_numbers.append(number)
    return rows


def _format_cell(cell: object) -> str:
    return "" if cell is None else str(cell).strip()


def _check_header(
    path: Path, header: Sequence[str], columns: Sequence[str], optional: Sequence[str]
) -> None:
    for name in header:
        if name not in columns:
            raise UserError(
                f"{path}: unknown column {name!r}; {hint(name, columns, 'it may have')}"
            )
    for name in columns:
        if name not in header and name not in optional:
            raise UserError(f"{path}: the column {name!r} is missing; add it")


def _find_invisible_character(value: str) -> str:
    """Return a description of the first invisible character of a cell, '' if there is none."""
    for character in value:
        if character in "\r\n\u2028\u2029":
            return "a line break (a quote that is not closed, maybe)"
        if unicodedata.category(character) in _INVISIBLE_CATEGORIES or character == "\ufeff":
            return f"the invisible character U+{ord(character):04X}"
    return ""
