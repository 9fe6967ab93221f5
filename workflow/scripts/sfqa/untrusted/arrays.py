"""The reader of NumPy arrays: the header must declare as many bytes as the file has."""

from __future__ import annotations

import ast
import math
import re
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from sfqa.arrays import AnyArray
from sfqa.shown_text import quote_value, show_controls
from sfqa.untrusted import limits
from sfqa.untrusted.archives import check_members, open_archive
from sfqa.untrusted.limits import RefusedError

#: Types of numbers, truth values and text; objects are pickled and therefore refused.
_PLAIN_TYPE = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248]|c(?:8|16)|[US][1-9][0-9]{0,7})")
_MAX_AXES = 32
_HEADER_KEYS = {"descr", "fortran_order", "shape"}
_MAX_CODE_POINT = 0x10FFFF


def check_header(file: IO[bytes], size: int) -> None:
    """Raise :class:`RefusedError` unless a .npy header declares the bytes that follow it.

    ``size``: bytes of the whole file. Raises ``ValueError`` for a file without such a header.
    """
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise RefusedError(f"an array of the .npy version {version[0]}.{version[1]}")
    shape, dtype = _read_header(file, length_bytes=2 if version == (1, 0) else 4)
    declared, present = math.prod(shape) * dtype.itemsize, size - file.tell()
    if declared != present:
        raise RefusedError(
            f"an array of the shape {quote_value(shape)} declares another size than the "
            f"{present:,} bytes that follow its header"
        )


def _read_header(file: IO[bytes], length_bytes: int) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type of the array; raises :class:`RefusedError` for any but plain ones.

    NumPy's own reader of headers raises errors of many types, and builds any type that is named.
    """
    length = int.from_bytes(file.read(length_bytes), "little")
    if length > limits.ARRAY_HEADER_CHARS:
        raise RefusedError(f"an array whose header has {length:,} bytes")
    text = file.read(length).decode("latin-1")
    try:
        header = ast.literal_eval(text.strip())
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise RefusedError(f"an array with the header {quote_value(text)}") from error
    if len(text) != length or not isinstance(header, dict) or set(header) != _HEADER_KEYS:
        raise RefusedError(f"an array with the header {quote_value(text)}")
    shape, code = header["shape"], header["descr"]
    if not isinstance(code, str) or not _PLAIN_TYPE.fullmatch(code):
        raise RefusedError(f"an array of the type {quote_value(code)}, which holds no plain values")
    dtype = np.dtype(code)
    is_shape = isinstance(shape, tuple) and len(shape) <= _MAX_AXES
    if not is_shape or any(type(n) is not int or not 0 <= n < 2**63 for n in shape):
        raise RefusedError(f"an array of the shape {quote_value(shape)}")
    # The other axes of an empty array have no bytes in the file; the program may use their lengths.
    if 0 in shape and math.prod(n for n in shape if n) * dtype.itemsize > limits.ARRAY_BYTES:
        raise RefusedError(f"an array of the shape {quote_value(shape)}, which is too large")
    if type(header["fortran_order"]) is not bool:
        raise RefusedError(f"an array of the order {quote_value(header['fortran_order'])}")
    return shape, dtype


def _check_values(values: AnyArray) -> None:
    """Raise :class:`RefusedError` for bytes that are no characters or no truth values."""
    if not values.size or values.dtype.kind not in "Ub":
        return
    plain = np.ascontiguousarray(values)
    if values.dtype.kind == "b" and plain.view(np.uint8).max() > 1:
        raise RefusedError("an array of truth values has bytes other than 0 and 1")
    if values.dtype.kind == "U" and (
        plain.view(f"{values.dtype.byteorder}u4").max() > _MAX_CODE_POINT
    ):
        raise RefusedError("an array of text has numbers that are no characters")


def read_member_array(archive: zipfile.ZipFile, name: str) -> AnyArray:
    """Return the array of a member that was checked; raises as :func:`check_header`."""
    with archive.open(name) as file:
        check_header(file, archive.getinfo(name).file_size)
    with archive.open(name) as file:
        values = np.asarray(np.lib.format.read_array(file, allow_pickle=False))
    _check_values(values)
    return values


def read_npz(path: Path | str) -> dict[str, AnyArray]:
    """Return the arrays of an .npz archive by name.

    Raises :class:`RefusedError` and other subclasses of ``ValueError``, ``BadZipFile`` and
    ``OSError``.
    """
    try:
        with open_archive(path) as archive:
            check_members(archive, limits.ARRAY_BYTES, limits.ARRAY_BYTES)
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            if len(set(names)) < len(names):
                raise RefusedError("two of its arrays have the same name")
            return {name.removesuffix(".npy"): read_member_array(archive, name) for name in names}
    except (NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        reason = str(error)[:80] or type(error).__name__
        raise RefusedError(f"its archive cannot be unpacked ({show_controls(reason)})") from error
