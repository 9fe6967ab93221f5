"""The reader of zip archives: every member is checked before the first one is unpacked."""

from __future__ import annotations

import io
import os
import re
import stat
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sfqa.shown_text import quote_value
from sfqa.untrusted import limits
from sfqa.untrusted.limits import RefusedError, format_bytes

_METHODS = {zipfile.ZIP_BZIP2: "bzip2", zipfile.ZIP_LZMA: "LZMA"}
_PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
#: Bits of a member that zipfile refuses only when the member is read, with what they mean.
_REFUSED_FLAGS = {
    0x1: "has a password", 0x40: "has a password", 0x2000: "has a password",
    0x20: "is a patch of another file",
}  # fmt: skip
#: A letter and a colon: a path of Windows, in the current folder of that drive.
_DRIVE = re.compile(r"[A-Za-z]:")


class _ListGuard(io.FileIO):
    """A file that refuses one read of more than ``limit`` bytes; None: no limit.

    ``zipfile`` reads the list of members in one piece, whose size the archive states.
    """

    limit: int | None = limits.ARCHIVE_LIST_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            size = max(0, os.fstat(self.fileno()).st_size - self.tell())
        if self.limit is not None and size > self.limit:
            raise RefusedError(f"the list of its members has more than {format_bytes(self.limit)}")
        return super().read(size)


@contextmanager
def open_archive(
    path: Path | str, max_members: int = limits.ARCHIVE_MEMBERS
) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive whose list of members has a limited size; its members are not checked.

    Raises :class:`RefusedError`, ``OSError``, and ``zipfile.BadZipFile`` for a file that is not an
    archive.
    """
    with _ListGuard(path, "rb") as file, _open_zip(file) as archive:
        file.limit = None
        if len(archive.infolist()) > max_members:
            raise RefusedError(
                f"it has {len(archive.infolist()):,} members; at most {max_members:,} are read"
            )
        yield archive


def _open_zip(file: io.FileIO) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except RefusedError:
        raise
    except NotImplementedError as error:
        raise RefusedError(
            f"a member needs another version of the zip format ({error}); zip the files again"
        ) from error
    except (ValueError, IndexError, OverflowError, struct.error) as error:
        raise zipfile.BadZipFile(f"its list of members is damaged ({error})") from error


def describe_member_problem(member: zipfile.ZipInfo, max_bytes: int) -> str:
    """Return why a member is not read, '' if it is.

    Refused are packing methods other than stored and deflated (their size cannot be limited while
    they are unpacked), passwords, patches, links, more than ``max_bytes`` and a ratio of sizes that
    no text has.

    >>> describe_member_problem(zipfile.ZipInfo("a.txt"), 10)
    ''
    """
    name = quote_value(member.filename)
    if member.compress_type not in _PLAIN:
        method = _METHODS.get(member.compress_type, f"method {member.compress_type}")
        return f"{name} is packed in a way that is not read ({method}; write it with deflate)"
    for flag, meaning in _REFUSED_FLAGS.items():
        if member.flag_bits & flag:
            return f"{name} {meaning}; zip it without one"
    if stat.S_ISLNK(member.external_attr >> 16):
        return f"{name} is a link and not a file"
    if member.file_size > max_bytes:
        return f"{name} has more than {format_bytes(max_bytes)} unpacked"
    if member.file_size > limits.SMALL_MEMBER_BYTES and (
        member.file_size > limits.PACKING_RATIO * member.compress_size
    ):
        ratio = member.file_size // max(1, member.compress_size)
        return f"{name} is {ratio:,} times larger unpacked than packed, which no data is"
    return ""


def leads_outside(name: str) -> bool:
    """Return whether the name of a member is an absolute path or goes up from its folder.

    A name that does so on any system counts: a drive of Windows with or without a slash, and two
    dots with spaces or dots behind them, which Windows removes.

    >>> [leads_outside(name) for name in ("a/b.txt", "/a", "../a", "C:/a", "C:a", ".. /a")]
    [False, True, True, True, True, True]
    """
    parts = name.replace("\\", "/").split("/")
    goes_up = any(part.startswith("..") and not part.strip(". ") for part in parts)
    is_absolute = not parts[0] or parts[0].endswith(":") or bool(_DRIVE.match(name))
    return goes_up or is_absolute or "\0" in name


def check_members(
    archive: zipfile.ZipFile, max_bytes: int, max_total_bytes: int, *, stored: bool = False
) -> None:
    """Raise :class:`RefusedError` for the first member that is not read, or too many bytes.

    ``stored``: members may not be compressed, so that they are not larger than the archive.
    """
    total = 0
    for member in archive.infolist():
        problem = ""
        if stored and member.compress_type != zipfile.ZIP_STORED:
            problem = f"{quote_value(member.filename)} is compressed"
        problem = problem or describe_member_problem(member, max_bytes)
        if not problem and leads_outside(member.filename):
            problem = f"the name {quote_value(member.filename)} leads out of the archive"
        if problem:
            raise RefusedError(problem)
        total += member.file_size
    if total > max_total_bytes:
        raise RefusedError(f"it has more than {format_bytes(max_total_bytes)} unpacked")


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, max_bytes: int) -> bytes:
    """Return the content of a member that was checked.

    Raises :class:`RefusedError` for more than ``max_bytes``, whatever size the archive states, and
    for a password or a method that only the member itself states; ``zipfile.BadZipFile``,
    ``zlib.error`` or ``EOFError`` for a damaged member.
    """
    name = quote_value(member.filename)
    try:
        with archive.open(member) as handle:
            data = handle.read(max_bytes + 1)
    except (NotImplementedError, RuntimeError) as error:
        raise RefusedError(f"{name} cannot be unpacked ({error}); zip it again") from error
    if len(data) > max_bytes:
        raise RefusedError(f"{name} has more than {format_bytes(max_bytes)} unpacked")
    return data
