"""Read tables that are no text of rows: JSON, Excel workbooks and MATLAB files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sfqa.errors import UserError
from sfqa.untrusted import limits
from sfqa.untrusted.documents import check_value_count, parse_json, read_limited
from sfqa.untrusted.limits import RefusedError
from sfqa.untrusted.workbooks import open_workbook
from sfqa.untrusted.worksheets import Sheet
from sfqa.user_tables.columns import shorten_cell
from sfqa.user_tables.matlab import read_matlab
from sfqa.user_tables.pandas_json import convert_pandas_json
from sfqa.user_tables.reader import is_numbering
from sfqa.user_tables.table import UserTable
from sfqa.user_tables.text import ZERO_WIDTH, decode_text, shorten

#: Column of the keys of a JSON object whose values are the rows.
KEY = "key"
#: Column of the values of a JSON object that maps each key to one number or text.
VALUE = "value"
_LINE_SUFFIXES = (".jsonl", ".ndjson")
_JSON_SUFFIXES = (".json", *_LINE_SUFFIXES)
#: Not the other line ends of Unicode, which may be in a text.
_LINE_END = re.compile(r"\r\n|\r|\n")


def is_structured(path: Path) -> bool:
    """Return whether a file is read by this module, by its suffix."""
    return path.suffix.lower() in (*_JSON_SUFFIXES, ".xlsx", ".xlsm", ".mat")


def read_structured(
    path: Path, sheet: str | None = None, columns: Sequence[str] | None = None
) -> UserTable:
    """Read a JSON, Excel or MATLAB file as a table; raises :class:`UserError` naming file and row.

    - JSON: a list of objects; one object per line; an object that maps each key to an object or to
      one value (columns :data:`KEY`, :data:`VALUE`); or an object with one list of objects in it.
      The fields of an object inside of an object get the name ``outer.inner``. The forms that
      pandas writes are read, too, see :mod:`sfqa.user_tables.pandas_json`; a list of lists needs
      ``columns``.
    - Excel: the sheet ``sheet``, by default the first. Its first row is the header, unless
      ``columns`` names the columns.
    - MATLAB: see :func:`sfqa.user_tables.matlab.read_matlab`.

    Rows are numbered from 1 in JSON lists and MATLAB files, as lines in JSON lines, and as the
    program shows them in a workbook.
    """
    suffix = path.suffix.lower()
    if suffix in _JSON_SUFFIXES:
        return _read_json(path, columns)
    if suffix == ".mat":
        return read_matlab(path)
    return _read_workbook(path, sheet, columns)


def _read_json(path: Path, names: Sequence[str] | None) -> UserTable:
    try:
        text = decode_text(path, read_limited(path, limits.JSON_BYTES))
        if path.suffix.lower() in _LINE_SUFFIXES or _has_object_per_line(text):
            if names is not None:
                raise UserError(f"{path}: its columns have names; leave 'header' out")
            check_value_count(text, ",[{\n\r")
            records = _read_json_lines(path, text)
        else:
            content = parse_json(text, allow_nan=True, object_pairs_hook=_build_object)
            content = convert_pandas_json(path, content, names, KEY)
            records = list(enumerate(_find_records(path, content), 1))
        _check_row_count(len(records))
        rows = [_flatten(record) for _, record in records]
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}, row {error.lineno}, column {error.colno}: not valid JSON ({error.msg}); "
            "correct it"
        ) from None
    except _RepeatedKeyError as error:
        raise UserError(
            f"{path}: the key {error.args[0]!r} is there twice in one object; keep one of them"
        ) from None
    except RecursionError:
        raise UserError(f"{path}: too many objects inside of each other; flatten it") from None
    except RefusedError as error:
        raise UserError(f"{path}: {error}; correct it, or write it as CSV") from None
    if not records:
        raise UserError(f"{path}: no rows in it; give one object per row")
    fields = dict.fromkeys(name for row in rows for name in row)
    if len(rows) * len(fields) > limits.JSON_CELLS:
        raise UserError(
            f"{path}: {len(rows):,} rows with {len(fields):,} different fields are more than "
            f"{limits.JSON_CELLS:,} cells; give all rows the same fields, or write it as "
            "Parquet"
        )
    columns = {name: [row.get(name) for row in rows] for name in fields}
    return UserTable(path, columns, [number for number, _ in records])


def _has_object_per_line(text: str) -> bool:
    """Return whether the first two lines of a text are JSON objects."""
    first, *rest = _LINE_END.split(text.strip(), maxsplit=1)
    lines = [first, *(_LINE_END.split(part.lstrip(), maxsplit=1)[0] for part in rest)]
    try:
        return len(lines) == 2 and all(isinstance(parse_json(line), Mapping) for line in lines)
    except ValueError:
        # A broken second line is told with its number.
        return len(lines) == 2 and lines[0].startswith("{") and lines[0].rstrip().endswith("}")


def _read_json_lines(path: Path, text: str) -> list[tuple[int, Mapping[str, Any]]]:
    """Return the objects of a file with one per line, with their line numbers."""
    lines = [(n, line) for n, line in enumerate(_LINE_END.split(text), 1) if line.strip()]
    _check_row_count(len(lines))
    records = []
    for number, line in lines:
        try:
            record = parse_json(line, allow_nan=True, object_pairs_hook=_build_object)
        except json.JSONDecodeError as line_error:
            raise UserError(
                f"{path}, row {number}: not valid JSON ({line_error.msg}); write one object per "
                "line"
            ) from None
        if not isinstance(record, Mapping):
            raise UserError(f"{path}, row {number}: no JSON object; write one object per line")
        # A line such as {"12": {"score": 3}} is a row with the key 12.
        ((key, value), *more) = record.items() or [("", None)]
        if not more and isinstance(value, Mapping):
            record = _add_key(key, value)
        records.append((number, record))
    return records


def _check_row_count(count: int) -> None:
    if count > limits.JSON_ROWS:
        raise RefusedError(
            f"it has {count:,} rows; of JSON {limits.JSON_ROWS:,} are read, of CSV and Parquet more"
        )


def _add_key(key: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an object with its own key; raises for a field of that name."""
    if KEY in fields:
        raise _RepeatedKeyError(KEY)
    return {KEY: key, **fields}


