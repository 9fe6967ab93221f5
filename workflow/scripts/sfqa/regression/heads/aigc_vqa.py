"""AIGC-VQA's late fusion of three branches (CVPRW 2024, 3.4): s = q_t + q_a + s_a.

Inputs in this order: technical and aesthetic maps (DOVER's), and the text token of every frame
(ImageReward's BLIP). The frozen reading: the towers keep their published weights and the heads are
trained, each branch by the loss of its own score. The heads of the maps are DOVER's, that of the
token is ImageReward's MLP, so that all three can start from their published weights. Features are
not standardised. docs/ugvq.md lists what differs from the paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from sfqa.errors import UserError
from sfqa.options import Choice, Flag, Option, Options
from sfqa.regression import losses
from sfqa.regression.blocks import HeadInput, Steps
from sfqa.regression.head import check_input_count
from sfqa.regression.network_head import NetworkHead, Shapes, read_width
from sfqa.regression.networks.branches import BranchSum, RewardHead, make_map_head
from sfqa.regression.networks.separate_scores import sum_losses
from sfqa.regression.training_options import training_options

VERSION = 1
DESIGN = "blocks"
INPUTS = {"": ("technical maps", "aesthetic maps", "alignment numbers")}
BRANCHES = ("technical", "aesthetic", "alignment")
OPTIONS: Options = {
    "start": Choice(
        "random", ("random", "checkpoint"),
        "first weights; checkpoint: those of DOVER's heads and of ImageReward's MLP, from the "
        "weights of the extractors",
    ),
    "technical": Flag(True, "whether the technical branch is used (table 2)"),
    "aesthetic": Flag(True, "whether the aesthetic branch is used (table 2)"),
    "alignment": Flag(True, "whether the alignment branch is used (table 2)"),
    "loss_of": Choice(
        "branches", ("branches", "sum"),
        "what the loss compares with the MOS: the score of every branch (3.4), or their sum",
    ),
    "hidden": Option(64, 1, None, "width of the hidden layer of both heads of maps", whole=True),
    "dropout": Option(0.5, 0, 1, "dropout of both heads of maps"),
    "train_clips": Option(
        1, 0, None,
        "clips of each map that are drawn in every epoch of the training, 0: all; predictions are "
        "the mean over all clips",
        whole=True,
    ),
    **training_options(
        loss="plcc + rank_aigcvqa", optimizer="adamw", learning_rate=3.0e-5, weight_decay=0.05,
        epochs=50, patience=50, batch_rows=8,
    ),
}  # fmt: skip


class Head(NetworkHead):
    """A score of every branch, and their sum; a network for every trial and dimension."""

    def list_inputs(self, options: Mapping[str, Any], inputs: Sequence[str]) -> list[HeadInput]:
        """Return the three branches, each used or off."""
        check_input_count(self.name, inputs, BRANCHES)
        if not any(options[role] for role in BRANCHES):
            raise UserError("head aigc_vqa, options: all branches are off; leave one")
        steps = [Steps(keep_axes=True), Steps(keep_axes=True), Steps(0)]
        return [
            HeadInput(role, role_steps, used=options[role])
            for role, role_steps in zip(BRANCHES, steps, strict=True)
        ]

    def build(self, shapes: Shapes, dims: int, options: Mapping[str, Any]) -> nn.Module:
        """Return the branches that are used; raises ``ValueError`` for rows without maps."""
        dropout = float(options["dropout"])
        branch_heads: dict[str, nn.Module] = {
            role: RewardHead(read_width(shape), dims)
            if role == "alignment"
            else make_map_head(shape, dims, options["hidden"], dropout)
            for role, shape in shapes.items()
        }
        return BranchSum(branch_heads, separate=options["loss_of"] == "branches")

    def make_loss(self, options: Mapping[str, Any]) -> losses.Loss:
        """Return the sum of the losses of all branches, or the loss of their sum."""
        return sum_losses(super().make_loss(options))

    def standardises(self, role: str) -> bool:
        """Return False: the published heads read the features as they are."""
        return False

    def count_drawn_steps(self, options: Mapping[str, Any], roles: Sequence[str]) -> dict[str, int]:
        """Return how many clips of each map an epoch of the training reads."""
        return {role: int(options["train_clips"]) for role in roles if role != "alignment"}

    def rescales(self, options: Mapping[str, Any]) -> bool:
        """Return True: a sum of scores that each follow the standardised MOS has another scale."""
        return True
