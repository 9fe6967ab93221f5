"""One training of stacked networks: its state, one step of it, and the look at validation rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from sfqa.arrays import Floats
from sfqa.regression.losses import Loss
from sfqa.regression.problems import Problem
from sfqa.regression.ranking import mean_srcc
from sfqa.regression.scaling import Scalers
from sfqa.regression.schedule import Schedule
from sfqa.regression.stacking import Input, Stack, padded, seeds_of, shuffled

#: Adam's (Kingma and Ba 2015).
_BETAS, _EPS = (0.9, 0.999), 1e-8
#: Numbers of features that a forward pass without gradients takes at once.
_AT_ONCE = 2**25
#: Problems that ended leave the batch when they are this share of it.
_LEAVE = 0.2


@dataclass(frozen=True)
class Report:
    """One finished epoch: means over the problems that were still training."""

    epoch: int
    epochs: int
    training: int
    problems: int
    loss: float
    score: float
    select: str

    def __str__(self) -> str:
        score = {"srcc": f", validation SRCC {self.score:.3f}", "none": ""}.get(
            self.select, f", validation loss {-self.score:.4f}"
        )
        return (
            f"epoch {self.epoch} of {self.epochs}: {self.training} of {self.problems} problems "
            f"training, loss {self.loss:.4f}{score}"
        )


class Run:
    """The state of one training: all of it goes into a checkpoint."""

    def __init__(
        self,
        stack: Stack,
        x: Mapping[str, Tensor],
        is_blocks: bool,
        problems: Sequence[Problem],
        scalers: Scalers,
        mos: tuple[Floats, Floats],
        loss: Loss,
        schedule: Schedule,
        device: str,
    ) -> None:
        self.stack, self.x, self.is_blocks, self.scalers = stack, x, is_blocks, scalers
        self.loss, self.schedule, self.device = loss, schedule, device
        self.bf16 = schedule.precision == "bf16"
        self.seeds = seeds_of(problems, device)
        self.train, self.train_real = padded([p.train for p in problems], device)
        self.val, self.val_real = padded([p.validation for p in problems], device)
        targets = np.stack([p.y for p in problems])
        scaled = (targets - mos[0][:, None]) / np.where(mos[1] > 0, mos[1], 1.0)[:, None]
        self.known = torch.from_numpy(np.isfinite(targets)).to(device)
        dtype = stack.theta.dtype
        self.y = torch.from_numpy(np.nan_to_num(scaled)).to(device, dtype)
        self.raw = torch.from_numpy(np.nan_to_num(targets)).to(device)
        count, most = self.train_real.sum(dim=1), max(1, self.train.shape[1])
        self.size = min(schedule.batch_rows or most, most)
        #: Steps of an epoch, by problem; the epoch has as many as the longest.
        self.batches = -(-count // self.size)
        self.steps = int(self.batches.max())
        self.theta = stack.theta.clone()
        self.m, self.v = torch.zeros_like(self.theta), torch.zeros_like(self.theta)
        self.count = torch.zeros(len(problems), dtype=torch.int64, device=device)
        #: Which problem each row of theta, m, v is of.
        self.which = torch.arange(len(problems), device=device)
        self.best = self.theta.clone()
        self.best_epoch = torch.zeros(len(problems), dtype=torch.int64)
        self.best_score = torch.full((len(problems),), -math.inf, dtype=torch.float64)
        self.epoch, self.step_number, self.lost = 0, 0, 0.0
        self._held: dict[str, tuple[Tensor, Any]] = {}
        self._order: tuple[int, Tensor] | None = None

    def running(self) -> bool:
        """Whether a problem is left to train."""
        return len(self.which) > 0 and self.epoch < self.schedule.epochs

    def step(self) -> Report | None:
        """Update every network once; at an epoch's end look at validation rows and report."""
        places, real, moves = self._batch()
        x = self._rows("train", places, full=self.size >= self.train.shape[1])
        which = self.which[:, None]
        mask = self.known[which, places] & real[:, :, None]
        theta = self.theta.requires_grad_()
        buffers = self.stack.ticked(self.which, self.count[self.which])
        with torch.autocast(self.device.split(":")[0], torch.bfloat16, enabled=self.bf16):
            out = self.stack.forward(theta, buffers, x, True, self.schedule.batching)
        losses = vmap(self.loss)(out.to(self.y.dtype), self.y[which, places], mask)
        (gradient,) = torch.autograd.grad(losses.sum(), theta)
        self.theta = theta.detach()
        with torch.no_grad():
            self._update(gradient, moves)
        self.count[self.which] += moves.to(torch.int64)
        self.lost += float(losses.detach().mean()) / self.steps
        self.step_number += 1
        if self.step_number < self.steps:
            return None
        return self._epoch_ends()

    def _batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """Places in x (problems, rows), which are real, and which problems have any."""
        places, real = self.train[self.which], self.train_real[self.which]
        if self.size >= self.train.shape[1]:
            return places, real, torch.ones_like(self.which, dtype=torch.bool)
        if self._order is None or self._order[0] != self.epoch:
            order = shuffled(self.seeds[self.which], self.epoch, real)
            self._order = (self.epoch, order)
        start = self.step_number * self.size
        own = self._order[1][:, start : start + self.size]
        moves = self.batches[self.which] > self.step_number
        return places.gather(1, own), real.gather(1, own), moves

    def _rows(self, part: str, places: Tensor, full: bool) -> Input:
        """Scaled features of the places; those of a full batch are kept from step to step."""
        if full and part in self._held and self._held[part][0] is self.which:
            kept: Input = self._held[part][1]
            return kept
        found = {k: self.scalers.scaled(k, v[places], self.which) for k, v in self.x.items()}
        x: Input = found if self.is_blocks else found["x"]
        if full:
            self._held[part] = (self.which, x)
        return x

    def _update(self, gradient: Tensor, moves: Tensor) -> None:
        """One step of Adam for the problems that move; each has its own count of steps."""
        s, (b1, b2) = self.schedule, _BETAS
        if s.clip:
            norm = gradient.norm(dim=1, keepdim=True)
            gradient = gradient * (s.clip / norm.clamp(min=s.clip))
        if s.weight_decay and not s.decoupled:
            gradient = gradient.add(self.theta, alpha=s.weight_decay)
        still = None if bool(moves.all()) else ~moves[:, None]
        before = (self.theta.clone(), self.m.clone(), self.v.clone()) if still is not None else None
        rate = s.learning_rate * s.decay ** (self.epoch // s.decay_every)
        t = (self.count[self.which] + 1).double()[:, None]
        first, second = ((1 - b**t).to(gradient.dtype) for b in (b1, b2))
        self.m.lerp_(gradient, 1 - b1)
        self.v.mul_(b2).addcmul_(gradient, gradient, value=1 - b2)
        if s.weight_decay and s.decoupled:
            self.theta.mul_(1 - rate * s.weight_decay)
        scale = (self.v / second).sqrt_().add_(_EPS)
        self.theta.sub_((self.m / first).div_(scale), alpha=rate)
        if still is not None and before is not None:
            for now, then in zip((self.theta, self.m, self.v), before, strict=True):
                now.copy_(torch.where(still, then, now))

    def _epoch_ends(self) -> Report:
        self.epoch, self.step_number, self._order = self.epoch + 1, 0, None
        scores = self._scores().cpu()
        which = self.which.cpu()
        better = scores > self.best_score[which]
        self.best_score[which[better]] = scores[better]
        self.best_epoch[which[better]] = self.epoch
        chosen = better.to(self.device)
        if bool(better.any()):
            self.best[self.which[chosen]] = self.theta[chosen]
        going = self.epoch - self.best_epoch[which] < self.schedule.patience
        report = Report(
            self.epoch, self.schedule.epochs, int(going.sum()), len(self.best_epoch), self.lost,
            float(scores.mean()), self.schedule.select,
        )  # fmt: skip
        self.lost = 0.0
        # What has ended may train on unseen in the batch, since its best is kept; it cannot
        # come back: its best_epoch never moves again.
        ended = int((~going).sum())
        if ended:
            self.best_score[which[~going]] = math.inf
        if ended == len(going) or ended > _LEAVE * len(going):
            keep = going.to(self.device)
            self.theta, self.m, self.v = self.theta[keep], self.m[keep], self.v[keep]
            self.which = self.which[keep]
            self._held.clear()
        return report

    def _scores(self) -> Tensor:
        """What selects an epoch, by problem, float64; -inf where predictions are not finite."""
        if self.schedule.select == "none":
            finite = self.theta.isfinite().all(dim=1)
            return torch.where(finite, float(self.epoch), -math.inf).double()
        places, real = self.val[self.which], self.val_real[self.which]
        with torch.no_grad():
            out = self._validated(places)
        which = self.which[:, None]
        mask = self.known[which, places] & real[:, :, None]
        if self.schedule.select == "loss":
            score = -vmap(self.loss)(out, self.y[which, places], mask).double()
        else:
            score = mean_srcc(out.double(), self.raw[which, places], mask)
        finite = (out.isfinite() | ~real[:, :, None]).flatten(1).all(dim=1)
        return torch.where(finite, score, -math.inf)

    def _validated(self, places: Tensor) -> Tensor:
        size = sum(v[0].numel() for v in self.x.values()) * len(self.which)
        buffers = self.stack.ticked(self.which, self.count[self.which])
        step = max(1, _AT_ONCE // max(1, size))
        whole = step >= places.shape[1]
        parts = []
        for start in range(0, places.shape[1], step):
            x = self._rows("val", places[:, start : start + step], full=whole)
            with torch.autocast(self.device.split(":")[0], torch.bfloat16, enabled=self.bf16):
                out = self.stack.forward(self.theta, buffers, x, False, self.schedule.batching)
            parts.append(out.to(self.y.dtype))
        return torch.cat(parts, dim=1)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        names = ("theta", "m", "v", "count", "which", "best", "best_epoch", "best_score")
        return {
            **{name: getattr(self, name).detach() for name in names},
            "epoch": self.epoch, "step": self.step_number, "lost": self.lost,
        }  # fmt: skip

    def take(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint's state; raises before it has changed anything where it can."""
        found = {k: v for k, v in state.items() if isinstance(v, Tensor)}
        if found["best"].shape != self.best.shape or len(found) != 8:
            raise ValueError("another training's state")
        for name, value in found.items():
            on = "cpu" if name in ("best_epoch", "best_score") else self.device
            setattr(self, name, value.to(on))
        self.epoch, self.step_number = int(state["epoch"]), int(state["step"])
        self.lost = float(state["lost"])


def forward_rows(
    stack: Stack,
    theta: Tensor,
    which: Tensor,
    x: Mapping[str, Tensor],
    scalers: Scalers,
    is_blocks: bool,
    batching: str,
    device: str,
    bf16: bool,
) -> Tensor:
    """Return (networks, rows, dims) for all rows of x, in pieces that the memory takes."""
    rows = len(next(iter(x.values())))
    size = sum(v[0].numel() for v in x.values()) * len(which) if rows else 1
    buffers = stack.ticked(which, torch.zeros_like(which))
    parts = []
    step = max(1, _AT_ONCE // max(1, size))
    for start in range(0, max(rows, 1), step):
        found = {
            k: scalers.scaled(k, v[start : start + step].to(device)[None], which)
            for k, v in x.items()
        }
        given: Input = found if is_blocks else found["x"]
        with torch.no_grad(), torch.autocast(device.split(":")[0], torch.bfloat16, enabled=bf16):
            parts.append(stack.forward(theta, buffers, given, False, batching).to(theta.dtype))
    return torch.cat(parts, dim=1)
