"""Features of several frozen models, brought to one width by a linear layer each, and joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from sfqa.regression.networks.rectifier import average_steps
from sfqa.regression.networks.separate_scores import join_scores


class Gate(nn.Module):
    """Select features by themselves: x times the sigmoid of a linear layer of x."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features, each weighted from 0 to 1."""
        return x * torch.sigmoid(self.linear(x))


class AdapterFusion(nn.Module):
    """Features by role, each (rows, width of the role) -> (rows, dims).

    ``branches`` lists the roles of every branch, whose features are concatenated and projected to
    ``width``. All branches are concatenated for two linear layers. With ``branch_scores`` every
    branch also has a score; in training mode these are returned beside the joint one.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        branches: Sequence[Sequence[str]],
        dims: int,
        width: int,
        hidden: int,
        gate: bool,
        branch_scores: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.branches = [list(roles) for roles in branches]
        self.adapters = nn.ModuleList()
        for roles in self.branches:
            adapter = nn.Sequential(nn.Linear(sum(widths[role] for role in roles), width))
            if gate:
                adapter.append(Gate(width))
            self.adapters.append(adapter)
        self.scores = nn.ModuleList(nn.Linear(width, dims) for _ in branches if branch_scores)
        self.join = nn.Sequential(
            nn.Linear(width * len(self.branches), hidden), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(hidden, dims),
        )  # fmt: skip

    def forward(self, x: Mapping[str, Tensor]) -> Tensor:
        """Return the joint score, in training mode followed by those of the branches."""
        adapted = [
            adapter(torch.cat([average_steps(x[role]) for role in roles], dim=-1))
            for roles, adapter in zip(self.branches, self.adapters, strict=True)
        ]
        joint: Tensor = self.join(torch.cat(adapted, dim=-1))
        if not (self.training and self.scores):
            return joint
        branch_scores = [
            score(features) for score, features in zip(self.scores, adapted, strict=True)
        ]
        return join_scores([joint, *branch_scores])
