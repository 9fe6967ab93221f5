"""Five-level scores by image-text towers against open_clip called by hand.

Remake the pinned numbers after a bump of VERSION with
``PYTHONPATH=workflow/scripts:tests/support python tests/features/test_siglip.py``.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from golden_weights import draw_video, fill_weights
from moving_blocks import draw_moving_blocks
from sfqa import media
from sfqa.errors import UserError
from sfqa.features import base, image_text_net, official
from sfqa.features.base import UnusableError, Video
from sfqa.features.extractors import siglip
from sfqa.features.frame_reader import KeyFrames
from sfqa.features.weights import Weights

GOLDEN = Path(__file__).parent / "golden" / "siglip.json"
RANDOM = Weights("random", "random:0")
WORDS = ["bad", "poor", "fair", "good", "perfect", "excellent", "a", "photo", "with", "quality"]
LEVELS = [f"a photo with {word} quality." for word in ("bad", "poor", "fair", "good", "perfect")]


def add_models() -> None:
    """Small architectures: one as SigLIP, one as CLIP."""
    folder = Path(tempfile.mkdtemp())
    vision = {"image_size": 64, "layers": 2, "width": 64, "head_width": 16, "patch_size": 16}
    text = {"width": 32, "heads": 2, "layers": 2}
    siglip_text = {
        **text, "context_length": 64, "vocab_size": 100, "hf_tokenizer_name": "none/none",
        "tokenizer_kwargs": {"clean": "canonicalize"}, "no_causal_mask": True, "proj_bias": True,
        "pool_type": "last",
    }  # fmt: skip
    clip_text = {**text, "context_length": 77, "vocab_size": 49408}
    for name, config in (("tiny-siglip", siglip_text), ("tiny-clip", clip_text)):
        content: dict[str, Any] = {"embed_dim": 24, "vision_cfg": vision, "text_cfg": config}
        if name == "tiny-siglip":
            content |= {"custom_text": True, "init_logit_bias": -10}
        (folder / f"{name}.json").write_text(json.dumps(content))
        open_clip.add_model_config(folder / f"{name}.json")


add_models()


def build(weights: Weights = RANDOM, model: str = "tiny-siglip", **options: Any) -> Any:
    return base.build_extractor("siglip", {"model": model, **options}, weights, "cpu")


def read_frames(extractor: Any, frames: media.Pixels) -> KeyFrames:
    """Frames as the reader gives them."""
    return KeyFrames(extractor.reader.square.resize(frames), np.arange(len(frames)), None)


def score(extractor: Any, frames: media.Pixels) -> dict[str, Any]:
    (row,) = extractor.score([read_frames(extractor, frames)])
    assert isinstance(row, dict)
    return row


def draw_pictures() -> list[media.Pixels]:
    """Three pictures: square, wide and tall."""
    return [draw_video(0, 1, 96, 96), draw_video(1, 1, 90, 160), draw_video(2, 1, 150, 100)]


def save_tokenizer(folder: Path, end: str = "</s>") -> Path:
    """Save a small tokenizer.json, and beside it what open_clip's own class needs to read it."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    ids = {"<pad>": 0, end: 1, "<unk>": 2} | {word: n for n, word in enumerate(WORDS, 5)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {end}", special_tokens=[(end, 1)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    padding = end if end == "</s>" else "<pad>"
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": end, "pad_token": padding,
        "unk_token": "<unk>",
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder / "tokenizer.json"


def save_weights(folder: Path, model: str, seed: int = 0) -> Any:
    """Save seeded weights of a model, and return it in evaluation mode."""
    network = open_clip.create_model(model).eval()
    fill_weights(network, seed)
    network.logit_scale.data.fill_(3.0)
    torch.save(network.state_dict(), folder / "w.pt")
    return network


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Video:
    path = tmp_path_factory.mktemp("siglip") / "a.mp4"
    media.write_video(path, draw_moving_blocks(21, 96, 128), 25.0)
    return Video("a", path, "0", fps=25.0, frames=21)


