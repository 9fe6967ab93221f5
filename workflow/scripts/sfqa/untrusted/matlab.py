"""Checks of MATLAB files before their reader unpacks them."""

from __future__ import annotations

import zlib
from pathlib import Path

from sfqa.untrusted import limits
from sfqa.untrusted.limits import RefusedError, format_bytes

_HEADER_BYTES, _TAG_BYTES = 128, 8
_COMPRESSED = 15


def check_matlab(path: Path) -> None:
    """Raise :class:`RefusedError` for a MATLAB file whose compressed variables are too large.

    A file that is not of version 5 to 7 is left to the reader of the whole file, which refuses it.
    """
    total = 0
    with open(path, "rb") as file:
        header = file.read(_HEADER_BYTES)
        if len(header) < _HEADER_BYTES or header[126:128] not in (b"IM", b"MI"):
            return
        order = "little" if header[126:128] == b"IM" else "big"
        while len(tag := file.read(_TAG_BYTES)) == _TAG_BYTES:
            element = int.from_bytes(tag[:4], order)  # type: ignore[arg-type]
            size = int.from_bytes(tag[4:], order)  # type: ignore[arg-type]
            if element == _COMPRESSED:
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
