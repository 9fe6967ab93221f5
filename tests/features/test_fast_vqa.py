"""FAST-VQA against numbers of the official code, and pinned numbers.

Remake the pinned numbers after a bump of VERSION with
``PYTHONPATH=workflow/scripts:tests/support python tests/features/test_fast_vqa.py``.
"""

from __future__ import annotations

import json
import re
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
from sfqa.features.extractors import fast_vqa
from sfqa.features.map_networks import Dover, FastVqa
from sfqa.features.weights import Weights
from sfqa.models.weights_files import load_weights_files

GOLDEN = Path(__file__).parent / "golden" / "fast_vqa.json"
OFFICIAL = read_numbers("fast_vqa")
PIPELINE = OFFICIAL["pipeline"]
RANDOM = Weights("random", "random:0")
REDUCED = {"blocks": "reduced"}


def cut_golden_clips(count: int) -> media.Pixels:
    """The first clips (count, 32, 224, 224, 3) of the golden's video, with its seed."""
    seed, frames, height, width = PIPELINE["video"]
    view = fast_vqa.FragmentReader(seed=0)._plan_view(Video("a", Path(), "0", 25.0, frames), 0)
    assert view.frames.ravel().tolist() == PIPELINE["frame_indices"]
    indices = view.frames[:count]
    pictures = draw_video(seed, int(indices.max()) + 1, height, width)
    return np.stack([[view.cut(pictures[f], n) for f in clip] for n, clip in enumerate(indices)])


@pytest.fixture(scope="module")
def network() -> FastVqa:
    net = FastVqa()
    fill_weights(net)
    return net.eval().requires_grad_(False)


def test_the_keys_are_those_of_the_checkpoint(network: FastVqa) -> None:
    shapes = {key: list(tensor.shape) for key, tensor in network.state_dict().items()}
    floats = {k: v for k, v in OFFICIAL["keys"].items() if "relative_position_index" not in k}
    assert len(OFFICIAL["keys"]) == 197
    assert len(shapes) == 185
    assert shapes == floats
    assert sum(tensor.numel() for tensor in network.state_dict().values()) == 28_127_901


def test_every_block_of_the_first_clip_is_the_official_one(network: FastVqa) -> None:
    """At full size; the thorough tests compare the other clips too."""
    clips = cut_golden_clips(1)
    modules = list_swin_modules(network.fragments_backbone)
    with record_outputs(modules, arrange_as_official) as outputs:
        maps = quality_maps.compute_maps(
            network.fragments_backbone, [clips[0]], torch.device("cpu"), "fp32"
        ).numpy()
    assert len(PIPELINE["stages"]) == 13
    for name, summary in PIPELINE["stages"].items():
        check_tensor(outputs[name.split(".clip0")[0]], summary, 2e-5)
    check_tensor(maps, PIPELINE["map"], 2e-5, part=True)
    assert abs(maps.mean() - PIPELINE["map_per_clip_mean"][0]) < 1e-5
    score = quality_maps.score_maps(network.vqa_head, maps)
    assert abs(score - PIPELINE["scores"]["per_clip"][0]) < 1e-5


def save_checkpoint(folder: Path, network: FastVqa) -> Weights:
    """Return weights in a file laid out like the official one, with the rules of the registry."""
    state: dict[str, Any] = dict(network.state_dict())
    for key, shape in OFFICIAL["keys"].items():
        if key not in state:
            state[key] = torch.zeros(shape, dtype=torch.int64)
    entry = load_weights_files(Path(__file__).parents[2] / "config/weights.yaml")["fast_vqa_b"]
    path = folder / entry.file
    torch.save({"state_dict": state, "validation_results": {}}, path)
    return Weights("official", "0" * 64, path, keys=entry.keys)


