"""Checks of Excel workbooks and MATLAB files before their readers unpack them."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

from sfqa.untrusted import limits
from sfqa.untrusted.archives import check_members, open_archive, read_member
from sfqa.untrusted.limits import RefusedError, format_bytes

_MERGED = re.compile(rb'<(?:\w+:)?mergeCell\b[^>]*?\bref="([A-Za-z]+)(\d+):([A-Za-z]+)(\d+)"')
_CELL = re.compile(rb'<(?:\w+:)?c\b[^>]*?\br="([A-Za-z]+)(\d+)"')
_ROW = re.compile(rb'<(?:\w+:)?row\b[^>]*?\br="(\d+)"')
_MATLAB_HEADER_BYTES, _MATLAB_TAG_BYTES = 128, 8
_MATLAB_COMPRESSED = 15


def check_workbook(path: Path) -> None:
    """Raise :class:`RefusedError` for a workbook whose sheets would fill the memory.

    The reader makes an object of each cell between the first and the last one, and of each cell of
    a merged range. Raises the errors of ``zipfile`` for a file that is not a zip.
    """
    with open_archive(path) as archive:
        check_members(archive, limits.WORKBOOK_BYTES, limits.WORKBOOK_BYTES)
        for member in archive.infolist():
            if "worksheets/" in member.filename and member.filename.endswith(".xml"):
                _check_sheet(read_member(archive, member, limits.WORKBOOK_BYTES))


def _check_sheet(sheet: bytes) -> None:
    merged = 0
    for first_column, first_row, last_column, last_row in _MERGED.findall(sheet):
        rows = int(last_row) - int(first_row) + 1
        merged += rows * (_parse_column(last_column) - _parse_column(first_column) + 1)
    cells = [(_parse_column(column), int(row)) for column, row in _CELL.findall(sheet)]
    most_columns = max((column for column, _ in cells), default=0)
    rows_used = [row for _, row in cells] + [int(row) for row in _ROW.findall(sheet)]
    area = most_columns * max(rows_used, default=0)
    if max(merged, area) > limits.WORKBOOK_CELLS:
        raise RefusedError(
            f"a sheet reaches over {max(merged, area):,} cells; at most "
            f"{limits.WORKBOOK_CELLS:,} are read"
        )


def _parse_column(letters: bytes) -> int:
    """Return the number of a column.

    >>> _parse_column(b"A"), _parse_column(b"AB")
    (1, 28)
    """
    number = 0
    for letter in letters.upper()[:8]:
        number = 26 * number + letter - ord("A") + 1
    return number


def check_matlab(path: Path) -> None:
    """Raise :class:`RefusedError` for a MATLAB file whose compressed variables are too large.

    A file that is not of version 5 to 7 is left to the reader of the whole file, which refuses it.
    """
    total = 0
    with open(path, "rb") as file:
        header = file.read(_MATLAB_HEADER_BYTES)
        if len(header) < _MATLAB_HEADER_BYTES or header[126:128] not in (b"IM", b"MI"):
            return
        order = "little" if header[126:128] == b"IM" else "big"
        while len(tag := file.read(_MATLAB_TAG_BYTES)) == _MATLAB_TAG_BYTES:
            element = int.from_bytes(tag[:4], order)  # type: ignore[arg-type]
            size = int.from_bytes(tag[4:], order)  # type: ignore[arg-type]
            if element == _MATLAB_COMPRESSED:
                total += _count_unpacked(file.read(size))
            else:
                total += size
                file.seek(size, 1)
            if total > limits.WORKBOOK_BYTES:
                raise RefusedError(
                    f"it has more than {format_bytes(limits.WORKBOOK_BYTES)} unpacked"
                )


def _count_unpacked(packed: bytes) -> int:
    """Return the unpacked size of zlib data, at most a little over the limit."""
    unpacker, count = zlib.decompressobj(), 0
    try:
        while packed and count <= limits.WORKBOOK_BYTES:
            part = unpacker.decompress(packed, limits.MIB)
            packed = unpacker.unconsumed_tail
            count += len(part)
    except zlib.error:
        return count  # the reader of the whole file reports the damage
    return count
