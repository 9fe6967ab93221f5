"""ImageReward's BLIP against numbers of the official code and against transformers' own class.

Remake the pinned numbers after a bump of VERSION with
``PYTHONPATH=workflow/scripts:tests/support python tests/features/test_blip.py``.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

from golden_weights import draw_video, fill_weights
from moving_blocks import draw_moving_blocks
from sfqa import media
from sfqa.errors import UserError
from sfqa.features import base, blip_net, text_tokens
from sfqa.features.base import UnusableError, Video
from sfqa.features.extractors import blip
from sfqa.features.frame_reader import KeyFrames, Square
from sfqa.features.weights import Weights, resolve_weights
from sfqa.identity import sha256_file

GOLDEN = Path(__file__).parent / "golden" / "blip.json"
OFFICIAL: dict[str, Any] = json.loads((GOLDEN.parent / "imagereward.json").read_text())
RANDOM = Weights("random", "random:0")
PROMPT: str = OFFICIAL["prompt"]
TINY = blip_net.BlipSize(
    image_layers=2, image_channels=32, image_heads=2, text_layers=2, text_channels=24, text_heads=2
)


def build(weights: Weights = RANDOM, size: blip_net.BlipSize = TINY, **options: Any) -> Any:
    """The extractor with a smaller network, so that tests need not build 447 million numbers.

    Random weights are those of the goldens: with the libraries' small ones the pictures hardly
    change the text's features.
    """
    with mock.patch.object(blip_net, "IMAGE_REWARD", size):
        extractor: Any = base.build_extractor("blip", options, weights, "cpu")
    if weights.kind == "random":
        fill_weights(extractor.net, weights.seed)
    return extractor


def read_frames(frames: media.Pixels, prompt: str | None = PROMPT) -> KeyFrames:
    """Frames and a prompt as the reader gives them."""
    return KeyFrames(Square(224).resize(frames), np.arange(len(frames)), prompt)


def draw_pictures() -> list[media.Pixels]:
    """The three pictures of the golden; the last one is wide."""
    square = draw_video(0, 26, 512, 512)
    return [square[:1], square[25:], draw_video(0, 1, 360, 640)]


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vocabulary in which the words of the golden's prompt have the ids of bert-base-uncased."""
    words = [f"[unused{number}]" for number in range(30522)]
    words[0], words[100], words[101], words[102] = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
    for word, number in zip(PROMPT.split(), OFFICIAL["input_ids"][1:], strict=False):
        words[number] = word
    path = tmp_path_factory.mktemp("blip") / "vocab.txt"
    path.write_text("\n".join(words) + "\n")
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Video:
    path = tmp_path_factory.mktemp("blip") / "a.mp4"
    media.write_video(path, draw_moving_blocks(21, 96, 128), 25.0)
    return Video("a", path, "0", fps=25.0, frames=21, prompt=PROMPT)


def assert_golden(name: str, values: torch.Tensor, atol: float = 2e-5) -> None:
    expected = OFFICIAL[name]
    assert list(values.shape) == expected["shape"]
    points = values.flatten()[expected["at"]].numpy()
    np.testing.assert_allclose(points, expected["values"], atol=atol)
    assert float(values.mean()) == pytest.approx(expected["mean"], abs=atol)
    assert float(values.std(correction=0)) == pytest.approx(expected["std"], abs=atol)


def test_keys_are_those_of_the_official_checkpoint() -> None:
    with torch.device("meta"):
        state = blip_net.ImageReward().state_dict()
    lines = [f"{key} {'x'.join(map(str, tensor.shape))}" for key, tensor in state.items()]
    assert len(lines) == OFFICIAL["keys"] == 624
    digest = hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
    assert digest == OFFICIAL["keys_sha256"]


def test_prompt_and_pictures_become_the_official_input(vocabulary: Path) -> None:
    extractor = build()
    extractor.tokenizer = text_tokens.BertTokenizer(vocabulary)
    ids, mask = extractor.encode_prompt(f"  {PROMPT.upper()}\n")
    assert ids.tolist() == OFFICIAL["input_ids"]
    assert mask.tolist() == OFFICIAL["attention_mask"]
    squares = np.concatenate([Square(224).resize(picture) for picture in draw_pictures()])
    pixels = torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 255
    assert_golden("model_input", (pixels - extractor.mean) / extractor.std, 1e-6)


def test_first_layers_equal_the_official_ones() -> None:
    """At full width and a depth of one layer; the whole network runs in the thorough tests."""
    size = replace(blip_net.IMAGE_REWARD, image_layers=1, text_layers=1)
    extractor = build(size=size)
    towers = extractor.net.blip
    squares = np.concatenate([Square(224).resize(picture) for picture in draw_pictures()])
    pixels = torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        tower = towers.visual_encoder
        patches = tower.patch_embed((pixels - extractor.mean) / extractor.std)
        assert_golden("patch_embed", patches)
        assert_golden("block_0", tower.blocks[0](tower._pos_embed(patches)))
        embeddings = towers.text_encoder.embeddings(torch.tensor([OFFICIAL["input_ids"]]))
        assert_golden("text_embeddings", embeddings)


