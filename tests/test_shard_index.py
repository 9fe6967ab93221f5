"""The shards of a table of samples: what is kept beside it is believed only while it is the same."""

from __future__ import annotations

import json

import pytest

from sfqa import identity, shard_index, store, tables

METHODS, SHARDS = ("a", "b"), 3


def sample(number: int, method: str, **cells: str) -> dict[str, object]:
    name = f"v{number}__{method}"
    row = dict.fromkeys(tables.SAMPLES.names) | {
        "sample_id": name, "method": method, "shard": identity.shard_of(name, SHARDS),
        "source_path": f"{name}.mp4",
    }  # fmt: skip
    return row | cells


@pytest.fixture
def samples(tmp_path):
    path = tmp_path / "samples.parquet"
    store.write(tables.SAMPLES, [sample(n, m) for n in range(20) for m in METHODS], path)
    return path


def test_rows_and_digests_are_those_of_the_table(samples):
    frame = store.read(tables.SAMPLES, samples)
    wanted = {}
    for (method, shard), part in frame.groupby(["method", "shard"]):
        rows = [{k: r[k] for k in shard_index.VIDEO_COLUMNS} for r in store.to_records(part)]
        wanted[method, str(shard)] = (len(rows), identity.digest_rows(rows))
    found = shard_index.read_shards(samples)
    assert {key: tuple(shard) for key, shard in found.items()} == wanted
    assert list(found) == sorted(found)


def forget() -> None:
    shard_index._load_shards.cache_clear()


def test_what_is_kept_is_read_instead_of_the_table(samples, monkeypatch):
    first = shard_index.read_shards(samples)
    forget()
    monkeypatch.setattr(shard_index, "_compute_shards", lambda path: pytest.fail("read again"))
    assert shard_index.read_shards(samples) == first
    assert list(shard_index.read_shards(samples)) == list(first)


def test_another_table_is_read_and_only_the_changed_shard_has_another_digest(samples):
    first = shard_index.read_shards(samples)
    rows = [sample(n, m) for n in range(20) for m in METHODS]
    rows[7]["source_path"] = "other.mp4"
    store.write(tables.SAMPLES, rows, samples)
    second = shard_index.read_shards(samples)
    changed = [key for key in first if first[key] != second[key]]
    assert changed == [(rows[7]["method"], str(rows[7]["shard"]))]
    forget()
    assert shard_index.read_shards(samples) == second


def test_a_label_is_no_reason_to_make_a_video_again(samples):
    first = shard_index.read_shards(samples)
    rows = [sample(n, m, style="pop") for n in range(20) for m in METHODS]
    store.write(tables.SAMPLES, rows, samples)
    assert shard_index.read_shards(samples) == first


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", "columns", "shards"])
def test_a_damaged_file_is_made_again(samples, damage):
    first = shard_index.read_shards(samples)
    kept = samples.with_name(".shards.json")
    whole = kept.read_text()
    stored = json.loads(whole)
    if damage in stored:
        stored[damage] = {"a": 1} if damage == "shards" else ["sample_id"]
        damage = json.dumps(stored)
    kept.write_text(damage)
    forget()
    assert shard_index.read_shards(samples) == first
    assert kept.read_text() == whole


def test_a_place_that_cannot_be_written_is_no_error(samples):
    first = shard_index.read_shards(samples)
    kept = samples.with_name(".shards.json")
    kept.unlink()
    kept.mkdir()
    (kept / "in_the_way").touch()
    forget()
    assert shard_index.read_shards(samples) == first
