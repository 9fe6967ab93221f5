"""Exceptions that become a sentence for the user or a failed row; errors of disk and memory."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

#: Errors of a disk that takes nothing more, whatever is written: no fault of what was at work.
_NO_ROOM = {
    errno.ENOSPC: ("the disk is full", "free some space"),
    errno.EDQUOT: ("the quota of the disk is used up", "free some space or ask for more"),
    errno.EROFS: ("the disk is read-only", "make it writable or work in another folder"),
}
#: Errors of one path.
_REFUSED = {
    errno.EACCES: ("it is not allowed", "change the owner or the mode"),
    errno.EPERM: ("it is not allowed", "change the owner or the mode"),
    errno.EISDIR: ("a folder stands where a file belongs", "move it away"),
    errno.ENOTDIR: ("a file stands where a folder belongs", "move it away"),
}
#: A disk with less room than this is full: an encoder that fails there need not say why.
_LEAST_BYTES = 1 << 16
_KEPT = "and run again: what is finished is kept"


class UserError(Exception):
    """Raised for anything that the user can mend: what is wrong, where, and what to do instead.

    >>> raise UserError("config/a.csv, row 3: no image file 'x.png'; add it or delete the row")
    Traceback (most recent call last):
    ...
    sfqa.errors.UserError: config/a.csv, row 3: no image file 'x.png'; add it or delete the row
    """


class UnusableError(Exception):
    """Raised for a video that gives no result, as 'word: sentence'; becomes a failed row."""


def hint(word: object, known: Iterable[str], lead: str = "there are", cutoff: float = 0.6) -> str:
    """Return the end of a sentence about an unknown word: the nearest known one, else all.

    >>> hint("procedurl", ["procedural", "command"])
    "did you mean 'procedural'?"
    >>> hint("x", ["procedural", "command"], lead="it has")
    'it has procedural, command'
    """
    words = list(known)
    near = get_close_matches(str(word), words, 1, cutoff)
    return f"did you mean {near[0]!r}?" if near else f"{lead} {', '.join(words) or 'none'}"


def no_room(error: BaseException) -> tuple[str, str] | None:
    """Return what is wrong and what to do where a disk took nothing more, else None.

    Looks also at the errors behind the error, and at their words: what ffmpeg and torch meet comes
    as a message.

    >>> no_room(RuntimeError("ffmpeg failed (Error closing file: No space left on device)"))
    ('the disk is full (No space left on device)', 'free some space')
    """
    seen: BaseException | None = error
    while seen is not None:
        for number, (wrong, remedy) in _NO_ROOM.items():
            if getattr(seen, "errno", None) == number or os.strerror(number) in str(seen):
                return f"{wrong} ({os.strerror(number)})", remedy
        seen = seen.__cause__ or seen.__context__
    return None


def of_the_machine(error: BaseException, path: Path | str | None = None) -> UserError | None:
    """Return the sentence for an error of the disk or of the memory, None for any other.

    ``path`` is what was being written; without it the error's own file is named.

    >>> print(of_the_machine(OSError(errno.EROFS, "x"), "results"))
    results: the disk is read-only (Read-only file system); make it writable or work in another \
folder and run again: what is finished is kept
    """
    if isinstance(error, MemoryError):
        told = f" ({str(error)[:150]})" if str(error) else ""
        return UserError(
            f"the job ran out of memory{told}; give it more, or run fewer jobs at a time, {_KEPT}"
        )
    found = no_room(error)
    where = path or getattr(error, "filename", None)
    if found is None and where and isinstance(error, OSError) and error.errno in _REFUSED:
        wrong, remedy = _REFUSED[error.errno]
        found = f"{wrong} ({os.strerror(error.errno)})", remedy
    if found is None:
        return None
    lead = f"{where}: " if where else ""
    return UserError(f"{lead}{found[0]}; {found[1]} {_KEPT}")


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Raise :class:`UserError` naming ``path`` where the disk refuses what the block writes.

    >>> with writing("a/b"): raise OSError(errno.ENOTDIR, "x")
    Traceback (most recent call last):
    ...
    sfqa.errors.UserError: a/b: a file stands where a folder belongs (Not a directory); move it \
away and run again: what is finished is kept
    """
    try:
        yield
    except OSError as error:
        if told := of_the_machine(error, path):
            raise told from error
        raise


def stop_where_full(rows: Iterable[Mapping[str, Any]]) -> None:
    """Raise :class:`UserError` where a row failed because of a full disk, which mends for all.

    A table with such rows would be believed by the next run. What is finished has its record.

    >>> stop_where_full([{"sample_id": "a", "detail": "no_face: none in 8 frames"}])
    """
    full = [row for row in rows if row["detail"].startswith("disk_full: ")]
    if full:
        first = f"{full[0]['sample_id']}: {full[0]['detail'].partition(': ')[2]}"
        remedy = _NO_ROOM[errno.ENOSPC][1]
        raise UserError(
            f"{len(full)} videos found the disk full, for example {first}; {remedy} {_KEPT}"
        )


def is_full(folder: Path | str) -> bool:
    """Whether the disk of a folder takes no more bytes, or no more files."""
    disk = os.statvfs(folder)
    no_names = disk.f_files and not disk.f_favail  # some systems count no inodes
    return bool(disk.f_bavail * disk.f_frsize < _LEAST_BYTES or no_names)


def refusal(folder: Path | str) -> UserError | None:
    """Return the sentence for a folder that takes no files (full, read-only), else None.

    The folder need not be there: then it is that of its nearest parent.

    >>> import tempfile; refusal(tempfile.gettempdir()) is None
    True
    """
    given = Path(folder)
    there = next(p for p in (given, *given.absolute().parents) if p.exists())
    number = 0
    if os.statvfs(there).f_flag & os.ST_RDONLY:
        number = errno.EROFS
    elif not os.access(there, os.W_OK | os.X_OK):
        number = errno.EACCES
    elif is_full(there):
        number = errno.ENOSPC
    return of_the_machine(OSError(number, os.strerror(number)), folder) if number else None
