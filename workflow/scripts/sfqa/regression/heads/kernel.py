"""Kernel ridge regression, which is the mean of a Gaussian process, in closed form.

The kernel is RBF plus a share of linear: k(a, b) = exp(-gamma |a - b|^2 / d) + linear a.b / d on d
standardised columns, with an intercept that is not shrunk. gamma, the linear share and lambda are
chosen by the exact error of leaving train rows out one by one, or whole groups if the protocol
splits by groups: rows of one portrait say too much about each other. No model is fitted again for
that. With G = K + lambda I, C = G^-1 - G^-1 1 1' G^-1 / (1' G^-1 1) and
alpha = C y, leaving out the rows g gives the errors C_gg^-1 alpha_g. Scalers are not fitted again.

All problems are solved as one batch. The search of each begins in the middle of the lattice of
options and goes on to the best neighbour (``search: descent``), or tries all points (``grid``).
With many train rows it runs on a random part of them, and its best points are tried on all rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sfqa.arrays import AnyArray, Floats, Ints
from sfqa.errors import UserError
from sfqa.identity import random_generator
from sfqa.options import Choice, Flag, Numbers, Options
from sfqa.regression.batch_memory import count_numbers_at_once
from sfqa.regression.head import ModelHead
from sfqa.regression.heads.boosting import split_dimensions
from sfqa.regression.problems import (
    Features,
    Problem,
    check_problems,
    find_reason,
    get_blocks,
    name_arrays_by_dimension,
    train_on_validation,
)
from sfqa.regression.scaling import moments

VERSION = 2
SELECTS = True
PROBLEMS_PER_CALL = 32
OPTIONS: Options = {
    "gammas": Numbers([0.03, 0.1, 0.3, 1.0, 3.0], 0, None, "widths of the RBF to try; 0: no RBF"),
    "linear": Numbers([0.0, 0.3, 3.0], 0, None, "shares of the linear kernel to try"),
    "lambdas": Numbers(
        [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0], 0, None,
        "penalties to try, above 0, in units of the kernel",
    ),
    "select": Choice(
        "loo", ("loo", "validation"),
        "by which error the three are chosen: of train rows left out, or of the validation rows",
    ),
    "search": Choice("descent", ("descent", "grid"), "how the best point is searched"),
    "fit_on_validation": Flag(
        False, "whether validation rows are learnt from too; only with select: loo"
    ),
}  # fmt: skip

#: With at least twice SCREEN_ROWS train rows the search runs on about SCREEN_ROWS of them, and its
#: best SCREENED_POINTS points are tried on all.
SCREEN_ROWS, SCREENED_POINTS = 320, 2

#: More train rows than this need more memory than a job has (8 matrices of float64).
MOST_ROWS = 15_000

#: Numbers that a batch may hold at once on a CPU.
_CPU_AT_ONCE = 2**26

Point = tuple[int, int, int]


@dataclass(frozen=True)
class KernelModels:
    """Fitted kernels: one dictionary of arrays per problem and dimension."""

    models: list[list[dict[str, AnyArray]]]
    reasons: list[str]
    dims: int
    device: str

    def predict(self, x: Features) -> Floats:
        """Return predictions in MOS units, float64 (problems, rows, dims); NaN with a reason."""
        matrix = torch.from_numpy(np.ascontiguousarray(get_blocks(x)["x"])).to(self.device)
        predictions = np.full((len(self.models), len(matrix), self.dims), np.nan)
        for number, models in enumerate(self.models):
            for dim, arrays in enumerate(models):
                m = {k: torch.from_numpy(np.asarray(v)).to(self.device) for k, v in arrays.items()}
                at_once = count_numbers_at_once(self.device, _CPU_AT_ONCE)
                step = max(1, at_once // (4 * len(m["alpha"])))
                for start in range(0, len(matrix), step):
                    rows = (matrix[start : start + step].double() - m["mean"]) * m["factor"]
                    k = _compute_kernel(
                        *_compute_products(rows, m["rows"]), m["gamma"], m["linear"]
                    )
                    values = k @ m["alpha"] + m["intercept"]
                    predictions[number, start : start + step, dim] = values.cpu().numpy()
        return predictions

    def state(self, problem: int) -> dict[str, AnyArray]:
        """Return the arrays of one problem's models, 'name.dimension'."""
        return name_arrays_by_dimension(self.models[problem])


