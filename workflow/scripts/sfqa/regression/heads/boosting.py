"""Gradient boosting of small trees (Friedman 2001, 2002): scikit-learn's, kept as plain arrays.

In trees of depth 3 at most three features act together; with few rows that come in groups, deep
trees would learn the groups. Every tree sees half of the rows, and a split some of the columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sfqa.arrays import AnyArray, Floats, Ints
from sfqa.options import Flag, Option, Options
from sfqa.regression.head import ModelHead
from sfqa.regression.problems import (
    Features,
    Matrix,
    Problem,
    check_problems,
    find_reason,
    get_blocks,
    name_arrays_by_dimension,
    train_on_validation,
)

VERSION = 1
SELECTS = False
GPU = False
#: Each problem is kept as soon as it is fitted.
PROBLEMS_PER_CALL = 1
OPTIONS: Options = {
    "trees": Option(300, 1, None, "number of trees", whole=True),
    "learning_rate": Option(0.04, 0, None, "factor of every tree"),
    "max_depth": Option(3, 1, None, "depth that a tree has at most", whole=True),
    "subsample": Option(0.5, 0, 1, "share of the rows that a tree sees"),
    "max_features": Option(0.3, 0, 1, "share of the columns tried at a split"),
    "min_samples_leaf": Option(8, 1, None, "rows that a leaf has at least", whole=True),
    "fit_on_validation": Flag(
        False, "whether validation rows are learnt from too, since nothing is selected on them"
    ),
}

#: Nodes of trees that are looked at together when rows are predicted.
_NODES_AT_ONCE = 2**24
#: Largest depth in a model file: every row takes as many steps.
_MAX_DEPTH = 1000


@dataclass(frozen=True)
class BoostedTrees:
    """Fitted sums of trees: one dictionary of arrays per problem and dimension."""

    models: list[list[dict[str, AnyArray]]]
    reasons: list[str]
    dims: int

    def predict(self, x: Features) -> Floats:
        """Return predictions in MOS units, float64 (problems, rows, dims); NaN with a reason."""
        matrix = np.asarray(get_blocks(x)["x"], np.float32)
        predictions = np.full((len(self.models), len(matrix), self.dims), np.nan)
        for number, models in enumerate(self.models):
            for dim, trees in enumerate(models):
                predictions[number, :, dim] = _sum_trees(trees, matrix)
        return predictions

    def state(self, problem: int) -> dict[str, AnyArray]:
        """Return the arrays of one problem's models, 'name.dimension'."""
        return name_arrays_by_dimension(self.models[problem])


class Head(ModelHead):
    """One sum of trees for every problem and dimension, on one thread of the CPU."""

    def fit(
        self,
        x: Features,
        problems: Sequence[Problem],
        options: Mapping[str, Any],
        work: Path,
        device: str,
    ) -> BoostedTrees:
        """Return the boosted trees of the problems."""
        check_problems(x, problems)
        if options["fit_on_validation"]:
            problems = train_on_validation(problems)
        reasons, dims = [find_reason(problem) for problem in problems], problems[0].dims
        matrix = get_blocks(x)["x"]
        models: list[list[dict[str, AnyArray]]] = [
            [] if reason else [_fit_trees(matrix, problem, dim, options) for dim in range(dims)]
            for problem, reason in zip(problems, reasons, strict=True)
        ]
        return BoostedTrees(models, reasons, dims)

    def restore(
        self, states: Sequence[Mapping[str, AnyArray]], options: Mapping[str, Any], device: str
    ) -> BoostedTrees:
        """Return the models of model files."""
        models = split_dimensions(states)
        for trees in (trees for dimensions in models for trees in dimensions):
            if not 0 <= int(trees["depth"]) <= _MAX_DEPTH:
                raise ValueError(f"trees of the depth {int(trees['depth'])}")
        return BoostedTrees(models, [""] * len(states), len(models[0]))


def split_dimensions(states: Sequence[Mapping[str, AnyArray]]) -> list[list[dict[str, AnyArray]]]:
    """Return arrays named 'name.dimension' as one dictionary per state and dimension.

    >>> split_dimensions([{"a.0": np.zeros(1), "a.1": np.ones(1)}])[0][1]
    {'a': array([1.])}
    """
    dims = 1 + max(int(name.split(".")[1]) for name in states[0])
    if dims > len(states[0]):
        raise ValueError(f"{dims} dimensions in {len(states[0])} arrays")
    return [
        [
            {name.split(".")[0]: array for name, array in state.items() if name.endswith(f".{dim}")}
            for dim in range(dims)
        ]
        for state in states
    ]


def _fit_trees(
    matrix: Matrix, problem: Problem, dim: int, options: Mapping[str, Any]
) -> dict[str, AnyArray]:
    from sklearn.ensemble import GradientBoostingRegressor

    rows = problem.train[np.isfinite(problem.y[problem.train, dim])]
    model = GradientBoostingRegressor(
        n_estimators=options["trees"],
        learning_rate=float(options["learning_rate"]),
        max_depth=options["max_depth"],
        subsample=float(options["subsample"]),
        max_features=float(options["max_features"]),
        min_samples_leaf=options["min_samples_leaf"],
        random_state=problem.seed % 2**32,
    ).fit(matrix[rows], problem.y[rows, dim])
    trees = [estimator.tree_ for estimator in model.estimators_[:, 0]]
    starts = np.concatenate([[0], np.cumsum([t.node_count for t in trees])[:-1]])

    def join_children(name: str) -> Ints:
        """The child of every node of all trees; a leaf leads to itself.

        So every row may take as many steps as the deepest tree has.
        """
        children = []
        for tree, start in zip(trees, starts, strict=True):
            is_leaf = tree.children_left < 0
            nodes = np.where(is_leaf, np.arange(tree.node_count), getattr(tree, name))
            children.append(start + nodes)
        return np.concatenate(children).astype(np.int64)

    return {
        "left": join_children("children_left"),
        "right": join_children("children_right"),
        "feature": np.concatenate([np.maximum(t.feature, 0) for t in trees]).astype(np.int64),
        "threshold": np.concatenate([t.threshold for t in trees]),
        "value": float(options["learning_rate"])
        * np.concatenate([t.value[:, 0, 0] for t in trees]),
        "roots": starts.astype(np.int64),
        "depth": np.array(max(t.max_depth for t in trees)),
        "start": np.array(float(problem.y[rows, dim].mean())),
    }


def _sum_trees(trees: Mapping[str, AnyArray], matrix: Matrix) -> Floats:
    """The sum of the values that all trees give to every row."""
    roots = trees["roots"]
    sums = np.empty(len(matrix))
    step = max(1, _NODES_AT_ONCE // len(roots))
    for first in range(0, len(matrix), step):
        rows = matrix[first : first + step]
        nodes = np.broadcast_to(roots, (len(rows), len(roots)))
        for _ in range(int(trees["depth"])):
            features = np.take_along_axis(rows, trees["feature"][nodes], axis=1)
            goes_left = features <= trees["threshold"][nodes]
            nodes = np.where(goes_left, trees["left"][nodes], trees["right"][nodes])
        sums[first : first + step] = trees["start"] + trees["value"][nodes].sum(axis=1)
    return sums
