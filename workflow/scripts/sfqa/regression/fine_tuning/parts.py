"""Which parts of a network are trained: its head, its last stage, a share of it, or all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from sfqa.regression.stage_options import LORA

#: The key of a share of the parameters: ``{share: 0.3}``.
SHARE = "share"


#: What a unit is made of: modules, and parameters that no module of its own holds.
Member = nn.Module | nn.Parameter


@dataclass(frozen=True)
class Unit:
    """Parameters that are trained or frozen together, such as a block's; stages count from 0."""

    name: str
    stage: int
    parameters: tuple[nn.Parameter, ...]

    def count(self) -> int:
        """Return how many numbers the unit has."""
        return count_numbers(self.parameters)


@dataclass(frozen=True)
class Branch:
    """A backbone, as units from the input to the output, and the parameters of its head.

    The head is trained with any part of the backbone.
    """

    units: tuple[Unit, ...]
    head: tuple[nn.Parameter, ...]

    def count(self) -> int:
        """Return how many numbers backbone and head have."""
        return count_numbers(self.head) + sum(unit.count() for unit in self.units)


def make_branch(
    stages: Sequence[tuple[str, Sequence[tuple[str, Sequence[Member]]]]], head: Sequence[Member]
) -> Branch:
    """Return a branch of stages: ``[("stage 1", [("block 1", [module]), ...]), ...]``."""
    units = tuple(
        Unit(f"{stage}, {name}" if name else stage, number, list_parameters(members))
        for number, (stage, parts) in enumerate(stages)
        for name, members in parts
    )
    return Branch(units, list_parameters(head))


def list_parameters(members: Iterable[Member]) -> tuple[nn.Parameter, ...]:
    """Return the parameters of modules, and parameters as they are."""
    return tuple(
        parameter
        for member in members
        for parameter in ([member] if isinstance(member, nn.Parameter) else member.parameters())
    )


def count_numbers(parameters: Iterable[nn.Parameter]) -> int:
    """Return how many numbers some parameters have."""
    return sum(parameter.numel() for parameter in parameters)


def select_units(branch: Branch, part: str | Mapping[str, Any]) -> list[Unit]:
    """Return the units of the backbone that a part trains, from the output side.

    ``{"share": s}`` adds units to the head as long as the share of the branch's parameters that is
    trained comes nearer to ``s``, and at least one if the head is a smaller share.
    """
    if part in ("head", LORA):  # adapters are the head of a language model
        return []
    if part == "all":
        return list(branch.units)
    if part == "last_stage":
        last = max(unit.stage for unit in branch.units)
        return [unit for unit in branch.units if unit.stage == last]
    assert isinstance(part, Mapping)
    missing = float(part[SHARE]) * branch.count() - count_numbers(branch.head)
    selected: list[Unit] = []
    for unit in reversed(branch.units):
        if missing <= 0 or (selected and abs(missing - unit.count()) >= missing):
            break
        selected.insert(0, unit)
        missing -= unit.count()
    return selected
