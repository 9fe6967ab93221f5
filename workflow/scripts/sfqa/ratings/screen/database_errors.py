"""Errors of SQLite in sentences: what is wrong with the disk or the file, and what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sfqa.errors import UserError

#: Problem and remedy by the beginning of SQLite's name of an error. The database itself is
#: undamaged in all of these cases.
_PROBLEMS = {
    "SQLITE_BUSY": (
        "another program is writing to it",
        "try again, and look for a program that keeps it open",
    ),
    "SQLITE_LOCKED": ("another program is writing to it", "try again"),
    "SQLITE_FULL": ("the disk is full", "free some space and try again"),
    "SQLITE_READONLY": (
        "it cannot be changed, because its file, its folder or its disk is read-only",
        "make them writable, or work in a copy of the folder",
    ),
    "SQLITE_CANTOPEN": (
        "it cannot be opened",
        "check that its file and its folder may be read and written by this user",
    ),
    "SQLITE_PERM": ("it is not allowed", "change the owner or the mode of the file"),
    "SQLITE_AUTH": ("it is not allowed", "change the owner or the mode of the file"),
    "SQLITE_IOERR": (
        "the disk failed to read or write it",
        "check the free space and the disk, keep a copy of the folder, and try again",
    ),
    "SQLITE_NOMEM": ("the memory of the machine is used up", "free some and try again"),
}
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


def describe_database_error(error: sqlite3.Error) -> str:
    """Return problem and remedy of an error of SQLite, with SQLite's own words.

    >>> describe_database_error(sqlite3.OperationalError("no such table: x"))
    'SQLite reports an error (no such table: x); keep a copy of the folder and report it'
    """
    name = getattr(error, "sqlite_errorname", None) or ""
    for beginning, (problem, remedy) in _PROBLEMS.items():
        if name.startswith(beginning):
            return f"{problem} ({error}); {remedy}"
    if name.startswith(_DAMAGED):
        return f"not a study's database ({error}); repair or move it"
    return f"SQLite reports an error ({error}); keep a copy of the folder and report it"


@contextmanager
def explain_database_errors(path: Path) -> Iterator[None]:
    """Raise :class:`UserError` naming the database for an error of SQLite in the block."""
    try:
        yield
    except sqlite3.Error as error:
        raise UserError(f"{path}: {describe_database_error(error)}") from error
