from __future__ import annotations

import subprocess
import sys
import time

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cached_rows import key
from sfqa import cache
from sfqa.cache import RowCache

SCHEMA = pa.schema([("name", pa.string()), ("x", pa.list_(pa.float16())), ("y", pa.float64())])


def row(number: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(
        [{"name": f"r{number}", "x": [number / 2, -1.5], "y": number / 3}], SCHEMA
    )


@pytest.fixture
def full(tmp_path):
    cache = RowCache(tmp_path, "sharp/0", SCHEMA)
    for number in range(5):
        cache.put(key(number), row(number))
    return tmp_path / "sharp" / "0.rows"


def test_rows_come_back_in_a_new_process(full, tmp_path):
    cache = RowCache(tmp_path, "sharp/0", SCHEMA)
    assert [cache.get(key(n)) for n in range(5)] == [row(n) for n in range(5)]
    assert cache.get(key(9)) is None


def test_another_shard_finds_the_rows_and_writes_its_own_file(full, tmp_path):
    before = full.read_bytes()
    other = RowCache(tmp_path, "sharp/1", SCHEMA)
    assert other.get(key(3)) == row(3)
    other.put(key(7), row(7))
    assert full.read_bytes() == before
    assert RowCache(tmp_path, "late/0", SCHEMA).get(key(7)) == row(7)


def test_a_file_cut_at_any_byte_loses_at_most_the_last_row(full, tmp_path):
    data = full.read_bytes()
    ends = [data.find(b"SFQArow1", start) for start in range(len(data))]
    starts = sorted({e for e in ends if e >= 0})
    for cut in range(0, len(data), 37):
        full.write_bytes(data[:cut])
        cache = RowCache(tmp_path, "sharp/0", SCHEMA)
        whole = sum(1 for s in [*starts[1:], len(data)] if s <= cut)
        assert len(cache) == whole
        assert [cache.get(key(n)) for n in range(whole)] == [row(n) for n in range(whole)]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    cache = RowCache(tmp_path_factory.mktemp("sound"), "a", SCHEMA)
    for number in range(5):
        cache.put(key(number), row(number))
    return cache.path


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_changed_byte_is_a_miss_never_another_answer(sound, tmp_path, data):
    broken = bytearray(sound.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(broken) - 1), min_size=1, max_size=4)):
        broken[place] ^= data.draw(st.integers(1, 255))
    (tmp_path / "a.rows").write_bytes(bytes(broken))
    cache = RowCache(tmp_path, "a", SCHEMA)
    answers = [cache.get(key(n)) for n in range(5)]
    assert all(answer in (None, row(n)) for n, answer in enumerate(answers))


def test_a_row_appended_after_a_torn_one_is_found(full, tmp_path):
    full.write_bytes(full.read_bytes()[:-10])
    cache = RowCache(tmp_path, "sharp/0", SCHEMA)
    assert cache.get(key(4)) is None
    cache.put(key(4), row(4))
    assert RowCache(tmp_path, "sharp/0", SCHEMA).get(key(4)) == row(4)


def test_rows_of_another_schema_are_misses(full, tmp_path):
    other = pa.schema([("z", pa.int64())])
    assert RowCache(tmp_path, "sharp/0", other).get(key(0)) is None


def test_kill_9_loses_at_most_the_row_in_flight(tmp_path):
    code = """
import sys, hashlib
from pathlib import Path
import pyarrow as pa
from sfqa.cache import RowCache
schema = pa.schema([("n", pa.int64()), ("x", pa.list_(pa.float32()))])
cache = RowCache(Path(sys.argv[1]), "a", schema)
for n in range(100000):
    row = pa.RecordBatch.from_pylist([{"n": n, "x": [1.0] * 3000}], schema)
    cache.put(hashlib.sha256(str(n).encode()).hexdigest(), row)
    print(n, flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert process.stdout is not None
    for _ in range(10):
        process.stdout.readline()
    time.sleep(0.013)
    process.kill()
    said = [int(line) for line in process.stdout.read().split()] or [9]
    schema = pa.schema([("n", pa.int64()), ("x", pa.list_(pa.float32()))])
    cache = RowCache(tmp_path, "a", schema)
    assert len(cache) in (said[-1] + 1, said[-1] + 2)
    answers = [cache.get(key(n)) for n in range(said[-1] + 1)]
    assert [a and a["n"][0].as_py() for a in answers] == list(range(said[-1] + 1))


def test_a_cache_opens_without_reading_its_rows(full, tmp_path, monkeypatch):
    """Only the payload that no record follows is read: it may be torn."""
    hashed: list[int] = []
    plain = cache._hash_at
    monkeypatch.setattr(cache, "_hash_at", lambda *a: (hashed.append(a[2]), plain(*a))[1])
    assert len(RowCache(tmp_path, "sharp/0", SCHEMA)) == 5
    assert len(hashed) == 1
    assert len(list(cache.find_records(full))) == 5
    assert len(hashed) == 6


def test_an_older_sound_row_stands_in_for_a_damaged_one(full, tmp_path):
    twice = RowCache(tmp_path, "sharp/0", SCHEMA)
    twice.put(key(2), row(2))
    twice.put(key(3), row(3))
    data = bytearray(full.read_bytes())
    last = [start for k, start, _ in cache.find_records(full) if k == key(2)][-1]
    data[last + 40] ^= 1
    full.write_bytes(bytes(data))
    opened = RowCache(tmp_path, "sharp/0", SCHEMA)
    assert opened.get(key(2)) == row(2)
    assert [k for k, _, _ in cache.find_records(full)].count(key(2)) == 1


def test_a_magic_word_across_two_pieces_is_found(full, monkeypatch):
    records = list(cache.find_records(full))
    full.write_bytes(b"x" * 101 + full.read_bytes())
    for piece in (17, 64, 101, 105):
        monkeypatch.setattr(cache, "_CHUNK", piece)
        moved = [(k, start - 101, size) for k, start, size in cache.find_records(full)]
        assert moved == records


def test_pixels_are_compressed_and_other_rows_are_not(tmp_path):
    values = list(range(8)) * 1000
    sizes = {}
    for value_type in (pa.uint8(), pa.float32()):
        schema = pa.schema([("x", pa.list_(value_type))])
        folder = tmp_path / str(value_type)
        stored = pa.RecordBatch.from_pylist([{"x": values}], schema=schema)
        RowCache(folder, "0", schema).put(key(1), stored)
        assert RowCache(folder, "1", schema).get(key(1)).equals(stored)
        sizes[str(value_type)] = (folder / "0.rows").stat().st_size
    assert sizes["uint8"] < len(values) / 4
    assert sizes["float"] > 4 * len(values)
