"""A dataset's row cache of known rows, and the feature tables that use some of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa

from sfqa import cache_tools, store
from sfqa.cache import RowCache

SCHEMA = pa.schema([("key", pa.string()), ("name", pa.string()), ("x", pa.list_(pa.float16()))])


def key(number: int) -> str:
    """The key of a row: as long as a real one."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def row(number: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(
        [{"key": key(number), "name": f"r{number}", "x": [number / 2, -1.5]}], SCHEMA
    )


def put(dataset: Path, writer: str, *numbers: int, extractor: str = "lse") -> Path:
    """Cache the rows of these numbers; returns the writer's file."""
    cache = RowCache(dataset / "features" / extractor / "cache", writer, SCHEMA)
    for number in numbers:
        cache.put(key(number), row(number))
    return cache.path


def table(
    dataset: Path, shard: str, *numbers: int, extractor: str = "lse", version: int = 1
) -> Path:
    """Write a shard's feature table that uses these rows; a negative number has no key."""
    keys = [None if n < 0 else key(n) for n in numbers]
    made = pa.table({"sample_id": [str(n) for n in numbers], "key": pa.array(keys, pa.string())})
    path = dataset / "features" / extractor / f"{shard}.parquet"
    store.write_arrow(made, path, {"version": version})
    return path


def make_cached_dataset(folder: Path) -> Path:
    """Shard sharp/0 whole, with rows of an earlier run; late/0 cut off; rows in a second file."""
    put(folder, "sharp/0", 0, 1, 2, 3, 4, 5)
    put(folder, "late/0", 10, 11)
    put(folder, "old/3", 20, 21, 3)
    table(folder, "sharp/0", 0, 1, 2, 20, -1)
    return folder


def content(dataset: Path, **how: bool) -> cache_tools.CacheContent:
    """The content of the dataset's only cache."""
    (place,) = cache_tools.find_caches(dataset)
    return cache_tools.read_content(place, **how)


def starts(data: bytes) -> list[int]:
    """Where the records of a cache file start."""
    return [n for n in range(len(data)) if data.startswith(b"SFQArow", n)]
