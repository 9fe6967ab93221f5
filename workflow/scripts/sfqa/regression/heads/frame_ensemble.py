"""MediaForensics' mean of several models (NTIRE 2025 XGC, second of the talking-head track).

Inputs in this order: frames of an image backbone (EVA-02), then vectors of a video backbone (X-CLIP
of 16 and of 32 frames). Every model is trained on its own loss; their mean is the score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from sfqa.errors import UserError
from sfqa.options import Numbers, Option, Options
from sfqa.regression import losses
from sfqa.regression.blocks import HeadInput, Steps
from sfqa.regression.network_head import NetworkHead, Shapes, read_width
from sfqa.regression.networks.nextvlad import FrameEnsemble
from sfqa.regression.networks.separate_scores import average_losses
from sfqa.regression.training_options import training_options

VERSION = 1
DESIGN = "blocks"
INPUTS = {"": ("frames steps", "video* numbers")}
PROBLEMS_PER_CALL = 20
OPTIONS: Options = {
    "frames": Numbers([4, 8], 1, None, "frames of each NeXtVLAD model", whole=True),
    "clusters": Option(64, 1, None, "clusters of NeXtVLAD", whole=True),
    "groups": Option(8, 1, None, "groups of NeXtVLAD", whole=True),
    "expansion": Option(2, 1, None, "factor by which NeXtVLAD widens a frame", whole=True),
    "hidden": Option(128, 1, None, "width of the layer after NeXtVLAD", whole=True),
    "dropout": Option(0.0, 0, 1, "dropout after NeXtVLAD"),
    **training_options(loss="mse", learning_rate=1.0e-4, epochs=34, patience=34),
}  # fmt: skip


class Head(NetworkHead):
    """NeXtVLAD on frames and linear layers on videos, averaged."""

    def list_inputs(self, options: Mapping[str, Any], inputs: Sequence[str]) -> list[HeadInput]:
        """Return the frames, as many as the longest model reads, then the vectors of videos."""
        if not inputs:
            raise UserError(
                "head frame_ensemble: no inputs; it reads, in this order: frames, then vectors of "
                "videos"
            )
        if not options["frames"]:
            raise UserError("head frame_ensemble, option frames: empty; give a number or more")
        frames = HeadInput("frames", Steps(int(max(options["frames"]))))
        return [frames, *(HeadInput(f"video{n}", Steps(0)) for n in range(len(inputs) - 1))]

    def make_loss(self, options: Mapping[str, Any]) -> losses.Loss:
        """Return the mean loss of the models."""
        return average_losses(super().make_loss(options))

    def build(self, shapes: Shapes, dims: int, options: Mapping[str, Any]) -> nn.Module:
        """Return the models."""
        widths = {role: read_width(shape) for role, shape in shapes.items()}
        return FrameEnsemble(
            widths, dims, options["frames"], options["clusters"], options["groups"],
            options["expansion"], options["hidden"], float(options["dropout"]),
        )  # fmt: skip
