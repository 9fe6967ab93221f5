from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cached_rows import SCHEMA, content, key, make_cached_dataset, put, row, starts, table
from sfqa import cache_records, store
from sfqa import cache_tools as tools
from sfqa.cache import RowCache
from sfqa.errors import UserError


def held_rows(dataset: Path, extractor: str = "lse") -> set[int]:
    cache = RowCache(dataset / "features" / extractor / "cache", "reader", SCHEMA)
    return {n for n in range(60) if cache.get(key(n)) == row(n)}


def files(dataset: Path, extractor: str = "lse") -> list[str]:
    folder = dataset / "features" / extractor / "cache"
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


@pytest.fixture
def dataset(tmp_path):
    return make_cached_dataset(tmp_path / "demo")


def prune(dataset: Path, keep: str = "unfinished", dry_run: bool = False):
    with tools.lock_caches(tools.find_caches(dataset)):
        return tools.prune_cache(content(dataset), keep, dry_run)


# Finding


def test_a_dataset_its_features_an_extractor_and_a_cache_lead_to_it(dataset):
    whole = tools.find_caches(dataset)
    assert [(p.name, p.dataset) for p in whole] == [("lse", dataset)]
    for below in ("features", "features/lse", "features/lse/cache"):
        assert tools.find_caches(dataset / below) == whole


def test_a_bare_cache_has_no_tables(tmp_path):
    RowCache(tmp_path / "mine", "a", SCHEMA).put(key(1), row(1))
    (place,) = tools.find_caches(tmp_path / "mine")
    assert (place.name, place.tables, place.dataset) == ("mine", None, place.folder)
    assert tools.read_content(place).counts == {"unfinished": 1}


def test_what_is_no_cache_is_a_sentence(dataset, tmp_path):
    with pytest.raises(UserError, match="there is no such folder"):
        tools.find_caches(tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no row cache in it"):
        tools.find_caches(tmp_path / "empty")
    put(dataset, "sharp/0", 7, extractor="clip")
    with pytest.raises(UserError, match="no cache of 'slow'; there are clip, lse"):
        tools.find_caches(dataset, ["slow"])
    assert [p.name for p in tools.find_caches(dataset, ["clip"])] == ["clip"]


# Listing


def test_counts_are_right(dataset):
    found = content(dataset)
    assert found.counts == {"used": 4, "unused": 2, "unfinished": 4, "repeated": 1}
    assert len(found.files) == 3
    assert found.size == sum(p.stat().st_size for p in found.files)
    assert found.damaged_bytes == 0
    kinds = {(r.path.parent.name, r.key): kind for r, kind in found.rows}
    # No table uses row 3; the job of old/3 may still want it.
    assert (kinds["sharp", key(3)], kinds["old", key(3)]) == ("repeated", "unfinished")
    assert kinds["old", key(20)] == "used"
    assert {kinds["late", key(10)], kinds["old", key(21)]} == {"unfinished"}


def test_a_used_row_counts_where_its_own_table_is(dataset):
    put(dataset, "zz/0", 1)
    # RowCache does not write a row again that it has: copy the bytes instead.
    source = dataset / "features/lse/cache/sharp/0.rows"
    (dataset / "features/lse/cache/zz").mkdir(exist_ok=True)
    (dataset / "features/lse/cache/zz/0.rows").write_bytes(source.read_bytes())
    kinds = {(r.path.parent.name, r.key): k for r, k in content(dataset).rows}
    assert kinds["sharp", key(1)] == "used"
    assert kinds["zz", key(1)] == "repeated"


def test_a_table_of_an_older_version_may_count_as_none(dataset):
    from sfqa.features import base

    table(dataset, "sharp/0", 0, 1, 2, version=base.read_extractor_version("lse"))
    table(dataset, "sharp/1", 4, 5, version=base.read_extractor_version("lse") - 1)
    assert content(dataset).counts["used"] == 5
    assert content(dataset, current_only=True).counts["used"] == 3


def test_a_table_that_cannot_be_read_is_a_sentence(dataset):
    path = table(dataset, "sharp/0", 1)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"sharp/0\.parquet: this feature table cannot be read"):
        content(dataset)
    store.write_arrow(pa.table({"x": [1]}), path)
    with pytest.raises(UserError, match="cannot be read"):
        content(dataset)


