"""Extraction by worker processes: the same rows, whatever happens to a video or a worker."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from processes import is_running
from sfqa import processes, tables
from sfqa import workers as worker_processes
from sfqa.errors import UserError
from sfqa.features import base, costs, pipeline
from sfqa.features.weights import Weights

# What workers import must be a module that they find: this is written where they look.
FAKE = """
import os, signal, time
from dataclasses import dataclass, field
from pathlib import Path
import numpy as np
from sfqa.errors import UserError
from sfqa.features import base

@dataclass
class Fakes:
    folder: Path
    done: list = field(default_factory=list)

    def prepare(self, video):
        name = video.sample_id
        with open(self.folder / "read", "a") as log:
            log.write(f"{name} {os.getpid()}\\\\n")
        if name.startswith("dies"):
            os._exit(3)
        if name.startswith("crashes"):
            os.kill(os.getpid(), signal.SIGSEGV)
        if name.startswith("hangs"):
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            time.sleep(600)
        if name.startswith("bad"):
            raise base.UnusableError("broken: not a video")
        if name.startswith("bug"):
            raise ZeroDivisionError("one over none")
        if name.startswith("wrong"):
            raise UserError("config, features.fake: no")
        if name.startswith("slow"):
            time.sleep(0.25)
        rng = np.random.default_rng(video.frames)
        return {"x": rng.integers(0, 256, (video.frames, 64, 3), dtype=np.uint8), "y": rng.random(9)}

class Halves:
    FEATURES = (base.Feature("mean", "means", ("channel",), "float32"),)
    INPUTS = ("video",)

    def __init__(self, options, weights, device):
        self.reader = Fakes(Path(os.environ["FAKES"]))

    def extract(self, video):
        return base.extract_one(self, video)

    def score(self, prepared):
        for got in prepared:
            got["x"] += 0  # writable, as what torch is given must be
            made = np.append(got["x"].mean((0, 1)), got["y"].sum())
            yield {"mean": made} if made[0] > 0 else base.UnusableError("dark: too dark")

class Whole:
    FEATURES, INPUTS = Halves.FEATURES, ("video",)

    def __init__(self, options, weights, device):
        self.reader_ = Fakes(Path(os.environ["FAKES"]))
        self.device = device
        if options.get("wrong"):
            raise UserError("config, features.fake: wrong")

    def extract(self, video):
        got = self.reader_.prepare(video)
        return {"mean": np.append(got["x"].mean((0, 1)), got["y"].sum())}
