"""Split the text of a CSV file into rows: encoding, separator, quotes; errors name the row."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sfqa.csv_text import restore_cell
from sfqa.errors import UserError
from sfqa.untrusted import limits
from sfqa.untrusted.documents import read_limited
from sfqa.untrusted.limits import RefusedError

#: Signs that may separate columns, with their names for messages.
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
#: Byte order marks; that of UTF-32 begins like that of UTF-16.
_BYTE_ORDER_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
#: Characters without width, which copied text often has at its ends.
ZERO_WIDTH = "\ufeff\u200b\u200e\u200f\u2060\u202a\u202c"
_MAX_SHOWN = 40
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]")
#: The first line in which spreadsheets may name the separator.
_SEPARATOR_LINE = re.compile(r'"?sep=([^"\r\n])"?(?:\r\n|\r|\n)')

#: A row as a spreadsheet counts it (the first line is row 1), and its cells without outer spaces.
Record = tuple[int, list[str]]


def decode_text(path: Path, data: bytes) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 or UTF-32 with a byte order mark.

    UTF-16 without the mark is recognised by its zero bytes. Raises :class:`UserError` for any other
    encoding.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return _decode_wide(path, data, encoding)
    if len(data) > 3 and not data[1:40:2].strip(b"\0"):
        return _decode_wide(path, data, "utf-16-le")
    if len(data) > 3 and not data[0:40:2].strip(b"\0"):
        return _decode_wide(path, data, "utf-16-be")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        where = f"byte {error.start}" + (f", row {row}" if row > 1 else "")
        raise UserError(f"{path}: not UTF-8 text ({where}); save it as 'CSV UTF-8'") from None


def _decode_wide(path: Path, data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding[:6].upper()
        raise UserError(
            f"{path}: not {name} text (byte {error.start}), and not UTF-8 text; save it as "
            "'CSV UTF-8'"
        ) from None


def read_text(path: Path) -> str:
    """Return the text of a file, see :func:`decode_text`; raises :class:`UserError`."""
    try:
        data = read_limited(path, limits.TABLE_TEXT_BYTES)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); correct the path") from error
    except RefusedError as error:
        raise UserError(f"{path}: {error}; write it as Parquet, or as several files") from error
    return decode_text(path, data)


def split_text(
    path: Path, text: str, separator: str | None = None, quotes: bool = True
) -> tuple[str, list[Record]]:
    """Return the separator of a text and its rows; rows without any text are left out.

    The separator is found from the header, unless one is given. Spaces around cells are removed,
    and the apostrophe of a cell such as '=1 that :mod:`sfqa.csv_text` writes. Without ``quotes``
    every quote is an ordinary character. Raises :class:`UserError` for an unclear separator, quotes
    that are not closed and control characters.

    >>> split_text(Path("a.csv"), 'video;mos\\n\\n"v;1"; 3,5\\n')
    (';', [(1, ['video', 'mos']), (3, ['v;1', '3,5'])])
    >>> split_text(Path("a.txt"), 'v1|the "red" one, running|3', "|", quotes=False)
    ('|', [(1, ['v1', 'the "red" one, running', '3'])])
    """
    first_row = 1
    match = _SEPARATOR_LINE.match(text)
    if match:
        text, first_row = text[match.end() :], 2
        separator = separator or match[1]
    with _allow_long_cells(text):
        separator = separator or _find_separator(path, text)
        if quotes:
            records = _split_rows(path, text, separator, first_row)
        else:
            records = _split_lines(text, separator, first_row)
    if _CONTROL.search(text):
        _check_control_characters(path, records)
    return separator, records


def _split_lines(text: str, separator: str, first_row: int) -> list[Record]:
    """Return the rows of a text in which quotes have no meaning."""
    lines = enumerate(re.split(r"\r\n|\r|\n", text), first_row)
    rows = ((n, [c.strip(ZERO_WIDTH).strip() for c in line.split(separator)]) for n, line in lines)
    return [(number, cells) for number, cells in rows if any(cells)]


@contextmanager
def _allow_long_cells(text: str) -> Iterator[None]:
    """Lift the limit of the csv module, 128 KiB for a cell: a printed embedding may be longer."""
    limit = csv.field_size_limit(max(131072, len(text) + 1))
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _iterate_rows(text: str, separator: str, strict: bool = True) -> Iterator[list[str]]:
    handle = io.StringIO(text, newline="")
    return csv.reader(handle, delimiter=separator, strict=strict, skipinitialspace=True)


def _find_separator(path: Path, text: str) -> str:
    """Return the sign that splits the header.

    If several signs do, it is the only one that splits every row into as many cells.
    """
    widths = {}
    for separator in SEPARATORS:
        try:
            header = next(_iterate_rows(text, separator), [])
        except csv.Error:
            continue
        # A quote inside a name: the sign is in a name with quotes, such as "a;b".
        if len(header) > 1 and not any('"' in name for name in header):
            widths[separator] = len(header)
    if len(widths) < 2:
        return next(iter(widths), ",")
    regular = [s for s, width in widths.items() if _is_regular(text, s, width)]
    if len(regular) == 1:
        return regular[0]
    if path.suffix.lower() == ".tsv" and "\t" in (regular or widths):
        return "\t"
    if not regular:
        return "," if "," in widths else next(iter(widths))
    names = " or ".join(SEPARATORS[separator] for separator in regular)
    raise UserError(
        f"{path}, row 1: the columns may be separated by {names}; put quotes round the names and "
        "cells that hold such a sign"
    )


def _is_regular(text: str, separator: str, width: int) -> bool:
    """Return whether every row has as many cells as the header, but for one empty cell more."""
    try:
        rows = [row for row in _iterate_rows(text, separator) if row]
    except csv.Error:
        return False
    surplus = {len(row) - width for row in rows[1:]}
    return surplus <= {0} or (surplus == {1} and not any(row[-1].strip() for row in rows[1:]))


def _split_rows(path: Path, text: str, separator: str, first_row: int) -> list[Record]:
    edges = ZERO_WIDTH if any(character in text for character in ZERO_WIDTH) else ""
    has_apostrophes = "'" in text
    records: list[Record] = []
    number = first_row - 1
    try:
        for number, row in enumerate(_iterate_rows(text, separator), first_row):
            cells = [cell.strip() for cell in row]
            if edges:
                cells = [cell.strip(edges).strip() for cell in cells]
            if has_apostrophes:
                cells = [restore_cell(cell) for cell in cells]
            if any(cells):
                records.append((number, cells))
    except csv.Error as error:
        raise _explain_quotes(path, text, separator, number + 1, first_row, error) from None
    return records


def _explain_quotes(
    path: Path, text: str, separator: str, number: int, first_row: int, error: csv.Error
) -> UserError:
    """Return the error for a row that the csv module cannot read."""
    rows = list(_iterate_rows(text, separator, strict=False))
    where = f"{path}, row {number}"
    if "unexpected end of data" in str(error):
        column = len(rows[-1]) - 1
        header = rows[0] if column < len(rows[0]) and number > first_row else []
        name = header[column].strip() if header else str(column + 1)
        return UserError(
            f"{where}, column {name}: holds a line break (a quote that is not closed, maybe); "
            "close it, or delete the quote"
        )
    return UserError(
        f"{where}: text follows a closed quote ({error}); write a quote inside of quotes twice"
    )


def _check_control_characters(path: Path, records: list[Record]) -> None:
    header = records[0][1] if records else []
    for number, cells in records:
        for column, cell in enumerate(cells):
            match = _CONTROL.search(cell)
            if match:
                is_header = cells is header or column >= len(header)
                name = str(column + 1) if is_header else header[column]
                raise UserError(
                    f"{path}, row {number}, column {name}: holds the invisible character "
                    f"U+{ord(match[0]):04X}; delete it"
                )


def shorten(content: object) -> str:
    """Return what a message shows of a text or an error: at most some 40 characters of it."""
    words = str(content).strip()
    return words if len(words) <= _MAX_SHOWN else f"{words[: _MAX_SHOWN - 3]}..."
