"""Kernel ridge regression of many fits as one batch: solved, and searched by the error left out.

The formulas are at the top of :mod:`sfqa.regression.heads.kernel`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import torch
from torch import Tensor

from sfqa.arrays import AnyArray, Floats, Ints
from sfqa.regression.problems import Problem
from sfqa.regression.scaling import moments

#: Position of a gamma, a share of linear and a lambda in their lists.
Point = tuple[int, int, int]


def rank_point(errors: Mapping[Point, float], point: Point) -> tuple[float, tuple[int, ...]]:
    """Return a sort key: by error; ties go to the larger lambda, more linear, narrower RBF."""
    return errors[point], tuple(-i for i in reversed(point))


def find_best_point(errors: Mapping[Point, float]) -> Point:
    """Return the point of the least error, by :func:`rank_point`."""
    return min(errors, key=lambda point: rank_point(errors, point))


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


def compute_products(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return squared distances and products of rows (..., a, d) and (..., b, d), over d."""
    dot = a @ b.transpose(-1, -2)
    squares = (a**2).sum(-1)[..., :, None] + (b**2).sum(-1)[..., None, :]
    d = a.shape[-1]
    return (squares - 2 * dot).clamp_min(0) / d, dot / d


def compute_kernel(distance: Tensor, dot: Tensor, gamma: Tensor, linear: Tensor) -> Tensor:
    """Return the kernel of pairs of rows from their distances and products; overwrites neither."""
    gamma, linear = (v.reshape(v.shape + (1,) * (dot.dim() - v.dim())) for v in (gamma, linear))
    kernel = (distance * -gamma).exp_()
    if not bool((gamma > 0).all()):
        kernel = kernel * (gamma > 0)
    return kernel.addcmul_(linear, dot) if bool((linear > 0).any()) else kernel


class KernelBatch:
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
        self.distance, self.dot = compute_products(self.rows, self.rows)
        if by_validation:
            validation = [p.validation[np.isfinite(p.y[p.validation, d])] for p, d in members]
            indices, self.val_real = pad_rows(validation, str(device))
            self.val_y = self._pad_targets(
                [p.y[rows, d] for (p, d), rows in zip(members, validation, strict=True)]
            )
            self.to_val = compute_products(self._scale(matrix[indices]), self.rows)
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
                    best = find_best_point(errors[n])
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
        g = compute_kernel(self.distance[which], self.dot[which], gamma, linear)
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
            k = compute_kernel(self.to_val[0][which], self.to_val[1][which], gamma, linear)
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