# Verifying


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return put(tmp_path_factory.mktemp("sound"), "a", 0, 1, 2, 3)


def test_a_sound_file_has_no_damage(sound):
    records, damages = cache_records.scan_file(sound)
    assert [r.key for r in records] == [key(n) for n in range(4)]
    assert damages == []
    data = sound.read_bytes()
    assert [r.start for r in records] == starts(data)
    assert [r.end for r in records] == [*starts(data)[1:], len(data)]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(st.data())
def test_a_flipped_bit_anywhere_is_found_and_costs_its_row_alone(sound, tmp_path, data):
    broken = bytearray(sound.read_bytes())
    begins = [*starts(bytes(broken)), len(broken)]
    number = data.draw(st.integers(0, 3))
    region = data.draw(st.sampled_from(["head", "payload"]))
    low, high = begins[number], begins[number + 1]
    middle = low + cache_records.HEADER_BYTES
    span = (low, middle - 1) if region == "head" else (middle, high - 1)
    place = data.draw(st.integers(*span))
    broken[place] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path / "b.rows"
    path.write_bytes(bytes(broken))
    records, damages = cache_records.scan_file(path)
    assert [r.key for r in records] == [key(n) for n in range(4) if n != number]
    assert [(d.start, d.end) for d in damages] == [(low, high)]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(st.data())
def test_a_file_cut_anywhere_is_torn_at_its_end(sound, tmp_path, data):
    whole = sound.read_bytes()
    begins = [*starts(whole), len(whole)]
    cut = data.draw(st.integers(0, len(whole)))
    path = tmp_path / "c.rows"
    path.write_bytes(whole[:cut])
    records, damages = cache_records.scan_file(path)
    left = sum(end <= cut for end in begins[1:])
    assert len(records) == left
    torn = [(d.start, d.end) for d in damages]
    assert torn == ([] if cut in begins else [(begins[left], cut)])
    assert all(d.reason.startswith("torn") for d in damages)


def test_foreign_bytes_are_damage(tmp_path):
    (tmp_path / "a.rows").write_bytes(b"")
    assert cache_records.scan_file(tmp_path / "a.rows") == ([], [])
    (tmp_path / "b.rows").write_bytes(b"no rows at all")
    assert [(d.start, d.end) for d in cache_records.scan_file(tmp_path / "b.rows")[1]] == [(0, 14)]


# Pruning


@pytest.mark.parametrize(
    ("keep", "rows", "left"),
    [
        ("used", {0, 1, 2, 20}, ["sharp/0.rows"]),
        ("unfinished", {0, 1, 2, 20, 10, 11, 21, 3}, ["late/0.rows", "old/3.rows", "sharp/0.rows"]),
        ("sound", {0, 1, 2, 3, 4, 5, 20, 10, 11, 21}, ["late/0.rows", "old/3.rows", "sharp/0.rows"]),
    ],
)  # fmt: skip
def test_prune_keeps_exactly_what_it_says(dataset, keep, rows, left):
    before = content(dataset)
    dry = prune(dataset, keep, dry_run=True)
    assert content(dataset) == before
    done = prune(dataset, keep)
    assert done == dry
    assert held_rows(dataset) == rows
    assert files(dataset) == left
    after = content(dataset)
    assert after.counts["repeated"] == 0
    assert done.rows == (11, len(after.rows))
    assert done.size == (before.size, after.size)
    assert done.files == (3, len(left))
    assert prune(dataset, keep).rows == (len(rows), len(rows))


def test_prune_removes_damage_and_keeps_the_sound_rows_around_it(dataset):
    path = dataset / "features/lse/cache/sharp/0.rows"
    broken = bytearray(path.read_bytes())
    broken[starts(bytes(broken))[1] + 3] ^= 1
    path.write_bytes(b"junk" + bytes(broken[:-1]))
    prune(dataset, "sound")
    assert held_rows(dataset) == {0, 2, 3, 4, 20, 10, 11, 21}
    assert content(dataset).damages == []


def test_after_prune_a_shard_has_two_files_at_most(tmp_path):
    """Cut into four shards first, then into one; rows of the four were found again."""
    for shard in range(4):
        put(tmp_path, f"sharp/{shard}", shard, 10 + shard)
    table(tmp_path, "sharp/0", 0, 1, 2, 3)
    prune(tmp_path, "used")
    assert files(tmp_path) == ["sharp/0.rows"]
    assert held_rows(tmp_path) == {0, 1, 2, 3}


