"""Standardise features and MOS on the train rows of a problem, and on nothing else."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from sfqa.arrays import Floats, Ints
from sfqa.regression.problems import Problem

#: A column whose spread is below this share of its size is constant in float32.
CONSTANT = 1e-6
#: Numbers that are widened to float64 at once.
_AT_ONCE = 2**26


def measure_columns(
    blocks: Mapping[str, Tensor], rows: Ints, dtype: torch.dtype
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return mean and factor (:func:`moments`) of every column by block, each (width,).

    A block of sequences is scaled by column over all rows and steps.
    """
    means, factors = {}, {}
    for role, values in blocks.items():
        mean, factor = moments(values, rows)
        means[role], factors[role] = mean.to(dtype), factor.to(dtype)
    return means, factors


def moments(values: Tensor, rows: Ints) -> tuple[Tensor, Tensor]:
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


def measure_mos(problem: Problem) -> tuple[Floats, Floats]:
    """Return mean and sd of the known train MOS, each (dims,); sd 0 where they are constant.

    >>> from sfqa.regression.problems import make_problem
    >>> [v.tolist() for v in measure_mos(make_problem([0, 1, 2], [], np.array([1.0, 3.0, np.nan])))]
    [[2.0], [1.0]]
    """
    mean, sd = np.zeros(problem.dims), np.ones(problem.dims)
    for dim in range(problem.dims):
        known_mos = problem.y[problem.train, dim]
        known_mos = known_mos[np.isfinite(known_mos)]
        if len(known_mos):
            mean[dim], spread = known_mos.mean(), known_mos.std()
            sd[dim] = spread if spread > CONSTANT * abs(known_mos.mean()) else 0.0
    return mean, sd