""".replace("\\\\n", "\\n")
RANDOM, NONE = Weights("random", "random:0"), Weights("none", "none")


@pytest.fixture
def fake(tmp_path, monkeypatch):
    (tmp_path / "fake_halves.py").write_text(FAKE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("FAKES", str(tmp_path))
    sys.modules.pop("fake_halves", None)
    import fake_halves

    yield fake_halves
    assert children() == [], "a process was left behind"


def children():
    """Processes that this one started and that still run or are zombies."""
    return [child.pid for child in psutil.Process().children()]


def video(name, frames=30):
    return base.Video(name, Path(f"{name}.mp4"), name, 25.0, frames)


@contextmanager
def cpu():
    yield "cpu"


def compute(kind, videos, workers, limit=60.0, weights=RANDOM, device=cpu, options=None):
    rows = {}

    def keep(row):
        assert row.video.sample_id not in rows
        rows[row.video.sample_id] = row

    task = pipeline.ExtractionTask(kind, options or {}, weights, device, workers, limit)
    pipeline.compute_rows(task, videos, keep)
    assert set(rows) == {v.sample_id for v in videos}
    return rows


def said(row):
    return str(row.values) if isinstance(row.values, base.UnusableError) else "ok"


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_give_what_one_process_gives(fake, workers, tmp_path):
    videos = [video(f"v{n}", frames=5 + n) for n in range(9)] + [video("bad"), video("bug")]
    here = compute(fake.Halves, videos, 0)
    there = compute(fake.Halves, videos, workers)
    for name, row in here.items():
        assert said(there[name]) == said(row)
        if said(row) == "ok":
            assert np.array_equal(there[name].values["mean"], row.values["mean"])
    assert said(here["bad"]) == "broken: not a video"
    assert said(here["bug"]) == "unexpected: ZeroDivisionError one over none"
    assert (here["bad"].is_final, here["bug"].is_final, here["v0"].is_final) == (True, False, True)
    pids = [line.split()[1] for line in (tmp_path / "read").read_text().splitlines()]
    assert set(pids[:11]) == {str(os.getpid())}
    assert len(set(pids[11:]) - {str(os.getpid())}) == len(set(pids[11:])) <= workers


@pytest.mark.parametrize("workers", [1, 2])
def test_a_video_that_ends_its_worker_is_a_row_and_the_others_go_on(fake, workers):
    names = ["a", "dies1", "b", "crashes", "c", "dies2", "d", "dies3"]
    rows = compute(fake.Halves, [video(n) for n in names], workers)
    assert {n: said(r) for n, r in rows.items()} == {
        **dict.fromkeys("abcd", "ok"),
        **dict.fromkeys(
            ("dies1", "dies2", "dies3"),
            "decoder_died: the process that read the video ended (exit status 3)",
        ),
        "crashes": "decoder_died: the process that read the video ended (SIGSEGV)",
    }
    assert not rows["dies1"].is_final


def test_a_video_that_hangs_is_a_row_within_its_time(fake):
    started = time.monotonic()
    rows = compute(fake.Halves, [video(n) for n in ("a", "hangs", "b", "c")], 1, limit=1.0)
    assert time.monotonic() - started < 30
    assert said(rows.pop("hangs")) == "timed_out: reading the video took longer than 1 s"
    assert {said(r) for r in rows.values()} == {"ok"}


@pytest.mark.thorough
def test_a_slow_scorer_is_no_reason_to_lose_a_video(fake, monkeypatch):
    """The time limit is of reading: what waits to be scored, or to be read, is not late."""
    score = fake.Halves.score

    def slow(self, prepared):
        for row in score(self, prepared):
            time.sleep(0.7)
            yield row

    monkeypatch.setattr(fake.Halves, "score", slow)
    rows = compute(fake.Halves, [video(f"v{n}") for n in range(4)], 1, limit=0.5)
    assert {said(r) for r in rows.values()} == {"ok"}


def test_no_more_is_read_ahead_than_allowed(fake, tmp_path):
    most, scored = [], []

    class Slow(fake.Halves):
        def score(self, prepared):
            for got in prepared:
                time.sleep(0.05)
                read = len((tmp_path / "read").read_text().splitlines())
                most.append(read - len(scored))
                scored.append(got)
                yield {"mean": got["y"]}

    Slow.__module__ = "fake_halves"
    compute(Slow, [video(f"v{n}") for n in range(25)], 2)
    ahead = pipeline.ExtractionTask(Slow, {}, RANDOM, cpu, workers=2).ahead
    assert ahead == 5
    assert 3 <= max(most) <= ahead + 1  # the one being scored


def test_a_wrong_option_found_by_a_worker_is_the_users(fake):
    with pytest.raises(UserError, match=r"features\.fake: no"):
        compute(fake.Halves, [video("wrong"), video("a")], 1)


def test_an_extractor_without_weights_runs_whole_in_the_workers_and_needs_no_device(fake, tmp_path):
    def no_device():
        raise AssertionError("a device was taken")

    videos = [video("a"), video("dies"), video("bad")]
    rows = compute(fake.Whole, videos, 2, weights=NONE, device=no_device)
    assert said(rows["a"]) == "ok"
    assert said(rows["dies"]).startswith("decoder_died: ")
    assert said(rows["bad"]) == "broken: not a video"
    here = compute(fake.Whole, videos[:1], 0, weights=NONE, device=no_device)
    assert np.array_equal(here["a"].values["mean"], rows["a"].values["mean"])
    with pytest.raises(UserError, match=r"features\.fake: wrong"):
        compute(fake.Whole, videos, 1, weights=NONE, options={"wrong": True})


def test_an_extractor_in_one_piece_with_weights_runs_here(fake, tmp_path):
    rows = compute(fake.Whole, [video("a"), video("bad")], 2)
    assert (said(rows["a"]), said(rows["bad"])) == ("ok", "broken: not a video")
    assert {x.split()[1] for x in (tmp_path / "read").read_text().splitlines()} == {
        str(os.getpid())
    }


def test_workers_that_cannot_start_are_an_error_not_failed_videos(fake, monkeypatch):
    monkeypatch.setattr(worker_processes, "_START_CODE", "raise SystemExit(7)")
    with pytest.raises(RuntimeError, match=r"ended before it could read \(exit status 7\)"):
        compute(fake.Halves, [video("a")], 2)


def test_an_error_of_the_job_leaves_no_process(fake):
    class Broken(fake.Halves):
        def score(self, prepared):
            next(iter(prepared))
            raise MemoryError("the device is full")
            yield

    Broken.__module__ = "fake_halves"
    with pytest.raises(MemoryError):
        compute(Broken, [video("a"), video("hangs"), video("slow")], 2)


def test_a_scorer_that_forgets_a_video_is_an_error(fake):
    class Forgetful(fake.Halves):
        def score(self, prepared):
            yield from list(super().score(prepared))[1:]

    with pytest.raises(RuntimeError, match="left out 1 video"):
        compute(Forgetful, [video("a"), video("b")], 0)


def test_costs_are_measured(fake):
    rows = compute(fake.Halves, [video("slow1"), video("b"), video("bad")], 1)
    cost = rows["slow1"].cost
    assert set(cost) | {"sample_id", "method", "extractor", "computed"} == set(tables.COSTS.names)
    assert 0.25 <= cost["prepare_sec"] < 20
    assert rows["b"].cost["prepare_sec"] < cost["prepare_sec"]
    assert rows["bad"].cost["device_sec"] == 0
    assert cost["device"].startswith("cpu: ")
    assert cost["device_kind"] == "cpu"
    assert cost["peak_device_mb"] is None
    assert cost["peak_memory_mb"] > processes.peak_memory_mb() / 2


def test_the_time_of_scoring_is_shared_out():
    times = costs.ScoringTimes()

    def source():
        for number in range(4):
            time.sleep(0.2)  # waiting for the reader is no scoring
            yield number

    def score(items):
        items = iter(items)
        first, second = next(items), next(items)
        time.sleep(0.2)
        yield from (first, second)
        for item in items:
            time.sleep(0.1)
            yield item

    seconds = [each for _, each in times.time_outputs(score(times.time_inputs(source())))]
    assert seconds == pytest.approx([0.1] * 4, abs=0.06)


JOB = """
import sys, os
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
import pandas as pd
import fake_halves
from sfqa import processes, tables, workers as worker_processes
from sfqa.features import base, run

