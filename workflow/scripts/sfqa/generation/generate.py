"""Generate the videos of one shard: keep what is complete, continue after failures."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from sfqa import store, tables
from sfqa.errors import UserError, raise_if_disk_full
from sfqa.generation.command_engine import open_command_engine
from sfqa.generation.imported import import_ready
from sfqa.generation.records import GenerationSettings, Sample
from sfqa.generation.registry import Method
from sfqa.generation.render_engine import RenderEngine
from sfqa.generation.shard import Engine, Log, Row, Shard, find_missing_input
from sfqa.repositories import process


def write_shard(
    samples: pd.DataFrame, method: Method, table: Path | str, settings: GenerationSettings
) -> None:
    """Generate the videos of a shard beside its table and write the table once, at the end.

    Raises :class:`UserError` as :func:`generate_shard` does, and if the disk was full: a table
    with such rows would tell the next run that they are final.
    """
    rows = generate_shard(samples, method, Path(table).parent, settings)
    raise_if_disk_full(rows)
    store.write(tables.VIDEOS, rows, table)


def generate_shard(
    samples: pd.DataFrame,
    method: Method,
    folder: Path | str,
    settings: GenerationSettings,
    log: Log | None = None,
    timeouts: process.Timeouts | None = None,
) -> list[Row]:
    """Return rows of ``tables.VIDEOS`` for rows of ``tables.SAMPLES``, generating missing videos.

    The video of a sample is ``{folder}/videos/{sample_id}.mp4``, and one of four things happens:

    - keep: its record ``{folder}/records/{sample_id}.json`` has the digest of its inputs and
      options and the sha256 of the video;
    - take over: the record has the digest, but the video has other bytes and passes the check. The
      user replaced it, so it stays and its row is flawed;
    - generate: there is no such record or no usable video;
    - fail: an input is missing, or generating failed. The row gives the reason, and the next run
      tries again. The output of a generator is in ``{folder}/logs``.

    ``timeouts`` are those of a generator's process. Raises :class:`UserError` for wrong
    settings, samples of another method, a generator that is not installed and a missing GPU.
    """
    sample_rows = store.to_records(samples)
    _check_settings(settings)
    _check_methods(sample_rows, method)
    if method.kind == "import":
        generators = settings.generators / method.label
        return import_ready(samples, method, generators, Path(folder) / "records")
    shard = Shard(sample_rows, method, Path(folder), settings, log)
    with shard.progress:
        to_generate = _find_missing(shard)
        if to_generate:
            shard.progress.to_compute = len(to_generate)
            with _open_engine(shard, timeouts or process.Timeouts()) as engine:
                for start in range(0, len(to_generate), engine.batch_size):
                    batch = to_generate[start : start + engine.batch_size]
                    _generate_batch(batch, engine, shard)
    return shard.list_rows()


def _find_missing(shard: Shard) -> list[Sample]:
    """Add the rows of the videos that exist; return the samples without a usable video."""
    missing = []
    for sample in shard.samples:
        record = shard.find_record(sample)
        if record and shard.is_unchanged(sample, record):
            shard.keep_video(sample, record)
        elif record and shard.is_usable(sample):
            shard.take_over_video(sample)
        else:
            shard.videos.delete_record(sample["sample_id"])
            missing.append(sample)
    return missing


def _generate_batch(samples: list[Sample], engine: Engine, shard: Shard) -> None:
    complete = []
    for sample in samples:
        if reason := find_missing_input(sample):
            shard.fail_sample(sample, reason)
        else:
            complete.append(sample)
    if complete:
        engine.generate(complete)


@contextlib.contextmanager
def _open_engine(shard: Shard, timeouts: process.Timeouts) -> Iterator[Engine]:
    if shard.method.kind == "command":
        with open_command_engine(shard, timeouts) as engine:
            yield engine
    else:
        yield RenderEngine(shard)


def _check_settings(settings: GenerationSettings) -> None:
    if settings.size < 32 or settings.size % 2:
        raise UserError(
            f"generation size {settings.size}: give an even number of pixels, 32 or more"
        )
    if not settings.fps > 0:
        raise UserError(f"generation fps {settings.fps}: give a frame rate above 0")
    if settings.attempts < 1:
        raise UserError(f"generation attempts {settings.attempts}: give 1 or more")


def _check_methods(samples: list[Sample], method: Method) -> None:
    for sample in samples:
        if sample["method"] != method.label:
            raise UserError(
                f"sample {sample['sample_id']}: its method is {sample['method']!r}, this shard's "
                f"{method.label!r}; give each shard the rows of one method"
            )
