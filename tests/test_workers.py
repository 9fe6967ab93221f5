"""A pool of worker processes: tasks of any kind, lost ones, and what is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from processes import is_running
from sfqa import workers
from sfqa.errors import UnusableError, UserError
from sfqa.workers import LostTaskError, WorkerPool, run_in_process

# What workers import must be a module that they find: this is written where they look.
JOBS = """
import os, signal, time
from pathlib import Path
from sfqa.errors import UnusableError, UserError

def square(task):
    if task == "user":
        raise UserError("config, x: no")
    if task == "bad":
        raise UnusableError("broken: not a number")
    if task == "bug":
        raise ZeroDivisionError("one over none")
    if task == "dies":
        os._exit(3)
    if task == "hangs":
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        Path(os.environ["HANGS"]).write_text(f"{os.getpid()}\\n")
        time.sleep(600)
    return task * task
"""


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    (tmp_path / "jobs_to_run.py").write_text(JOBS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("HANGS", str(tmp_path / "hangs"))
    sys.modules.pop("jobs_to_run", None)
    import jobs_to_run

    # Other tests of the same pytest process may have left a child, such as the resource tracker
    # of multiprocessing, which lives as long as its parent.
    children_before = set(psutil.Process().children())
    yield jobs_to_run
    left_behind = set(psutil.Process().children()) - children_before
    assert not left_behind, [child.cmdline() for child in left_behind]


def run(jobs, tasks, limit=60.0, count=2):
    with WorkerPool(count, "jobs_to_run", limit) as pool:
        return {result.task: result for result in pool.run(jobs.square, tasks, 2 * count + 1)}


def test_tasks_and_results_may_be_anything(jobs):
    results = run(jobs, [1, 2.5, 3])
    assert {task: result.value for task, result in results.items()} == {1: 1, 2.5: 6.25, 3: 9}
    assert os.getpid() not in {result.pid for result in results.values()}
    here = list(run_in_process(jobs.square, [1, 2.5, 3]))
    assert [result.value for result in here] == [1, 6.25, 9]
    assert {result.pid for result in here} == {os.getpid()}
    assert all(result.seconds >= 0 and result.peak_mb > 1 for result in here)


def test_no_tasks_no_results(jobs):
    assert run(jobs, []) == {}
    assert list(run_in_process(jobs.square, [])) == []


def test_errors_are_values_and_tell_the_lost_from_the_unusable(jobs):
    results = run(jobs, ["bad", "bug", "dies", 2], count=1)
    assert results[2].value == 4
    values = {task: str(results[task].value) for task in ("bad", "bug", "dies")}
    assert values == {
        "bad": "broken: not a number",
        "bug": "unexpected: ZeroDivisionError one over none",
        "dies": "decoder_died: the process that read the video ended (exit status 3)",
    }
    assert isinstance(results["bad"].value, UnusableError)
    lost = {task for task, r in results.items() if isinstance(r.value, LostTaskError)}
    assert lost == {"bug", "dies"}
    assert "in square" in results["bug"].value.trace
    assert results["dies"].value.trace == ""
    here = {r.task: r.value for r in run_in_process(jobs.square, ["bad", "bug"])}
    assert {task: str(value) for task, value in here.items()} == {
        task: values[task] for task in here
    }


def test_an_error_of_the_user_ends_the_run(jobs):
    with pytest.raises(UserError, match="config, x: no"):
        run(jobs, ["user", 1])
    with pytest.raises(UserError, match="config, x: no"):
        list(run_in_process(jobs.square, ["user"]))


def test_workers_that_start_too_slowly_are_an_error(jobs, monkeypatch):
    monkeypatch.setattr(workers, "_START_SEC", 0.2)
    monkeypatch.setattr(workers, "_START_CODE", "import time; time.sleep(60)")
    with pytest.raises(RuntimeError, match="did not start within 0 s"):
        run(jobs, [1], limit=0.1)


def test_a_worker_in_a_task_that_hangs_dies_with_the_job(jobs, tmp_path):
    code = (
        "import jobs_to_run\n"
        "from sfqa.workers import WorkerPool\n"
        "pool = WorkerPool(1, 'jobs_to_run', 600)\n"
        "next(pool.run(jobs_to_run.square, ['hangs'], 1))\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", code], env=env)
    end = time.monotonic() + 60
    hangs = tmp_path / "hangs"
    while not hangs.exists() or not hangs.read_text().endswith("\n"):
        assert time.monotonic() < end
        time.sleep(0.01)
    worker = int(hangs.read_text())
    process.send_signal(signal.SIGKILL)
    process.wait()
    while is_running(worker):
        assert time.monotonic() < end, "the worker outlived the job"
        time.sleep(0.01)
