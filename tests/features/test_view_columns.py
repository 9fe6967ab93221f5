"""Views: what a network sees is cached as it is, on demand, and rows without views stay the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from golden_weights import fill_weights
from moving_blocks import draw_moving_blocks
from sfqa import media, store, tables
from sfqa.errors import UserError
from sfqa.features import base, quality_maps, rows, run, view_columns
from sfqa.features.base import Feature, Video
from sfqa.features.extractors import fast_vqa, simplevqa, spatial
from sfqa.features.weights import Weights

RANDOM = Weights("random", "random:0")


@contextmanager
def use_cpu() -> Iterator[str]:
    yield "cpu"


def write_video(folder: Path, frames: int, height: int = 240, width: int = 256) -> Video:
    path = folder / f"{frames}_{height}_{width}.mp4"
    media.write_video(path, draw_moving_blocks(frames, height, width), 25.0)
    return Video("a", path, f"{frames}", 25.0, frames)


@cache
def build_network(network_class: type[torch.nn.Module]) -> torch.nn.Module:
    net = network_class(reduced=True)
    fill_weights(net)
    return net.eval().requires_grad_(False)


class _SharedWeights(Weights):
    """Drawn weights of networks with few blocks, each built once."""

    def load(self, build: Any, *_: Any) -> torch.nn.Module:
        return build_network(build.func)


class _Shrink(torch.nn.Module):
    """In place of a backbone: the mean of each fragment and pair of frames, in 768 channels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = torch.nn.functional.avg_pool3d(x, (2, 32, 32))
        return pooled.repeat(1, 256, 1, 1, 1)


def build_fast_vqa(shrinks: bool = True, **options: Any) -> Any:
    extractor: Any = base.build_extractor(
        "fast_vqa", {"blocks": "reduced", "clips": 1, **options},
        _SharedWeights("random", "random:0"), "cpu",
    )  # fmt: skip
    extractor.batching = replace(extractor.batching, parallel=1)
    if shrinks:
        extractor.backbone = _Shrink()
    return extractor


def compute_maps(network: Any, view: np.ndarray) -> np.ndarray:
    """The maps of a view (clip, 3, frame, row, column), normalised as a training does."""
    mean, std = (
        torch.tensor(v)[:, None, None, None] for v in (quality_maps.MEAN, quality_maps.STD)
    )
    with torch.inference_mode():
        return network((torch.from_numpy(view).float() - mean) / std).numpy()


def test_the_tower_gives_the_map_of_the_extractor_from_the_view(tmp_path: Path) -> None:
    extractor = build_fast_vqa(shrinks=False, views=1)
    row = extractor.extract(write_video(tmp_path, 40))
    assert row["view"].shape == (1, 3, 32, 224, 224)
    assert row["view"].dtype == np.uint8
    maps = compute_maps(extractor.backbone, row["view"])
    # Equal but for rounding: on some CPUs a kernel sums in another order for memory at another place.
    np.testing.assert_allclose(maps, row["map"].astype(np.float32), rtol=1e-3, atol=1e-5)
    assert quality_maps.score_maps(extractor.head, maps) == pytest.approx(row["score"], rel=1e-5)


def test_every_draw_is_the_one_that_the_extractor_scores(tmp_path: Path) -> None:
    video = write_video(tmp_path, 90)
    scored = build_fast_vqa(clips=2, draws=3).extract(video)
    row = build_fast_vqa(clips=2, views=3).extract(video)
    assert row["view"].shape == (6, 3, 32, 224, 224)
    np.testing.assert_array_equal(row["map"], scored["map"][:2])
    maps = compute_maps(_Shrink(), row["view"])
    np.testing.assert_array_equal(maps.astype(np.float16), scored["map"])
    draws = row["view"].reshape(3, -1)
    assert not np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[1], draws[2])
    fewer = build_fast_vqa(clips=2, views=1).extract(replace(video, sample_id="renamed"))
    np.testing.assert_array_equal(fewer["view"], row["view"][:2])


