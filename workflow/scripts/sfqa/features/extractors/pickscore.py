"""Image and text embeddings by PickScore's CLIP ViT-H/14, and its score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from sfqa.arrays import Floats32
from sfqa.features.base import Feature
from sfqa.features.extractors import clip
from sfqa.features.weights import Weights
from sfqa.options import Choice, Option, Options

VERSION = 1
WEIGHTS = True
OPTIONS: Options = {
    "frames": Option(8, 1, None, "key frames per video, evenly spaced", whole=True),
    "precision": Choice(
        "fp32", ("fp32", "tf32", "bf16"),
        "number format of the network; tf32: float32 with TensorFloat-32 on a GPU, on a CPU as "
        "fp32",
    ),
    "batch": Option(
        None, 1, None,
        "frames, of one video or of several, that go through the network at once; null: half of a "
        "video's frames on a CPU, 64 on a GPU",
        whole=True,
    ),
}  # fmt: skip

#: Architecture in open_clip: GELU, not QuickGELU; the text is pooled at its first end token.
MODEL = "ViT-H-14"


class Extractor(clip.Extractor):
    """Key frames and prompt -> embeddings and score of PickScore (Kirstain et al., NeurIPS 2023).

    The columns of ``clip``, and the score: exp(logit_scale) times the cosine, mean over key frames.

    Weights: ``model.safetensors`` of yuvalkirstain/PickScore_v1, whose keys are those of
    transformers' CLIPModel (``keys: {layout: transformers_clip}``).
    """

    FEATURES: ClassVar[tuple[Feature, ...]] = (
        *clip.Extractor.FEATURES,
        Feature("score", "PickScore, mean over key frames; higher is preferred", dtype="float64"),
    )

    def __init__(self, options: Mapping[str, Any], weights: Weights, device: str) -> None:
        """Build both towers on the device."""
        super().__init__({**options, "model": MODEL}, weights, device)
        self.scale = float(np.exp(float(self.model.logit_scale)))

    def _build_row(
        self, image: Floats32, text: Floats32 | None, prompt: str | None
    ) -> dict[str, Any]:
        row = super()._build_row(image, text, prompt)
        return {**row, "score": None if text is None else self.scale * row["cosine"]}
