"""Frames that attend to clips, a score for every frame (NTIRE 2025 XGC: FoodVQA's fusion).

Inputs in this order: frames (rows, steps, width), clips (rows, steps, width). Both are brought to
one width; frames attend to the clips, and the mean of their scores is the quality of the video.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from sfqa.options import Option, Options
from sfqa.regression.blocks import HeadInput, Steps
from sfqa.regression.head import check_input_count
from sfqa.regression.network_head import NetworkHead, Shapes, read_width
from sfqa.regression.networks.attention import AttentionLayer
from sfqa.regression.training_options import training_options

VERSION = 1
DESIGN = "blocks"
INPUTS = {"": ("frames steps", "clips steps")}
PROBLEMS_PER_CALL = 20
OPTIONS: Options = {
    "frames": Option(8, 1, None, "frames of each video", whole=True),
    "clips": Option(8, 1, None, "clips of each video", whole=True),
    "width": Option(256, 1, None, "width of frames and clips in the fusion", whole=True),
    "heads": Option(4, 1, None, "attention heads", whole=True),
    "layers": Option(1, 1, None, "layers of attention", whole=True),
    "hidden": Option(128, 1, None, "width of the last hidden layer", whole=True),
    "dropout": Option(0.0, 0, 1, "dropout"),
    **training_options(loss="plcc + 0.3 rank_fastvqa", learning_rate=1.0e-4, batch_rows=16),
}  # fmt: skip


class CrossAttention(nn.Module):
    """Frames and clips, each (rows, steps, width) -> (rows, dims)."""

    def __init__(
        self,
        widths: Mapping[str, int],
        dims: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.inputs = nn.ModuleDict({role: nn.Linear(size, width) for role, size in widths.items()})
        self.layers = nn.ModuleList(
            AttentionLayer(width, heads, 2 * width, dropout) for _ in range(layers)
        )
        self.score = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, dims))

    def forward(self, x: Mapping[str, Tensor]) -> Tensor:
        """Return the mean score of the frames."""
        frames, clips = (self.inputs[role](x[role]) for role in ("frames", "clips"))
        for layer in self.layers:
            frames = layer(frames, clips)
        quality: Tensor = self.score(frames).mean(dim=1)
        return quality


class Head(NetworkHead):
    """Frames that attend to clips."""

    def list_inputs(self, options: Mapping[str, Any], inputs: Sequence[str]) -> list[HeadInput]:
        """Return frames and clips, each evenly chosen."""
        check_input_count(self.name, inputs, ["frames", "clips"])
        return [HeadInput(role, Steps(options[role])) for role in ("frames", "clips")]

    def build(self, shapes: Shapes, dims: int, options: Mapping[str, Any]) -> nn.Module:
        """Return the network."""
        widths = {role: read_width(shape) for role, shape in shapes.items()}
        return CrossAttention(
            widths, dims, options["width"], options["heads"], options["layers"],
            options["hidden"], float(options["dropout"]),
        )  # fmt: skip
