"""Standardising features and MOS on the train rows of every problem, and on nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sfqa.arrays import Floats
from sfqa.regression.problems import Problem

#: A column whose spread is below this share of its size is constant in float32.
CONSTANT = 1e-6
#: Numbers that are widened to float64 at once.
_AT_ONCE = 2**26


@dataclass(frozen=True)
class Scalers:
    """Mean and factor (1 / sd, 0 for a constant column) by block, each (problems, width).

    A block of sequences is scaled by column over all rows and steps.
    """

    mean: dict[str, Tensor]
    factor: dict[str, Tensor]

    @staticmethod
    def of(
        x: Mapping[str, Tensor], problems: Sequence[Problem], dtype: torch.dtype, on: bool = True
    ) -> Scalers:
        """Return the scalers of the problems' train rows; with ``on`` false they change nothing."""
        mean, factor = {}, {}
        for name, values in x.items():
            shape = (len(problems), values.shape[-1])
            means, factors = torch.zeros(shape).double(), torch.ones(shape).double()
            for number, problem in enumerate(problems):
                if on and len(problem.train):
                    means[number], factors[number] = moments(values, problem.train)
            mean[name] = means.to(values.device, dtype)
            factor[name] = factors.to(values.device, dtype)
        return Scalers(mean, factor)

    def scaled(self, name: str, values: Tensor, which: Tensor) -> Tensor:
        """Return (problems, rows, ..., width) in the scale of the problems ``which``."""
        shape = (len(which), *[1] * (values.dim() - 2), -1)
        mean, factor = (m[name][which].view(shape) for m in (self.mean, self.factor))
        return (values.to(mean.dtype) - mean) * factor


def moments(values: Tensor, rows: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Return mean and 1 / sd (ddof 0) of every column over some rows and all steps.

    Float64 on the CPU, (width,) each; the factor of a column that is constant is 0.

    >>> [v.tolist() for v in moments(torch.tensor([[1.0, 5], [3, 5], [9, 9]]), np.array([0, 1]))]
    [[2.0, 5.0], [1.0, 0.0]]
    """
    width = values.shape[-1]
    row_index = torch.from_numpy(rows).to(values.device)
    step = max(1, _AT_ONCE // max(1, len(rows) * values[0].numel() // max(1, width)))
    means, sds = [], []
    for start in range(0, width, step):
        flat = values[row_index, ..., start : start + step].double().flatten(0, -2)
        mean = flat.mean(dim=0)
        means.append(mean.cpu())
        sds.append(((flat - mean) ** 2).mean(dim=0).sqrt().cpu())
    column_means, sd = torch.cat(means), torch.cat(sds)
    varies = sd > CONSTANT * column_means.abs()
    return column_means, torch.where(varies, 1 / torch.where(varies, sd, 1.0), 0.0)


def mos_scale(problems: Sequence[Problem], on: bool = True) -> tuple[Floats, Floats]:
    """Return mean and sd of the known train MOS, each (problems, dims); sd 0 where constant.

    >>> from sfqa.regression.problems import make_problem
    >>> [v.tolist() for v in mos_scale([make_problem([0, 1, 2], [], np.array([1.0, 3.0, np.nan]))])]
    [[[2.0]], [[1.0]]]
    """
    shape = (len(problems), problems[0].dims)
    mean, sd = np.zeros(shape), np.ones(shape)
    for number, problem in enumerate(problems):
        for dim in range(problem.dims):
            known_mos = problem.y[problem.train, dim]
            known_mos = known_mos[np.isfinite(known_mos)]
            if on and len(known_mos):
                mean[number, dim], spread = known_mos.mean(), known_mos.std()
                sd[number, dim] = spread if spread > CONSTANT * abs(known_mos.mean()) else 0.0
    return mean, sd
