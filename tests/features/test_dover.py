"""DOVER against numbers of the official code, and pinned numbers.

Remake the pinned numbers after a bump of VERSION with
``PYTHONPATH=workflow/scripts:tests/support python tests/features/test_dover.py``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from golden_tensors import arrange_as_official, check_tensor, list_swin_modules, record_outputs
from golden_weights import draw_video, fill_weights
from moving_blocks import draw_moving_blocks
from official_code import read_numbers
from sfqa import media
from sfqa.errors import UserError
from sfqa.features import base, quality_maps
from sfqa.features.base import UnusableError, Video
from sfqa.features.extractors import dover
from sfqa.features.map_networks import Dover
from sfqa.features.weights import Weights
from sfqa.models.weights_files import load_weights_files

GOLDEN = Path(__file__).parent / "golden" / "dover.json"
OFFICIAL = read_numbers("dover")
PIPELINE = OFFICIAL["pipeline"]
CPU = torch.device("cpu")


def cut_golden_views(clips: int, antialias: bool = False) -> dover.PreparedViews:
    """The first technical clips (at least one) and the aesthetic view of the golden's video.

    Only the frames of the technical clips are drawn if there are fewer than three: the aesthetic
    view is then empty.
    """
    seed, frames, height, width = PIPELINE["video"]
    reader = dover.ViewReader(seed=0, antialias=antialias)
    technical, aesthetic = reader._plan_views(Video("a", Path(), "0", 25.0, frames), 0)
    assert technical.frames.ravel().tolist() == PIPELINE["frame_indices"]["technical"]
    assert aesthetic.frames.ravel().tolist() == PIPELINE["frame_indices"]["aesthetic"]
    indices = technical.frames[:clips]
    needed = frames if clips == 3 else int(indices.max()) + 1
    pictures = draw_video(seed, needed, height, width)
    fragments = [[technical.cut(pictures[f], n) for f in clip] for n, clip in enumerate(indices)]
    stills = [aesthetic.cut(pictures[f], 0) for f in aesthetic.frames[0] if f < needed]
    return dover.PreparedViews([np.stack(fragments)], [np.stack(stills)[None]])


@pytest.fixture(scope="module")
def network() -> Dover:
    net = Dover()
    fill_weights(net)
    return net.eval().requires_grad_(False)


def test_the_keys_are_those_of_the_checkpoint(network: Dover) -> None:
    shapes = {key: list(tensor.shape) for key, tensor in network.state_dict().items()}
    floats = {k: v for k, v in OFFICIAL["keys"].items() if "relative_position_index" not in k}
    assert len(OFFICIAL["keys"]) == 381
    assert len(shapes) == 369
    assert shapes == floats
    assert sum(tensor.numel() for tensor in network.state_dict().values()) == 56_218_302


def test_the_first_technical_clip_is_the_official_one(network: Dover) -> None:
    """At full size; the thorough tests compare the other clips and the aesthetic branch too."""
    prepared = cut_golden_views(1)
    modules = list_swin_modules(network.technical_backbone)
    with record_outputs(modules, arrange_as_official) as outputs:
        maps = quality_maps.compute_maps(
            network.technical_backbone, [prepared.technical[0][0]], CPU, "fp32"
        ).numpy()
    for name, summary in PIPELINE["stages"].items():
        branch, _, stage = name.removesuffix(".clip0").partition(".")
        if branch == "technical":
            check_tensor(outputs[stage], summary, 2e-5)
    check_tensor(maps, PIPELINE["technical_map"], 2e-5, part=True)
    score = quality_maps.score_maps(network.technical_head, maps)
    assert abs(score - PIPELINE["scores"]["technical_per_clip"][0]) < 1e-5


def save_checkpoint(folder: Path, network: Dover) -> Weights:
    """Return weights in a file laid out like the official one, with the rules of the registry."""
    state: dict[str, Any] = dict(network.state_dict())
    for key, shape in OFFICIAL["keys"].items():
        if key not in state:
            state[key] = torch.zeros(shape, dtype=torch.int64)
    entry = load_weights_files(Path(__file__).parents[2] / "config/weights.yaml")["dover"]
    path = folder / entry.file
    torch.save(state, path)
    return Weights("official", "0" * 64, path, keys=entry.keys)


@pytest.mark.thorough
def test_the_whole_golden_at_full_size(network: Dover, tmp_path: Path) -> None:
    prepared = cut_golden_views(3)
    technical, aesthetic = prepared.technical[0], prepared.aesthetic[0]
    pixels = technical.transpose(4, 0, 1, 2, 3).reshape(3, 96, 224, 224)
    check_tensor(pixels, PIPELINE["views"]["technical"], 0)
    check_tensor(aesthetic[0].transpose(3, 0, 1, 2), PIPELINE["views"]["aesthetic"], 0)

    extractor = base.build_extractor("dover", {}, save_checkpoint(tmp_path, network), "cpu")
    stages = {
        f"{kind}.{n}": module
        for kind in ("downsample_layers", "stages")
        for n, module in enumerate(getattr(extractor.aesthetic_backbone, kind))
    }
    with record_outputs(stages, lambda name, output: output) as outputs:
        (row,) = extractor.score([prepared])
    for name, summary in PIPELINE["stages"].items():
        branch, _, stage = name.partition(".")
        if branch == "aesthetic":
            check_tensor(outputs[stage], summary, 2e-5)
    scores = PIPELINE["scores"]
    assert abs(row["technical_score"] - scores["technical"]) < 1e-5
    assert abs(row["aesthetic_score"] - scores["aesthetic"]) < 1e-5
    # The fused score saturates with drawn weights, so its exponent is compared.
    exponent = math.log(row["score"] / (1 - row["score"]))
    assert abs(exponent - scores["fused_exponent"]) < 5e-4
    for name, network_of_branch, clips in (
        ("technical", extractor.technical_backbone, technical),
        ("aesthetic", extractor.aesthetic_backbone, aesthetic),
    ):
        maps = np.concatenate(
            [extractor._forward(network_of_branch, [clip]).numpy() for clip in clips]
        )
        check_tensor(maps, PIPELINE[f"{name}_map"], 2e-5)
        np.testing.assert_allclose(row[name].astype(float), maps, atol=4e-3)


@pytest.mark.thorough
def test_the_smoothed_view_gives_the_other_score(network: Dover) -> None:
    smooth = cut_golden_views(3, antialias=True).aesthetic[0]
    check_tensor(smooth[0].transpose(3, 0, 1, 2), PIPELINE["aesthetic_view_if_antialias"], 0)
    maps = quality_maps.compute_maps(network.aesthetic_backbone, [smooth[0]], CPU, "fp32")
    score = quality_maps.score_maps(network.aesthetic_head, maps.numpy())
    assert abs(score - PIPELINE["scores"]["aesthetic_if_antialias"]) < 1e-5


@pytest.mark.parametrize(("technical", "aesthetic", "fused"), OFFICIAL["fusion"])
def test_the_official_fusion(technical: float, aesthetic: float, fused: float) -> None:
    assert dover.fuse_scores(technical, aesthetic) == pytest.approx(fused, abs=1e-7)
    assert dover.fuse_scores(-1e9, 0.0) == 0.0


def test_a_wrapped_checkpoint_is_counted(network: Dover, tmp_path: Path) -> None:
    weights = save_checkpoint(tmp_path, network)
    assert weights.path is not None
    state = torch.load(weights.path)
    heads_only = {key: tensor for key, tensor in state.items() if "head" in key}
    torch.save(heads_only, weights.path)
    with pytest.raises(UserError, match=r"8 of 369 keys match, 361 missing"):
        base.build_extractor("dover", {}, weights, "cpu")


@cache
def build_network() -> Dover:
    net = Dover(reduced=True)
    fill_weights(net)
    return net.eval().requires_grad_(False)


class _SharedWeights(Weights):
    """Drawn weights of a network with few blocks, built once."""

    def load(self, build: Callable[[], torch.nn.Module], *_: Any) -> torch.nn.Module:
        return build_network()


def build_reduced(**options: Any) -> Any:
    weights = _SharedWeights("random", "random:0")
    options = {"blocks": "reduced", "clips": 1, **options}
    return base.build_extractor("dover", options, weights, "cpu")


class _Shrink(torch.nn.Module):
    """In place of a backbone: the mean of each fragment and pair of frames, in 768 channels."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = torch.nn.functional.avg_pool3d(x, (2, 32, 32))
        return self.factor * pooled.repeat(1, 256, 1, 1, 1)


