"""Ridge regression in closed form; lambda is chosen on the validation rows alone.

Minimises mean((y - x w - b)^2) + lambda |w|^2 over train rows, x standardised on train rows, one
lambda per dimension from the grid. The chosen model is kept as it is: it is not fitted again on
train and validation rows together, so that validation predictions stay out of sample. Problems and
lambdas are solved as batches: one eigenproblem for all lambdas, and for all that share train rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sfqa.errors import UserError
from sfqa.regression import problems as many
from sfqa.regression.heads._common import srcc
from sfqa.regression.problems import Features, Floats, Matrix, Problem
from sfqa.regression.scaling import moments

VERSION = 1
SELECTS = True
#: How many problems a call gets at most, so that a killed run loses little.
TOGETHER = 64
OPTIONS: dict[str, Any] = {
    "lambdas": [0.0001, 0.001, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 1000.0, 10000.0],
    "select": "mse",
}

#: Numbers that a batch of problems may hold at once (1 GiB in float64).
_AT_ONCE = 2**27


@dataclass(frozen=True)
class Linear:
    """Linear models of many problems: weights (problems, columns, dims), on columns as given.

    ``mean`` (problems, columns) stays apart, so that large means cost no digits.
    """

    mean: Floats
    weights: Floats
    intercept: Floats
    reasons: list[str]

    def predict(self, x: Features) -> Floats:
        """Return predictions in MOS units, float64 (problems, rows, dims); NaN with a reason."""
        matrix = np.asarray(x, np.float64)
        out = [
            (matrix - m) @ w + b
            for m, w, b in zip(self.mean, self.weights, self.intercept, strict=True)
        ]
        return np.stack(out)

    def state(self, problem: int) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays of one model."""
        return {name: getattr(self, name)[problem] for name in ("mean", "weights", "intercept")}


def restore(states: Sequence[Mapping[str, npt.NDArray[Any]]], options: Any, device: str) -> Linear:
    """Return the models of model files."""
    mean, weights, intercept = (
        np.stack([s[name] for s in states]) for name in ("mean", "weights", "intercept")
    )
    return Linear(mean, weights, intercept, [""] * len(states))


def fit_many(
    x: Features,
    problems: Sequence[Problem],
    options: Mapping[str, Any],
    work: Path,
    device: str,
) -> Linear:
    """Return the ridge models of the problems; see the head contract.

    ``select`` is 'mse' (smooth, steady on few rows) or 'srcc'; ties go to the larger lambda.
    Raises :class:`UserError` for a lambda that is not above 0.
    """
    lambdas = sorted(float(v) for v in options["lambdas"])
    if not lambdas or lambdas[0] <= 0:
        raise UserError(f"head ridge, option lambdas: {lambdas}; give numbers above 0")
    if options["select"] not in ("mse", "srcc"):
        raise UserError(f"head ridge, option select: {options['select']!r}; write mse or srcc")
    many.checked(x, problems)
    matrix = many.blocks(x)["x"]
    count, width, dims = len(problems), matrix.shape[1], problems[0].dims
    reasons = [many.why_not(p, True) for p in problems]
    mean = np.zeros((count, width))
    weights, intercept = np.full((count, width, dims), np.nan), np.full((count, dims), np.nan)
    # Dimensions and problems with the same train rows share their eigenproblem.
    shared: dict[bytes, list[tuple[int, int]]] = {}
    for n, one in enumerate(problems):
        for dim in range(0 if reasons[n] else dims):
            known = one.train[np.isfinite(one.y[one.train, dim])]
            shared.setdefault(known.tobytes(), []).append((n, dim))
    for members in _batches(list(shared.values()), problems, width):
        for place, row_mean, path in _paths(matrix, problems, members, lambdas, device):
            n, dim = place
            one = problems[n]
            average = float(np.nanmean(one.y[one.train, dim]))
            own = one.validation[np.isfinite(one.y[one.validation, dim])]
            on_val = (matrix[own].astype(np.float64) - row_mean) @ path.T + average
            best = _best(on_val, one.y[own, dim], lambdas, str(options["select"]))
            # Dimensions with other train rows have another mean: the first one's is the model's.
            if dim == 0:
                mean[n] = row_mean
            weights[n, :, dim] = path[best]
            intercept[n, dim] = average - (row_mean - mean[n]) @ path[best]
    return Linear(mean, weights, intercept, reasons)


def _best(on_val: Floats, y: Floats, lambdas: Sequence[float], select: str) -> int:
    scores = [
        -float(np.mean((on_val[:, n] - y) ** 2)) if select == "mse" else srcc(on_val[:, n], y)
        for n in range(len(lambdas))
    ]
    return max(range(len(lambdas)), key=lambda n: (scores[n], lambdas[n]))


def _batches(
    groups: Sequence[list[tuple[int, int]]], problems: Sequence[Problem], width: int
) -> list[list[list[tuple[int, int]]]]:
    """Groups of problems that the memory takes together."""
    rows = max(len(p.train) for p in problems)
    side = min(rows, width)
    step = max(1, _AT_ONCE // (2 * rows * width + 4 * side * side + 1))
    return [list(groups[n : n + step]) for n in range(0, len(groups), step)]


def _paths(
    matrix: Matrix,
    problems: Sequence[Problem],
    members: Sequence[Sequence[tuple[int, int]]],
    lambdas: Sequence[float],
    device: str,
) -> list[tuple[tuple[int, int], Floats, Floats]]:
    """For each (problem, dimension): the column means, and the weights (lambdas, columns)."""
    known = []
    for group in members:
        n, dim = group[0]
        train = problems[n].train
        known.append(train[np.isfinite(problems[n].y[train, dim])])
    rows, most = max(len(k) for k in known), max(len(g) for g in members)
    width, source = matrix.shape[1], torch.from_numpy(matrix).to(device)
    x = torch.zeros((len(known), rows, width), dtype=torch.float64, device=device)
    y = torch.zeros((len(known), rows, most), dtype=torch.float64, device=device)
    means, factors = [], []
    for s, own in enumerate(known):
        mean, factor = (v.to(device) for v in moments(source, own))
        x[s, : len(own)] = (source[torch.from_numpy(own).to(device)].double() - mean) * factor
        for k, (n, dim) in enumerate(members[s]):
            target = problems[n].y[own, dim]
            y[s, : len(own), k] = torch.from_numpy(target - target.mean()).to(device)
        means.append(mean.cpu().numpy())
        factors.append(factor.cpu().numpy())
    counts = torch.tensor([len(k) for k in known], dtype=torch.float64, device=device)
    found = _solve(x, y, counts[:, None, None], lambdas).cpu().numpy()
    return [
        (place, means[s], found[s, :, :, k] * factors[s])
        for s, group in enumerate(members)
        for k, place in enumerate(group)
    ]


def _solve(x: Tensor, y: Tensor, count: Tensor, lambdas: Sequence[float]) -> Tensor:
    """Weights (systems, lambdas, columns, targets); rows of zeros are no rows."""
    wide = x.shape[2] > x.shape[1]
    turned = x.transpose(1, 2)
    gram = (x @ turned if wide else turned @ x) / count
    values, vectors = torch.linalg.eigh(gram)
    right = vectors.transpose(1, 2) @ (y if wide else turned @ y) / count
    penalty = torch.tensor(lambdas, dtype=torch.float64, device=x.device)
    shrunk = right[:, None] / (values.clamp_min(0)[:, None] + penalty[:, None])[:, :, :, None]
    weights = vectors[:, None] @ shrunk
    return turned[:, None] @ weights if wide else weights
