"""Branches with a score each, whose sum is the quality: DOVER's two, AIGC-VQA's three."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sfqa.features.vqa_head_net import VqaHead
from sfqa.regression.networks.separate_scores import join_scores

#: Where the head of a branch is in the state of a network: 'heads.technical.fc_hid.weight'.
PREFIX = "heads.{role}."


class BranchSum(nn.Module):
    """A head for every branch, and the plain sum of their scores.

    Inputs by role to (rows, dims), or with ``separate`` in training to the scores of all branches
    side by side, so that each has a loss. A head maps the input of its role to (rows, dims).
    """

    def __init__(self, heads: Mapping[str, nn.Module], separate: bool) -> None:
        super().__init__()
        self.heads = nn.ModuleDict(heads)
        self.separate = separate

    def forward(self, x: Mapping[str, Tensor]) -> Tensor:
        """Return the sum of the scores, or the score of each branch."""
        scores = list(self.compute_scores(x).values())
        if self.training and self.separate:
            return join_scores(scores)
        return torch.stack(scores).sum(dim=0)

    def compute_scores(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the score of every branch, (rows, dims)."""
        return {role: head(x[role]) for role, head in self.heads.items()}


class MapHead(VqaHead):
    """Maps of clips (rows, clips, channels, time, rows, columns) to scores (rows, dims).

    The mean over clips and positions of the head of FAST-VQA and DOVER.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Return the mean score of the clips."""
        rows, clips = maps.shape[:2]
        scores = super().forward(maps.flatten(0, 1)).mean(dim=(2, 3, 4))
        return scores.unflatten(0, (rows, clips)).mean(dim=1)


class RewardHead(nn.Module):
    """ImageReward's MLP on BLIP's text token: (rows, width) to (rows, dims).

    Five linear layers without an activation between them, so in evaluation the score of a mean over
    frames is the mean of their scores. The score is ImageReward's before it is standardised.
    Source: Xu et al., ImageReward (NeurIPS 2023).
    """

    def __init__(self, width: int, dims: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, 1024), nn.Dropout(0.2), nn.Linear(1024, 128), nn.Dropout(0.2),
            nn.Linear(128, 64), nn.Dropout(0.1), nn.Linear(64, 16), nn.Linear(16, dims),
        )  # fmt: skip

    def forward(self, token: Tensor) -> Tensor:
        """Return the score of the token."""
        scores: Tensor = self.layers(token)
        return scores


def make_map_head(shape: tuple[int, ...], dims: int, hidden: int, dropout: float) -> MapHead:
    """Return the head for the maps of a row, (clips, channels, time, rows, columns).

    Raises ``ValueError`` for another shape.
    """
    if len(shape) != 5:
        raise ValueError(
            f"the head reads maps (clips, channels, time, rows, columns), and a row is {shape}"
        )
    return MapHead(shape[1], hidden, dropout, dims)
