"""A reader of Thrift's compact protocol, in which Parquet describes its columns and pages."""

from __future__ import annotations

from mmap import mmap
from typing import Any

from sfqa.untrusted.limits import RefusedError

#: Types of fields and entries: truth values, whole numbers, and those with content.
_TRUE, _FALSE, _BYTE, _INTEGERS, _DOUBLE, _BINARY = 1, 2, 3, (4, 5, 6), 7, 8
_LISTS, _MAP, _STRUCT = (9, 10), 11, 12
_MAX_DEPTH = 16


class ThriftReader:
    """Reads structures from bytes, and counts the values, at most ``max_values`` in all."""

    def __init__(self, data: bytes | mmap, position: int, max_values: int) -> None:
        self.data, self.position, self.values_left = data, position, max_values

    def read_struct(self, depth: int = 0) -> dict[int, Any]:
        """Return the fields of a structure by number.

        Whole numbers are int, structures dict, lists of them list; of a text, the range of its
        bytes; lists of anything else are None. Raises :class:`RefusedError` for a wrong
        structure, too many values, and a field that occurs twice.

        >>> ThriftReader(b"\\x15\\x04\\x15\\x06\\x00", 0, 10).read_struct()
        {1: 2, 2: 3}
        """
        try:
            return self._read_struct(depth)
        except IndexError:
            raise RefusedError("its description ends in the middle") from None

    def _read_struct(self, depth: int) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while header := self._read_byte():
            field_type, step = header & 15, header >> 4
            number = number + step if step else self._read_integer()
            if number in fields:
                raise RefusedError("its description states a value twice")
            fields[number] = self._read_value(field_type, depth)
        return fields

    def _read_byte(self) -> int:
        if self.position < 0:
            raise IndexError
        value = self.data[self.position]
        self.position += 1
        return value

    def _read_unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self._read_byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise RefusedError("its description has a number that is too long")

    def _read_integer(self) -> int:
        value = self._read_unsigned()
        return (value >> 1) ^ -(value & 1)

    def _read_value(self, value_type: int, depth: int) -> Any:
        self.values_left -= 1
        if self.values_left < 0:
            raise RefusedError("its description has too many values")
        if depth > _MAX_DEPTH:
            raise RefusedError("its description is nested too deep")
        if value_type in (_TRUE, _FALSE):
            return value_type == _TRUE
        if value_type in _INTEGERS:
            return self._read_integer()
        if value_type == _BYTE:
            return self._read_byte()
        if value_type in (_DOUBLE, _BINARY):
            length = 8 if value_type == _DOUBLE else self._read_unsigned()
            start = self.position
            self.position += length
            return range(start, self.position)
        if value_type in _LISTS:
            return self._read_list(depth + 1)
        if value_type == _STRUCT:
            return self._read_struct(depth + 1)
        raise RefusedError(f"its description has a value of the type {value_type}")

    def _read_list(self, depth: int) -> list[Any] | None:
        header = self._read_byte()
        count, entry_type = header >> 4, header & 15
        if count == 15:
            count = self._read_unsigned()
        if entry_type in (_TRUE, _FALSE):  # a byte each, other than as fields
            self.position += count
            return None
        entries = []
        for _ in range(count):
            entry = self._read_value(entry_type, depth)
            if entry_type == _STRUCT or entry_type in _INTEGERS:
                entries.append(entry)
        return entries
