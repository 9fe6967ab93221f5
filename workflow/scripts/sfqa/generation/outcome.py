"""How a process of a generator ended, and which of its files are the results."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from sfqa import media
from sfqa.generation.check import describe_media_error, find_problem
from sfqa.generation.generator import Generator, Item, Run
from sfqa.generation.shard import is_disk_full
from sfqa.repositories import process
from sfqa.repositories.workspace import remove_aliases
from sfqa.tables import flaw

#: Messages in a log that name a cause outside the generator, and the words of their rows.
_CAUSES = {"No space left on device": "disk_full", "CUDA out of memory": "out_of_memory"}


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended: ``log_start`` is the byte at which its output begins in the log.

    Files older than ``started_ns`` (nanoseconds, by the clock of the file system) are not results.
    """

    run: Run
    ended: process.ProcessEnd
    log: Path
    log_start: int
    started_ns: int
    limit_sec: float

    def collect_video(self, generator: Generator, item: Item) -> tuple[Path | None, str]:
        """Return an item's checked file and its flaw or ''; or None and the reason."""
        newest = find_newest_result(generator, self.run, item, self.started_ns)
        fault = self._describe_end()
        # A batch can die at one of its items: the videos before that one are complete.
        if fault and (len(self.run.items) == 1 or newest is None):
            return None, self._add_log(fault)
        if newest is None:
            sentence = f"{self.ended.describe()}, without a result"
            return None, self._add_log(flaw("no_output", sentence))
        try:
            path, detail = generator.finish_video(self.run, item, newest[0])
        except media.MediaError as error:
            if is_disk_full(error):
                raise
            return None, self._add_log(fault or flaw("broken", describe_media_error(error)))
        expected = generator.predict_sec(item.seconds, self.run.options)
        reason = find_problem(path, expected_sec=expected, moving=True)
        return (None, self._add_log(fault or reason)) if reason else (path, detail)

    def _describe_end(self) -> str:
        """Return 'word: sentence' if the process did not end well, else ''."""
        if self.ended.timed_out:
            minutes = self.limit_sec / 60
            return flaw("timed_out", f"it was stopped after {minutes:g} minutes, its time limit")
        return flaw("exit_code", self.ended.describe()) if self.ended.code else ""

    def _add_log(self, reason: str) -> str:
        """Return a reason with the end of the log; its word is the cause if the log names one."""
        word, _, sentence = reason.partition(": ")
        text = process.read_log_end(self.log, self.log_start)
        word = next((cause for message, cause in _CAUSES.items() if message in text), word)
        last_lines = process.read_last_lines(self.log, self.log_start)
        ending = f"the log ends with: {last_lines}" if last_lines else "the log is empty"
        detail = f"{sentence}, {ending} (logs/{self.log.name})"
        return flaw(word, remove_aliases(detail))


def find_newest_result(
    generator: Generator, run: Run, item: Item, started_ns: int
) -> tuple[Path, int, int] | None:
    """Return the newest candidate written since the start: path, size, time; None if none is."""
    candidates = []
    for path in generator.list_candidates(run, item):
        with contextlib.suppress(OSError):  # it does not exist, or was just renamed
            stat = path.stat()
            if path.is_file() and stat.st_mtime_ns >= started_ns:
                candidates.append((stat.st_mtime_ns, str(path), stat.st_size))
    if not candidates:
        return None
    time_ns, name, size = max(candidates)
    return Path(name), size, time_ns