def test_the_reward_is_the_official_affine_map() -> None:
    network = blip_net.ImageReward(replace(TINY, text_channels=768, text_heads=12))
    fill_weights(network.mlp, prefix="mlp.")
    with (
        torch.inference_mode(),
        mock.patch.object(network.blip, "forward", return_value=torch.zeros(1, 768)),
    ):
        _, reward = network.eval()(None, None, None)
    assert float(reward) == pytest.approx(OFFICIAL["reward_of_zero_vector"], abs=1e-6)


@pytest.mark.thorough
def test_the_whole_network_equals_the_official_one(vocabulary: Path) -> None:
    extractor = build(size=blip_net.IMAGE_REWARD)
    extractor.tokenizer = text_tokens.BertTokenizer(vocabulary)
    results = list(extractor.compute_features(map(read_frames, draw_pictures())))
    assert_golden("cls", torch.from_numpy(np.concatenate([cls for _, cls, _ in results])))
    rewards = np.concatenate([rewards for _, _, rewards in results])
    np.testing.assert_allclose(rewards, OFFICIAL["rewards"], atol=1e-5)

    extractor.first = text_tokens.ENC
    ((_, cls, _),) = extractor.compute_features([read_frames(draw_pictures()[0])])
    assert_golden("cls_enc", torch.from_numpy(cls))


def rename_for_transformers(key: str) -> str:
    """The key of transformers' BlipForImageTextRetrieval for a key of the official checkpoint."""
    key = key.removeprefix("blip.")
    if not key.startswith("visual_encoder."):
        return key
    for official, library in (
        ("visual_encoder.", "vision_model."), ("blocks.", "encoder.layers."),
        ("attn.qkv", "self_attn.qkv"), ("attn.proj", "self_attn.projection"),
        ("patch_embed.proj", "embeddings.patch_embedding"),
        ("cls_token", "embeddings.class_embedding"), ("pos_embed", "embeddings.position_embedding"),
        (".norm1", ".layer_norm1"), (".norm2", ".layer_norm2"),
        ("vision_model.norm", "vision_model.post_layernorm"),
    ):  # fmt: skip
        key = key.replace(official, library)
    return key


def test_equals_transformers() -> None:
    """Of the same weights, BlipForImageTextRetrieval gives the same [CLS]."""
    from transformers import BlipConfig, BlipForImageTextRetrieval

    extractor = build()
    vision = {
        "hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 2, "image_size": 224, "patch_size": 16, "layer_norm_eps": 1e-6,
    }  # fmt: skip
    text = {
        "vocab_size": 30524, "hidden_size": 24, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 2, "encoder_hidden_size": 32, "is_decoder": True,
    }  # fmt: skip
    model = BlipForImageTextRetrieval(BlipConfig(vision_config=vision, text_config=text)).eval()
    state = {
        rename_for_transformers(key): tensor
        for key, tensor in extractor.net.state_dict().items()
        if not key.startswith("mlp.")
    }
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(key.startswith("itm_head.") for key in missing)
    frames = read_frames(draw_moving_blocks(3, 240, 320))
    ids, mask = torch.from_numpy(extractor.encode_prompt(PROMPT)).unsqueeze(1)
    pixels = torch.from_numpy(frames.frames).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        pictures = model.vision_model((pixels - extractor.mean) / extractor.std)
        output = model.text_encoder(
            ids.expand(3, -1), mask.expand(3, -1), is_decoder=False,
            encoder_hidden_states=pictures.last_hidden_state,
        )  # fmt: skip
    ((_, cls, _),) = extractor.compute_features([frames])
    assert cls.std() > 0.1
    np.testing.assert_allclose(cls, output.last_hidden_state[:, 0].numpy(), atol=1e-5)


def save_checkpoint(path: Path, prefix: str = "") -> Path:
    """Save a checkpoint of another seed as the official one is: bare, with position_ids."""
    state = build(Weights("random", "random:5", seed=5)).net.state_dict()
    state["blip.text_encoder.embeddings.position_ids"] = torch.arange(512)[None]
    torch.save({prefix + key: tensor for key, tensor in state.items()}, path)
    return path


def test_a_checkpoint_is_loaded_whole_or_refused(
    tmp_path: Path, vocabulary: Path, video: Video
) -> None:
    path = save_checkpoint(tmp_path / "ImageReward.pt")
    files = {
        part: {"weights": str(file), "sha256": sha256_file(file)}
        for part, file in (("", path), ("vocabulary", vocabulary))
    }
    weights = resolve_weights({**files[""], "parts": {"vocabulary": files["vocabulary"]}}, "blip")
    assert sha256_file(path) in weights.identity
    assert sha256_file(vocabulary) in weights.identity
    loaded = build(weights)
    assert isinstance(loaded.tokenizer, text_tokens.BertTokenizer)
    seeded = build(Weights("random", "random:5", seed=5))
    seeded.tokenizer = loaded.tokenizer
    assert loaded.extract(video)["reward"] == seeded.extract(video)["reward"]
    assert loaded.extract(video)["reward"] != build().extract(video)["reward"]

    wrong = save_checkpoint(tmp_path / "wrong.pt", prefix="model.")
    with pytest.raises(UserError, match=r"0 of \d+ keys match, \d+ missing .*, \d+ unexpected"):
        build(replace(weights, path=wrong))


