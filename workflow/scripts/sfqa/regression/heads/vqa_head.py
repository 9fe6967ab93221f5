"""The head of FAST-VQA and DOVER on whole maps: 768-64-1 at every position, mean over positions.

One input for FAST-VQA (``fast_vqa.map``); several inputs have a head each, whose scores are summed,
as DOVER's (``dover.technical``, ``dover.aesthetic``). The GELU does not commute with pooling, so a
row is the whole map; it is read in float16 and converted batch by batch. Features are not
standardised, since the published heads expect them as they are. The defaults are the published
training of FAST-VQA's head (the first 10 of 30 epochs); config/models.yaml has DOVER's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from sfqa.errors import UserError
from sfqa.options import Choice, Option, Options
from sfqa.regression import losses
from sfqa.regression.blocks import HeadInput, Steps
from sfqa.regression.network_head import NetworkHead, Shapes
from sfqa.regression.networks.branches import BranchSum, make_map_head
from sfqa.regression.networks.separate_scores import sum_losses
from sfqa.regression.training_options import fastvqa_training_options

VERSION = 1
DESIGN = "blocks"
INPUTS = {"": ("map+ maps",)}
OPTIONS: Options = {
    "start": Choice(
        "random", ("random", "checkpoint"),
        "first weights; checkpoint: those of the published head, from the weights of the extractor",
    ),
    "hidden": Option(64, 1, None, "width of the hidden layer", whole=True),
    "dropout": Option(0.5, 0, 1, "dropout before both layers"),
    "train_clips": Option(
        1, 0, None,
        "clips of each map that are drawn in every epoch of the training, 0: all; predictions are "
        "the mean over all clips",
        whole=True,
    ),
    **fastvqa_training_options(epochs=10),
}  # fmt: skip


class Head(NetworkHead):
    """A score at every position of every map; a network for every trial and dimension."""

    def list_inputs(self, options: Mapping[str, Any], inputs: Sequence[str]) -> list[HeadInput]:
        """Return one role per map, all with whole maps."""
        if not inputs:
            raise UserError("head vqa_head: no inputs; name a column of maps, such as fast_vqa.map")
        return [HeadInput(f"map{n}", Steps(keep_axes=True)) for n in range(len(inputs))]

    def build(self, shapes: Shapes, dims: int, options: Mapping[str, Any]) -> nn.Module:
        """Return a head for every map; raises ``ValueError`` for rows without maps."""
        dropout = float(options["dropout"])
        map_heads = {
            role: make_map_head(shape, dims, options["hidden"], dropout)
            for role, shape in shapes.items()
        }
        return BranchSum(map_heads, separate=True)

    def make_loss(self, options: Mapping[str, Any]) -> losses.Loss:
        """Return the sum of the losses of all maps' scores."""
        return sum_losses(super().make_loss(options))

    def standardises(self, role: str) -> bool:
        """Return False: the published heads read the maps as they are."""
        return False

    def count_drawn_steps(self, options: Mapping[str, Any], roles: Sequence[str]) -> dict[str, int]:
        """Return how many clips of each map an epoch of the training reads."""
        return dict.fromkeys(roles, int(options["train_clips"]))

    def rescales(self, options: Mapping[str, Any]) -> bool:
        """Return True: the losses leave the scale of the scores free."""
        return True
