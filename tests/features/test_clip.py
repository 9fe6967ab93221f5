"""CLIP features against open_clip called by hand, and pinned numbers.

Remake the pinned numbers after a bump of VERSION with
``PYTHONPATH=workflow/scripts:tests/support python tests/features/test_clip.py``.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from moving_blocks import draw_moving_blocks
from sfqa import media
from sfqa.errors import UserError
from sfqa.features import base
from sfqa.features.base import UnusableError, Video
from sfqa.features.extractors import clip
from sfqa.features.frame_reader import Square
from sfqa.features.weights import Weights

GOLDEN = Path(__file__).parent / "golden" / "clip.json"
RANDOM = Weights("random", "random:0")
PROMPT = "a marble statue sings opera"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small architecture of the same kind, so that tests need not build 151 million numbers."""
    path = tmp_path_factory.mktemp("clip") / "sfqa-tiny.json"
    vision = {"image_size": 64, "layers": 2, "width": 64, "head_width": 16, "patch_size": 16}
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    path.write_text(json.dumps({"embed_dim": 24, "vision_cfg": vision, "text_cfg": text}))
    open_clip.add_model_config(path)
    return path.stem


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Video:
    path = tmp_path_factory.mktemp("clip") / "a.mp4"
    media.write_video(path, draw_moving_blocks(21, 96, 128), 25.0)
    return Video("a", path, "0", fps=25.0, frames=21, prompt=PROMPT)


@pytest.fixture(scope="module")
def standard() -> clip.Extractor:
    """The default extractor: ViT-B-32, random weights of seed 0."""
    return base.build_extractor("clip", {}, RANDOM, "cpu")


def seen(extractor: clip.Extractor, frames: media.Pixels, prompt: str | None) -> clip.KeyFrames:
    """Frames and a prompt as the reader would give them."""
    square = extractor.reader.square
    return clip.KeyFrames(square.resize(frames), np.arange(len(frames)), prompt)


def embed(extractor: clip.Extractor, frames: media.Pixels, prompt: str | None) -> dict[str, Any]:
    (row,) = extractor.score([seen(extractor, frames, prompt)])
    assert isinstance(row, dict)
    return row


