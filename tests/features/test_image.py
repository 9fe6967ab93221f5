"""Features of image backbones against timm's own transform and network.

Remake the pinned numbers after a bump of VERSION with
``PYTHONPATH=workflow/scripts:tests/support python tests/features/test_image.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from golden_weights import draw_video, fill_weights
from moving_blocks import draw_moving_blocks
from sfqa import media
from sfqa.errors import UserError
from sfqa.features import base, image_net
from sfqa.features.base import UnusableError, Video
from sfqa.features.extractors import image
from sfqa.features.frame_reader import KeyFrames
from sfqa.features.weights import Weights
from sfqa.model_names import has_model, list_models

GOLDEN = Path(__file__).parent / "golden" / "image.json"
RANDOM = Weights("random", "random:0")
TINY = "test_vit"


def build(weights: Weights = RANDOM, model: str = TINY, **options: Any) -> Any:
    extractor: Any = base.build_extractor("image", {"model": model, **options}, weights, "cpu")
    if weights.kind == "random":
        fill_weights(extractor.net, weights.seed)
    return extractor


def read_frames(extractor: Any, frames: media.Pixels) -> KeyFrames:
    """Frames as the reader gives them."""
    return KeyFrames(extractor.reader.square.resize(frames), np.arange(len(frames)), None)


def draw_pictures() -> list[media.Pixels]:
    """Three pictures: square, wide and tall."""
    return [draw_video(0, 1, 256, 256), draw_video(1, 1, 200, 320), draw_video(2, 1, 330, 210)]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Video:
    path = tmp_path_factory.mktemp("image") / "a.mp4"
    media.write_video(path, draw_moving_blocks(21, 96, 128), 10.0)
    return Video("a", path, "0", fps=10.0, frames=21)


def assert_equals_timm(model: str) -> None:
    extractor = build(model=model)
    network = timm.create_model(model, pretrained=False).eval()
    fill_weights(network)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network))
    for picture in draw_pictures():
        with torch.no_grad():
            pixels = transform(Image.fromarray(picture[0]))[None]
            features = network.forward_head(network.forward_features(pixels), pre_logits=True)
        (computed,) = extractor.compute_features([read_frames(extractor, picture)])
        assert computed.shape == (1, network.num_features)
        assert features.std() > 0.01
        np.testing.assert_allclose(computed, features.numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "model", ["test_vit", "test_resnet", "test_convnext", "regnety_002", "vit_tiny_patch16_224"]
)
def test_equals_timm(model: str) -> None:
    assert_equals_timm(model)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "model",
    [
        "regnety_160.deit_in1k", "swin_tiny_patch4_window7_224.ms_in1k", "convnext_tiny.fb_in1k",
        "vit_base_patch16_224.augreg2_in21k_ft_in1k", "eva02_large_patch14_clip_336.merged2b",
        "eva02_large_patch14_448.mim_m38m_ft_in22k_in1k",
    ],
)  # fmt: skip
def test_backbones_of_papers_equal_timm(model: str) -> None:
    assert_equals_timm(model)


@pytest.mark.parametrize(
    "model",
    [
        "regnety_160", "swin_tiny_patch4_window7_224", "convnext_tiny", "vit_base_patch16_224",
        "eva02_large_patch14_clip_336", "eva02_large_patch14_448", "convnext_tiny.fb_in22k",
    ],
)  # fmt: skip
@pytest.mark.parametrize("side", [(200, 320), (330, 210), (700, 700)])
def test_pictures_are_prepared_as_by_timm(model: str, side: tuple[int, int]) -> None:
    """Size, share of the picture, interpolation and squashing, as bytes."""
    with torch.device("meta"):
        network = image_net.build_backbone(model)
    config = timm.data.resolve_model_data_config(network) | {"mean": (0, 0, 0), "std": (1, 1, 1)}
    frames = np.random.default_rng(0).integers(0, 256, (1, *side, 3), dtype=np.uint8)
    expected = timm.data.create_transform(**config)(Image.fromarray(frames[0]))
    square = image_net.read_preprocessing(network, model).square
    computed = torch.from_numpy(square.resize(frames)[0]).permute(2, 0, 1).float() / 255
    assert torch.equal(computed, expected)


def test_names_are_those_of_timm() -> None:
    """Read from the source text, since importing timm takes seconds."""
    assert list_models("timm") == set(timm.list_models())
    unknown = [name for name in timm.list_pretrained() if not has_model("timm", name)]
    assert not unknown
    assert not has_model("timm", "convnext_tiny.fb_in2k")


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("model", "regnety_16", "did you mean 'regnety_1"),
        ("model", "swin_tiny_patch4_window7_224.ms", "did you mean 'swin_tiny_patch4_window7_224"),
        ("model", "hf-hub:timm/resnet50", "give a name that timm has"),
        ("model", 50, "give a name that timm has"),
        ("frames", 0, "a whole number of at least 1"),
        ("precision", "fp16", "fp32 or tf32 or bf16"),
    ],
)
def test_impossible_options(option: str, value: object, sentence: str) -> None:
    """Found without timm, before the first job."""
    with pytest.raises(UserError, match=rf"features.image.options.{option}.*{sentence}"):
        base.merge_options("image", {option: value})


def test_a_model_of_other_input_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    other = {"input_size": (3, 160, 200), "crop_mode": "center"}
    monkeypatch.setattr(image_net, "resolve_model_data_config", lambda _: other)
    with pytest.raises(UserError, match="'test_vit' reads 3 x 160 x 200 .* an RGB square"):
        build()


def test_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("timm wants to download")

    monkeypatch.setattr("timm.models._builder.load_pretrained", refuse)
    build(model="test_vit.r160_in1k")


def test_frames_are_one_per_second_or_evenly_spaced(video: Video) -> None:
    by_second, evenly = build().extract(video)["pooled"], build(frames=3).extract(video)["pooled"]
    assert by_second.shape == (2, 64)
    assert evenly.shape == (3, 64)
    extractor = build()
    for frame_indices, rows in (([0, 10], by_second), ([0, 7, 14], evenly)):
        frames = media.read_frames(video.path, frame_indices)
        (expected,) = extractor.compute_features([read_frames(extractor, frames)])
        np.testing.assert_array_equal(rows, expected.astype(np.float16))
    with pytest.raises(UnusableError, match=r"^broken: "):
        extractor.extract(Video("a", video.path, "0", 10.0, 99))


def test_a_checkpoint_is_loaded_whole_or_refused(tmp_path: Path, video: Video) -> None:
    """Also one in the layout of Swin's authors, whose buffers and names timm converts."""
    network = timm.create_model(TINY, pretrained=False)
    fill_weights(network, 3)
    path = tmp_path / "w.pth"
    torch.save({"model": network.state_dict()}, path)
    loaded = build(Weights("official", "0" * 64, path))
    seeded = build(Weights("random", "random:3", seed=3))
    np.testing.assert_array_equal(loaded.extract(video)["pooled"], seeded.extract(video)["pooled"])
    torch.save({f"backbone.{key}": tensor for key, tensor in network.state_dict().items()}, path)
    with pytest.raises(UserError, match=r"0 of \d+ keys match, \d+ missing .*, \d+ unexpected"):
        build(Weights("official", "0" * 64, path))
    with pytest.raises(UserError, match="keys match"):
        build(Weights("official", "0" * 64, path), model="test_resnet")