base.EXTRACTORS = SimpleNamespace(
    load=lambda name: SimpleNamespace(Extractor=fake_halves.Halves), version=lambda name: 1,
    merge_options=lambda name, options, where: {}, read=lambda name, constant, default: True,
)
names = [f"slow{n:02}" for n in range(12)] + sys.argv[2:]
rows = [
    {"sample_id": n, "method": "m", "shard": 0, "status": "ok", "detail": "", "path": n, "sha256": n,
     "fps": 25.0, "frames": 30 + i}
    for i, n in enumerate(names)
]
frame = pd.DataFrame(rows, columns=tables.CONFORMED.names)
table, _, costs = run.extract_shard(
    frame, "fake", {"weights": "random"}, Path(sys.argv[1]), "m/0", lambda: nullcontext("cpu"), 2
)
print(sum(c["computed"] for c in costs), table.column("status").to_pylist().count("ok"))
"""


def test_kill_9_of_the_job_costs_what_was_in_flight_and_leaves_no_worker(fake, tmp_path):
    def start(*more):
        command = [sys.executable, "-c", JOB, str(tmp_path / "cache"), *more]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)

    def lines(name):
        return (tmp_path / name).read_text().splitlines() if (tmp_path / name).exists() else []

    process = start("hangs")  # never comes to an end, and blocks all signals that can be
    from sfqa.cache import find_records

    cached = tmp_path / "cache" / "m" / "0.rows"
    end = time.monotonic() + 60
    while not (cached.exists() and len(list(find_records(cached))) >= 4):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    workers = {int(line.split()[1]) for line in lines("read")}
    assert len(workers) == 2
    process.kill()
    process.communicate()
    kept = len(list(find_records(cached)))
    while any(is_running(pid) for pid in workers):
        assert time.monotonic() < end, "a worker outlived the job"
        time.sleep(0.01)
    assert len(lines("read")) - kept <= 2 * 2 + 1  # what may be read ahead
    done, _ = start().communicate()
    assert done.split() == [str(12 - kept), "12"]
