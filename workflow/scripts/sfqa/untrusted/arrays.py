"""The reader of NumPy arrays: the header must declare as many bytes as the file has."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from sfqa.arrays import AnyArray
from sfqa.untrusted import limits
from sfqa.untrusted.archives import check_members, open_archive
from sfqa.untrusted.limits import RefusedError

#: Types of numbers, truth values and text; objects are pickled and therefore refused.
_KINDS = "biufcUS"


def check_header(file: IO[bytes], size: int) -> None:
    """Raise :class:`RefusedError` unless a .npy header declares the bytes that follow it.

    ``size``: bytes of the whole file. Raises ``ValueError`` for a file without such a header.
    """
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise RefusedError(f"an array of the .npy version {version[0]}.{version[1]}")
    if dtype.kind not in _KINDS or dtype.itemsize == 0:
        raise RefusedError(f"an array of the type {str(dtype)[:40]}, which holds no plain values")
    declared, present = math.prod(shape) * dtype.itemsize, size - file.tell()
    if any(length < 0 for length in shape) or declared != present:
        raise RefusedError(
            f"an array that declares {declared:,} bytes, where {present:,} follow its header"
        )


def read_member_array(archive: zipfile.ZipFile, name: str) -> AnyArray:
    """Return the array of a member that was checked; raises as :func:`check_header`."""
    with archive.open(name) as file:
        check_header(file, archive.getinfo(name).file_size)
    with archive.open(name) as file:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


def read_npz(path: Path | str) -> dict[str, AnyArray]:
    """Return the arrays of an .npz archive by name.

    Raises :class:`RefusedError` and other subclasses of ``ValueError``, and the errors of
    ``zipfile``.
    """
    with open_archive(path) as archive:
        check_members(archive, limits.ARRAY_BYTES, limits.ARRAY_BYTES)
        names = [name for name in archive.namelist() if name.endswith(".npy")]
        return {name.removesuffix(".npy"): read_member_array(archive, name) for name in names}
