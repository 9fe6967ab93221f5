"""What the heads on :mod:`sfqa.regression.engine` share that read blocks.

The inputs of a metric are read in the order of the head's roles; inside, blocks are called by their
role, so that a model file does not depend on what the inputs were called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from sfqa.errors import UserError
from sfqa.regression import engine, losses
from sfqa.regression.problems import Blocks, Features, Floats, Problem
from sfqa.regression.schedule import Schedule
from sfqa.regression.stacking import Build

#: Options that are the engine's.
TRAINING = {f.name for f in fields(Schedule)}

State = Mapping[str, npt.NDArray[Any]]
#: The role of every input in order; '' for one that is not read (ablated).
Roles = Sequence[str]


class RoleModels:
    """Fitted problems of a head that reads blocks; :class:`sfqa.regression.problems.Models`."""

    def __init__(self, trained: engine.Trained, roles: Roles) -> None:
        self.trained, self.roles = trained, list(roles)
        self.reasons = trained.reasons

    def predict(self, x: Features) -> Floats:
        """Return predictions in MOS units, float64 (problems, rows, dims)."""
        return self.trained.predict(by_role(x, self.roles))

    def state(self, problem: int) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays of one network."""
        return self.trained.state(problem)


def by_role(x: Features, roles: Roles) -> Blocks:
    """Return the blocks under the names of their roles, those without a role left out."""
    if not isinstance(x, Mapping) or len(x) < len(roles):
        given = ", ".join(x) if isinstance(x, Mapping) else "a matrix"
        raise ValueError(f"blocks for {', '.join(roles)}; there are {given}")
    return {role: x[name] for name, role in zip(x, roles, strict=False) if role}


def fit(
    head: str,
    version: int,
    build: Build,
    x: Features,
    problems: Sequence[Problem],
    roles: Roles,
    options: Mapping[str, Any],
    work: Path,
    device: str,
) -> RoleModels:
    """Train the networks that ``build`` makes from the shapes by role."""
    given = by_role(x, roles)
    checked_build(head, build, {k: v.shape[1:] for k, v in given.items()}, problems[0].dims)
    loss = losses.parse(str(options["loss"]))
    numbers = {k: v for k, v in options.items() if k != "memory_gb"}
    identity = [head, version, losses.VERSION, numbers, list(roles)]
    trained = engine.train(
        build, given, problems, loss, schedule(options), Path(work), device, identity
    )
    return RoleModels(trained, roles)


def restored(
    build: Build, states: Sequence[State], roles: Roles, options: Mapping[str, Any], device: str
) -> RoleModels:
    """Return the models of model files, whose options they had."""
    return RoleModels(engine.restore(build, states, device, schedule(options)), roles)


def schedule(options: Mapping[str, Any]) -> Schedule:
    """Return how options say to train; raises :class:`UserError` for words that it does not know.

    >>> schedule({"epochs": 3, "width": 7}).epochs
    3
    """
    try:
        return Schedule(**{k: v for k, v in options.items() if k in TRAINING})
    except ValueError as error:
        raise UserError(f"option {error}") from error


def checked_build(
    head: str, build: Build, shapes: Mapping[str, tuple[int, ...]], dims: int
) -> None:
    """Make a network without numbers, to say in a sentence what does not fit."""
    import torch

    try:
        with torch.device("meta"):
            build(dict(shapes), dims)
    except (ValueError, RuntimeError) as error:
        said = ", ".join(f"{role} {shape}" for role, shape in shapes.items())
        raise UserError(
            f"head {head}: no network can be made for {said}: {error}; change its options"
        ) from error


def choice(head: str, options: Mapping[str, Any], key: str, words: Sequence[str]) -> str:
    """Return an option that is one of a few words; raises :class:`UserError` for another."""
    if options[key] not in words:
        raise UserError(f"head {head}, option {key}: {options[key]!r}; write {' or '.join(words)}")
    return str(options[key])


def counted(head: str, inputs: Sequence[str], roles: Sequence[str]) -> None:
    """Check that there is an input per role; raises :class:`UserError` that names the roles."""
    if len(inputs) != len(roles):
        raise UserError(
            f"head {head}: inputs {', '.join(inputs) or 'none'}; it reads {len(roles)}, in this "
            f"order: {', '.join(roles)}"
        )


def width(shape: tuple[int, ...]) -> int:
    """The width of a row of a block: its last axis."""
    return int(shape[-1])


def parameters(net: nn.Module) -> int:
    """Return the number of a network's parameters."""
    return int(np.sum([p.numel() for p in net.parameters()]))
