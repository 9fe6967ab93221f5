"""Two workflows on one results folder: the second is refused, and a killed one blocks nobody."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flow import ROOT, SMALL, Flow
from sfqa import cli, results_lock
from sfqa.errors import UserError
from sfqa.results_lock import LOCK_NAME, ResultsLock, find_run

HOLD = """
import sys
from pathlib import Path
from sfqa.results_lock import ResultsLock
lock = ResultsLock(Path(sys.argv[1])); lock.acquire(); print("held", flush=True)
sys.stdin.readline(); lock.release()
"""


class Holder:
    """Another process that holds the lock of a results folder."""

    def __init__(self, results: Path) -> None:
        env = {**os.environ, "PYTHONPATH": str(ROOT / "workflow" / "scripts")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, results], env=env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "held\n"

    def __enter__(self) -> Holder:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def write_record(results: Path, **changes: object) -> Path:
    """Leave the lock file of a run that is not there any more."""
    lock = ResultsLock(results)
    lock.acquire()
    record = json.loads((results / LOCK_NAME).read_text()) | changes
    lock.release()
    (results / LOCK_NAME).write_text(json.dumps(record))
    return results / LOCK_NAME


def test_the_second_run_is_refused_and_a_killed_one_is_not_waited_for(tmp_path):
    with Holder(tmp_path) as other:
        with pytest.raises(UserError, match="another workflow works on these results") as refused:
            ResultsLock(tmp_path).acquire()
        assert f"process {other.process.pid} on" in str(refused.value)
        assert f"started in {Path.cwd()}" in str(refused.value)
        run = find_run(tmp_path)
        assert run is not None
        assert run.pid == other.process.pid
        other.process.send_signal(signal.SIGKILL)
        other.process.wait()
        assert (tmp_path / LOCK_NAME).is_file()
        assert find_run(tmp_path) is None
        lock = ResultsLock(tmp_path)
        lock.acquire()
        lock.release()
    assert list(tmp_path.iterdir()) == []


def test_a_run_on_another_machine_counts_until_it_is_silent(tmp_path):
    """Its lock may not be seen here: some mounts keep locks on one machine."""
    path = write_record(tmp_path, host="node7", boot="another")
    with pytest.raises(UserError, match="on node7.*its lock is free 120 seconds after"):
        ResultsLock(tmp_path).acquire()
    assert find_run(tmp_path) is not None
    old = time.time() - 121
    os.utime(path, (old, old))
    assert find_run(tmp_path) is None
    lock = ResultsLock(tmp_path)
    lock.acquire()
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    monkeypatch.setattr(results_lock, "_try_lock", lambda *_: None)
    monkeypatch.setattr(results_lock, "_SETTLE_SEC", 0.01)
    with Holder(tmp_path) as other:
        with pytest.raises(UserError, match=f"process {other.process.pid} on"):
            ResultsLock(tmp_path).acquire()
        other.process.kill()
        other.process.wait()
        lock = ResultsLock(tmp_path)
        lock.acquire()
        # A process of the same number that started later is another one.
        path = write_record(tmp_path / "b", pid=os.getpid(), started="1")
        assert find_run(path.parent) is None
        lock.release()


@pytest.mark.parametrize("content", ["my thesis", '{"host": "a"}', '["x"]', "x" * 5000])
def test_a_file_that_is_no_lock_is_kept(tmp_path, content):
    (tmp_path / LOCK_NAME).write_text(content)
    with pytest.raises(UserError, match="not the lock file of a run; delete it"):
        ResultsLock(tmp_path).acquire()
    assert (tmp_path / LOCK_NAME).read_text() == content


def test_a_link_is_no_lock(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("my thesis")
    (tmp_path / LOCK_NAME).symlink_to(victim)
    with pytest.raises(UserError, match="is a link"):
        ResultsLock(tmp_path).acquire()
    assert victim.read_text() == "my thesis"
    path = write_record(tmp_path / "b", host="\x1b[31mred", boot="x")
    with pytest.raises(UserError, match="not the lock file"):
        ResultsLock(path.parent).acquire()


TABLE = "results/small/materials/clips.parquet"


@pytest.fixture
def flows(tmp_path):
    """Two working folders; the results of the second one are a link to those of the first."""
    first, second = Flow(tmp_path / "a", SMALL), Flow(tmp_path / "b", SMALL)
    first.results.mkdir(parents=True)
    (second.folder / "results").symlink_to(first.results.parent)
    return first, second


def test_a_workflow_from_another_folder_is_refused_before_its_first_job(flows, capsys):
    first, second = flows
    with Holder(first.results) as holder:
        printed = second.run(TABLE, ok=False)
        assert f"another workflow works on these results: process {holder.process.pid}" in printed
        assert "Traceback" not in printed
        assert not (first.results / "materials").exists()
        cache = first.results / "features" / "lse" / "cache" / "a"
        cache.mkdir(parents=True)
        (cache / "0.rows").touch()
        assert cli.main(["cache", "prune", str(first.results)]) == 2
        assert "a workflow is at work here (process" in capsys.readouterr().err


@pytest.mark.thorough
def test_a_plan_is_possible_and_the_next_run_works(flows):
    first, second = flows
    with Holder(first.results):
        assert "prepare_clips" in second.planned(TABLE)
    second.run(TABLE)
    assert (first.results / "materials" / "clips.parquet").is_file()
    assert not (first.results / LOCK_NAME).exists()


@pytest.mark.thorough
def test_two_workflows_at_the_same_time(flows):
    """One of the two makes everything, the other one is refused."""
    first, second = flows
    targets = [f"results/small/generation/{m}/0.parquet" for m in ("sharp", "late")]
    processes = [
        subprocess.Popen(
            run.command(*targets), cwd=run.folder, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for run in (first, second)
    ]  # fmt: skip
    texts = [process.communicate()[0] for process in processes]
    assert sorted(process.returncode for process in processes) == [0, 1], texts
    refused = texts[[process.returncode for process in processes].index(1)]
    assert "another workflow works on these results" in refused
    assert all((first.folder / target).is_file() for target in targets)
