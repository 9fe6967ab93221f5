"""Checks of MATLAB files before their reader unpacks them.

SciPy follows the types, sizes and dimensions that a file of version 5 states: a wrong type ends
the process, and large dimensions fill the memory.

Source: MAT-File Format (MathWorks), Level 5.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from sfqa.untrusted import limits
from sfqa.untrusted.limits import RefusedError, format_bytes

_HEADER_BYTES, _TAG_BYTES = 128, 8
_INT32, _UINT32, _MATRIX, _COMPRESSED = 5, 6, 14, 15
_MATRIX_TYPE = frozenset((_MATRIX,))
_NUMBERS = frozenset((1, 2, 3, 4, 5, 6, 7, 9, 12, 13))
_TEXTS = _NUMBERS | {16, 17, 18}
_CELL, _STRUCT, _OBJECT, _CHAR, _SPARSE, _FUNCTION, _OPAQUE = 1, 2, 3, 4, 5, 16, 17
_CLASSES = range(1, 18)
_COMPLEX = 0x0800
#: Version 4: the largest number that describes how a matrix is stored, and bytes of a number by its
#: digit for tens.
_LAST_LAYOUT, _NUMBER_BYTES = 5000, {0: 8, 1: 4, 2: 4, 3: 2, 4: 2, 5: 1}
#: Levels of cells and structs. SciPy calls itself for each.
_DEPTH = 50

_TOO_LARGE = f"it has more than {format_bytes(limits.WORKBOOK_BYTES)} unpacked"

_Order = Literal["little", "big"]


@dataclass
class _Counts:
    """The elements and the values of all matrices; a value may have one byte, and 40 in a list."""

    elements: int = 0
    values: int = 0


def check_matlab(path: Path) -> None:
    """Raise :class:`RefusedError` for a MATLAB file that contradicts itself or is too large.

    Files of version 5 to 7 are checked whole; the numbers of version 4 have to be in the file. A
    file that is none of these, such as one of version 7.3, is left to the reader, which refuses it.
    """
    total, counts = 0, _Counts()
    with open(path, "rb") as file:
        header = file.read(_HEADER_BYTES)
        if 0 in header[:4]:
            _check_version_4(header + file.read(limits.WORKBOOK_BYTES))
            return
        # As SciPy decides, which reads any other mark as that of the other byte order.
        order: _Order = "little" if header[126:128] == b"IM" else "big"
        if header[125 if header[126:127] == b"I" else 124 :][:1] != b"\1":
            return
        while len(tag := file.read(_TAG_BYTES)) == _TAG_BYTES:
            element_type, size = int.from_bytes(tag[:4], order), int.from_bytes(tag[4:], order)
            room = limits.WORKBOOK_BYTES - total
            variable = _read_variable(file, element_type, size, room)
            total += len(variable)
            if element_type == _COMPRESSED:
                _check_elements(memoryview(variable), order, counts)
            elif element_type == _MATRIX:
                _check_matrix(memoryview(variable), order, 0, counts)
            else:
                raise RefusedError(f"it has a variable of the unknown type {element_type}")


def _check_version_4(data: bytes) -> None:
    """Raise :class:`RefusedError` for a file of version 4 that declares more than it holds."""
    position = 0
    layout = int.from_bytes(data[:4], "little")
    order = "<" if layout <= _LAST_LAYOUT else ">"  # of all variables
    while position + 20 <= len(data):
        layout, rows, columns, complex_flag, name_bytes = struct.unpack_from(
            f"{order}5i", data, position
        )
        number_bytes = _NUMBER_BYTES.get(layout // 10 % 10, 8)
        size = rows * columns * number_bytes * (2 if complex_flag == 1 else 1)
        position += 20 + name_bytes + size
        if min(rows, columns, name_bytes) < 0 or position > len(data):
            raise RefusedError(f"it declares {rows} x {columns} numbers in {len(data):,} bytes")


def _read_variable(file: IO[bytes], element_type: int, size: int, room: int) -> bytes:
    """Return the bytes of a variable, unpacked; at most ``room`` are allowed."""
    if element_type != _COMPRESSED and size > room:
        raise RefusedError(_TOO_LARGE)
    data = file.read(min(size, limits.WORKBOOK_BYTES))
    if element_type != _COMPRESSED:
        if len(data) < size:
            raise RefusedError("it ends inside of a variable")
        return data
    try:
        if _count_unpacked(data, room) > room:  # before a buffer of that size is made
            raise RefusedError(_TOO_LARGE)
        return zlib.decompressobj().decompress(data)
    except zlib.error as error:
        raise RefusedError(f"a compressed variable in it is damaged ({error})") from error


def _count_unpacked(packed: bytes, room: int) -> int:
    """Return the unpacked size of zlib data, at most a little over ``room``."""
    unpacker, count = zlib.decompressobj(), 0
    while packed and count <= room and not unpacker.eof:
        count += len(unpacker.decompress(packed, limits.MIB))
        packed = unpacker.unconsumed_tail
    return count


def _check_elements(data: memoryview, order: _Order, counts: _Counts) -> None:
    """Check an unpacked variable, which is one matrix."""
    element_type, content, _ = _split_element(data, 0, order)
    if element_type != _MATRIX:
        raise RefusedError(f"it has a variable of the unknown type {element_type}")
    _check_matrix(content, order, 0, counts)


def _split_element(data: memoryview, position: int, order: _Order) -> tuple[int, memoryview, int]:
    """Return the type and content of an element, and the position of the next one."""
    element_type = int.from_bytes(data[position : position + 4], order)
    start, size = position + _TAG_BYTES, int.from_bytes(data[position + 4 : position + 8], order)
    if element_type >> 16:  # up to four bytes of content are in the tag
        start, size, element_type = position + 4, element_type >> 16, element_type & 0xFFFF
    is_short = start == position + 4
    if (
        element_type not in _TEXTS | {_MATRIX}
        or (is_short and size > 4)
        or start + size > len(data)
    ):
        raise RefusedError(f"an element in it has the type {element_type} and {size:,} bytes")
    return element_type, data[start : start + size], start + size + -(start + size) % 8


def _check_matrix(content: memoryview, order: _Order, depth: int, counts: _Counts) -> None:
    """Raise :class:`RefusedError` for a matrix that contradicts itself, or for too many of them.

    The elements are as many, and of such types, as its class and dimensions say, because SciPy
    takes what is missing from behind the matrix.
    """
    if depth > _DEPTH:
        raise RefusedError(f"its cells and structs are nested deeper than {_DEPTH}")
    if not content:
        return
    elements: list[tuple[int, memoryview]] = []
    position = 0
    while position < len(content):
        element_type, data, position = _split_element(content, position, order)
        elements.append((element_type, data))
        counts.elements += 1
        if counts.elements > limits.MATLAB_ELEMENTS:
            raise RefusedError(f"it has more than {limits.MATLAB_ELEMENTS:,} elements")
    flags = elements[0][1]
    matrix_class = int.from_bytes(flags[:4], order) & 0xFF
    if elements[0][0] != _UINT32 or len(flags) != 8 or matrix_class not in _CLASSES:
        raise RefusedError(f"a matrix in it has the unknown class {matrix_class}")
    if matrix_class in (_FUNCTION, _OPAQUE):
        # The dimensions and the name of a function; three names of an object without dimensions.
        expected = _TEXTS, 2 if matrix_class == _FUNCTION else 3, _MATRIX_TYPE, 1
    else:
        has_parts = bool(int.from_bytes(flags[:4], order) & _COMPLEX)
        expected = _expect_elements(elements, matrix_class, has_parts, len(content), order, counts)
    text_types, texts, value_types, values = expected
    types = [element_type for element_type, _ in elements[1:]]
    is_whole = (
        len(types) == texts + values
        and text_types.issuperset(types[:texts])
        and value_types.issuperset(types[texts:])
    )
    if not is_whole:
        raise RefusedError(f"a matrix of the class {matrix_class} in it lacks a part")
    for element_type, data in elements:
        if element_type == _MATRIX:
            _check_matrix(data, order, depth + 1, counts)


def _expect_elements(
    elements: list[tuple[int, memoryview]], matrix_class: int, is_complex: bool, size: int,
    order: _Order, counts: _Counts,
) -> tuple[frozenset[int], int, frozenset[int], int]:  # fmt: skip
    """Return the types and number of the elements before the values, and of the values."""
    # Some programs write the dimensions without a sign, and the name as UTF-8.
    if len(elements) < 3 or elements[1][0] not in (_INT32, _UINT32) or elements[2][0] not in _TEXTS:
        raise RefusedError("a matrix in it has no dimensions or no name")
    dimensions = elements[1][1]
    sides = [
        int.from_bytes(dimensions[n : n + 4], order, signed=True)
        for n in range(0, len(dimensions), 4)
    ]
    count = math.prod(sides)
    if len(sides) < 2 or min(sides) < 0 or (count > size and matrix_class != _SPARSE):
        raise RefusedError(f"a matrix in it declares {count:,} values in {size:,} bytes")
    if matrix_class != _SPARSE:
        counts.values += count
    if counts.values > limits.WORKBOOK_CELLS:
        raise RefusedError(f"it has more than {limits.WORKBOOK_CELLS:,} values")
    if matrix_class == _CELL:
        return _TEXTS, 2, _MATRIX_TYPE, count
    if matrix_class in (_STRUCT, _OBJECT):
        texts = 4 if matrix_class == _STRUCT else 5
        if len(elements) <= texts:
            raise RefusedError("a struct in it has no fields")
        length = int.from_bytes(elements[texts - 1][1], order)
        fields = len(elements[texts][1]) // length if length else 0
        return _TEXTS, texts, _MATRIX_TYPE, count * fields
    if matrix_class == _CHAR:
        return _TEXTS, 2, _TEXTS, 1
    return _TEXTS, 2, _NUMBERS, (3 if matrix_class == _SPARSE else 1) + is_complex