@pytest.mark.parametrize(("frames", "height", "width"), [(1, 64, 300), (20, 300, 128)])
def test_views_of_short_and_small_videos(
    frames: int, height: int, width: int, tmp_path: Path
) -> None:
    row = build_fast_vqa(views=1).extract(write_video(tmp_path, frames, height, width))
    assert row["view"].shape == (1, 3, 32, 224, 224)
    maps = compute_maps(_Shrink(), row["view"])
    np.testing.assert_array_equal(maps.astype(np.float16), row["map"])


def build_dover(**options: Any) -> Any:
    extractor: Any = base.build_extractor(
        "dover", {"blocks": "reduced", "clips": 1, **options},
        _SharedWeights("random", "random:0"), "cpu",
    )  # fmt: skip
    extractor.batching = replace(extractor.batching, parallel=1)
    return extractor


def test_both_views_of_dover_are_those_that_it_scores(tmp_path: Path) -> None:
    video = write_video(tmp_path, 34, 224, 248)
    scored, viewed = build_dover(draws=2), build_dover(views=2)
    for extractor in (scored, viewed):
        extractor.technical_backbone = extractor.aesthetic_backbone = _Shrink()
    expected, row = scored.extract(video), viewed.extract(video)
    assert expected["technical_view"] is expected["aesthetic_view"] is None
    assert row["technical_view"].shape == (2, 3, 32, 224, 224)
    assert row["aesthetic_view"].shape == (2, 3, 32, 224, 224)
    for branch in ("technical", "aesthetic"):
        np.testing.assert_array_equal(row[branch], expected[branch][:1])
        maps = compute_maps(_Shrink(), row[f"{branch}_view"])
        np.testing.assert_array_equal(maps.astype(np.float16), expected[branch])


@pytest.mark.thorough
def test_both_towers_of_dover_give_its_scores_from_the_views(tmp_path: Path) -> None:
    extractor = build_dover(views=1)
    row = extractor.extract(write_video(tmp_path, 34, 224, 248))
    towers = (extractor.technical_backbone, extractor.aesthetic_backbone)
    for branch, tower, head in zip(
        ("technical", "aesthetic"), towers, extractor.heads, strict=True
    ):
        maps = compute_maps(tower, row[f"{branch}_view"])
        np.testing.assert_array_equal(maps.astype(np.float16), row[branch])
        assert quality_maps.score_maps(head, maps) == row[f"{branch}_score"]


def test_the_frames_of_an_image_backbone_give_its_features(tmp_path: Path) -> None:
    video = replace(write_video(tmp_path, 60, 96, 130), fps=25.0)
    # Five key frames of a video with three: two of them are there twice.
    short = write_video(tmp_path, 3, 130, 96)
    for options, item, count in (({}, video, 2), ({"frames": 5}, short, 5)):
        extractor: Any = base.build_extractor(
            "image", {"model": "test_vit", "views": 1, **options}, RANDOM, "cpu"
        )
        row = extractor.extract(item)
        side = extractor.reader.square.size
        assert row["frames"].shape == (count, 3, side, side)
        x = (torch.from_numpy(row["frames"]).float() / 255 - extractor.mean) / extractor.std
        with torch.inference_mode():
            pooled = extractor.net.forward_head(extractor.net.forward_features(x), pre_logits=True)
        np.testing.assert_allclose(row["pooled"].astype(float), pooled.numpy(), atol=2e-3)
    plain: Any = base.build_extractor("image", {"model": "test_vit"}, RANDOM, "cpu")
    assert plain.extract(video).keys() == {"pooled"}


@pytest.fixture(scope="module")
def second_networks() -> Any:
    """SimpleVQA whose networks return nothing but zeros, for the pictures alone."""
    extractor: Any = base.build_extractor("simplevqa", {"seconds": 2, "views": 1}, RANDOM, "cpu")
    extractor.slowfast.compute_features = lambda clips: [np.zeros((2, 2304), np.float32)]
    return extractor


