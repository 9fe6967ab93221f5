"""The study's database: SQLite in WAL mode, one writer thread, many answers per commit."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import queue
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any, TypeVar

from sfqa.errors import UserError
from sfqa.ratings.screen.study import Planned
from sfqa.tables import PLAN

log = logging.getLogger("sfqa.rate")

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], Any]

STORED, REPEATED, CHANGED = "stored", "repeated", "changed"

#: The layout of the database; a file of another layout is refused, never guessed at.
LAYOUT = 1
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
"""


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection to a study's database, made with its tables where there is none.

    WAL with ``synchronous=FULL``: a commit that returned is on the disk.
    """
    try:
        connection = sqlite3.connect(
            path, timeout=30, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.executescript(_TABLES)
        connection.execute("INSERT OR IGNORE INTO settings VALUES ('layout', ?)", (str(LAYOUT),))
    except sqlite3.DatabaseError as error:
        raise UserError(f"{path}: not a study's database ({error}); mend or move it") from error
    layout = setting(connection, "layout")
    if layout != str(LAYOUT):
        connection.close()
        raise UserError(f"{path}: layout {layout}, this program writes {LAYOUT}; use its program")
    return connection


@contextmanager
def only_server(folder: Path) -> Iterator[None]:
    """Hold a study's lock, which ends with the process; raises :class:`UserError` if it is held.

    Two servers would each keep their own view of who is where.
    """
    with open(folder / "study.lock", "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{folder}: a server serves this study already; stop it") from error
        except OSError as error:
            # Some network file systems have no such locks.
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL):
                raise
        yield


def setting(connection: sqlite3.Connection, key: str) -> str | None:
    """Return one setting of the study, None where it was never set."""
    row = connection.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
    return row[0] if row else None


def set_setting(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Set one setting of the study."""
    connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (key, value))


def add_event(
    connection: sqlite3.Connection, at: float, rater: str | None, kind: str, data: str | None = None
) -> None:
    """Note that something happened."""
    connection.execute(
        "INSERT INTO events (at, rater, kind, data) VALUES (?, ?, ?, ?)", (at, rater, kind, data)
    )


def add_served(connection: sqlite3.Connection, presentation: str, at: float) -> None:
    """Note when the first byte of a video was served; only the first time counts."""
    connection.execute("INSERT OR IGNORE INTO served VALUES (?, ?)", (presentation, at))


def sync_plan(connection: sqlite3.Connection, plan: Iterable[Planned]) -> tuple[int, int]:
    """Bring the plan into the database and return how many rows were added and removed.

    Rows that were answered stay as they are; raises :class:`UserError` where the plan says
    something else for one of them. Others follow the plan.
    """
    wanted = {(row.rater, row.session, row.position): row for row in plan}
    connection.execute("BEGIN IMMEDIATE")
    try:
        known = connection.execute(
            "SELECT p.id, a.presentation IS NOT NULL, p.rater, p.session, p.position, "
            "p.sample_id, p.role, p.block, p.seconds FROM presentations p "
            "LEFT JOIN answers a ON a.presentation = p.id"
        ).fetchall()
        removed = 0
        for identity, answered, *rest in known:
            old = Planned(*rest)
            key = (old.rater, old.session, old.position)
            new = wanted.get(key)
            if answered:
                if new is None or (new.sample_id, new.role) != (old.sample_id, old.role):
                    says = f"{new.sample_id} ({new.role})" if new else "nothing"
                    raise UserError(
                        f"{PLAN.file_name}: rater {old.rater}, session {old.session}, position "
                        f"{old.position} was rated as {old.sample_id} ({old.role}), and the plan "
                        f"now says {says}; keep what was rated and plan new videos after it"
                    )
                del wanted[key]
            elif new == old:
                del wanted[key]
            else:
                connection.execute("DELETE FROM served WHERE presentation = ?", (identity,))
                connection.execute("DELETE FROM presentations WHERE id = ?", (identity,))
                removed += 1
        connection.executemany(
            "INSERT OR IGNORE INTO raters (rater) VALUES (?)",
            [(name,) for name in sorted({row.rater for row in wanted.values()})],
        )
        connection.executemany(
            "INSERT INTO presentations VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(secrets.token_urlsafe(16), *astuple(row)) for row in wanted.values()],
        )
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return len(wanted), removed


def put_answer(
    connection: sqlite3.Connection,
    presentation: str,
    at: float,
    served_at: float,
    scores: Mapping[str, float],
    details: str,
    comment: str | None,
) -> str:
    """Store one answer and return :data:`STORED`; never twice, never another one.

    :data:`REPEATED` where the same scores were there already, :data:`CHANGED` where others were.
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
    there = dict(
        connection.execute(
            "SELECT dimension, score FROM scores WHERE presentation = ?", (presentation,)
        ).fetchall()
    )
    return REPEATED if there == dict(scores) else CHANGED


class Writer:
    """The one thread that writes: jobs that wait together share one commit.

    A job's future is done only after its commit has reached the disk. ``changed`` is called from
    this thread when another process has written to the database.
    """

    def __init__(self, path: Path, changed: Callable[[], None] = lambda: None) -> None:
        self.connection = connect(path)
        self._changed = changed
        self._jobs: queue.SimpleQueue[tuple[Job, Future[Any]] | None] = queue.SimpleQueue()
        self._seen = self._version()
        self._thread = threading.Thread(target=self._run, name="score-writer", daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Queue a job; its future holds what the job returned once that is on the disk."""
        future: Future[T] = Future()
        self._jobs.put((job, future))
        return future

    async def write(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Wait for a job; the job is carried out even where the waiting is given up."""
        return await asyncio.shield(asyncio.wrap_future(self.submit(job)))

    def close(self) -> None:
        """Carry out what is queued and close the database."""
        self._jobs.put(None)
        self._thread.join()
        self.connection.close()

    def _version(self) -> int:
        return int(self.connection.execute("PRAGMA data_version").fetchone()[0])

    def _run(self) -> None:
        while True:
            batch, last = self._next_batch()
            if batch:
                self._commit(batch)
            try:
                version = self._version()
            except sqlite3.Error as error:
                log.error("the database cannot be read: %s", error)
                version = self._seen
            if version != self._seen:
                self._seen = version
                self._changed()
            if last:
                return

    def _next_batch(self) -> tuple[list[tuple[Job, Future[Any]]], bool]:
        batch: list[tuple[Job, Future[Any]]] = []
        try:
            item = self._jobs.get(timeout=1.0)
            while item is not None:
                if item[1].set_running_or_notify_cancel():
                    batch.append(item)
                item = self._jobs.get_nowait()
        except queue.Empty:
            return batch, False
        return batch, True

    def _commit(self, batch: list[tuple[Job, Future[Any]]]) -> None:
        done: list[tuple[Future[Any], Any]] = []
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            for job, future in batch:
                self.connection.execute("SAVEPOINT job")
                try:
                    done.append((future, job(self.connection)))
                except Exception as error:
                    self.connection.execute("ROLLBACK TO job")
                    future.set_exception(error)
                self.connection.execute("RELEASE job")
            self.connection.execute("COMMIT")
        except sqlite3.Error as error:  # a full disk, a lock that does not go: nothing was stored
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for future, result in done:
            future.set_result(result)
