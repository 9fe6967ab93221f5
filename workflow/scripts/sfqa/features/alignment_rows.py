"""The row of an extractor that puts pictures and sound into one space."""

from __future__ import annotations

from typing import Any

import numpy as np

from sfqa.arrays import Floats32
from sfqa.features.half_precision import round_to_float16


def make_alignment_row(
    model: str,
    video: Floats32,
    audio: Floats32,
    video_embedding: Floats32,
    audio_embedding: Floats32,
) -> dict[str, Any]:
    """Return the four tensors as float16, and ``cosine`` of the mean embeddings, from -1 to 1.

    Tensors are (views or clips, channels). Raises :class:`UnusableError`, which names the model,
    for numbers that float16 cannot hold.

    >>> units = np.eye(2, dtype=np.float32)
    >>> make_alignment_row("a model", units, units, units, units[:1])["cosine"].round(6).item()
    0.707107
    """
    tensors = {
        "video": video,
        "audio": audio,
        "video_embedding": video_embedding,
        "audio_embedding": audio_embedding,
    }
    row: dict[str, Any] = {name: round_to_float16(x, model) for name, x in tensors.items()}
    means = [x.mean(axis=0, dtype=np.float64) for x in (video_embedding, audio_embedding)]
    lengths = np.linalg.norm(means[0]) * np.linalg.norm(means[1])
    return row | {"cosine": means[0] @ means[1] / lengths if lengths > 0 else 0.0}
