"""Kernel ridge regression, which is the mean of a Gaussian process, in closed form.

The kernel is RBF plus a share of linear: k(a, b) = exp(-gamma |a - b|^2 / d) + linear a.b / d on d
standardised columns, with an intercept that is not shrunk. gamma, the linear share and lambda are
chosen by the exact error of leaving train rows out one by one, or a whole group at a time where
the protocol splits by groups: rows of one portrait say too much about each other. No model is
fitted twice for that. With G = K + lambda I, C = G^-1 - G^-1 1 1' G^-1 / (1' G^-1 1) and
alpha = C y, leaving out the rows g gives the errors C_gg^-1 alpha_g. Scalers are not made anew.

All problems are solved as one batch. Each walks on the lattice of options from its middle to the
neighbour that is best (``search: descent``), or tries all of it (``grid``). Where there are many
train rows, the walk is on every k-th of them, and the best points of it are judged on all rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sfqa.errors import UserError
from sfqa.regression import problems as many
from sfqa.regression.problems import Features, Floats, Problem
from sfqa.regression.scaling import moments
from sfqa.regression.stacking import padded

VERSION = 1
SELECTS = True
TOGETHER = 32
#: gammas: widths of the RBF, 0 for none; linear: share of the linear kernel; lambdas: above 0, in
#: units of the kernel; select: loo (train rows alone) or validation; search: descent or grid.
OPTIONS: dict[str, Any] = {
    "gammas": [0.03, 0.1, 0.3, 1.0, 3.0],
    "linear": [0.0, 0.3, 3.0],
    "lambdas": [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0],
    "select": "loo",
    "search": "descent",
    "fit_on_validation": False,
}

#: The walk is on about so many rows where there are twice as many, and so many points go on.
SCREEN_ROWS, SCREENED = 320, 2

#: More train rows than this take more memory than a job is given (8 matrices of float64).
MOST_ROWS = 15_000

#: Numbers that a batch may hold at once, on a CPU and on a GPU.
_AT_ONCE = {"cpu": 2**26, "cuda": 2**30}

Point = tuple[int, int, int]


@dataclass(frozen=True)
class Expansions:
    """Fitted kernels: one dictionary of arrays per problem and dimension."""

    models: list[list[dict[str, npt.NDArray[Any]]]]
    reasons: list[str]
    dims: int
    device: str

    def predict(self, x: Features) -> Floats:
        """Return predictions in MOS units, float64 (problems, rows, dims); NaN with a reason."""
        given = torch.from_numpy(np.ascontiguousarray(many.blocks(x)["x"])).to(self.device)
        out = np.full((len(self.models), len(given), self.dims), np.nan)
        for n, of_problem in enumerate(self.models):
            for dim, arrays in enumerate(of_problem):
                m = {k: torch.from_numpy(np.asarray(v)).to(self.device) for k, v in arrays.items()}
                step = max(1, _AT_ONCE[self.device.split(":")[0]] // (4 * len(m["alpha"])))
                for start in range(0, len(given), step):
                    rows = (given[start : start + step].double() - m["mean"]) * m["factor"]
                    k = _kernel(*_products(rows, m["rows"]), m["gamma"], m["linear"])
                    values = k @ m["alpha"] + m["intercept"]
                    out[n, start : start + step, dim] = values.cpu().numpy()
        return out

    def state(self, problem: int) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays of one problem's models, 'name.dimension'."""
        found = enumerate(self.models[problem])
        return {f"{name}.{dim}": v for dim, arrays in found for name, v in arrays.items()}


def restore(
    states: Sequence[Mapping[str, npt.NDArray[Any]]], options: Any, device: str
) -> Expansions:
    """Return the models of model files."""
    dims = 1 + max(int(name.split(".")[1]) for name in states[0])
    models = [
        [{k.split(".")[0]: v for k, v in s.items() if k.endswith(f".{d}")} for d in range(dims)]
        for s in states
    ]
    return Expansions(models, [""] * len(states), dims, device)


