"""Gradient boosting of small trees (Friedman 2001, 2002): scikit-learn's, kept as plain arrays.

Trees of depth 3 let two or three features act together and no more; where rows are few and come in
groups, deep trees learn the groups. Every tree sees half of the rows and some of the columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sfqa.regression import problems as many
from sfqa.regression.problems import Features, Floats, Matrix, Problem

VERSION = 1
SELECTS = False
#: One problem a call: each is kept as soon as it is done.
TOGETHER = 1
#: subsample: share of the rows that a tree sees; max_features: share of the columns tried at a cut.
OPTIONS: dict[str, Any] = {
    "trees": 300,
    "learning_rate": 0.04,
    "max_depth": 3,
    "subsample": 0.5,
    "max_features": 0.3,
    "min_samples_leaf": 8,
    "fit_on_validation": False,
}

#: Places in trees that are looked at together when rows are predicted.
_AT_ONCE = 2**24


@dataclass(frozen=True)
class Forests:
    """Fitted sums of trees: one dictionary of arrays per problem and dimension."""

    models: list[list[dict[str, npt.NDArray[Any]]]]
    reasons: list[str]
    dims: int

    def predict(self, x: Features) -> Floats:
        """Return predictions in MOS units, float64 (problems, rows, dims); NaN with a reason."""
        matrix = np.asarray(many.blocks(x)["x"], np.float32)
        out = np.full((len(self.models), len(matrix), self.dims), np.nan)
        for n, of_problem in enumerate(self.models):
            for dim, trees in enumerate(of_problem):
                out[n, :, dim] = _summed(trees, matrix)
        return out

    def state(self, problem: int) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays of one problem's models, 'name.dimension'."""
        found = enumerate(self.models[problem])
        return {f"{name}.{dim}": v for dim, arrays in found for name, v in arrays.items()}


def restore(states: Sequence[Mapping[str, npt.NDArray[Any]]], options: Any, device: str) -> Forests:
    """Return the models of model files."""
    dims = 1 + max(int(name.split(".")[1]) for name in states[0])
    models = [
        [{k.split(".")[0]: v for k, v in s.items() if k.endswith(f".{d}")} for d in range(dims)]
        for s in states
    ]
    return Forests(models, [""] * len(states), dims)


def fit_many(
    x: Features,
    problems: Sequence[Problem],
    options: Mapping[str, Any],
    work: Path,
    device: str,
) -> Forests:
    """Return the boosted trees of the problems, on one thread of the CPU; see the head contract."""
    many.checked(x, problems)
    if options["fit_on_validation"]:
        problems = many.joined(problems)
    reasons, dims = [many.why_not(p) for p in problems], problems[0].dims
    matrix = many.blocks(x)["x"]
    models: list[list[dict[str, npt.NDArray[Any]]]] = [
        [] if reason else [_fitted(matrix, one, dim, options) for dim in range(dims)]
        for one, reason in zip(problems, reasons, strict=True)
    ]
    return Forests(models, reasons, dims)


def _fitted(
    matrix: Matrix, one: Problem, dim: int, options: Mapping[str, Any]
) -> dict[str, npt.NDArray[Any]]:
    from sklearn.ensemble import GradientBoostingRegressor

    known = one.train[np.isfinite(one.y[one.train, dim])]
    model = GradientBoostingRegressor(
        n_estimators=int(options["trees"]),
        learning_rate=float(options["learning_rate"]),
        max_depth=int(options["max_depth"]),
        subsample=float(options["subsample"]),
        max_features=float(options["max_features"]),
        min_samples_leaf=int(options["min_samples_leaf"]),
        random_state=one.seed % 2**32,
    ).fit(matrix[known], one.y[known, dim])
    trees = [estimator.tree_ for estimator in model.estimators_[:, 0]]
    starts = np.concatenate([[0], np.cumsum([t.node_count for t in trees])[:-1]])
    # A leaf leads to itself, so that every row may take as many steps as the deepest tree has.
    ends = [t.children_left < 0 for t in trees]
    own = [np.arange(t.node_count) for t in trees]

    def joined(name: str) -> npt.NDArray[np.int64]:
        parts = zip(trees, starts, ends, own, strict=True)
        places = [s + np.where(end, o, getattr(t, name)) for t, s, end, o in parts]
        return np.concatenate(places).astype(np.int64)

    return {
        "left": joined("children_left"),
        "right": joined("children_right"),
        "feature": np.concatenate([np.maximum(t.feature, 0) for t in trees]).astype(np.int64),
        "threshold": np.concatenate([t.threshold for t in trees]),
        "value": float(options["learning_rate"])
        * np.concatenate([t.value[:, 0, 0] for t in trees]),
        "roots": starts.astype(np.int64),
        "depth": np.array(max(t.max_depth for t in trees)),
        "start": np.array(float(one.y[known, dim].mean())),
    }


def _summed(trees: Mapping[str, npt.NDArray[Any]], matrix: Matrix) -> Floats:
    """The sum of what all trees say of every row."""
    roots = trees["roots"]
    out = np.empty(len(matrix))
    step = max(1, _AT_ONCE // len(roots))
    for first in range(0, len(matrix), step):
        rows = matrix[first : first + step]
        at = np.broadcast_to(roots, (len(rows), len(roots)))
        for _ in range(int(trees["depth"])):
            seen = np.take_along_axis(rows, trees["feature"][at], axis=1)
            left = seen <= trees["threshold"][at]
            at = np.where(left, trees["left"][at], trees["right"][at])
        out[first : first + step] = trees["start"] + trees["value"][at].sum(axis=1)
    return out
