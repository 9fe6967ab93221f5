"""The training loop: one network, from its first weights to the best epoch.

A training depends on its seed, rows and settings alone. It draws its own random numbers, computes
on the device that it is given, and resumes from a checkpoint to the numbers that it would have had
without the interruption (bit for bit on a CPU).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sfqa.errors import is_out_of_memory
from sfqa.identity import seed_of
from sfqa.job import Stopped, defer_stop
from sfqa.training.accumulation import (
    Loss,
    backpropagate,
    freeze_batch_norms,
)
from sfqa.training.batches import BatchOrder, split_batch
from sfqa.training.checkpoints import copy_state, read_checkpoint, write_checkpoint
from sfqa.training.curves import EpochReport, write_curves
from sfqa.training.data import TrainingData as TrainingData
from sfqa.training.optimization import (
    ParameterGroups,
    clip_gradient,
    compute_rate_factor,
    make_optimizer,
    set_learning_rate,
)
from sfqa.training.piece_sizes import free_cached_memory, halve_piece_rows
from sfqa.training.precision import autocast, make_gradient_scaler, use_precision
from sfqa.training.prediction import predict_in_group
from sfqa.training.prediction import predict_rows as predict_rows
from sfqa.training.process_group import (
    count_processes,
    defer_stop_in_group,
    get_process_number,
    is_first_process,
    stop_together,
    sum_gradients,
)
from sfqa.training.random_state import get_random_state, set_random_state, use_own_random_numbers
from sfqa.training.rows import Inputs
from sfqa.training.selection import compute_mean_srcc as compute_mean_srcc
from sfqa.training.settings import DTYPES, TrainingSettings
from sfqa.training.stages import count_epochs_before, find_stage

LOG = logging.getLogger("sfqa")

#: Version of the numbers that a training gives.
VERSION = 1
#: Seconds between two checkpoints, and between two lines of progress; they change no number.
CHECKPOINT_SEC, PROGRESS_SEC = 5.0, 10.0
#: Writing checkpoints takes at most one part in SAVING_SHARE of the time.
SAVING_SHARE = 20
State = dict[str, Any]


class Trainer:
    """Trains a network; :meth:`run` trains to the end, :meth:`step` takes one optimizer step."""

    def __init__(
        self,
        build: Callable[[], nn.Module],
        data: TrainingData,
        loss: Loss,
        settings: TrainingSettings,
        seed: int,
        device: str,
        group_parameters: Callable[[nn.Module], ParameterGroups] | None = None,
        begin_stage: Callable[[nn.Module, int], None] | None = None,
    ) -> None:
        """Build the network under the seed.

        ``group_parameters`` maps the network to groups of parameters with learning rates of their
        own (:data:`~sfqa.training.optimization.ParameterGroups`). ``begin_stage`` freezes the
        parameters of a network that a stage, by its number from 0, does not train; it is called for
        the network and for its average.
        """
        self.data, self.loss, self.settings = data, loss, settings
        self.seed, self.device = seed, device
        self.dtype = DTYPES[settings.precision]
        with use_own_random_numbers(seed, device):
            self.network = build().to(device, self.dtype)
        self.group_parameters, self.begin_stage = group_parameters, begin_stage
        self.scaler = make_gradient_scaler(settings.precision, device)
        self.average: AveragedModel | None = None
        self.stage = 0
        self._renew_optimizer()
        self._freeze_parameters()
        self.rated = torch.isfinite(data.target)
        self.target = torch.nan_to_num(data.target).to(self.dtype)
        self.order = BatchOrder(data.train, settings.batch_rows, seed, settings.training_segments)
        self.batch_rows = self.order.largest
        self.steps_per_epoch = len(self.order.list_batches(1))
        self.piece_rows = settings.piece_rows
        self.epoch, self.step_number = 1, 0
        self.loss_sum: Tensor | float = 0.0
        self.best: State = {}
        self.best_epoch, self.best_score = 0, -math.inf
        self.reports: list[EpochReport] = []
        self._epoch_inputs: Iterator[Inputs] | None = None
        self._batches: list[Tensor] = []

    def list_candidates(self) -> list[nn.Module]:
        """Return what is scored after an epoch: the average if there is one, else the network.

        With ``compare_ema`` it is the average, then the network.
        """
        if self.average is None:
            return [self.network]
        return [self.average.module, *([self.network] if self.settings.compare_ema else [])]

    def is_running(self) -> bool:
        """Return whether an epoch is left to train."""
        return self.epoch <= self.settings.epochs and (
            not self.reports or self._count_waited_epochs() < self.settings.patience
        )

    def _count_waited_epochs(self) -> int:
        """Return the number of finished epochs since the best one, or since the last restart."""
        first_epoch, _ = self.settings.find_schedule(self.stage)
        best_epoch = max(self.best_epoch, self.settings.select_after, first_epoch - 1)
        return self.epoch - 1 - best_epoch

    def _renew_optimizer(self) -> None:
        """Begin with an optimizer and an average that have seen no step."""
        groups = self.group_parameters(self.network) if self.group_parameters else None
        self.optimizer = make_optimizer(self.network, self.settings, groups)
        if self.settings.ema:
            self.average = AveragedModel(
                self.network, multi_avg_fn=get_ema_multi_avg_fn(self.settings.ema)
            )

    def _freeze_parameters(self) -> None:
        """Let only the parameters of the present stage learn."""
        if self.begin_stage is not None:
            for network in (self.network, self.average and self.average.module):
                if network is not None:
                    self.begin_stage(network, self.stage)

    def _enter_stage(self) -> None:
        """Begin the next stage if the present one is over."""
        stages = self.settings.stages
        if self.stage + 1 >= len(stages):
            return
        has_waited = self._count_waited_epochs() >= self.settings.patience
        if has_waited and stages[self.stage + 1].restart:
            self.epoch = count_epochs_before(stages, self.stage + 1) + 1
        if find_stage(stages, self.epoch) == self.stage:
            return
        self.stage += 1
        if stages[self.stage].restart:
            if self.best:
                self.network.load_state_dict(self.best)
            self._renew_optimizer()
            self.best, self.best_epoch, self.best_score = {}, 0, -math.inf
        self._freeze_parameters()

    def run(
        self,
        checkpoint: Path,
        name: str = "",
        curves: Path | None = None,
        after_epoch: Callable[[EpochReport], None] | None = None,
        log: logging.Logger = LOG,
        label: str = "",
    ) -> State:
        """Train to the end and return the state of the best epoch, empty if none was finite.

        A checkpoint of this ``name`` is resumed; the name should be a digest of all that the
        numbers depend on. ``curves`` is a CSV file with one row per epoch. ``after_epoch`` is
        called after every finished epoch.
        """
        with use_own_random_numbers(seed_of(self.seed, "training"), self.device), \
                use_precision(self.settings.precision):  # fmt: skip
            state = read_checkpoint(checkpoint, name)
            if state is not None:
                self.load_state(state)
            try:
                with defer_stop_in_group():
                    self._run_epochs(checkpoint, name, after_epoch, log, label)
            except Stopped:
                if is_first_process():
                    write_checkpoint(checkpoint, name, self.state())
                raise
        if curves is not None and is_first_process():
            write_curves(curves, self.reports)
        return self.best

    def _run_epochs(
        self,
        checkpoint: Path,
        name: str,
        after_epoch: Callable[[EpochReport], None] | None,
        log: logging.Logger,
        label: str,
    ) -> None:
        started = saved = reported = time.monotonic()
        epochs_before, saving_sec = len(self.reports), 0.0
        piece_rows = self.piece_rows
        while self.is_running():
            with defer_stop():
                report = self.step()
            stop_together()
            now = time.monotonic()
            is_due = now - saved >= max(CHECKPOINT_SEC, SAVING_SHARE * saving_sec)
            if is_first_process() and (is_due or self.piece_rows != piece_rows):
                piece_rows = self.piece_rows  # saved, so that another attempt begins with it
                write_checkpoint(checkpoint, name, self.state())
                saved = time.monotonic()
                saving_sec = saved - now
            if report is None:
                continue
            if now - reported >= PROGRESS_SEC:
                reported = now
                each = (now - started) / (report.epoch - epochs_before)
                left = each * (self.settings.epochs - report.epoch)
                words = report.describe(self.settings.epochs, self.settings.select, left)
                log.info("%s", f"{label}: {words}" if label else words)
            if after_epoch is not None and is_first_process():
                after_epoch(report)

    def step(self) -> EpochReport | None:
        """Take one optimizer step; after the last one of an epoch, select on validation rows."""
        if self._epoch_inputs is None:
            self._start_epoch()
        batch = self._batches[self.step_number]
        self._update(batch)
        self.step_number += 1
        return self._end_epoch() if self.step_number == self.steps_per_epoch else None

    def _start_epoch(self) -> None:
        """Read inputs from the next step of the epoch on, the first one after a resume too."""
        self._batches = self.order.list_batches(self.epoch)
        assert self._epoch_inputs is None
        self._epoch_inputs = self._iterate_inputs()
        self.network.train()
        self._freeze_batch_norms()

    @property
    def accumulates(self) -> bool:
        """Whether a batch passes the network in pieces, or in several processes."""
        return 0 < self.piece_rows < self.batch_rows or count_processes() > 1

    def _freeze_batch_norms(self) -> None:
        """Freeze batch norms if a batch passes in pieces, which the settings should ask for."""
        if self.accumulates:
            reason = "several processes train the network together"
            if count_processes() == 1:
                reason = f"a batch passes in pieces of {self.piece_rows} to fit into the memory"
            is_chosen = 0 < self.settings.piece_rows < self.batch_rows
            freeze_batch_norms(self.network, "" if is_chosen else reason)

    def _iterate_inputs(self) -> Iterator[Inputs]:
        """Yield the inputs of the epoch from the present step on."""
        source = self.data.source
        return self.order.iterate_inputs(source, self.epoch, self.step_number, self._split)

    def _split(self, batch: Tensor) -> list[Tensor]:
        """Return the pieces of a batch that this process computes."""
        # The last batch may have one row more than the others, which must not make it two pieces.
        return split_batch(batch, self.piece_rows if self.accumulates else 0)

    def _update(self, batch: Tensor) -> None:
        first_epoch, settings = self.settings.find_schedule(self.stage)
        step = (self.epoch - first_epoch) * self.steps_per_epoch + self.step_number
        factor = compute_rate_factor(settings, step, self.steps_per_epoch)
        set_learning_rate(self.optimizer, settings.learning_rate * factor)
        if count_processes() > 1:
            # Each draws its own dropout, which depends neither on earlier steps nor on a resume.
            position = self.epoch, self.step_number, get_process_number()
            torch.manual_seed(seed_of(self.seed, "step", *position))
        random_state = get_random_state(self.device)
        while (value := self._compute_gradient(batch)) is None:
            set_random_state(random_state, self.device)
            self._halve_pieces(batch)
        sum_gradients(self.network)
        if self.settings.clip:
            self.scaler.unscale_(self.optimizer)
            clip_gradient(self.network, self.settings.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.update_parameters(self.network)
        self.loss_sum = self.loss_sum + value

    def _compute_gradient(self, batch: Tensor) -> Tensor | None:
        """Set the gradient of a batch and return the loss; None if the memory does not suffice."""
        self.optimizer.zero_grad(set_to_none=True)
        assert self._epoch_inputs is not None
        pieces = [next(self._epoch_inputs) for _ in self._split(batch)]
        try:
            return backpropagate(
                self._forward, pieces, self.loss, self.target[batch], self.rated[batch],
                self.scaler.scale, self.device,
            )  # fmt: skip
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return None

    def _halve_pieces(self, batch: Tensor) -> None:
        """Let half as many rows pass at a time, from this batch on."""
        rows = -(-len(batch) // count_processes())
        self.piece_rows = halve_piece_rows(min(self.piece_rows or rows, rows), self.device)
        self._freeze_batch_norms()
        self._epoch_inputs = self._iterate_inputs()
        free_cached_memory()

    def _forward(self, inputs: Inputs) -> Tensor:
        with autocast(self.settings.precision, self.device):
            scores: Tensor = self.network(inputs)
        return scores

    def _end_epoch(self) -> EpochReport:
        candidates = self.list_candidates()
        scores = [self._score_epoch(network) for network in candidates]
        score = max(scores)
        if self.epoch > self.settings.select_after and score > self.best_score:
            self.best_score, self.best_epoch = score, self.epoch
            self.best = copy_state(candidates[scores.index(score)])
        report = EpochReport(
            self.epoch,
            max(group["lr"] for group in self.optimizer.param_groups),
            float(self.loss_sum) / self.steps_per_epoch,
            score,
            self.best_epoch,
        )
        self.reports.append(report)
        self.epoch, self.step_number, self.loss_sum = self.epoch + 1, 0, 0.0
        self._epoch_inputs = None
        self._enter_stage()
        return report

    def _score_epoch(self, network: nn.Module) -> float:
        """Return what selects an epoch; -inf if the predictions are not finite."""
        if self.settings.select == "none":
            is_finite = all(bool(p.isfinite().all()) for p in network.parameters())
            return float(self.epoch) if is_finite else -math.inf
        rows = self.data.validation
        scores = predict_in_group(
            network, self.data.source, rows, self.settings.precision, self.device
        ).to(self.dtype)
        if not bool(scores.isfinite().all()):
            return -math.inf
        target, rated = self.target[rows], self.rated[rows]
        if self.settings.select == "loss":
            return -float(self.loss(scores, target, rated))
        return compute_mean_srcc(scores, target, rated)

    def state(self) -> State:
        """Return what a checkpoint holds: everything on which the rest of the training depends."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": get_random_state(self.device),
            "stage": self.stage,
            "piece_rows": self.piece_rows,
            "epoch": self.epoch,
            "step": self.step_number,
            "loss_sum": self.loss_sum,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "best_score": self.best_score,
            "reports": [asdict(report) for report in self.reports],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Resume from what :meth:`state` returned."""
        self.stage = state.get("stage", 0)  # checkpoints of earlier versions have none
        self._freeze_parameters()
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.scaler.load_state_dict(state["scaler"])
        set_random_state(state["random"], self.device)
        self.piece_rows = state.get("piece_rows", self.piece_rows)  # earlier versions had none
        self.epoch, self.step_number = state["epoch"], state["step"]
        loss_sum = state["loss_sum"]
        self.loss_sum = loss_sum.to(self.device) if isinstance(loss_sum, Tensor) else loss_sum
        self.best = {name: value.to(self.device) for name, value in state["best"].items()}
        self.best_epoch, self.best_score = state["best_epoch"], state["best_score"]
        self.reports = [EpochReport(**report) for report in state["reports"]]
        self._epoch_inputs = None
