"""Say how far a job is: a line per video in its log, one line that changes on a terminal."""

from __future__ import annotations

import logging
import sys
import time
from typing import TextIO

log = logging.getLogger("sfqa")
_EVERY_SEC = 0.2


class Progress:
    """Rows done of all, videos per minute, time left and failures so far.

    ``total`` rows, of which ``computed`` have to be computed: rate and time left are of those.
    """

    def __init__(
        self, name: str, total: int, computed: int, terminal: TextIO | None = None
    ) -> None:
        self.name, self.total, self.left = name, total, computed
        self.terminal = sys.stderr if terminal is None else terminal
        self.shown = self.terminal.isatty()
        self.done = self.computed = self.failed = 0
        self.started, self.said = time.monotonic(), 0.0

    def row(self, sample_id: str, status: str, detail: str, computed: bool) -> None:
        """Take in one more row."""
        self.done += 1
        self.failed += status == "failed"
        if computed:
            self.computed += 1
            self.left -= 1
        counted = f"{self.done} of {self.total}"
        said = f"{status} {detail}".rstrip()
        log.info("%s %s: %s %s (%s)", self.name, counted, sample_id, said, self.rate())
        now = time.monotonic()
        if self.shown and (now - self.said >= _EVERY_SEC or self.done == self.total):
            self.said = now
            self.terminal.write(f"\r{self.name} {counted}, {self.rate()}\x1b[K")
            self.terminal.flush()

    def rate(self) -> str:
        """Return rate, time left and failures as words.

        >>> Progress("lse", 3, 3).rate()
        '0 failed'
        """
        words = [f"{self.failed} failed"]
        if self.computed:
            each = (time.monotonic() - self.started) / self.computed
            minutes, seconds = divmod(round(each * self.left), 60)
            pace = f"{60 / max(each, 1e-9):.3g} videos/min"
            words = [pace, f"{minutes}:{seconds:02d} left", *words]
        return ", ".join(words)

    def close(self) -> None:
        """End the line on the terminal."""
        if self.shown and self.done:
            self.terminal.write("\n")
            self.terminal.flush()