def by_hand(name: str, state: dict[str, Any] | None, frames: media.Pixels) -> tuple[Any, Any]:
    """Embeddings by open_clip alone, with the weights of seed 0 or the given ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, _, transform = open_clip.create_model_and_transforms(name)
    if state is not None:
        model.load_state_dict(state)
    model.eval()
    with torch.no_grad():
        image = model.encode_image(torch.stack([transform(Image.fromarray(f)) for f in frames]))
        text = model.encode_text(open_clip.get_tokenizer(name)([PROMPT]))
    return image, text


def test_open_clip_by_hand(standard: clip.Extractor, video: Video) -> None:
    frames = media.read_frames(video.path)[[0, 2, 5, 7, 10, 13, 15, 18]]
    image, text = by_hand("ViT-B-32", None, frames)
    assert image.std() > 0.1
    ((exact, spoken, _),) = standard.compute_embeddings([seen(standard, frames, PROMPT)])
    np.testing.assert_allclose(exact, image.numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(spoken, text[0].numpy(), rtol=1e-5, atol=1e-5)

    row = standard.extract(video)
    assert set(row) == {"image", "text", "cosine"}
    np.testing.assert_array_equal(row["image"], exact.astype(np.float16))
    assert row["image"].shape == (8, 512)
    assert row["text"].shape == (1, 512)
    assert row["text"].dtype == np.float16
    wanted = torch.nn.functional.cosine_similarity(image.double(), text.double()).mean()
    assert row["cosine"] == pytest.approx(float(wanted), abs=1e-6)

    made = [{"sample_id": "a", "cache_key": "k", "status": "ok", "detail": "", **row}]
    table = base.build_table(clip.Extractor.FEATURES, made)
    back = base.read_tensor(table["image"], table.schema.field("image"), 0)
    np.testing.assert_array_equal(back, row["image"].astype(np.float32))


def test_a_checkpoint_is_loaded(tiny: str, video: Video, tmp_path: Path) -> None:
    """As open_clip saves them: under state_dict, with the prefix of parallel training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        state = open_clip.create_model(tiny).state_dict()
    torch.save(
        {"epoch": 32, "state_dict": {f"module.{k}": v for k, v in state.items()}},
        tmp_path / "w.pt",
    )
    weights = Weights("official", "0" * 64, tmp_path / "w.pt")
    row = base.build_extractor("clip", {"model": tiny, "frames": 3}, weights, "cpu").extract(video)
    image, text = by_hand(tiny, state, media.read_frames(video.path, [0, 7, 14]))
    np.testing.assert_allclose(row["image"], image.numpy(), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(row["text"], text.numpy(), rtol=1e-3, atol=1e-4)
    assert not np.allclose(row["image"], by_hand(tiny, None, media.read_frames(video.path))[0][:3])
    with pytest.raises(UserError, match="do not fit"):
        base.build_extractor("clip", {"model": "ViT-S-32-alt"}, weights, "cpu")


@pytest.mark.parametrize(("height", "width"), [(96, 128), (128, 96), (64, 64), (77, 200)])
def test_shrink_is_open_clips(height: int, width: int) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    _, _, transform = open_clip.create_model_and_transforms("ViT-S-32-alt")
    size = transform.transforms[0].size
    wanted = torch.stack([transform(Image.fromarray(f)) for f in frames])
    mean, std = (torch.tensor(getattr(transform.transforms[-1], k)) for k in ("mean", "std"))
    got = torch.from_numpy(Square(size).resize(frames)).permute(0, 3, 1, 2).float() / 255
    assert torch.equal((got - mean.view(3, 1, 1)) / std.view(3, 1, 1), wanted)


@pytest.mark.parametrize("prompt", [None, "", "  \n"])
def test_without_a_prompt(tiny: str, video: Video, prompt: str | None) -> None:
    extractor = base.build_extractor("clip", {"model": tiny}, RANDOM, "cpu")
    row = extractor.extract(Video("a", video.path, "0", 25.0, 21, prompt=prompt))
    assert row["image"].shape == (8, 24)
    assert row["text"] is None
    assert row["cosine"] is None
    assert "detail" not in row


def test_a_prompt_too_long_is_said(tiny: str) -> None:
    extractor = base.build_extractor("clip", {"model": tiny}, RANDOM, "cpu")
    frame = draw_moving_blocks(1, 64, 64)
    assert "detail" not in embed(extractor, frame, "cat " * 75)
    row = embed(extractor, frame, "cat " * 76)
    assert row["detail"] == "prompt_cut: the prompt has 78 tokens, CLIP reads 77"
    np.testing.assert_array_equal(row["text"], embed(extractor, frame, "cat " * 75)["text"])


def test_bf16_is_near(tiny: str) -> None:
    frames = draw_moving_blocks(4, 64, 64)
    exact = embed(base.build_extractor("clip", {"model": tiny}, RANDOM, "cpu"), frames, PROMPT)
    half = embed(
        base.build_extractor("clip", {"model": tiny, "precision": "bf16"}, RANDOM, "cpu"),
        frames,
        PROMPT,
    )
    for name in ("image", "text"):
        a, b = exact[name].astype(float), half[name].astype(float)
        assert 1e-4 < np.abs(a - b).mean() / a.std() < 0.05


def test_the_same_again(tiny: str, video: Video) -> None:
    rows = [
        base.build_extractor("clip", {"model": tiny}, RANDOM, "cpu").extract(video)
        for _ in range(2)
    ]
    other = base.build_extractor(
        "clip", {"model": tiny}, Weights("random", "random:1", seed=1), "cpu"
    )
    for name in ("image", "text"):
        np.testing.assert_array_equal(rows[0][name], rows[1][name])
        assert not np.array_equal(rows[0][name], other.extract(video)[name])
    assert rows[0]["cosine"] == rows[1]["cosine"]


def test_a_video_of_few_frames(tiny: str, tmp_path: Path) -> None:
    media.write_video(tmp_path / "b.mp4", draw_moving_blocks(3, 64, 64), 25.0)
    extractor = base.build_extractor("clip", {"model": tiny}, RANDOM, "cpu")
    image = extractor.extract(Video("b", tmp_path / "b.mp4", "0", 25.0, 3))["image"]
    assert image.shape == (8, 24)
    assert [int(np.abs(image - row).sum(1).argmin()) for row in image] == [0, 0, 0, 3, 3, 3, 6, 6]


def test_unusable_videos(tiny: str, video: Video, tmp_path: Path) -> None:
    extractor = base.build_extractor("clip", {"model": tiny}, RANDOM, "cpu")
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(b"no video" * 99)
    for bad in (
        Video("a", video.path, "0", 25.0, 0),
        Video("a", video.path, "0", 25.0, 99),
        Video("a", noise, "0", 25.0, 21),
    ):
        with pytest.raises(UnusableError, match=r"^broken: ") as caught:
            extractor.extract(bad)
        assert str(tmp_path) not in str(caught.value)


def test_numbers_that_float16_cannot_hold(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = base.build_extractor("clip", {"model": tiny}, RANDOM, "cpu")
    monkeypatch.setattr(extractor.model, "encode_image", lambda x: torch.full((len(x), 24), 1e6))
    (row,) = extractor.score([seen(extractor, draw_moving_blocks(2, 64, 64), None)])
    assert isinstance(row, UnusableError)
    assert str(row).startswith("not_finite: ")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("model", "ViT-B-23"),
        ("model", "hf-hub:laion/CLIP-ViT-B-32-laion2B-s34B-b79K"),
        ("model", "ViT-B-16-SigLIP"),
        ("frames", 0),
        ("precision", "fp16"),
        ("batch", 0),
    ],
)
def test_impossible_options(option: str, value: object) -> None:
    with pytest.raises(UserError, match=rf"features.clip.options.{option}"):
        base.build_extractor("clip", {option: value}, RANDOM, "cpu")


