"""Several heads as one: heads that err differently err less together.

``weights: equal`` is the plain mean, and selects nothing. ``stacked`` gives each member a weight of
0 or more, the least squares of the train MOS on what the members predict for train rows left out
(stacked regressions, Breiman 1996): a fifth of the groups that the protocol keeps together at a
time, or of the rows where there are none. Then the members learn from all train rows. VERSION is
raised with a member's too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from sfqa import identity
from sfqa.errors import UserError, hint
from sfqa.regression import heads
from sfqa.regression import problems as many
from sfqa.regression.problems import Features, Floats, Ints, Models, Problem

VERSION = 1
SELECTS = False
TOGETHER = 8
#: members: heads on pooled features that need no validation rows; settings: options of a member by
#: its name; weights: equal or stacked; folds: of the rows left out.
OPTIONS: dict[str, Any] = {
    "members": ["kernel", "boosting"],
    "settings": {},
    "weights": "equal",
    "folds": 5,
    "fit_on_validation": False,
}

_Sheet = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Blended:
    """Members in order, and (problems, dims, members) weights with an intercept each."""

    names: list[str]
    members: list[Models]
    weights: Floats
    intercept: Floats
    reasons: list[str]

    def predict(self, x: Features) -> Floats:
        """Return predictions in MOS units, float64 (problems, rows, dims); NaN with a reason."""
        each = np.stack([m.predict(x) for m in self.members], axis=-1)
        return np.asarray(
            (each * self.weights[:, None]).sum(axis=-1) + self.intercept[:, None], np.float64
        )

    def state(self, problem: int) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays of one problem's models, 'member/name', and its weights."""
        found = {"weights": self.weights[problem], "intercept": self.intercept[problem]}
        for name, models in zip(self.names, self.members, strict=True):
            found |= {f"{name}/{k}": v for k, v in models.state(problem).items()}
        return found


def restore(states: Sequence[_Sheet], options: Mapping[str, Any], device: str) -> Blended:
    """Return the models of model files."""
    members = _members(options)
    models = [
        heads.load(name).restore([_below(s, name) for s in states], own, device)
        for name, own in members.items()
    ]
    weights, intercept = (np.stack([s[k] for s in states]) for k in ("weights", "intercept"))
    return Blended(list(members), models, weights, intercept, [""] * len(states))


def _below(state: _Sheet, name: str) -> dict[str, npt.NDArray[Any]]:
    return {k.removeprefix(f"{name}/"): v for k, v in state.items() if k.startswith(f"{name}/")}


def fit_many(
    x: Features,
    problems: Sequence[Problem],
    options: Mapping[str, Any],
    work: Path,
    device: str,
) -> Blended:
    """Return the blends of the problems; see the head contract.

    Raises :class:`UserError` for members that cannot be blended.
    """
    members = _members(options)
    if options["weights"] not in ("equal", "stacked"):
        raise UserError(
            f"head blend, option weights: {options['weights']!r}; write equal or stacked"
        )
    if options["folds"] < 2:
        raise UserError(f"head blend, option folds: {options['folds']!r}; write 2 or more")
    many.checked(x, problems)
    if options["fit_on_validation"]:
        problems = many.joined(problems)
    # Members see no validation rows: those that are left to the blend are left for good.
    problems = [replace(p, validation=np.zeros(0, np.int64)) for p in problems]
    reasons = [many.why_not(p) for p in problems]
    shape = (len(problems), problems[0].dims)
    weights = np.full((*shape, len(members)), 1 / len(members))
    intercept = np.where([[bool(r)] for r in reasons], np.nan, np.zeros(shape))
    if options["weights"] == "stacked":
        for n, one in enumerate(problems):
            if not reasons[n]:
                weights[n], intercept[n] = _stacked(x, one, members, options, work, device)
    models = [
        heads.load(name).fit_many(x, problems, own, work / name, device)
        for name, own in members.items()
    ]
    return Blended(list(members), models, weights, intercept, reasons)


def _members(options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The members with all their options."""
    names = list(options["members"])
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"head blend, option members: {name!r} is there twice; keep one")
    for name in options["settings"]:
        if name not in names:
            raise UserError(
                f"head blend, option settings: {name!r} is no member; {hint(name, names)}"
            )
    found = {n: heads.merged_options(n, options["settings"].get(n)) for n in names}
    able = [n for n in found if _blends(n, found[n])]
    if len(able) < len(names) or not names:
        bad = next((n for n in names if n not in able), "none")
        others = ", ".join(n for n in heads.names() if _blends(n, heads.merged_options(n, {})))
        raise UserError(
            f"head blend, option members: {bad!r} cannot be one, since it selects on validation "
            f"rows, reads sequences or keeps no model; take some of {others}"
        )
    return found


def _blends(name: str, own: Mapping[str, Any]) -> bool:
    pooled = heads.design(name) == "pooled" and not heads.selects(name, own)
    return pooled and name != "blend" and hasattr(heads.load(name), "restore")


def _stacked(
    x: Features,
    one: Problem,
    members: Mapping[str, Mapping[str, Any]],
    options: Mapping[str, Any],
    work: Path,
    device: str,
) -> tuple[Floats, Floats]:
    """Weights (dims, members) and intercepts (dims,) by train rows left out."""
    fold = _folds(one, int(options["folds"]))
    parts = [_without(one, one.train[fold == k]) for k in range(int(fold.max()) + 1)]
    count, dims = len(members), one.dims
    weights, intercept = np.full((dims, count), 1 / count), np.zeros(dims)
    if any(many.why_not(p) for p in parts):
        return weights, intercept  # too few rows to leave any out
    left_out = np.empty((len(one.train), dims, count))
    for m, (name, own) in enumerate(members.items()):
        models = heads.load(name).fit_many(x, parts, own, work / f"{name}-folds", device)
        found = models.predict(many.taken(x, one.train))
        left_out[:, :, m] = found[fold, np.arange(len(fold))]
    for dim in range(dims):
        y = one.y[one.train, dim]
        known = np.isfinite(y)
        z, y = left_out[known, dim], y[known]
        found, _ = nnls(z - z.mean(axis=0), y - y.mean())
        if found.sum() > 0:
            weights[dim], intercept[dim] = found, y.mean() - z.mean(axis=0) @ found
    return weights, intercept


def _folds(one: Problem, folds: int) -> Ints:
    """The fold of every train row, whole groups in one."""
    codes = one.train if one.groups is None else one.groups[one.train]
    values, place = np.unique(codes, return_inverse=True)
    if len(values) < 2:  # one group has no other to be predicted from
        values, place = one.train, np.arange(len(one.train))
    order = identity.generator(one.seed, "blend").permutation(len(values))
    return (order % min(folds, len(values)))[place]


def _without(one: Problem, rows: Ints) -> Problem:
    y = one.y.copy()
    y[rows] = np.nan
    return replace(one, train=np.setdiff1d(one.train, rows), y=y)
