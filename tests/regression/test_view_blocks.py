"""Views from the tables to the batches of a training: bytes all the way, a few rows at a time."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sfqa import store
from sfqa.errors import UserError
from sfqa.features.base import Feature, build_table
from sfqa.regression import blocks
from sfqa.regression.blocks import Steps, load_blocks
from sfqa.regression.design import load_design
from sfqa.regression.feature_columns import check_feature_columns
from sfqa.regression.head_inputs import check_shape
from sfqa.regression.problems import check_problems, make_problem
from sfqa.training.rows import TensorRows

SHAPE = (6, 3, 4, 28, 28)
BYTES = int(np.prod(SHAPE))
ROWS = 30
AXES = ("clip", "colour", "frame", "row", "column")
VIEW = Feature("view", "", AXES, "uint8")
KEEP = [Steps(keep_axes=True)]


def write_views(path: Path, rows: int = ROWS, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Write a table of views, and a score, and return the views."""
    views = np.random.default_rng(0).integers(0, 256, (rows, *shape), dtype=np.uint8)
    table_rows = [
        {"sample_id": f"s{n:03}", "method": "m", "key": None, "status": "ok", "detail": "",
         "view": view, "score": float(n)}
        for n, view in enumerate(views)
    ]  # fmt: skip
    features = [VIEW, Feature("score", "", dtype="float64")]
    tables = [build_table(features, [row]) for row in table_rows]
    store.write_groups(tables[0].schema, tables, path)
    return views


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    path = tmp_path_factory.mktemp("views") / "t.parquet"
    return path, write_views(path)


def load(path: Path, work: Path, limit: int = 1) -> Any:
    return load_blocks({"e": [path]}, ["e.view"], KEEP, work, limit).X["e.view"]