def fit_many(
    x: Features,
    problems: Sequence[Problem],
    options: Mapping[str, Any],
    work: Path,
    device: str,
) -> Expansions:
    """Return the kernel models of the problems; see the head contract.

    ``select`` 'loo' needs no validation rows, and may learn from them (``fit_on_validation``);
    'validation' takes the smallest squared error there. Ties go to the larger lambda. Raises
    :class:`UserError` for options that make no kernel.
    """
    lattice = _lattice(options)
    many.checked(x, problems)
    by_validation = options["select"] == "validation"
    if options["fit_on_validation"]:
        if by_validation:
            raise UserError(
                "head kernel: select validation and fit_on_validation do not go together; write "
                "select: loo"
            )
        problems = many.joined(problems)
    reasons = [many.why_not(p, by_validation) for p in problems]
    dims = problems[0].dims
    models: list[list[dict[str, npt.NDArray[Any]]]] = [[] for _ in problems]
    singles = [(n, d) for n, r in enumerate(reasons) if not r for d in range(dims)]
    source = torch.from_numpy(many.blocks(x)["x"]).to(device)
    most = max((len(p.rows) for p in problems), default=1)
    if most > MOST_ROWS:
        raise UserError(
            f"head kernel: {most} train rows, whose kernels take {64 * most**2 / 1e9:.0f} GB; take "
            f"head ridge or mlp, or splits of at most {MOST_ROWS} train rows"
        )
    step = max(1, _AT_ONCE[device.split(":")[0]] // (8 * most * most + 1))
    for start in range(0, len(singles), step):
        part = singles[start : start + step]
        members = [(problems[n], d) for n, d in part]
        batch = _Batch(source, members, lattice, by_validation)
        chosen = _chosen(batch, source, members, str(options["search"]))
        for (n, _), arrays in zip(part, batch.solved(chosen), strict=True):
            models[n].append(arrays)
    return Expansions(models, reasons, dims, device)


def _chosen(
    batch: _Batch, source: Tensor, members: Sequence[tuple[Problem, int]], search: str
) -> list[Point]:
    """The point of the lattice for every fit."""
    a, b, c = (range(len(axis)) for axis in batch.lattice)
    everything: list[Point] = list(product(a, b, c))
    tried: list[dict[Point, float]] = [{} for _ in members]
    thin = int(batch.size.min()) // SCREEN_ROWS
    if search == "grid":
        wanted = [(n, p) for p in everything for n in range(len(members))]
        batch.judge(tried, wanted)
    elif thin < 2:
        batch.descend(tried)
    else:
        fewer = [(replace(p, train=k[::thin]), d)
                 for (p, d), k in zip(members, batch.known, strict=True)]  # fmt: skip
        walked: list[dict[Point, float]] = [{} for _ in members]
        _Batch(source, fewer, batch.lattice, batch.by_validation).descend(walked)
        best = [sorted(w, key=lambda p, w=w: _order(w, p))[:SCREENED] for w in walked]  # type: ignore[misc]
        batch.judge(tried, [(n, points[k]) for k in range(SCREENED) for n, points in
                            enumerate(best) if k < len(points)])  # fmt: skip
    return [_first(t) for t in tried]


def _order(tried: Mapping[Point, float], point: Point) -> tuple[float, tuple[int, ...]]:
    """By error; ties go to the larger lambda, then the more linear, then the narrower RBF."""
    return tried[point], tuple(-i for i in reversed(point))


def _first(tried: Mapping[Point, float]) -> Point:
    return min(tried, key=lambda p: _order(tried, p))


def _lattice(options: Mapping[str, Any]) -> tuple[list[float], list[float], list[float]]:
    axes = {k: sorted({float(v) for v in options[k]}) for k in ("gammas", "linear", "lambdas")}
    for name, values in axes.items():
        if not values or values[0] < 0 or (name == "lambdas" and values[0] == 0):
            least = "above 0" if name == "lambdas" else "from 0"
            raise UserError(f"head kernel, option {name}: {values}; give numbers {least}")
    if axes["gammas"] == [0.0] and axes["linear"] == [0.0]:
        raise UserError("head kernel: gammas and linear are all 0; give one of them a number")
    for key, words in (("select", ("loo", "validation")), ("search", ("descent", "grid"))):
        if options[key] not in words:
            raise UserError(f"head kernel, option {key}: {options[key]!r}; write {words}")
    return axes["gammas"], axes["linear"], axes["lambdas"]


def _products(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distances and products of rows (..., a, d) and (..., b, d), over d."""
    dot = a @ b.transpose(-1, -2)
    squares = (a**2).sum(-1)[..., :, None] + (b**2).sum(-1)[..., None, :]
    d = a.shape[-1]
    return (squares - 2 * dot).clamp_min(0) / d, dot / d


def _kernel(distance: Tensor, dot: Tensor, gamma: Tensor, linear: Tensor) -> Tensor:
    gamma, linear = (v.reshape(v.shape + (1,) * (dot.dim() - v.dim())) for v in (gamma, linear))
    found = (distance * -gamma).exp_()
    if not bool((gamma > 0).all()):
        found = found * (gamma > 0)
    return found.addcmul_(linear, dot) if bool((linear > 0).any()) else found


class _Batch:
    """Fits of one dimension each, padded to one number of rows."""

    def __init__(
        self,
        source: Tensor,
        members: Sequence[tuple[Problem, int]],
        lattice: tuple[list[float], list[float], list[float]],
        by_validation: bool,
    ) -> None:
        device = source.device
        self.lattice, self.by_validation, self.count = lattice, by_validation, len(members)
        self.known = [p.train[np.isfinite(p.y[p.train, d])] for p, d in members]
        places, self.real = padded(self.known, str(device))
        self.size, self.whole = self.real.sum(dim=1), bool(self.real.all())
        found = [moments(source, k) for k in self.known]
        self.mean, self.factor = (torch.stack(v).to(device) for v in zip(*found, strict=True))
        self.rows = self._scaled(source[places]) * self.real[:, :, None]
        self.y = self._targets([p.y[k, d] for (p, d), k in zip(members, self.known, strict=True)])
        self.distance, self.dot = _products(self.rows, self.rows)
        if by_validation:
            own = [p.validation[np.isfinite(p.y[p.validation, d])] for p, d in members]
            held, self.val_real = padded(own, str(device))
            both = [p.y[k, d] for (p, d), k in zip(members, own, strict=True)]
            self.val_y = self._targets(both)
            self.to_val = _products(self._scaled(source[held]), self.rows)
        self.groups = self._groups([p for p, _ in members])

    def _scaled(self, values: Tensor) -> Tensor:
        return (values.double() - self.mean[:, None]) * self.factor[:, None]

    def _targets(self, values: Sequence[Floats]) -> Tensor:
        out = torch.zeros((len(values), max(len(v) for v in values)), dtype=torch.float64)
        for n, own in enumerate(values):
            out[n, : len(own)] = torch.from_numpy(own)
        return out.to(self.mean.device)

    def _groups(self, problems: Sequence[Problem]) -> list[tuple[Tensor, Tensor]] | None:
        """Places of the rows of every group, per fit; None where all rows stand alone."""
        if all(p.groups is None for p in problems):
            return None
        found = []
        for one, known in zip(problems, self.known, strict=True):
            codes = known if one.groups is None else one.groups[known]
            parts = [np.flatnonzero(codes == c) for c in np.unique(codes)]
            if len(parts) == 1:  # one group has no other to be predicted from
                parts = [np.array([n]) for n in range(len(known))]
            found.append(padded(parts, str(self.mean.device)))
        return found

    def solved(self, chosen: Sequence[Point]) -> list[dict[str, npt.NDArray[Any]]]:
        """The model of every fit at its point."""
        found: list[dict[str, npt.NDArray[Any]]] = []
        for n, point in enumerate(chosen):
            factor, _, _ = self._factor(torch.tensor([n], device=self.mean.device), [point])
            size, real = int(self.size[n]), self.real[n].double()
            both = torch.stack([self.y[n], real], dim=1)[None]
            plain, ones = torch.cholesky_solve(both, factor)[0].unbind(1)
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
            found.append({k: v.cpu().numpy().copy() for k, v in arrays.items()})
        return found

    def descend(self, tried: list[dict[Point, float]]) -> None:
        """From the middle to ever better neighbours, two steps of the lattice, then one."""
        middle = tuple(len(axis) // 2 for axis in self.lattice)
        at: list[Point] = [(middle[0], middle[1], middle[2])] * self.count
        self.judge(tried, list(enumerate(at)))
        for stride in (2, 1):
            going = set(range(self.count))
            while going:
                wanted = []
                for axis, sign in product((2, 0, 1), (-1, 1)):
                    for n in sorted(going):
                        point = list(at[n])
                        point[axis] += sign * stride
                        if 0 <= point[axis] < len(self.lattice[axis]):
                            wanted.append((n, (point[0], point[1], point[2])))
                self.judge(tried, wanted)
                for n in sorted(going):
                    best = _first(tried[n])
                    if best == at[n]:
                        going.discard(n)
                    at[n] = best

    def judge(self, tried: list[dict[Point, float]], wanted: Sequence[tuple[int, Point]]) -> None:
        """Note the error of every (fit, point) that has none yet, in batches."""
        new = [(n, p) for n, p in wanted if p not in tried[n]]
        for start in range(0, len(new), max(1, self.count)):
            part = new[start : start + max(1, self.count)]
            errors = self._errors(torch.tensor([n for n, _ in part]), [p for _, p in part])
            for (n, point), error in zip(part, errors.tolist(), strict=True):
                tried[n][point] = error if np.isfinite(error) else np.inf

    def _factor(self, which: Tensor, points: Sequence[Point]) -> tuple[Tensor, Tensor, Tensor]:
        """The Cholesky factor of G, gamma and linear share, for fits at points."""
        gamma, linear, penalty = (
            torch.tensor([axis[p[k]] for p in points], dtype=torch.float64, device=which.device)
            for k, axis in enumerate(self.lattice)
        )
        real = self.real[which]
        g = _kernel(self.distance[which], self.dot[which], gamma, linear)
        if not self.whole:
            g = g * (real[:, :, None] & real[:, None, :])
        # A row that is none gets 1 on the diagonal: it stands apart from all others.
        g.diagonal(dim1=1, dim2=2).add_(torch.where(real, penalty[:, None], 1.0))
        return torch.linalg.cholesky_ex(g)[0], gamma, linear

    def _inverse(
        self, which: Tensor, points: Sequence[Point]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """G^-1 (real rows alone), its sum, gamma and linear share, for fits at points."""
        factor, gamma, linear = self._factor(which, points)
        inverse = torch.cholesky_inverse(factor)
        inverse.diagonal(dim1=1, dim2=2).mul_(self.real[which])
        return inverse, inverse.sum(dim=(1, 2)), gamma, linear

    def _alpha(self, inverse: Tensor, total: Tensor, y: Tensor) -> Tensor:
        ones = inverse.sum(dim=2)
        plain = (inverse @ y[:, :, None])[:, :, 0]
        return plain - ones * ((ones * y).sum(dim=1) / total)[:, None]

    def _errors(self, which: Tensor, points: Sequence[Point]) -> Tensor:
        """Mean squared error of rows left out, or of validation rows, for fits at points."""
        which = which.to(self.mean.device)
        inverse, total, gamma, linear = self._inverse(which, points)
        y = self.y[which]
        alpha = self._alpha(inverse, total, y)
        if self.by_validation:
            k = _kernel(self.to_val[0][which], self.to_val[1][which], gamma, linear)
            intercept = (inverse.sum(dim=2) * y).sum(dim=1) / total
            missed = (k @ alpha[:, :, None])[:, :, 0] + intercept[:, None] - self.val_y[which]
            real = self.val_real[which]
        else:
            real, missed = self.real[which], self._left_out(which, inverse, total, alpha)
        return torch.where(real, missed**2, 0.0).sum(dim=1) / real.sum(dim=1)

    def _left_out(self, which: Tensor, inverse: Tensor, total: Tensor, alpha: Tensor) -> Tensor:
        ones = inverse.sum(dim=2)
        if self.groups is None:
            diagonal = inverse.diagonal(dim1=1, dim2=2) - ones**2 / total[:, None]
            return alpha / torch.where(self.real[which], diagonal, 1.0)
        missed = torch.zeros_like(alpha)
        for n, fit in enumerate(which.tolist()):
            places, real = self.groups[fit]
            block = inverse[n][places[:, :, None], places[:, None, :]]
            block = block - ones[n][places][:, :, None] * ones[n][places][:, None, :] / total[n]
            block = block * (real[:, :, None] & real[:, None, :])
            block.diagonal(dim1=1, dim2=2).add_((~real).to(block.dtype))
            errors = torch.linalg.solve_ex(block, (alpha[n][places] * real)[:, :, None])[0][:, :, 0]
            missed[n][places[real]] = errors[real]
        return missed
