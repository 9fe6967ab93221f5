"""Progress of a training: one report per epoch, and all of them as a CSV file."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from sfqa import store
from sfqa.csv_text import write_rows
from sfqa.progress import format_clock


@dataclass(frozen=True)
class EpochReport:
    """One finished epoch.

    ``loss`` is the mean over its batches, ``score`` the criterion of selection on validation rows
    (larger is better; minus the loss for ``select: loss``), ``best_epoch`` 0 if no epoch gave
    finite predictions.
    """

    epoch: int
    learning_rate: float
    loss: float
    score: float
    best_epoch: int

    def describe(self, epochs: int, select: str, seconds_left: float) -> str:
        """Return the report in words; ``seconds_left`` is the time to the last epoch.

        >>> EpochReport(3, 1e-3, 0.25, 0.5, 2).describe(10, "srcc", 70)
        'epoch 3 of 10: loss 0.2500, validation SRCC 0.500 (best: epoch 2), at most 1:10 left'
        """
        score = {
            "srcc": f", validation SRCC {self.score:.3f} (best: epoch {self.best_epoch})",
            "loss": f", validation loss {-self.score:.4f} (best: epoch {self.best_epoch})",
        }.get(select, "")
        left = format_clock(seconds_left)
        return f"epoch {self.epoch} of {epochs}: loss {self.loss:.4f}{score}, at most {left} left"


def write_curves(path: Path, reports: Sequence[EpochReport]) -> None:
    """Write one row per epoch; the columns are the fields of :class:`EpochReport`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with store.replacing(path) as temporary, open(temporary, "w", newline="") as file:
        names = [field.name for field in fields(EpochReport)]
        write_rows(file, names, (asdict(report).values() for report in reports))


def read_curves(path: Path) -> list[EpochReport]:
    """Return the reports that :func:`write_curves` wrote."""
    with open(path, newline="") as file:
        return [
            EpochReport(
                int(row["epoch"]),
                float(row["learning_rate"]),
                float(row["loss"]),
                float(row["score"]),
                int(row["best_epoch"]),
            )
            for row in csv.DictReader(file)
        ]


def keep_curves(work: Path, folder: Path) -> None:
    """Move the curves of the fits in ``work`` to ``folder``/curves, before ``work`` is deleted.

    The event files of a fit are in a folder with the name of its curves.
    """
    for path in sorted((work / "curves").glob("*")):
        target = folder / "curves" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.rmtree(target, ignore_errors=True)
        path.replace(target)
