"""X-CLIP features against transformers called by hand.

Remake the pinned numbers after a bump of VERSION with
``PYTHONPATH=workflow/scripts:tests/support python tests/features/test_xclip.py``.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import open_clip
import pytest
import torch

from golden_weights import draw_video, fill_weights
from moving_blocks import draw_moving_blocks
from sfqa import media
from sfqa.errors import UserError
from sfqa.features import base, official, xclip_net
from sfqa.features.base import UnusableError, Video
from sfqa.features.extractors import xclip
from sfqa.features.frame_reader import KeyFrames
from sfqa.features.weights import Weights

GOLDEN = Path(__file__).parent / "golden" / "xclip.json"
RANDOM = Weights("random", "random:0")
PROMPT = "a marble statue sings opera"
TINY = xclip_net.XclipSize(8, 64, 16, 128, 2, 64, text_layers=2)


def build(weights: Weights = RANDOM, size: xclip_net.XclipSize = TINY, **options: Any) -> Any:
    """The extractor with a smaller network and, for random weights, those of the goldens."""
    with mock.patch.dict(xclip_net.MODELS, {"base-patch32": size}):
        extractor: Any = base.build_extractor("xclip", options, weights, "cpu")
    if weights.kind == "random":
        fill_weights(extractor.net, weights.seed)
        extractor.net.logit_scale.fill_(3.0)
    return extractor


def read_frames(extractor: Any, frames: media.Pixels, prompt: str | None = PROMPT) -> KeyFrames:
    """Frames and a prompt as the reader gives them."""
    return KeyFrames(extractor.reader.square.resize(frames), np.arange(len(frames)), prompt)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Video:
    path = tmp_path_factory.mktemp("xclip") / "a.mp4"
    media.write_video(path, draw_moving_blocks(21, 96, 128), 25.0)
    return Video("a", path, "0", fps=25.0, frames=21, prompt=PROMPT)


def assert_equals_transformers(size: xclip_net.XclipSize) -> None:
    """The published processor's preprocessing, both calls of the model, on three videos."""
    from transformers.models.videomae.image_processing_pil_videomae import (
        VideoMAEImageProcessorPil,
    )

    extractor = build(size=size)
    processor = VideoMAEImageProcessorPil(
        size={"shortest_edge": size.pixels}, crop_size={"height": size.pixels, "width": size.pixels},
        resample=2, image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225],
    )  # fmt: skip
    texts = [PROMPT, "a cat", "two people talk"]
    for seed, (sides, text) in enumerate(
        zip(((256, 256), (240, 320), (400, 300)), texts, strict=True)
    ):
        frames = draw_video(seed, size.frames, *sides)
        pixels = processor(list(frames), return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            expected = extractor.net.get_video_features(pixels).pooler_output[0]
            output = extractor.net(
                input_ids=open_clip.get_tokenizer("ViT-B-32")(texts), pixel_values=pixels
            )
        key_frames = read_frames(extractor, frames, text)
        ((_, computed, similarity),) = extractor.compute_features([key_frames])
        assert expected.std() > 0.01
        np.testing.assert_allclose(computed, expected.numpy(), rtol=1e-4, atol=1e-4)
        assert similarity == pytest.approx(float(output.logits_per_video[0, seed]), abs=1e-4)
        assert np.ptp(output.logits_per_video.numpy()) > 1e-3


def test_equals_transformers() -> None:
    assert_equals_transformers(TINY)


@pytest.mark.thorough
@pytest.mark.parametrize("model", ["base-patch32", "large-patch14-16-frames"])
def test_published_sizes_equal_transformers(model: str) -> None:
    assert_equals_transformers(xclip_net.MODELS[model])


@pytest.mark.parametrize("model", list(xclip_net.MODELS))
def test_sizes_are_those_of_the_official_code(model: str) -> None:
    """64 channels a head in every tower, and as many positions as frames and patches."""
    size = xclip_net.MODELS[model]
    with torch.device("meta"):
        config = xclip_net.build_model(size).config
    vision, text = config.vision_config, config.text_config
    for channels, heads in (
        (vision.hidden_size, vision.num_attention_heads),
        (vision.mit_hidden_size, vision.mit_num_attention_heads),
        (text.hidden_size, text.num_attention_heads),
        (config.projection_dim, config.prompt_num_attention_heads),
    ):
        assert channels == 64 * heads
    assert vision.num_frames == size.frames == (16 if "16-frames" in model else 8)
    assert model.startswith({512: "base", 768: "large"}[config.projection_dim])
    assert f"patch{vision.patch_size}" in model


def test_models_are_the_choices() -> None:
    assert base.merge_options("xclip", {"model": "large-patch14"})
    assert set(xclip.OPTIONS["model"].choices) == set(xclip_net.MODELS)  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="did you mean 'base-patch32'"):
        base.merge_options("xclip", {"model": "base-patch-32"})
    entries = official.load_registry()
    for model in ("base-patch32", "large-patch14-16-frames"):
        assert official.find_official_file(entries, "xclip", {"model": model}).hub