@pytest.mark.parametrize("limit", [1, 1 << 30])
def test_a_block_of_views_has_their_bytes(
    limit: int, table: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    path, views = table
    block = load(path, tmp_path, limit)
    assert block.dtype == np.uint8
    assert isinstance(block, np.memmap) == (limit == 1)
    np.testing.assert_array_equal(block, views)
    if limit == 1:
        assert Path(str(block.filename)).stat().st_size == pytest.approx(ROWS * BYTES, abs=4096)


def test_mapped_files_are_deleted_by_the_job_that_wrote_them(
    table: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    path, views = table
    block = load(path, tmp_path / "trials")
    (tmp_path / "trials" / "fit.pt").write_bytes(b"a finished fit")
    blocks.delete_blocks(tmp_path / "trials")
    assert [file.name for file in (tmp_path / "trials").iterdir()] == ["fit.pt"]
    np.testing.assert_array_equal(block[3], views[3])  # what is mapped stays readable
    blocks.delete_blocks(tmp_path / "trials")


def test_videos_without_as_many_frames_repeat_them(tmp_path: Path) -> None:
    feature = Feature("frames", "", ("frame", "colour", "row", "column"), "uint8")
    frames = np.arange(5 * 3 * 2 * 2, dtype=np.uint8).reshape(5, 3, 2, 2)
    head = {"method": "m", "key": None, "status": "ok", "detail": ""}
    cells = [head | {"sample_id": f"s{n}", "frames": frames[:n]} for n in (2, 5)]
    cells.append(head | {"sample_id": "t", "status": "failed", "detail": "broken: x"})
    store.write_arrow(build_table([feature], cells), tmp_path / "t")
    steps = [Steps(4, "first", keep_axes=True)]
    design = load_blocks({"e": [tmp_path / "t"]}, ["e.frames"], steps, tmp_path)
    expected = np.stack([frames[[0, 1, 1, 1]], frames[:4]])
    np.testing.assert_array_equal(design.X["e.frames"], expected)
    assert design.dropped == {"t": "broken: x"}


def test_neither_table_nor_block_is_ever_in_memory_as_a_whole(
    table: tuple[Path, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = table
    monkeypatch.setattr(blocks, "NUMBERS_AT_ONCE", 2 * BYTES)
    tracemalloc.start()
    block = load(path, tmp_path)
    source = TensorRows({"x": torch.from_numpy(block)}, {}, {}, "cpu", False, dtype=torch.float32)
    check_problems({"x": block}, [make_problem(range(20), range(20, 25), np.zeros(ROWS))])
    total = sum(int(batch.sum()) for batch in source.iterate(torch.arange(ROWS).split(4), 1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == int(block.sum(dtype=np.int64))
    assert peak < 4 * 2 * BYTES + 300_000 < ROWS * BYTES


def test_batches_are_bytes_of_the_steps_that_an_epoch_draws(
    table: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    path, views = table
    source = TensorRows(
        {"clips": torch.from_numpy(load(path, tmp_path))}, {}, {}, "cpu", True,
        dtype=torch.float32, draws={"clips": 1}, seed=3,
    )  # fmt: skip
    rows = torch.tensor([7, 2, 11])
    drawn = []
    for epoch in range(1, 13):
        (batch,) = source.iterate([rows], epoch)
        assert isinstance(batch, dict)
        assert batch["clips"].dtype == torch.uint8
        assert batch["clips"].shape == (3, 1, *SHAPE[1:])
        clips = [
            [bool((views[row, n] == clip[0].numpy()).all()) for n in range(SHAPE[0])].index(True)
            for row, clip in zip(rows.tolist(), batch["clips"], strict=True)
        ]
        drawn.append(clips)
    assert {clip for clips in drawn for clip in clips} == set(range(SHAPE[0]))
    (batch,) = source.iterate([rows], 0)
    assert isinstance(batch, dict)
    np.testing.assert_array_equal(batch["clips"].numpy(), views[rows.numpy()])


def test_only_its_name_selects_a_view(table: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    path, _ = table
    assert load_design({"e": [path]}, ["e"]).names == ["e.score"]
    block = load_blocks({"e": [path]}, ["e"], [Steps()], tmp_path).X["e"]
    assert block.shape == (ROWS, 1)


SPEC = {"fast_vqa": {"weights": "random", "options": {}}}


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ({"kind": "regressor", "head": "ridge"}, r"fast_vqa\.view is kept only with .* views: 1"),
        ({"kind": "zero_shot"}, r"fast_vqa\.view is not one scalar.*fast_vqa\.score"),
    ],
)
def test_a_view_that_the_table_lacks_is_a_sentence(metric: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_feature_columns([{"name": "a", "inputs": ["fast_vqa.view"], **metric}], SPEC)


@pytest.mark.parametrize("head", ["ridge", "vqa_head", "frame_ensemble"])
def test_heads_of_features_do_not_read_views(head: str) -> None:
    spec = {"fast_vqa": {"weights": "random", "options": {"views": 2}}}
    metric = {"name": "a", "kind": "regressor", "head": head, "inputs": ["fast_vqa.view"]}
    if head == "frame_ensemble":
        metric["inputs"] = ["fast_vqa.view", "fast_vqa.pooled"]
    with pytest.raises(UserError, match=r"fast_vqa\.view holds the pixels that a network sees"):
        check_feature_columns([metric], spec)


def test_heads_of_views_read_nothing_else() -> None:
    check_shape("e.view", "views", [VIEW])
    with pytest.raises(UserError, match=r"e\.pooled holds no pixels.*fast_vqa\.view"):
        check_shape("e.pooled", "views", [Feature("pooled", "", ("clip", "channel"))])


@pytest.mark.parametrize("limit", [1, 1 << 30])
def test_views_of_different_lengths_are_padded_to_a_stated_one(limit: int, tmp_path: Path) -> None:
    """A longer view is a failed row with a reason, never a part of it."""
    numbers = np.random.default_rng(0)
    views = [numbers.integers(1, 256, (length, 5, 2), dtype=np.uint8) for length in (3, 4, 2, 5)]
    rows = [
        {"sample_id": f"s{n}", "method": "m", "key": None, "status": "ok", "detail": "",
         "view": view}
        for n, view in enumerate(views)
    ]  # fmt: skip
    feature = Feature("view", "", ("token", "number", "byte"), "uint8")
    store.write_arrow(build_table([feature], rows), tmp_path / "t.parquet", {})
    steps = [Steps(4, "padded", keep_axes=True)]
    design = load_blocks({"e": [tmp_path / "t.parquet"]}, ["e.view"], steps, tmp_path, limit)
    block = design.X["e.view"]
    assert design.sample_ids == ["s0", "s1", "s2"]
    assert (block.shape, block.dtype) == ((3, 4, 5, 2), np.uint8)
    for row, view in zip(block, views[:3], strict=True):
        np.testing.assert_array_equal(row[: len(view)], view)
        assert not row[len(view) :].any()
    assert design.dropped == {
        "s3": "too_long: e.view has 5 tokens, and the head reads at most 4 (its options)"
    }
