"""Explain why constraints cannot all hold: name the conflicting one and what is possible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf

from sfqa.errors import UserError
from sfqa.pairs.constraints import PairConstraints
from sfqa.pairs.material import LABEL_COLUMNS, Material
from sfqa.pairs.model import Model
from sfqa.pairs.program import Expression, sum_terms
from sfqa.pairs.solver import find_nearest_val
from sfqa.pairs.terms import build_uncovered_term


def check_counts(material: Material, constraints: PairConstraints) -> None:
    """Raise :class:`UserError` for a constraint that simple counting shows to be impossible."""
    kept_count, count = len(material.kept), constraints.count
    if kept_count > count:
        raise UserError(
            f"pairs: count is {count}, but the kept table has {kept_count} pairs whose image and "
            f"clip still exist; ask for at least {kept_count}, or choose new pairs without keep"
        )
    kept_val = sum(side == "val" for _, _, side in material.kept)
    if constraints.val is not None and not kept_val <= constraints.val <= count - (
        kept_count - kept_val
    ):
        raise UserError(
            f"pairs: val is {constraints.val}, but the kept table has {kept_val} validation and "
            f"{kept_count - kept_val} training pairs; with count {count}, val can be "
            f"{max(1, kept_val)} to {count - max(1, kept_count - kept_val)}"
        )
    sizes = {item_type: material.count_items(item_type) for item_type in LABEL_COLUMNS}
    largest_count = (sizes["image"] - 1) * (sizes["clip"] - 1) + 1
    if count > largest_count:
        raise UserError(
            f"pairs: count is {count}, but {sizes['image']} images and {sizes['clip']} clips give "
            f"at most {largest_count} pairs when no image and no clip is on both sides of the "
            f"split; ask for at most {largest_count}, or add images or clips"
        )
    for item_type, other_type in (("image", "clip"), ("clip", "image")):
        limits = getattr(constraints, f"per_{item_type}")
        if limits is None:
            continue
        (least, most), size, partners = limits, sizes[item_type], sizes[other_type] - 1
        if least * size > count:
            raise UserError(
                f"pairs: per_{item_type} asks for at least {least} uses; {size} {item_type}s make "
                f"{least * size} pairs, but count is {count}; lower the least uses to "
                f"{count // size}, or raise count to {least * size}"
            )
        if most * size < count:
            raise UserError(
                f"pairs: per_{item_type} allows at most {most} uses; {size} {item_type}s make "
                f"{most * size} pairs, but count is {count}; raise the most uses to "
                f"{-(-count // size)}, or lower count to {most * size}"
            )
        if least > partners:
            raise UserError(
                f"pairs: per_{item_type} asks for at least {least} uses, but a {item_type} can be "
                f"paired with at most {partners} of {partners + 1} {other_type}s (one is on the "
                "other side of the split); "
                f"lower the least uses to {partners}, or add {other_type}s"
            )


def explain_infeasibility(material: Material, constraints: PairConstraints) -> UserError:
    """Return an error that names the constraint that conflicts with the others.

    Constraints are dropped one at a time; the first whose removal makes the rest feasible is named,
    with the values that are possible. If one removal is not enough, all that must go are named.
    """
    explanations: dict[str, Callable[[Material, PairConstraints], str]] = {
        "val": _explain_val,
        "coverage": _explain_coverage,
        "per_image": lambda m, w: _explain_limits(m, w, "image"),
        "per_clip": lambda m, w: _explain_limits(m, w, "clip"),
        "count": _explain_count,
    }
    given_names = [name for name in explanations if _is_given(constraints, name)]
    for name in given_names:
        if _is_feasible(material, constraints, {name}):
            return UserError("pairs: " + explanations[name](material, constraints))
    removed: set[str] = set()
    for name in given_names:
        removed.add(name)
        if _is_feasible(material, constraints, removed):
            break
    # Restore the constraints whose removal was not needed.
    for name in sorted(removed):
        if _is_feasible(material, constraints, removed - {name}):
            removed.discard(name)
    named = [name for name in given_names if name in removed]
    return UserError(
        f"pairs: {' and '.join(named)} conflict with the other constraints, and dropping "
        "one of them is not enough; change them together, or add images or clips"
    )


def _is_given(constraints: PairConstraints, name: str) -> bool:
    if name == "coverage":
        return constraints.coverage == "all"
    return name == "count" or getattr(constraints, name) is not None


def _has_solution(model: Model, extra: list[tuple[Expression, float, float]]) -> bool:
    return model.program.minimise({}, extra, model.constraints.nodes).x is not None


def _is_feasible(material: Material, constraints: PairConstraints, without: set[str]) -> bool:
    val = None if "val" in without else constraints.val
    return _has_solution(Model(material, constraints, val, without), [])


def _explain_val(material: Material, constraints: PairConstraints) -> str:
    nearest_counts = " or ".join(str(n) for n in find_nearest_val(material, constraints)[0])
    return (
        f"val is {constraints.val}, which conflicts with the other constraints; the nearest "
        f"possible value is {nearest_counts}; write that, or leave val out and give train_val_ratio"
    )


def _explain_coverage(material: Material, constraints: PairConstraints) -> str:
    relaxed = replace(constraints, coverage="possible")
    model = Model(material, relaxed, constraints.val)
    term = build_uncovered_term(model)
    answer = model.program.minimise(term.expr, (), constraints.nodes)
    assert answer.x is not None
    sizes = {item_type: material.count_by_label(item_type) for item_type in LABEL_COLUMNS}
    missing = [
        f"{' '.join(i)} x {' '.join(c)} ({sizes['image'][i]} images, {sizes['clip'][c]} clips)"
        for (i, c), pairs in model.count_combinations().items()
        if not model.program.evaluate(pairs, answer.x)
    ]
    combination_count = len(sizes["image"]) * len(sizes["clip"])
    return (
        f"coverage is all, but with the other constraints at most "
        f"{combination_count - len(missing)} of {combination_count} combinations can have a pair; "
        f"examples of combinations without one: {'; '.join(missing[:3])}; "
        "write coverage: possible, raise count, or add images or clips there"
    )


def _explain_limits(material: Material, constraints: PairConstraints, item_type: str) -> str:
    """Find the nearest feasible limits: a higher upper limit first, else a lower lower limit."""
    least, most = getattr(constraints, f"per_{item_type}")

    def are_feasible(low: int, high: int) -> bool:
        changed: tuple[int, int] = (low, high)
        if item_type == "image":
            candidate = replace(constraints, per_image=changed)
        else:
            candidate = replace(constraints, per_clip=changed)
        return _is_feasible(material, candidate, set())

    sentence_start = (
        f"per_{item_type} is [{least}, {most}], which conflicts with the other constraints; "
    )
    higher = _find_smallest(
        lambda n: are_feasible(least, n), most + 1, max(most + 1, constraints.count)
    )
    if higher is not None:
        return sentence_start + f"most must be at least {higher}: write [{least}, {higher}]"
    lower = _find_smallest(lambda n: are_feasible(least - n, most), 1, least)
    if lower is not None:
        return (
            sentence_start
            + f"least can be at most {least - lower}: write [{least - lower}, {most}]"
        )
    return sentence_start + "changing one of the two is not enough; widen both or leave it out"


def _find_smallest(holds: Callable[[int], bool], low: int, high: int) -> int | None:
    """Return the smallest number in [low, high] that holds, if all above it hold too."""
    if low > high or not holds(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _explain_count(material: Material, constraints: PairConstraints) -> str:
    model = Model(material, constraints, constraints.val, {"count"})
    pair_count = sum_terms((1, model.count_pairs("train")), (1, model.count_pairs("val")))
    nearest_counts = []
    for sign, low, high in ((-1, -inf, constraints.count), (1, constraints.count, inf)):
        answer = model.program.minimise(
            sum_terms((sign, pair_count)),
            [(pair_count, low, high)],
            constraints.nodes,
        )
        if answer.x is not None:
            nearest_counts.append(str(model.program.evaluate(pair_count, answer.x)))
    return (
        f"count is {constraints.count}, which conflicts with the other constraints; the nearest "
        f"possible value is {' or '.join(nearest_counts)}"
    )
