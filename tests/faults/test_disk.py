"""A disk that fills up or cannot be written: a sentence, nothing believed, and the next run works."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from pathlib import Path

import places
import pyarrow as pa
import pytest

from sfqa import errors, store, tables
from sfqa.cache import RowCache
from sfqa.conform.run import conform_shard
from sfqa.conform.video import Form
from sfqa.errors import UserError
from sfqa.identity import sha256_file
from sfqa.job import run_job

FORM = Form(short_side=96, fps=25, sample_rate=16000, crf=18, preset="veryfast")
FULL = r"the disk is full \(No space left on device\); free some space and run again"


@pytest.fixture
def disk(tmp_path):
    """A disk of 128 KiB; calling what comes beside it makes it larger."""
    with places.small_disk(tmp_path / "disk", 128) as grow:
        yield tmp_path / "disk", grow


def fill(folder: Path, left: int) -> Path:
    """Leave so many bytes on the disk of a folder, in whole pages."""
    facts = os.statvfs(folder)
    stuff = folder / "stuff"
    stuff.write_bytes(bytes(facts.f_bavail * facts.f_frsize - left))
    return stuff


# One file at a time


def test_a_table_on_a_full_disk_is_a_sentence_and_the_old_one_stays(disk):
    folder, _ = disk
    path = folder / "mos.parquet"
    store.write_arrow(pa.table({"x": [1]}), path)
    before = path.read_bytes()
    stuff = fill(folder, 8192)
    with pytest.raises(UserError, match=rf"mos\.parquet: {FULL}"):
        store.write_arrow(pa.table({"x": [os.urandom(60_000)]}), path)
    assert path.read_bytes() == before
    assert {p.name for p in folder.iterdir()} == {"mos.parquet", "stuff"}
    stuff.unlink()
    store.write_arrow(pa.table({"x": [os.urandom(60_000)]}), path)


def test_a_failure_that_does_not_say_why_is_blamed_on_a_full_disk_and_on_no_other(disk, tmp_path):
    folder, _ = disk
    fill(folder, 4096)
    for path, error in ((folder / "x", UserError), (tmp_path / "x", ZeroDivisionError)):
        with pytest.raises(error), store.replacing(path):
            _ = 1 / 0


def test_a_disk_that_has_no_more_names_for_files_is_full_too(tmp_path):
    with places.small_disk(tmp_path / "disk", 1024):
        places._mount("-o", "remount,nr_inodes=2", str(tmp_path / "disk"))
        (tmp_path / "disk/a").touch()
        with pytest.raises(UserError, match=FULL), store.replacing(tmp_path / "disk/b"):
            pass
        assert "full" in str(errors.explain_unwritable(tmp_path / "disk"))


def test_a_row_that_the_disk_does_not_take_is_a_sentence_and_put_again_later(disk):
    folder, _ = disk
    schema = pa.schema([("x", pa.binary())])
    cache = RowCache(folder, "0", schema)

    def row(content: bytes) -> pa.RecordBatch:
        return pa.RecordBatch.from_pylist([{"x": content}], schema)

    cache.put("ab" * 32, row(b"first"))
    stuff = fill(folder, 8192)
    with pytest.raises(UserError, match=rf"0\.rows: {FULL}"):
        cache.put("cd" * 32, row(os.urandom(50_000)))
    stuff.unlink()
    again = RowCache(folder, "0", schema)
    assert again.get("ab" * 32) == row(b"first")
    assert again.get("cd" * 32) is None
    again.put("cd" * 32, row(b"second"))
    assert RowCache(folder, "0", schema).get("cd" * 32) == row(b"second")


def test_a_log_that_cannot_be_written_stops_no_job_and_leaves_no_traceback(disk, capfd):
    folder, _ = disk
    with run_job(folder / "job.log") as log:
        fill(folder, 0)
        log.info("%s", "x" * 200_000)
        log.warning("said all the same")
    said = capfd.readouterr().err
    assert said.splitlines() == ["said all the same"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "x", "a/b"), "a/b: the disk is full"),
        (OSError(errno.EDQUOT, "x"), "the quota of the disk is used up"),
        (OSError(errno.EROFS, "x", "a/b"), "a/b: the disk is read-only"),
        (OSError(errno.EACCES, "x", "a/b"), "a/b: it is not allowed"),
        (RuntimeError("writer failed: No space left on device"), "the disk is full"),
        (MemoryError("Unable to allocate 9 TiB"), "out of memory (Unable to allocate 9 TiB)"),
    ],
)
def test_what_the_machine_refuses_is_a_sentence_on_the_terminal(tmp_path, capfd, error, words):
    with pytest.raises(SystemExit) as ended, run_job(tmp_path / "job.log"):
        raise error
    assert ended.value.code == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("Error: ")
    assert words in line
    assert "run again: what is finished is kept" in line
    log = (tmp_path / "job.log").read_text()
    assert "Traceback" in log, "who looks closer finds where it was"
    assert log.splitlines()[-1].endswith(line)


def test_other_errors_keep_their_traceback(tmp_path, capfd):
    with pytest.raises(ZeroDivisionError), run_job(tmp_path / "job.log"):
        _ = 1 / 0
    assert "Traceback" in capfd.readouterr().err


def test_rows_that_met_a_full_disk_are_no_result(tmp_path):
    rows = [{"sample_id": "a", "detail": ""}, {"sample_id": "b", "detail": "disk_full: at 3 MB"}]
    with pytest.raises(UserError, match=r"1 videos found the disk full, for example b: at 3 MB"):
        errors.raise_if_disk_full(rows)


# One stage


def video_rows(folder: Path) -> list[dict]:
    rows = []
    for number, path in enumerate(places.make_sheet(folder, 3)):
        rows.append({
            "sample_id": f"v{number}", "method": "one", "shard": 0, "status": "ok", "detail": "",
            "path": str(path), "sha256": sha256_file(path), "reproducible": False,
        })  # fmt: skip
    return rows


def test_wherever_the_disk_fills_up_no_video_is_blamed_or_half_conformed(tmp_path, caplog):
    """Sizes from too little for one video to enough for three: 30 KiB and 32 KiB each."""
    videos = store.to_arrow(tables.VIDEOS, video_rows(tmp_path)).to_pandas()
    caplog.set_level(logging.CRITICAL)
    ends = []
    with places.small_disk(tmp_path / "out", 64) as grow:
        for size_kb in (64, 92, 132, 164, 400):
            grow(size_kb)
            try:
                wanted = conform_shard(videos, tmp_path / "out", FORM, workers=0)
                ends.append("whole")
            except UserError as error:
                assert "the disk is full" in str(error)
                ends.append("full")
            records = list((tmp_path / "out/records").glob("*.json"))
            assert all('"status": "failed"' not in r.read_text() for r in records)
        clean = conform_shard(videos, tmp_path / "clean", FORM, workers=0)
    assert ends == ["full"] * 4 + ["whole"]
    files = ("path", "audio_path")
    for ours, theirs in zip(wanted, clean, strict=True):
        assert ours["status"] == theirs["status"] != "failed"
        assert {k: v for k, v in ours.items() if k not in files} == {
            k: v for k, v in theirs.items() if k not in files
        }


# Whole runs


@pytest.mark.slow
@pytest.mark.thorough
def test_a_run_that_fills_the_disk_while_it_conforms_goes_on_when_there_is_room(run, tmp_path):
    flow = places.fresh(run, tmp_path / "copy")
    with places.small_disk(flow.folder / "results", 300) as grow:
        said = flow.run(places.LAST, ok=False)
        told = places.sentences(said)
        assert told
        assert all("conform/" in line and "the disk is full" in line for line in told)
        assert "Traceback" not in said
        kept = list(flow.results.glob("conform/*/records/*.json"))
        grow(100_000)
        flow.run(places.LAST)
        logs = "".join(p.read_text() for p in flow.results.glob("logs/conform/*/*.log"))
        assert logs.count(" kept ") == len(kept)
        assert logs.count("conformed ") == places.VIDEOS
        assert places.differing(run, flow) == []


@pytest.mark.slow
@pytest.mark.thorough
def test_a_run_that_fills_the_disk_while_it_extracts_goes_on_when_there_is_room(run, tmp_path):
    flow = places.copy(run, tmp_path / "copy")
    places.unmake(flow, "features")
    shutil.move(flow.folder / "results", tmp_path / "results")
    with places.small_disk(flow.folder / "results", 100_000) as grow:
        shutil.copytree(tmp_path / "results", flow.folder / "results", dirs_exist_ok=True)
        facts = os.statvfs(flow.folder / "results")
        grow((facts.f_blocks - facts.f_bfree) * facts.f_frsize // 1024 + 80)
        said = flow.run(places.LAST, ok=False)
        told = places.sentences(said)
        assert told
        assert all("features/" in line and "the disk is full" in line for line in told)
        assert "Traceback" not in said
        grow(100_000)
        flow.run(places.LAST)
        assert places.differing(run, flow) == []


@pytest.mark.thorough
@pytest.mark.slow
def test_results_that_can_only_be_read_are_named_at_once_and_still_answer_a_dry_run(run, tmp_path):
    flow = places.copy(run, tmp_path / "copy")
    with places.read_only(flow.folder / "results"):
        assert "Nothing to be done" in flow.run("-n")
        said = flow.run("--forcerun", "collect_rejects", ok=False)
    (line,) = [line for line in said.splitlines() if "Nothing can be written" in line]
    assert "results/tiny: the disk is read-only" in line
    assert "make it writable or work in another folder and run again" in line
    assert "Traceback" not in said
    flow.run("--forcerun", "collect_rejects")
    assert places.differing(run, flow) == []
