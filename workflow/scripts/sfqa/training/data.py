"""What a network learns from."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sfqa.training.rows import RowSource


@dataclass(frozen=True)
class TrainingData:
    """What a network learns from: inputs by row, and targets (rows of the source, dims).

    ``target`` is NaN where it is missing. ``train`` and ``validation`` are row numbers, int64.
    """

    source: RowSource
    target: Tensor
    train: Tensor
    validation: Tensor
