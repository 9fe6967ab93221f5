"""The time left for a run: from finished jobs, from the logs of running ones, and what it does not know."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from sfqa import progress
from sfqa.run_progress import (
    RunTimes,
    TimeLeft,
    format_time_left,
    read_log_time_left,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def times(clock: Clock) -> RunTimes:
    return RunTimes(clock)


def test_no_estimate_before_the_first_job_has_finished(times: RunTimes) -> None:
    times.count_waiting({"conform": 3})
    assert times.estimate() is None
    times.start_job(1, "conform", "conform sharp 0")
    assert times.estimate() is None


def test_waiting_jobs_take_as_long_as_the_finished_ones_of_their_rule(
    times: RunTimes, clock: Clock
) -> None:
    times.count_waiting({"conform": 4, "correlate": 1})
    times.start_job(1, "conform", "conform sharp 0")
    clock.now += 10
    times.finish_job(1)
    left = times.estimate()
    # Three of conform, and one of a rule that was not timed: the mean of all.
    assert left == TimeLeft(pytest.approx(40.0), 4, 1)
    times.start_job(2, "correlate", "correlate")
    clock.now += 100
    times.finish_job(2)
    assert times.estimate() == TimeLeft(pytest.approx(30.0), 3, 0)


def test_jobs_at_the_same_time_divide_the_time(times: RunTimes, clock: Clock) -> None:
    times.count_waiting({"conform": 8})
    for number in (1, 2, 3, 4):
        times.start_job(number, "conform", "conform")
    clock.now += 20
    for number in (1, 2, 3, 4):
        times.finish_job(number)
    assert times.estimate() == TimeLeft(pytest.approx(20.0), 4, 0)


def test_a_failed_job_is_no_measure(times: RunTimes, clock: Clock) -> None:
    times.start_job(1, "conform", "conform")
    clock.now += 1
    times.finish_job(1, succeeded=False)
    assert times.estimate() is None
    assert not times.running


def write_log(path: Path, *, done: int, left: str, age_sec: float = 0) -> str:
    path.write_text(
        f"2026-01-01 10:00:00 lse {done} of 9: a ok (4 videos/min, {left} left, 1 failed)\n"
    )
    os.utime(path, (time.time() - age_sec,) * 2)
    return str(path)


def test_a_running_job_takes_what_its_log_says(
    times: RunTimes, clock: Clock, tmp_path: Path
) -> None:
    log = write_log(tmp_path / "a.log", done=4, left="1:10:00")
    times.count_waiting({"signal": 1, "lse": 3})
    times.start_job(1, "signal", "signal")
    clock.now += 10
    times.finish_job(1)
    times.start_job(2, "lse", "lse sharp 0", [log])
    clock.now += 600
    left = times.estimate()
    assert left is not None
    # 4200 s of this job, and two like it: 600 s elapsed and 4200 s left.
    assert left.seconds == pytest.approx(4200 + 2 * 4800, rel=0.01)
    assert left.untimed == 0
    assert times.describe_running() == "lse sharp 0: 4 of 9, about 70 minutes left"


def test_the_line_of_a_log_is_that_of_progress(tmp_path: Path) -> None:
    lines: list[str] = []
    shown = progress.Progress("lse", 7, 7, log=lines.append)
    shown._started -= 3600
    shown.report("d", "ok")
    path = tmp_path / "job.log"
    path.write_text(f"2026-01-01 10:00:00 {lines[0]}\n")
    logged = read_log_time_left([str(tmp_path / "none.log"), str(path)])
    assert logged is not None
    assert (logged.done, logged.total) == (1, 7)
    assert logged.seconds == pytest.approx(6 * 3600, abs=5)


def test_the_age_of_the_line_is_subtracted(tmp_path: Path) -> None:
    log = write_log(tmp_path / "a.log", done=4, left="1:40", age_sec=30)
    logged = read_log_time_left([log])
    assert logged is not None
    assert logged.seconds == pytest.approx(70, abs=2)
    assert (
        read_log_time_left([write_log(tmp_path / "b.log", done=1, left="0:01", age_sec=99)]).seconds
        == 0
    )  # type: ignore[union-attr]
    (tmp_path / "c.log").write_text("2026-01-01 10:00:00 4 rows, 2 computed\n")
    assert read_log_time_left([str(tmp_path / "c.log")]) is None


def test_the_line_says_what_the_estimate_does_not_know() -> None:
    assert format_time_left(TimeLeft(10, 1, 0)) == "Less than a minute left (1 job)"
    assert format_time_left(TimeLeft(7300, 30, 1), more_follow=True) == (
        "About 2 hours left (30 jobs; 1 of them is of a rule that was not timed yet; more are "
        "planned after the samples are listed)"
    )