@pytest.mark.parametrize("end", ["</s>", "<eos>"])
def test_equals_open_clip(tmp_path: Path, end: str) -> None:
    """The whole path: its transform, its tokenizer on the same file, its network, a softmax."""
    network = save_weights(tmp_path, "tiny-siglip")
    tokenizer_file = save_tokenizer(tmp_path, end)
    parts = {"tokenizer": Weights("official", "1" * 64, tokenizer_file)}
    extractor = build(Weights("official", "0" * 64, tmp_path / "w.pt", parts=parts))
    tokens = open_clip.tokenizer.HFTokenizer(str(tmp_path), 64, clean="canonicalize")(LEVELS)
    assert torch.equal(image_text_net.tokenize("tiny-siglip", LEVELS, tokenizer_file), tokens)
    assert len(set(tokens[:, 3].tolist())) == 5
    transform = open_clip.create_model_and_transforms("tiny-siglip")[2]
    pictures = draw_pictures()
    with torch.no_grad():
        pixels = torch.stack([transform(Image.fromarray(picture[0])) for picture in pictures])
        image, text, scale, bias = network(pixels, tokens)
        logits = scale * image @ text.T + bias
        embeddings = network.encode_image(pixels)
    levels = logits.softmax(1).numpy()
    assert np.ptp(levels, axis=1).min() > 0.02
    rows = [score(extractor, picture) for picture in pictures]
    for index, row in enumerate(rows):
        np.testing.assert_allclose(row["levels"][0], levels[index], atol=1e-4)
        assert row["score"] == pytest.approx(float(levels[index] @ [1, 2, 3, 4, 5]), abs=1e-4)
    computed = extractor.compute_embeddings([read_frames(extractor, p) for p in pictures])
    np.testing.assert_allclose(
        np.concatenate(list(computed)), embeddings.numpy(), rtol=1e-4, atol=1e-4
    )


def test_a_clip_model_reads_open_clips_tokenizer(tmp_path: Path) -> None:
    network = save_weights(tmp_path, "tiny-clip")
    weights = Weights("official", "0" * 64, tmp_path / "w.pt")
    extractor = build(weights, "tiny-clip", tokenizer="open_clip", best="excellent")
    texts = [*LEVELS[:4], "a photo with excellent quality."]
    transform = open_clip.create_model_and_transforms("tiny-clip")[2]
    picture = draw_pictures()[1]
    with torch.no_grad():
        image, text, scale = network(
            transform(Image.fromarray(picture[0]))[None], open_clip.get_tokenizer("ViT-B-32")(texts)
        )
        levels = (scale * image @ text.T).softmax(1).numpy()
    np.testing.assert_allclose(score(extractor, picture)["levels"], levels, atol=1e-4)


@pytest.mark.parametrize(
    "model",
    ["ViT-B-16-SigLIP-512", "ViT-SO400M-14-SigLIP2-378", "ViT-B-32", "ViT-L-14-CLIPA-336"],
)
@pytest.mark.parametrize("side", [(200, 320), (330, 210), (700, 700)])
def test_pictures_are_prepared_as_by_open_clip(model: str, side: tuple[int, int]) -> None:
    """As for the published weights, which differs from the defaults: SigLIP squashes pictures."""
    size = open_clip.get_model_config(model)["vision_cfg"]["image_size"]
    (tag, *_) = open_clip.list_pretrained_tags_by_model(model)
    stated = open_clip.get_pretrained_cfg(model, tag)
    keys = ("mean", "std", "interpolation", "resize_mode")
    config = open_clip.transform.PreprocessCfg(size, **{key: stated[key] for key in keys})
    transform = open_clip.transform.image_transform_v2(config, is_train=False)
    frames = np.random.default_rng(0).integers(0, 256, (1, *side, 3), dtype=np.uint8)
    preprocessing = image_text_net.read_preprocessing(model, size)
    pixels = torch.from_numpy(preprocessing.square.resize(frames)[0]).permute(2, 0, 1).float() / 255
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (preprocessing.mean, preprocessing.std))
    assert torch.equal((pixels - mean) / std, transform(Image.fromarray(frames[0])))


def test_models_whose_weights_disagree_are_refused() -> None:
    with pytest.raises(UserError, match="weights of 'ViT-L-14' need different preprocessing"):
        image_text_net.read_preprocessing("ViT-L-14", 224)


def test_a_row_has_the_mean_score(video: Video) -> None:
    extractor = build(frames=3)
    row = extractor.extract(video)
    assert set(row) == {"image", "levels", "score"}
    assert row["image"].shape == (3, 24)
    assert row["levels"].shape == (3, 5)
    np.testing.assert_allclose(row["levels"].sum(1), 1, atol=1e-6)
    assert row["score"] == pytest.approx((row["levels"] @ np.arange(1, 6)).mean(), abs=1e-6)
    single = score(extractor, media.read_frames(video.path, [0, 7, 14]))
    assert single["score"] == row["score"]
    with pytest.raises(UnusableError, match=r"^broken: "):
        extractor.extract(replace(video, frames=99))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"model": "ViT-B-16-SigLIP-521"}, "did you mean 'ViT-B-16-SigLIP-512'?"),
        ({"best": "great"}, "perfect or excellent"),
        ({"model": "tiny-clip"}, "'tiny-clip' needs 'open_clip', since open_clip carries"),
        ({"tokenizer": "open_clip"}, "'tiny-siglip' needs 'file', since open_clip would download"),
        ({"model": "xlm-roberta-base-ViT-B-32"}, "the text tower of .* is not in open_clip"),
    ],
)
def test_impossible_options(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=rf"features.siglip.options.*{sentence}"):
        build(**options)


