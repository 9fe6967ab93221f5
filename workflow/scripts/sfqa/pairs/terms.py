"""What is minimised, in order: the terms of the objective as linear expressions."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from sfqa.pairs.material import KINDS, SIDES, Label, Material
from sfqa.pairs.model import Model
from sfqa.pairs.program import Expr, Program, total


@dataclass(frozen=True)
class Term:
    """One term: its name, ``scale`` times its value as an expression."""

    name: str
    expr: Expr
    scale: int = 1


def terms(model: Model) -> list[Term]:
    """Return the terms of the objective in the order in which they are minimised.

    See :func:`sfqa.pairs.solver.solve` for their meaning; the model's ``val`` must be fixed.
    """
    wishes = model.wishes
    given = {"image": wishes.per_image, "clip": wishes.per_clip}
    aims = [kind for kind in KINDS if given[kind] is None]
    limited = [kind for kind in KINDS if given[kind] is not None]
    found = [uncovered(model)] if wishes.coverage == "possible" else []
    even = [Term("uneven use", _uneven(model, aims))] if aims else []
    counts = [_combinations(model)]
    found += even + counts if wishes.proportion == "material" else counts + even
    found += [_labels(model)]
    if limited:
        found += [Term("uneven use inside the limits", _uneven(model, limited))]
    return found


def uncovered(model: Model) -> Term:
    """The number of combinations of labels without a pair."""
    parts: list[tuple[int, Expr]] = []
    for pairs in model.combinations().values():
        has = model.program.variable(1)
        model.program.row(total((1, pairs), (-1, has)), 0)
        parts.append((1, {None: 1, has: -1}))
    return Term("uncovered combinations", total(*parts))


def even(count: int, size: int) -> tuple[int, int]:
    """Least and most uses when ``count`` pairs use ``size`` images as evenly as can be.

    >>> even(432, 100), even(432, 36)
    ((4, 5), (12, 12))
    """
    return count // size, -(-count // size)


def shares(material: Material, kind: str, proportion: str) -> dict[Label, Fraction]:
    """The share of the pairs that each label should have."""
    sizes = material.sizes(kind)
    if proportion == "equal":
        return {label: Fraction(1, len(sizes)) for label in sizes}
    return {label: Fraction(size, sum(sizes.values())) for label, size in sizes.items()}


def margins(material: Material, kind: str) -> list[frozenset[Label]]:
    """Sets of labels whose pairs are counted per side: each label, each source, style, language.

    For images (source, category) and source; for clips (style, language), style, language. Sets
    that are equal count once; the set of all labels does not count.
    """
    labels = list(material.sizes(kind))
    found = [frozenset([label]) for label in labels]
    for part in range(1 if kind == "image" else 2):
        for word in sorted({label[part] for label in labels}):
            found.append(frozenset(label for label in labels if label[part] == word))
    return [m for m in dict.fromkeys(found) if len(m) < len(labels)]


def _uneven(model: Model, kinds: list[str]) -> Expr:
    """Uses below or above those of an even use, summed over images and clips."""
    parts = []
    for kind in kinds:
        least, most = even(model.wishes.count, model.material.size(kind))
        for k in range(len(model.material.units(kind))):
            for side in SIDES:
                uses, members = model.uses(kind, side, k), model.members[kind, side, k]
                below, above = (model.program.variable(model.wishes.count) for _ in range(2))
                model.program.row(total((1, uses), (1, below), (-least, members)), lower=0)
                model.program.row(total((1, uses), (-1, above), (-most, members)), upper=0)
                parts += [(1, below), (1, above)]
    return total(*parts)


def _combinations(model: Model) -> Term:
    """Distance of the count of every combination from its proportional count."""
    wishes, material = model.wishes, model.material
    image, clip = (shares(material, kind, wishes.proportion) for kind in KINDS)
    targets = [
        (pairs, wishes.count * image[i] * clip[c]) for (i, c), pairs in model.combinations().items()
    ]
    return _distance(model.program, "distance from proportional counts", targets, wishes.count)


def _labels(model: Model) -> Term:
    """Distance of every label's count on each side from its share of the side."""
    wishes, material, targets = model.wishes, model.material, []
    assert model.val is not None
    for kind in KINDS:
        share = shares(material, kind, wishes.proportion)
        for side, number in (("train", wishes.count - model.val), ("val", model.val)):
            for margin in margins(material, kind):
                uses = total(
                    *(
                        (1, model.uses(kind, side, k))
                        for k, unit in enumerate(material.units(kind))
                        if unit.label in margin
                    )
                )
                targets.append(
                    (uses, number * sum((share[label] for label in margin), Fraction(0)))
                )
    return _distance(model.program, "distance of the two sides' labels", targets, wishes.count)


def _distance(program: Program, name: str, targets: list[tuple[Expr, Fraction]], most: int) -> Term:
    """Sum of |count - target|, times the targets' common denominator.

    A count is whole, so that the distance between the two whole numbers around a target may be
    taken as a straight line: the same values, and a relaxation that bounds them well.
    """
    scale = lcm(*(target.denominator for _, target in targets))
    parts: list[tuple[int, Expr | int]] = []
    for count, target in targets:
        floor = int(target)
        rest = int((target - floor) * scale)
        step, above, below = program.variable(1), program.variable(most), program.variable(floor)
        program.row(
            total((1, count), (-1, step), (-1, above), (1, below), (-floor, {None: 1})), 0, 0
        )
        parts += [(rest, {None: 1}), (scale - 2 * rest, step), (scale, above), (scale, below)]
    return Term(name, total(*parts), scale)
