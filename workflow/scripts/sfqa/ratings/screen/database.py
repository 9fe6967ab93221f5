"""The study's database: SQLite in WAL mode, one writer thread, many answers per commit."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
import queue
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any, TypeVar

from sfqa.errors import UserError, explain_write_errors
from sfqa.private_files import check_private_file, open_private_file
from sfqa.ratings.screen.database_errors import explain_database_errors
from sfqa.ratings.screen.study_tables import PlannedVideo
from sfqa.tables import PLAN

log = logging.getLogger("sfqa.rate")

T = TypeVar("T")
#: Writes to the database inside the transaction of :class:`Writer`.
WriteTask = Callable[[sqlite3.Connection], Any]

STORED, REPEATED, CHANGED = "stored", "repeated", "changed"

#: Entry of the table ``checks`` with the size of the rater's screen.
SCREEN = "screen"

#: Version of the database's layout. Older files are extended when they are opened, see
#: ``migrate``; a file of a later version is an error. 2: tables ``enrolments`` and ``checks``.
LAYOUT = 2
_TABLES = """
CREATE TABLE IF NOT EXISTS settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS raters (
    rater TEXT PRIMARY KEY, token_sha256 TEXT UNIQUE, language TEXT, theme TEXT,
    consented_at REAL, profile TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS presentations (
    id TEXT PRIMARY KEY, rater TEXT NOT NULL REFERENCES raters, session INTEGER NOT NULL,
    position INTEGER NOT NULL, sample_id TEXT NOT NULL, role TEXT NOT NULL,
    block INTEGER NOT NULL, seconds REAL NOT NULL, UNIQUE (rater, session, position)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sessions (
    rater TEXT NOT NULL REFERENCES raters, session INTEGER NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (rater, session)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS served (
    presentation TEXT PRIMARY KEY REFERENCES presentations, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answers (
    presentation TEXT PRIMARY KEY REFERENCES presentations, at REAL NOT NULL,
    served_at REAL NOT NULL, details TEXT NOT NULL, comment TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS scores (
    presentation TEXT NOT NULL REFERENCES answers, dimension TEXT NOT NULL, score REAL NOT NULL,
    PRIMARY KEY (presentation, dimension)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, rater TEXT, kind TEXT NOT NULL, data TEXT);
CREATE TABLE IF NOT EXISTS enrolments (
    rater TEXT PRIMARY KEY REFERENCES raters, place TEXT NOT NULL, person TEXT NOT NULL UNIQUE,
    ids TEXT NOT NULL, at REAL NOT NULL, replaced_at REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS checks (
    rater TEXT NOT NULL REFERENCES raters, name TEXT NOT NULL, at REAL NOT NULL,
    result TEXT NOT NULL, PRIMARY KEY (rater, name)) WITHOUT ROWID;
"""
HAS_SETTINGS = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'settings'"


def open_database(path: Path) -> sqlite3.Connection:
    """Return a connection to a study's database, which is created if it does not exist.

    The journal mode is WAL with ``synchronous=FULL``: after a commit the data are on the disk.
    The file is private (0600), and SQLite gives its own files the same mode. Raises
    :class:`UserError` for a file that is no study's database or cannot be used, and for a link.
    """
    for suffix in ("-wal", "-shm", "-journal"):
        check_private_file(f"{path}{suffix}")
    with explain_write_errors(path):
        check_private_file(path, create=True)
    connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    try:
        with explain_database_errors(path):
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            layout = migrate(connection)
        check_layout(path, layout)
    except BaseException:
        connection.close()
        raise
    return connection


def check_layout(path: Path, layout: str | None) -> None:
    """Raise :class:`UserError` for a layout that this version does not read."""
    if layout != str(LAYOUT):
        raise UserError(
            f"{path}: layout {layout}, but this version needs {LAYOUT}; use the other version"
        )


def migrate(connection: sqlite3.Connection) -> str | None:
    """Create missing tables, and return the layout of the file.

    Layout 2 only added tables to layout 1, so no stored row changes.
    """
    has_settings = connection.execute(HAS_SETTINGS).fetchone()
    layout = get_setting(connection, "layout") if has_settings else None
    if layout not in (None, "1"):  # nothing to write, so that no other program is waited for
        return layout
    connection.executescript(_TABLES)
    connection.execute("INSERT OR IGNORE INTO settings VALUES ('layout', ?)", (str(LAYOUT),))
    if layout == "1":
        set_setting(connection, "layout", str(LAYOUT))
    return get_setting(connection, "layout")


@contextmanager
def lock_study(folder: Path) -> Iterator[None]:
    """Hold the lock of a study while the block runs; raises :class:`UserError` if it is held.

    Only one server may serve a study, because each keeps its state in memory. The lock ends with
    the process. The lock's file is not truncated, and it must not be a link.
    """
    with explain_write_errors(folder / "study.lock"):
        handle = open_private_file(folder / "study.lock")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise UserError(f"{folder}: another server is serving this study; stop it first") from error
    except OSError as error:
        # Some network file systems do not support locks.
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL):
            os.close(handle)
            raise
    try:
        yield
    finally:
        os.close(handle)


def get_setting(connection: sqlite3.Connection, key: str) -> str | None:
    """Return a setting of the study, None if it was never set."""
    row = connection.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
    return row[0] if row else None


def set_setting(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Store a setting of the study."""
    connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (key, value))


def add_event(
    connection: sqlite3.Connection, at: float, rater: str | None, kind: str, data: str | None = None
) -> None:
    """Add an entry to the log of events."""
    connection.execute(
        "INSERT INTO events (at, rater, kind, data) VALUES (?, ?, ?, ?)", (at, rater, kind, data)
    )


def add_served(connection: sqlite3.Connection, presentation: str, at: float) -> None:
    """Store when the first byte of a video was served; later calls change nothing."""
    connection.execute("INSERT OR IGNORE INTO served VALUES (?, ?)", (presentation, at))


def add_check(
    connection: sqlite3.Connection, rater: str, name: str, at: float, result: str
) -> None:
    """Store the result of a check of the rater's equipment; later results change nothing."""
    connection.execute(
        "INSERT OR IGNORE INTO checks VALUES (?, ?, ?, ?)", (rater, name, at, result)
    )


def sync_plan(connection: sqlite3.Connection, plan: Iterable[PlannedVideo]) -> tuple[int, int]:
    """Update the database to the plan and return the numbers of added and removed rows.

    Rows with an answer are not changed; raises :class:`UserError` if the plan differs for one of
    them. If a person took over the place of one who dropped out, the rows of the plan are theirs,
    and the rows of the person who dropped out stay as they are.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        holders = dict(
            connection.execute("SELECT place, rater FROM enrolments WHERE replaced_at IS NULL")
        )
        planned = (replace(row, rater=holders.get(row.rater, row.rater)) for row in plan)
        new_rows = {(row.rater, row.session, row.position): row for row in planned}
        rows = connection.execute(
            "SELECT p.id, a.presentation IS NOT NULL, p.rater, p.session, p.position, "
            "p.sample_id, p.role, p.block, p.seconds FROM presentations p "
            "LEFT JOIN answers a ON a.presentation = p.id WHERE p.rater NOT IN "
            "(SELECT rater FROM enrolments WHERE replaced_at IS NOT NULL)"
        ).fetchall()
        removed = 0
        for identity, is_answered, *values in rows:
            old = PlannedVideo(*values)
            key = (old.rater, old.session, old.position)
            new = new_rows.get(key)
            if is_answered:
                if new is None or (new.sample_id, new.role) != (old.sample_id, old.role):
                    content = f"{new.sample_id} ({new.role})" if new else "nothing"
                    raise UserError(
                        f"{PLAN.file_name}: rater {old.rater}, session {old.session}, position "
                        f"{old.position} was rated as {old.sample_id} ({old.role}), but the plan "
                        f"now has {content}; keep the rated rows and add new videos after them"
                    )
                del new_rows[key]
            elif new == old:
                del new_rows[key]
            else:
                connection.execute("DELETE FROM served WHERE presentation = ?", (identity,))
                connection.execute("DELETE FROM presentations WHERE id = ?", (identity,))
                removed += 1
        connection.executemany(
            "INSERT OR IGNORE INTO raters (rater) VALUES (?)",
            [(name,) for name in sorted({row.rater for row in new_rows.values()})],
        )
        connection.executemany(
            "INSERT INTO presentations VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(secrets.token_urlsafe(16), *astuple(row)) for row in new_rows.values()],
        )
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return len(new_rows), removed


def put_answer(
    connection: sqlite3.Connection,
    presentation: str,
    at: float,
    served_at: float,
    scores: Mapping[str, float],
    details: str,
    comment: str | None,
) -> str:
    """Store an answer if the presentation has none yet, and return :data:`STORED`.

    Returns :data:`REPEATED` if the same scores are stored already, :data:`CHANGED` if others are.
    """
    cursor = connection.execute(
        "INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?)",
        (presentation, at, served_at, details, comment),
    )
    if cursor.rowcount:
        connection.executemany(
            "INSERT INTO scores VALUES (?, ?, ?)",
            [(presentation, dimension, score) for dimension, score in scores.items()],
        )
        return STORED
    stored_scores = dict(
        connection.execute(
            "SELECT dimension, score FROM scores WHERE presentation = ?", (presentation,)
        ).fetchall()
    )
    return REPEATED if stored_scores == dict(scores) else CHANGED


class Writer:
    """The only thread that writes to the database. Queued tasks share one commit.

    A task's future is done only after its commit is on the disk. ``on_change`` is called in this
    thread when another process has written to the database.
    """

    def __init__(self, path: Path, on_change: Callable[[], None] = lambda: None) -> None:
        self.connection = open_database(path)
        self._on_change = on_change
        self._tasks: queue.SimpleQueue[tuple[WriteTask, Future[Any]] | None] = queue.SimpleQueue()
        self._last_version = self._read_version()
        self._thread = threading.Thread(target=self._run, name="score-writer", daemon=True)
        self._thread.start()

    def submit(self, task: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Queue a task. Its future gets the task's result once the commit is on the disk."""
        future: Future[T] = Future()
        self._tasks.put((task, future))
        return future

    async def write(self, task: Callable[[sqlite3.Connection], T]) -> T:
        """Queue a task and wait for it. The task is executed even if the caller is cancelled."""
        return await asyncio.shield(asyncio.wrap_future(self.submit(task)))

    def close(self) -> None:
        """Execute the queued tasks and close the database."""
        self._tasks.put(None)
        self._thread.join()
        self.connection.close()

    def _read_version(self) -> int:
        return int(self.connection.execute("PRAGMA data_version").fetchone()[0])

    def _run(self) -> None:
        while True:
            batch, last = self._next_batch()
            if batch:
                self._commit_batch(batch)
            try:
                version = self._read_version()
            except sqlite3.Error as error:
                log.error("the database cannot be read: %s", error)
                version = self._last_version
            if version != self._last_version:
                self._last_version = version
                self._on_change()
            if last:
                return

    def _next_batch(self) -> tuple[list[tuple[WriteTask, Future[Any]]], bool]:
        batch: list[tuple[WriteTask, Future[Any]]] = []
        try:
            item = self._tasks.get(timeout=1.0)
            while item is not None:
                if item[1].set_running_or_notify_cancel():
                    batch.append(item)
                item = self._tasks.get_nowait()
        except queue.Empty:
            return batch, False
        return batch, True

    def _commit_batch(self, batch: list[tuple[WriteTask, Future[Any]]]) -> None:
        done: list[tuple[Future[Any], Any]] = []
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            for task, future in batch:
                self.connection.execute("SAVEPOINT task")
                try:
                    done.append((future, task(self.connection)))
                except Exception as error:
                    self.connection.execute("ROLLBACK TO task")
                    future.set_exception(error)
                self.connection.execute("RELEASE task")
            self.connection.execute("COMMIT")
        except sqlite3.Error as error:  # such as a full disk or a lock: nothing was stored
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for future, result in done:
            future.set_result(result)
