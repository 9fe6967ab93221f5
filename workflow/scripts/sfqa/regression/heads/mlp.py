"""A small network on frozen features, Adam, early stopping on the validation rows.

The default is the shape of SimpleVQA's head (arXiv 2204.14047): d-128-1 with no activation
between. Features and MOS are standardised on train rows. All problems train as one batch
(:mod:`sfqa.regression.engine`); a killed training goes on from its checkpoint to the same numbers.
The default precision is float64: in float32 a rounding may decide which epoch is kept, so that
batch, device and number of threads would show in the third digit of a SRCC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy.typing as npt
from torch import nn

from sfqa.errors import UserError
from sfqa.regression import engine, losses
from sfqa.regression.problems import Features, Problem
from sfqa.regression.schedule import Schedule
from sfqa.regression.stacking import Build

VERSION = 2
SELECTS = True
#: hidden: widths; activation: none, relu, gelu; loss: as 'mse' or 'mae + 0.5 plcc', on
#: standardised MOS (losses.py); threshold: of rank_simplevqa, in sd, 0 for none; select: srcc or
#: loss, on validation rows; patience: epochs without a new best; batch_rows: 0 is the full batch;
#: decay: of the rate, every decay_every epochs; precision: float64, float32, bf16.
OPTIONS: dict[str, Any] = {
    "hidden": [128],
    "activation": "none",
    "dropout": 0.0,
    "loss": "mse",
    "threshold": 0.0,
    "learning_rate": 0.001,
    "weight_decay": 1.0e-7,
    "epochs": 500,
    "patience": 50,
    "select": "srcc",
    "batch_rows": 0,
    "decay": 1.0,
    "decay_every": 1,
    "precision": "float64",
}

_CHOICES: dict[str, Mapping[str, Any]] = {
    "activation": {"none": nn.Identity, "relu": nn.ReLU, "gelu": nn.GELU},
    "select": dict.fromkeys(("srcc", "loss")),
    "precision": dict.fromkeys(("float64", "float32", "bf16")),
}


def fit_many(
    x: Features,
    problems: Sequence[Problem],
    options: Mapping[str, Any],
    work: Path,
    device: str,
) -> engine.Trained:
    """Return the networks of the problems, each at its best epoch; see the head contract.

    Raises :class:`UserError` for options that make no network.
    """
    schedule = _schedule(options)
    loss = losses.parse(options["loss"], float(options["threshold"]) or float("inf"))
    return engine.train(
        network(options), x, problems, loss, schedule, work, device, [VERSION, dict(options)]
    )


def restore(
    states: Sequence[Mapping[str, npt.NDArray[Any]]], options: Mapping[str, Any], device: str
) -> engine.Trained:
    """Return the networks of model files."""
    return engine.restore(network(options), states, device, _schedule(options))


def network(options: Mapping[str, Any]) -> Build:
    """Return what builds the network, for :func:`sfqa.regression.engine.train`."""
    act, drop = _CHOICES["activation"][options["activation"]], float(options["dropout"])

    def build(shapes: dict[str, tuple[int, ...]], dims: int) -> nn.Module:
        widths = [shapes["x"][0], *(int(w) for w in options["hidden"])]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), act()]
            if drop:
                layers.append(nn.Dropout(drop))
        return nn.Sequential(*layers, nn.Linear(widths[-1], dims))

    return build


def _schedule(options: Mapping[str, Any]) -> Schedule:
    for key, choices in _CHOICES.items():
        if options[key] not in choices:
            raise UserError(
                f"head mlp, option {key}: {options[key]!r}; write {' or '.join(choices)}"
            )
    names = (
        "learning_rate", "weight_decay", "epochs", "patience", "select", "batch_rows", "decay",
        "decay_every", "precision",
    )  # fmt: skip
    return Schedule(**{name: options[name] for name in names})