def test_rows_stay_in_a_file_whose_table_uses_none_of_them(tmp_path):
    put(tmp_path, "sharp/0", 0, 1)
    table(tmp_path, "sharp/1", 0, 1)
    table(tmp_path, "sharp/0")
    before = files(tmp_path)
    prune(tmp_path, "used")
    assert (files(tmp_path), held_rows(tmp_path)) == (before, {0, 1})


def test_a_file_without_waste_is_not_touched(tmp_path):
    path = put(tmp_path, "sharp/0", 0, 1)
    table(tmp_path, "sharp/0", 0, 1)
    before = path.stat()
    prune(tmp_path)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(
    layout=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 11)), max_size=25),
    tables=st.dictionaries(st.integers(0, 3), st.sets(st.integers(0, 11), max_size=5), max_size=3),
    keep=st.sampled_from(sorted(tools.KEEP)),
    stop=st.integers(0, 6),
)
def test_prune_never_loses_a_kept_row_wherever_it_is_killed(
    tmp_path_factory, monkeypatch, layout, tables, keep, stop
):
    """Any layout, stopped after any number of rewritten files, then run again."""
    home = tmp_path_factory.mktemp("any")
    folder = home / "features/lse/cache"
    folder.mkdir(parents=True)
    for shard, number in layout:
        (folder / f"s{shard}").mkdir(exist_ok=True)
        alone = RowCache(folder / f"s{shard}", "0", SCHEMA)
        alone.put(key(number), row(number))
    for shard, numbers in tables.items():
        table(home, f"s{shard}/0", *sorted(numbers))
    there = {number for _, number in layout}
    used = set().union(*tables.values()) & there
    waiting = {n for shard, n in layout if shard not in tables}
    kept = {"used": used, "unfinished": used | waiting, "sound": there}[keep]
    real, calls = tools._rewrite_file, []

    def killed(path, records):
        if len(calls) >= stop:
            raise KeyboardInterrupt
        calls.append(path)
        real(path, records)

    with monkeypatch.context() as patch:
        patch.setattr(tools, "_rewrite_file", killed)
        try:
            prune(home, keep)
        except KeyboardInterrupt:
            assert held_rows(home) >= kept
    prune(home, keep)
    assert held_rows(home) == kept
    left = content(home)
    assert left.counts["repeated"] == 0
    assert left.damages == []


# Locks


def test_a_lock_ends_with_its_process(dataset):
    code = "import sys, time; from pathlib import Path; from sfqa.cache_tools import lock_folder\n"
    code += "with lock_folder(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(dataset)], stdout=subprocess.PIPE, text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(UserError, match="another sfqa"), tools.lock_folder(dataset):
        pass
    process.kill()
    process.wait()
    with tools.lock_folder(dataset):
        pass


def test_a_job_that_was_killed_leaves_a_cache_that_prune_mends(tmp_path):
    code = """
import sys, hashlib
from pathlib import Path
import pyarrow as pa
from sfqa.cache import RowCache
schema = pa.schema([("key", pa.string()), ("name", pa.string()), ("x", pa.list_(pa.float16()))])
cache = RowCache(Path(sys.argv[1]) / "features/lse/cache", "sharp/0", schema)
for n in range(100000):
    key = hashlib.sha256(str(n).encode()).hexdigest()
    row = {"key": key, "name": f"r{n}", "x": [n / 2, -1.5]}
    cache.put(key, pa.RecordBatch.from_pylist([row], schema))
    print(n, flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert process.stdout is not None
    for _ in range(8):
        process.stdout.readline()
    time.sleep(0.007)
    process.kill()
    said = [int(line) for line in process.stdout.read().split()] or [7]
    path = tmp_path / "features/lse/cache/sharp/0.rows"
    with open(path, "ab") as handle:  # and what a kill amid a write leaves
        handle.write(path.read_bytes()[:90])
    found = content(tmp_path)
    assert len(found.rows) in (said[-1] + 1, said[-1] + 2)
    assert sum(d.end == found.size for d in found.damages) == 1
    prune(tmp_path)
    assert content(tmp_path).damages == []
    assert len(content(tmp_path).rows) == len(found.rows)
