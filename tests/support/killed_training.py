"""A training that ends in the middle, as if it were killed, with a checkpoint of every step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from torch import Tensor

from sfqa.training import trainer as trainer_module
from sfqa.training.trainer import Trainer


class KilledError(Exception):
    pass


@contextmanager
def kill_training(after_steps: int) -> Iterator[None]:
    """Kill each training in the block after so many steps; one that ends before is a failure."""
    steps: list[int] = []
    update = Trainer._update

    def update_until_killed(trainer: Trainer, batch: Tensor) -> None:
        if len(steps) == after_steps:
            raise KilledError
        steps.append(len(batch))
        update(trainer, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer_module, "CHECKPOINT_SEC", 0.0)
        patch.setattr(trainer_module, "SAVING_SHARE", 0)
        patch.setattr(Trainer, "_update", update_until_killed)
        with pytest.raises(KilledError):
            yield
