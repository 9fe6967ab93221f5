"""Report how far a job is: a log line per finished item, one changing line on a terminal."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import TextIO

from sfqa.shown_text import get_raw_stream, show_controls

_TERMINAL_SEC = 0.2


class Progress:
    """Reports each finished item of a job with the rate, the time left and the failures so far.

    ``total`` items, of which ``to_compute`` need work; rate and time left are about those. ``unit``
    names the items in the plural. Each line goes to ``log``, by default the project's log, and a
    short form of it to ``terminal``, by default stderr, if that is one.
    """

    def __init__(
        self,
        name: str,
        total: int,
        to_compute: int,
        unit: str = "videos",
        log: Callable[[str], None] | None = None,
        terminal: TextIO | None = None,
    ) -> None:
        self.name, self.total, self.to_compute, self.unit = name, total, to_compute, unit
        self.done = self.computed = self.failed = 0
        self._log = log or logging.getLogger("sfqa").info
        self._terminal = get_raw_stream(sys.stderr if terminal is None else terminal)
        self._on_terminal = self._terminal.isatty()
        self._started, self._last_shown = time.monotonic(), 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._on_terminal and self.done:
            self._terminal.write("\n")
            self._terminal.flush()

    def skip(self, count: int) -> None:
        """Count items that are finished already, without a line for each."""
        self.done += count

    def report(
        self, item: str, outcome: str, *, computed: bool = True, failed: bool = False
    ) -> None:
        """Report one more finished item.

        ``outcome`` says in words what came of it; ``computed`` is False if an earlier run did the
        work.
        """
        now = time.monotonic()
        self.done += 1
        self.failed += failed
        if computed:
            self.computed += 1
        elif not self.computed:
            self._started = now  # looking for what an earlier run did is not the work
        position = f"{self.name} {self.done} of {self.total}"
        pace = self.describe_pace()
        self._log(f"{position}: {item} {outcome} ({pace})")
        due = now - self._last_shown >= _TERMINAL_SEC or self.done == self.total
        if self._on_terminal and due:
            self._last_shown = now
            line = show_controls(f"{position}, {pace}", keep="")
            self._terminal.write(f"\r{line}\x1b[K")
            self._terminal.flush()

    def describe_pace(self) -> str:
        """Return rate, time left and failures in words.

        >>> Progress("lse", 3, 3).describe_pace()
        '0 failed'
        """
        failures = f"{self.failed} failed"
        if not self.computed:
            return failures
        seconds_each = (time.monotonic() - self._started) / self.computed
        seconds_left = seconds_each * max(0, self.to_compute - self.computed)
        rate = f"{60 / max(seconds_each, 1e-9):.3g} {self.unit}/min"
        return f"{rate}, {format_clock(seconds_left)} left, {failures}"


def format_clock(seconds: float) -> str:
    """Return a duration as minutes and seconds, from one hour on with hours.

    >>> format_clock(45.2), format_clock(3 * 3600 + 62)
    ('0:45', '3:01:02')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
