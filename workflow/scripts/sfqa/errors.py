"""Exceptions that are shown to the user or become a failed row; errors of disk and memory."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

#: Errors of a disk that takes no more data, whichever file is written: problem and remedy.
_FULL_DISK = {
    errno.ENOSPC: ("the disk is full", "free some space"),
    errno.EDQUOT: ("the quota of the disk is used up", "free some space or ask for more"),
    errno.EROFS: ("the disk is read-only", "make it writable or work in another folder"),
}
#: Errors of one path: problem and remedy.
_BAD_PATH = {
    errno.EACCES: ("it is not allowed", "change the owner or the mode"),
    errno.EPERM: ("it is not allowed", "change the owner or the mode"),
    errno.EISDIR: ("a folder stands where a file belongs", "move it away"),
    errno.ENOTDIR: ("a file stands where a folder belongs", "move it away"),
}
#: A disk with less free space than this counts as full: an encoder that fails may not say why.
_MIN_FREE_BYTES = 1 << 16
#: Messages of PyTorch and its libraries when memory cannot be had.
_NO_MEMORY = (
    "out of memory", "STATUS_ALLOC_FAILED", "DefaultCPUAllocator: not enough memory",
    "DefaultCPUAllocator: can't allocate memory",
)  # fmt: skip
_RUN_AGAIN = "and run again: what is finished is kept"


class UserError(Exception):
    """Raised for anything that the user can correct: what is wrong, where, and what to do instead.

    >>> raise UserError("config/a.csv, row 3: no image file 'x.png'; add it or delete the row")
    Traceback (most recent call last):
    ...
    sfqa.errors.UserError: config/a.csv, row 3: no image file 'x.png'; add it or delete the row
    """


class UnusableError(Exception):
    """Raised for a video that gives no result, as 'word: sentence'; becomes a failed row."""


def hint(word: object, known: Iterable[str], lead: str = "there are", cutoff: float = 0.6) -> str:
    """Return the end of a sentence about an unknown word: the nearest known one, else all.

    Upper and lower case count as the same.

    >>> hint("procedurl", ["procedural", "command"])
    "did you mean 'procedural'?"
    >>> hint("x", ["procedural", "command"], lead="it has")
    'it has procedural, command'
    >>> hint("dover", ["LSE-C", "DOVER"])
    "did you mean 'DOVER'?"
    """
    words = list(known)
    by_folded = {candidate.casefold(): candidate for candidate in reversed(words)}
    near = get_close_matches(str(word).casefold(), list(by_folded), 1, cutoff)
    return (
        f"did you mean {by_folded[near[0]]!r}?" if near else f"{lead} {', '.join(words) or 'none'}"
    )


def describe_nearest_file(path: str) -> str:
    """Return which file or folder beside a missing path has the most similar name, '' if none has.

    >>> describe_nearest_file(__file__.replace("errors", "erors"))
    "; the nearest file there is 'errors.py'"
    """
    missing_path = Path(path)
    try:
        names = sorted(entry.name for entry in missing_path.parent.iterdir())
    except OSError:
        return ""
    near = get_close_matches(missing_path.name, names, 1)
    return f"; the nearest file there is {near[0]!r}" if near else ""


def format_count(count: float, noun: str) -> str:
    """Return a number with its noun, in the singular or the plural.

    >>> format_count(1, "frame"), format_count(150, "frame"), format_count(0.5, "minute")
    ('1 frame', '150 frames', '0.5 minutes')
    """
    number = str(count) if isinstance(count, int) else f"{count:g}"
    return f"{number} {noun}" if number == "1" else f"{number} {noun}s"


def explain_full_disk(error: BaseException) -> tuple[str, str] | None:
    """Return problem and remedy if an error was raised because a disk is full, else None.

    Looks also at the errors that led to this one, and at their messages: an error of ffmpeg or
    torch has no ``errno``.

    >>> explain_full_disk(RuntimeError("ffmpeg failed (No space left on device)"))
    ('the disk is full (No space left on device)', 'free some space')
    """
    cause: BaseException | None = error
    while cause is not None:
        for number, (problem, remedy) in _FULL_DISK.items():
            if getattr(cause, "errno", None) == number or os.strerror(number) in str(cause):
                return f"{problem} ({os.strerror(number)})", remedy
        cause = cause.__cause__ or cause.__context__
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that the memory of the GPU, or of the machine, is used up.

    PyTorch and the libraries that it calls have several types of errors for this.

    >>> is_out_of_memory(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"))
    True
    >>> is_out_of_memory(RuntimeError("the shapes differ"))
    False
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _NO_MEMORY)


def explain_machine_error(error: BaseException, path: Path | str | None = None) -> UserError | None:
    """Return a :class:`UserError` for an error of the disk or of memory, None for any other error.

    ``path`` is the file that was being written. Without it, the error's own file is named.

    >>> print(explain_machine_error(OSError(errno.EROFS, "x"), "results"))
    results: the disk is read-only (Read-only file system); make it writable or work in another \
