"""Read sheets and tables that users write; errors name file, row and column."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa.errors import UserError, hint

if TYPE_CHECKING:
    import pandas as pd

IMAGE_COLUMNS = ("image_id", "path", "source", "category", "licence", "prompt")
CLIP_COLUMNS = ("clip_id", "path", "style", "language", "origin", "title")
IMAGE_CHOICES = {"source": ("real", "ai", "synthetic")}
CLIP_CHOICES = {"origin": ("recorded", "ai", "synthetic")}
_ID = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-")
#: Unicode categories of characters that nobody types: control characters, line separators.
_INVISIBLE_CATEGORIES = ("Cc", "Zl", "Zp", "Cs", "Co")


def read_sheet(
    path: Path | str,
    columns: Sequence[str],
    choices: dict[str, tuple[str, ...]],
    optional: Sequence[str] = ("licence", "title", "prompt"),
) -> list[dict[str, str]]:
    """Return the rows of a CSV sheet, the column ``path`` resolved against the sheet's folder.

    The file is UTF-8, with or without a byte order mark. Rows are counted from 2, as a spreadsheet
    shows them; blank lines are skipped and not counted. The first of ``columns`` identifies the
    row: letters, digits and ``_ . + -`` without a double underscore, unique in the sheet.
    ``choices`` lists the allowed values of some columns. Raises :class:`UserError` naming file, row
    and column.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: there is no such sheet; write one or correct the configuration")
    header, records = _read_cells(path)
    _check_header(path, header, columns, optional)
    if not records:
        raise UserError(f"{path}: the sheet has no rows; add one per file")
    rows = []
    row_of_key: dict[str, int] = {}
    key = columns[0]
    for number, cells in enumerate(records, 2):
        where = f"{path}, row {number}"
        if len(cells) > len(header):
            raise UserError(
                f"{where}: {len(cells)} cells where the header has {len(header)}; "
                "put quotes round a cell that holds a comma, or delete the extra one"
            )
        cell_of_column = dict(zip(header, cells, strict=False))
        row = {name: cell_of_column.get(name, "").strip() for name in columns}
        for name, value in row.items():
            character = _find_invisible_character(value)
            if character:
                raise UserError(f"{where}, column {name}: holds {character}; delete it")
            if not value and name not in optional:
                raise UserError(f"{where}, column {name}: empty; fill it")
            if name in choices and value not in choices[name]:
                allowed = ", ".join(choices[name])
                raise UserError(f"{where}, column {name}: {value!r} is not one of {allowed}")
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
    return rows


def _read_cells(path: Path) -> tuple[list[str], list[list[str]]]:
    """Return the header and the records of a CSV file, without blank lines."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: not UTF-8 text (byte {error.start}); save it as 'CSV UTF-8'"
        ) from None
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline="")) if line]
    except csv.Error as error:
        raise UserError(f"{path}: not a CSV table ({error}); save it as 'CSV UTF-8'") from None
    return (lines[0], lines[1:]) if lines else ([], [])


def _check_header(
    path: Path, header: Sequence[str], columns: Sequence[str], optional: Sequence[str]
) -> None:
    if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
        raise UserError(f"{path}: the columns are not separated by commas; save it as CSV with ','")
    for number, name in enumerate(header, 1):
        if not name.strip():
            raise UserError(f"{path}: column {number} has no name; name it or delete the column")
        if name not in columns:
            raise UserError(
                f"{path}: unknown column {name!r}; {hint(name, columns, 'it may have')}"
            )
        if header.index(name) + 1 < number:
            raise UserError(f"{path}: the column {name!r} is there twice; delete one")
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


def read_table(path: Path, what: str) -> pd.DataFrame:
    """Return a .csv, .tsv or .parquet table; the cells of text files are text or None.

    Text is not converted: "007" is not a number, and "NA" is not empty. ``what`` names the content
    in errors. Raises :class:`UserError` naming the file.
    """
    import pandas as pd
    import pyarrow as pa

    if not path.is_file():
        raise UserError(f"{path}: there is no such table of {what}")
    try:
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(path)
        if path.suffix.lower() not in (".csv", ".tsv"):
            raise UserError(f"{path}: {what} are read from .csv, .tsv or .parquet; convert it")
        separator = "\t" if path.suffix.lower() == ".tsv" else ","
        # Only empty text is an empty cell: a style may be called "None" or "NA".
        frame = pd.read_csv(
            path, sep=separator, dtype=object, encoding="utf-8-sig", keep_default_na=False
        )
    except (ValueError, OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{path}: cannot be read as a table ({error}); save it again") from error
    frame.columns = [str(name).strip() for name in frame.columns]
    return frame.astype(object).map(_strip_cell)


def _strip_cell(cell: Any) -> Any:
    """Return a cell without surrounding spaces, None for an empty one."""
    return (cell.strip() or None) if isinstance(cell, str) else cell
