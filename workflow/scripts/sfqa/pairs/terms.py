"""The terms of the objective, in order, as linear expressions."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from sfqa.pairs.material import LABEL_COLUMNS, SIDES, Label, Material
from sfqa.pairs.model import Model
from sfqa.pairs.program import Expression, Program, sum_terms


@dataclass(frozen=True)
class Term:
    """One term of the objective: ``expr`` is ``scale`` times its value."""

    name: str
    expr: Expression
    scale: int = 1


def build_terms(model: Model) -> list[Term]:
    """Return the terms of the objective in the order in which they are minimised.

    :func:`sfqa.pairs.solver.solve_counts` defines them; the model's ``val`` must be fixed.
    """
    constraints = model.constraints
    use_limits = {"image": constraints.per_image, "clip": constraints.per_clip}
    unlimited = [item_type for item_type in LABEL_COLUMNS if use_limits[item_type] is None]
    limited = [item_type for item_type in LABEL_COLUMNS if use_limits[item_type] is not None]
    objective_terms = [build_uncovered_term(model)] if constraints.coverage == "possible" else []
    even_use = [Term("uneven use", _sum_uneven_use(model, unlimited))] if unlimited else []
    combination_terms = [_build_combination_term(model)]
    objective_terms += (
        even_use + combination_terms
        if constraints.proportion == "material"
        else combination_terms + even_use
    )
    objective_terms += [_build_label_term(model)]
    if limited:
        objective_terms += [Term("uneven use inside the limits", _sum_uneven_use(model, limited))]
    return objective_terms


def build_uncovered_term(model: Model) -> Term:
    """Build the number of label combinations without a pair."""
    parts: list[tuple[int, Expression]] = []
    for pairs in model.count_combinations().values():
        is_covered = model.program.add_variable(1)
        model.program.add_row(sum_terms((1, pairs), (-1, is_covered)), 0)
        parts.append((1, {None: 1, is_covered: -1}))
    return Term("uncovered combinations", sum_terms(*parts))


def even_use_range(count: int, size: int) -> tuple[int, int]:
    """Return the least and most uses if ``count`` pairs use ``size`` images as evenly as possible.

    >>> even_use_range(432, 100), even_use_range(432, 36)
    ((4, 5), (12, 12))
    """
    return count // size, -(-count // size)


def target_shares(material: Material, item_type: str, proportion: str) -> dict[Label, Fraction]:
    """Return the target share of the pairs for each label."""
    sizes = material.count_by_label(item_type)
    if proportion == "equal":
        return {label: Fraction(1, len(sizes)) for label in sizes}
    return {label: Fraction(size, sum(sizes.values())) for label, size in sizes.items()}


def list_margins(material: Material, item_type: str) -> list[frozenset[Label]]:
    """Return the sets of labels whose pairs are counted per side.

    For images: each (source, category) and each source. For clips: each (style, language), each
    style and each language. Equal sets count once; the set of all labels is left out.
    """
    labels = list(material.count_by_label(item_type))
    label_sets = [frozenset([label]) for label in labels]
    for part in range(1 if item_type == "image" else 2):
        for word in sorted({label[part] for label in labels}):
            label_sets.append(frozenset(label for label in labels if label[part] == word))
    return [m for m in dict.fromkeys(label_sets) if len(m) < len(labels)]


def _sum_uneven_use(model: Model, kinds: list[str]) -> Expression:
    """Sum the uses below or above those of an even use over all images and clips."""
    parts = []
    for item_type in kinds:
        least, most = even_use_range(model.constraints.count, model.material.count_items(item_type))
        for k in range(len(model.material.get_units(item_type))):
            for side in SIDES:
                uses, members = (
                    model.count_uses(item_type, side, k),
                    model.members[item_type, side, k],
                )
                below, above = (
                    model.program.add_variable(model.constraints.count) for _ in range(2)
                )
                model.program.add_row(sum_terms((1, uses), (1, below), (-least, members)), lower=0)
                model.program.add_row(sum_terms((1, uses), (-1, above), (-most, members)), upper=0)
                parts += [(1, below), (1, above)]
    return sum_terms(*parts)


def _build_combination_term(model: Model) -> Term:
    """Build the distance of every combination's count from its proportional count."""
    constraints, material = model.constraints, model.material
    image, clip = (
        target_shares(material, item_type, constraints.proportion) for item_type in LABEL_COLUMNS
    )
    targets = [
        (pairs, constraints.count * image[i] * clip[c])
        for (i, c), pairs in model.count_combinations().items()
    ]
    return _build_distance_term(
        model.program, "distance from proportional counts", targets, constraints.count
    )


def _build_label_term(model: Model) -> Term:
    """Build the distance of every label's count on each side from its share of the side."""
    constraints, material, targets = model.constraints, model.material, []
    assert model.val is not None
    for item_type in LABEL_COLUMNS:
        share = target_shares(material, item_type, constraints.proportion)
        for side, side_pairs in (("train", constraints.count - model.val), ("val", model.val)):
            for margin in list_margins(material, item_type):
                uses = sum_terms(
                    *(
                        (1, model.count_uses(item_type, side, k))
                        for k, unit in enumerate(material.get_units(item_type))
                        if unit.label in margin
                    )
                )
                targets.append(
                    (uses, side_pairs * sum((share[label] for label in margin), Fraction(0)))
                )
    return _build_distance_term(
        model.program, "distance of the two sides' labels", targets, constraints.count
    )


def _build_distance_term(
    program: Program, name: str, targets: list[tuple[Expression, Fraction]], most: int
) -> Term:
    """Build the sum of |count - target|, times the common denominator of the targets.

    A count is an integer, so the distance may be linear between the two integers around a target:
    same values, and a tighter relaxation.
    """
    scale = lcm(*(target.denominator for _, target in targets))
    parts: list[tuple[int, Expression | int]] = []
    for count, target in targets:
        floor = int(target)
        rest = int((target - floor) * scale)
        step, above, below = (
            program.add_variable(1),
            program.add_variable(most),
            program.add_variable(floor),
        )
        program.add_row(
            sum_terms((1, count), (-1, step), (-1, above), (1, below), (-floor, {None: 1})), 0, 0
        )
        parts += [(rest, {None: 1}), (scale - 2 * rest, step), (scale, above), (scale, below)]
    return Term(name, sum_terms(*parts), scale)
