"""Whole maps from the tables to the training: exact, and never all rows as float32 in memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pyarrow.parquet as pq
import pytest

from killed_training import kill_training
from sfqa import store
from sfqa.errors import UserError
from sfqa.features.base import Feature, build_table
from sfqa.regression import blocks, heads
from sfqa.regression.blocks import Steps, count_rows_at_once, load_blocks
from sfqa.regression.problems import make_problem
from sfqa.training import rows as training_rows

SHAPE = (4, 16, 4, 5, 5)
NUMBERS = int(np.prod(SHAPE))
ROWS = 60
AXES = ("clip", "channel", "time", "row", "column")


def write_maps(path, dtype="float16", rows=ROWS, shape=SHAPE):
    """Write a table of maps and return them."""
    maps = np.random.default_rng(0).normal(size=(rows, *shape)).astype(dtype)
    table_rows = [
        {"sample_id": f"s{n:03}", "method": "m", "key": None, "status": "ok", "detail": "",
         "map": values, "pooled": values.mean(axis=(2, 3, 4))}
        for n, values in enumerate(maps)
    ]  # fmt: skip
    features = [Feature("map", "", AXES, dtype), Feature("pooled", "", AXES[:2], "float32")]
    store.write_arrow(build_table(features, table_rows), path)
    return maps


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("limit", [1, 1 << 30])
def test_maps_keep_their_axes_their_numbers_and_their_type(dtype, limit, tmp_path):
    maps = write_maps(tmp_path / "t", dtype)
    design = load_blocks(
        {"e": [tmp_path / "t"]}, ["e.map"], [Steps(keep_axes=True)], tmp_path, limit
    )
    block = design.X["e.map"]
    assert block.dtype == dtype
    assert isinstance(block, np.memmap) == (limit == 1)
    np.testing.assert_array_equal(block, maps)
    assert design.names == [f"e.map {SHAPE}"]
    flattened = load_blocks({"e": [tmp_path / "t"]}, ["e.map"], [Steps()], tmp_path).X["e.map"]
    assert flattened.dtype == np.float32
    np.testing.assert_array_equal(flattened, maps.reshape(ROWS, 4, -1).astype(np.float32))
    fewer = [Steps(2, "first", keep_axes=True)]
    block = load_blocks({"e": [tmp_path / "t"]}, ["e.map"], fewer, tmp_path).X["e.map"]
    np.testing.assert_array_equal(block, maps[:, :2])


def test_a_column_without_maps_is_a_sentence(tmp_path):
    write_maps(tmp_path / "t")
    with pytest.raises(UserError, match=r"e\.pooled.*shape \(16,\).*reads maps"):
        load_blocks({"e": [tmp_path / "t"]}, ["e.pooled"], [Steps(keep_axes=True)], tmp_path)


def test_a_table_is_read_by_few_numbers_at_a_time(tmp_path, monkeypatch):
    write_maps(tmp_path / "t")
    file = pq.ParquetFile(tmp_path / "t")
    assert count_rows_at_once(file, ["map"]) == 64
    monkeypatch.setattr(blocks, "NUMBERS_AT_ONCE", 3 * NUMBERS + 1)
    assert count_rows_at_once(file, ["map"]) == 3
    assert count_rows_at_once(file, ["pooled"]) == 64
    monkeypatch.setattr(blocks, "NUMBERS_AT_ONCE", 1)
    assert count_rows_at_once(file, ["map"]) == 1

    monkeypatch.setattr(blocks, "NUMBERS_AT_ONCE", 2 * NUMBERS)
    batch_bytes, read_batches = [], store.read_batches

    def count_bytes(*arguments):
        for batch in read_batches(*arguments):
            batch_bytes.append(batch.nbytes)
            yield batch

    monkeypatch.setattr(store, "read_batches", count_bytes)
    tracemalloc.start()
    load_blocks({"e": [tmp_path / "t"]}, ["e.map"], [Steps(keep_axes=True)], tmp_path, limit=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(batch_bytes) == 2 * ROWS / 2  # the survey, then the numbers
    assert max(batch_bytes) < 2 * 2 * NUMBERS + 1000
    # Copies of a batch, and less than all rows even as float16.
    assert peak < 3 * 2 * 2 * NUMBERS + 200_000 < ROWS * NUMBERS


def test_training_and_prediction_convert_batch_by_batch(tmp_path, monkeypatch):
    maps = write_maps(tmp_path / "t")
    design = load_blocks(
        {"e": [tmp_path / "t"]}, ["e.map"], [Steps(keep_axes=True)], tmp_path, limit=1
    )
    counts = {"training": [], "prediction": []}
    select = training_rows.TensorRows.select

    def count_numbers(source, rows, epoch=0):
        inputs = select(source, rows, epoch)
        counts["training" if epoch else "prediction"].append(
            sum(v.numel() for v in inputs.values())
        )
        return inputs

    monkeypatch.setattr(training_rows.TensorRows, "select", count_numbers)
    monkeypatch.setattr(training_rows, "NUMBERS_AT_ONCE", 5 * NUMBERS)
    options = heads.merge_options("vqa_head", {"epochs": 2})
    y = maps.astype(np.float64).mean(axis=(1, 2, 3, 4, 5))
    problem = make_problem(range(40), range(40, 50), y)
    models = heads.load_head("vqa_head").fit(design.X, [problem], options, tmp_path / "w", "cpu")
    models.predict(design.X)
    # A batch of 16 rows has one of four clips; predictions have all clips of five rows at a time.
    assert max(counts["training"]) == 16 * NUMBERS / 4
    assert max(counts["prediction"]) == 5 * NUMBERS
    assert sum(counts["prediction"]) >= (2 * 2 * 10 + 40 + ROWS) * NUMBERS


def test_a_killed_fit_ends_at_the_same_numbers(tmp_path):
    """The clips that an epoch draws, the dropout and the average go on where they were."""
    maps = write_maps(tmp_path / "t")
    y = maps.astype(np.float64).mean(axis=(1, 2, 3, 4, 5))
    problem = make_problem(range(40), range(40, 50), y, seed=3)
    options = heads.merge_options("vqa_head", {"epochs": 4})
    head = heads.load_head("vqa_head")
    expected = head.fit({"a": maps}, [problem], options, tmp_path / "a", "cpu").predict({"a": maps})

    with kill_training(after_steps=7):  # in the middle of the third epoch
        head.fit({"a": maps}, [problem], options, tmp_path / "b", "cpu")
    models = head.fit({"a": maps}, [problem], options, tmp_path / "b", "cpu")
    np.testing.assert_array_equal(models.predict({"a": maps}), expected)
