"""The integer program over classes of images and clips: variables and rules."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from sfqa.pairs.material import KINDS, SIDES, Label, Material
from sfqa.pairs.program import Expr, Program, total
from sfqa.pairs.wishes import Wishes


class Model:
    """Variables and rules for given wishes; :mod:`sfqa.pairs.terms` adds what is minimised.

    For every unit: how many members are on the validation side (fixed for kept material). For
    every two units and side: how many pairs, at most the product of their members there. The
    product of two unknowns is linear by the binaries "at least t members of the smaller unit are
    there". ``val`` fixes the number of validation pairs. ``without`` names wishes to leave out
    (per_image, per_clip, coverage, count), to find out which one cannot hold.
    """

    def __init__(
        self,
        material: Material,
        wishes: Wishes,
        val: int | None = None,
        without: Iterable[str] = (),
    ) -> None:
        self.material, self.wishes, self.val = material, wishes, val
        self.program = Program()
        #: Members of a unit on a side, by kind, side and unit.
        self.members: dict[tuple[str, str, int], Expr] = {}
        self._steps: dict[tuple[str, str, int], list[Expr]] = {}
        for kind in KINDS:
            self._place(kind)
        self._kept = self._count_kept()
        #: Pairs of two units on a side, by side, image unit and clip unit.
        self.pairs = {
            (side, i, c): self._cell(side, i, c)
            for side in SIDES
            for i in range(len(material.images))
            for c in range(len(material.clips))
        }
        self._rules(frozenset(without))

    def uses(self, kind: str, side: str, unit: int) -> Expr:
        """The number of pairs of a unit's members on a side."""
        if kind == "image":
            cells = [(side, unit, c) for c in range(len(self.material.clips))]
        else:
            cells = [(side, i, unit) for i in range(len(self.material.images))]
        return total(*((1, self.pairs[cell]) for cell in cells))

    def number(self, side: str) -> Expr:
        """The number of pairs on a side."""
        return total(*((1, cell) for (at, _, _), cell in self.pairs.items() if at == side))

    def combinations(self) -> dict[tuple[Label, Label], Expr]:
        """The number of pairs by the labels of image and clip, both sides together."""
        parts: dict[tuple[Label, Label], list[tuple[int, Expr]]] = {}
        images, clips = self.material.images, self.material.clips
        for (_, i, c), cell in self.pairs.items():
            parts.setdefault((images[i].label, clips[c].label), []).append((1, cell))
        return {labels: total(*parts[labels]) for labels in sorted(parts)}

    def _place(self, kind: str) -> None:
        for k, unit in enumerate(self.material.units(kind)):
            size = len(unit.names)
            steps: dict[str, list[Expr]]
            if unit.side is not None:
                steps = {side: [{None: int(side == unit.side)}] for side in SIDES}
            else:
                first = [self.program.variable(1) for _ in range(size)]
                for before, after in pairwise(first):
                    self.program.row(total((1, before), (-1, after)), 0)
                steps = {
                    "val": [{variable: 1} for variable in first],
                    "train": [{None: 1, variable: -1} for variable in reversed(first)],
                }
            for side in SIDES:
                self._steps[kind, side, k] = steps[side]
                self.members[kind, side, k] = total(*((1, step) for step in steps[side]))

    def _count_kept(self) -> set[tuple[int, int]]:
        where = {
            kind: {
                name: k for k, unit in enumerate(self.material.units(kind)) for name in unit.names
            }
            for kind in KINDS
        }
        return {(where["image"][i], where["clip"][c]) for i, c, _ in self.material.kept}

    def _cell(self, side: str, i: int, c: int) -> Expr:
        image, clip = self.material.images[i], self.material.clips[c]
        if (i, c) in self._kept:
            return {None: int(image.side == side)}
        if any(unit.side not in (None, side) for unit in (image, clip)):
            return {}
        new = self.program.variable(len(image.names) * len(clip.names))
        # Expand the smaller unit, and none where its members are known.
        few, many = ("image", i, len(image.names)), ("clip", c, len(clip.names))
        if few[2] > many[2] or (few[2] == many[2] and clip.side):
            few, many = many, few
        there = self.members[many[0], side, many[1]]
        steps = self._steps[few[0], side, few[1]]
        parts = [new]
        if len(steps) > 1:
            parts = [self.program.variable(many[2]) for _ in steps]
            self.program.row(total((1, new), *((-1, part) for part in parts)), upper=0)
        for part, step in zip(parts, steps, strict=True):
            self.program.row(total((1, part), (-1, there)), upper=0)
            self.program.row(total((1, part), (-many[2], step)), upper=0)
        return {new: 1}

    def _rules(self, without: frozenset[str]) -> None:
        wishes, row = self.wishes, self.program.row
        pairs = {side: self.number(side) for side in SIDES}
        if "count" not in without:
            row(total(*((1, pairs[side]) for side in SIDES)), wishes.count, wishes.count)
        for side in SIDES:
            row(pairs[side], 1)
        if self.val is not None:
            row(pairs["val"], self.val, self.val)
        for kind, limits in (("image", wishes.per_image), ("clip", wishes.per_clip)):
            if limits is None or f"per_{kind}" in without:
                continue
            for k in range(len(self.material.units(kind))):
                for side in SIDES:
                    uses, members = self.uses(kind, side, k), self.members[kind, side, k]
                    row(total((1, uses), (-limits[0], members)), lower=0)
                    row(total((1, uses), (-limits[1], members)), upper=0)
        if wishes.coverage == "all" and "coverage" not in without:
            for pairs_of in self.combinations().values():
                row(pairs_of, 1)
