"""Make the videos of one shard: skip what is there, keep going past what fails."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pandas as pd

from sfqa import store, tables
from sfqa.errors import UserError
from sfqa.generation import adapters, command, process, ready, staging
from sfqa.generation.check import problem
from sfqa.generation.records import (
    Settings,
    Shelf,
    clip_sec,
    is_full,
    missing_input,
    sample_key,
)
from sfqa.generation.registry import Method
from sfqa.tables import flaw

__all__ = ["Settings", "generate_shard", "sample_key"]

Log = Callable[[str], None]


def generate_shard(
    samples: pd.DataFrame,
    method: Method,
    folder: Path | str,
    settings: Settings,
    log: Log | None = None,
    patience: process.Patience | None = None,
) -> list[dict[str, Any]]:
    """Return rows of ``tables.VIDEOS`` for rows of ``tables.SAMPLES``, making missing videos.

    Videos are ``{folder}/videos/{sample_id}.mp4``. A sample is skipped when its record
    ``{folder}/records/{sample_id}.json`` (written last, by rename) holds the key of its inputs and
    options and the video is there. A video with other bytes than recorded that passes the check
    was replaced by hand: it is kept and its row is flawed. Whatever fails gives a failed row, tried
    again on the next run; a generator's output is in ``{folder}/logs``. ``patience`` is how long
    a generator is waited for. Raises :class:`UserError` for wrong settings, samples of another
    method, a generator that is not installed and a GPU that is missing.
    """
    if settings.size < 32 or settings.size % 2:
        raise UserError(
            f"generation size {settings.size}: give an even number of pixels, 32 or more"
        )
    if not settings.fps > 0:
        raise UserError(f"generation fps {settings.fps}: give a frame rate above 0")
    if settings.attempts < 1:
        raise UserError(f"generation attempts {settings.attempts}: give 1 or more")
    records = store.records(samples)
    for sample in records:
        if sample["method"] != method.label:
            raise UserError(
                f"sample {sample['sample_id']}: its method is {sample['method']!r}, this shard's "
                f"{method.label!r}; give each shard the rows of one method"
            )
    if method.kind == "import":
        home = settings.generators / method.label
        return ready.import_ready(samples, method, home, Path(folder) / "records")
    shelf = Shelf(Path(folder), method, settings)
    progress = _Progress(len(records), log or logging.getLogger("sfqa").info)
    missing = []
    for sample in records:
        found = shelf.known(sample)
        if found is None:
            missing.append(sample)
        else:
            staging.remove(shelf.work(sample["sample_id"]))  # of a run killed at its very end
            progress.tell(*found)
    progress.start(len(missing))
    if method.kind == "command":
        command.make_videos(missing, method, shelf, progress.made, patience or process.Patience())
    else:
        _paint(missing, method, shelf, progress.made)
    return [progress.rows[sample["sample_id"]] for sample in records]


class _Progress:
    """The rows so far, and a line for each: number, state, time, failures, time left."""

    def __init__(self, total: int, say: Log) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.total, self.say = total, say
        self.left = self.count = self.failed = 0
        self.spent = 0.0

    def start(self, left: int) -> None:
        """Begin with the ones that must be made."""
        self.left = left

    def tell(self, row: dict[str, Any], done: str, extra: str = "") -> None:
        """Take a row and say what was done."""
        self.rows[row["sample_id"]] = row
        tail = f" ({row['detail']})" if row["detail"] else ""
        number = f"{len(self.rows)}/{self.total}"
        self.say(f"{number} {row['sample_id']}: {done}, {row['status']}{extra}{tail}")

    def made(self, row: dict[str, Any], seconds: float) -> None:
        """Take a row that took so long."""
        self.left, self.count, self.spent = self.left - 1, self.count + 1, self.spent + seconds
        self.failed += row["status"] == tables.FAILED
        extra = f", {_span(seconds)}, {self.failed} failed"
        if self.left > 0:
            extra += f", about {_span(self.spent / self.count * self.left)} left"
        self.tell(row, "generated", extra)


def _span(seconds: float) -> str:
    """A time for people.

    >>> _span(4.04), _span(754), _span(9000)
    ('4.0 s', '13 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _paint(samples: list[dict[str, Any]], method: Method, shelf: Shelf, tell: command.Tell) -> None:
    """Make videos with an adapter's own code, one by one."""
    for sample in samples:
        started = time.monotonic()
        row = _painted(sample, method, shelf)
        tell(row, time.monotonic() - started)


def _painted(sample: dict[str, Any], method: Method, shelf: Shelf) -> dict[str, Any]:
    reason = missing_input(sample)
    if reason:
        return shelf.failed(sample, reason)
    name, settings = sample["sample_id"], shelf.settings
    # A killed run leaves its work behind; a failed one too, for its files to be looked at.
    work = shelf.work(name)
    try:
        staging.remove(work)
        work.mkdir(parents=True)
        output = work / "output.mp4"
        job = adapters.RenderJob(
            sample_id=name,
            options=method.options,
            image=Path(sample["image_path"]),
            clip=Path(sample["clip_path"]),
            output=output,
            work=work,
            seed=settings.seed,
            size=settings.size,
            fps=settings.fps,
        )
        cast(adapters.Painter, adapters.load(method.adapter)).generate(job)
        reason = problem(output, clip_sec(sample))
        if reason:
            return shelf.failed(sample, reason)
        row = shelf.accept(sample, output)
    except Exception as error:
        logging.getLogger("sfqa").debug("%s: generation failed", name, exc_info=True)
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        last = lines[-1] if lines else "no message"
        word = "disk_full" if is_full(error) else "generation_failed"
        return shelf.failed(sample, flaw(word, f"{type(error).__name__}: {last[:300]}"))
    shutil.rmtree(work, ignore_errors=True)
    return row
