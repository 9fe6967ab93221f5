"""What every script runs in: a log file, errors as sentences, and a stop that saves the work."""

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
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import NoReturn

from sfqa.errors import UserError, explain_machine_error, explain_write_errors
from sfqa.private_files import refuse_links
from sfqa.shown_text import ShownFormatter

#: Signals that mean "save and exit": TERM from ``scancel``, from Slurm's ``--signal=TERM@120`` and
#: time limit, from systemd and Kubernetes; USR1 from SGE's ``-notify`` and often from Slurm.
STOPS = (signal.SIGTERM, signal.SIGUSR1)


class Stopped(SystemExit):
    """Raised in a job when the system asks it to exit; the exit status is 128 plus the signal.

    It is not an ``Exception``, so code that continues after a bad sample does not catch it. Code
    that holds unsaved work catches it, saves the work and raises it again.

    >>> Stopped(signal.SIGTERM).code
    143
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.name = signal.Signals(number).name


#: For so many seconds after a stop, further signals are ignored, so that saving can finish.
_SAVING_SEC = 30.0


@dataclass
class _StopRequest:
    """The stop signal received by this process, if any. Signals reach the main thread only.

    ``raised_at``: when :class:`Stopped` was raised for it. ``blocks``: how many blocks of
    :func:`defer_stop` are running.
    """

    number: int | None = None
    raised_at: float | None = None
    blocks: int = 0

    def receive_signal(self, number: int, frame: FrameType | None) -> None:
        is_saving = self.raised_at is not None and time.monotonic() < self.raised_at + _SAVING_SEC
        if not is_saving:
            self.number = number
            self.raise_if_allowed()

    def raise_if_allowed(self) -> None:
        if self.number is not None and not self.blocks:
            number, self.number, self.raised_at = self.number, None, time.monotonic()
            raise Stopped(number)


_stop_request = _StopRequest()


def read_deferred_stop() -> int:
    """Return the number of the signal whose stop is deferred, 0 if there is none."""
    return _stop_request.number or 0


def raise_stopped(number: int) -> NoReturn:
    """Raise :class:`Stopped` for a signal that this process, or another of its group, received."""
    _stop_request.number, _stop_request.raised_at = None, time.monotonic()
    raise Stopped(number)


@contextmanager
def defer_stop() -> Iterator[None]:
    """Defer a stop until the block ends, so that the block leaves no half-changed state.

    For blocks of a few seconds: a scheduler kills a process some 30 s after its last signal.

    >>> with defer_stop(): step = 1 + 1
    """
    _stop_request.blocks += 1
    try:
        yield
    finally:
        _stop_request.blocks -= 1
    _stop_request.raise_if_allowed()


@contextmanager
def raise_on_stop() -> Iterator[None]:
    """Raise :class:`Stopped` in the block when one of :data:`STOPS` is received.

    Signals that already have a handler keep it. Outside the main thread nothing is changed.
    """
    global _stop_request
    is_main = threading.current_thread() is threading.main_thread()
    signals = [s for s in STOPS if is_main and signal.getsignal(s) is signal.SIG_DFL]
    _stop_request = _StopRequest() if signals else _stop_request
    for number in signals:
        signal.signal(number, _stop_request.receive_signal)
    try:
        yield
    finally:
        for number in signals:
            signal.signal(number, signal.SIG_DFL)


class JobLogFile(logging.FileHandler):
    """A log file that ignores a full disk, because the terminal shows the messages too.

    Lines are appended, so that the processes of a job can write to its file too. A link in its
    place is not followed: the results may come from somebody else.
    """

    def __init__(self, path: Path | str) -> None:
        super().__init__(path, mode="a", encoding="utf-8")
        self.setFormatter(ShownFormatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))

    def _open(self) -> TextIOWrapper:
        handle = open(self.baseFilename, "ab", opener=refuse_links)  # noqa: SIM115
        return TextIOWrapper(handle, encoding=self.encoding, errors=self.errors)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Ignore an error of the disk."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        """Close the file, also on a full disk."""
        with suppress(OSError):
            super().close()


@contextmanager
def run_job(log_file: str | Path, level: int = logging.INFO) -> Iterator[logging.Logger]:
    """Run the block as a job: log to a file and the terminal, and report errors as sentences.

    A :class:`UserError`, a full or read-only disk and a lack of memory exit with status 1 and a
    sentence. Any other error is logged with its traceback and raised. A signal of :data:`STOPS`
    raises :class:`Stopped`.

    >>> import tempfile; path = Path(tempfile.mkdtemp()) / "job.log"
    >>> with run_job(path) as log: log.info("2 of 4 videos")
    >>> path.read_text().split(" ", 2)[2]
    '2 of 4 videos\\n'
    """
    path = Path(log_file)
    logger = logging.getLogger("sfqa")
    logger.setLevel(level)
    logger.propagate = False  # libraries put handlers of their own on the root logger
    to_terminal = logging.StreamHandler(sys.stderr)
    to_terminal.setLevel(logging.WARNING)
    to_terminal.setFormatter(ShownFormatter("%(message)s"))
    handlers: list[logging.Handler] = [to_terminal]
    logger.addHandler(to_terminal)
    try:
        with explain_write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            to_file = JobLogFile(path)
            if to_file.stream is not None:
                to_file.stream.truncate(0)  # of an earlier attempt
        handlers.append(to_file)
        logger.addHandler(to_file)
        with raise_on_stop():
            yield logger
    except UserError as error:
        logger.error("Error: %s", error)
        raise SystemExit(1) from None
    except Stopped as stop:
        logger.warning(
            "Stopped by %s: what is finished is kept, and the next attempt resumes there", stop.name
        )
        raise
    except Exception as error:
        user_error = explain_machine_error(error)
        logger.log(logging.INFO if user_error else logging.ERROR, "%s", traceback.format_exc())
        if user_error:
            logger.error("Error: %s", user_error)
            raise SystemExit(1) from None
        raise
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()
