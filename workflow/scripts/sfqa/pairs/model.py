"""The integer program over classes of images and clips: variables and constraints."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from sfqa.pairs.constraints import PairConstraints
from sfqa.pairs.material import LABEL_COLUMNS, SIDES, Label, Material
from sfqa.pairs.program import Expression, Program, sum_terms


class Model:
    """Variables and constraints; :mod:`sfqa.pairs.terms` adds the objective.

    For every unit: the number of members on the validation side (fixed for kept material). For
    every pair of units and side: the number of pairs, at most the product of their members there.
    The product of two unknowns is made linear with binary variables "at least t members of the
    smaller unit are on this side". ``val`` fixes the number of validation pairs. ``without`` names
    constraints to leave out (per_image, per_clip, coverage, count), to find the conflicting one.
    """

    def __init__(
        self,
        material: Material,
        constraints: PairConstraints,
        val: int | None = None,
        without: Iterable[str] = (),
    ) -> None:
        self.material, self.constraints, self.val = material, constraints, val
        self.program = Program()
        #: Members of a unit on a side, by item type, side and unit.
        self.members: dict[tuple[str, str, int], Expression] = {}
        self._steps: dict[tuple[str, str, int], list[Expression]] = {}
        for item_type in LABEL_COLUMNS:
            self._add_members(item_type)
        self._kept = self._index_kept()
        #: Pairs of two units on a side, by side, image unit and clip unit.
        self.pairs = {
            (side, i, c): self._add_cell(side, i, c)
            for side in SIDES
            for i in range(len(material.images))
            for c in range(len(material.clips))
        }
        self._add_constraints(frozenset(without))

    def count_uses(self, item_type: str, side: str, unit: int) -> Expression:
        """Return the number of pairs of a unit's members on a side."""
        if item_type == "image":
            cells = [(side, unit, c) for c in range(len(self.material.clips))]
        else:
            cells = [(side, i, unit) for i in range(len(self.material.images))]
        return sum_terms(*((1, self.pairs[cell]) for cell in cells))

    def count_pairs(self, side: str) -> Expression:
        """Return the number of pairs on a side."""
        return sum_terms(*((1, cell) for (at, _, _), cell in self.pairs.items() if at == side))

    def count_combinations(self) -> dict[tuple[Label, Label], Expression]:
        """Return the number of pairs by the labels of image and clip, both sides together."""
        parts: dict[tuple[Label, Label], list[tuple[int, Expression]]] = {}
        images, clips = self.material.images, self.material.clips
        for (_, i, c), cell in self.pairs.items():
            parts.setdefault((images[i].label, clips[c].label), []).append((1, cell))
        return {labels: sum_terms(*parts[labels]) for labels in sorted(parts)}

    def _add_members(self, item_type: str) -> None:
        for k, unit in enumerate(self.material.get_units(item_type)):
            size = len(unit.names)
            steps: dict[str, list[Expression]]
            if unit.side is not None:
                steps = {side: [{None: int(side == unit.side)}] for side in SIDES}
            else:
                first = [self.program.add_variable(1) for _ in range(size)]
                for before, after in pairwise(first):
                    self.program.add_row(sum_terms((1, before), (-1, after)), 0)
                steps = {
                    "val": [{variable: 1} for variable in first],
                    "train": [{None: 1, variable: -1} for variable in reversed(first)],
                }
            for side in SIDES:
                self._steps[item_type, side, k] = steps[side]
                self.members[item_type, side, k] = sum_terms(*((1, step) for step in steps[side]))

    def _index_kept(self) -> set[tuple[int, int]]:
        unit_of_name = {
            item_type: {
                name: k
                for k, unit in enumerate(self.material.get_units(item_type))
                for name in unit.names
            }
            for item_type in LABEL_COLUMNS
        }
        return {
            (unit_of_name["image"][i], unit_of_name["clip"][c]) for i, c, _ in self.material.kept
        }

    def _add_cell(self, side: str, i: int, c: int) -> Expression:
        image, clip = self.material.images[i], self.material.clips[c]
        if (i, c) in self._kept:
            return {None: int(image.side == side)}
        if any(unit.side not in (None, side) for unit in (image, clip)):
            return {}
        cell_pairs = self.program.add_variable(len(image.names) * len(clip.names))
        # Expand the smaller unit; if its members are known, no expansion is needed.
        smaller, larger = ("image", i, len(image.names)), ("clip", c, len(clip.names))
        if smaller[2] > larger[2] or (smaller[2] == larger[2] and clip.side):
            smaller, larger = larger, smaller
        larger_members = self.members[larger[0], side, larger[1]]
        steps = self._steps[smaller[0], side, smaller[1]]
        parts = [cell_pairs]
        if len(steps) > 1:
            parts = [self.program.add_variable(larger[2]) for _ in steps]
            self.program.add_row(
                sum_terms((1, cell_pairs), *((-1, part) for part in parts)), upper=0
            )
        for part, step in zip(parts, steps, strict=True):
            self.program.add_row(sum_terms((1, part), (-1, larger_members)), upper=0)
            self.program.add_row(sum_terms((1, part), (-larger[2], step)), upper=0)
        return {cell_pairs: 1}

    def _add_constraints(self, without: frozenset[str]) -> None:
        constraints, add_row = self.constraints, self.program.add_row
        pairs_per_side = {side: self.count_pairs(side) for side in SIDES}
        if "count" not in without:
            add_row(
                sum_terms(*((1, pairs_per_side[side]) for side in SIDES)),
                constraints.count,
                constraints.count,
            )
        for side in SIDES:
            add_row(pairs_per_side[side], 1)
        if self.val is not None:
            add_row(pairs_per_side["val"], self.val, self.val)
        for item_type, limits in (("image", constraints.per_image), ("clip", constraints.per_clip)):
            if limits is None or f"per_{item_type}" in without:
                continue
            for k in range(len(self.material.get_units(item_type))):
                for side in SIDES:
                    uses, members = (
                        self.count_uses(item_type, side, k),
                        self.members[item_type, side, k],
                    )
                    add_row(sum_terms((1, uses), (-limits[0], members)), lower=0)
                    add_row(sum_terms((1, uses), (-limits[1], members)), upper=0)
        if constraints.coverage == "all" and "coverage" not in without:
            for combination_count in self.count_combinations().values():
                add_row(combination_count, 1)