def test_no_false_word_of_random_weights(tiny: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        base.build_extractor("clip", {"model": tiny}, RANDOM, "cpu")
        assert logging.getLogger().level == logging.WARNING
    assert not caplog.records


@pytest.mark.parametrize("batch", [1, 3, 20])
def test_rows_do_not_depend_on_the_pass_they_share(tiny: str, batch: int) -> None:
    single = base.build_extractor("clip", {"model": tiny, "frames": 4}, RANDOM, "cpu")
    frames = np.random.default_rng(0).integers(0, 256, (5, 4, 64, 64, 3), dtype=np.uint8)
    prompts = [PROMPT, None, "a cat", "a dog", " "]
    items = [seen(single, f, p) for f, p in zip(frames, prompts, strict=True)]
    wanted = list(single.compute_embeddings(items))
    mixed = base.build_extractor(
        "clip", {"model": tiny, "frames": 4, "batch": batch}, RANDOM, "cpu"
    )
    for order in ([0, 1, 2, 3, 4], [3, 1, 4, 0, 2]):
        for place, (image, text, prompt) in zip(
            order, mixed.compute_embeddings(items[i] for i in order), strict=True
        ):
            assert prompt == prompts[place]
            assert (text is None) == (wanted[place][1] is None)
            assert np.linalg.norm(image - wanted[place][0]) <= 1e-6 * np.linalg.norm(image)
            if text is not None:
                assert np.linalg.norm(text - wanted[place][1]) <= 1e-6 * np.linalg.norm(text)


def pinned(extractor: clip.Extractor) -> dict[str, Any]:
    """Some numbers of the whole path from frames and prompt to features."""
    made = embed(extractor, draw_moving_blocks(20, 96, 128)[::5], PROMPT)
    image, text = made["image"].astype(float), made["text"].astype(float)
    parts = {
        "image": [image.std(), np.linalg.norm(image, axis=1).mean(), *image[0, :4], *image[3, :4]],
        "text": [text.std(), np.linalg.norm(text), *text[0, :4]],
        "cosine": [made["cosine"]],
    }
    rounded = {k: [float(f"{v:.6g}") for v in values] for k, values in parts.items()}
    return {"version": clip.VERSION, **rounded}


def test_pinned_numbers(standard: clip.Extractor) -> None:
    """A change of these numbers needs a new VERSION, which makes every cached row a miss."""
    wanted, got = json.loads(GOLDEN.read_text()), pinned(standard)
    assert got["version"] == wanted["version"], "VERSION was raised: remake the pinned numbers"
    message = "the numbers changed: raise VERSION, then remake the pinned numbers"
    for part in ("image", "text", "cosine"):
        assert got[part] == pytest.approx(wanted[part], rel=1e-3, abs=1e-5), message


if __name__ == "__main__":
    GOLDEN.write_text(
        json.dumps(pinned(base.build_extractor("clip", {}, RANDOM, "cpu")), indent=1) + "\n"
    )
