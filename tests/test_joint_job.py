"""Jobs of many items: what is computed again, what a failure and a kill leave, and who is named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import sfqa
from sfqa.errors import UserError
from sfqa.file_cache import FileCache
from sfqa.joint_job import Item, make_items
from sfqa.parallel import run_forked


class Texts:
    """A job that writes each item's content into two files, and notes which items it computed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.notes = folder, folder / "notes"
        self.notes.mkdir()

    def make(self, contents: dict[str, str], processes: int = 1) -> list[str]:
        """Run the job anew, as Snakemake does, and return the names that it computed."""
        items = []
        for name, content in contents.items():
            paths = [self.folder / f"{name}.{ending}" for ending in ("txt", "parquet")]
            for path in paths:
                path.unlink(missing_ok=True)
            items.append(Item(name, content, paths, self.folder / "cache" / name, content))
        for note in self.notes.iterdir():
            note.unlink()
        try:
            make_items("texts", "texts", items, self.write, processes)
        finally:
            computed = sorted(note.name for note in self.notes.iterdir())
        return computed

    def write(self, item: Item) -> None:
        (self.notes / item.name).touch()
        if item.content == "wrong":
            raise UserError("column 3: write a number")
        if item.content == "bug":
            raise ZeroDivisionError("division by zero")
        for path in item.paths:
            path.write_text(item.content)


@pytest.mark.parametrize("processes", [1, 2])
def test_one_new_and_one_changed_item_are_computed_alone(tmp_path, processes):
    job = Texts(tmp_path)
    assert job.make({"a": "1", "b": "2"}, processes) == ["a", "b"]
    assert job.make({"a": "1", "b": "2"}, processes) == []
    assert job.make({"a": "1", "b": "2", "c": "3"}, processes) == ["c"]
    assert job.make({"a": "1", "b": "9", "c": "3"}, processes) == ["b"]
    assert [(tmp_path / f"{n}.txt").read_text() for n in "abc"] == ["1", "9", "3"]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_failed_item_is_named_and_costs_no_other(tmp_path, processes):
    job = Texts(tmp_path)
    contents = {"a": "1", "b": "wrong", "c": "bug", "d": "4"}
    with pytest.raises(UserError) as error:
        job.make(contents, processes)
    assert "2 of 4 texts failed" in str(error.value)
    assert "b: column 3: write a number" in str(error.value)
    assert "c: unexpected ZeroDivisionError: division by zero" in str(error.value)
    assert job.make({**contents, "b": "2", "c": "3"}, processes) == ["b", "c"]


@pytest.mark.parametrize("damage", ["changed", "cut", "missing", "no record", "bad record"])
def test_a_damaged_copy_is_computed_again(tmp_path, damage):
    job = Texts(tmp_path)
    job.make({"a": "content", "b": "2"})
    copy, record = (tmp_path / "cache" / "a" / name for name in ("a.txt.copy", "files.json"))
    if damage == "changed":
        copy.write_text("CONTENT")
    elif damage == "cut":
        copy.write_text("cont")
    elif damage == "missing":
        copy.unlink()
    elif damage == "no record":
        record.unlink()
    else:
        record.write_text('{"key": "content", "sha256": []}')
    assert job.make({"a": "content", "b": "2"}) == ["a"]
    assert (tmp_path / "a.txt").read_text() == "content"


def test_a_kill_between_two_copies_leaves_no_mixture(tmp_path):
    paths = [tmp_path / "a.svg", tmp_path / "a.png"]
    cache = FileCache(tmp_path / "cache")
    for content in ("old", "new"):
        for path in paths:
            path.write_text(content)
        if content == "old":
            cache.keep_files("old", paths)
    # The first of the new copies has been written, the second and the record have not.
    (tmp_path / "cache" / "a.svg.copy").write_text("new")
    assert not cache.restore_files("old", paths)
    assert not cache.restore_files("new", paths)


def test_no_copy_is_read_as_a_table(tmp_path):
    Texts(tmp_path).make({"a": "1"})
    assert [p.name for p in tmp_path.rglob("*.parquet")] == ["a.parquet"]


def test_a_killed_process_is_a_sentence():
    def end_itself(task):
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(UserError, match="one of 2 processes was killed"):
        list(run_forked(end_itself, [1, 2], 2))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not fork")
def test_forked_processes_end_with_the_job(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from sfqa.parallel import run_forked\n"
        "def wait(n): Path(sys.argv[1], str(n)).touch(); time.sleep(60)\n"
        "list(run_forked(wait, [1, 2], 2))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(sfqa.__file__).parents[1])}
    job = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=environment)
    end = time.monotonic() + 30
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < end:
        time.sleep(0.02)
    children = psutil.Process(job.pid).children(recursive=True)
    assert len(children) == 2
    job.kill()
    job.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
