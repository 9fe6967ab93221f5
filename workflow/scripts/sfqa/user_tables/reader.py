"""The reader of users' tables: files to columns of cells, with row numbers and notes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa.errors import UserError
from sfqa.untrusted.limits import RefusedError
from sfqa.untrusted.parquet import read_parquet
from sfqa.user_tables import numbers, text
from sfqa.user_tables.table import UserTable

if TYPE_CHECKING:
    import pyarrow as pa

_PARQUET_SUFFIXES = (".parquet", ".pq")
_TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
#: First bytes of files that have another name than they should, and what they are.
_SIGNATURES = {
    b"PK\x03\x04": "an Excel workbook or a zip",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "gzip",
}
#: Names that pandas gives to the row numbers of a table without a named index.
_INDEX_NAME = re.compile(r"__index_level_\d+__|Unnamed: \d+(\.\d+)*")


def read_table(
    path: Path | str,
    what: str = "rows",
    *,
    named: Collection[str] = (),
    allow_short_rows: bool = False,
    has_header: bool = True,
    check_header: Callable[[list[str]], None] | None = None,
    separator: str | None = None,
    quotes: bool = True,
) -> UserTable:
    """Read a .csv, .tsv, .txt or .parquet file; raises :class:`UserError` naming file and row.

    Text is UTF-8 or UTF-16; columns are separated by commas, semicolons, tabs or bars, as the
    header tells. Rows without text are skipped. A separator at the end of every row is ignored, any
    other row whose length differs from the header's is an error; with ``allow_short_rows``, cells
    that are missing at the end are empty. Row numbers that pandas wrote as a column are left out
    with a note, except those in ``named``: names of columns that the user asked for. Without a
    header (``has_header=False``) columns are called "1", "2", ...

    ``separator`` is the character between columns if it cannot be found from the header; without
    ``quotes``, quotes are ordinary characters. ``what`` names the content in messages.
    ``check_header`` is called with the names of the columns
    before the rows are looked at.

    >>> import tempfile; path = Path(tempfile.mkdtemp()) / "t.csv"
    >>> _ = path.write_text("video;mos\\nv1;3,5\\nv2;4\\n")
    >>> table = read_table(path)
    >>> table.columns["video"], table.read_numbers("mos").values, table.rows
    (['v1', 'v2'], [3.5, 4.0], [2, 3])
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: there is no such table of {what}; correct the path")
    try:
        with open(path, "rb") as handle:
            first_bytes = handle.read(8)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); correct it") from error
    suffix = path.suffix.lower()
    if suffix not in _PARQUET_SUFFIXES + _TEXT_SUFFIXES:
        raise UserError(f"{path}: {what} must be .csv, .tsv or .parquet; convert it")
    if first_bytes.startswith(b"PAR1"):
        table = _read_parquet(path)
        if check_header:
            check_header([name for name in table.columns if not _is_index_name(name)])
    elif suffix in _PARQUET_SUFFIXES:
        raise UserError(
            f"{path}: not a Parquet file; write it again, or name it .csv if it is text"
        )
    else:
        records, separator = _read_records(path, what, first_bytes, separator, quotes)
        if not has_header:
            records.insert(0, (0, [str(k + 1) for k in range(len(records[0][1]))]))
        columns, rows = _build_columns(path, records, separator, allow_short_rows, check_header)
        table = UserTable(path, columns, rows, separator)
    if has_header:
        _leave_out_repeated_headers(table)
        _leave_out_row_numbers(table, named)
        if check_header:
            check_header(list(table.columns))
    return table


def _read_parquet(path: Path) -> UserTable:
    import pyarrow as pa

    try:
        frame = read_parquet(path)
        columns = [_list_cells(column) for column in frame.columns]
    except RefusedError as error:
        raise UserError(f"{path}: {error}; write it as CSV, or fewer rows") from error
    except MemoryError as error:
        raise UserError(
            f"{path}: not enough memory for the table; write fewer rows or columns"
        ) from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(
            f"{path}: not a whole Parquet file ({text.shorten(error)}); write it again"
        ) from error
    header = [str(name).strip() for name in frame.column_names]
    _check_names(path, header, range(len(header)))
    rows = list(range(1, frame.num_rows + 1))
    return UserTable(path, dict(zip(header, columns, strict=True)), rows)


def _list_cells(column: pa.ChunkedArray) -> list[Any]:
    """Return the cells of a column, None for missing ones; equal texts are one object."""
    import pyarrow as pa

    is_number = pa.types.is_integer(column.type) or pa.types.is_float64(column.type)
    if not is_number and not pa.types.is_string(column.type):
        return list(column.to_pylist())
    cells: list[Any] = []
    for chunk in column.chunks:
        if is_number:
            values = chunk.fill_null(0).to_numpy().tolist()
            missing = chunk.is_null().to_numpy(zero_copy_only=False)
            cells += [None if m else value for value, m in zip(values, missing, strict=True)]
        else:
            encoded = chunk.dictionary_encode()
            texts = [*encoded.dictionary.to_pylist(), None]
            cells += [
                texts[n] for n in encoded.indices.fill_null(len(texts) - 1).to_numpy().tolist()
            ]
    return cells


def _read_records(
    path: Path, what: str, first_bytes: bytes, separator: str | None, quotes: bool
) -> tuple[list[text.Record], str]:
    """Return the rows of a text file, with the header, and its separator."""
    for signature, file_type in _SIGNATURES.items():
        if first_bytes.startswith(signature):
            raise UserError(f"{path}: not text, it is {file_type}; save it as 'CSV UTF-8'")
    content = text.read_text(path)
    used_separator, records = text.split_text(path, content, separator, quotes)
    if not records:
        raise UserError(f"{path}: the file is empty; write a header and one row for each of {what}")
    return records, used_separator