def test_the_authors_layout_is_converted() -> None:
    network = timm.create_model("swin_tiny_patch4_window7_224", pretrained=False, depths=(1,) * 4)
    fill_weights(network, 2)
    state = network.state_dict()
    authors = {
        key.replace("layers.1.downsample", "layers.0.downsample")
        .replace("layers.2.downsample", "layers.1.downsample")
        .replace("layers.3.downsample", "layers.2.downsample")
        .replace("head.fc.", "head."): tensor
        for key, tensor in state.items()
    } | {"layers.0.blocks.0.attn.relative_position_index": torch.zeros(49, 49, dtype=torch.long)}
    converted = image_net.convert_state(authors, network)
    assert set(converted) == set(state)
    assert all(torch.equal(converted[key], state[key]) for key in state)


def test_bf16_is_near() -> None:
    extractor, half = build(), build(precision="bf16")
    frames = read_frames(extractor, draw_moving_blocks(4, 64, 64))
    (exact,), (rounded,) = (e.compute_features([frames]) for e in (extractor, half))
    assert 1e-4 < np.abs(exact - rounded).mean() / exact.std() < 0.05


@pytest.mark.parametrize("batch", [1, 3, 20])
def test_rows_do_not_depend_on_the_pass_they_share(batch: int) -> None:
    single, mixed = build(frames=2), build(frames=2, batch=batch)
    pictures = np.random.default_rng(0).integers(0, 256, (3, 2, 64, 64, 3), dtype=np.uint8)
    items = [read_frames(single, frames) for frames in pictures]
    expected = list(single.compute_features(items))
    for index, rows in zip(
        [2, 0, 1], mixed.compute_features(items[i] for i in (2, 0, 1)), strict=True
    ):
        np.testing.assert_allclose(rows, expected[index], rtol=1e-5, atol=1e-5)


def test_numbers_that_float16_cannot_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = build()
    monkeypatch.setattr(extractor, "_forward", lambda parts: torch.full((len(parts), 64), 1e6))
    (row,) = extractor.score([read_frames(extractor, draw_moving_blocks(2, 64, 64))])
    assert str(row).startswith("not_finite: ")


def pinned() -> dict[str, Any]:
    """Some numbers of the whole path from frames to features."""
    parts = {}
    for model in (TINY, "test_resnet"):
        extractor = build(model=model)
        frames = read_frames(extractor, draw_moving_blocks(20, 96, 128)[::5])
        (row,) = extractor.score([frames])
        pooled = row["pooled"].astype(float)
        parts[model] = [pooled.std(), *pooled[0, :6], *pooled[3, :6]]
    rounded = {k: [float(f"{v:.6g}") for v in values] for k, values in parts.items()}
    return {"version": image.VERSION, **rounded}


def test_pinned_numbers() -> None:
    """A change of these numbers needs a new VERSION, which makes every cached row a miss."""
    expected, computed = json.loads(GOLDEN.read_text()), pinned()
    assert computed["version"] == expected["version"], "VERSION was raised: remake the numbers"
    message = "the numbers changed: raise VERSION, then remake the pinned numbers"
    for part in (TINY, "test_resnet"):
        assert computed[part] == pytest.approx(expected[part], rel=1e-3, abs=1e-4), message


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(pinned(), indent=1) + "\n")