@pytest.mark.thorough
def test_a_clip_is_normalised_as_the_official_code_does() -> None:
    clips = cut_golden_clips(4)
    pixels = clips.transpose(4, 0, 1, 2, 3).reshape(3, 128, 224, 224)
    check_tensor(pixels, PIPELINE["views"]["technical"], 0)
    seen: list[torch.Tensor] = []

    def keep(x: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return x

    quality_maps.compute_maps(keep, list(clips), torch.device("cpu"), "fp32")
    assert seen[0].is_contiguous()
    check_tensor(seen[0], PIPELINE["inputs"]["technical"], 1e-6)


@pytest.mark.thorough
def test_the_whole_golden_at_full_size(network: FastVqa, tmp_path: Path) -> None:
    clips = cut_golden_clips(4)
    weights = save_checkpoint(tmp_path, network)
    extractor = base.build_extractor("fast_vqa", {}, weights, "cpu")
    (row,) = extractor.score([[clips]])
    scores = PIPELINE["scores"]
    assert abs(row["score"] - scores["raw"]) < 1e-5
    assert abs(row["rescaled"] - fast_vqa.rescale(scores["raw"])) < 1e-4
    maps = np.concatenate([extractor._forward([clip]).numpy() for clip in clips])
    check_tensor(maps, PIPELINE["map"], 2e-5)
    np.testing.assert_allclose(maps.mean((1, 2, 3, 4)), PIPELINE["map_per_clip_mean"], atol=1e-6)
    per_clip = [quality_maps.score_maps(extractor.head, clip_map[None]) for clip_map in maps]
    np.testing.assert_allclose(per_clip, scores["per_clip"], atol=1e-5)
    np.testing.assert_array_equal(row["map"], maps.astype(np.float16))
    halved = quality_maps.score_maps(extractor.head, row["map"].astype(np.float32))
    assert abs(halved - scores["from_float16_map"]) < 1e-5


@pytest.mark.parametrize(("raw", "rescaled"), OFFICIAL["rescale"])
def test_the_published_rescaling(raw: float, rescaled: float) -> None:
    assert fast_vqa.rescale(raw) == pytest.approx(rescaled, abs=1e-7)


def test_a_wrong_prefix_loads_nothing_and_says_so(network: FastVqa, tmp_path: Path) -> None:
    weights = save_checkpoint(tmp_path, network)
    assert weights.path is not None
    stored = torch.load(weights.path)
    renamed = {f"model.{key}": tensor for key, tensor in stored["state_dict"].items()}
    torch.save({"state_dict": renamed}, weights.path)
    with pytest.raises(UserError, match=r"0 of 185 keys match, 185 missing .*, 185 unexpected"):
        base.build_extractor("fast_vqa", {}, weights, "cpu")
    with pytest.raises(UserError, match=re.escape("there is no state dict 'other' in it")):
        rules = replace(weights.keys, wrapper="other") if weights.keys else None
        base.build_extractor("fast_vqa", {}, replace(weights, keys=rules), "cpu")


def write_video(folder: Path, frames: int, height: int = 240, width: int = 256) -> Video:
    path = folder / f"{frames}_{height}_{width}.mp4"
    media.write_video(path, draw_moving_blocks(frames, height, width), 25.0)
    return Video("a", path, f"{frames}", 25.0, frames)


@cache
def build_network() -> FastVqa:
    net = FastVqa(reduced=True)
    fill_weights(net)
    return net.eval().requires_grad_(False)


class _SharedWeights(Weights):
    """Drawn weights of a network with few blocks, built once."""

    def load(self, build: Callable[[], torch.nn.Module], *_: Any) -> torch.nn.Module:
        return build_network()


def build_reduced(**options: Any) -> Any:
    weights = _SharedWeights("random", "random:0")
    return base.build_extractor("fast_vqa", {**REDUCED, "clips": 1, **options}, weights, "cpu")


class _Shrink(torch.nn.Module):
    """In place of the backbone: the mean of each fragment and pair of frames, in 768 channels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = torch.nn.functional.avg_pool3d(x, (2, 32, 32))
        return pooled.repeat(1, 256, 1, 1, 1)


@pytest.mark.parametrize(("extractor", "network_class"), [("fast_vqa", FastVqa), ("dover", Dover)])
def test_the_official_file_may_be_given_by_its_path(
    extractor: str, network_class: type[torch.nn.Module], tmp_path: Path
) -> None:
    """No entry of config/weights.yaml names the integer tables of such a file."""
    state = network_class(reduced=True).state_dict()
    biases = [key for key in state if key.endswith("attn.relative_position_bias_table")]
    tables = {
        key.replace("bias_table", "index"): torch.zeros(2, 2, dtype=torch.long) for key in biases
    }
    assert len(tables) == 5
    torch.save({"state_dict": {**state, **tables}}, tmp_path / "w.pth")
    weights = Weights("official", "its sha256", tmp_path / "w.pth")
    base.build_extractor(extractor, REDUCED, weights, "cpu")


def test_columns_and_draws(tmp_path: Path) -> None:
    extractor = build_reduced(clips=2, draws=2)
    extractor.backbone = _Shrink()
    video = write_video(tmp_path, 70)
    row = extractor.extract(video)
    assert set(row) == {feature.name for feature in fast_vqa.Extractor.FEATURES}
    assert row["map"].shape == (4, 768, 16, 7, 7)
    assert row["map"].dtype == row["pooled"].dtype == np.float16
    means = row["map"].astype(float).mean((2, 3, 4))
    np.testing.assert_allclose(row["pooled"].astype(float), means, atol=2e-3)
    assert row["rescaled"] == fast_vqa.rescale(row["score"])
    assert not np.array_equal(row["map"][:2], row["map"][2:])

    renamed = extractor.extract(replace(video, sample_id="b"))
    np.testing.assert_array_equal(renamed["map"], row["map"])
    other = extractor.extract(replace(video, sha256="other"))
    assert other["score"] != row["score"]
    pooled = build_reduced(clips=2, draws=2, maps=False)
    pooled.backbone, pooled.head = extractor.backbone, extractor.head
    small = pooled.extract(video)
    assert small["map"] is None
    assert small["score"] == row["score"]
    table = base.build_table(fast_vqa.Extractor.FEATURES, [{"sample_id": "a", **small}])
    assert table["map"].null_count == 1


def test_videos_of_any_length_and_size(tmp_path: Path) -> None:
    extractor = build_reduced(sampler="demo")
    extractor.backbone = _Shrink()
    for frames, height, width in ((1, 64, 300), (20, 224, 128)):
        row = extractor.extract(write_video(tmp_path, frames, height, width))
        assert row["map"].shape == (1, 768, 16, 7, 7)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video" * 99)
    for video in (Video("a", broken, "0", 25.0, 5), Video("a", broken, "0", 25.0, 0)):
        with pytest.raises(UnusableError, match=r"^broken: "):
            extractor.extract(video)


def test_numbers_that_float16_cannot_hold(tmp_path: Path) -> None:
    extractor = build_reduced()
    extractor.backbone = lambda x: _Shrink()(x) * 1e6
    with pytest.raises(UnusableError, match=r"^not_finite: FAST-VQA"):
        extractor.extract(write_video(tmp_path, 3))


def test_rows_do_not_depend_on_the_pass_they_share() -> None:
    pixels = np.stack([draw_moving_blocks(64, 224, 224)]).reshape(2, 32, 224, 224, 3)
    single, mixed = build_reduced(), build_reduced(batch=2)
    single.backbone = mixed.backbone = _Shrink()
    expected = [row["map"] for row in single.score([[pixels[:1]], [pixels[1:]]])]
    rows = [row["map"] for row in mixed.score([[pixels[1:]], [pixels[:1]]])]
    for row, alone in zip(reversed(rows), expected, strict=True):
        np.testing.assert_allclose(row.astype(float), alone.astype(float), atol=4e-3)
    assert not np.array_equal(expected[0], expected[1])


@pytest.mark.parametrize(
    ("option", "value"),
    [("sampler", "test"), ("clips", 0), ("draws", 0), ("seed", -1), ("small", "no"), ("maps", 1)],
)
def test_impossible_options(option: str, value: object) -> None:
    with pytest.raises(UserError, match=rf"features.fast_vqa.options.{option}"):
        base.build_extractor("fast_vqa", {option: value}, RANDOM, "cpu")


def pinned() -> dict[str, Any]:
    """Some numbers of the whole path from frames to columns, with few blocks and drawn weights."""
    extractor = build_reduced()
    frames = draw_moving_blocks(90, 200, 304)
    view = extractor.reader._plan_view(Video("a", Path(), "0", 25.0, 90), 0)
    clip = np.stack([view.cut(frames[f], 0) for f in view.frames[0]])
    (row,) = extractor.score([[clip[None]]])
    values = row["map"].astype(float)
    return {
        "version": fast_vqa.VERSION,
        "pixels": [float(clip.mean()), *map(int, clip[::9, ::70, 3, 1].ravel()[:8])],
        "map": [float(f"{v:.6g}") for v in [values.std(), *values[0, ::170, 3, 2, 5]]],
        "scores": [float(f"{row[name]:.6g}") for name in ("score", "rescaled")],
    }


def test_pinned_numbers() -> None:
    """A change of these numbers needs a new VERSION, which makes every cached row a miss."""
    wanted, got = json.loads(GOLDEN.read_text()), pinned()
    assert got["version"] == wanted["version"], "VERSION was raised: remake the pinned numbers"
    message = "the numbers changed: raise VERSION, then remake the pinned numbers"
    for part in ("pixels", "map", "scores"):
        assert got[part] == pytest.approx(wanted[part], rel=2e-3), message


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(pinned(), indent=1) + "\n")
