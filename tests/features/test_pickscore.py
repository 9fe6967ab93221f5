"""PickScore's towers against transformers, the numbers of its official architecture, pinned ones.

Remake the pinned numbers after a bump of VERSION with
``PYTHONPATH=workflow/scripts:tests/support python tests/features/test_pickscore.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel

from golden_summaries import assert_summary, digest_keys, draw_frames, load_golden
from golden_weights import draw_weight
from moving_blocks import draw_moving_blocks
from sfqa.errors import UserError
from sfqa.features import base, clip_keys, official
from sfqa.features.extractors import pickscore
from sfqa.features.frame_reader import KeyFrames
from sfqa.features.weights import Weights, resolve_weights
from sfqa.identity import sha256_file

GOLDEN = Path(__file__).parent / "golden" / "pickscore.json"
OFFICIAL = load_golden("ugvq_parts")
RANDOM = Weights("random", "random:0")
PROMPT = "a marble statue sings opera"
#: The same architecture, small.
VISION = {
    "hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4,
    "image_size": 56, "patch_size": 14, "projection_dim": 24, "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
}  # fmt: skip
TEXT = {
    "vocab_size": 49408, "hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 2, "max_position_embeddings": 77, "projection_dim": 24,
    "hidden_act": "gelu", "eos_token_id": 2,
}  # fmt: skip


#: open_clip's configuration of it.
SMALL = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 56, "layers": 2, "width": 64, "head_width": 16, "patch_size": 14},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
#: The official width of the vision tower, with its first layer only.
FIRST_LAYER = {
    **SMALL,
    "vision_cfg": {
        "image_size": 224, "layers": 1, "width": 1280, "head_width": 80, "patch_size": 14,
    },
}  # fmt: skip


@contextmanager
def small_architecture(config: dict[str, Any] = SMALL) -> Iterator[None]:
    """Let the extractor build an architecture of other sizes."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        name = f"sfqa-{config['vision_cfg']['width']}-h"
        path = Path(folder) / f"{name}.json"
        path.write_text(json.dumps(config))
        open_clip.add_model_config(path)
        patch.setattr(pickscore, "MODEL", path.stem)
        yield


@pytest.fixture
def small() -> Iterator[None]:
    with small_architecture():
        yield


def build_by_transformers(vision: dict[str, Any], text: dict[str, Any]) -> CLIPModel:
    """Return transformers' CLIPModel, as PickScore is published."""
    config = CLIPConfig(
        text_config=text, vision_config=vision, projection_dim=vision["projection_dim"]
    )
    return CLIPModel(config).eval()


def see(extractor: pickscore.Extractor, frames: np.ndarray, prompt: str | None) -> KeyFrames:
    """Frames and a prompt as the reader would give them."""
    squares = extractor.reader.square.resize(frames)
    return KeyFrames(squares, np.arange(len(frames)), prompt)


