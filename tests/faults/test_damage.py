"""Damaged files, ten kinds: a cache computes again, a table is named; neither is ever an answer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import places
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cached_rows import key
from flow import nothing_to_do
from sfqa import cache_tools, store, tables
from sfqa.cache import RowCache
from sfqa.conform.run import _read_record, conform_shard
from sfqa.conform.video import Form as VideoForm
from sfqa.errors import UserError
from sfqa.features.base import Feature, build_table
from sfqa.identity import sha256_file
from sfqa.regression.blocks import Steps, load_blocks
from sfqa.regression.design import load_design
from sfqa.training import checkpoints
from sfqa.watch import Watch


def flip(path: Path, place: int, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1 << bit
    path.write_bytes(bytes(data))


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("a file of somebody")


def swap(path: Path, other: Path) -> None:
    ours, theirs = path.read_bytes(), other.read_bytes()
    path.write_bytes(theirs)
    other.write_bytes(ours)


def foreign(path: Path) -> None:
    pq.write_table(pa.table({"name": ["somebody"], "number": [1.5]}), path)


#: What happens to a file; the second is the same file of another shard.
KINDS: dict[str, Callable[[Path, Path], object]] = {
    "empty": lambda path, _: path.write_bytes(b""),
    "half": lambda path, _: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "end_cut_off": lambda path, _: path.write_bytes(path.read_bytes()[:-8]),
    "start_overwritten": lambda path, _: path.write_bytes(b"\0\0\0\0" + path.read_bytes()[4:]),
    "one_bit": lambda path, _: flip(path, path.stat().st_size // 2, 3),
    "another_schema": lambda path, _: foreign(path),
    "text": lambda path, _: path.write_text("key,value\nno,table\n" * 30),
    "a_folder": lambda path, _: folder(path),
    "garbage_after": lambda path, _: path.write_bytes(path.read_bytes() + b"SFQArow1PAR1" * 9),
    "swapped": swap,
}
SCHEMA = pa.schema([("key", pa.string()), ("x", pa.list_(pa.float32()))])
ROWS = 4


def row(number: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(
        [{"key": key(number), "x": [number / 2, -1.5, float(number)]}], SCHEMA
    )


# The cache of rows


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_cache_gives_its_sound_rows_and_takes_the_others_again(tmp_path, kind):
    home = tmp_path / "features/lse/cache"
    for shard, numbers in (("one/0", range(ROWS)), ("two/0", range(ROWS, 2 * ROWS))):
        cache = RowCache(home, shard, SCHEMA)
        for number in numbers:
            cache.put(key(number), row(number))
    KINDS[kind](home / "one/0.rows", home / "two/0.rows")
    cache = RowCache(home, "one/0", SCHEMA)
    found = [cache.get(key(n)) for n in range(2 * ROWS)]
    assert all(answer in (None, row(n)) for n, answer in enumerate(found))
    assert found[ROWS:] == [row(n) for n in range(ROWS, 2 * ROWS)], "the other file is whole"
    for number in (n for n, answer in enumerate(found) if answer is None):
        cache.put(key(number), row(number))
    again = RowCache(home, "late/0", SCHEMA)
    assert [again.get(key(n)) for n in range(2 * ROWS)] == [row(n) for n in range(2 * ROWS)]
    # And the commands that look after a cache take it as it is.
    (place,) = cache_tools.find_caches(tmp_path)
    with cache_tools.lock_caches([place]):
        listed = cache_tools.read_content(place)
        cache_tools.prune_cache(listed, "sound")
    after = RowCache(home, "late/0", SCHEMA)
    assert [after.get(key(n)) for n in range(2 * ROWS)] == [row(n) for n in range(2 * ROWS)]


def test_a_row_that_changes_under_a_cache_that_has_looked_is_a_miss(tmp_path):
    cache = RowCache(tmp_path, "0", SCHEMA)
    cache.put(key(1), row(1))
    flip(cache.path, cache.path.stat().st_size - 40, 0)
    assert cache.get(key(1)) is None


# A table


def table_rows(prefix: str) -> list[dict]:
    return [
        {
            "sample_id": f"{prefix}{n}", "dimension": "d", "mos": n / 7, "n": n, "synthetic": False,
            "status": "ok", "detail": "",
        }
        for n in range(40)
    ]  # fmt: skip


def written(folder: Path) -> tuple[Path, Path]:
    for name in ("a", "b"):
        store.write(tables.MOS, table_rows(name), folder / f"{name}.parquet", {"note": [1]})
    return folder / "a.parquet", folder / "b.parquet"


#: Kinds that leave every row readable and right: the first bytes of a table are not needed, and
#: another table of the same kind is a sound one (see the test of shards for what that means).
HARMLESS = ("start_overwritten", "swapped")


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_table_is_named_and_told_to_be_deleted(tmp_path, kind):
    path, other = written(tmp_path)
    before = store.read(tables.MOS, path)
    KINDS[kind](path, other)
    if kind in HARMLESS:
        assert store.read(tables.MOS, other if kind == "swapped" else path).equals(before)
        return
    with pytest.raises(UserError, match=r"a\.parquet: .*([Dd]elete it, |move it away)"):
        store.read(tables.MOS, [other, path])


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path, _ = written(tmp_path_factory.mktemp("sound"))
    return path.read_bytes(), store.read(tables.MOS, path)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_flipped_bit_is_another_number(sound, tmp_path_factory, data):
    """Without checksums of the pages one flip in four of the data is read as another number."""
    content, before = sound
    path = tmp_path_factory.getbasetemp() / "flipped.parquet"
    path.write_bytes(content)
    flip(path, data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(0, 7)))
    try:
        assert store.read(tables.MOS, path).equals(before)
    except UserError as error:
        assert str(path) in str(error)


def test_the_watch_names_a_damaged_table_before_any_job(tmp_path):
    path = tmp_path / "conform/one/0.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no table")
    with pytest.raises(UserError, match=r"0\.parquet: cannot be read as a table .* delete it"):
        Watch(tmp_path).check_files()


def test_the_table_of_another_shard_is_named(tmp_path):
    row = {
        "sample_id": "a", "method": "one", "shard": 0, "status": "failed", "detail": "x: y",
        "reproducible": True,
    }  # fmt: skip
    path = tmp_path / "0.parquet"
    store.write(tables.VIDEOS, [row], path)
    assert len(store.read_shard(tables.VIDEOS, path, "one", "0")) == 1
    for method, shard in (("two", "0"), ("one", "1")):
        sentence = rf"0\.parquet: holds a of one, shard 0; it is the table of {method}, shard {shard}. Delete it"
        with pytest.raises(UserError, match=sentence):
            store.read_shard(tables.VIDEOS, path, method, shard)


FEATURE = Feature("x", "", ("frame", "channel"), "float32")
WAYS = {
    "design": lambda files, work: load_design({"e": files}, ["e.x"]),
    "blocks": lambda files, work: load_blocks({"e": files}, ["e.x"], [Steps()], work),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_regressor_names_the_damaged_table_of_features(tmp_path, way):
    files = [tmp_path / "features/e/m/0.parquet", tmp_path / "features/e/m/1.parquet"]
    for number, path in enumerate(files):
        rng = np.random.default_rng(number)
        rows = [
            {
                "sample_id": f"s{number}{n}", "method": "m", "key": None, "status": "ok",
                "detail": "", "x": rng.normal(size=(8, 32)).astype(np.float32),
            }
            for n in range(6)
        ]  # fmt: skip
        store.write_arrow(build_table([FEATURE], rows), path, {"weights": {"kind": "official"}})
    WAYS[way](files, tmp_path / "work")
    for kind in set(KINDS) - set(HARMLESS):
        before = files[1].read_bytes()
        KINDS[kind](files[1], files[0])
        with pytest.raises(UserError, match=r"1\.parquet: .*([Dd]elete it|move it away|column)"):
            WAYS[way](files, tmp_path / "work")
        if files[1].is_dir():
            shutil.rmtree(files[1])
        files[1].write_bytes(before)


# Records of finished videos, checkpoints of a training

FORM = VideoForm(short_side=96, fps=25, sample_rate=16000, crf=18, preset="veryfast")


@pytest.fixture(scope="module")
def conformed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("conformed")
    rows = [
        {
            "sample_id": f"v{n}", "method": "one", "shard": 0, "status": "ok", "detail": "",
            "path": str(path), "sha256": sha256_file(path), "reproducible": False,
        }
        for n, path in enumerate(places.make_sheet(folder, 2))
    ]  # fmt: skip
    videos = store.to_arrow(tables.VIDEOS, rows).to_pandas()
    return folder, videos, conform_shard(videos, folder / "out", FORM, workers=0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_record_of_a_video_conforms_it_again(conformed, tmp_path, kind, monkeypatch):
    folder, videos, wanted = conformed
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder / "out", tmp_path / "out")
    records = [tmp_path / f"out/records/v{n}.json" for n in range(2)]
    # The rows name the files of the first folder, which are whole.
    KINDS[kind](*records)
    if kind == "a_folder":
        with pytest.raises(UserError, match=r"v0\.json: a folder stands where a file belongs"):
            conform_shard(videos, tmp_path / "out", FORM, workers=0)
        return
    names = ("path", "audio_path")
    again = conform_shard(videos, tmp_path / "out", FORM, workers=0)
    for ours, theirs in zip(again, wanted, strict=True):
        assert {k: v for k, v in ours.items() if k not in names} == {
            k: v for k, v in theirs.items() if k not in names
        }


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_flipped_bit_of_a_record_is_another_measurement(conformed, tmp_path_factory, data):
    folder, _, _ = conformed
    content = (folder / "out/records/v0.json").read_bytes()
    sound = json.loads(content)
    path = tmp_path_factory.getbasetemp() / "record.json"
    path.write_bytes(content)
    flip(path, data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(0, 7)))
    assert _read_record(path, sound["key"]) in (None, sound["row"])


def test_no_flipped_bit_of_a_checkpoint_is_another_weight(tmp_path):
    path, weights = tmp_path / "checkpoint.pt", torch.arange(4000.0)
    checkpoints.write_checkpoint(path, "one", {"weights": weights})
    content, taken = path.read_bytes(), 0
    for place in range(0, len(content), len(content) // 60):
        path.write_bytes(content)
        flip(path, place, place % 8)
        state = checkpoints.read_checkpoint(path, "one")
        taken += state is not None
        assert state is None or torch.equal(state["weights"], weights)
    path.write_bytes(content)
    state = checkpoints.read_checkpoint(path, "one")
    assert state is not None
    assert torch.equal(state["weights"], weights)
    assert taken < 30


# Whole runs


def damaged_table(flow, name: str, kind: str) -> tuple[list[str], str]:
    """Damage a table of one shard, run, and follow the advice; return what was said and by whom."""
    path, other = flow.results / name.format("one"), flow.results / name.format("two")
    KINDS[kind](path, other)
    said = flow.run(places.LAST, ok=False)
    return [line for line in said.splitlines() if f"{path.name}: " in line], said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param("features/spatial/{}/0.parquet", "half", marks=pytest.mark.thorough),
        pytest.param("conform/{}/0.parquet", "text", marks=pytest.mark.thorough),
        pytest.param("conform/{}/0.parquet", "another_schema", marks=pytest.mark.thorough),
        pytest.param("conform/{}/0.parquet", "swapped", marks=pytest.mark.thorough),
        pytest.param("generation/{}/0.parquet", "empty", marks=pytest.mark.thorough),
        pytest.param("features/spatial/{}/0.parquet", "a_folder", marks=pytest.mark.thorough),
    ],
)
def test_a_run_names_a_damaged_table_and_makes_it_again_when_it_is_deleted(
    run, tmp_path, name, kind
):
    flow = places.copy(run, tmp_path / "copy")
    places.unmake(flow)
    told, said = damaged_table(flow, name, kind)
    assert told, said[-3000:]
    assert all("elete it" in line or "move it away" in line for line in told)
    assert "Traceback" not in said
    for method in ("one", "two") if kind == "swapped" else ("one",):
        path = flow.results / name.format(method)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    flow.run()
    assert places.differing(run, flow) == []
    assert nothing_to_do(flow.run())


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_with_a_damaged_cache_computes_what_is_missing_and_no_more(run, tmp_path, kind):
    flow = places.copy(run, tmp_path / "copy")
    places.unmake(flow, "features/spatial/one", "features/spatial/two")
    caches = [flow.results / f"features/spatial/cache/{m}/0.rows" for m in ("one", "two")]
    KINDS[kind](*caches)
    flow.forget_logs()
    flow.run(places.LAST)
    lost = {
        "swapped": 0,
        "garbage_after": 0,
        "end_cut_off": 1,
        "one_bit": 1,
        "start_overwritten": 1,
    }
    half = places.VIDEOS // 2
    assert flow.computed("spatial") == lost.get(kind, half if kind != "half" else 2)
    assert places.differing(run, flow) == []
