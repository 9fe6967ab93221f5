"""Conform the videos of one shard, skipping what an earlier run has done."""

from __future__ import annotations

import glob
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from sfqa import store, tables
from sfqa.conform.video import Form, conform_row, list_files
from sfqa.errors import UnusableError
from sfqa.ffmpeg_program import find_ffmpeg
from sfqa.identity import digest, sha256_file
from sfqa.progress import Progress
from sfqa.untrusted.documents import read_json
from sfqa.workers import LostTaskError, TaskResult, WorkerPool, run_in_process

#: The columns of a row that name a file, each with the one of its sha256.
_FILES = (
    ("path", "sha256"),
    ("audio_path", "audio_sha256"),
    ("viewing_path", "viewing_sha256"),
)
#: Seconds that one video may take: ffmpeg, which has its own limit of an hour at most, and the
#: decoders, which have none.
TIME_LIMIT_SEC = 4500.0

log = logging.getLogger("sfqa")

Row = dict[str, Any]


@dataclass(frozen=True)
class _ConformTask:
    """A video that is to be conformed."""

    sample_id: str
    row: Mapping[str, Any]
    record: Path
    key: str


def _conform_task(folder: Path, form: Form, task: _ConformTask) -> Row:
    return conform_row(task.row, folder, form)


def conform_shard(
    videos: pd.DataFrame,
    folder: Path,
    form: Form,
    workers: int = 1,
    time_limit_sec: float = TIME_LIMIT_SEC,
) -> list[Row]:
    """Return the conformed rows of a shard's videos (rows of the videos table).

    Videos go to ``folder/videos``, copies to look at to ``folder/viewing``, a record of each video
    to ``folder/records`` when it is complete. A record is used again if source, form and results
    are unchanged. ``workers`` processes do the work (0: this one, without a time limit); a video
    that ends a worker, or takes longer than ``time_limit_sec``, fails, and the next run tries it
    again.
    """
    find_ffmpeg()  # here, because the messages of workers reach no log
    tasks = [_make_task(video, folder, form) for video in store.to_records(videos)]
    rows = {t.sample_id: row for t in tasks if (row := _read_record(t.record, t.key)) is not None}
    missing = [task for task in tasks if task.sample_id not in rows]
    with Progress("conformed", len(tasks), len(missing)) as progress:
        for row in rows.values():
            _report_row(progress, row, computed=False)
        for result in _run_tasks(missing, folder, form, workers, time_limit_sec):
            row = _record_result(result, folder)
            rows[row["sample_id"]] = row
            _report_row(progress, row, computed=True)
    complete = [rows[task.sample_id] | {"shard": task.row["shard"]} for task in tasks]
    return [{k: v for k, v in row.items() if k in tables.CONFORMED.names} for row in complete]


def _make_task(video: Mapping[str, Any], folder: Path, form: Form) -> _ConformTask:
    inputs = {c: video[c] for c in ("sha256", "clip_sha256", "status", "detail", "prompt")}
    record = folder / "records" / f"{video['sample_id']}.json"
    key = digest({"form": form.identity, **inputs})
    return _ConformTask(video["sample_id"], video, record, key)


def _run_tasks(
    tasks: Sequence[_ConformTask], folder: Path, form: Form, workers: int, time_limit_sec: float
) -> Iterator[TaskResult[_ConformTask, Row]]:
    """Conform in worker processes, so that a decoder that dies or hangs costs one video."""
    function = partial(_conform_task, folder, form)
    if not tasks or not workers:
        yield from run_in_process(function, tasks)
        return
    count = min(workers, len(tasks))
    with WorkerPool[_ConformTask, Row](count, "sfqa.conform.video", time_limit_sec) as pool:
        yield from pool.run(function, tasks, ahead=2 * count + 1)


def _record_result(result: TaskResult[_ConformTask, Row], folder: Path) -> Row:
    """Return the row of a result; write its record unless the task was lost."""
    task = result.task
    if not isinstance(result.value, UnusableError):
        with store.replacing(task.record) as temporary:
            stored = {"key": task.key, "row": result.value, "sha256": digest(result.value)}
            temporary.write_text(json.dumps(stored, sort_keys=True))
        return result.value
    if isinstance(result.value, LostTaskError) and result.value.trace:
        log.warning("%s: not conformed\n%s", task.sample_id, result.value.trace)
    _remove_files(folder, task.sample_id)
    first_columns = {k: task.row[k] for k in ("sample_id", "method", "shard", "prompt")}
    reason = {"status": tables.FAILED, "detail": str(result.value)}
    return first_columns | {"source_sha256": task.row["sha256"]} | reason


def _remove_files(folder: Path, sample_id: str) -> None:
    """Remove what a killed worker has left of a video: complete files and temporary ones."""
    for path in list_files(folder, sample_id):
        for leftover in (path, *path.parent.glob(f".{glob.escape(path.name)}.*")):
            leftover.unlink(missing_ok=True)


def _report_row(progress: Progress, row: Row, computed: bool) -> None:
    outcome = f"{'' if computed else 'kept '}{row['status']} {row['detail']}".rstrip()
    failed = row["status"] == tables.FAILED
    progress.report(row["sample_id"], outcome, computed=computed, failed=failed)


def _read_record(record: Path, key: str) -> Row | None:
    """Return the row of an earlier run if its inputs and its files are unchanged."""
    try:
        stored = read_json(record, allow_nan=True)
        row: Row = stored["row"]
        if stored["key"] != key or stored["sha256"] != digest(row):
            return None
        for path, sha256 in _FILES:
            if row.get(path) and sha256_file(row[path]) != row[sha256]:
                return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return row