def test_a_row_has_the_mean_reward(video: Video) -> None:
    extractor = build(frames=3)
    row = extractor.extract(video)
    frames = media.read_frames(video.path, [0, 7, 14])
    ((_, cls, rewards),) = extractor.compute_features([read_frames(frames)])
    np.testing.assert_array_equal(row["cls"], cls.astype(np.float16))
    assert row["cls"].shape == (3, 24)
    assert row["reward"] == pytest.approx(float(rewards.astype(float).mean()), abs=1e-7)
    assert np.ptp(rewards) > 0
    assert set(row) == {"cls", "reward"}
    viewed = build(frames=3, views=1).extract(video)
    np.testing.assert_array_equal(
        viewed["frames"].transpose(0, 2, 3, 1), read_frames(frames).frames
    )
    ids, _ = extractor.encode_prompt(video.prompt or "")
    np.testing.assert_array_equal(viewed["tokens"][0].astype(int) @ [256, 1], ids)
    np.testing.assert_array_equal(viewed["cls"], row["cls"])


@pytest.mark.parametrize("prompt", [None, "", "  \n"])
def test_a_video_without_a_prompt_has_a_reason(video: Video, prompt: str | None) -> None:
    with pytest.raises(UnusableError, match=r"^no_prompt: the video has no prompt"):
        build().extract(replace(video, prompt=prompt))


def test_a_long_prompt_is_cut_and_says_so() -> None:
    extractor = build()
    frame = draw_moving_blocks(1, 64, 64)
    full, cut = extractor.score(read_frames(frame, "cat " * n) for n in (33, 34))
    assert "detail" not in full
    assert cut["detail"] == "prompt_cut: the prompt has 36 tokens, ImageReward reads 35"
    np.testing.assert_array_equal(cut["cls"], full["cls"])


def test_prompts_and_first_tokens_matter() -> None:
    frame = draw_moving_blocks(1, 64, 64)
    rows = [
        next(extractor.score([read_frames(frame, prompt)]))["cls"]
        for extractor in (build(), build(first_token="enc"))
        for prompt in ("a cat", "a dog")
    ]
    assert len({row.tobytes() for row in rows}) == 4


@pytest.mark.parametrize("batch", [1, 3, 20])
def test_rows_do_not_depend_on_the_pass_they_share(batch: int) -> None:
    single, mixed = build(frames=2), build(frames=2, batch=batch)
    pictures = np.random.default_rng(0).integers(0, 256, (3, 2, 64, 64, 3), dtype=np.uint8)
    prompts = [PROMPT, "a cat", "a dog"]
    items = [read_frames(frames, prompt) for frames, prompt in zip(pictures, prompts, strict=True)]
    expected = [cls for _, cls, _ in single.compute_features(items)]
    for order in ([0, 1, 2], [2, 0, 1]):
        results = mixed.compute_features(items[i] for i in order)
        for index, (_, cls, _) in zip(order, results, strict=True):
            np.testing.assert_allclose(cls, expected[index], atol=1e-5)


def test_bf16_is_near() -> None:
    frames = read_frames(draw_moving_blocks(4, 64, 64))
    ((_, exact, _),) = build().compute_features([frames])
    ((_, half, _),) = build(precision="bf16").compute_features([frames])
    assert 1e-4 < np.abs(exact - half).mean() / exact.std() < 0.05


def test_numbers_that_float16_cannot_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = build()
    monkeypatch.setattr(extractor, "_forward", lambda parts: torch.full((len(parts), 25), 1e6))
    (row,) = extractor.score([read_frames(draw_moving_blocks(2, 64, 64))])
    assert str(row).startswith("not_finite: ")


@pytest.mark.parametrize("content", ["[PAD]\n[CLS]\n", "", "\xff"])
def test_another_vocabulary_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(UserError, match=f"^{re.escape(str(path))}: "):
        text_tokens.BertTokenizer(path)


def pinned() -> dict[str, Any]:
    """Some numbers of the whole path from frames and prompt to features."""
    (row,) = build().score([read_frames(draw_moving_blocks(20, 96, 128)[::5])])
    cls = row["cls"].astype(float)
    numbers = [cls.std(), *cls[0, :6], *cls[3, :6]]
    parts = {"cls": numbers, "reward": [row["reward"]]}
    rounded = {k: [float(f"{v:.6g}") for v in values] for k, values in parts.items()}
    return {"version": blip.VERSION, **rounded}


def test_pinned_numbers() -> None:
    """A change of these numbers needs a new VERSION, which makes every cached row a miss."""
    expected, computed = json.loads(GOLDEN.read_text()), pinned()
    assert computed["version"] == expected["version"], "VERSION was raised: remake the numbers"
    message = "the numbers changed: raise VERSION, then remake the pinned numbers"
    for part in ("cls", "reward"):
        assert computed[part] == pytest.approx(expected[part], rel=1e-3, abs=1e-4), message


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(pinned(), indent=1) + "\n")
