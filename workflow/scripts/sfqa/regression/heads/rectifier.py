"""A base score, rectified by scales and shifts from other features (NTIRE 2025 XGC, SJTU-MOE-AI).

Inputs in this order: base (a score that rises with quality, such as clip.cosine, or features that
a small network turns into a score), spatial, temporal, and optionally alignment. The formula is in
:mod:`sfqa.regression.networks.rectifier`; docs/ugvq.md says how the paper is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from sfqa.errors import UserError
from sfqa.options import Choice, Flag, Option, Options
from sfqa.regression.blocks import HeadInput, Steps
from sfqa.regression.network_head import NetworkHead, Shapes, read_width
from sfqa.regression.networks import rectifier
from sfqa.regression.training_options import training_options

VERSION = 2
DESIGN = "blocks"
INPUTS = {"": ("base numbers", "spatial numbers", "temporal? numbers", "alignment? numbers")}
OPTIONS: Options = {
    "spatial": Flag(True, "whether the spatial rectifier is used"),
    "temporal": Flag(True, "whether the temporal rectifier is used"),
    "alignment": Flag(True, "whether the rectifier of alignment is used, if there is that input"),
    "base_direction": Choice(1, (1, -1), "-1 if the base score falls with quality"),
    "hidden": Option(128, 1, None, "width of every network", whole=True),
    "dropout": Option(0.0, 0, 1, "dropout of every network"),
    **training_options(
        # The team trained with batches of 8 at 1e-5 for 10 epochs, backbones and all; on frozen
        # features a larger rate is needed.
        loss="plcc", learning_rate=1.0e-4, epochs=100, patience=20,
    ),
}  # fmt: skip

ROLES = ("base", *rectifier.ROLES)


class Head(NetworkHead):
    """A base score and its rectifiers."""

    def list_inputs(self, options: Mapping[str, Any], inputs: Sequence[str]) -> list[HeadInput]:
        """Return the base and two or three rectifiers' inputs, each as its mean over steps."""
        if not 2 <= len(inputs) <= len(ROLES):
            raise UserError(
                f"head rectifier: inputs {', '.join(inputs) or 'none'}; it reads 2 to 4, in this "
                f"order: {', '.join(ROLES)}"
            )
        return [
            HeadInput(role, Steps(0), used=role == "base" or options[role])
            for role in ROLES[: len(inputs)]
        ]

    def build(self, shapes: Shapes, dims: int, options: Mapping[str, Any]) -> nn.Module:
        """Return the network of the base, if it is wide, and the rectifiers."""
        widths = {role: read_width(shape) for role, shape in shapes.items()}
        return rectifier.Rectified(
            widths, dims, options["hidden"], float(options["dropout"]), options["base_direction"]
        )
