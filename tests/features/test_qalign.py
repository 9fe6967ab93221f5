"""Q-Align, small, against pyiqa's own call, from files laid out as they are published."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from moving_blocks import draw_moving_blocks
from needs_pyiqa import needs_pyiqa
from sfqa.errors import UserError
from sfqa.features import base, official, qalign_net
from sfqa.features.weights import Weights, list_weights_parts

RANDOM = Weights("random", "random:0")
FIRST_HALF = "pytorch_model-00001-of-00002.bin"
WORDS = [
    "USER:",
    "How",
    "would",
    "you",
    "rate",
    "the",
    "quality",
    "of",
    "this",
    "image?",
    "ASSISTANT:",
    "The",
    "quality",
    "of",
    "the",
    "image",
    "is",
    "excellent",
    "good",
    "fair",
    "poor",
    "bad",
    "video",
    "aesthetic",
]


def make_small_settings() -> Any:
    from pyiqa.archs.q_align.configuration_mplug_owl2 import MPLUGOwl2Config

    settings = MPLUGOwl2Config(
        hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=4, vocab_size=90,
    )  # fmt: skip
    small = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4}
    settings.visual_config["visual_model"].update(small, num_hidden_layers=2, projection_dim=32)
    settings.visual_config["visual_abstractor"].update(
        small, num_hidden_layers=1, encoder_hidden_size=32, grid_size=32
    )
    return settings


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qalign_net, "make_random_settings", make_small_settings)


def save_published(folder: Path, model: torch.nn.Module) -> Weights:
    """Save a model in the layout of q-future/one-align, with a tokenizer of a few words."""
    import sentencepiece
    from transformers import CLIPImageProcessor

    draw = random.Random(0)
    text = folder / "words.txt"
    text.write_text("\n".join(" ".join(draw.choices(WORDS, k=8)) for _ in range(2000)))
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(folder / "words"), vocab_size=90, model_type="bpe",
        bos_id=1, eos_id=2, unk_id=0, minloglevel=2,
    )  # fmt: skip
    (folder / "words.model").rename(folder / "tokenizer.model")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "LlamaTokenizer"}))
    make_small_settings().save_pretrained(folder)
    CLIPImageProcessor(size=448, crop_size=448).save_pretrained(folder)
    state = model.state_dict()
    keys = sorted(state)
    index = {}
    halves = {FIRST_HALF: keys[::2], qalign_net.PARTS["second_half"]: keys[1::2]}
    for file, part in halves.items():
        torch.save({key: state[key].clone() for key in part}, folder / file)
        index |= dict.fromkeys(part, file)
    (folder / "pytorch_model.bin.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": index})
    )
    parts = {
        part: Weights("official", part, folder / file) for part, file in qalign_net.PARTS.items()
    }
    return Weights("official", "0" * 64, folder / FIRST_HALF, seed=1, parts=parts)


def make_model() -> torch.nn.Module:
    """Return the small model with weights that make pictures matter."""
    extractor = base.build_extractor("iqa", {"metric": "qalign"}, RANDOM, "cpu")
    model: torch.nn.Module = extractor.forward.model
    generator = torch.Generator().manual_seed(3)
    for value in model.state_dict().values():
        if value.is_floating_point() and value.ndim > 1:
            noise = torch.randn(value.shape, generator=generator) / value[0].numel() ** 0.5
            value.copy_(noise)
    return model


@needs_pyiqa
def test_scores_are_those_of_the_librarys_own_call(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = save_published(tmp_path, make_model())
    extractor = base.build_extractor("iqa", {"metric": "qalign"}, weights, "cpu")
    noise = np.random.default_rng(1).integers(0, 256, (3, 120, 160, 3), dtype=np.uint8)
    pictures = [noise[0], draw_moving_blocks(2, 96, 128)[1], np.full((90, 60, 3), 200, np.uint8)]
    rows = list(extractor.score([picture[None] for picture in pictures]))

    import pyiqa
    from pyiqa.archs import qalign_arch
    from pyiqa.archs.q_align import modeling_mplug_owl2 as modeling

    def read_folder(library_class: Any) -> Any:
        class FromFolder:
            @staticmethod
            def from_pretrained(_name: str, **options: Any) -> Any:
                return library_class.from_pretrained(tmp_path, **options)

        return FromFolder

    for module, name in (
        (modeling, "LlamaTokenizer"), (modeling, "CLIPImageProcessor"),
        (qalign_arch, "CLIPImageProcessor"), (qalign_arch, "MPLUGOwl2LlamaForCausalLM"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, read_folder(getattr(module, name)))
    by_pyiqa = pyiqa.create_metric("qalign", device=torch.device("cpu"))
    for picture, row in zip(pictures, rows, strict=True):
        x = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
        assert isinstance(row, dict)
        assert row["score"] == pytest.approx(float(by_pyiqa(x)), abs=1e-4)
    scores = {row["score"] for row in rows if isinstance(row, dict)}
    assert len(scores) > 1
    assert all(1 <= score <= 5 for score in scores)


@needs_pyiqa
def test_files_that_do_not_fit_are_counted(small: None, tmp_path: Path) -> None:
    weights = save_published(tmp_path, make_model())
    half = tmp_path / "half.bin"
    state = torch.load(tmp_path / qalign_net.PARTS["second_half"], weights_only=True)
    torch.save(dict(list(state.items())[2:]), half)
    parts = {**weights.parts, "second_half": Weights("official", "x", half)}
    with pytest.raises(UserError, match=r"\d+ of \d+ keys match, 2 missing, 0 unexpected"):
        base.build_extractor("iqa", {"metric": "qalign"}, replace(weights, parts=parts), "cpu")
    half.write_text("no weights")
    with pytest.raises(UserError, match="cannot be read as weights"):
        base.build_extractor("iqa", {"metric": "qalign"}, replace(weights, parts=parts), "cpu")


@needs_pyiqa
def test_random_weights_are_of_their_seed(small: None) -> None:
    frames = draw_moving_blocks(1, 96, 128)
    scores = []
    for seed in (0, 0, 1):
        weights = Weights("random", f"random:{seed}", seed=seed)
        extractor = base.build_extractor("iqa", {"metric": "qalign"}, weights, "cpu")
        (row,) = extractor.score([frames])
        assert isinstance(row, dict)
        scores.append(row["score"])
    assert scores[0] == scores[1] != scores[2]


def test_every_file_is_registered() -> None:
    options = {"metric": "qalign"}
    assert set(list_weights_parts("iqa", options)) == set(qalign_net.PARTS)
    assert list_weights_parts("iqa", {}) == []
    entries = official.load_registry()
    files = official.find_official_files(
        entries, "iqa", {"weights": "official", "options": options}
    )
    assert len({entry.file for entry in files.values()}) == 6
    assert all("non-commercial" in entry.licence for entry in files.values())
