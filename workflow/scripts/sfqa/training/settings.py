"""Settings of a training, read by :class:`sfqa.training.trainer.Trainer`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from sfqa.training.stages import TrainingStage, count_epochs_before

#: Type of the parameters by ``precision``.
DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.float32,
    "fp16": torch.float32,
}
OPTIMIZERS = ("adam", "adamw", "sgd")
CRITERIA = ("srcc", "loss", "none")


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of a training.

    ``optimizer``: adam, adamw (decoupled weight decay) or sgd (momentum 0.9). ``clip``: upper bound
    of the norm of the gradient (0: none). ``batch_rows``: rows per batch, 0 for all rows.
    ``piece_rows``: rows that pass the network at a time, 0 for the whole batch (gradient
    accumulation, :mod:`sfqa.training.accumulation`). The learning rate rises over
    ``warmup_epochs``, falls as a cosine if ``cosine`` is set, and is multiplied by ``decay`` every
    ``decay_every`` epochs. ``ema``: decay of the exponential moving average of the parameters per
    step (0: no average); the average is what is selected and kept, or with ``compare_ema`` the
    better of average and network after every epoch. ``cosine_epochs``: epochs of the cosine's
    period, if the training is the first part of a longer one (0: ``epochs``). ``select``: how the
    best epoch is chosen, by the ``srcc`` (mean over dimensions) or the ``loss`` on validation rows,
    or ``none`` for the last epoch. ``select_after``: the first epochs, of which none is kept.
    ``patience``: training stops after this many epochs without a new best.
    ``training_segments``: runs of equal length that the steps of a row are cut into; an epoch
    passes over all rows once for each run, in order (1: whole rows, one pass). ``precision``:
    float64, float32, tf32 (float32 with TensorFloat-32 products on a GPU), bf16 or fp16 (mixed:
    parameters in float32, forward pass in the other format). ``stages``: parts of the training that
    train different parameters, whose epochs add up to ``epochs`` (none: a single stage).
    """

    epochs: int = 500
    patience: int = 50
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    clip: float = 0.0
    batch_rows: int = 0
    piece_rows: int = 0
    warmup_epochs: float = 0.0
    cosine: bool = False
    cosine_epochs: int = 0
    decay: float = 1.0
    decay_every: int = 1
    ema: float = 0.0
    compare_ema: bool = False
    select: str = "srcc"
    select_after: int = 0
    training_segments: int = 1
    precision: str = "float32"
    stages: tuple[TrainingStage, ...] = ()

    def __post_init__(self) -> None:
        for key, choices in (
            ("select", CRITERIA), ("precision", tuple(DTYPES)), ("optimizer", OPTIMIZERS),
        ):  # fmt: skip
            if getattr(self, key) not in choices:
                raise ValueError(f"{key} {getattr(self, key)!r}; write {' or '.join(choices)}")
        if self.select_after and self.select_after >= self.epochs:
            raise ValueError(
                f"select_after {self.select_after}; of {self.epochs} epochs none is kept"
            )
        if self.stages and sum(stage.epochs for stage in self.stages) != self.epochs:
            raise ValueError(f"the epochs of the stages do not add up to {self.epochs}")

    def list_identity(self) -> dict[str, Any]:
        """Return the settings as a dictionary; without ``stages`` if there are none.

        Trainings without stages keep their identity in this way.
        """
        settings = asdict(self)
        if not self.stages:
            del settings["stages"]
        return settings

    def find_schedule(self, stage: int) -> tuple[int, TrainingSettings]:
        """Return the first epoch of the learning rate's schedule in a stage, and its settings.

        Stages without ``restart`` share the schedule of the stage before.

        >>> stages = (TrainingStage(10), TrainingStage(20, learning_rate=0.1), TrainingStage(5,
        ...           "head", restart=True))
        >>> settings = TrainingSettings(epochs=35, stages=stages)
        >>> [(first, part.epochs, part.learning_rate) for first, part in
        ...  (settings.find_schedule(stage) for stage in range(3))]
        [(1, 30, 0.001), (1, 30, 0.1), (31, 5, 0.001)]
        """
        stages = self.stages
        if not stages:
            return 1, self
        first = max(n for n in range(stage + 1) if n == 0 or stages[n].restart)
        end = next((n for n in range(stage + 1, len(stages)) if stages[n].restart), len(stages))
        rate = stages[stage].learning_rate
        schedule = replace(
            self,
            epochs=count_epochs_before(stages[first:end], end - first),
            learning_rate=self.learning_rate if rate is None else rate,
            stages=(),
            select_after=0,
        )
        return count_epochs_before(stages, first) + 1, schedule