@pytest.mark.parametrize("content", ["", "{}", None])
def test_another_tokenizer_is_refused(tmp_path: Path, content: str | None) -> None:
    path = save_tokenizer(tmp_path, "[SEP]")
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=r"tokenizer\.json: .*; give the"):
        image_text_net.tokenize("tiny-siglip", LEVELS, path)


def test_a_tokenizer_of_another_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SigLIP's tokenizer of 32,000 tokens is not that of SigLIP2, which has 256,000."""
    config = {"vocab_size": 256_000, "context_length": 64}
    monkeypatch.setattr(image_text_net, "_read_text_config", lambda name: config)
    with pytest.raises(UserError, match=r"expected about 256000 .*; give the model's tokenizer"):
        image_text_net.tokenize("ViT-B-16-SigLIP2", LEVELS, save_tokenizer(tmp_path))


def test_official_files_have_a_tokenizer() -> None:
    entries = official.load_registry()
    for model in ("ViT-B-16-SigLIP-512", "ViT-SO400M-14-SigLIP2-378"):
        spec = {"weights": "official", "options": {"model": model}}
        files = official.find_official_files(entries, "siglip", spec)
        assert set(files) == {"", "tokenizer"}
        assert all(entry.hub == f"timm/{model}" for entry in files.values())


def test_bf16_is_near() -> None:
    pictures = draw_moving_blocks(4, 64, 64)
    exact, half = score(build(), pictures), score(build(precision="bf16"), pictures)
    a, b = exact["image"].astype(float), half["image"].astype(float)
    assert 1e-4 < np.abs(a - b).mean() / a.std() < 0.05


@pytest.mark.parametrize("batch", [1, 3, 20])
def test_rows_do_not_depend_on_the_pass_they_share(batch: int) -> None:
    single, mixed = build(frames=2), build(frames=2, batch=batch)
    pictures = np.random.default_rng(0).integers(0, 256, (3, 2, 64, 64, 3), dtype=np.uint8)
    items = [read_frames(single, frames) for frames in pictures]
    expected = list(single.compute_embeddings(items))
    computed = mixed.compute_embeddings(items[i] for i in (2, 0, 1))
    for index, rows in zip((2, 0, 1), computed, strict=True):
        np.testing.assert_allclose(rows, expected[index], rtol=1e-5, atol=1e-6)


def test_numbers_that_float16_cannot_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = build()
    monkeypatch.setattr(extractor, "_forward", lambda parts: torch.full((len(parts), 24), 1e6))
    (row,) = extractor.score([read_frames(extractor, draw_moving_blocks(2, 64, 64))])
    assert str(row).startswith("not_finite: ")


def pinned() -> dict[str, Any]:
    """Some numbers of the whole path from frames to scores."""
    with tempfile.TemporaryDirectory() as folder:
        save_weights(Path(folder), "tiny-siglip", 1)
        parts = {"tokenizer": Weights("official", "1" * 64, save_tokenizer(Path(folder)))}
        extractor = build(Weights("official", "0" * 64, Path(folder) / "w.pt", parts=parts))
    row = score(extractor, draw_moving_blocks(20, 96, 128)[::5])
    image, levels = row["image"].astype(float), row["levels"].astype(float)
    numbers = {
        "image": [image.std(), *image[0, :4], *image[3, :4]],
        "levels": [*levels[0], *levels[3]],
        "score": [row["score"]],
    }
    rounded = {k: [float(f"{v:.6g}") for v in values] for k, values in numbers.items()}
    return {"version": siglip.VERSION, **rounded}


def test_pinned_numbers() -> None:
    """A change of these numbers needs a new VERSION, which makes every cached row a miss."""
    expected, computed = json.loads(GOLDEN.read_text()), pinned()
    assert computed["version"] == expected["version"], "VERSION was raised: remake the numbers"
    message = "the numbers changed: raise VERSION, then remake the pinned numbers"
    for part in ("image", "levels", "score"):
        assert computed[part] == pytest.approx(expected[part], rel=1e-3, abs=1e-4), message


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(pinned(), indent=1) + "\n")
