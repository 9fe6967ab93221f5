"""UGVQ's fusion network and regressor on cached features, all dimensions at once.

Inputs in this order: spatial (key frames), temporal (clips), text (the prompt), e.g.
[clip.image, slowfast, clip.text]. docs/ugvq.md names the paper and how it is read. At the paper's
sizes, with a ViT and a text encoder of width 1024 and SlowFast's 2304, a model of three dimensions
has 198,635,523 parameters, which needs a GPU. All sizes are options.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from sfqa.errors import UserError
from sfqa.options import Choice, Flag, Option, Options
from sfqa.regression.blocks import HeadInput, Steps
from sfqa.regression.head import check_input_count
from sfqa.regression.network_head import NetworkHead, Shapes, read_width
from sfqa.regression.networks import ugvq
from sfqa.regression.training_options import training_options

VERSION = 2
DESIGN = "blocks"
INPUTS = {"": ("spatial numbers", "temporal numbers", "text numbers")}
MULTI_OUTPUT = True
#: Finished models stay in the work folder until a call ends: ten of the paper's size take 8 GB.
PROBLEMS_PER_CALL = 10
OPTIONS: Options = {
    "spatial": Flag(True, "whether the key frames are used (ablation of table 5)"),
    "temporal": Flag(True, "whether the clips are used (ablation of table 5)"),
    "text": Flag(True, "whether the prompt is used (ablation of table 5)"),
    "fusion": Flag(True, "whether modalities attend to each other (ablation of table 5)"),
    "frames": Option(8, 0, None, "key frames of each video; 0: their mean", whole=True),
    "clips": Option(8, 0, None, "clips of each video; 0: their mean", whole=True),
    "width": Option(1024, 1, None, "width of all modalities", whole=True),
    "layers": Option(8, 0, None, "layers of the encoder of the frames", whole=True),
    "heads": Option(2, 1, None, "attention heads of the encoder", whole=True),
    "feedforward": Option(2048, 1, None, "width of the encoder's feed-forward network", whole=True),
    "fusion_heads": Option(4, 1, None, "attention heads of the fusion", whole=True),
    "fusion_feedforward": Option(
        1536, 1, None, "width of the fusion's feed-forward network", whole=True
    ),
    "hidden": Option(9216, 1, None, "width of the regressor's hidden layer", whole=True),
    "dropout": Option(0.0, 0, 1, "dropout; the paper names none"),
    "tokens": Choice(
        "sequence", ("sequence", "video"), "what attends: all frames and clips, or their means"
    ),
    "positions": Choice("none", ("none", "learned"), "positions of the frames"),
    **training_options(
        loss="mae + rank_aigcvqa", learning_rate=1.0e-5, decay=0.9, decay_every=5
    ),
}  # fmt: skip

_SIZES = (
    "width", "layers", "heads", "feedforward", "fusion_heads", "fusion_feedforward", "hidden",
    "dropout", "tokens", "positions",
)  # fmt: skip


class Head(NetworkHead):
    """UGVQ behind its frozen backbones."""

    def list_inputs(self, options: Mapping[str, Any], inputs: Sequence[str]) -> list[HeadInput]:
        """Return frames, clips and text, each used or ablated."""
        check_input_count(self.name, inputs, ugvq.ROLES)
        if not any(options[role] for role in ugvq.ROLES):
            raise UserError(
                "head ugvq, options: all of spatial, temporal and text are off; leave one"
            )
        steps = (Steps(options["frames"]), Steps(options["clips"]), Steps(0))
        return [
            HeadInput(role, count, used=options[role])
            for role, count in zip(ugvq.ROLES, steps, strict=True)
        ]

    def build(self, shapes: Shapes, dims: int, options: Mapping[str, Any]) -> nn.Module:
        """Return the fusion network and regressor."""
        sizes = ugvq.Sizes(**{name: options[name] for name in _SIZES})
        widths = {role: read_width(shape) for role, shape in shapes.items()}
        frames = shapes["spatial"][0] if len(shapes.get("spatial", ())) == 2 else 1
        return ugvq.Ugvq(widths, dims, sizes, frames, options["fusion"])
