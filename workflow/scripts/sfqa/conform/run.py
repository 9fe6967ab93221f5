"""Conform the videos of one shard, skipping what an earlier run has done."""

from __future__ import annotations

import glob
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pandas as pd

from sfqa import store, tables
from sfqa.conform.video import Form, conform_row, files
from sfqa.features.reader import LostError, Pool, Read, read_here
from sfqa.identity import digest, sha256_file

#: The columns of a row that name a file, each with the one of its sha256.
_FILES = (
    ("path", "sha256"),
    ("audio_path", "audio_sha256"),
    ("viewing_path", "viewing_sha256"),
)
#: Seconds that one video may take: ffmpeg, which has a limit of its own of an hour at most, and the
#: decoders, which have none.
TIME_LIMIT_SEC = 4500.0

log = logging.getLogger("sfqa")


@dataclass(frozen=True)
class _Work:
    """A video that is to be conformed."""

    sample_id: str
    row: Mapping[str, Any]
    record: Path
    key: str


@dataclass(frozen=True)
class _Conformer:
    """Conforms in a worker process, so that a decoder that dies or hangs costs one video."""

    folder: Path
    form: Form

    def prepare(self, work: _Work) -> dict[str, Any]:
        return conform_row(work.row, self.folder, self.form)


def conform_shard(
    videos: pd.DataFrame,
    folder: Path,
    form: Form,
    workers: int = 1,
    time_limit_sec: float = TIME_LIMIT_SEC,
) -> list[dict[str, Any]]:
    """Return the conformed rows of a shard's videos (rows of the videos table).

    Videos go to ``folder/videos``, copies to look at to ``folder/viewing``, a record of each video
    to ``folder/records`` when it is whole. A record is used again where source, form and results
    are unchanged. ``workers`` processes do the work (0: this one, and no time limit); a video that
    ends one, or takes longer than ``time_limit_sec``, fails, and is tried again by the next run.
    """
    works = [_work(video, folder, form) for video in store.records(videos)]
    rows = {w.sample_id: row for w in works if (row := _recorded(w.record, w.key)) is not None}
    for number, sample_id in enumerate(rows, 1):
        _tell("kept", number, len(works), rows[sample_id])
    todo = [work for work in works if work.sample_id not in rows]
    for row in _conformed(todo, _Conformer(folder, form), workers, time_limit_sec):
        rows[row["sample_id"]] = row
        _tell("conformed", len(rows), len(works), row)
    made = [rows[work.sample_id] | {"shard": work.row["shard"]} for work in works]
    return [{k: v for k, v in row.items() if k in tables.CONFORMED.names} for row in made]


def _work(video: Mapping[str, Any], folder: Path, form: Form) -> _Work:
    told = {c: video[c] for c in ("sha256", "clip_sha256", "status", "detail", "prompt")}
    record = folder / "records" / f"{video['sample_id']}.json"
    return _Work(video["sample_id"], video, record, digest({"form": form.identity, **told}))


def _conformed(
    works: Sequence[_Work], conformer: _Conformer, workers: int, time_limit_sec: float
) -> Iterator[dict[str, Any]]:
    """Yield the rows as they are made, each recorded where it is the video's own."""
    for read in _run(works, conformer, workers, time_limit_sec):
        work = cast(_Work, read.video)
        if not isinstance(read.value, LostError):
            with store.replacing(work.record) as temporary:
                stored = {"key": work.key, "row": read.value, "sha256": digest(read.value)}
                temporary.write_text(json.dumps(stored, sort_keys=True))
            yield read.value
            continue
        if read.value.trace:
            log.warning("%s: not conformed\n%s", work.sample_id, read.value.trace)
        _tidy(conformer.folder, work.sample_id)
        head = {k: work.row[k] for k in ("sample_id", "method", "shard", "prompt")}
        why = {"status": tables.FAILED, "detail": str(read.value)}
        yield head | {"source_sha256": work.row["sha256"]} | why


def _tidy(folder: Path, sample_id: str) -> None:
    """Remove what a worker that was killed has left of a video, whole or half written."""
    for path in files(folder, sample_id):
        for left in (path, *path.parent.glob(f".{glob.escape(path.name)}.*")):
            left.unlink(missing_ok=True)


def _run(
    works: Sequence[_Work], conformer: _Conformer, workers: int, time_limit_sec: float
) -> Iterator[Read]:
    # A reader of videos for extractors is used here for another work: hence Any.
    reader, todo = cast(Any, conformer), cast(Any, works)
    if not works or not workers:
        yield from read_here(reader, todo)
        return
    count = min(workers, len(works))
    with Pool(count, "sfqa.conform.video", time_limit_sec) as pool:
        yield from pool.read(reader, todo, ahead=2 * count + 1)


def _tell(word: str, number: int, count: int, row: Mapping[str, Any]) -> None:
    log.info(
        "%s %d of %d: %s %s %s",
        word, number, count, row["sample_id"], row["status"], row["detail"],
    )  # fmt: skip


def _recorded(record: Path, key: str) -> dict[str, Any] | None:
    """The row of an earlier run, if it was made of the same and its files are whole."""
    try:
        stored = json.loads(record.read_text())
        row: dict[str, Any] = stored["row"]
        if stored["key"] != key or stored["sha256"] != digest(row):
            return None
        for path, sha256 in _FILES:
            if row.get(path) and sha256_file(row[path]) != row[sha256]:
                return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return row
