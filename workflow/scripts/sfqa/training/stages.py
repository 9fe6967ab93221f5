"""Stages of a training: which parameters learn in which epochs, and with which learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TrainingStage:
    """A number of epochs in which some of the parameters learn.

    ``train`` says which ones, in a form that the network reads
    (:meth:`sfqa.regression.fine_tuning.network.FineTunedNetwork.select_trained`).
    ``learning_rate``: that of this stage (None: that of the settings). With ``restart`` the stage
    begins from the best epoch of the stage before, with a new optimizer, average and schedule, and
    its best epoch is selected anew; else it continues the stage before in every respect.
    """

    epochs: int
    train: Any = "all"
    learning_rate: float | None = None
    restart: bool = False


def count_epochs_before(stages: Sequence[TrainingStage], number: int) -> int:
    """Return the number of epochs before a stage, counted from 0.

    >>> count_epochs_before([TrainingStage(10), TrainingStage(20)], 1)
    10
    """
    return sum(stage.epochs for stage in stages[:number])


def find_stage(stages: Sequence[TrainingStage], epoch: int) -> int:
    """Return the number of the stage to which an epoch belongs; epochs count from 1, stages from 0.

    An epoch after the last stage counts as one of it.

    >>> [find_stage([TrainingStage(10), TrainingStage(20)], epoch) for epoch in (1, 10, 11, 31)]
    [0, 0, 1, 1]
    """
    numbers = [n for n in range(len(stages)) if count_epochs_before(stages, n) < epoch]
    return numbers[-1] if numbers else 0
