"""The exact solver: numbers of pairs by class and side, and how far they are proven."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from sfqa.errors import UserError
from sfqa.identity import seed_of
from sfqa.pairs.material import KINDS, SIDES, Material
from sfqa.pairs.model import Model
from sfqa.pairs.program import Answer, Expr, total
from sfqa.pairs.proof import Proof, Step
from sfqa.pairs.terms import terms
from sfqa.pairs.wishes import Wishes

#: Range of the weights that choose one of several optima.
WEIGHTS = 10**5


@dataclass(frozen=True)
class Counts:
    """The solution in classes: members on the validation side, pairs of units by side."""

    members: dict[tuple[str, int], int]
    pairs: dict[tuple[str, int, int], int]
    proof: Proof


def solve(material: Material, wishes: Wishes, seed: int = 0) -> Counts | None:
    """Return the best numbers of pairs, or None where the rules contradict each other.

    **Rules**: ``count`` pairs, none twice; no image and no clip on both sides; at least one pair a
    side; ``val``, ``per_image`` and ``per_clip`` where given; every combination where coverage is
    ``all``; kept pairs stay.

    **Aims**, each minimised exactly without giving up anything of those before it:

    1. distance of train : val from ``ratio`` (then fewer validation pairs);
    2. combinations of image source, category, style and language without a pair;
    3. uneven use: how far the uses of every image and clip lie outside count / number rounded
       down and up, summed, for what has no limits of its own;
    4. distance of the combinations' counts from proportional counts: sum of absolute differences;
    5. distance of the two sides' labels: the same for the counts on each side of every source,
       category, style, language, and style with language, from their share of that side;
    6. uneven use, as in 3, of what has limits.

    3 comes before 4 with proportion ``material``, where the two agree but for rounding (4 alone
    would use some clips 11 and some 13 times), and after it with ``equal``, where they contradict.

    **Why classes suffice.** Images with equal labels are exchangeable, and so are clips; the
    program counts, for each class, its members on each side, and for each two classes and side
    their pairs, at most members times members. Any such numbers can be dealt to individuals so
    that the uses within a class and side differ by at most one (:mod:`sfqa.pairs.deal`), and no
    dealing has a better value in any term, since every term is convex in the uses. So the optimum
    over classes is the optimum over pairs. Kept images and clips are classes of one.

    **What is proven**: the point is checked in whole numbers, so its values are exact. A bound is
    that of HiGHS, in floating point: not a certificate in exact arithmetic, and one such bound has
    been seen to be wrong (docs/pairs.md). So a step counts as proven only
    where its value is 0, below which nothing is, or where a second solve without presolve gives
    the same value and bound; the lower of two bounds is kept.

    Among equally good solutions one is chosen by fixed weights drawn from the labels (for kept
    material also from its name and the seed): first clips, then images, then pairs.
    """
    clock = _Clock(wishes)
    val, first = _val(material, wishes, clock)
    if val is None:
        return None
    model = Model(material, wishes, val)
    steps, best = [first], None
    extra: list[tuple[Expr, float, float]] = []
    for term in terms(model):
        answer = clock.confirm(model, term.expr, extra)
        if answer.infeasible and best is None:
            return None
        if answer.x is not None:
            best = answer.x
        if best is None:
            raise _limit(wishes)
        # Without an answer the last solution stays, and its own value is the limit.
        value = model.program.value(term.expr, best)
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
            )
        )
    assert best is not None
    best, settled = _settle(model, extra, best, clock, seed)
    value_of = model.program.value
    return Counts(
        {
            (kind, k): value_of(expr, best)
            for (kind, side, k), expr in model.members.items()
            if side == "val"
        },
        {cell: value_of(expr, best) for cell, expr in model.pairs.items()},
        Proof(tuple(steps), settled),
    )


class _Clock:
    """Gives every solve its node limit and what is left of the time."""

    def __init__(self, wishes: Wishes) -> None:
        self.wishes, self.start = wishes, time.perf_counter()

    def minimise(
        self,
        model: Model,
        expr: Expr,
        extra: Iterable[tuple[Expr, float, float]] = (),
        presolve: bool = True,
    ) -> Answer:
        left = None
        if self.wishes.seconds is not None:
            left = max(0.01, self.wishes.seconds - (time.perf_counter() - self.start))
        return model.program.minimise(expr, extra, self.wishes.nodes, left, presolve)

    def confirm(
        self,
        model: Model,
        expr: Expr,
        extra: Iterable[tuple[Expr, float, float]] = (),
        least: int | None = 0,
    ) -> Answer:
        """The better point and the lower bound of two solves; one where ``least`` is reached."""
        first = self.minimise(model, expr, extra)
        if least is not None and first.x is not None and first.value == least:
            return replace(first, bound=least, proven=True)
        second = self.minimise(model, expr, extra, presolve=False)
        found = [answer for answer in (first, second) if answer.x is not None]
        best = min(found, key=lambda answer: answer.value) if found else first
        bounds = [a.bound for a in (first, second) if not a.infeasible]
        bound = min(bounds, default=best.bound)
        return replace(
            best,
            bound=bound,
            proven=best.x is not None and bound >= best.value,
            infeasible=first.infeasible and second.infeasible,
            nodes=first.nodes + second.nodes,
            seconds=first.seconds + second.seconds,
        )


def distance(count: int, val: int, ratio: float) -> Fraction:
    """Return how far train : val is from the ratio, exactly.

    >>> distance(432, 96, 3.5)
    Fraction(0, 1)
    """
    return abs(Fraction(count - val, val) - Fraction(ratio))


def nearest(material: Material, wishes: Wishes) -> list[int]:
    """Return the numbers of validation pairs next to the wish, below and above, that can be."""
    clock = _Clock(wishes)
    model = Model(material, replace(wishes, val=None))
    wanted = wishes.val or int(wishes.count / (1 + Fraction(wishes.ratio)))
    number, found = model.number("val"), []
    for sign, lower, upper in ((-1, -np.inf, wanted), (1, wanted + 1, np.inf)):
        answer = clock.confirm(model, total((sign, number)), [(number, lower, upper)], least=None)
        if answer.x is None and not answer.infeasible:
            raise _limit(wishes)
        if answer.x is not None:
            found.append(model.program.value(number, answer.x))
    return found


def _limit(wishes: Wishes) -> UserError:
    return UserError(
        f"pairs: no solution was found within {wishes.nodes} nodes and {wishes.seconds} seconds; "
        "raise nodes or seconds"
    )


def _val(material: Material, wishes: Wishes, clock: _Clock) -> tuple[int | None, Step]:
    """The number of validation pairs nearest the ratio, or the one that is wished."""
    name, zero = "distance of train : val from the ratio", Fraction(0)
    if wishes.val is not None:
        return wishes.val, Step("validation pairs as wished", zero, zero, 0, 0.0)
    low = int(wishes.count / (1 + Fraction(wishes.ratio)))
    candidates = [n for n in (low, low + 1) if 0 < n < wishes.count]
    key = {n: (distance(wishes.count, n, wishes.ratio), n) for n in candidates}
    val = min(candidates, key=lambda n: key[n]) if candidates else None
    begun = time.perf_counter()
    nodes = 0
    if val is not None:
        answer = clock.minimise(Model(material, wishes, val), {})
        nodes = answer.nodes
        if answer.x is None:
            val = None
    if val is None:
        found = nearest(material, wishes)
        if not found:
            return None, Step(name, zero, zero, 0, 0.0)
        val = min(found, key=lambda n: (distance(wishes.count, n, wishes.ratio), n))
    value = distance(wishes.count, val, wishes.ratio)
    return val, Step(name, value, value, nodes, time.perf_counter() - begun)


def _settle(
    model: Model,
    extra: list[tuple[Expr, float, float]],
    best: npt.NDArray[np.int64],
    clock: _Clock,
    seed: int,
) -> tuple[npt.NDArray[np.int64], bool]:
    """Choose one of the equally good solutions by weights; return it and whether it is proven."""
    extra, settled = list(extra), True
    material = model.material

    def weight(*where: tuple[str, int]) -> int:
        parts: list[str | int] = []
        for kind, k in where:
            unit = material.units(kind)[k]
            parts += [kind, *unit.label]
            if unit.side is not None:
                parts += [unit.names[0], seed]
        return 1 + seed_of("pairs", *parts) % WEIGHTS

    groups: list[list[tuple[int, Expr]]] = [
        [
            (weight((kind, k)), expr)
            for (of, side, k), expr in model.members.items()
            if (of, side) == (kind, "val") and material.units(kind)[k].side is None
        ]
        for kind in reversed(KINDS)
    ]
    groups.append(
        [
            (weight(("image", i), ("clip", c)) * (1 + SIDES.index(side)), expr)
            for (side, i, c), expr in model.pairs.items()
        ]
    )
    for group in groups:
        free = [(w, expr) for w, expr in group if set(expr) - {None}]
        if not free:
            continue
        answer = clock.minimise(model, total(*free), extra)
        settled = settled and answer.proven
        if answer.x is None:
            break
        best = answer.x
        for _, expr in free:
            value = float(model.program.value(expr, best))
            extra.append((expr, value, value))
    return best, settled
