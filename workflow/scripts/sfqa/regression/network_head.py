"""The base of heads that are a torch network: training, restoring and their options.

A head says which inputs it reads and how the network is built. All problems of a metric train
together; a killed training resumes from its checkpoint with the same numbers.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sfqa.arrays import AnyArray, Floats
from sfqa.errors import UserError
from sfqa.regression import engine, losses
from sfqa.regression.head import ModelHead
from sfqa.regression.problems import Blocks, Features, Models, Problem
from sfqa.regression.schedule import Schedule
from sfqa.regression.stacking import Build

#: A row's shape in every block that the network reads, by role ('x' for a matrix).
Shapes = Mapping[str, tuple[int, ...]]

_SCHEDULE = {field.name for field in fields(Schedule)}


class NetworkHead(ModelHead):
    """A head that is a torch network.

    With ``DESIGN = "blocks"`` the network is called with a dictionary from roles to tensors
    (rows, steps, width) or (rows, width), and :meth:`list_inputs` is overridden; else with one
    tensor (rows, columns). It returns (rows, dims). Features and MOS are standardised on the train
    rows before. Batch normalisation is refused, since rows must not depend on each other.
    """

    @abstractmethod
    def build(self, shapes: Shapes, dims: int, options: Mapping[str, Any]) -> nn.Module:
        """Return the network for rows of these shapes and ``dims`` outputs.

        Raises ``ValueError`` if there is none for them.
        """

    def complete_options(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the options with those filled in that depend on others; as they are by default."""
        return options

    def make_loss(self, options: Mapping[str, Any]) -> losses.Loss:
        """Return what is minimised; raises :class:`UserError` for an unknown loss."""
        return losses.parse(str(options["loss"]))

    def list_identity(self, options: Mapping[str, Any], roles: Sequence[str]) -> list[Any]:
        """Return what a checkpoint depends on beside rows, MOS and the training itself."""
        numbers = {name: value for name, value in options.items() if name != "memory_gb"}
        return [self.name, self.version, losses.VERSION, numbers, list(roles)]

    def list_roles(self, options: Mapping[str, Any], x: Features) -> list[str]:
        """Return the role of every block in order, '' for one that is not used."""
        if not isinstance(x, Mapping):
            return []
        inputs = self.list_inputs(options, list(x))
        return [head_input.role if head_input.used else "" for head_input in inputs]

    def fit(
        self,
        x: Features,
        problems: Sequence[Problem],
        options: Mapping[str, Any],
        work: Path,
        device: str,
    ) -> Models:
        """Train a network for every problem, all together; each is kept at its best epoch."""
        options = self.complete_options(options)
        roles = self.list_roles(options, x)
        blocks = select_roles(x, roles)
        shapes = (
            {"x": blocks.shape[1:]}
            if not isinstance(blocks, Mapping)
            else {role: block.shape[1:] for role, block in blocks.items()}
        )
        self._check_build(shapes, problems[0].dims, options)
        trained = engine.train(
            self._bind_options(options), blocks, problems, self.make_loss(options),
            _make_schedule(options), Path(work), device, self.list_identity(options, roles),
        )  # fmt: skip
        return NetworkModels(self, options, trained)

    def restore(
        self, states: Sequence[Mapping[str, AnyArray]], options: Mapping[str, Any], device: str
    ) -> Models:
        """Return the networks of model files."""
        options = self.complete_options(options)
        trained = engine.restore(
            self._bind_options(options), states, device, _make_schedule(options)
        )
        return NetworkModels(self, options, trained)

    def _bind_options(self, options: Mapping[str, Any]) -> Build:
        return lambda shapes, dims: self.build(shapes, dims, options)

    def _check_build(self, shapes: Shapes, dims: int, options: Mapping[str, Any]) -> None:
        """Build a network without numbers, so that what does not fit is said in a sentence."""
        try:
            with torch.device("meta"):
                self.build(shapes, dims, options)
        except (ValueError, RuntimeError) as error:
            described = ", ".join(f"{role} {tuple(shape)}" for role, shape in shapes.items())
            raise UserError(
                f"head {self.name}: no network can be made for {described}: {error}; change its "
                "options"
            ) from error


class NetworkModels:
    """The trained networks of a head; :class:`sfqa.regression.problems.Models`."""

    def __init__(
        self, head: NetworkHead, options: Mapping[str, Any], trained: engine.Trained
    ) -> None:
        self.head, self.options, self.trained = head, options, trained
        self.reasons = trained.reasons

    def predict(self, x: Features) -> Floats:
        """Return predictions in MOS units, float64 (problems, rows, dims); NaN with a reason."""
        return self.trained.predict(select_roles(x, self.head.list_roles(self.options, x)))

    def state(self, problem: int) -> dict[str, AnyArray]:
        """Return the arrays of one network."""
        return self.trained.state(problem)


def select_roles(x: Features, roles: Sequence[str]) -> Features:
    """Return the blocks that are used, by role; a matrix as it is.

    A model file knows blocks by role, so it does not depend on what the inputs were called.
    """
    if not isinstance(x, Mapping):
        return x
    blocks: Blocks = {role: x[name] for name, role in zip(x, roles, strict=True) if role}
    return blocks


def read_width(shape: Sequence[int]) -> int:
    """Return the width of a row of a block: its last axis.

    >>> read_width((8, 2304))
    2304
    """
    return int(shape[-1])


def _make_schedule(options: Mapping[str, Any]) -> Schedule:
    return Schedule(**{name: value for name, value in options.items() if name in _SCHEDULE})
