"""Image-text towers of open_clip by name: network, preprocessing and the tokens of a few texts."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.tokenizer import get_clean_fn
from PIL import Image

from sfqa.errors import UserError
from sfqa.features.frame_reader import Preprocessing, Square
from sfqa.features.text_tokens import HashTokenizer, Tokenizer, add_end_and_padding

_WHERE = "config, features.siglip.options"
#: A vocabulary of at most so many tokens is that of a test.
_SMALL = 1000
#: SigLIP's end token, in both of its vocabularies, and the padding of each.
_END, _PADDING_BY_END = 1, {"</s>": 1, "<eos>": 0}


def build_towers(name: str, precision: str = "fp32") -> torch.nn.Module:
    """Return the model of a name with random weights; nothing is downloaded.

    Raises :class:`UserError` for a model whose text tower open_clip would download.
    """
    text = _read_text_config(name)
    if text.get("hf_model_name"):
        raise UserError(
            f"{_WHERE}.model: the text tower of {name!r} is not in open_clip; give another model"
        )
    with _without_warnings():
        model: torch.nn.Module = open_clip.create_model(name, precision=precision)
    return model


def read_preprocessing(name: str, size: int) -> Preprocessing:
    """Return the preprocessing that open_clip states for the model's published weights.

    Raises :class:`UserError` if its published weights need different ones.
    """
    config = {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD}
    config |= {"interpolation": "bicubic", "resize_mode": "shortest"}
    stated_configs = [
        open_clip.get_pretrained_cfg(name, tag)
        for tag in open_clip.list_pretrained_tags_by_model(name)
    ]
    configs = [
        {key: stated.get(key) or value for key, value in config.items()}
        for stated in stated_configs or [config]
    ]
    if any(other != configs[0] for other in configs):
        raise UserError(
            f"{_WHERE}.model: the published weights of {name!r} need different preprocessing; give "
            "a model whose weights agree, such as ViT-B-16-SigLIP-512"
        )
    resampling = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
    mode = configs[0]["resize_mode"]
    if mode not in ("shortest", "squash"):
        raise UserError(f"{_WHERE}.model: {name!r} pads pictures ({mode}); give another model")
    square = Square(
        size, resampling=resampling[configs[0]["interpolation"]], squash=mode == "squash"
    )
    return Preprocessing(square, tuple(configs[0]["mean"]), tuple(configs[0]["std"]))


def tokenize(name: str, texts: Sequence[str], file: Path | None) -> torch.Tensor:
    """Return the token ids (texts, context) of a model that has no tokenizer in open_clip.

    ``file`` is the model's ``tokenizer.json``; None stands for random weights, whose ids have no
    meaning: they are hashes of the words. Raises :class:`UserError` for another tokenizer.
    """
    text = _read_text_config(name)
    clean = get_clean_fn(text.get("tokenizer_kwargs", {}).get("clean", "whitespace"))
    tokenizer: Tokenizer = HashTokenizer(3, text["vocab_size"])
    padding = _END
    if file is not None:
        tokenizer, padding = _load_tokenizer(file, text["vocab_size"])
    rows = [
        add_end_and_padding(tokenizer.encode(clean(line)), _END, padding, text["context_length"])
        for line in texts
    ]
    return torch.tensor(rows)


def has_own_tokenizer(name: str) -> bool:
    """Return whether open_clip carries the tokenizer of a model."""
    return not _read_text_config(name).get("hf_tokenizer_name")


class _FileTokenizer:
    """A tokenizer of the library tokenizers, without special tokens."""

    def __init__(self, library_tokenizer: Any) -> None:
        self._tokenizer = library_tokenizer

    def encode(self, text: str) -> list[int]:
        """Return the ids of the text's tokens."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids


def _load_tokenizer(file: Path, vocabulary: int) -> tuple[Tokenizer, int]:
    """Return the tokenizer of a file and the id of its padding."""
    from transformers import PreTrainedTokenizerFast

    try:
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(file))
        end = tokenizer.convert_ids_to_tokens(_END)
        size = len(tokenizer)
    except Exception as error:  # of the library, which raises its own kinds
        raise UserError(
            f"{file}: cannot be read as a tokenizer ({str(error)[:150]}); give the tokenizer.json "
            "of the model"
        ) from None
    # SigLIP's has 32,000 tokens and SigLIP2's 256,000: each would give wrong ids to the other.
    is_too_small = vocabulary > _SMALL and size < vocabulary / 2
    if end not in _PADDING_BY_END or size > vocabulary or is_too_small:
        raise UserError(
            f"{file}: a tokenizer of {size} tokens whose token {_END} is {end!r}, expected about "
            f"{vocabulary} and {' or '.join(_PADDING_BY_END)}; give the model's tokenizer.json"
        )
    return _FileTokenizer(tokenizer), _PADDING_BY_END[end]


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Suppress open_clip's warning about random weights: the weights are loaded afterwards."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def _read_text_config(name: str) -> dict[str, Any]:
    config = open_clip.get_model_config(name) or {}
    return dict(config.get("text_cfg", {}))
