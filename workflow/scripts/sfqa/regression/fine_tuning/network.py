"""The base of networks that are trained from views: branches with a backbone and a head each."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sfqa.regression.fine_tuning.parts import SHARE, Branch, count_numbers, select_units
from sfqa.regression.networks.separate_scores import join_scores
from sfqa.training.optimization import ParameterGroups

#: What a stage of a training trains: a part of all branches, or a part of each branch by its name.
Trained = str | Mapping[str, Any]


class FineTunedNetwork(nn.Module):
    """Views by role to (rows, dims): the sum of the scores of all branches.

    In training mode the scores of several branches are returned side by side
    (:mod:`~sfqa.regression.networks.separate_scores`), unless ``separate`` is false. Frozen modules
    stay in evaluation mode: their dropout is off, and their batch norms use and keep their running
    statistics. Views are normalised by the network.
    """

    branches: Mapping[str, Branch]
    active: list[str]

    def __init__(self, separate: bool = True) -> None:
        super().__init__()
        self.separate = separate

    def set_branches(self, branches: Mapping[str, Branch]) -> None:
        """Set the branches, all of which are then trained and scored."""
        self.branches, self.active = dict(branches), list(branches)

    @abstractmethod
    def score_branch(self, branch: str, x: Mapping[str, Tensor]) -> Tensor:
        """Return the score of a branch, (rows, dims)."""

    def forward(self, x: Mapping[str, Tensor]) -> Tensor:
        """Return the sum of the active branches' scores, or in training the score of each."""
        scores = [self.score_branch(name, x) for name in self.active]
        if self.training and self.separate:
            return join_scores(scores)
        return torch.stack(scores).sum(dim=0)

    def select_trained(self, train: Trained) -> None:
        """Let only some parameters learn, and only the branches that have some be scored.

        ``train`` is 'head', 'last_stage', 'all' or {'share': 0.3} for all branches, or such a part
        for each branch that learns, by its name. Raises ``ValueError`` for another branch.
        """
        train = self._expand_part(train)
        self.requires_grad_(False)
        self.active = [name for name in self.branches if name in train]
        for name in self.active:
            branch = self.branches[name]
            units = select_units(branch, train[name])
            for parameter in [*branch.head, *(p for unit in units for p in unit.parameters)]:
                parameter.requires_grad_()
        self.train(self.training)

    def select_scored(self, parts: Sequence[Trained]) -> None:
        """Let the branches be scored that any of some parts trains."""
        trained = {name for part in parts for name in self._expand_part(part)}
        self.active = [name for name in self.branches if name in trained]

    def _expand_part(self, part: Trained) -> Mapping[str, Any]:
        """Return what is trained of each branch that learns, by its name."""
        if isinstance(part, str) or SHARE in part:
            return dict.fromkeys(self.branches, part)
        for name in part:
            if name not in self.branches:
                raise ValueError(f"no branch {name!r}; there are {', '.join(self.branches)}")
        return part

    def train(self, mode: bool = True) -> FineTunedNetwork:
        """Set the mode; a module of which no parameter learns stays in evaluation mode."""
        super().train(mode)
        for module in self.modules() if mode else ():
            parameters = list(module.parameters())
            if parameters and not any(p.requires_grad for p in parameters):
                module.eval()
        return self

    def group_parameters(self, backbone_rate: float) -> ParameterGroups:
        """Return the backbones' parameters with a factor of the learning rate, and the heads'."""
        units = [unit for branch in self.branches.values() for unit in branch.units]
        heads = [parameter for branch in self.branches.values() for parameter in branch.head]
        return [
            {"params": [p for unit in units for p in unit.parameters], "lr_factor": backbone_rate},
            {"params": heads},
        ]

    def list_trained_tensors(self) -> list[str]:
        """Return the names of the parameters that learn, as in the state of the network."""
        state = self.state_dict(keep_vars=True)
        return [name for name, value in state.items() if value.requires_grad]

    def describe_trained(self) -> str:
        """Return in words what learns: the units of each branch and their share of the numbers."""
        texts = []
        for name, branch in self.branches.items():
            if name not in self.active:
                texts.append(f"{name}: frozen and not scored")
                continue
            units = [u for u in branch.units if any(p.requires_grad for p in u.parameters)]
            names = "; ".join(["head", *(unit.name for unit in units)])
            if len(units) == len(branch.units):
                names = "head and the whole backbone"
            trained = count_numbers(branch.head) + sum(unit.count() for unit in units)
            texts.append(f"{name}: {trained:,} of {branch.count():,} parameters ({names})")
        return ", ".join(texts)


class PixelNorm(nn.Module):
    """Bytes of colours to standardised numbers, in the type of the network's parameters.

    ``mean`` and ``deviation`` are those of each colour, of pixels that are divided by ``scale``
    before. They are no part of the state.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, mean: tuple[float, ...], deviation: tuple[float, ...], scale: float = 1.0
    ) -> None:
        super().__init__()
        self.scale = scale
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation), persistent=False)

    def forward(self, pixels: Tensor, axis: int) -> Tensor:
        """Return pixels whose colours are on an axis, counted from the start, as numbers."""
        shape = [3 if n == axis else 1 for n in range(pixels.dim())]
        mean, deviation = self.mean.view(shape), self.deviation.view(shape)
        numbers = pixels.to(mean.dtype)
        if self.scale != 1:
            numbers = numbers / self.scale
        return (numbers - mean) / deviation
