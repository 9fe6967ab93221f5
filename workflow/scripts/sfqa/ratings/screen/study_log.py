"""The log of a study's server: private files, no flood, and one sentence if the disk is full."""

from __future__ import annotations

import io
import logging
import logging.handlers
import os
import sys
import time
from pathlib import Path

from sfqa.private_files import open_private_file
from sfqa.shown_text import ShownFormatter

#: Records per minute of the log, of the web server and of its event loop. Strangers decide how
#: many requests are refused, so the number is limited; an error has a traceback and counts as ten.
_RECORDS = {"sfqa.rate": 300, "uvicorn.error": 60, "asyncio": 30}
_SECONDS = 60.0
_FORMAT = "%(asctime)s %(levelname)s %(message)s"
_MAX_BYTES, _BACKUPS = 10**7, 3


class RecordLimit(logging.Filter):
    """Pass at most a number of records per minute; the next minute states how many are left out.

    >>> limit = RecordLimit(1, 60.0)
    >>> record = logging.makeLogRecord({"msg": "refused", "levelno": logging.WARNING})
    >>> limit.filter(record), limit.filter(record)
    (True, False)
    """

    def __init__(self, records: int, seconds: float = _SECONDS) -> None:
        super().__init__()
        self._records, self._seconds = records, seconds
        self._start, self._passed, self._left_out = time.monotonic(), 0, 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is written."""
        now = time.monotonic()
        if now - self._start > self._seconds:
            if self._left_out:
                record.msg = (
                    f"{record.getMessage()} ({self._left_out} records were left out before)"
                )
                record.args = ()
            self._start, self._passed, self._left_out = now, 0, 0
        if self._passed >= self._records:
            self._left_out += 1
            return False
        self._passed += 10 if record.levelno >= logging.ERROR else 1
        return True


class StudyLog(logging.handlers.RotatingFileHandler):
    """``study.log``: readable by its owner only, never written through a link.

    If the disk does not take a line, that is printed once, until a line is written again.
    """

    def __init__(self, path: Path) -> None:
        self._error: OSError | None = None
        self._is_failing = False
        super().__init__(path, maxBytes=_MAX_BYTES, backupCount=_BACKUPS, encoding="utf-8")

    def _open(self) -> io.TextIOWrapper:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        return open(open_private_file(self.baseFilename, flags), "a", encoding="utf-8")

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, and print when writing begins to fail or to succeed again."""
        self._error = None
        super().emit(record)
        if self._error is not None and not self._is_failing:
            _print(f"study.log cannot be written ({self._error.strerror}); the server continues")
        if self._error is None and self._is_failing:
            _print("study.log is written again")
        self._is_failing = self._error is not None

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Keep an error of the disk for :meth:`emit`; print any other as logging does."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            self._error = error
        else:
            super().handleError(record)


def _print(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def start_log(path: Path) -> None:
    """Write the messages of the server to ``path`` and to stderr, a limited number per minute."""
    handlers: tuple[logging.Handler, ...] = (logging.StreamHandler(), StudyLog(path))
    for handler in handlers:
        handler.setFormatter(ShownFormatter(_FORMAT))
    for name, records in _RECORDS.items():
        logger = logging.getLogger(name)
        logger.addFilter(RecordLimit(records))
        logger.propagate = False
        for handler in handlers:
            logger.addHandler(handler)
    logging.getLogger("sfqa.rate").setLevel(logging.INFO)