class _RepeatedKeyError(ValueError):
    """A key that occurs twice in a JSON object, of which Python would keep the last."""


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key, value in pairs:
        if key in fields:
            raise _RepeatedKeyError(key)
        fields[key] = value
    return fields


def _find_records(path: Path, content: Any) -> list[Mapping[str, Any]]:
    """Return the rows of a JSON document."""
    if isinstance(content, list):
        for number, record in enumerate(content, 1):
            if not isinstance(record, Mapping):
                raise UserError(
                    f"{path}, row {number}: {shorten_cell(record)} is no object; give one object "
                    "per row"
                )
        return content
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: neither a list nor an object; give a list of objects")
    lists = [v for v in content.values() if isinstance(v, list) and v]
    if len(lists) == 1 and all(isinstance(record, Mapping) for record in lists[0]):
        return lists[0]
    if lists:
        raise UserError(
            f"{path}: an object with lists in it, which may be rows or columns; write a list of "
            "objects, one per row"
        )
    are_objects = [isinstance(value, Mapping) for value in content.values()]
    if any(are_objects) and not all(are_objects):
        key = next(k for k, is_object in zip(content, are_objects, strict=True) if not is_object)
        raise UserError(
            f"{path}: the value of {key!r} is no object, but those of other keys are; write all "
            "rows alike"
        )
    if all(are_objects):
        return [_add_key(key, value) for key, value in content.items()]
    return [{KEY: key, VALUE: value} for key, value in content.items()]


