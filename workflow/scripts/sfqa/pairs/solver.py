"""Solve for the optimal pair counts by class and side, with a proof of optimality."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from sfqa.errors import UserError
from sfqa.identity import seed_of
from sfqa.pairs.constraints import PairConstraints
from sfqa.pairs.material import LABEL_COLUMNS, SIDES, Material
from sfqa.pairs.model import Model
from sfqa.pairs.program import Expression, SolverResult, sum_terms
from sfqa.pairs.proof import Proof, Step
from sfqa.pairs.terms import build_terms

#: Range of the weights that break ties between optima.
WEIGHTS = 10**5


@dataclass(frozen=True)
class Counts:
    """The solution by class: members on the validation side, pairs of units by side."""

    members: dict[tuple[str, int], int]
    pairs: dict[tuple[str, int, int], int]
    proof: Proof


def solve_counts(material: Material, constraints: PairConstraints, seed: int = 0) -> Counts | None:
    """Return the optimal pair counts, or None if the constraints contradict each other.

    **Constraints**: ``count`` pairs without repetition; no image and no clip on both sides; at
    least one pair per side; ``val``, ``per_image`` and ``per_clip`` if given; every combination if
    coverage is ``all``; kept pairs stay.

    **Objective**, a list of terms, each minimised exactly without worsening an earlier one:

    1. distance of train : val from ``ratio`` (ties: fewer validation pairs);
    2. combinations of image source, category, style and language without a pair;
    3. uneven use: the sum over all images and clips without limits of the distance of their uses
       from the interval [floor, ceil] of count / number;
    4. distance of the combinations' counts from proportional counts: sum of absolute differences;
    5. distance of the label counts of the two sides: the same for the counts on each side of every
       source, category, style, language, and style with language, from their share of that side;
    6. uneven use, as in 3, of images and clips with limits.

    With proportion ``material``, 3 comes before 4: the two agree except for rounding, and 4 alone
    would use some clips 11 and some 13 times. With ``equal`` they contradict, and 4 comes first.

    **Why classes suffice.** Images with equal labels are interchangeable, and so are clips. The
    program counts the members of each class on each side, and for each two classes and side their
    pairs, at most members times members. Any such counts can be assigned to individuals so that the
    uses within a class and side differ by at most one (:mod:`sfqa.pairs.assignment`), and no other
    assignment has a better value in any term, because every term is convex in the uses. So the
    optimum over classes is the optimum over pairs. Kept images and clips are classes of one.

    **What is proven**: the solution is checked in integer arithmetic, so its values are exact. The
    bound is the floating-point bound of HiGHS, which is not a certificate in exact arithmetic; one
    such bound was wrong (docs/pairs.md). A step therefore counts as proven only if its value is 0,
    the smallest possible, or if a second solve without presolve gives the same value and bound; the
    lower of two bounds is reported.

    Ties between optima are broken by fixed weights drawn from the labels (for kept material also
    from its name and the seed): first clips, then images, then pairs.
    """
    budget = _SolveBudget(constraints)
    val, first = _choose_val_count(material, constraints)
    if val is None:
        return None
    model = Model(material, constraints, val)
    steps, best = [first], None
    extra: list[tuple[Expression, float, float]] = []
    for term in build_terms(model):
        answer = budget.minimise_twice(model, term.expr, extra)
        if answer.infeasible and best is None:
            return None
        if answer.x is not None:
            best = answer.x
        if best is None:
            # A limit ended the search before its first solution; this one has no limit of time.
            first_solution = model.program.minimise({}, (), constraints.nodes)
            if first_solution.infeasible:
                return None
            if first_solution.x is None:
                raise _limit_error(constraints)
            best = first_solution.x
        # If this solve found nothing, the last solution stays and its value is the limit.
        value = model.program.evaluate(term.expr, best)
        bound = min(max(answer.bound, 0), value)
        extra.append((term.expr, -np.inf, float(value)))
        scale = term.scale
        steps.append(
            Step(
                term.name,
                Fraction(value, scale),
                Fraction(bound, scale),
                answer.nodes,
                answer.seconds,
                answer.limit,
            )
        )
    assert best is not None
    best, is_settled, tie_limit = _break_ties(model, extra, best, budget, seed)
    evaluate = model.program.evaluate
    return Counts(
        {
            (item_type, k): evaluate(expr, best)
            for (item_type, side, k), expr in model.members.items()
            if side == "val"
        },
        {cell: evaluate(expr, best) for cell, expr in model.pairs.items()},
        Proof(tuple(steps), is_settled, tie_limit),
    )


class _SolveBudget:
    """Limits every solve to the node limit and the remaining processor time."""

    def __init__(self, constraints: PairConstraints) -> None:
        self.constraints, self.start = constraints, time.process_time()

    def minimise(
        self,
        model: Model,
        expr: Expression,
        extra: Iterable[tuple[Expression, float, float]] = (),
        presolve: bool = True,
    ) -> SolverResult:
        seconds_left = None
        if self.constraints.seconds is not None:
            seconds_left = self.constraints.seconds - (time.process_time() - self.start)
            if seconds_left <= 0:
                return SolverResult(None, 0, -(2**62), False, False, "seconds", 0, 0.0)
        return model.program.minimise(expr, extra, self.constraints.nodes, seconds_left, presolve)

    def minimise_twice(
        self,
        model: Model,
        expr: Expression,
        extra: Iterable[tuple[Expression, float, float]] = (),
        least: int | None = 0,
    ) -> SolverResult:
        """Solve twice, with and without presolve; return the better solution and the lower bound.

        The second solve is skipped if the first reaches ``least``.
        """
        first = self.minimise(model, expr, extra)
        if least is not None and first.x is not None and first.value == least:
            return replace(first, bound=least, is_proven=True)
        second = self.minimise(model, expr, extra, presolve=False)
        solved = [answer for answer in (first, second) if answer.x is not None]
        best = min(solved, key=lambda answer: answer.value) if solved else first
        bounds = [a.bound for a in (first, second) if not a.infeasible]
        limits = {answer.limit for answer in (first, second)} - {""}
        bound = min(bounds, default=best.bound)
        return replace(
            best,
            bound=bound,
            is_proven=best.x is not None and bound >= best.value,
            infeasible=first.infeasible and second.infeasible,
            limit="seconds" if "seconds" in limits else "nodes" if limits else "",
            nodes=first.nodes + second.nodes,
            seconds=first.seconds + second.seconds,
        )


def ratio_distance(count: int, val: int, ratio: float) -> Fraction:
    """Return the exact distance of train : val from the ratio.

    >>> ratio_distance(432, 96, 3.5)
    Fraction(0, 1)
    """
    return abs(Fraction(count - val, val) - Fraction(ratio))


def find_nearest_val(material: Material, constraints: PairConstraints) -> tuple[list[int], str]:
    """Return the nearest feasible numbers of validation pairs, below and above.

    Also returns the limit that ended the search, '' if the numbers are proven. The search has no
    limit of time, because without such a number there are no pairs.
    """
    budget, limit = _SolveBudget(replace(constraints, seconds=None)), ""
    model = Model(material, replace(constraints, val=None))
    target_val = constraints.val or int(constraints.count / (1 + Fraction(constraints.ratio)))
    val_pairs, val_counts = model.count_pairs("val"), []
    for sign, lower, upper in ((-1, -np.inf, target_val), (1, target_val + 1, np.inf)):
        answer = budget.minimise_twice(
            model, sum_terms((sign, val_pairs)), [(val_pairs, lower, upper)], least=None
        )
        if answer.x is None and not answer.infeasible:
            raise _limit_error(constraints)
        limit = limit or ("" if answer.is_proven or answer.infeasible else "nodes")
        if answer.x is not None:
            val_counts.append(model.program.evaluate(val_pairs, answer.x))
    return val_counts, limit


def _limit_error(constraints: PairConstraints) -> UserError:
    return UserError(
        f"pairs: no pairs that meet all constraints were found within {constraints.nodes} nodes; "
        f"raise pairs: nodes, for example to {10 * constraints.nodes}"
    )


def _choose_val_count(material: Material, constraints: PairConstraints) -> tuple[int | None, Step]:
    """Return the number of validation pairs: the requested one, or the one nearest to the ratio.

    Limited by nodes only, because without this number there are no pairs.
    """
    name, zero = "distance of train : val from the ratio", Fraction(0)
    if constraints.val is not None:
        return constraints.val, Step("number of validation pairs as given", zero, zero, 0, 0.0)
    low = int(constraints.count / (1 + Fraction(constraints.ratio)))
    candidates = [n for n in (low, low + 1) if 0 < n < constraints.count]
    distances = {
        n: (ratio_distance(constraints.count, n, constraints.ratio), n) for n in candidates
    }
    val = min(candidates, key=lambda n: distances[n]) if candidates else None
    started = time.process_time()
    nodes, limit = 0, ""
    if val is not None:
        answer = Model(material, constraints, val).program.minimise({}, (), constraints.nodes)
        nodes = answer.nodes
        if answer.x is None:
            val, limit = None, answer.limit
    if val is None:
        val_counts, nearest_limit = find_nearest_val(material, constraints)
        limit = limit or nearest_limit
        if not val_counts:
            return None, Step(name, zero, zero, 0, 0.0)
        val = min(
            val_counts,
            key=lambda n: (ratio_distance(constraints.count, n, constraints.ratio), n),
        )
    value = ratio_distance(constraints.count, val, constraints.ratio)
    bound = zero if limit else value
    return val, Step(name, value, bound, nodes, time.process_time() - started, limit)


def _break_ties(
    model: Model,
    extra: list[tuple[Expression, float, float]],
    best: npt.NDArray[np.int64],
    budget: _SolveBudget,
    seed: int,
) -> tuple[npt.NDArray[np.int64], bool, str]:
    """Break ties between optima by weights.

    Returns the solution, whether it is proven, and the limit that ended the search, or ''.
    """
    extra, is_settled, limit = list(extra), True, ""
    material = model.material

    def tie_weight(*unit_keys: tuple[str, int]) -> int:
        parts: list[str | int] = []
        for item_type, k in unit_keys:
            unit = material.get_units(item_type)[k]
            parts += [item_type, *unit.label]
            if unit.side is not None:
                parts += [unit.names[0], seed]
        return 1 + seed_of("pairs", *parts) % WEIGHTS

    groups: list[list[tuple[int, Expression]]] = [
        [
            (tie_weight((item_type, k)), expr)
            for (member_type, side, k), expr in model.members.items()
            if (member_type, side) == (item_type, "val")
            and material.get_units(item_type)[k].side is None
        ]
        for item_type in reversed(LABEL_COLUMNS)
    ]
    groups.append(
        [
            (tie_weight(("image", i), ("clip", c)) * (1 + SIDES.index(side)), expr)
            for (side, i, c), expr in model.pairs.items()
        ]
    )
    for group in groups:
        free = [(w, expr) for w, expr in group if set(expr) - {None}]
        if not free:
            continue
        answer = budget.minimise(model, sum_terms(*free), extra)
        is_settled, limit = is_settled and answer.is_proven, limit or answer.limit
        if answer.x is None:
            break
        best = answer.x
        for _, expr in free:
            value = float(model.program.evaluate(expr, best))
            extra.append((expr, value, value))
    return best, is_settled, limit
