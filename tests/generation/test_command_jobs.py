"""The command adapter's jobs as processes of their own: side by side, and killed."""

import os
import signal
import tempfile
import time
from contextlib import suppress

import psutil
import pytest
from fake_generator import job, make_samples, words

from sfqa import store, tables
from sfqa.generation import adapters
from sfqa.generation.records import VideoFolder
from sfqa.generation.shard import Shard


@pytest.mark.thorough
def test_four_jobs_at_once_do_not_meet(engine, tmp_path):
    engine.samples = make_samples(tmp_path, 8)
    engine.plan(_1=["exit1", "slow"], _2=["slow"], _5=["nothing"], _6=["late"])
    jobs = [job(engine, shard) for shard in range(4)]
    assert [one.wait(60) for one in jobs] == [0] * 4
    rows = store.read(tables.VIDEOS, [engine.folder / f"{n}.parquet" for n in range(4)])
    found = dict(zip(rows["sample_id"], words(rows.to_dict("records")), strict=True))
    assert found == {f"img{n}__song__fake": "no_output" if n == 5 else "ok" for n in range(8)}
    assert sorted(engine.calls()) == [0, 1, 1, 2, 3, 4, 5, 5, 6, 7]
    assert [path.name for path in (engine.folder / "work").iterdir()] == ["img5__song__fake"]


def children_of(pid: int) -> set[int]:
    """Processes that hold an environment variable of the fake generator, or descend from a job."""
    found = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            over = process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
            if process.pid != pid and not over and "fake.py" in " ".join(process.cmdline()):
                found.add(process.pid)
    return found


def test_a_job_killed_at_work_leaves_nothing_and_the_next_goes_on(engine):
    engine.plan(_1=["hang", "ok"])
    one = job(engine)
    until = time.monotonic() + 120
    while engine.calls() != [0, 1] and time.monotonic() < until:
        time.sleep(0.02)
    assert engine.calls() == [0, 1]
    # On a busy machine a process that is starting stands beside its parent's copy for a moment.
    while len(children_of(one.pid)) != 1 and time.monotonic() < until:
        time.sleep(0.02)
    assert len(children_of(one.pid)) == 1
    one.send_signal(signal.SIGKILL)
    assert one.wait(60) == -9
    until = time.monotonic() + 60
    while children_of(one.pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert children_of(one.pid) == set()
    assert [path.name for path in (engine.folder / "work").iterdir()] == ["img1__song__fake"]
    assert len(list((engine.folder / "videos").iterdir())) == 1
    stale = [path for path in engine.temporary.iterdir() if path.is_symlink()]
    assert len(stale) == 1
    rows = engine.go()
    assert words(rows) == ["ok"] * 3
    assert engine.calls() == [0, 1, 1, 2]
    assert list((engine.folder / "work").iterdir()) == []
    assert not os.path.lexists(stale[0])


@pytest.mark.parametrize("moment", ["moved", "recorded"])
def test_a_kill_between_the_steps_of_taking_a_video(engine, monkeypatch, moment):
    class Killed(BaseException):
        """What stops a run at once."""

    def die(*_, **__):
        raise Killed

    if moment == "moved":
        monkeypatch.setattr(VideoFolder, "write_record", die)
    else:
        monkeypatch.setattr(Shard, "_add_row", die)
    engine.samples = engine.samples[:1]
    with pytest.raises(Killed):
        engine.go()
    monkeypatch.undo()
    monkeypatch.setattr(tempfile, "tempdir", str(engine.temporary))
    monkeypatch.setattr(adapters, "load", lambda name: engine.module)
    assert words(engine.go()) == ["ok"]
    assert engine.calls() == ([0, 0] if moment == "moved" else [0])
    assert list((engine.folder / "work").iterdir()) == []
