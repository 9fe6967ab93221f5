"""What a Parquet file unpacks to: counted from its footer and the headers of all its pages.

A footer may state other sizes than the pages have, so the headers of the pages are read, too. They
are what Arrow allocates by.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sfqa.untrusted import limits
from sfqa.untrusted.limits import RefusedError, format_bytes
from sfqa.untrusted.thrift import ThriftReader

_MAGIC = b"PAR1"
#: Numbers of fields, types and encodings in parquet.thrift.
_SCHEMA, _GROUPS, _KEY_VALUES = 2, 4, 5
_CHILDREN = 5
_DATA_PAGE, _DICTIONARY_PAGE, _DATA_PAGE_V2 = 0, 2, 3
_PAGE_HEADERS = {_DATA_PAGE: 5, _DICTIONARY_PAGE: 7, _DATA_PAGE_V2: 8}
_BYTE_ARRAY, _FIXED_BYTE_ARRAY = 6, 7
_DELTA_BYTE_ARRAY = 7
_MAX_DEPTH = 32


@dataclass
class ColumnSize:
    """What the pages of a column hold: values, bytes unpacked, and the most that text can be.

    ``depth``: the levels of a nested column, 1 of any other.
    """

    is_text: bool
    width: int
    depth: int
    values: int = 0
    unpacked: int = 0
    dictionary: int = 0
    repeats_prefixes: bool = False

    @property
    def text_bound(self) -> int:
        """Bytes that the text of all cells cannot exceed: it may repeat what is stored once."""
        if self.repeats_prefixes:
            return self.unpacked * self.values
        return self.unpacked + self.dictionary * self.values if self.is_text else 0


@dataclass(frozen=True)
class TableSize:
    """Rows of all row groups, and the sizes of the columns in the order of the schema's leaves."""

    rows: int
    columns: list[ColumnSize]


def measure_pages(path: Path | str) -> TableSize:
    """Return the sizes of a Parquet file; raises :class:`RefusedError` for a wrong description.

    Raises ``ValueError`` for a file whose end is missing.
    """
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        size = len(data)
        length = int.from_bytes(data[-8:-4], "little")
        if size < 12 or data[-4:] != _MAGIC or length > size - 12:
            raise ValueError("its end is not that of a Parquet file")
        if length > limits.TABLE_FOOTER_BYTES:
            raise RefusedError(
                f"its footer has more than {format_bytes(limits.TABLE_FOOTER_BYTES)}"
            )
        reader = ThriftReader(data[-8 - length : -8], 0, limits.TABLE_FOOTER_VALUES)
        try:
            footer = reader.read_struct()
            columns = _list_columns(footer[_SCHEMA])
            if len(columns) > limits.TABLE_COLUMNS:
                raise RefusedError(
                    f"it has {len(columns):,} columns; at most {limits.TABLE_COLUMNS:,} are read"
                )
            _check_arrow_schema(footer, reader.data, len(columns))
            pages = ThriftReader(data, 0, reader.values_left)
            rows = 0
            for group in footer.get(_GROUPS, []):
                rows += _require_count(group[3])
                for column, chunk in zip(columns, group[1], strict=True):
                    _add_pages(column, chunk[3], pages)
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, RefusedError):
                raise
            raise RefusedError("its description lacks what Parquet files have") from error
        return TableSize(max(rows, _require_count(footer[3])), columns)


def _require_count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise RefusedError("its description has a size that is not a number")
    return value


def _list_columns(schema: list[dict[int, Any]]) -> list[ColumnSize]:
    """Return the leaves of a schema, which lists each node before its children."""
    columns = []
    open_children = [1]  # of the nodes above
    for node in schema:
        if not open_children:
            raise RefusedError("its schema has more nodes than it states")
        open_children[-1] -= 1
        children = _require_count(node.get(_CHILDREN, 0))
        if children:
            open_children.append(children)
            if len(open_children) > _MAX_DEPTH:
                raise RefusedError(f"its columns are nested deeper than {_MAX_DEPTH}")
        else:
            width = _require_count(node.get(2, 0)) if node.get(1) == _FIXED_BYTE_ARRAY else 0
            depth = len(open_children) - 1  # without the root
            columns.append(ColumnSize(node.get(1) == _BYTE_ARRAY, width, depth))
        while open_children and not open_children[-1]:
            open_children.pop()
    if open_children:
        raise RefusedError("its schema has fewer nodes than it states")
    return columns


def _check_arrow_schema(footer: dict[int, Any], data: Any, columns: int) -> None:
    """Refuse a second schema (ARROW:schema) that is too long for the columns.

    Arrow builds its nodes, which a few bytes can repeat. It holds the other metadata, too.
    """
    lengths = {b"ARROW:schema": 0}
    for entry in footer.get(_KEY_VALUES, []):
        key, value = entry[1], entry.get(2, range(0))
        lengths[bytes(data[key.start : key.stop])] = len(value)
    length = lengths.pop(b"ARROW:schema")
    if length > 4096 + 1000 * columns + 2 * sum(lengths.values()):
        raise RefusedError(f"its Arrow schema has {length:,} bytes for {columns:,} columns")


def _add_pages(column: ColumnSize, chunk: dict[int, Any], pages: ThriftReader) -> None:
    """Add the pages of a column in one row group, as many as Arrow reads."""
    start, total = _require_count(chunk[9]), _require_count(chunk[5])
    if 0 < _require_count(chunk.get(11, 0)) < start:
        start = chunk[11]
    end = min(start + _require_count(chunk[7]), len(pages.data))
    position, values = start, 0
    while values < total and position < end:
        pages.position = position
        header = pages.read_struct()
        unpacked, packed = _require_count(header[2]), _require_count(header[3])
        position = pages.position + packed
        column.unpacked += unpacked
        if header[1] not in _PAGE_HEADERS:
            continue
        page = header[_PAGE_HEADERS[header[1]]]
        if header[1] == _DICTIONARY_PAGE:
            column.dictionary = max(column.dictionary, unpacked)
            continue
        values += _require_count(page[1])
        column.repeats_prefixes |= page[4 if header[1] == _DATA_PAGE_V2 else 2] == _DELTA_BYTE_ARRAY
    column.values += values
