"""Estimate the time left for a run from its finished jobs and the logs of the running ones."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sfqa.errors import format_count

#: In the lines of :class:`sfqa.progress.Progress`: "4 of 7: d ok (..., 0:45 left, ...".
_LOG_LINE = re.compile(r"(\d+) of (\d+): .*?((?:\d+:)?\d+:\d\d) left")
_TAIL_BYTES = 4096


@dataclass(frozen=True)
class RunningJob:
    """A job that was started: its rule, its name for people, its log files and when it started."""

    rule: str
    name: str
    logs: tuple[str, ...]
    started: float


@dataclass(frozen=True)
class TimeLeft:
    """Seconds left for a run, and what the estimate does not know.

    ``jobs``: running and waiting jobs; ``untimed``: those of rules of which no job has finished.
    """

    seconds: float
    jobs: int
    untimed: int


@dataclass
class RunTimes:
    """The jobs of a run: those that run, the durations of the finished ones, how many wait.

    ``waiting`` counts the jobs of each rule that have not started.
    """

    clock: Callable[[], float] = time.monotonic
    running: dict[int, RunningJob] = field(default_factory=dict)
    durations: dict[str, list[float]] = field(default_factory=dict)
    waiting: Counter[str] = field(default_factory=Counter)
    _first_start: float | None = None

    def start_job(self, job_id: int, rule: str, name: str, logs: Iterable[str] = ()) -> None:
        """Record that a job has started."""
        now = self.clock()
        if self._first_start is None:
            self._first_start = now
        self.running[job_id] = RunningJob(rule, name, tuple(logs), now)
        if self.waiting[rule] > 0:
            self.waiting[rule] -= 1

    def finish_job(self, job_id: int, succeeded: bool = True) -> None:
        """Record that a job has ended; the duration of a failed one says nothing about others."""
        job = self.running.pop(job_id, None)
        if job is not None and succeeded:
            self.durations.setdefault(job.rule, []).append(self.clock() - job.started)

    def count_waiting(self, rules: Mapping[str, int]) -> None:
        """Replace the numbers of waiting jobs by rule."""
        self.waiting = Counter({rule: count for rule, count in rules.items() if count > 0})

    def estimate(self) -> TimeLeft | None:
        """Return the time left for the run, None while no job has finished.

        A waiting job takes the mean duration of the finished jobs of its rule, or of all finished
        jobs if its rule has none. A running job takes what its log says, else the rest of that
        mean. The sum is divided by the number of jobs that ran at the same time on average.
        """
        finished = [seconds for times in self.durations.values() for seconds in times]
        if not finished or self._first_start is None:
            return None
        now = self.clock()
        elapsed = {number: now - job.started for number, job in self.running.items()}
        jobs_at_once = (sum(finished) + sum(elapsed.values())) / max(now - self._first_start, 1e-9)
        means = {rule: sum(times) / len(times) for rule, times in self.durations.items()}
        default = sum(finished) / len(finished)
        left = []
        for number, job in self.running.items():
            logged = read_log_time_left(job.logs)
            mean_rest = max(0.0, means.get(job.rule, default) - elapsed[number])
            left.append(mean_rest if logged is None else logged.seconds)
            if logged is not None:
                means.setdefault(job.rule, elapsed[number] + logged.seconds)
        waiting_sec = sum(means.get(rule, default) * n for rule, n in self.waiting.items())
        seconds = max(max(left, default=0.0), (sum(left) + waiting_sec) / max(jobs_at_once, 0.1))
        count = len(self.running) + sum(self.waiting.values())
        untimed = sum(n for rule, n in self.waiting.items() if rule not in means)
        return TimeLeft(seconds, count, untimed)

    def describe_running(self, limit: int = 3) -> str:
        """Return how far the running jobs are by their logs, '' if no log says it.

        At most ``limit`` jobs are described, those with the most time left.
        """
        logged = [(read_log_time_left(job.logs), job.name) for job in self.running.values()]
        known = sorted(
            ((entry, name) for entry, name in logged if entry is not None),
            key=lambda pair: -pair[0].seconds,
        )
        parts = [
            f"{name}: {entry.done} of {entry.total}, {format_duration(entry.seconds)} left"
            for entry, name in known[:limit]
        ]
        return "; ".join(parts)


@dataclass(frozen=True)
class LoggedTime:
    """What a job's log says: items done, all items, seconds left."""

    done: int
    total: int
    seconds: float


def read_log_time_left(logs: Iterable[str]) -> LoggedTime | None:
    """Return the last time left that the log files of a job state, None if there is none.

    The time since the last line is subtracted.
    """
    for path in map(Path, logs):
        try:
            with open(path, "rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
                tail = file.read().decode("utf-8", "replace")
            age_sec = max(0.0, time.time() - path.stat().st_mtime)
        except OSError:
            continue
        if matches := _LOG_LINE.findall(tail):
            done, total, clock_text = matches[-1]
            seconds = max(0.0, parse_clock(clock_text) - age_sec)
            return LoggedTime(int(done), int(total), seconds)
    return None


def parse_clock(text: str) -> float:
    """Return the seconds of a duration as :func:`sfqa.progress.format_clock` writes it.

    >>> parse_clock("0:45"), parse_clock("3:01:02")
    (45.0, 10862.0)
    """
    seconds = 0.0
    for part in text.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


def format_duration(seconds: float) -> str:
    """Return a duration in words, as coarse as an estimate is.

    >>> format_duration(20), format_duration(250), format_duration(9000), format_duration(4e5)
    ('less than a minute', 'about 4 minutes', 'about 2.5 hours', 'about 4.6 days')
    """
    if seconds < 60:
        return "less than a minute"
    for unit, size, limit in (("minutes", 60.0, 5400.0), ("hours", 3600.0, 172_800.0)):
        if seconds < limit:
            number = seconds / size
            if unit == "minutes":
                return "about 1 minute" if round(number) == 1 else f"about {round(number)} minutes"
            return f"about {number:.2g} {unit}"
    return f"about {seconds / 86_400:.2g} days"


def format_time_left(left: TimeLeft, more_follow: bool = False) -> str:
    """Return the line of the screen for an estimate.

    ``more_follow``: a checkpoint has not run yet, so that more jobs are planned later.

    >>> format_time_left(TimeLeft(250, 12, 3))
    'About 4 minutes left (12 jobs; 3 of them are of rules that were not timed yet)'
    """
    text = format_duration(left.seconds)
    notes = [format_count(left.jobs, "job")]
    if left.untimed:
        verb = "are of rules that were" if left.untimed > 1 else "is of a rule that was"
        notes.append(f"{left.untimed} of them {verb} not timed yet")
    if more_follow:
        notes.append("more are planned after the samples are listed")
    return f"{text[0].upper()}{text[1:]} left ({'; '.join(notes)})"
