"""Drawn views for the tiny language model of Qwen2.5-Omni, and what a fit of it needs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sfqa.features.view_columns import encode_bytes
from sfqa.regression import heads
from sfqa.regression.fine_tuning.language_base import find_base

COLUMNS = ("embeddings", "places", "questions")
INPUTS = [f"qwen_omni.{name}" for name in COLUMNS]
#: ``features.qwen_omni`` of a configuration.
SPEC = {
    "weights": "random", "weights_seed": 0,
    "options": {"size": "tiny", "precision": "fp32", "scoring": "levels", "views": 1},
}  # fmt: skip
#: Of the head: a small training without chance.
OPTIONS = {
    "backbone": "qwen_omni", "train": "lora", "tokens": 24, "lora_rank": 4, "lora_alpha": 16.0,
    "lora_dropout": 0.0, "loss": "plcc", "learning_rate": 1e-3, "weight_decay": 0.0, "ema": 0.0,
    "compare_ema": False, "warmup_epochs": 0.0, "cosine": False, "batch_rows": 4, "epochs": 2,
    "select": "none",
}  # fmt: skip


def draw_language_view(seed: int, tokens: int, bias: float = 0.0) -> dict[str, np.ndarray]:
    """The three views of one video; ``bias`` is added to its embeddings."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = 0.1 * torch.randn(tokens, 64, generator=generator) + bias
    positions = torch.arange(tokens).div(3, rounding_mode="floor")[:, None].expand(-1, 3)
    questions = torch.tensor([[5, 17, 30, 41], [5, 90, -1, -1]])
    views = {
        "embeddings": embeddings,
        "places": torch.cat([torch.ones(tokens, 1), positions], dim=1).int(),
        "questions": questions.int(),
    }
    return {name: encode_bytes(values) for name, values in views.items()}


def pad_views(views: list[dict[str, np.ndarray]], tokens: int) -> dict[str, np.ndarray]:
    """Blocks of views, as a head reads them."""
    blocks = {}
    for name in COLUMNS:
        shape = views[0][name].shape
        length = shape[0] if name == "questions" else tokens
        block = np.zeros((len(views), length, *shape[1:]), np.uint8)
        for row, view in zip(block, views, strict=True):
            row[: len(view[name])] = view[name]
        blocks[f"qwen_omni.{name}"] = block
    return blocks


def draw_blocks(rows: int, tokens: int = 24) -> dict[str, np.ndarray]:
    """Blocks of videos of 6 to 12 tokens."""
    return pad_views([draw_language_view(n, 6 + n % 7, 0.02 * n) for n in range(rows)], tokens)


def merge_options(spec: dict[str, Any] = SPEC, **changed: Any) -> dict[str, Any]:
    """Options of a fit of the head, with its base."""
    options = heads.merge_options("fine_tuned", {**OPTIONS, **changed})
    return {**options, **find_base(options, INPUTS, {"qwen_omni": spec}, "test")}
