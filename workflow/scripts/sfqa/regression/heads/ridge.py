"""Ridge regression in closed form; lambda is chosen on the validation rows alone.

Minimises mean((y - x w - b)^2) + lambda |w|^2 over train rows, x standardised on train rows, with
one lambda per dimension from the grid. The chosen model is not fitted again on train and validation
rows together, so that validation predictions stay out of sample. Problems and lambdas are solved in
batches, with one eigenproblem for all lambdas and for all problems that share train rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sfqa.arrays import AnyArray, Floats, Ints
from sfqa.errors import UserError
from sfqa.options import Choice, Numbers, Options
from sfqa.regression.batch_memory import count_numbers_at_once
from sfqa.regression.head import ModelHead
from sfqa.regression.problems import (
    Features,
    Matrix,
    Problem,
    check_problems,
    find_reason,
    get_blocks,
)
from sfqa.regression.scaling import moments
from sfqa.regression.selection import score_selection

VERSION = 1
SELECTS = True
#: So that little work is lost when a run is killed.
PROBLEMS_PER_CALL = 64
OPTIONS: Options = {
    "lambdas": Numbers(
        [0.0001, 0.001, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 1000.0, 10000.0],
        0, None, "penalties to choose from, above 0",
    ),
    "select": Choice(
        "mse", ("mse", "srcc"),
        "criterion on the validation rows; mse is smooth and steady on few rows",
    ),
}  # fmt: skip

#: Numbers that a batch of problems may hold at once on a CPU (1 GiB in float64).
_CPU_AT_ONCE = 2**27


@dataclass(frozen=True)
class LinearModels:
    """Linear models of many problems: weights (problems, columns, dims) of unscaled columns.

    ``mean`` (problems, columns) is subtracted first, so that large means cost no digits.
    """

    mean: Floats
    weights: Floats
    intercept: Floats
    reasons: list[str]

    def predict(self, x: Features) -> Floats:
        """Return predictions in MOS units, float64 (problems, rows, dims); NaN with a reason."""
        matrix = np.asarray(x, np.float64)
        predictions = [
            (matrix - mean) @ weights + intercept
            for mean, weights, intercept in zip(
                self.mean, self.weights, self.intercept, strict=True
            )
        ]
        return np.stack(predictions)

    def state(self, problem: int) -> dict[str, AnyArray]:
        """Return the arrays of one model."""
        return {name: getattr(self, name)[problem] for name in ("mean", "weights", "intercept")}


class Head(ModelHead):
    """One linear model for every problem and dimension."""

    def fit(
        self,
        x: Features,
        problems: Sequence[Problem],
        options: Mapping[str, Any],
        work: Path,
        device: str,
    ) -> LinearModels:
        """Return the ridge models of the problems; of equally good lambdas the larger is taken.

        Raises :class:`UserError` for a lambda that is not above 0.
        """
        lambdas = sorted(float(value) for value in options["lambdas"])
        if not lambdas or lambdas[0] <= 0:
            raise UserError(f"head ridge, options.lambdas is {lambdas}; give numbers above 0")
        check_problems(x, problems)
        matrix = get_blocks(x)["x"]
        count, width, dims = len(problems), matrix.shape[1], problems[0].dims
        reasons = [find_reason(problem, True) for problem in problems]
        mean = np.zeros((count, width))
        weights, intercept = np.full((count, width, dims), np.nan), np.full((count, dims), np.nan)
        # Dimensions and problems with the same train rows share their eigenproblem.
        by_rows: dict[bytes, list[tuple[int, int]]] = {}
        for n, problem in enumerate(problems):
            for dim in range(0 if reasons[n] else dims):
                by_rows.setdefault(_rated_rows(problem, dim).tobytes(), []).append((n, dim))
        at_once = count_numbers_at_once(device, _CPU_AT_ONCE)
        for groups in _batch_groups(list(by_rows.values()), problems, width, at_once):
            for n, dim, row_mean, path in _solve_paths(matrix, problems, groups, lambdas, device):
                problem = problems[n]
                average = float(np.nanmean(problem.y[problem.train, dim]))
                validation = problem.validation[np.isfinite(problem.y[problem.validation, dim])]
                centred = matrix[validation].astype(np.float64) - row_mean
                best = _choose_lambda(
                    centred @ path.T + average, problem.y[validation, dim], lambdas,
                    options["select"],
                )  # fmt: skip
                # Dimensions with other train rows have another mean: the model's is the first's.
                if dim == 0:
                    mean[n] = row_mean
                weights[n, :, dim] = path[best]
                intercept[n, dim] = average - (row_mean - mean[n]) @ path[best]
        return LinearModels(mean, weights, intercept, reasons)

    def restore(
        self, states: Sequence[Mapping[str, AnyArray]], options: Mapping[str, Any], device: str
    ) -> LinearModels:
        """Return the models of model files."""
        mean, weights, intercept = (
            np.stack([state[name] for state in states]) for name in ("mean", "weights", "intercept")
        )
        return LinearModels(mean, weights, intercept, [""] * len(states))


def _rated_rows(problem: Problem, dim: int) -> Ints:
    return problem.train[np.isfinite(problem.y[problem.train, dim])]


def _choose_lambda(predictions: Floats, y: Floats, lambdas: Sequence[float], select: str) -> int:
    """The index of the best lambda by its predictions (validation rows, lambdas)."""
    scores = [
        -float(np.mean((values - y) ** 2)) if select == "mse" else score_selection(values, y)
        for values in predictions.T
    ]
    return max(range(len(lambdas)), key=lambda n: (scores[n], lambdas[n]))


def _batch_groups(
    groups: Sequence[list[tuple[int, int]]], problems: Sequence[Problem], width: int, at_once: int
) -> list[list[list[tuple[int, int]]]]:
    """The groups in batches of at most ``at_once`` numbers, or of one group."""
    rows = max(len(p.train) for p in problems)
    side = min(rows, width)
    step = max(1, at_once // (2 * rows * width + 4 * side * side + 1))
    return [list(groups[n : n + step]) for n in range(0, len(groups), step)]


def _solve_paths(
    matrix: Matrix,
    problems: Sequence[Problem],
    groups: Sequence[Sequence[tuple[int, int]]],
    lambdas: Sequence[float],
    device: str,
) -> list[tuple[int, int, Floats, Floats]]:
    """For each problem and dimension: the column means, and the weights (lambdas, columns).

    The members (problem, dimension) of a group have the same train rows.
    """
    train = [_rated_rows(problems[group[0][0]], group[0][1]) for group in groups]
    most_rows, most_members = max(map(len, train)), max(map(len, groups))
    width, source = matrix.shape[1], torch.from_numpy(matrix).to(device)
    x = torch.zeros((len(groups), most_rows, width), dtype=torch.float64, device=device)
    y = torch.zeros((len(groups), most_rows, most_members), dtype=torch.float64, device=device)
    means, factors = [], []
    for g, rows in enumerate(train):
        mean, factor = (v.to(device) for v in moments(source, rows))
        x[g, : len(rows)] = (source[torch.from_numpy(rows).to(device)].double() - mean) * factor
        for k, (n, dim) in enumerate(groups[g]):
            target = problems[n].y[rows, dim]
            y[g, : len(rows), k] = torch.from_numpy(target - target.mean()).to(device)
        means.append(mean.cpu().numpy())
        factors.append(factor.cpu().numpy())
    counts = torch.tensor([len(rows) for rows in train], dtype=torch.float64, device=device)
    weights = _solve_systems(x, y, counts[:, None, None], lambdas).cpu().numpy()
    return [
        (n, dim, means[g], weights[g, :, :, k] * factors[g])
        for g, group in enumerate(groups)
        for k, (n, dim) in enumerate(group)
    ]


def _solve_systems(x: Tensor, y: Tensor, count: Tensor, lambdas: Sequence[float]) -> Tensor:
    """Weights (systems, lambdas, columns, targets); rows of zeros do not count."""
    wide = x.shape[2] > x.shape[1]
    transposed = x.transpose(1, 2)
    gram = (x @ transposed if wide else transposed @ x) / count
    values, vectors = torch.linalg.eigh(gram)
    right = vectors.transpose(1, 2) @ (y if wide else transposed @ y) / count
    penalty = torch.tensor(lambdas, dtype=torch.float64, device=x.device)
    shrunk = right[:, None] / (values.clamp_min(0)[:, None] + penalty[:, None])[:, :, :, None]
    weights = vectors[:, None] @ shrunk
    return transposed[:, None] @ weights if wide else weights
