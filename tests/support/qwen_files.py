"""Files of a small Qwen2.5-Omni with drawn weights, laid out as the publisher's; stand-ins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from sfqa.features import qwen_omni_tokens
from sfqa.features.weights import Weights

#: How keys of the library begin, and those of the published files.
_PREFIXES = (
    ("model.language_model.", "thinker.model."), ("model.audio_tower.", "thinker.audio_tower."),
    ("model.visual.", "thinker.visual."), ("lm_head.", "thinker.lm_head."),
)  # fmt: skip


def _rename(key: str) -> str:
    for library, published in _PREFIXES:
        if key.startswith(library):
            return published + key.removeprefix(library)
    raise ValueError(key)


def save_published(folder: Path, model: Any) -> Weights:
    """Save a thinker in three files, with settings and tokenizer, among the weights of a talker."""
    state = {_rename(key): tensor.clone() for key, tensor in model.state_dict().items()}
    state |= {"talker.norm.weight": torch.ones(3), "token2wav.bias": torch.ones(3)}
    names = sorted(state)
    parts = {}
    for number, part in enumerate(("", "second_shard", "third_shard")):
        parts[part] = folder / f"shard{number}.safetensors"
        save_file({name: state[name] for name in names[number::3]}, parts[part])
    parts["settings"] = folder / "settings.json"
    settings = {"model_type": "qwen2_5_omni", "thinker_config": model.config.to_dict()}
    parts["settings"].write_text(json.dumps(settings, default=str))
    parts["tokenizer"] = folder / "tokens.json"
    tokenizer = qwen_omni_tokens.make_stand_in_tokenizer(qwen_omni_tokens.LEVEL_IDS)
    tokenizer.backend_tokenizer.save(str(parts["tokenizer"]))
    files = {part: Weights("official", part, path) for part, path in parts.items()}
    main = files.pop("")
    return Weights("official", "main", main.path, parts=files)