def build_without_networks(**options: Any) -> Any:
    extractor = build_reduced(**options)
    extractor.technical_backbone, extractor.aesthetic_backbone = _Shrink(), _Shrink(-1.0)
    return extractor


def write_video(folder: Path, frames: int, height: int = 240, width: int = 256) -> Video:
    path = folder / f"{frames}_{height}_{width}.mp4"
    media.write_video(path, draw_moving_blocks(frames, height, width), 25.0)
    return Video("a", path, f"{frames}", 25.0, frames)


def test_columns_and_draws(tmp_path: Path) -> None:
    extractor = build_without_networks(clips=2, draws=2)
    video = write_video(tmp_path, 140)
    row = extractor.extract(video)
    assert set(row) == {feature.name for feature in dover.Extractor.FEATURES}
    assert row["technical"].shape == (4, 768, 16, 7, 7)
    assert row["aesthetic"].shape == (2, 768, 16, 7, 7)
    assert row["technical_pooled"].shape == (4, 768)
    assert row["aesthetic_pooled"].dtype == np.float16
    assert row["score"] == dover.fuse_scores(row["technical_score"], row["aesthetic_score"])
    for name in ("technical", "aesthetic"):
        draws = np.split(row[name], 2)
        assert not np.array_equal(*draws)
    renamed = extractor.extract(replace(video, sample_id="b"))
    np.testing.assert_array_equal(renamed["technical"], row["technical"])
    small = build_without_networks(clips=2, draws=2, maps=False).extract(video)
    assert small["technical"] is None
    assert small["score"] == row["score"]