def test_frames_are_the_centres_of_equal_parts(video: Video) -> None:
    extractor = build()
    row = extractor.extract(video)
    frames = media.read_frames(video.path, [1, 3, 6, 9, 11, 14, 17, 19])
    ((_, embedding, similarity),) = extractor.compute_features([read_frames(extractor, frames)])
    np.testing.assert_array_equal(row["video"], embedding[None].astype(np.float16))
    assert row["score"] == similarity
    assert row["video"].shape == (1, 64)
    assert set(row) == {"video", "score"}
    with pytest.raises(UnusableError, match=r"^broken: "):
        extractor.extract(replace(video, frames=99))


@pytest.mark.parametrize("prompt", [None, "", " \n"])
def test_without_a_prompt_there_is_no_score(video: Video, prompt: str | None) -> None:
    extractor = build()
    row = extractor.extract(replace(video, prompt=prompt))
    assert row["score"] is None
    np.testing.assert_array_equal(row["video"], extractor.extract(video)["video"])


def test_a_long_prompt_is_cut_and_says_so() -> None:
    extractor = build()
    frames = draw_moving_blocks(8, 64, 64)
    full, cut = extractor.score(read_frames(extractor, frames, "cat " * n) for n in (75, 76))
    assert "detail" not in full
    assert cut["detail"] == "prompt_cut: the prompt has 78 tokens, X-CLIP reads 77"


def test_a_checkpoint_is_loaded_whole_or_refused(tmp_path: Path, video: Video) -> None:
    """The published files hold position_ids, which are not weights."""
    seeded = build(Weights("random", "random:4", seed=4))
    state = seeded.net.state_dict()
    path = tmp_path / "pytorch_model.bin"
    torch.save({**state, "text_model.embeddings.position_ids": torch.arange(77)[None]}, path)
    loaded = build(Weights("official", "0" * 64, path))
    assert loaded.extract(video)["score"] == seeded.extract(video)["score"]
    with pytest.raises(UserError, match=r"\d+ of \d+ keys match"):
        build(Weights("official", "0" * 64, path), replace(TINY, text_layers=3))
    torch.save({f"model.{key}": tensor for key, tensor in state.items()}, path)
    with pytest.raises(UserError, match=r"0 of \d+ keys match"):
        build(Weights("official", "0" * 64, path))


def test_bf16_is_near() -> None:
    extractor, half = build(), build(precision="bf16")
    frames = read_frames(extractor, draw_moving_blocks(8, 64, 64))
    ((_, exact, _),), ((_, rounded, _),) = (e.compute_features([frames]) for e in (extractor, half))
    assert 1e-4 < np.abs(exact - rounded).mean() / exact.std() < 0.05


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_rows_do_not_depend_on_the_pass_they_share(batch: int) -> None:
    single, mixed = build(), build(batch=batch)
    videos = np.random.default_rng(0).integers(0, 256, (3, 8, 64, 64, 3), dtype=np.uint8)
    prompts = [PROMPT, None, "a dog"]
    items = [read_frames(single, v, prompt) for v, prompt in zip(videos, prompts, strict=True)]
    expected = list(single.compute_features(items))
    computed = mixed.compute_features(items[i] for i in (2, 0, 1))
    for index, (_, embedding, similarity) in zip((2, 0, 1), computed, strict=True):
        np.testing.assert_allclose(embedding, expected[index][1], rtol=1e-5, atol=1e-5)
        assert similarity == pytest.approx(expected[index][2], abs=1e-4)


def test_numbers_that_float16_cannot_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = build()
    monkeypatch.setattr(extractor, "_forward", lambda parts: torch.full((len(parts), 65), 1e6))
    (row,) = extractor.score([read_frames(extractor, draw_moving_blocks(8, 64, 64))])
    assert str(row).startswith("not_finite: ")


def pinned() -> dict[str, Any]:
    """Some numbers of the whole path from frames and prompt to features."""
    extractor = build()
    (row,) = extractor.score([read_frames(extractor, draw_moving_blocks(40, 96, 128)[::5])])
    numbers = row["video"].astype(float)[0]
    parts = {"video": [numbers.std(), *numbers[:12]], "score": [row["score"]]}
    rounded = {k: [float(f"{v:.6g}") for v in values] for k, values in parts.items()}
    return {"version": xclip.VERSION, **rounded}


def test_pinned_numbers() -> None:
    """A change of these numbers needs a new VERSION, which makes every cached row a miss."""
    expected, computed = json.loads(GOLDEN.read_text()), pinned()
    assert computed["version"] == expected["version"], "VERSION was raised: remake the numbers"
    message = "the numbers changed: raise VERSION, then remake the pinned numbers"
    for part in ("video", "score"):
        assert computed[part] == pytest.approx(expected[part], rel=1e-3, abs=1e-4), message


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(pinned(), indent=1) + "\n")
