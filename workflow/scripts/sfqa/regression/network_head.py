"""The base of heads that are a torch network: training, restoring and their options.

A head says which inputs it reads and how the network is built. Each problem is a training of its
own; a killed one resumes from its checkpoint with the same numbers.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sfqa.arrays import AnyArray, Floats
from sfqa.errors import UserError
from sfqa.regression import losses
from sfqa.regression.head import ModelHead
from sfqa.regression.network_fits import NetworkFit, State, fit_problems, read_state
from sfqa.regression.problems import (
    Blocks,
    Features,
    Models,
    Problem,
    check_problems,
    count_rows,
    find_reason,
    get_blocks,
)
from sfqa.regression.scaling import measure_mos
from sfqa.regression.training_options import drop_display_options
from sfqa.training.augmentation import ViewReading
from sfqa.training.events import load_summary_writer
from sfqa.training.optimization import ParameterGroups
from sfqa.training.settings import TrainingSettings
from sfqa.training.stages import TrainingStage

#: A row's shape in every block that the network reads, by role ('x' for a matrix).
Shapes = Mapping[str, tuple[int, ...]]

_SETTINGS = {field.name for field in fields(TrainingSettings)}


class NetworkHead(ModelHead):
    """A head that is a torch network.

    With ``DESIGN = "blocks"`` the network is called with a dictionary from roles to tensors
    (rows, steps, width) or (rows, width), and :meth:`list_inputs` is overridden; else with one
    tensor (rows, columns). It returns (rows, dims); in training mode a network of branches may
    return the scores of each (:mod:`~sfqa.regression.networks.separate_scores`). Features and MOS
    are standardised on the train rows before, unless :meth:`standardises` says otherwise. With
    ``piece_rows`` batch norms are frozen (:mod:`sfqa.training.accumulation`).
    """

    @abstractmethod
    def build(self, shapes: Shapes, dims: int, options: Mapping[str, Any]) -> nn.Module:
        """Return the network for rows of these shapes and ``dims`` outputs.

        Raises ``ValueError`` if there is none for them.
        """

    def combine_inputs(self, x: Features, options: Mapping[str, Any]) -> Features:
        """Return the blocks that the network reads, made of those of the inputs; default: as is.

        They are standardised afterwards. Each row must follow from the same row of ``x`` alone.
        """
        return x

    def complete_options(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the options with those filled in that depend on others; as they are by default."""
        return options

    def make_loss(self, options: Mapping[str, Any]) -> losses.Loss:
        """Return what is minimised; raises :class:`UserError` for an unknown loss."""
        return losses.parse(str(options["loss"]))

    def group_parameters(self, network: nn.Module, options: Mapping[str, Any]) -> ParameterGroups:
        """Return groups of parameters with learning rates of their own; one group by default."""
        return [{"params": network.parameters()}]

    def begin_stage(self, network: nn.Module, stage: TrainingStage) -> None:
        """Freeze the parameters that a stage does not train; by default there are no stages."""

    def end_stages(self, network: nn.Module, options: Mapping[str, Any]) -> None:
        """Prepare a network for predictions after its last stage; by default it is ready."""

    def standardises(self, role: str) -> bool:
        """Return whether a block is standardised on the train rows; by default it is."""
        return True

    def scale_mos(self, problem: Problem, options: Mapping[str, Any]) -> tuple[Floats, Floats]:
        """Return what is subtracted from the MOS, and what they are then divided by, (dims,) each.

        By default mean and standard deviation of the train rows. Predictions are scaled back.
        """
        return measure_mos(problem)

    def count_drawn_steps(self, options: Mapping[str, Any], roles: Sequence[str]) -> dict[str, int]:
        """Return how many steps of a row are drawn in a training epoch, by role; default: all."""
        return {}

    def choose_view_readings(
        self, options: Mapping[str, Any], roles: Sequence[str]
    ) -> dict[str, ViewReading]:
        """Return how views are changed at random in the training, by role; default: not at all."""
        return {}

    def rescales(self, options: Mapping[str, Any]) -> bool:
        """Return whether scores are mapped to MOS by mean and sd of the scores of train rows.

        For losses that leave the scale of the scores free, such as PLCC. By default a score is a
        standardised MOS.
        """
        return False

    def list_identity(self, options: Mapping[str, Any], roles: Sequence[str]) -> list[Any]:
        """Return what a checkpoint depends on beside rows, MOS and the training itself."""
        return [self.name, self.version, losses.VERSION, drop_display_options(options), list(roles)]

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
        """Train a network for every problem, each on its own; each is kept at its best epoch."""
        options = self.complete_options(options)
        roles = self.list_roles(options, x)
        blocks = self.combine_inputs(select_roles(x, roles), options)
        shapes = {role: block.shape[1:] for role, block in get_blocks(blocks).items()}
        self._check_build(shapes, problems[0].dims, options)
        fit = self.prepare_fit(options, device)
        check_problems(blocks, problems)
        if options.get("tensorboard"):
            load_summary_writer()  # without the package this is an error before any training
        reasons = [find_reason(problem, fit.settings.select != "none") for problem in problems]
        identity = self.list_identity(options, roles)
        paths = fit_problems(fit, blocks, problems, reasons, Path(work), identity)
        return NetworkModels(self, fit, paths, reasons, problems[0].dims)

    def restore(
        self, states: Sequence[Mapping[str, AnyArray]], options: Mapping[str, Any], device: str
    ) -> Models:
        """Return the networks of model files."""
        fit = self.prepare_fit(self.complete_options(options), device)
        models = [dict(state) for state in states]
        for state in models:
            fit.check_state(state)
        return NetworkModels(self, fit, models, [""] * len(models), len(models[0]["y_mean"]))

    def prepare_fit(self, options: Mapping[str, Any], device: str) -> NetworkFit:
        """Return what all fits with these complete options share."""
        loss, settings = self.make_loss(options), _make_settings(options)
        return NetworkFit(self, options, loss, settings, device)

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
    """The trained networks of a head; :class:`sfqa.regression.problems.Models`.

    ``models`` are files of finished fits, which are read one at a time, or arrays.
    """

    def __init__(
        self,
        head: NetworkHead,
        fit: NetworkFit,
        models: Sequence[Path | State],
        reasons: list[str],
        dims: int,
    ) -> None:
        self.head, self.fit, self.models = head, fit, models
        self.reasons, self.dims = reasons, dims

    def predict(self, x: Features) -> Floats:
        """Return predictions in MOS units, float64 (problems, rows, dims); NaN with a reason."""
        options = self.fit.options
        blocks = select_roles(x, self.head.list_roles(options, x))
        blocks = self.head.combine_inputs(blocks, options)
        predictions = np.full((len(self.models), count_rows(x), self.dims), np.nan)
        for number, reason in enumerate(self.reasons):
            if not reason:
                predictions[number] = self.fit.predict(self.state(number), blocks)
        return predictions

    def state(self, problem: int) -> State:
        """Return the arrays of one network: parameters, buffers, scalers, shapes."""
        if self.reasons[problem]:
            raise ValueError(f"problem {problem} was not fitted: {self.reasons[problem]}")
        model = self.models[problem]
        return read_state(model) if isinstance(model, Path) else model


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


def _make_settings(options: Mapping[str, Any]) -> TrainingSettings:
    settings = {name: value for name, value in options.items() if name in _SETTINGS}
    stages = tuple(TrainingStage(**stage) for stage in settings.pop("stages", ()))
    return TrainingSettings(**settings, stages=stages)