def test_transformers_file_gives_transformers_numbers(small: None, tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = build_by_transformers(VISION, TEXT)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, 0.0, 0.3 if parameter.ndim > 1 else 0.1)
        torch.nn.init.constant_(model.logit_scale, 1.5)
    state = dict(model.state_dict())
    state["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    path = tmp_path / "PickScore_v1.safetensors"
    save_file({key: value.contiguous() for key, value in state.items()}, path)
    entry = official.find_official_file(official.load_registry(), "pickscore", {})
    assert entry.file == path.name
    weights = Weights("official", "0" * 64, path, keys=entry.keys)
    extractor = base.build_extractor("pickscore", {}, weights, "cpu")
    assert isinstance(extractor, pickscore.Extractor)

    frames = draw_moving_blocks(3, 80, 100)
    item = see(extractor, frames, PROMPT)
    ((image, text, _),) = extractor.compute_embeddings([item])
    pixels = torch.from_numpy(item.frames).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (
        (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    ))  # fmt: skip
    tokens = extractor.tokenizer([PROMPT])
    with torch.inference_mode():
        # transformers pads with the end token and pools the first one.
        padded = torch.where(tokens == 0, 49407, tokens)
        output = model(input_ids=padded, attention_mask=(tokens > 0).long(),
                       pixel_values=(pixels - mean) / std)  # fmt: skip
        by_image = model.get_image_features((pixels - mean) / std).pooler_output
        by_text = model.get_text_features(padded, (tokens > 0).long()).pooler_output
    assert by_image.std() > 0.1
    np.testing.assert_allclose(image, by_image.numpy(), rtol=1e-5, atol=1e-5)
    assert text is not None
    np.testing.assert_allclose(text, by_text[0].numpy(), rtol=1e-5, atol=1e-5)
    (row,) = extractor.score([item])
    assert isinstance(row, dict)
    assert row["score"] == pytest.approx(float(output.logits_per_image.mean()), abs=1e-5)
    assert row["cosine"] == pytest.approx(row["score"] / np.exp(1.5), abs=1e-6)
    (silent,) = extractor.score([see(extractor, frames, None)])
    assert isinstance(silent, dict)
    assert silent["score"] is None


def test_a_file_by_its_path_has_the_same_layout(small: None, tmp_path: Path) -> None:
    """Without an entry of config/weights.yaml nothing but the keys tells that it is a CLIPModel."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(8)
        state = dict(build_by_transformers(VISION, TEXT).state_dict())
    state["vision_model.embeddings.position_ids"] = torch.arange(17)[None]
    path = tmp_path / "mine.safetensors"
    save_file({key: value.contiguous() for key, value in state.items()}, path)
    entry = official.find_official_file(official.load_registry(), "pickscore", {})
    frames = draw_moving_blocks(2, 56, 56)
    scores = []
    for weights in (
        resolve_weights({"weights": str(path), "sha256": sha256_file(path)}, "pickscore"),
        Weights("official", "0" * 64, path, keys=entry.keys),
    ):
        extractor = base.build_extractor("pickscore", {}, weights, "cpu")
        assert isinstance(extractor, pickscore.Extractor)
        (row,) = extractor.score([see(extractor, frames, PROMPT)])
        assert isinstance(row, dict)
        scores.append(row["score"])
    assert scores[0] == scores[1]
    assert abs(scores[0]) > 0
    del state["vision_model.encoder.layers.1.self_attn.k_proj.weight"]
    save_file({key: value.contiguous() for key, value in state.items()}, path)
    with pytest.raises(UserError, match=r"1 missing \(visual.*in_proj_weight\), 2 unexpected"):
        base.build_extractor("pickscore", {}, Weights("official", "0" * 64, path), "cpu")


def test_an_incomplete_file_is_counted(small: None, tmp_path: Path) -> None:
    state = dict(build_by_transformers(VISION, TEXT).state_dict())
    del state["vision_model.encoder.layers.1.self_attn.k_proj.weight"]
    path = tmp_path / "PickScore_v1.safetensors"
    save_file({key: value.contiguous() for key, value in state.items()}, path)
    entry = official.find_official_file(official.load_registry(), "pickscore", {})
    weights = Weights("official", "0" * 64, path, keys=entry.keys)
    with pytest.raises(UserError, match=r"1 missing \(visual.*in_proj_weight\), 2 unexpected"):
        base.build_extractor("pickscore", {}, weights, "cpu")


def test_every_key_of_the_official_file_has_its_place() -> None:
    config = OFFICIAL["config"]
    with torch.device("meta"):
        published = build_by_transformers(config["vision"], config["text"]).state_dict()
        network = open_clip.create_model("ViT-H-14", device="meta").state_dict()
    assert len(published) == OFFICIAL["checkpoint"]["tensors"]
    assert digest_keys(published) == OFFICIAL["checkpoint"]["keys_sha256"]
    renamed = clip_keys.rename_transformers_clip(published)
    assert {k: t.shape for k, t in renamed.items()} == {k: t.shape for k, t in network.items()}


def fill_by_layers(network: torch.nn.Module, keys: dict[str, tuple[int, ...]]) -> None:
    """Put the golden's weights into open_clip's network, in parts: they are 4 GB."""
    state = network.state_dict()
    groups: dict[str, list[str]] = {}
    for key in keys:
        groups.setdefault(".".join(key.split(".")[:4]) if ".layers." in key else key, []).append(
            key
        )
    for group in groups.values():
        drawn = {key: draw_weight(key, keys[key]) for key in group}
        for key, tensor in clip_keys.rename_transformers_clip(drawn).items():
            state[key].copy_(tensor)


def test_the_official_numbers_of_the_first_layer() -> None:
    """At full width, but without the other layers, which the thorough tier adds."""
    config, pipeline = OFFICIAL["config"], OFFICIAL["pipeline"]
    with torch.device("meta"):
        published = build_by_transformers(config["vision"], config["text"]).state_dict()
    with small_architecture(FIRST_LAYER):
        extractor = base.build_extractor("pickscore", {"frames": 2, "batch": 2}, RANDOM, "cpu")
    assert isinstance(extractor, pickscore.Extractor)
    tower = extractor.model.visual
    parts = ("embeddings.", "pre_layrnorm.", "encoder.layers.0.")
    keys = {
        key: tuple(t.shape)
        for key, t in published.items()
        if key.startswith(tuple(f"vision_model.{part}" for part in parts))
    }
    assert len(keys) == 3 + 2 + 16
    fill_by_layers(extractor.model, keys)
    item = see(extractor, draw_frames(0, [0, 25], 512, 512), None)
    x = torch.from_numpy(item.frames).permute(0, 3, 1, 2).float().div(255)
    assert_summary((x - extractor.mean) / extractor.std, pipeline["input"])
    outputs: dict[str, torch.Tensor] = {}
    for name, module in (
        ("after_pre_layernorm", tower.ln_pre), ("after_layer_1", tower.transformer.resblocks[0])
    ):  # fmt: skip
        module.register_forward_hook(lambda _m, _x, y, name=name: outputs.__setitem__(name, y))
    list(extractor.compute_embeddings([item]))
    for name, output in outputs.items():
        assert_summary(output, pipeline["vision"][name])


@pytest.mark.thorough
def test_the_official_numbers_at_full_size() -> None:
    config, pipeline = OFFICIAL["config"], OFFICIAL["pipeline"]
    with torch.device("meta"):
        published = build_by_transformers(config["vision"], config["text"]).state_dict()
    extractor = base.build_extractor("pickscore", {"frames": 2, "batch": 2}, RANDOM, "cpu")
    assert isinstance(extractor, pickscore.Extractor)
    model = extractor.model
    fill_by_layers(model, {key: tuple(t.shape) for key, t in published.items()})
    item = see(extractor, draw_frames(0, [0, 25], 512, 512), None)
    x = torch.from_numpy(item.frames).permute(0, 3, 1, 2).float().div(255)
    assert_summary((x - extractor.mean) / extractor.std, pipeline["input"])
    outputs: dict[str, torch.Tensor] = {}
    blocks = model.visual.transformer.resblocks
    for name, module in (
        ("after_pre_layernorm", model.visual.ln_pre),
        ("after_layer_1", blocks[0]),
        ("after_layer_32", blocks[-1]),
        ("CLS_post_layernorm (2,1280)", model.visual.ln_post),
        ("last_hidden_state", model.ln_final),
    ):
        module.register_forward_hook(lambda _m, _x, y, name=name: outputs.__setitem__(name, y))
    ((image, _, _),) = extractor.compute_embeddings([item])
    golden = pipeline["vision"]
    for name in ("after_pre_layernorm", "after_layer_1", "after_layer_32"):
        # The last layer reaches 27, and differs by its order of sums.
        assert_summary(outputs[name], golden[name], atol=1e-4 if name.endswith("32") else 2e-5)
    classes = outputs["CLS_post_layernorm (2,1280)"]
    classes = classes[:, 0] if classes.ndim == 3 else classes
    assert_summary(classes, golden["CLS_post_layernorm (2,1280)"])
    assert_summary(image, golden["image_embeds (2,1024)"])

    ids = pipeline["text"]["input_ids"]
    tokens = torch.zeros(1, 77, dtype=torch.long)
    tokens[0, : len(ids)] = torch.tensor(ids)
    with torch.inference_mode():
        text = model.encode_text(tokens)
    assert_summary(text, pipeline["text"]["text_embeds (1,1024)"])
    summary = pipeline["text"]["last_hidden_state"]
    # The last places are padding, which open_clip fills with another token.
    values = outputs["last_hidden_state"].ravel()[np.arange(24) * (77 * 1024 - 1) // 23]
    count = len(ids) * 1024 * 23 // (77 * 1024)
    np.testing.assert_allclose(values[:count].numpy(), summary["values"][:count], atol=2e-5)
    cosines = torch.nn.functional.cosine_similarity(torch.from_numpy(image), text)
    scores = (model.logit_scale.exp() * cosines).detach().numpy()
    expected = pipeline["pickscore = exp(logit_scale) * cos"]["values"]
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_the_input_is_that_of_the_published_processor() -> None:
    """Short side 224 by Pillow's bicubic filter, the central square, CLIP's mean and deviation."""
    with small_architecture():
        extractor = base.build_extractor("pickscore", {}, RANDOM, "cpu")
    assert isinstance(extractor, pickscore.Extractor)
    frames = draw_moving_blocks(1, 96, 160)
    resized = Image.fromarray(frames[0]).resize((93, 56), Image.Resampling.BICUBIC)
    by_hand = np.asarray(resized)[:, 18:74]
    np.testing.assert_array_equal(see(extractor, frames, None).frames[0], by_hand)


def pinned() -> dict[str, Any]:
    """Some numbers of the small architecture with random weights of seed 0."""
    with small_architecture():
        extractor = base.build_extractor("pickscore", {}, RANDOM, "cpu")
    assert isinstance(extractor, pickscore.Extractor)
    (row,) = extractor.score([see(extractor, draw_moving_blocks(4, 96, 128), PROMPT)])
    assert isinstance(row, dict)
    image, text = row["image"].astype(float), row["text"].astype(float)
    parts = {
        "image": [image.std(), *image[0, :6], *image[3, :6]],
        "text": [text.std(), *text[0, :6]],
        "score": [row["score"], row["cosine"]],
    }
    rounded = {name: [float(f"{v:.6g}") for v in numbers] for name, numbers in parts.items()}
    return {"version": pickscore.VERSION, **rounded}


def test_pinned_numbers() -> None:
    """A change of these numbers needs a new VERSION, which makes every cached row a miss."""
    expected, computed = json.loads(GOLDEN.read_text()), pinned()
    assert computed["version"] == expected["version"], (
        "VERSION was raised: remake the pinned numbers"
    )
    message = "the numbers changed: raise VERSION, then remake the pinned numbers"
    for part in ("image", "text", "score"):
        assert computed[part] == pytest.approx(expected[part], rel=1e-3, abs=1e-5), message


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(pinned(), indent=1) + "\n")
