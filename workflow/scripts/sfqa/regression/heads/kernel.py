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
from sfqa.regression.kernel_batch import (
    KernelBatch,
    Point,
    compute_kernel,
    compute_products,
    find_best_point,
    rank_point,
)
from sfqa.regression.problems import (
    Features,
    Problem,
    check_problems,
    find_reason,
    get_blocks,
    name_arrays_by_dimension,
    train_on_validation,
)

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
                    k = compute_kernel(*compute_products(rows, m["rows"]), m["gamma"], m["linear"])
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
            batch = KernelBatch(matrix, members, lattice, by_validation)
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
    batch: KernelBatch, matrix: Tensor, members: Sequence[tuple[Problem, int]], search: str
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
        KernelBatch(matrix, fewer_rows, batch.lattice, batch.by_validation).descend(screened)
        best = [
            sorted(tried, key=lambda point, tried=tried: rank_point(tried, point))[:SCREENED_POINTS]  # type: ignore[misc]
            for tried in screened
        ]
        batch.try_points(errors, [(n, points[k]) for k in range(SCREENED_POINTS) for n, points in
                                  enumerate(best) if k < len(points)])  # fmt: skip
    return [find_best_point(tried) for tried in errors]


def _draw_rows(rows: Ints, thinning: int, seed: int) -> Ints:
    """Return one of ``thinning`` rows, drawn at random.

    Every k-th row would be of the same few methods, if the names of samples end with a method.
    """
    draw = random_generator(seed, "kernel screening")
    return np.sort(draw.permutation(rows)[: -(-len(rows) // thinning)])


def _make_lattice(options: Mapping[str, Any]) -> tuple[list[float], list[float], list[float]]:
    axes = {k: sorted({float(v) for v in options[k]}) for k in ("gammas", "linear", "lambdas")}
    for name, values in axes.items():
        if not values or (name == "lambdas" and values[0] == 0):
            least = "above 0" if name == "lambdas" else "from 0"
            raise UserError(f"head kernel, options.{name} is {values}; give numbers {least}")
    if axes["gammas"] == [0.0] and axes["linear"] == [0.0]:
        raise UserError("head kernel: gammas and linear are all 0; give one of them a number")
    return axes["gammas"], axes["linear"], axes["lambdas"]