class Head(ModelHead):
    """Kernel ridge regression with its hyper-parameters chosen for every problem and dimension."""

    def fit(
        self,
        x: Features,
        problems: Sequence[Problem],
        options: Mapping[str, Any],
        work: Path,
        device: str,
    ) -> KernelModels:
        """Return the kernel models of the problems.

        Points of equal error: the larger lambda is taken. Raises :class:`UserError` for options
        that make no kernel and for more than MOST_ROWS train rows.
        """
        lattice = _make_lattice(options)
        check_problems(x, problems)
        by_validation = options["select"] == "validation"
        if options["fit_on_validation"]:
            if by_validation:
                raise UserError(
                    "head kernel: select validation and fit_on_validation do not go together; "
                    "write select: loo"
                )
            problems = train_on_validation(problems)
        reasons = [find_reason(problem, by_validation) for problem in problems]
        dims = problems[0].dims
        models: list[list[dict[str, AnyArray]]] = [[] for _ in problems]
        fits = [(n, dim) for n, reason in enumerate(reasons) if not reason for dim in range(dims)]
        matrix = torch.from_numpy(get_blocks(x)["x"]).to(device)
        most_rows = max((len(problem.rows) for problem in problems), default=1)
        if most_rows > MOST_ROWS:
            raise UserError(
                f"head kernel: {most_rows} train rows, whose kernels take "
                f"{64 * most_rows**2 / 1e9:.0f} GB; take head ridge or mlp, or splits of at most "
                f"{MOST_ROWS} train rows"
            )
        at_once = count_numbers_at_once(device, _CPU_AT_ONCE)
        step = max(1, at_once // (8 * most_rows * most_rows + 1))
        for start in range(0, len(fits), step):
            part = fits[start : start + step]
            members = [(problems[n], dim) for n, dim in part]
            batch = _Batch(matrix, members, lattice, by_validation)
            points = _search_points(batch, matrix, members, str(options["search"]))
            for (n, _), arrays in zip(part, batch.solve(points), strict=True):
                models[n].append(arrays)
        return KernelModels(models, reasons, dims, device)

    def restore(
        self, states: Sequence[Mapping[str, AnyArray]], options: Mapping[str, Any], device: str
    ) -> KernelModels:
        """Return the models of model files."""
        models = split_dimensions(states)
        return KernelModels(models, [""] * len(states), len(models[0]), device)


def _search_points(
    batch: _Batch, matrix: Tensor, members: Sequence[tuple[Problem, int]], search: str
) -> list[Point]:
    """The best point of the lattice for every fit."""
    a, b, c = (range(len(axis)) for axis in batch.lattice)
    all_points: list[Point] = list(product(a, b, c))
    errors: list[dict[Point, float]] = [{} for _ in members]
    thinning = int(batch.size.min()) // SCREEN_ROWS
    if search == "grid":
        batch.try_points(errors, [(n, p) for p in all_points for n in range(len(members))])
    elif thinning < 2:
        batch.descend(errors)
    else:
        fewer_rows = [
            (replace(problem, train=_draw_rows(rows, thinning, problem.seed)), dim)
            for (problem, dim), rows in zip(members, batch.train, strict=True)
        ]
        screened: list[dict[Point, float]] = [{} for _ in members]
        _Batch(matrix, fewer_rows, batch.lattice, batch.by_validation).descend(screened)
        best = [
            sorted(tried, key=lambda point, tried=tried: _rank(tried, point))[:SCREENED_POINTS]  # type: ignore[misc]
            for tried in screened
        ]
        batch.try_points(errors, [(n, points[k]) for k in range(SCREENED_POINTS) for n, points in
                                  enumerate(best) if k < len(points)])  # fmt: skip
    return [_find_best(tried) for tried in errors]


def _draw_rows(rows: Ints, thinning: int, seed: int) -> Ints:
    """Return one of ``thinning`` rows, drawn at random.

    Every k-th row would be of the same few methods, if the names of samples end with a method.
    """
    draw = random_generator(seed, "kernel screening")
    return np.sort(draw.permutation(rows)[: -(-len(rows) // thinning)])


def _rank(errors: Mapping[Point, float], point: Point) -> tuple[float, tuple[int, ...]]:
    """By error; ties go to the larger lambda, then the more linear, then the narrower RBF."""
    return errors[point], tuple(-i for i in reversed(point))


def _find_best(errors: Mapping[Point, float]) -> Point:
    return min(errors, key=lambda point: _rank(errors, point))


def _make_lattice(options: Mapping[str, Any]) -> tuple[list[float], list[float], list[float]]:
    axes = {k: sorted({float(v) for v in options[k]}) for k in ("gammas", "linear", "lambdas")}
    for name, values in axes.items():
        if not values or (name == "lambdas" and values[0] == 0):
            least = "above 0" if name == "lambdas" else "from 0"
            raise UserError(f"head kernel, options.{name} is {values}; give numbers {least}")
    if axes["gammas"] == [0.0] and axes["linear"] == [0.0]:
        raise UserError("head kernel: gammas and linear are all 0; give one of them a number")
    return axes["gammas"], axes["linear"], axes["lambdas"]


def pad_rows(rows: Sequence[Ints], device: str) -> tuple[Tensor, Tensor]:
    """Return row numbers of different counts as (problems, most), and where they are real.

    >>> pad_rows([np.array([4, 5]), np.array([7])], "cpu")[0].tolist()
    [[4, 5], [7, 0]]
    """
    most = max((len(indices) for indices in rows), default=0)
    padded = torch.zeros((len(rows), most), dtype=torch.int64)
    real = torch.zeros((len(rows), most), dtype=torch.bool)
    for number, indices in enumerate(rows):
        padded[number, : len(indices)] = torch.from_numpy(indices)
        real[number, : len(indices)] = True
    return padded.to(device), real.to(device)


def _compute_products(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distances and products of rows (..., a, d) and (..., b, d), over d."""
    dot = a @ b.transpose(-1, -2)
    squares = (a**2).sum(-1)[..., :, None] + (b**2).sum(-1)[..., None, :]
    d = a.shape[-1]
    return (squares - 2 * dot).clamp_min(0) / d, dot / d


def _compute_kernel(distance: Tensor, dot: Tensor, gamma: Tensor, linear: Tensor) -> Tensor:
    gamma, linear = (v.reshape(v.shape + (1,) * (dot.dim() - v.dim())) for v in (gamma, linear))
    kernel = (distance * -gamma).exp_()
    if not bool((gamma > 0).all()):
        kernel = kernel * (gamma > 0)
    return kernel.addcmul_(linear, dot) if bool((linear > 0).any()) else kernel


class _Batch:
    """Fits of one dimension each, padded to one number of rows."""

    def __init__(
        self,
        matrix: Tensor,
        members: Sequence[tuple[Problem, int]],
        lattice: tuple[list[float], list[float], list[float]],
        by_validation: bool,
    ) -> None:
        device = matrix.device
        self.lattice, self.by_validation, self.count = lattice, by_validation, len(members)
        self.train = [p.train[np.isfinite(p.y[p.train, d])] for p, d in members]
        indices, self.real = pad_rows(self.train, str(device))
        self.size, self.unpadded = self.real.sum(dim=1), bool(self.real.all())
        scales = [moments(matrix, rows) for rows in self.train]
        self.mean, self.factor = (torch.stack(v).to(device) for v in zip(*scales, strict=True))
        self.rows = self._scale(matrix[indices]) * self.real[:, :, None]
        self.y = self._pad_targets(
            [p.y[rows, d] for (p, d), rows in zip(members, self.train, strict=True)]
        )
        self.distance, self.dot = _compute_products(self.rows, self.rows)
        if by_validation:
            validation = [p.validation[np.isfinite(p.y[p.validation, d])] for p, d in members]
            indices, self.val_real = pad_rows(validation, str(device))
            self.val_y = self._pad_targets(
                [p.y[rows, d] for (p, d), rows in zip(members, validation, strict=True)]
            )
            self.to_val = _compute_products(self._scale(matrix[indices]), self.rows)
        self.groups = self._index_groups([p for p, _ in members])

    def _scale(self, values: Tensor) -> Tensor:
        return (values.double() - self.mean[:, None]) * self.factor[:, None]

    def _pad_targets(self, targets: Sequence[Floats]) -> Tensor:
        padded_targets = torch.zeros((len(targets), max(map(len, targets))), dtype=torch.float64)
        for n, y in enumerate(targets):
            padded_targets[n, : len(y)] = torch.from_numpy(y)
        return padded_targets.to(self.mean.device)

    def _index_groups(self, problems: Sequence[Problem]) -> list[tuple[Tensor, Tensor]] | None:
        """Indices of the rows of every group, per fit; None if no problem has groups."""
        if all(problem.groups is None for problem in problems):
            return None
        groups = []
        for problem, rows in zip(problems, self.train, strict=True):
            codes = rows if problem.groups is None else problem.groups[rows]
            parts = [np.flatnonzero(codes == code) for code in np.unique(codes)]
            if len(parts) == 1:  # one group has no other to be predicted from
                parts = [np.array([n]) for n in range(len(rows))]
            groups.append(pad_rows(parts, str(self.mean.device)))
        return groups

    def solve(self, points: Sequence[Point]) -> list[dict[str, AnyArray]]:
        """Return the model of every fit at its point."""
        models: list[dict[str, AnyArray]] = []
        for n, point in enumerate(points):
            factor, _, _ = self._factorise(torch.tensor([n], device=self.mean.device), [point])
            size, real = int(self.size[n]), self.real[n].double()
            right_sides = torch.stack([self.y[n], real], dim=1)[None]
            plain, ones = torch.cholesky_solve(right_sides, factor)[0].unbind(1)
            intercept = (plain * real).sum() / (ones * real).sum()
            values = [
                torch.tensor(a[i], dtype=torch.float64)
                for a, i in zip(self.lattice, point, strict=True)
            ]
            arrays = {
                "rows": self.rows[n, :size], "alpha": (plain - intercept * ones)[:size],
                "intercept": intercept, "mean": self.mean[n], "factor": self.factor[n],
                "gamma": values[0], "linear": values[1], "lambda": values[2],
            }  # fmt: skip
            models.append({k: v.cpu().numpy().copy() for k, v in arrays.items()})
        return models

    def descend(self, errors: list[dict[Point, float]]) -> None:
        """Search from the middle to better neighbours, two steps of the lattice away, then one."""
        middle = tuple(len(axis) // 2 for axis in self.lattice)
        current: list[Point] = [(middle[0], middle[1], middle[2])] * self.count
        self.try_points(errors, list(enumerate(current)))
        for stride in (2, 1):
            unfinished = set(range(self.count))
            while unfinished:
                neighbours = []
                for axis, sign in product((2, 0, 1), (-1, 1)):
                    for n in sorted(unfinished):
                        point = list(current[n])
                        point[axis] += sign * stride
                        if 0 <= point[axis] < len(self.lattice[axis]):
                            neighbours.append((n, (point[0], point[1], point[2])))
                self.try_points(errors, neighbours)
                for n in sorted(unfinished):
                    best = _find_best(errors[n])
                    if best == current[n]:
                        unfinished.discard(n)
                    current[n] = best

    def try_points(
        self, errors: list[dict[Point, float]], points: Sequence[tuple[int, Point]]
    ) -> None:
        """Add the error of every (fit, point) that has none yet, in batches."""
        new = [(n, point) for n, point in points if point not in errors[n]]
        for start in range(0, len(new), max(1, self.count)):
            part = new[start : start + max(1, self.count)]
            computed = self._compute_errors(
                torch.tensor([n for n, _ in part]), [point for _, point in part]
            )
            for (n, point), error in zip(part, computed.tolist(), strict=True):
                errors[n][point] = error if np.isfinite(error) else np.inf

    def _factorise(self, which: Tensor, points: Sequence[Point]) -> tuple[Tensor, Tensor, Tensor]:
        """The Cholesky factor of G, gamma and linear share, for fits at points."""
        gamma, linear, penalty = (
            torch.tensor([axis[p[k]] for p in points], dtype=torch.float64, device=which.device)
            for k, axis in enumerate(self.lattice)
        )
        real = self.real[which]
        g = _compute_kernel(self.distance[which], self.dot[which], gamma, linear)
        if not self.unpadded:
            g = g * (real[:, :, None] & real[:, None, :])
        # A row of padding gets 1 on the diagonal, so that it affects no other row.
        g.diagonal(dim1=1, dim2=2).add_(torch.where(real, penalty[:, None], 1.0))
        return torch.linalg.cholesky_ex(g)[0], gamma, linear

    def _invert(
        self, which: Tensor, points: Sequence[Point]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """G^-1 (without padding), its sum, gamma and linear share, for fits at points."""
        factor, gamma, linear = self._factorise(which, points)
        inverse = torch.cholesky_inverse(factor)
        inverse.diagonal(dim1=1, dim2=2).mul_(self.real[which])
        return inverse, inverse.sum(dim=(1, 2)), gamma, linear

    def _compute_alpha(self, inverse: Tensor, total: Tensor, y: Tensor) -> Tensor:
        ones = inverse.sum(dim=2)
        plain = (inverse @ y[:, :, None])[:, :, 0]
        return plain - ones * ((ones * y).sum(dim=1) / total)[:, None]

    def _compute_errors(self, which: Tensor, points: Sequence[Point]) -> Tensor:
        """Mean squared error of rows left out, or of validation rows, for fits at points."""
        which = which.to(self.mean.device)
        inverse, total, gamma, linear = self._invert(which, points)
        y = self.y[which]
        alpha = self._compute_alpha(inverse, total, y)
        if self.by_validation:
            k = _compute_kernel(self.to_val[0][which], self.to_val[1][which], gamma, linear)
            intercept = (inverse.sum(dim=2) * y).sum(dim=1) / total
            residual = (k @ alpha[:, :, None])[:, :, 0] + intercept[:, None] - self.val_y[which]
            real = self.val_real[which]
        else:
            real, residual = self.real[which], self._leave_out(which, inverse, total, alpha)
        return torch.where(real, residual**2, 0.0).sum(dim=1) / real.sum(dim=1)

    def _leave_out(self, which: Tensor, inverse: Tensor, total: Tensor, alpha: Tensor) -> Tensor:
        ones = inverse.sum(dim=2)
        if self.groups is None:
            diagonal = inverse.diagonal(dim1=1, dim2=2) - ones**2 / total[:, None]
            return alpha / torch.where(self.real[which], diagonal, 1.0)
        residual = torch.zeros_like(alpha)
        for n, fit in enumerate(which.tolist()):
            rows, real = self.groups[fit]
            block = inverse[n][rows[:, :, None], rows[:, None, :]]
            block = block - ones[n][rows][:, :, None] * ones[n][rows][:, None, :] / total[n]
            block = block * (real[:, :, None] & real[:, None, :])
            block.diagonal(dim1=1, dim2=2).add_((~real).to(block.dtype))
            errors = torch.linalg.solve_ex(block, (alpha[n][rows] * real)[:, :, None])[0][:, :, 0]
            residual[n][rows[real]] = errors[real]
        return residual
