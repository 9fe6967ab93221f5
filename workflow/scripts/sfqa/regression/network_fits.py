"""Fits of one network per problem: each is a training of its own, with its own scalers and end.

A fit depends on its problem alone, so the results do not depend on how many run side by side. On a
CPU each fit has one thread, and with several threads fits run in worker processes. A finished fit
is kept in the work folder until all are finished, so that a killed run repeats none.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from sfqa import gpu_memory
from sfqa.arrays import AnyArray, Floats
from sfqa.errors import UserError
from sfqa.identity import digest
from sfqa.progress import Progress
from sfqa.regression.fit_processes import train_tasks
from sfqa.regression.losses import Loss
from sfqa.regression.problems import Features, Matrix, Problem, get_blocks, hash_weights
from sfqa.regression.scaling import measure_columns
from sfqa.tables import flaw
from sfqa.training.augmentation import ViewReading
from sfqa.training.checkpoints import read_checkpoint, write_checkpoint
from sfqa.training.events import EventFiles
from sfqa.training.optimization import ParameterGroups
from sfqa.training.precision import use_one_thread, use_precision
from sfqa.training.process_group import is_first_process
from sfqa.training.random_state import use_own_random_numbers
from sfqa.training.rows import TensorRows
from sfqa.training.settings import DTYPES, TrainingSettings
from sfqa.training.stages import TrainingStage
from sfqa.training.trainer import VERSION, Trainer, TrainingData, predict_rows

LOG = logging.getLogger("sfqa")

#: Features stay on a GPU if they take at most this share of the memory that a job may plan with,
#: else they are copied batch by batch. The total decides, not what is free at the moment.
RESIDENT_SHARE = 0.25

#: The arrays of one fitted network: parameters and buffers ('network.'), scalers, shapes.
State = dict[str, AnyArray]


class NetworkBuilder(Protocol):
    """What fits need of a head (:class:`sfqa.regression.network_head.NetworkHead`)."""

    name: str

    def build(
        self, shapes: Mapping[str, tuple[int, ...]], dims: int, options: Mapping[str, Any]
    ) -> nn.Module:
        """Return a network for rows of these shapes."""

    def group_parameters(self, network: nn.Module, options: Mapping[str, Any]) -> ParameterGroups:
        """Return groups of parameters with learning rates of their own."""

    def begin_stage(self, network: nn.Module, stage: TrainingStage) -> None:
        """Freeze the parameters that a stage does not train."""

    def end_stages(self, network: nn.Module, options: Mapping[str, Any]) -> None:
        """Prepare a network for predictions after its last stage."""

    def standardises(self, role: str) -> bool:
        """Return whether a block is standardised on the train rows."""

    def scale_mos(self, problem: Problem, options: Mapping[str, Any]) -> tuple[Floats, Floats]:
        """Return what is subtracted from the MOS, and what they are then divided by."""

    def count_drawn_steps(self, options: Mapping[str, Any], roles: Sequence[str]) -> dict[str, int]:
        """Return how many steps of a row are drawn in a training epoch, by role."""

    def choose_view_readings(
        self, options: Mapping[str, Any], roles: Sequence[str]
    ) -> dict[str, ViewReading]:
        """Return how views are changed at random in the training, by role."""

    def rescales(self, options: Mapping[str, Any]) -> bool:
        """Return whether scores are mapped to MOS by mean and sd of the scores of train rows."""


@dataclass(frozen=True)
class NetworkFit:
    """What all fits of a head share: how the network is built, loss and settings."""

    head: NetworkBuilder
    options: Mapping[str, Any]
    loss: Loss
    settings: TrainingSettings
    device: str

    def build(self, shapes: Mapping[str, tuple[int, ...]], dims: int, seed: int) -> nn.Module:
        """Return a network whose first weights depend on the seed alone."""
        with use_own_random_numbers(seed, self.device):
            return self.head.build(dict(shapes), dims, self.options)

    def train(self, x: Features, problem: Problem, path: Path, name: str) -> str:
        """Train the network of a problem, store it in ``path``, and return '' or a reason.

        ``name`` says what the numbers depend on; a checkpoint of it next to ``path`` is resumed.
        """
        blocks = get_blocks(x)
        shapes = {role: block.shape[1:] for role, block in blocks.items()}
        tensors = {role: place_on_device(block, self.device) for role, block in blocks.items()}
        dtype = DTYPES[self.settings.precision]
        train, validation = (torch.from_numpy(v) for v in (problem.train, problem.validation))
        scaled = {role: v for role, v in tensors.items() if self.head.standardises(role)}
        mean, factor = measure_columns(scaled, problem.train, dtype)
        source = TensorRows(
            tensors, mean, factor, self.device, isinstance(x, Mapping), (train, validation), dtype,
            self.head.count_drawn_steps(self.options, list(tensors)), problem.seed,
            self.settings.training_segments,
            self.head.choose_view_readings(self.options, list(tensors)),
        )  # fmt: skip
        mos_mean, mos_sd = self.head.scale_mos(problem, self.options)
        target = (problem.y - mos_mean) / np.where(mos_sd > 0, mos_sd, 1.0)
        data = TrainingData(source, torch.from_numpy(target).to(self.device), train, validation)
        trainer = Trainer(
            lambda: self._build_first(dict(shapes), problem), data, self.loss,
            self.settings, problem.seed, self.device,
            lambda network: self.head.group_parameters(network, self.options),
            lambda network, number: self.head.begin_stage(network, self.settings.stages[number])
            if self.settings.stages else None,
        )  # fmt: skip
        checkpoint = path.with_suffix(".training.pt")
        curves = path.parent / "curves" / f"{name_curve(problem.label, path.stem)}.csv"
        with ExitStack() as stack:
            report_epoch = None
            if self.options.get("tensorboard") and is_first_process():
                events = stack.enter_context(closing(EventFiles(curves.with_suffix(""))))
                stack.callback(lambda: events.write(trainer.reports))
                report_epoch = lambda _: events.write(trainer.reports)  # noqa: E731
            best = trainer.run(checkpoint, name, curves, report_epoch, label=problem.label)
        if not is_first_process():
            return ""
        reason = "" if best else flaw("diverged", "no epoch gave finite predictions")
        if best and self.head.rescales(self.options):
            trainer.network.load_state_dict(best)
            self.head.end_stages(trainer.network, self.options)
            mos_mean, mos_sd = self._rescale(trainer.network, source, train, mos_mean, mos_sd)
        state = {f"network.{key}": value.cpu() for key, value in best.items()}
        for prefix, values in (("mean", mean), ("factor", factor)):
            state |= {f"{prefix}.{role}": value.cpu() for role, value in values.items()}
        state |= {f"shape.{role}": torch.tensor(shape) for role, shape in shapes.items()}
        state |= {"y_mean": torch.from_numpy(mos_mean), "y_sd": torch.from_numpy(mos_sd)}
        write_checkpoint(path, name, {"reason": reason, "arrays": state})
        checkpoint.unlink(missing_ok=True)
        return reason

    def _build_first(self, shapes: Mapping[str, tuple[int, ...]], problem: Problem) -> nn.Module:
        """Return the network with its first weights: those of the problem, or drawn ones."""
        network = self.head.build(shapes, problem.dims, self.options)
        if problem.first_weights is not None:
            set_first_weights(network, problem.first_weights)
        return network

    def _rescale(
        self, network: nn.Module, source: TensorRows, rows: Tensor, mos_mean: Floats, mos_sd: Floats
    ) -> tuple[Floats, Floats]:
        """Return intercept and slope that give the scores of train rows the MOS' mean and sd."""
        with use_precision(self.settings.precision), use_one_thread(self.device):
            scores = predict_rows(network, source, rows, self.settings.precision, self.device)
        values = scores.double().cpu().numpy()
        score_mean, score_sd = values.mean(axis=0), values.std(axis=0)
        slope = np.where(score_sd > 0, mos_sd / np.where(score_sd > 0, score_sd, 1.0), 0.0)
        return mos_mean - slope * score_mean, slope

    def check_state(self, state: State) -> None:
        """Raise ``ValueError`` unless arrays of a model file are those of the network.

        The network is built without numbers first: options of a wrong file could ask for one that
        fills the memory.
        """
        shapes = {k[6:]: tuple(v.tolist()) for k, v in state.items() if k.startswith("shape.")}
        with torch.device("meta"):
            network = self.build(shapes, len(state["y_mean"]), 0)
        expected = {f"network.{k}": tuple(v.shape) for k, v in network.state_dict().items()}
        for name, shape in expected.items():
            if name not in state or state[name].shape != shape:
                stored = f"the shape {state[name].shape}" if name in state else "no array"
                raise ValueError(f"{name} has {stored}; the network has {shape}")

    def predict(self, state: State, x: Features) -> Floats:
        """Return the predictions of one network in MOS units, float64 (rows, dims)."""
        blocks = get_blocks(x)
        shapes = {k[6:]: tuple(v.tolist()) for k, v in state.items() if k.startswith("shape.")}
        input_shapes = {role: block.shape[1:] for role, block in blocks.items()}
        if input_shapes != shapes:
            raise ValueError(f"features of shapes {input_shapes}; the networks take {shapes}")
        network = self.build(shapes, len(state["y_mean"]), 0)
        network.to(DTYPES[self.settings.precision])
        network.load_state_dict(_select_tensors(state, "network."))
        network.to(self.device)
        tensors = {
            role: torch.from_numpy(_make_contiguous(block)) for role, block in blocks.items()
        }
        source = TensorRows(
            tensors, _select_tensors(state, "mean."), _select_tensors(state, "factor."),
            self.device, isinstance(x, Mapping), dtype=DTYPES[self.settings.precision],
            readings=self.head.choose_view_readings(self.options, list(tensors)),
        )  # fmt: skip
        rows = torch.arange(len(next(iter(tensors.values()))))
        with use_precision(self.settings.precision), use_one_thread(self.device):
            scores = predict_rows(network, source, rows, self.settings.precision, self.device)
        predictions: Floats = scores.double().cpu().numpy() * state["y_sd"] + state["y_mean"]
        return predictions


