"""Read a study's database without changing it: beside a server, from an archive, read-only."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from sfqa.errors import UserError
from sfqa.ratings.screen import database
from sfqa.ratings.screen.database_errors import explain_database_errors


def read_database(path: Path) -> sqlite3.Connection:
    """Return a connection that reads a study's database, which is not changed.

    It works beside a running server, and on a read-only disk if no server was killed there. An
    earlier layout is copied into memory and extended there. Raises :class:`UserError` as
    :func:`open_database` does.
    """
    if path.is_symlink():
        raise UserError(f"{path}: this is a link, and it is not followed; name its target's folder")
    with explain_database_errors(path):
        connection = _connect_to_read(path)
        try:
            has_settings = connection.execute(database.HAS_SETTINGS).fetchone()
            layout = database.get_setting(connection, "layout") if has_settings else None
            if layout != "1" and has_settings:
                database.check_layout(path, layout)
                return connection
            copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            connection.backup(copy)
        except BaseException:
            connection.close()
            raise
        connection.close()
        database.check_layout(path, database.migrate(copy))
        return copy


def _connect_to_read(path: Path) -> sqlite3.Connection:
    address = f"file:{quote(str(path.absolute()))}"
    journals = [Path(f"{path}{suffix}") for suffix in ("-wal", "-journal")]
    is_open = any(journal.is_file() for journal in journals)
    has_journal = any(journal.is_file() and journal.stat().st_size for journal in journals)
    # Nobody has a database open that has no journal. Opened to be written, SQLite deletes the
    # files again that it creates beside it.
    for option in ("mode=ro" if is_open else "mode=rw", "immutable=1"):
        connection = sqlite3.connect(
            f"{address}?{option}", timeout=30, uri=True, isolation_level=None,
            check_same_thread=False,
        )  # fmt: skip
        try:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            return connection
        except sqlite3.OperationalError:
            connection.close()
            # Beside a database in WAL mode SQLite creates a file even to read it. On a read-only
            # disk it need not, if nothing is in that journal.
            if option == "immutable=1" or has_journal or os.access(path.parent, os.W_OK):
                raise
    raise AssertionError("unreachable")