@pytest.mark.parametrize("resize", ["cv2", "pillow"])
@pytest.mark.parametrize(("height", "width"), [(96, 129), (163, 80), (64, 64)])
def test_pictures_of_simplevqa_with_and_without_a_margin(
    height: int, width: int, resize: str, second_networks: Any, tmp_path: Path
) -> None:
    video = write_video(tmp_path, 90, height, width)
    seen: list[torch.Tensor] = []
    second_networks.spatial._forward = lambda pictures: (
        seen.append(second_networks.spatial._make_input(pictures))
        or torch.zeros(len(pictures), 7168)
    )
    views = {}
    for margin in (False, True):
        side = 520 if margin else 448
        pictures = spatial.KeyFrameReader(520, side, resize)
        reader = simplevqa.SecondReader(pictures, second_networks.slowfast.reader, 2)
        seconds = simplevqa.Seconds(
            replace_key_frames(pictures.prepare(video), reader.seconds),
            None,  # type: ignore[arg-type]
        )
        (row,) = second_networks.score([seconds])
        views[margin] = row["frames"]
        assert row["frames"].shape == (2, 3, side, side)
    np.testing.assert_array_equal(views[True][:, :, 36:484, 36:484], views[False])
    without_margin, with_margin = torch.cat(seen).chunk(2)
    assert torch.equal(without_margin, with_margin)
    mean, std = (torch.tensor(v)[:, None, None] for v in (spatial.MEAN, spatial.STD))
    by_hand = (torch.from_numpy(views[False]).float() / 255 - mean) / std
    assert torch.equal(without_margin.contiguous(), by_hand)


def replace_key_frames(key_frames: spatial.KeyFrames, count: int) -> spatial.KeyFrames:
    return spatial.KeyFrames(key_frames.frames[:count], key_frames.seconds[:count])


@pytest.mark.parametrize("name", ["simplevqa", "spatial"])
def test_the_side_of_a_view_is_part_of_the_key_only_with_views(name: str) -> None:
    options = base.merge_options(name, {"view_side": "short_side"})
    assert not {"views", "view_side"} & base.select_keyed_options(name, options).keys()
    keyed = base.select_keyed_options(name, {**options, "views": 1})
    assert (keyed["views"], keyed["view_side"]) == (1, "short_side")


@pytest.mark.thorough
def test_the_frames_of_simplevqa_give_its_scores(tmp_path: Path) -> None:
    extractor: Any = base.build_extractor(
        "simplevqa", {"seconds": 0, "views": 1, "view_side": "short_side"}, RANDOM, "cpu"
    )
    video = write_video(tmp_path, 60, 200, 300)
    row = extractor.extract(video)
    assert row["frames"].shape == (len(row["scores"]), 3, 520, 520)
    centre = torch.from_numpy(row["frames"][:, :, 36:484, 36:484]).float()
    with torch.inference_mode():
        still = extractor.spatial.model.read(
            extractor.spatial.net, (centre / 255 - extractor.spatial.mean) / extractor.spatial.std
        )
    (moving,) = extractor.slowfast.compute_features([extractor.reader.prepare(video).clips])
    scores = extractor.compute_scores(np.concatenate([still.numpy(), moving], 1))
    np.testing.assert_allclose(scores, row["scores"], atol=2e-5 * np.abs(scores).max())


def conform(videos: list[Video]) -> pd.DataFrame:
    records = [
        {
            "sample_id": f"s{n}", "method": "m", "shard": 0, "status": "ok", "detail": "",
            "source_sha256": "0", "path": str(video.path), "sha256": video.sha256,
            "audio_path": None, "audio_sha256": None, "fps": video.fps, "frames": video.frames,
            "sample_rate": None, "prompt": None,
        }
        for n, video in enumerate(videos)
    ]  # fmt: skip
    return pd.DataFrame(records, columns=tables.CONFORMED.names)


