from __future__ import annotations

import json
import os

import pytest

from sfqa import store, tables
from sfqa.identity import digest, sha256_file
from sfqa.untrusted import limits
from sfqa.watch import Watch

TABLE = "generation/sharp/0.parquet"


def video_row(sample: str, path) -> dict:
    return {
        "sample_id": sample, "method": "sharp", "shard": 0, "status": "ok", "detail": "",
        "path": str(path), "sha256": sha256_file(path), "reproducible": True,
    }  # fmt: skip


@pytest.fixture
def dataset(tmp_path):
    """Two tables of two videos each."""
    for shard in (0, 1):
        rows = []
        for name in ("a", "b"):
            path = tmp_path / "videos" / f"{name}{shard}.mp4"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(name.encode() * 1000)
            rows.append(video_row(f"{name}{shard}", path))
        store.write(tables.VIDEOS, rows, tmp_path / f"generation/sharp/{shard}.parquet")
    Watch(tmp_path).check_files()
    return tmp_path


def hashed(monkeypatch) -> list:
    seen = []
    monkeypatch.setattr("sfqa.watch.sha256_file", lambda p: seen.append(str(p)) or sha256_file(p))
    return seen


def test_an_unchanged_file_is_never_hashed(dataset, monkeypatch):
    seen = hashed(monkeypatch)
    assert Watch(dataset).check_files() == []
    assert seen == []
    assert Watch(dataset).edit_digest(TABLE) == ""


def test_a_first_check_believes_a_table_that_is_younger_than_its_files(tmp_path, monkeypatch):
    path = tmp_path / "v.mp4"
    path.write_bytes(b"x")
    store.write(tables.VIDEOS, [video_row("a", path)], tmp_path / TABLE)
    seen = hashed(monkeypatch)
    assert Watch(tmp_path).check_files() == []
    assert seen == []


def test_a_touched_file_changes_no_parameter_and_is_hashed_once(dataset, monkeypatch):
    os.utime(dataset / "videos/a0.mp4")
    seen = hashed(monkeypatch)
    assert Watch(dataset).check_files() == []
    assert Watch(dataset).check_files() == []
    assert len(seen) == 1
    assert Watch(dataset).edit_digest(TABLE) == ""


def test_one_changed_byte_changes_the_parameter_of_one_table(dataset):
    path = dataset / "videos/b0.mp4"
    facts = path.stat()
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(bytes(data))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))  # even with the old time restored
    watch = Watch(dataset)
    assert watch.check_files() == [str(path)]
    assert watch.edit_digest(TABLE) != ""
    assert watch.edit_digest("generation/sharp/1.parquet") == ""
    # The job runs and writes the table anew; nothing more is to be done after it.
    first = watch.edit_digest(TABLE)
    rows = store.read(tables.VIDEOS, dataset / TABLE).to_dict("records")
    rows[1]["sha256"] = sha256_file(path)
    store.write(tables.VIDEOS, rows, dataset / TABLE)
    watch = Watch(dataset)
    assert watch.check_files() == []
    assert watch.edit_digest(TABLE) == first


def test_a_job_sees_what_the_scheduler_noted_without_looking(dataset, monkeypatch):
    (dataset / "videos/a0.mp4").write_bytes(b"new")
    watch = Watch(dataset)
    watch.check_files()
    monkeypatch.setattr("sfqa.watch.read_stamp", None)
    assert Watch(dataset).edit_digest(TABLE) == watch.edit_digest(TABLE) != ""


def test_every_change_gives_another_parameter_even_back_and_forth(dataset):
    path = dataset / "videos/a0.mp4"
    states = {Watch(dataset).edit_digest(TABLE)}
    for content in (b"one", b"two", b"one", None, b"two", None):
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        watch = Watch(dataset)
        watch.check_files()
        states.add(watch.edit_digest(TABLE))
    assert len(states) == 7


def test_a_missing_file_is_noticed_once(dataset):
    path = dataset / "videos/a0.mp4"
    path.unlink()
    assert Watch(dataset).check_files() == [str(path)]
    assert Watch(dataset).check_files() == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"tables": 3}', "\0\0"])
def test_a_broken_index_is_made_again(dataset, content):
    (dataset / ".watch.json").write_text(content)
    assert Watch(dataset).check_files() == []
    assert Watch(dataset).edit_digest(TABLE) == ""


def test_the_list_of_a_large_dataset_is_read(dataset):
    """It has more values than a stranger's JSON may have."""
    edits = {str(n): "1:" for n in range(limits.JSON_VALUES)}
    (dataset / ".watch.json").write_text(json.dumps({"tables": {}, "edited": {TABLE: edits}}))
    assert Watch(dataset).edit_digest(TABLE) == digest(edits)
