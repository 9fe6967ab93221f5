"""A small training, shared by tests and by the processes that they start and kill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from sfqa.regression import losses
from sfqa.training.rows import TensorRows
from sfqa.training.settings import DTYPES, TrainingSettings
from sfqa.training.trainer import Trainer, TrainingData

ROWS, WIDTH = 60, 5
LOSS = "plcc + 0.3 rank_aigcvqa + 0.1 mse"
BASE = {"epochs": 4, "patience": 4, "learning_rate": 0.01, "batch_rows": 16, "precision": "float64"}


def build_network(dropout: float = 0.0) -> nn.Module:
    return nn.Sequential(
        nn.Linear(WIDTH, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 6), nn.Tanh(),
        nn.Dropout(dropout), nn.Linear(6, 2),
    )  # fmt: skip


class SmallMemory(nn.Module):
    """Stands in for a GPU whose memory holds the graph of a few rows: more raise torch's error."""

    def __init__(self, rows, layers=None, is_short=lambda: True):
        super().__init__()
        self.layers = build_network() if layers is None else layers
        self.rows, self.is_short, self.passes = rows, is_short, []

    def forward(self, x):
        if self.training:
            self.passes.append(len(x))
            if len(x) > self.rows and self.is_short():
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return self.layers(x)


def make_data(precision: str = "float64") -> TrainingData:
    numbers = np.random.default_rng(3)
    x = numbers.normal(size=(ROWS, WIDTH)).astype(np.float32)
    y = x[:, :2] + 0.3 * numbers.normal(size=(ROWS, 2))
    y[numbers.random((ROWS, 2)) < 0.1] = np.nan
    order = numbers.permutation(ROWS)
    train, validation = torch.from_numpy(order[:42]), torch.from_numpy(order[42:])
    zeros, ones = (v.to(DTYPES[precision]) for v in (torch.zeros(WIDTH), torch.ones(WIDTH)))
    source = TensorRows(
        {"x": torch.from_numpy(x)}, {"x": zeros}, {"x": ones}, "cpu", False, (train, validation)
    )
    return TrainingData(source, torch.from_numpy(y), train, validation)


def make_trainer(dropout: float = 0.0, build=None, groups=None, **changed) -> Trainer:
    settings = TrainingSettings(**{**BASE, **changed})
    return Trainer(
        build or (lambda: build_network(dropout)), make_data(settings.precision), losses.parse(LOSS), settings, 7,
        "cpu", groups,
    )  # fmt: skip


def run_training(folder: Path, dropout: float = 0.0, after_epoch=None, **changed):
    """Train to the end; return the trainer and the state of its best epoch."""
    trainer = make_trainer(dropout, **changed)
    best = trainer.run(
        folder / "checkpoint.pt", "name", folder / "curves.csv", after_epoch, label="trial 1"
    )
    return trainer, best
