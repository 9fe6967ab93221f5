"""Features of several frozen models, an adapter each, joined (NTIRE 2025 XGC: Magnolia, XGC-Go).

Any number of inputs in any order; each is read as its mean over steps. Magnolia trains a score of
every branch beside the joint one (``branch_scores``) and concatenates the features of a prompt with
those of its picture (``with_previous``). XGC-Go weighs the features of every model by a gate
(``gate``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from sfqa.errors import UserError
from sfqa.options import Flag, Numbers, Option, Options
from sfqa.regression import losses
from sfqa.regression.blocks import HeadInput, Steps
from sfqa.regression.network_head import NetworkHead, Shapes, read_width
from sfqa.regression.networks.adapters import AdapterFusion
from sfqa.regression.networks.separate_scores import average_losses
from sfqa.regression.training_options import training_options

VERSION = 1
DESIGN = "blocks"
INPUTS = {"": ("branch+ numbers",)}
OPTIONS: Options = {
    "width": Option(256, 1, None, "width to which every adapter brings its features", whole=True),
    "hidden": Option(128, 1, None, "width of the layer that joins the branches", whole=True),
    "gate": Flag(False, "whether a gate weighs the features of every branch"),
    "branch_scores": Flag(False, "whether every branch is also trained to score alone"),
    "with_previous": Numbers(
        [], 2, None,
        "positions, counted from 1, of inputs that share the adapter of the input before them",
        whole=True,
    ),
    "dropout": Option(0.0, 0, 1, "dropout before the last layer"),
    **training_options(
        loss="plcc_fastvqa + 0.3 rank_fastvqa", learning_rate=3.0e-4, optimizer="adamw",
        batch_rows=16,
    ),
}  # fmt: skip


class Head(NetworkHead):
    """One adapter per branch, then two layers."""

    def list_inputs(self, options: Mapping[str, Any], inputs: Sequence[str]) -> list[HeadInput]:
        """Return every input as its mean; its role says to which branch it belongs."""
        for position in options["with_previous"]:
            if position > len(inputs):
                raise UserError(
                    f"head adapter_fusion, option with_previous: {position:g} is no position of "
                    f"{len(inputs)} inputs"
                )
        branch, roles = -1, []
        for position in range(1, len(inputs) + 1):
            branch += position not in options["with_previous"]
            roles.append(f"branch{branch}_{position}")
        return [HeadInput(role, Steps(0)) for role in roles]

    def make_loss(self, options: Mapping[str, Any]) -> losses.Loss:
        """Return the mean loss of all scores."""
        return average_losses(super().make_loss(options))

    def build(self, shapes: Shapes, dims: int, options: Mapping[str, Any]) -> nn.Module:
        """Return adapters and the layers that join them."""
        widths = {role: read_width(shape) for role, shape in shapes.items()}
        branches: dict[str, list[str]] = {}
        for role in widths:
            branches.setdefault(role.partition("_")[0], []).append(role)
        return AdapterFusion(
            widths, list(branches.values()), dims, options["width"], options["hidden"],
            options["gate"], options["branch_scores"], float(options["dropout"]),
        )  # fmt: skip
