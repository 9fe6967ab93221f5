"""What every script does around its work: a log file, sentences for errors, a stop that saves."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from sfqa.errors import UserError, explain_machine_error, explain_write_errors

#: Signals that mean "save and end": TERM from ``scancel``, Slurm's ``--signal=TERM@120`` and its
#: time limit, systemd and Kubernetes; USR1 from SGE's ``-notify`` and by habit from Slurm.
STOPS = (signal.SIGTERM, signal.SIGUSR1)


class Stopped(SystemExit):
    """Raised inside a job when the system asks it to end; the exit code is 128 plus the signal.

    It is no ``Exception``, so that code that keeps going past a bad sample lets it through. Code
    that holds unsaved work catches it, saves and raises it again.

    >>> Stopped(signal.SIGTERM).code
    143
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.name = signal.Signals(number).name


#: Seconds in which a second signal does not cut the saving that the first one began.
_SAVING_SEC = 30.0


@dataclass
class _Asked:
    """What was asked of this process so far; signals reach the main thread alone."""

    number: int | None = None
    since: float | None = None
    held: int = 0

    def receive(self, number: int, frame: FrameType | None) -> None:
        saving = self.since is not None and time.monotonic() < self.since + _SAVING_SEC
        if not saving:
            self.number = number
            self.end()

    def end(self) -> None:
        if self.number is not None and not self.held:
            number, self.number, self.since = self.number, None, time.monotonic()
            raise Stopped(number)


_asked = _Asked()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let a stop wait until the block ends, so that it leaves no half-changed state.

    For blocks of seconds: a scheduler kills what has not ended some 30 s after its last signal.

    >>> with uninterrupted(): step = 1 + 1
    """
    _asked.held += 1
    try:
        yield
    finally:
        _asked.held -= 1
    _asked.end()


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise :class:`Stopped` in the block where one of :data:`STOPS` arrives.

    Handlers that were set before, and threads other than the main one, are left as they are.
    """
    global _asked
    free = threading.current_thread() is threading.main_thread()
    mine = [s for s in STOPS if free and signal.getsignal(s) is signal.SIG_DFL]
    _asked = _Asked() if mine else _asked
    for number in mine:
        signal.signal(number, _asked.receive)
    try:
        yield
    finally:
        for number in mine:
            signal.signal(number, signal.SIG_DFL)


class _LogFile(logging.FileHandler):
    """A log file that a full disk cuts short: what is said stands on the terminal too."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        with suppress(OSError):
            super().close()


@contextmanager
def job(log_file: str | Path, level: int = logging.INFO) -> Iterator[logging.Logger]:
    """Log to a file and to the terminal while the block runs; end orderly when asked to.

    A :class:`UserError`, a disk that is full or read-only and a lack of memory end the process with
    status 1 and a sentence; any other error is logged with its traceback and raised. A signal of
    :data:`STOPS` raises :class:`Stopped`.

    >>> import tempfile; path = Path(tempfile.mkdtemp()) / "job.log"
    >>> with job(path) as log: log.info("2 of 4 videos")
    >>> path.read_text().split(" ", 2)[2]
    '2 of 4 videos\\n'
    """
    path = Path(log_file)
    logger = logging.getLogger("sfqa")
    logger.setLevel(level)
    logger.propagate = False  # libraries put handlers of their own on the root logger
    to_terminal = logging.StreamHandler(sys.stderr)
    to_terminal.setLevel(logging.WARNING)
    to_terminal.setFormatter(logging.Formatter("%(message)s"))
    handlers: list[logging.Handler] = [to_terminal]
    logger.addHandler(to_terminal)
    try:
        with explain_write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            to_file = _LogFile(path, mode="w", encoding="utf-8")
        to_file.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        handlers.append(to_file)
        logger.addHandler(to_file)
        with stoppable():
            yield logger
    except UserError as error:
        logger.error("Error: %s", error)
        raise SystemExit(1) from None
    except Stopped as stop:
        logger.warning(
            "Stopped by %s: what is finished is kept, and the next attempt goes on there", stop.name
        )
        raise
    except Exception as error:
        told = explain_machine_error(error)
        logger.log(logging.INFO if told else logging.ERROR, "%s", traceback.format_exc())
        if told:
            logger.error("Error: %s", told)
            raise SystemExit(1) from None
        raise
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()
