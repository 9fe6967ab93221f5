"""Clocks, second runs, killed jobs, lost weights, bad videos: a sentence, and a next run that works."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import places
import pytest
import yaml

from flow import Flow, nothing_to_do, started
from sfqa import store, tables
from sfqa.errors import UserError
from sfqa.features.base import Video
from sfqa.features.run import extract_shard
from sfqa.identity import sha256_file
from sfqa.watch import Watch
from sfqa.workers import LostTaskError, WorkerPool
from videos import make_video
from waiting import wait_until

DAY_NS = 24 * 3600 * 10**9
ROOT = Path(__file__).parents[2]


@pytest.fixture
def flow(run, tmp_path):
    return places.copy(run, tmp_path / "copy")


# The clock


def shift(folder: Path, by_ns: int) -> None:
    """Give every file of a folder a later time; links and what they lead to keep theirs."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            facts = path.stat()
            os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns + by_ns))


@pytest.mark.slow
@pytest.mark.thorough
def test_after_the_clock_is_set_back_nothing_re_runs_and_a_changed_video_is_noticed(flow):
    """Results made a day ahead: the engine refuses to mix them with new ones, we say what to do."""
    before = flow.tables()
    shift(flow.folder / "results", DAY_NS)
    said = flow.run()
    assert nothing_to_do(said)
    (advice,) = re.findall(
        r"results/tiny: holds tables of the future .* the clock was set back.*: (find .*)", said
    )
    changed = flow.folder / "videos/v0.mp4"
    facts = changed.stat()
    make_video(changed, 77)
    os.utime(changed, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    refusal = flow.run(places.LAST, ok=False)
    assert "clock skew" in refusal
    assert "Traceback" not in refusal
    subprocess.run(shlex.split(advice), cwd=flow.folder, check=True)
    flow.forget_logs()
    assert "of the future" not in flow.run()
    assert flow.computed("spatial") == 1
    changes = {name for name, data in flow.tables().items() if before[name] != data}
    assert "features/spatial/one/0.parquet" in changes
    assert not {name for name in changes if "/two/" in name}


@pytest.mark.slow
@pytest.mark.thorough
def test_inputs_a_day_younger_than_what_was_made_of_them_re_run_nothing(run, flow):
    tomorrow = time.time_ns() + DAY_NS
    for path in (flow.folder / "videos.csv", *(flow.folder / "videos").iterdir()):
        os.utime(path, ns=(tomorrow, tomorrow))
    assert nothing_to_do(flow.run())
    make_video(flow.folder / "videos/v0.mp4", 77)
    flow.forget_logs()
    flow.run()
    assert flow.computed("spatial") == 1
    make_video(flow.folder / "videos/v0.mp4", 0)
    flow.run()
    assert places.differing(run, flow) == []


@pytest.mark.slow
@pytest.mark.thorough
def test_times_without_any_order_re_run_nothing(run, flow):
    """All above those of the scripts: a result that is older than its script is made again."""
    tables_ = sorted(flow.results.rglob("*.parquet"))
    times = sorted(path.stat().st_mtime_ns for path in tables_)
    for place, path in enumerate(tables_):
        os.utime(path, ns=(times[-1 - place],) * 2)
    assert nothing_to_do(flow.run())
    assert places.differing(run, flow) == []


def test_a_table_of_the_future_is_not_believed_about_a_file_that_changed_since(tmp_path):
    """The watch believes a table that is younger than its file: not one that a set clock wrote."""
    path = tmp_path / "v.mp4"
    path.write_bytes(b"as the job saw it")
    row = {
        "sample_id": "v", "method": "m", "shard": 0, "status": "ok", "detail": "",
        "path": str(path), "sha256": sha256_file(path), "reproducible": True,
    }  # fmt: skip
    table = tmp_path / "generation/m/0.parquet"
    store.write(tables.VIDEOS, [row], table)
    os.utime(table, ns=(time.time_ns() + DAY_NS,) * 2)
    path.write_bytes(b"edited after the clock was set back")
    assert Watch(tmp_path).check_files() == [str(path)]
    assert Watch(tmp_path).check_files() == []
    assert Watch(tmp_path).edit_digest("generation/m/0.parquet") != ""


def test_tables_of_the_future_are_told_once_a_run_with_what_to_do(tmp_path, caplog):
    store.write(tables.PAIRS, [], tmp_path / "pairs.parquet")
    Watch(tmp_path).check_files()
    assert not caplog.records
    os.utime(tmp_path / "pairs.parquet", ns=(time.time_ns() + DAY_NS,) * 2)
    Watch(tmp_path).check_files()
    (said,) = caplog.messages
    assert said.startswith(f"{tmp_path}: holds tables of the future")
    subprocess.run(shlex.split(said.split("nothing re-runs: ")[1]), check=True)
    caplog.clear()
    Watch(tmp_path).check_files()
    assert not caplog.records


# Two runs in one folder


@pytest.mark.thorough
@pytest.mark.slow
def test_a_second_run_in_one_folder_is_refused_and_told_how_to_unlock_after_a_kill(run, flow):
    places.unmake(flow)
    first = places.started(flow, places.LAST)
    wait_until(lambda: holds_locks(flow), why="the first run's lock")
    os.killpg(first.pid, signal.SIGSTOP)  # slow, for as long as it takes
    try:
        said = flow.run(places.LAST, ok=False)
        assert refused(said)
        os.killpg(first.pid, signal.SIGCONT)
        # The refused one has harmed nothing: the first comes to its end.
        assert first.wait(timeout=180) == 0
    finally:
        if first.poll() is None:
            places.kill(first)
    assert nothing_to_do(flow.run(places.LAST))
    places.unmake(flow)
    dead = places.started(flow, places.LAST)
    wait_until(lambda: holds_locks(flow), why="the second run's lock")
    places.kill(dead)
    assert refused(flow.run(places.LAST, ok=False))
    flow.run("--unlock")
    flow.run(places.LAST)
    assert places.differing(run, flow) == []


def holds_locks(flow) -> bool:
    """Whether a run has written its locks: Snakemake creates the files empty and fills them then.

    The lock of the outputs is written last. An empty one refuses nobody.
    """
    locks = (flow.folder / ".snakemake/locks").glob("*.output.lock")
    return any(path.stat().st_size for path in locks)


def refused(said: str) -> bool:
    """Whether a run was refused in words for people: why, and what to do if nobody runs."""
    words = ("cannot be locked", "no other Snakemake process", "--unlock")
    return all(word in said for word in words) and "Traceback" not in said and not started(said)


# Out of memory


#: Asks for more than a worker may have, or ends as what the kernel kills.
HUNGRY = """
import os, signal
from dataclasses import dataclass
from sfqa.features.base import Video
from sfqa.workers import MEMORY_BYTES

@dataclass
class Hungry:
    def prepare(self, video):
        if video.sample_id == "asks":
            bytearray(MEMORY_BYTES)
        if video.sample_id == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        return "read"
"""


def test_a_worker_out_of_memory_costs_one_video_and_the_job_goes_on(tmp_path, monkeypatch):
    (tmp_path / "hungry.py").write_text(HUNGRY)
    monkeypatch.syspath_prepend(tmp_path)
    hungry = importlib.import_module("hungry")
    names = ("a", "asks", "b", "killed", "c")
    videos = [Video(name, tmp_path / name, name, 25.0, 25) for name in names]
    with WorkerPool(1, "hungry", time_limit_sec=120.0) as pool:
        found = {
            r.task.sample_id: r.value for r in pool.run(hungry.Hungry().prepare, videos, ahead=2)
        }
    assert [found.pop(name) for name in "abc"] == ["read"] * 3
    assert {name: str(value) for name, value in found.items()} == {
        "asks": "unexpected: MemoryError",
        "killed": "decoder_died: the process that read the video ended (SIGKILL)",
    }
    # Lost, not judged: such a row is never kept, and the next run tries again.
    assert all(isinstance(value, LostTaskError) for value in found.values())


@pytest.mark.slow
@pytest.mark.thorough
def test_a_job_that_the_kernel_kills_is_tried_again_with_more_memory_or_by_the_next_run(run, flow):
    """One edited video; its job is killed until nothing tries again, then until something does."""
    before = flow.tables()
    make_video(flow.folder / "videos/v0.mp4", 77)
    flow.forget_logs()
    status, said = killed_once(flow, "import_videos.py")
    assert status == 1
    assert "SIGKILL" in said
    # The failed job has taken its old table along. What was made of that is there, but stale.
    assert not (flow.results / "generation/one/0.parquet").exists()
    status, said = killed_once(flow, "conform_videos.py", "--retries", "1")
    assert status == 0, said[-3000:]
    asked = re.findall(r"rule conform_videos:(?:\n    .*)*?mem_mb=(\d+)", said)
    assert asked == ["1500", "3000"]
    assert flow.computed("spatial") == 1
    after = flow.tables()
    changes = {name for name, data in after.items() if before[name] != data}
    assert changes >= {f"{t}/one/0.parquet" for t in ("generation", "conform", "features/spatial")}
    assert not {name for name in changes if "/two/" in name}
    assert nothing_to_do(flow.run())


def killed_once(flow: Flow, script: str, *options: str) -> tuple[int, str]:
    """Run, and kill -9 the first job of a script as the kernel does; the exit status and output."""
    process = places.started(flow, *options)
    try:
        (job, *_) = wait_until(lambda: places.jobs_of(process, script), why=f"a job of {script}")
        os.kill(job, signal.SIGKILL)
        return process.wait(timeout=300), (flow.folder / "started.log").read_text()
    finally:
        if process.poll() is None:
            places.kill(process)


def test_the_cluster_profile_tries_again(run):
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    assert profile["retries"] >= 1


# Weights


@contextmanager
def cpu():
    yield "cpu"


@pytest.mark.slow
@pytest.mark.thorough
def test_weights_that_vanish_between_the_plan_and_the_job_are_a_sentence(run, flow):
    weights = flow.folder / "resnet50.pth"
    places.unmake(flow, "features/spatial/one", "features/spatial/cache", "conform/videos.parquet")
    process = places.started(flow, places.LAST)
    wait_until(
        lambda: places.jobs_of(process, "check_videos.py"), why="a job before the extraction"
    )
    weights.rename(flow.folder / "away.pth")
    assert process.wait(timeout=300) == 1
    said = (flow.folder / "started.log").read_text()
    (line,) = set(places.sentences(said))
    assert "features.spatial.weights: there is no file resnet50.pth; put it there" in line
    assert "Traceback" not in said
    (flow.folder / "away.pth").rename(weights)
    flow.run(places.LAST)
    assert places.differing(run, flow) == []


def test_other_weights_of_the_same_name_are_a_sentence_before_anything_is_computed(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"other weights")
    spec = {"weights": str(tmp_path / "w.pth"), "sha256": "0" * 64}
    empty = store.to_arrow(tables.CONFORMED, []).to_pandas()
    with pytest.raises(UserError, match="w.pth has the sha256 .*, not 0000"):
        extract_shard(empty, "spatial", spec, tmp_path / "cache", "one/0", cpu)


# Bad videos


@pytest.mark.slow
@pytest.mark.thorough
def test_five_percent_of_bad_videos_are_rows_with_reasons_and_more_stop_the_run(tmp_path):
    videos = places.make_sheet(tmp_path, 60)
    videos[10].write_bytes(videos[10].read_bytes()[:3000])
    videos[21].write_text("this is no video\n" * 50)
    videos[32].unlink()
    bad = {"v10__one": "broken", "v21__two": "broken", "v32__one": "no_video"}
    scores = [f"r{r},v{n}__{('one', 'two')[n % 2]},{1 + (n * 7 + r) % 5}" for n in range(60) for r in range(4)]  # fmt: skip
    (tmp_path / "scores.csv").write_text("\n".join(["who,video,points", *scores]) + "\n")
    config = {
        **places.CONFIG,
        "max_failed": 0.05,
        "missing": "skip",
        "features": {"signal": {"weights": "none"}},
        "ratings": {
            "source": "table", "path": "scores.csv", "scale": "bt500", "dimension_name": "quality",
            "columns": {"rater": "who", "sample_id": "video", "score": "points"},
        },
        "regression": {
            "protocols": [{"name": "random", "kind": "random_kfold", "k": 3}],
            "metrics": {"Sharpness": {"kind": "zero_shot", "inputs": ["signal.sharpness"]}},
        },
    }  # fmt: skip
    flow = Flow(tmp_path, config)
    flow.run()
    rejects = store.read(tables.REJECTS, flow.results / "rejects.parquet")
    failed = rejects[rejects["status"] == "failed"]
    for stage in ("conformed", "features_signal", "predictions"):
        rows = failed[(failed["stage"] == stage) & failed["item"].isin(list(bad))]
        assert dict(zip(rows["item"], rows["detail"].str.split(":").str[0], strict=True)) == bad
    table = store.read(tables.CORRELATION, flow.results / "correlation/correlation.parquet")
    whole = table[(table["metric"] == "Sharpness") & (table["pooling"] == "pooled")]
    assert set(whole.loc[whole["level"] == "video", "n"]) == {57}
    assert nothing_to_do(flow.run())
    before = flow.tables()
    sound = videos[43].read_bytes()
    videos[43].write_bytes(b"")
    (line,) = set(places.sentences(flow.run(ok=False)))
    assert "4 of 60 rows failed (6.7 %), more than max_failed = 0.05 allows" in line
    assert "Fix or remove these items, or raise max_failed" in line
    videos[43].write_bytes(sound)
    flow.run()
    assert flow.tables() == before