def _build_columns(
    path: Path,
    records: list[text.Record],
    separator: str,
    allow_short_rows: bool,
    check_header: Callable[[list[str]], None] | None,
) -> tuple[dict[str, list[Any]], list[int]]:
    """Return the cells by column and the row numbers of rows whose first one is the header."""
    (header_row, header), body = records[0], records[1:]
    width = _find_width(header, body)
    if allow_short_rows:
        body = [(number, cells + [""] * (width - len(cells))) for number, cells in body]
    # A column without a name may be empty; look before the cells are counted.
    filled = [k for k in range(width) if header[k] or any(c[k] for _, c in body if k < len(c))]
    _check_names(path, header, filled)
    if check_header:
        check_header([header[k] for k in filled if not _is_index_name(header[k])])
    has_same_surplus = len({len(cells) for _, cells in body}) == 1
    for number, cells in body:
        has_surplus = len(cells) > width and (any(cells[width:]) or not has_same_surplus)
        if len(cells) < width or has_surplus:
            first_row = header[:width] if header_row else []
            message = _describe_length(path, number, cells, width, first_row, separator)
            if first_row and {len(c) for _, c in body} == {width + 1}:
                message += (
                    "; every row has one more: if the first column holds names or numbers of rows, "
                    "name it in the header"
                )
            raise UserError(message)
    cells_by_column = list(zip(*(cells[:width] for _, cells in body), strict=True))
    columns = {header[k]: list(cells_by_column[k]) if body else [] for k in filled}
    return columns, [number for number, _ in body]


def _find_width(header: list[str], body: list[text.Record]) -> int:
    """Return the number of columns: that of the header without separators at its end."""
    longest = max((len(cells) for _, cells in body), default=len(header))
    width = len(header)
    while width > 1 and not header[width - 1] and width > longest:
        width -= 1
    return width


def _describe_length(
    path: Path, number: int, cells: list[str], width: int, header: list[str], separator: str
) -> str:
    """Return the error for a row with too many or too few cells.

    ``header`` is empty if the table has none.
    """
    first_row = "the header" if header else "the first row"
    remedy = "quote cells that hold a separator, or correct the row"
    difference = ""
    if len(cells) > width:
        difference = f" (the first cell too many: {text.shorten(cells[width])!r})"
        if separator == ",":
            remedy = "put quotes round a cell that holds a comma, or delete the extra one"
    elif header:
        difference = f" (none for the column {header[len(cells)]!r})"
    return (
        f"{path}, row {number}: {len(cells)} cells where {first_row} has {width}{difference}; "
        f"{remedy}"
    )


def _check_names(path: Path, header: Sequence[str], columns: Sequence[int]) -> None:
    """Raise :class:`UserError` for a name that occurs twice, or for a column without a name.

    The first column may have none: it may hold row numbers.
    """
    first_column: dict[str, int] = {}
    for k in columns:
        name = header[k]
        if not name and k > 0:
            raise UserError(
                f"{path}, row 1: column {k + 1} has no name; name it or delete the column"
            )
        if name in first_column:
            raise UserError(
                f"{path}, row 1: the column {name!r} is there twice; delete one or rename it "
                f"(columns {first_column[name] + 1} and {k + 1})"
            )
        first_column[name] = k


def _leave_out_row_numbers(table: UserTable, named: Collection[str]) -> None:
    """Remove the columns in which pandas stores row numbers, and note it.

    They have no name, or one of pandas' own, and hold different whole numbers. Raises
    :class:`UserError` for another column without a name.
    """
    for name in [name for name in table.columns if _is_index_name(name) and name not in named]:
        cells = table.columns[name]
        is_stored = name.startswith("__index")
        # The number in "Unnamed: 0" says that the column was the first one, as row numbers are.
        is_first = name == "" or bool(re.match(r"Unnamed: 0\b", name))
        if (is_first or is_stored) and is_numbering(cells):
            del table.columns[name]
            table.left_out[name] = "it holds the row numbers of the program that wrote the table"
        elif not name:
            raise UserError(f"{table.path}, row 1: column 1 has no name; name it or delete it")
        elif not is_stored and any(numbers.parse_number(cell) is not None for cell in cells):
            raise UserError(
                f"{table.path}, row 1: the column {name!r} had no name when pandas wrote the "
                "table; name it or delete the column"
            )


def _leave_out_repeated_headers(table: UserTable) -> None:
    """Remove the rows that repeat the header, as tables that were put one after the other do."""
    names = [name for name in table.columns if name]
    for index in reversed(range(len(table.rows))):
        if all(table.columns[name][index] == name for name in names):
            table.leave_out_row(index, "it is left out: it repeats the header")


def _is_index_name(name: str) -> bool:
    return not name or bool(_INDEX_NAME.fullmatch(name))


def is_numbering(cells: Sequence[Any]) -> bool:
    """Return whether cells are different whole numbers, as row numbers are in any order.

    >>> is_numbering(["2", "0", "7"]), is_numbering(["1.5", "2"]), is_numbering([3, 3])
    (True, False, False)
    """
    values = [numbers.parse_number(cell) for cell in cells]
    integers = [v for v in values if v is not None and math.isfinite(v) and v == int(v) and v >= 0]
    return len(integers) == len(cells) == len(set(integers))
