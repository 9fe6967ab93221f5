"""Several heads as one: heads that err differently err less together.

``weights: equal`` is the plain mean, and selects nothing. ``stacked`` gives each member a weight of
0 or more: the least squares of the train MOS on what the members predict for train rows left out
(stacked regressions, Breiman 1996). A fifth of the groups that the protocol keeps together is left
out at a time, or of the rows if there are no groups. Then the members learn from all train rows.
VERSION is raised with a member's too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from sfqa import identity
from sfqa.arrays import AnyArray, Floats, Ints
from sfqa.errors import UserError, hint
from sfqa.options import Choice, Flag, Names, Option, Options, Settings
from sfqa.regression import heads
from sfqa.regression.head import ModelHead
from sfqa.regression.problems import (
    Features,
    Models,
    Problem,
    check_problems,
    find_reason,
    select_rows,
    train_on_validation,
)

VERSION = 2
SELECTS = False
PROBLEMS_PER_CALL = 8
OPTIONS: Options = {
    "members": Names(
        ["kernel", "boosting"], "heads on pooled features that need no validation rows"
    ),
    "settings": Settings({}, "options of a member by its name"),
    "weights": Choice("equal", ("equal", "stacked"), "weights of the members"),
    "folds": Option(5, 2, None, "parts of the train rows that are left out in turn", whole=True),
    "fit_on_validation": Flag(
        False, "whether validation rows are learnt from too, since nothing is selected on them"
    ),
}


@dataclass(frozen=True)
class BlendedModels:
    """The members' models in order, weights (problems, dims, members) and intercepts."""

    names: list[str]
    members: list[Models]
    weights: Floats
    intercept: Floats
    reasons: list[str]

    def predict(self, x: Features) -> Floats:
        """Return the weighted sum of the members' predictions plus the intercept, in MOS units.

        Float64 of shape (problems, rows, dims); NaN where a member predicts NaN.
        """
        predictions = np.stack([member.predict(x) for member in self.members], axis=-1)
        weighted = (predictions * self.weights[:, None]).sum(axis=-1)
        return np.asarray(weighted + self.intercept[:, None], np.float64)

    def state(self, problem: int) -> dict[str, AnyArray]:
        """Return the arrays of one problem's models, 'member/name', and its weights."""
        arrays = {"weights": self.weights[problem], "intercept": self.intercept[problem]}
        for name, models in zip(self.names, self.members, strict=True):
            arrays |= {f"{name}/{key}": value for key, value in models.state(problem).items()}
        return arrays


class Head(ModelHead):
    """The weighted mean of its members."""

    def fit(
        self,
        x: Features,
        problems: Sequence[Problem],
        options: Mapping[str, Any],
        work: Path,
        device: str,
    ) -> BlendedModels:
        """Return the blends of the problems; raises :class:`UserError` for unfit members."""
        members = _merge_member_options(options)
        check_problems(x, problems)
        if options["fit_on_validation"]:
            problems = train_on_validation(problems)
        # Members get no validation rows, so that none of them selects on rows of the blend.
        problems = [replace(problem, validation=np.zeros(0, np.int64)) for problem in problems]
        reasons = [find_reason(problem) for problem in problems]
        shape = (len(problems), problems[0].dims)
        weights = np.full((*shape, len(members)), 1 / len(members))
        intercept = np.where([[bool(reason)] for reason in reasons], np.nan, np.zeros(shape))
        if options["weights"] == "stacked":
            for number, problem in enumerate(problems):
                if not reasons[number]:
                    weights[number], intercept[number] = _stack_members(
                        x, problem, members, options["folds"], work, device
                    )
        models = [
            _load_member(name).fit(x, problems, member_options, work / name, device)
            for name, member_options in members.items()
        ]
        return BlendedModels(list(members), models, weights, intercept, reasons)

    def restore(
        self, states: Sequence[Mapping[str, AnyArray]], options: Mapping[str, Any], device: str
    ) -> BlendedModels:
        """Return the models of model files."""
        members = _merge_member_options(options)
        models = [
            _load_member(name).restore(
                [_select_member(state, name) for state in states], member_options, device
            )
            for name, member_options in members.items()
        ]
        weights, intercept = (
            np.stack([state[key] for state in states]) for key in ("weights", "intercept")
        )
        return BlendedModels(list(members), models, weights, intercept, [""] * len(states))


