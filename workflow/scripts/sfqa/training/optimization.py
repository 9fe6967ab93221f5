"""Optimizers, and how the learning rate changes with the steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from sfqa.training.settings import TrainingSettings

#: Groups of parameters, each a dictionary for a torch optimizer: ``params``, and optionally
#: ``lr_factor`` (times the learning rate of the settings, 0: frozen), ``weight_decay``, ...
ParameterGroups = Iterable[Mapping[str, Any]]


def make_optimizer(
    network: nn.Module, settings: TrainingSettings, groups: ParameterGroups | None = None
) -> torch.optim.Optimizer:
    """Return the optimizer of all parameters, or of the groups; each group has its ``lr_factor``.

    The fused implementation is used: a step of a small network costs half as much with it.
    """
    listed = [dict(group) for group in groups or [{"params": network.parameters()}]]
    for group in listed:
        group["params"] = list(group["params"])
        group.setdefault("lr_factor", 1.0)
    common: dict[str, Any] = {
        "lr": settings.learning_rate, "weight_decay": settings.weight_decay, "fused": True,
    }  # fmt: skip
    if settings.optimizer == "sgd":
        return torch.optim.SGD(listed, momentum=0.9, **common)
    optimizer = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return optimizer(listed, **common)


def compute_rate_factor(settings: TrainingSettings, step: int, steps_per_epoch: int) -> float:
    """Return the factor of the learning rate at a step, counted from 0.

    Warm-up is linear from 0. The cosine is that of FAST-VQA and DOVER, whose period counts the
    warm-up: .5 (1 + cos(pi (step - warmup) / steps)) ends above 0.

    >>> settings = TrainingSettings(epochs=30, warmup_epochs=2.5, cosine=True)
    >>> [round(compute_rate_factor(settings, step, 10), 6) for step in (0, 10, 25, 100, 299)]
    [0.0, 0.4, 1.0, 0.853553, 0.018419]
    >>> first_part = TrainingSettings(epochs=10, warmup_epochs=2.5, cosine=True, cosine_epochs=30)
    >>> round(compute_rate_factor(first_part, 100, 10), 6)
    0.853553
    >>> compute_rate_factor(TrainingSettings(decay=0.9, decay_every=2), 45, 10)
    0.81
    """
    warmup = settings.warmup_epochs * steps_per_epoch
    if step < warmup:
        return step / warmup
    factor = settings.decay ** (step // steps_per_epoch // settings.decay_every)
    if settings.cosine:
        total = (settings.cosine_epochs or settings.epochs) * steps_per_epoch
        factor *= (1 + math.cos(math.pi * (step - warmup) / total)) / 2
    return float(factor)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every group: ``rate`` times the group's ``lr_factor``."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_factor"]


def clip_gradient(network: nn.Module, bound: float) -> None:
    """Scale the gradient of all parameters down to a norm of at most ``bound``."""
    nn.utils.clip_grad_norm_(network.parameters(), bound)
