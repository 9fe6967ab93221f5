"""Why wishes cannot be fulfilled: the one that stands in the way, and what is possible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf

from sfqa.errors import UserError
from sfqa.pairs.material import KINDS, Material
from sfqa.pairs.model import Model
from sfqa.pairs.program import Expr, total
from sfqa.pairs.solver import nearest
from sfqa.pairs.terms import uncovered
from sfqa.pairs.wishes import Wishes


def check(material: Material, wishes: Wishes) -> None:
    """Raise :class:`UserError` for a wish that plain counting shows to be impossible."""
    kept, count = len(material.kept), wishes.count
    if kept > count:
        raise UserError(
            f"pairs: count is {count}, but the kept table has {kept} pairs of material that is "
            f"still there; ask for at least {kept}, or make the pairs anew without keep"
        )
    kept_val = sum(side == "val" for _, _, side in material.kept)
    if wishes.val is not None and not kept_val <= wishes.val <= count - (kept - kept_val):
        raise UserError(
            f"pairs: val is {wishes.val}, but the kept table has {kept_val} validation and "
            f"{kept - kept_val} training pairs; with count {count}, val can be "
            f"{max(1, kept_val)} to {count - max(1, kept - kept_val)}"
        )
    sizes = {kind: material.size(kind) for kind in KINDS}
    room = (sizes["image"] - 1) * (sizes["clip"] - 1) + 1
    if count > room:
        raise UserError(
            f"pairs: {count} pairs are wanted, but {sizes['image']} images and {sizes['clip']} "
            f"clips give at most {room} when no image and no clip is on both sides of the split; "
            f"ask for at most {room}, or add images or clips"
        )
    for kind, other in (("image", "clip"), ("clip", "image")):
        limits = getattr(wishes, f"per_{kind}")
        if limits is None:
            continue
        (least, most), size, partners = limits, sizes[kind], sizes[other] - 1
        if least * size > count:
            raise UserError(
                f"pairs: per_{kind} asks for at least {least} uses; {size} {kind}s make "
                f"{least * size} pairs, but count is {count}; lower the least uses to "
                f"{count // size}, or raise count to {least * size}"
            )
        if most * size < count:
            raise UserError(
                f"pairs: per_{kind} allows at most {most} uses; {size} {kind}s make "
                f"{most * size} pairs, but count is {count}; raise the most uses to "
                f"{-(-count // size)}, or lower count to {most * size}"
            )
        if least > partners:
            raise UserError(
                f"pairs: per_{kind} asks for at least {least} uses, but a {kind} meets at most "
                f"{partners} of {partners + 1} {other}s (one is on the other side of the split); "
                f"lower the least uses to {partners}, or add {other}s"
            )


def explain(material: Material, wishes: Wishes) -> UserError:
    """Return the error that names the wish that cannot hold with the others.

    One wish after the other is left out; the first without which the rest can be fulfilled is
    named, with what is possible instead. Where it takes more than one, all are named that must go.
    """
    ways: dict[str, Callable[[Material, Wishes], str]] = {
        "val": _val,
        "coverage": _coverage,
        "per_image": lambda m, w: _limits(m, w, "image"),
        "per_clip": lambda m, w: _limits(m, w, "clip"),
        "count": _count,
    }
    given = [name for name in ways if _given(wishes, name)]
    for name in given:
        if _possible(material, wishes, {name}):
            return UserError("pairs: " + ways[name](material, wishes))
    gone: set[str] = set()
    for name in given:
        gone.add(name)
        if _possible(material, wishes, gone):
            break
    # Take back what was not needed.
    for name in sorted(gone):
        if _possible(material, wishes, gone - {name}):
            gone.discard(name)
    named = [name for name in given if name in gone]
    return UserError(
        f"pairs: {' and '.join(named)} cannot hold with the other wishes, nor can one of them "
        "alone; change them together, or add images or clips"
    )


def _given(wishes: Wishes, name: str) -> bool:
    if name == "coverage":
        return wishes.coverage == "all"
    return name == "count" or getattr(wishes, name) is not None


def _feasible(model: Model, extra: list[tuple[Expr, float, float]]) -> bool:
    limits = model.wishes.nodes, model.wishes.seconds
    return model.program.minimise({}, extra, *limits).x is not None


def _possible(material: Material, wishes: Wishes, without: set[str]) -> bool:
    val = None if "val" in without else wishes.val
    return _feasible(Model(material, wishes, val, without), [])


def _val(material: Material, wishes: Wishes) -> str:
    near = " or ".join(str(n) for n in nearest(material, wishes))
    return (
        f"val is {wishes.val}, which cannot hold with the other wishes; the nearest that can is "
        f"{near}; write that, or leave val out and give train_val_ratio"
    )


def _coverage(material: Material, wishes: Wishes) -> str:
    loose = replace(wishes, coverage="possible")
    model = Model(material, loose, wishes.val)
    term = uncovered(model)
    answer = model.program.minimise(term.expr, (), wishes.nodes, wishes.seconds)
    assert answer.x is not None
    sizes = {kind: material.sizes(kind) for kind in KINDS}
    missing = [
        f"{' '.join(i)} x {' '.join(c)} ({sizes['image'][i]} images, {sizes['clip'][c]} clips)"
        for (i, c), pairs in model.combinations().items()
        if not model.program.value(pairs, answer.x)
    ]
    every = len(sizes["image"]) * len(sizes["clip"])
    return (
        f"coverage is all, but at most {every - len(missing)} of {every} combinations can have a "
        f"pair with the other wishes; without one would be, for example, {'; '.join(missing[:3])}; "
        "write coverage: possible, raise count, or add images or clips there"
    )


def _limits(material: Material, wishes: Wishes, kind: str) -> str:
    """The nearest limits that can hold: the most raised first, else the least lowered."""
    least, most = getattr(wishes, f"per_{kind}")

    def holds(low: int, high: int) -> bool:
        changed: tuple[int, int] = (low, high)
        if kind == "image":
            tried = replace(wishes, per_image=changed)
        else:
            tried = replace(wishes, per_clip=changed)
        return _possible(material, tried, set())

    head = f"per_{kind} is [{least}, {most}], which cannot hold with the other wishes; "
    higher = _first(lambda n: holds(least, n), most + 1, max(most + 1, wishes.count))
    if higher is not None:
        return head + f"most must be at least {higher}: write [{least}, {higher}]"
    lower = _first(lambda n: holds(least - n, most), 1, least)
    if lower is not None:
        return head + f"least can be at most {least - lower}: write [{least - lower}, {most}]"
    return head + "no other least or most alone helps; leave it out, or widen both"


def _first(holds: Callable[[int], bool], low: int, high: int) -> int | None:
    """The smallest number from low to high that holds, where all above it hold too."""
    if low > high or not holds(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _count(material: Material, wishes: Wishes) -> str:
    model = Model(material, wishes, wishes.val, {"count"})
    number = total((1, model.number("train")), (1, model.number("val")))
    found = []
    for sign, low, high in ((-1, -inf, wishes.count), (1, wishes.count, inf)):
        answer = model.program.minimise(
            total((sign, number)), [(number, low, high)], wishes.nodes, wishes.seconds
        )
        if answer.x is not None:
            found.append(str(model.program.value(number, answer.x)))
    return (
        f"count is {wishes.count}, which cannot hold with the other wishes; the nearest that can "
        f"is {' or '.join(found)}"
    )