def _select_member(state: Mapping[str, AnyArray], name: str) -> dict[str, AnyArray]:
    prefix = f"{name}/"
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def _load_member(name: str) -> ModelHead:
    head = heads.load_head(name)
    assert isinstance(head, ModelHead)
    return head


def _merge_member_options(options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """All options of every member; raises :class:`UserError` for heads that cannot be members."""
    names = list(options["members"])
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"head blend, option members: {name!r} is there twice; keep one")
    for name in options["settings"]:
        if name not in names:
            raise UserError(
                f"head blend, option settings: {name!r} is no member; {hint(name, names)}"
            )
    members = {name: heads.merge_options(name, options["settings"].get(name)) for name in names}
    usable = [name for name in members if _can_be_member(name, members[name])]
    if len(usable) < len(names) or not names:
        refused = next((name for name in names if name not in usable), "none")
        others = ", ".join(
            name
            for name in heads.list_heads()
            if _can_be_member(name, heads.merge_options(name, {}))
        )
        raise UserError(
            f"head blend, option members: {refused!r} cannot be one, since it selects on "
            f"validation rows, reads sequences or keeps no model; take some of {others}"
        )
    return members


def _can_be_member(name: str, options: Mapping[str, Any]) -> bool:
    pooled = heads.read_design(name) == "pooled" and not heads.needs_validation(name, options)
    return pooled and name != "blend" and isinstance(heads.load_head(name), ModelHead)


def _stack_members(
    x: Features,
    problem: Problem,
    members: Mapping[str, Mapping[str, Any]],
    folds: int,
    work: Path,
    device: str,
) -> tuple[Floats, Floats]:
    """Weights (dims, members) and intercepts (dims,) from train rows left out."""
    fold = _assign_folds(problem, folds)
    parts = [_leave_out(problem, problem.train[fold == k]) for k in range(int(fold.max()) + 1)]
    count, dims = len(members), problem.dims
    weights, intercept = np.full((dims, count), 1 / count), np.zeros(dims)
    if any(find_reason(part) for part in parts):
        return weights, intercept  # too few rows to leave any out
    left_out = np.empty((len(problem.train), dims, count))
    for column, (name, options) in enumerate(members.items()):
        models = _load_member(name).fit(x, parts, options, work / f"{name}-folds", device)
        predictions = models.predict(select_rows(x, problem.train))
        left_out[:, :, column] = predictions[fold, np.arange(len(fold))]
    for dim in range(dims):
        y = problem.y[problem.train, dim]
        rated = np.isfinite(y)
        z, y = left_out[rated, dim], y[rated]
        solution, _ = nnls(z - z.mean(axis=0), y - y.mean())
        if solution.sum() > 0:
            weights[dim], intercept[dim] = solution, y.mean() - z.mean(axis=0) @ solution
    return weights, intercept


def _assign_folds(problem: Problem, folds: int) -> Ints:
    """The fold of every train row; a group is in one fold."""
    codes = problem.train if problem.groups is None else problem.groups[problem.train]
    values, index = np.unique(codes, return_inverse=True)
    if len(values) < 2:  # one group has no other to be predicted from
        values, index = problem.train, np.arange(len(problem.train))
    order = identity.random_generator(problem.seed, "blend").permutation(len(values))
    return (order % min(folds, len(values)))[index]


def _leave_out(problem: Problem, rows: Ints) -> Problem:
    y = problem.y.copy()
    y[rows] = np.nan
    return replace(problem, train=np.setdiff1d(problem.train, rows), y=y)
