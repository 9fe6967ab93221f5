"""A job that is told to end saves what it has, and its next attempt goes on there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sfqa import job
from waiting import wait_until

ROOT = Path(__file__).parents[2]

#: Ten rows, each put into the cache as it is there, then a table: what every feature job does.
ROWS = """
import sys, time
from pathlib import Path
import pyarrow as pa
from sfqa import store
from sfqa.cache import RowCache
from sfqa.job import run_job
folder = Path(sys.argv[1])
with run_job(folder / "job.log") as log:
    schema = pa.schema([("x", pa.int64())])
    cache, computed = RowCache(folder / "cache", "0", schema), 0
    with store.replacing(folder / "table.txt") as temporary:
        for number in range(10):
            key = f"{number:064x}"
            if cache.get(key) is None:
                time.sleep(0.1)
                cache.put(key, pa.RecordBatch.from_pylist([{"x": number}], schema))
                computed += 1
        temporary.write_text("".join(str(cache.get(f"{n:064x}")["x"][0]) for n in range(10)))
    log.info("%d computed", computed)
"""


def started(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "workflow/scripts")},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def stored(folder: Path) -> int:
    return sum(p.read_bytes().count(b"SFQArow1") for p in (folder / "cache").glob("*.rows"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_stopped_job_keeps_its_rows_and_the_next_attempt_computes_the_others(tmp_path, number):
    process = started(ROWS, tmp_path)
    wait_until(lambda: stored(tmp_path) >= 3, seconds=30, every_sec=0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    kept = stored(tmp_path)
    assert 3 <= kept < 10
    # No table, no half of one, no temporary file; a sentence in the log and on the terminal.
    assert {p.name for p in tmp_path.iterdir()} == {"cache", "job.log"}
    sentence = f"Stopped by {number.name}: what is finished is kept"
    assert sentence in (tmp_path / "job.log").read_text()
    assert sentence in said
    process = started(ROWS, tmp_path)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert (tmp_path / "table.txt").read_text() == "0123456789"
    assert f"{10 - kept} computed" in (tmp_path / "job.log").read_text()
    assert stored(tmp_path) == 10


def test_a_stop_waits_for_the_end_of_an_uninterrupted_block():
    done = []
    with pytest.raises(job.Stopped) as stopped, job.raise_on_stop():
        with job.defer_stop():
            with job.defer_stop():
                os.kill(os.getpid(), signal.SIGTERM)
                done.append("inner")
            done.append("outer")
        done.append("after")
    assert done == ["inner", "outer"]
    assert stopped.value.code == 143


def test_a_second_signal_does_not_cut_the_saving_but_a_late_one_ends_what_hangs(monkeypatch):
    done = []
    with pytest.raises(job.Stopped), job.raise_on_stop():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except job.Stopped:
            os.kill(os.getpid(), signal.SIGUSR1)
            done.append("saved")
            raise
    assert done == ["saved"]
    monkeypatch.setattr(job, "_SAVING_SEC", 0.0)
    with pytest.raises(job.Stopped) as stopped, job.raise_on_stop():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except job.Stopped:
            os.kill(os.getpid(), signal.SIGUSR1)
    assert stopped.value.name == "SIGUSR1"


def test_an_error_of_the_block_is_not_hidden_by_a_stop_that_waits():
    with pytest.raises(ZeroDivisionError), job.raise_on_stop(), job.defer_stop():
        os.kill(os.getpid(), signal.SIGTERM)
        _ = 1 / 0
    with job.raise_on_stop():  # and the old request is not carried into the next job
        time.sleep(0.01)


def test_code_that_goes_on_past_errors_lets_a_stop_through():
    with pytest.raises(job.Stopped), job.raise_on_stop():
        for _ in range(2):
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            except Exception:
                pytest.fail("a stop was taken for a bad sample")


def test_other_handlers_and_other_threads_are_left_alone():
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
    try:
        with job.raise_on_stop():
            os.kill(os.getpid(), signal.SIGTERM)
        assert heard == [1]
    finally:
        signal.signal(signal.SIGTERM, before)
    failed = []

    def inside():
        try:
            with job.raise_on_stop():
                pass
        except ValueError as error:  # signal.signal works in the main thread alone
            failed.append(error)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert not failed
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


#: Appends rows to one file as fast as it can, and asks for each at once: prints answers not its own.
HAMMER = """
import os, sys
import pyarrow as pa
from pathlib import Path
from sfqa.cache import RowCache
os.fsync = lambda handle: None
folder, me = Path(sys.argv[1]), int(sys.argv[2])
schema = pa.schema([("x", pa.int64())])
cache, wrong = RowCache(folder, "0", schema), 0
for number in range(me * 10**6, me * 10**6 + 2500):
    cache.put(f"{number:064x}", pa.RecordBatch.from_pylist([{"x": number}], schema))
    found = cache.get(f"{number:064x}")
    wrong += found is not None and found["x"][0].as_py() != number
print(wrong)
"""


def test_two_jobs_of_one_shard_never_take_each_others_rows(tmp_path):
    """A killed Snakemake leaves its Slurm jobs running; the next run starts the same shard again."""
    jobs = [started(HAMMER, tmp_path, number) for number in range(3)]
    assert [job.communicate(timeout=60)[0].strip() for job in jobs] == ["0", "0", "0"]