def fit_problems(
    fit: NetworkFit,
    x: Features,
    problems: Sequence[Problem],
    reasons: list[str],
    work: Path,
    identity: Sequence[Any],
) -> list[Path]:
    """Train the network of every problem without a reason, and return their files.

    Sets the reasons of those whose training diverges. ``identity`` is what the numbers depend on
    beside features, problem and settings (JSON-like).
    """
    work.mkdir(parents=True, exist_ok=True)
    shared = [
        VERSION, _hash_features(x), fit.settings.list_identity(), list(identity),
        fit.device.split(":")[0],
    ]  # fmt: skip
    paths = [work / f"fit-{number}.pt" for number in range(len(problems))]
    names = [digest([*shared, _describe_problem(problem)]) for problem in problems]
    unfinished = []
    for number, reason in enumerate(reasons):
        if not reason:
            stored = read_checkpoint(paths[number], names[number])
            if stored is None:
                unfinished.append(number)
            else:
                reasons[number] = stored["reason"]
    tasks = [(number, problems[number], paths[number], names[number]) for number in unfinished]
    with Progress(fit.head.name, len(problems), len(tasks), "networks", LOG.info) as progress:
        progress.skip(len(problems) - len(tasks))
        for number, reason in train_tasks(fit, x, tasks, work):
            reasons[number] = reason
            outcome = f"failed {reason}" if reason else "trained"
            progress.report(problems[number].label, outcome, failed=bool(reason))
    return paths