def _flatten(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the fields of an object, those of inner objects under 'outer.inner'."""
    fields: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            more = _flatten(value, f"{prefix}{name}.")
        else:
            more = {f"{prefix}{name}".strip(): value}
        for column in more:
            if column in fields:
                raise _RepeatedKeyError(column)
        fields |= more
    return fields


def _read_workbook(path: Path, sheet: str | None, columns: Sequence[str] | None) -> UserTable:
    worksheet = _read_sheet(path, sheet)
    where = f"{path}, sheet {worksheet.title!r}"
    if worksheet.merged:
        raise UserError(
            f"{where}: the cells {worksheet.merged} are merged; write the value into each of them"
        )
    lines = [(number, _strip_cells(cells)) for number, cells in worksheet.rows.items()]
    lines = [(number, cells) for number, cells in lines if any(c not in (None, "") for c in cells)]
    if not lines:
        raise UserError(f"{where}: it is empty; give one row per video")
    if worksheet.missing_value:
        raise UserError(
            f"{where}, cell {worksheet.missing_value}: a formula without a stored value, or "
            "with one that was not computed; open the workbook in a spreadsheet program and save it"
        )
    if columns is None:
        header = ["" if cell is None else str(cell).strip() for cell in lines.pop(0)[1]]
    else:
        header = list(columns)
        width = max(len(_strip_end(cells)) for _, cells in lines)
        if width != len(header):
            raise UserError(
                f"{where}: {width} columns where 'header' has {len(header)} names; correct header"
            )
    return build_table(path, header, lines)


def _read_sheet(path: Path, name: str | None) -> Sheet:
    """Return a sheet of a workbook, the first by default."""
    try:
        with open_workbook(path) as workbook:
            titles = workbook.titles
            if not titles or (name is not None and name not in titles):
                listed_titles = ", ".join(titles) or "only charts"
                raise UserError(f"{path}: no sheet {name!r}; it has {listed_titles}")
            return workbook.read_sheet(titles[0] if name is None else name)
    except (UserError, MemoryError):
        raise
    except RefusedError as error:
        raise UserError(
            f"{path}: not an Excel workbook that can be read ({error}); save it again as .xlsx"
        ) from None
    except Exception as error:  # zip, zlib and codecs raise errors of many types
        raise UserError(
            f"{path}: not an Excel workbook ({shorten(error)}); save it as .xlsx"
        ) from None


def _strip_cells(cells: Sequence[Any]) -> list[Any]:
    return [cell.strip(ZERO_WIDTH).strip() if isinstance(cell, str) else cell for cell in cells]


def _strip_end(cells: Sequence[Any]) -> list[Any]:
    """Return cells without the empty ones at the end."""
    length = len(cells)
    while length and cells[length - 1] in (None, ""):
        length -= 1
    return list(cells[:length])


def build_table(
    path: Path, header: Sequence[str], lines: Iterable[tuple[int, list[Any]]]
) -> UserTable:
    """Return a table from a header and numbered rows; columns without name and cells are left out.

    Raises :class:`UserError` for a repeated name and for cells without a column.
    """
    lines = list(lines)
    left_out = {}
    if header and not header[0] and lines and is_numbering([cells[0] for _, cells in lines]):
        lines = [(number, [None, *cells[1:]]) for number, cells in lines]
        left_out[""] = "it holds the row numbers of the program that wrote the table"
    names: set[str] = set()
    for name in filter(None, header):
        if name in names:
            raise UserError(f"{path}, row 1: the column {name!r} is there twice; rename one")
        names.add(name)
    for number, cells in lines:
        extra = [k for k, cell in enumerate(cells) if cell is not None and not _name_at(header, k)]
        if extra:
            raise UserError(
                f"{path}, row {number}: {shorten_cell(cells[extra[0]])} is in column "
                f"{extra[0] + 1}, which has no name; name it or delete it"
            )
    named = [k for k, name in enumerate(header) if name]
    return UserTable(
        path,
        {header[k]: [cells[k] if k < len(cells) else None for _, cells in lines] for k in named},
        [number for number, _ in lines],
        left_out=left_out,
    )


def _name_at(header: Sequence[str], position: int) -> str:
    return header[position] if position < len(header) else ""