def extract(videos: list[Video], folder: Path, **options: Any) -> tuple[Path, int]:
    """Extract as a job does; return the table and how many rows were computed."""
    spec = {"weights": "random", "options": {"blocks": "reduced", "clips": 1, **options}}
    shard_rows, metadata, costs = run.extract_rows(
        conform(videos), "fast_vqa", spec, folder / "cache", "m/0", use_cpu
    )
    path = folder / f"{len(options)}.parquet"
    shard_rows.write(path, metadata)
    return path, sum(cost["computed"] for cost in costs)


def test_only_rows_with_views_have_a_column_and_a_key_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality_maps, "compute_maps", lambda _, clips, *__: _Shrink()(
        torch.stack([torch.from_numpy(clip).float().permute(3, 0, 1, 2) for clip in clips])
    ))  # fmt: skip
    videos = [write_video(tmp_path, 34), write_video(tmp_path, 36)]
    without, computed = extract(videos, tmp_path)
    assert computed == 2
    schema, metadata = pq.read_schema(without), store.read_metadata(without)
    assert schema.names[-4:] == ["map", "pooled", "score", "rescaled"]
    assert "views" not in metadata["options"]
    with_views, computed = extract(videos, tmp_path, views=2)
    assert computed == 2
    assert store.read_metadata(with_views)["options"]["views"] == 2
    file = pq.ParquetFile(with_views)
    # A row group holds one video, so that it is read without the others.
    assert file.num_row_groups == 2
    table = store.load(with_views)
    field = table.schema.field("view")
    assert field.metadata[b"axes"] == b"clip,colour,frame,row,column"
    assert field.metadata[b"inner_shape"] == b"3,32,224,224"
    view = base.read_tensor(table["view"], field, 1)
    np.testing.assert_array_equal(view, build_fast_vqa(views=2).extract(videos[1])["view"])
    assert table.drop_columns(["view", "key"]).equals(store.load(without).drop_columns("key"))
    again, computed = extract(videos, tmp_path)
    assert computed == 0
    assert pq.read_schema(again).equals(schema)


def test_the_option_leaves_the_keys_of_present_rows_as_they_were() -> None:
    options = base.merge_options("fast_vqa", {})
    keyed = base.select_keyed_options("fast_vqa", options)
    assert keyed.keys() == options.keys() - {"views"}
    assert base.select_keyed_options("fast_vqa", {**options, "views": 1})["views"] == 1
    features = view_columns.select_columns(fast_vqa.Extractor.FEATURES, options)
    assert [f.name for f in features] == ["map", "pooled", "score", "rescaled"]
    names = rows.get_row_schema(features).names
    assert names[5:] == ["map", "pooled", "score", "rescaled", "shapes", "costs"]


def test_a_view_is_stored_as_bytes_and_an_empty_cell_stays_one() -> None:
    view = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    head = {"method": "m", "key": None, "status": "ok", "detail": ""}
    feature = Feature("view", "", ("clip", "colour", "row"), "uint8")
    cells = [{"sample_id": "a", "view": view}, {"sample_id": "b"}, {"sample_id": "c", "view": view}]
    table = base.build_table([feature], [head | row for row in cells])
    assert str(table["view"].type) == "list<item: uint8>"
    assert table["view"].null_count == 1
    np.testing.assert_array_equal(
        base.read_tensor(table["view"], table.schema.field("view"), 2), view
    )


@pytest.mark.parametrize("value", [-1, 33, 1.5, True])
def test_impossible_numbers_of_views(value: object) -> None:
    with pytest.raises(UserError, match=r"features.fast_vqa.options.views"):
        base.merge_options("fast_vqa", {"views": value})


def test_more_views_than_a_row_holds() -> None:
    entry = {"weights": "random", "options": {"views": 32, "clips": 13}}
    with pytest.raises(UserError, match=r"views: 32 with clips: 13 are 2\.0 GB a video.*fewer"):
        base.check_entry("fast_vqa", entry)
    base.check_entry("fast_vqa", {"weights": "random", "options": {"views": 32, "clips": 12}})
    base.check_entry("image", {"weights": "random", "options": {"views": 1}})