def place_on_device(block: Matrix, device: str) -> Tensor:
    """Return a block as a tensor, on a GPU if it takes a small share of its memory."""
    tensor = torch.from_numpy(_make_contiguous(block))
    if not device.startswith("cuda"):
        return tensor
    budget = gpu_memory.compute_memory_budget(RESIDENT_SHARE)
    return tensor.to(device) if tensor.nbytes <= budget else tensor


def name_curve(label: str, fallback: str) -> str:
    """Return the name of a file of curves: the label of the problem.

    >>> name_curve("by_portrait, trial 3, quality", "fit-0")
    'by_portrait-trial-3-quality'
    """
    words = "".join(c if c.isalnum() or c in "_." else "-" for c in label).split("-")
    return "-".join(word for word in words if word) or fallback


def read_state(path: Path) -> State:
    """Return the arrays of a finished fit."""
    stored = torch.load(path, map_location="cpu", weights_only=True)
    return {key: value.numpy() for key, value in stored["state"]["arrays"].items()}


def _select_tensors(state: State, prefix: str) -> dict[str, Tensor]:
    return {
        key[len(prefix) :]: torch.from_numpy(np.array(value))
        for key, value in state.items()
        if key.startswith(prefix)
    }


def _make_contiguous(block: Matrix) -> Matrix:
    return block if block.flags.c_contiguous else np.ascontiguousarray(block)


def _hash_features(x: Features) -> str:
    return digest({
        role: [hashlib.sha256(_make_contiguous(block).data).hexdigest(), list(block.shape)]
        for role, block in get_blocks(x).items()
    })  # fmt: skip


def set_first_weights(network: nn.Module, weights: Mapping[str, AnyArray]) -> None:
    """Set parameters of a network; raises :class:`UserError` if a name or a shape differs."""
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    for name, values in weights.items():
        if shapes.get(name) != values.shape:
            raise UserError(
                f"first weights: {name} has the shape {values.shape}, and in the head "
                f"{shapes.get(name, 'there is none')}; write start: random, or give the head the "
                "options of the published one"
            )
    tensors = {name: torch.from_numpy(np.array(values)) for name, values in weights.items()}
    network.load_state_dict(tensors, strict=False)


def _describe_problem(problem: Problem) -> list[Any]:
    """Return what a fit depends on, as JSON: rows, MOS, seed, and first weights if it has some."""
    mos = np.ascontiguousarray(problem.y[problem.rows])
    first_weights = [hash_weights(problem.first_weights)] if problem.first_weights else []
    return [
        problem.train.tolist(), problem.validation.tolist(),
        hashlib.sha256(mos.data).hexdigest(), problem.dims, problem.seed, *first_weights,
    ]  # fmt: skip
