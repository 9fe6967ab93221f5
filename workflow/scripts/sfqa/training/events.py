"""Event files of trainings for TensorBoard, an optional package."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sfqa.errors import UserError
from sfqa.training.curves import EpochReport, read_curves

#: Seconds after which a report is in the file at the latest.
_FLUSH_SEC = 10


def load_summary_writer() -> type[Any]:
    """Return torch's writer of event files; raises :class:`UserError` without TensorBoard."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError(
            "option tensorboard: true, but the package tensorboard is not installed in the "
            "environment of this job; pip install tensorboard, or leave the option out"
        ) from error
    return SummaryWriter


class EventFiles:
    """Event files of one training in a folder of their own, whose old files are deleted.

    The scalars are the fields of :class:`~sfqa.training.curves.EpochReport`.
    """

    def __init__(self, folder: Path) -> None:
        """Open the file; raises :class:`UserError` without TensorBoard."""
        writer_class = load_summary_writer()
        shutil.rmtree(folder, ignore_errors=True)
        self._writer = writer_class(log_dir=str(folder), flush_secs=_FLUSH_SEC)
        self._n_written = 0

    def write(self, reports: Sequence[EpochReport]) -> None:
        """Write those of all reports of a training that are not in the file."""
        for report in reports[self._n_written :]:
            scalars = asdict(report)
            epoch = scalars.pop("epoch")
            for name, value in scalars.items():
                self._writer.add_scalar(name, value, epoch)
        self._n_written = len(reports)

    def close(self) -> None:
        """Write what is buffered, and close the file."""
        self._writer.close()


def complete_events(curves: Path) -> None:
    """Write event files for the curves in a folder that have none: those of earlier trainings."""
    for path in sorted(curves.glob("*.csv")):
        folder = path.with_suffix("")
        if not folder.is_dir():
            events = EventFiles(folder)
            events.write(read_curves(path))
            events.close()
