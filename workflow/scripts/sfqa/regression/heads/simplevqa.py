"""SimpleVQA's head (arXiv 2204.14047): two linear layers on the features of every second.

There is no activation between the layers, so the mean of the seconds' scores is the score of their
mean, which is what this head reads. Inputs have one step a second and are joined in their order,
e.g. ``spatial.spatial`` and ``slowfast.slowfast``; a vector is a step of its own. Features and MOS
are standardised on train rows. The defaults are the published training. The precision is float64
for the reason given in ``mlp``, which gives the same numbers with ``seconds: 0``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sfqa.errors import UserError
from sfqa.options import Option, Options
from sfqa.regression.blocks import HeadInput, Steps
from sfqa.regression.network_head import NetworkHead, Shapes, read_width
from sfqa.regression.training_options import training_options

VERSION = 1
DESIGN = "blocks"
INPUTS = {"": ("part+ numbers",)}
OPTIONS: Options = {
    "seconds": Option(
        8, 0, None,
        "seconds that count: the first ones, and the last one again until there are this many, as "
        "in the published training (8), on which published figures rest; 0: every second once",
        whole=True,
    ),
    "hidden": Option(128, 1, None, "width of the hidden layer", whole=True),
    **training_options(
        loss="mae + rank_simplevqa", learning_rate=1.0e-5, weight_decay=1.0e-7, decay=0.9,
        decay_every=2, batch_rows=8, epochs=10, precision="float64",
    ),
}  # fmt: skip


class _JoinedLayers(nn.Module):
    """Vectors by role, joined, to (rows, dims)."""

    def __init__(self, widths: Mapping[str, int], dims: int, hidden: int) -> None:
        super().__init__()
        self.roles = list(widths)
        self.layers = nn.Sequential(
            nn.Linear(sum(widths.values()), hidden), nn.Linear(hidden, dims)
        )

    def forward(self, x: Mapping[str, Tensor]) -> Tensor:
        scores: Tensor = self.layers(torch.cat([x[role] for role in self.roles], dim=-1))
        return scores


class Head(NetworkHead):
    """One network for every trial and dimension."""

    def list_inputs(self, options: Mapping[str, Any], inputs: Sequence[str]) -> list[HeadInput]:
        """Return a role for every input, each the mean of the seconds that count."""
        if not inputs:
            raise UserError("head simplevqa: no inputs; name columns with a row for each second")
        steps = Steps(options["seconds"], "mean_first") if options["seconds"] else Steps(0)
        return [HeadInput(f"part{n}", steps) for n in range(len(inputs))]

    def build(self, shapes: Shapes, dims: int, options: Mapping[str, Any]) -> nn.Module:
        """Return the two layers; raises ``ValueError`` for an input that is no vector."""
        if any(len(shape) != 1 for shape in shapes.values()):
            raise ValueError("the head reads a vector of every input")
        widths = {role: read_width(shape) for role, shape in shapes.items()}
        return _JoinedLayers(widths, dims, options["hidden"])
