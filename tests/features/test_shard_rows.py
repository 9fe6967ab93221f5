"""Rows of megabytes: a job holds a few of them at a time, and its table has many row groups."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sfqa import store, tables
from sfqa.errors import UserError
from sfqa.features import base, run, shard_rows

#: Bytes of the map of one video, and videos.
MAP, VIDEOS = 1 << 20, 36


class Maps:
    """A stand-in extractor whose rows are large."""

    FEATURES = (base.Feature("map", "a tensor", ("clip", "channel", "row")),)
    INPUTS = ("video",)

    def __init__(self, options, weights, device):
        pass

    def extract(self, video):
        number = int(video.sample_id)
        if number == 3:
            raise base.UnusableError("broken: x")
        return {"map": np.full((1 + number % 2, 128, MAP // 512), number, np.float16)}


@pytest.fixture
def conformed(monkeypatch):
    package = SimpleNamespace(
        load=lambda name: SimpleNamespace(Extractor=Maps), version=lambda name: 1,
        merge_options=lambda name, options, where: {},
        read=lambda name, constant, default: {"WEIGHTS": True}.get(constant, default),
    )  # fmt: skip
    monkeypatch.setattr(base, "EXTRACTORS", package)
    rows = [
        {
            "sample_id": str(n), "method": "sharp", "shard": 0, "status": "ok", "detail": "",
            "source_sha256": "0", "path": "a.mp4", "sha256": f"video of {n}", "audio_path": None,
            "audio_sha256": None, "fps": 25.0, "frames": 50, "sample_rate": None, "prompt": None,
        }
        for n in range(VIDEOS)
    ]  # fmt: skip
    rows[5] |= {"status": "failed", "detail": "broken: before"}
    return pd.DataFrame(rows, columns=tables.CONFORMED.names)


@contextmanager
def use_cpu():
    yield "cpu"


def extract(conformed, folder):
    return run.extract_rows(conformed, "maps", {"weights": "random"}, folder, "sharp/0", use_cpu)


def test_a_job_holds_few_rows_and_writes_groups(conformed, tmp_path, monkeypatch):
    monkeypatch.setattr(shard_rows, "_GROUP_BYTES", 4 * MAP)
    before = pa.total_allocated_bytes()
    rows, metadata, costs = extract(conformed, tmp_path)
    assert pa.total_allocated_bytes() - before < 4 * MAP
    assert len(costs) == VIDEOS - 1
    path = tmp_path / "f.parquet"
    allocated, sizes = [], []
    plain = pq.ParquetWriter.write_table

    def write_measured(writer, table):
        sizes.append(table.nbytes)
        plain(writer, table)
        allocated.append(pa.total_allocated_bytes())

    monkeypatch.setattr(pq.ParquetWriter, "write_table", write_measured)
    rows.write(path, metadata)
    assert max(sizes) < 5 * MAP
    assert allocated[-1] < 1.5 * max(allocated[:2])
    assert pq.ParquetFile(path).num_row_groups == len(sizes) > 3

    table = store.load(path)
    field = table.schema.field("map")
    assert field.metadata[b"inner_shape"] == b"128,2048"
    assert table["sample_id"].to_pylist() == [str(n) for n in range(VIDEOS)]
    for n in range(VIDEOS):
        tensor = base.read_tensor(table["map"], field, n)
        if n in (3, 5):
            assert tensor is None
            assert table["detail"][n].as_py() == ("broken: x" if n == 3 else "broken: before")
        else:
            assert tensor.shape == (1 + n % 2, 128, 2048)
            assert (tensor == n).all()


def test_one_group_gives_the_bytes_of_a_plain_table(conformed, tmp_path):
    rows, metadata, _ = extract(conformed[:6], tmp_path)
    rows.write(tmp_path / "groups.parquet", metadata)
    store.write_arrow(rows.read_table(), tmp_path / "plain.parquet", metadata)
    assert (tmp_path / "groups.parquet").read_bytes() == (tmp_path / "plain.parquet").read_bytes()


def test_a_row_that_vanished_from_the_cache_is_an_error(conformed, tmp_path):
    rows, metadata, _ = extract(conformed[:3], tmp_path)
    data = bytearray(rows.cache.path.read_bytes())
    data[len(data) // 2] ^= 1
    rows.cache.path.write_bytes(bytes(data))
    with pytest.raises(UserError, match=r"the row of 1 can no longer be read; run again"):
        rows.write(tmp_path / "f.parquet", metadata)
    assert not (tmp_path / "f.parquet").exists()


def test_a_shard_without_rows_has_an_empty_table(conformed, tmp_path):
    rows, _, costs = extract(conformed[:0], tmp_path)
    assert rows.read_table().num_rows == len(costs) == 0
