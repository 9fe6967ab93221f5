"""AIGC-VQA's late fusion of three branches (CVPRW 2024, 3.4): s = q_t + q_a + s_a.

Inputs in this order: technical, aesthetic, alignment features, e.g. DOVER's two and BLIP's class
token. With ``channels`` whole maps are read position by position, since the GELU of these heads
does not commute with pooling. docs/ugvq.md lists what differs from the paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from sfqa.errors import UserError
from sfqa.options import Flag, Option, Options
from sfqa.regression.blocks import HeadInput, Steps
from sfqa.regression.head import check_input_count
from sfqa.regression.network_head import NetworkHead, Shapes, read_width
from sfqa.regression.networks import fusion
from sfqa.regression.training_options import training_options

VERSION = 2
DESIGN = "blocks"
OPTIONS: Options = {
    "technical": Flag(True, "whether the technical branch is used (table 2)"),
    "aesthetic": Flag(True, "whether the aesthetic branch is used (table 2)"),
    "alignment": Flag(True, "whether the alignment branch is used (table 2)"),
    "steps": Option(
        0, 0, None,
        "steps of every input, taken uniformly; 0: as they are, if all samples have as many",
        whole=True,
    ),
    "channels": Option(
        0, 0, None, "channels of a step's map, the rest being positions; 0: a step is a vector",
        whole=True,
    ),
    "hidden": Option(64, 1, None, "width of every branch", whole=True),
    "dropout": Option(0.5, 0, 1, "dropout of every branch"),
    **training_options(
        # The learning rate of DOVER's heads.
        loss="plcc + rank_aigcvqa", learning_rate=1.0e-3, weight_decay=0.05, optimizer="adamw",
        patience=20,
    ),
}  # fmt: skip


class Head(NetworkHead):
    """A score of every branch, and their sum."""

    def list_inputs(self, options: Mapping[str, Any], inputs: Sequence[str]) -> list[HeadInput]:
        """Return the three branches, each used or off."""
        check_input_count(self.name, inputs, fusion.BRANCHES)
        if not any(options[role] for role in fusion.BRANCHES):
            raise UserError("head late_fusion, options: all branches are off; leave one")
        steps = Steps(options["steps"] or None)
        return [HeadInput(role, steps, used=options[role]) for role in fusion.BRANCHES]

    def build(self, shapes: Shapes, dims: int, options: Mapping[str, Any]) -> nn.Module:
        """Return the branches that are used."""
        widths = {role: read_width(shape) for role, shape in shapes.items()}
        return fusion.LateFusion(
            widths, dims, options["hidden"], options["channels"], float(options["dropout"])
        )
