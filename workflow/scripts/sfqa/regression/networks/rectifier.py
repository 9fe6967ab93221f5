"""Rectifiers around a base score (NTIRE 2025 XGC, SJTU-MOE-AI; after Wen et al., ModularBVQA).

Each rectifier turns its features into a scale and a shift; k of them give
y = (alpha_1 ... alpha_k)^(1/k) y_base + (beta_1 + ... + beta_k) / k,
which is eq. 9 of the supplement for spatial and temporal, eq. 8 with alignment as the third.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

ROLES = ("spatial", "temporal", "alignment")
#: softplus of it is 1.
_ONE = math.log(math.e - 1)
#: The smallest scale, so that the gradient of its logarithm is bounded.
_MIN_SCALE = 1e-4


class Rectifier(nn.Module):
    """(n, d) -> log of the scale and the shift, each (n, dims); 0 and 0 at the start."""

    def __init__(self, inputs: int, hidden: int, dims: int, dropout: float) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(inputs, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 2 * dims)
        )
        last = self.net[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return log alpha and beta."""
        scale, shift = self.net(x).chunk(2, dim=-1)
        return torch.log(softplus(scale + _ONE) + _MIN_SCALE), shift


class Rectified(nn.Module):
    """base (n, 1) and the features of each rectifier -> (n, dims).

    Features of several steps are averaged. A base that is wider than one number is turned into a
    score per dimension by a network of one hidden layer. ``direction`` is -1 for a base that falls
    with quality. Scales are positive (softplus), so that the root is always defined; the product
    is computed from logarithms.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        dims: int,
        hidden: int = 128,
        dropout: float = 0.0,
        direction: int = 1,
    ) -> None:
        super().__init__()
        self.direction = direction
        self.roles = [r for r in ROLES if r in widths]
        self.rectifiers = nn.ModuleDict(
            {r: Rectifier(widths[r], hidden, dims, dropout) for r in self.roles}
        )
        self.base = nn.Sequential()
        if widths["base"] > 1:
            self.base = nn.Sequential(
                nn.Linear(widths["base"], hidden), nn.ReLU(), nn.Linear(hidden, dims)
            )
        self.dims = dims

    def forward(self, x: Mapping[str, Tensor]) -> Tensor:
        """Return the rectified score, one column per dimension."""
        base = self.base(self.direction * average_steps(x["base"]))
        base = base.expand(*base.shape[:-1], self.dims)
        if not self.roles:
            return base
        scales, shifts = zip(
            *(self.rectifiers[r](average_steps(x[r])) for r in self.roles), strict=True
        )
        scale = torch.exp(torch.stack(scales).mean(dim=0))
        return scale * base + torch.stack(shifts).mean(dim=0)


def average_steps(x: Tensor) -> Tensor:
    """Return the mean over steps of (rows, steps, width); (rows, width) as it is."""
    return x.mean(dim=-2) if x.dim() == 3 else x
