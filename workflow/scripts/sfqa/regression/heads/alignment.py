"""Embeddings of a video and of its sound in one space, such as ImageBind's, to scores.

The papers of these models train no score. This head is the usual reading of "re-trained" for frozen
towers: the two embeddings side by side, then two linear layers. With ``product`` it also reads how
the embeddings agree. Inputs in this order: video, audio; sequences are read as their means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from sfqa.arrays import Floats32
from sfqa.errors import UserError
from sfqa.options import Flag, Option, Options
from sfqa.regression.blocks import HeadInput, Steps
from sfqa.regression.head import check_input_count
from sfqa.regression.network_head import NetworkHead, Shapes, read_width
from sfqa.regression.problems import Features, get_blocks
from sfqa.regression.training_options import training_options

VERSION = 1
DESIGN = "blocks"
INPUTS = {"": ("video numbers", "audio numbers")}
OPTIONS: Options = {
    "product": Flag(
        False,
        "whether the product of both embeddings, element by element, and their cosine are read, "
        "too",
    ),
    "hidden": Option(256, 1, None, "width of the hidden layer", whole=True),
    "dropout": Option(0.5, 0, 1, "dropout after the hidden layer"),
    **training_options(
        loss="mse", learning_rate=1.0e-3, weight_decay=1.0e-5, epochs=100, patience=20,
        precision="float64",
    ),
}  # fmt: skip

ROLES = ("video", "audio")


class _Layers(nn.Module):
    """Rows {'joined': (rows, width)} -> scores (rows, dims)."""

    def __init__(self, width: int, dims: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, dims)
        )

    def forward(self, x: Mapping[str, Tensor]) -> Tensor:
        scores: Tensor = self.layers(x["joined"])
        return scores


class Head(NetworkHead):
    """Both embeddings side by side, Linear, ReLU, dropout, Linear."""

    def list_inputs(self, options: Mapping[str, Any], inputs: Sequence[str]) -> list[HeadInput]:
        """Return the embedding of the video and that of the sound, each as its mean over steps."""
        check_input_count(self.name, inputs, ROLES)
        return [HeadInput(role, Steps(0)) for role in ROLES]

    def combine_inputs(self, x: Features, options: Mapping[str, Any]) -> Features:
        """Return the one block that the network reads; see :func:`join_embeddings`."""
        blocks = get_blocks(x)
        return {"joined": join_embeddings(blocks["video"], blocks["audio"], options["product"])}

    def build(self, shapes: Shapes, dims: int, options: Mapping[str, Any]) -> nn.Module:
        """Return the two layers."""
        width = read_width(shapes["joined"])
        return _Layers(width, dims, options["hidden"], float(options["dropout"]))


def join_embeddings(video: Floats32, audio: Floats32, with_product: bool) -> Floats32:
    """Return rows [video, audio] or [video, audio, video * audio, cosine], float32.

    The cosine is that of the whole embeddings, 0 if one of them is 0; no row depends on another.
    Raises :class:`UserError` for a product of embeddings of different widths.

    >>> join_embeddings(np.array([[3.0, 4.0]]), np.array([[0.0, 2.0]]), False).tolist()
    [[3.0, 4.0, 0.0, 2.0]]
    >>> joined = join_embeddings(np.array([[3.0, 4.0]]), np.array([[2.0, 0.0]]), True)
    >>> [f"{number:g}" for number in joined[0]]
    ['3', '4', '2', '0', '6', '0', '0.6']
    """
    if not with_product:
        return np.concatenate([video, audio], axis=1, dtype=np.float32)
    if video.shape != audio.shape:
        raise UserError(
            f"head alignment: the video's embedding has {video.shape[1]} numbers, that of the "
            f"sound {audio.shape[1]}; the product needs equal widths: name the columns "
            "video_embedding and audio_embedding of one extractor, or write product: false"
        )
    product = video.astype(np.float64) * audio
    norms = np.linalg.norm(video, axis=1) * np.linalg.norm(audio, axis=1)
    cosine = product.sum(axis=1) / np.where(norms > 0, norms, 1.0)
    return np.concatenate([video, audio, product, cosine[:, None]], axis=1, dtype=np.float32)