def test_rows_keep_their_order_and_errors(tmp_path: Path) -> None:
    """The networks run in a chain; each video meets its own aesthetic map."""
    extractor = build_without_networks()
    videos = [write_video(tmp_path, n, 96, 160) for n in (1, 20, 33, 64)]
    prepared = [extractor.reader.prepare(video) for video in videos]
    rows = list(extractor.score(iter(prepared)))
    for row, item in zip(rows, prepared, strict=True):
        (alone,) = extractor.score([item])
        assert row["technical_score"] == alone["technical_score"]
        assert row["aesthetic_score"] == alone["aesthetic_score"]
    extractor.aesthetic_backbone = _Shrink(1e6)
    assert all(isinstance(row, UnusableError) for row in extractor.score(iter(prepared)))
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video" * 99)
    for video in (Video("a", broken, "0", 25.0, 5), Video("a", broken, "0", 25.0, 0)):
        with pytest.raises(UnusableError, match=r"^broken: "):
            extractor.extract(video)


@pytest.mark.parametrize(
    ("option", "value"),
    [("clips", 0), ("draws", 0), ("seed", -1), ("small", "no"), ("antialias", 1), ("batch", 0)],
)
def test_impossible_options(option: str, value: object) -> None:
    with pytest.raises(UserError, match=rf"features.dover.options.{option}"):
        base.build_extractor("dover", {option: value}, Weights("random", "random:0"), "cpu")


def pinned() -> dict[str, Any]:
    """Some numbers of the whole path from frames to columns, with few blocks and drawn weights."""
    extractor = build_reduced()
    frames = draw_moving_blocks(100, 256, 200)
    plans = extractor.reader._plan_views(Video("a", Path(), "0", 25.0, 100), 0)
    technical, aesthetic = (
        np.stack([view.cut(frames[f], 0) for f in view.frames[0]])[None] for view in plans
    )
    (row,) = extractor.score([dover.PreparedViews([technical], [aesthetic])])
    pixels = [view[0, ::9, ::70, 3, 1].ravel()[:6] for view in (technical, aesthetic)]
    maps = [row[name].astype(float) for name in ("technical", "aesthetic")]
    return {
        "version": dover.VERSION,
        "pixels": np.concatenate(pixels).astype(int).tolist(),
        "maps": [float(f"{v:.6g}") for m in maps for v in [m.std(), *m[0, ::190, 3, 2, 5]]],
        "scores": [float(f"{row[f'{n}_score']:.6g}") for n in ("technical", "aesthetic")],
    }


def test_pinned_numbers() -> None:
    """A change of these numbers needs a new VERSION, which makes every cached row a miss."""
    wanted, got = json.loads(GOLDEN.read_text()), pinned()
    assert got["version"] == wanted["version"], "VERSION was raised: remake the pinned numbers"
    message = "the numbers changed: raise VERSION, then remake the pinned numbers"
    for part in ("pixels", "maps", "scores"):
        assert got[part] == pytest.approx(wanted[part], rel=2e-3, abs=1e-3), message


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(pinned(), indent=1) + "\n")
