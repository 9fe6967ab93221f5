"""Runs that are killed with kill -9 at drawn moments end with the same tables and lose nothing."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from flow import SMALL, Flow
from sfqa.cache import RowCache
from sfqa.report.catalog import build_catalog

# By its file: tests/cluster has a module of the same name.
_spec = importlib.util.spec_from_file_location(
    "kills_harness", Path(__file__).with_name("harness.py")
)
harness = sys.modules["kills_harness"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(harness)

#: From the materials to a fit, in as few jobs as there can be.
SHORT = {
    **SMALL,
    "materials": harness.SOAK["materials"],
    "generation": {"methods": ["late"], "size": 128},
    "features": {"signal": {"weights": "none"}},
    "regression": {
        "protocols": [{"name": "random", "kind": "random_kfold", "k": 2}],
        "metrics": {
            "ridge": {
                "kind": "regressor",
                "head": "ridge",
                "inputs": ["signal.sharpness", "signal.contrast"],
            }
        },
    },
}
TARGET = "results/small/regression/ridge/predictions.parquet"
KILLS, SEED = 4, 10


@pytest.mark.slow
def test_four_kills_from_the_materials_to_the_fit_lose_nothing(tmp_path):
    (done,) = harness.soak(tmp_path, SHORT, KILLS, SEED, targets=(TARGET,), by_progress=True)
    assert len(done.kills) == KILLS
    assert {kill.kind for kill in done.kills} == {"run", "job"}
    assert done.rows_again == 0
    assert done.again <= KILLS


@pytest.mark.slow
@pytest.mark.thorough
def test_a_round_of_the_soak_loses_nothing(tmp_path):
    rounds = harness.soak(tmp_path, harness.SOAK, 20, 2)
    assert sum(len(done.kills) for done in rounds) == 20


PEACE = harness.Peace({"pairs.parquet": b"pairs"}, 2, 3, 1.0, 1.0)
SCHEMA = pa.schema([("x", pa.float32())])
KEYS = ("ab" * 32, "cd" * 32)
ROW = pa.RecordBatch.from_pylist([{"x": 1.0}], SCHEMA)


@pytest.fixture
def fire(tmp_path):
    """A round whose run has made two rows, a video and a table."""
    flow = Flow(tmp_path / "round", SHORT)
    cache = RowCache(flow.results / "features/signal/cache", "late/0", SCHEMA)
    for key in KEYS:
        cache.put(key, ROW)
    video = flow.results / "generation/late/videos/a.mp4"
    video.parent.mkdir(parents=True)
    video.write_bytes(b"video")
    (flow.results / "pairs.parquet").write_bytes(b"pairs")
    return harness.Fire(flow, PEACE, 1, 1, 4, (), tmp_path / "kills.jsonl")


def test_a_row_that_is_gone_is_seen(fire):
    fire.compare()
    path = fire.flow.results / "features/signal/cache/late/0.rows"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(harness.LostError, match=r"seed 1, round 1.*feature rows are gone"):
        fire.compare()


def test_a_row_and_a_video_that_are_made_twice_are_counted(fire):
    RowCache(fire.flow.results / "features/signal/cache", "late/1", SCHEMA).put(KEYS[0], ROW)
    video = fire.flow.results / "generation/late/videos/a.mp4"
    again = video.with_name("again")
    again.write_bytes(b"video")
    again.replace(video)
    fire.compare()
    assert fire.round.rows_again == 1
    assert fire.round.files_again == ["generation/late/videos/a.mp4"]
    with pytest.raises(harness.LostError, match="2 made twice, 0 kills"):
        harness.check(fire.round, fire.flow, PEACE, 1)


@pytest.mark.parametrize("content", [b"other", None])
def test_a_table_that_differs_or_is_missing_is_seen(fire, content):
    harness.check(fire.round, fire.flow, PEACE, 1)
    path = fire.flow.results / "pairs.parquet"
    path.unlink()
    if content:
        path.write_bytes(content)
    with pytest.raises(harness.LostError, match=r"tables differ.*pairs\.parquet"):
        harness.check(fire.round, fire.flow, PEACE, 1)


def test_a_row_that_no_run_in_peace_has_is_seen(fire):
    with pytest.raises(harness.LostError, match="2 feature rows are kept, 3 in peace"):
        harness.check(fire.round, fire.flow, replace(PEACE, rows=3), 1)


def test_what_a_killed_job_left_is_counted(fire):
    (fire.flow.results / ".pairs.parquet.x1.parquet").write_bytes(b"half")
    harness.check(fire.round, fire.flow, PEACE, 1)
    assert (fire.round.left_files, fire.round.left_bytes) == (1, 4)


#: Writes a table and dies by kill -9 with the temporary file without rows, whole, or not at all.
WRITE = """
import os, signal, sys
import pyarrow.parquet as pq
from sfqa import store, tables

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

out, when = sys.argv[1:]
if when == "empty":
    pq.ParquetWriter.write_table = die
elif when == "whole":
    os.fsync = die
row = {"sample_id": "a", "method": "late", "extractor": "lse", "device": "cpu", "computed": True}
sizes = dict.fromkeys(("prepare_sec", "device_sec", "peak_memory_mb"), 1.0)
store.write(tables.COSTS, [row | sizes], out)
"""


@pytest.mark.parametrize("when", ["empty", "whole"])
def test_what_a_kill_leaves_of_a_table_is_not_read_as_one_more(tmp_path, when):
    out = tmp_path / "features/lse/costs/late/0.parquet"
    scripts = str(harness.ROOT / "workflow/scripts")
    for moment, code in ((when, -signal.SIGKILL), ("", 0)):
        done = subprocess.run(
            [sys.executable, "-c", WRITE, str(out), moment],
            env={**os.environ, "PYTHONPATH": scripts}, check=False,
        )  # fmt: skip
        assert done.returncode == code
    assert len(list(out.parent.iterdir())) == 2  # the kill has left something
    build_catalog(tmp_path, tmp_path / "catalog.duckdb")
    with duckdb.connect(str(tmp_path / "catalog.duckdb")) as connection:
        assert connection.sql("select count(*) from costs").fetchall() == [(1,)]
    assert list(out.parent.rglob("*.parquet")) == [out]


def test_a_run_that_fails_by_itself_is_told(fire):
    fire.flow.configure({**SHORT, "pairs": {"count": -1}})
    with pytest.raises(harness.LostError, match="a run fails by itself"):
        fire.play()


@pytest.mark.parametrize("failed", ["prepare_clips", "predict"])
def test_a_job_that_fails_beside_the_killed_one_is_told(fire, monkeypatch, failed):
    """Two runs: in the first prepare_clips is killed and a rule fails, the second ends well."""
    runs = [f"raise SystemExit('Error in rule {failed}:')", ""]

    def kill(process, _):
        process.wait()
        one = harness.Kill(1, 1, 1, "job", "prepare_clips", ("prepare_clips",), 1.0)
        fire.round.kills += [one] if len(runs) == 1 else []
        return "job" if len(runs) == 1 else None

    monkeypatch.setattr(fire, "_kill", kill)
    monkeypatch.setattr(fire.flow, "command", lambda: [sys.executable, "-c", runs.pop(0)])
    if failed == "prepare_clips":
        assert fire.play().starts == 2
    else:
        with pytest.raises(harness.LostError, match="a run fails by itself"):
            fire.play()