folder and run again: what is finished is kept
    """
    if isinstance(error, MemoryError):
        reason = f" ({str(error)[:150]})" if str(error) else ""
        return UserError(
            f"the job ran out of memory{reason}; give it more, or run fewer jobs at a time, "
            f"{_RUN_AGAIN}"
        )
    if is_out_of_memory(error):
        return UserError(
            f"the job ran out of memory ({str(error).strip()[:150]}); use a GPU with more memory, "
            f"or let fewer jobs share it, {_RUN_AGAIN}"
        )
    explanation = explain_full_disk(error)
    where = path or getattr(error, "filename", None)
    if explanation is None and where and isinstance(error, OSError) and error.errno in _BAD_PATH:
        problem, remedy = _BAD_PATH[error.errno]
        explanation = f"{problem} ({os.strerror(error.errno)})", remedy
    if explanation is None:
        return None
    lead = f"{where}: " if where else ""
    return UserError(f"{lead}{explanation[0]}; {explanation[1]} {_RUN_AGAIN}")


@contextmanager
def explain_write_errors(path: Path | str) -> Iterator[None]:
    """Raise :class:`UserError` naming ``path`` if the block cannot write it because of the disk.

    >>> with explain_write_errors("a/b"): raise OSError(errno.ENOTDIR, "x")
    Traceback (most recent call last):
    ...
    sfqa.errors.UserError: a/b: a file stands where a folder belongs (Not a directory); move it \
away and run again: what is finished is kept
    """
    try:
        yield
    except OSError as error:
        if user_error := explain_machine_error(error, path):
            raise user_error from error
        raise


def raise_if_disk_full(rows: Iterable[Mapping[str, Any]]) -> None:
    """Raise :class:`UserError` if a row failed because the disk was full.

    Such rows must not reach a table, because the next run would take them as final. Finished videos
    keep their records.

    >>> raise_if_disk_full([{"sample_id": "a", "detail": "no_face: none in 8 frames"}])
    """
    failed_rows = [row for row in rows if row["detail"].startswith("disk_full: ")]
    if failed_rows:
        row = failed_rows[0]
        example = f"{row['sample_id']}: {row['detail'].partition(': ')[2]}"
        remedy = _FULL_DISK[errno.ENOSPC][1]
        raise UserError(
            f"{len(failed_rows)} videos found the disk full, for example {example}; {remedy} "
            f"{_RUN_AGAIN}"
        )


def is_disk_full(folder: Path | str) -> bool:
    """Return whether the disk of a folder takes no more bytes or no more files."""
    disk = os.statvfs(folder)
    no_inodes = disk.f_files and not disk.f_favail  # some systems do not count inodes
    return bool(disk.f_bavail * disk.f_frsize < _MIN_FREE_BYTES or no_inodes)


def explain_unwritable(folder: Path | str) -> UserError | None:
    """Return a :class:`UserError` if files cannot be written to a folder, else None.

    If the folder does not exist, its nearest existing parent is checked.

    >>> import tempfile; explain_unwritable(tempfile.gettempdir()) is None
    True
    """
    parents = Path(folder).absolute().parents
    nearest = next(p for p in (Path(folder), *parents) if p.exists())
    number = 0
    if os.statvfs(nearest).f_flag & os.ST_RDONLY:
        number = errno.EROFS
    elif not os.access(nearest, os.W_OK | os.X_OK):
        number = errno.EACCES
    elif is_disk_full(nearest):
        number = errno.ENOSPC
    return explain_machine_error(OSError(number, os.strerror(number)), folder) if number else None
