"""Rows of videos that were made elsewhere: each is hashed and checked in place, none is copied.

These are the videos of mode ``import_videos``, and in a built dataset those of a method of kind
``import``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa import identity, media, store, tables
from sfqa.generation import check, video_form
from sfqa.generation.raw_videos import import_raw_video
from sfqa.generation.ready import SUFFIXES, find_ready, get_video_name, list_ready
from sfqa.generation.video_form import VideoForm
from sfqa.progress import Progress
from sfqa.tables import flaw
from sfqa.untrusted.documents import read_json

if TYPE_CHECKING:
    import pandas as pd

    from sfqa.generation.registry import Method


@dataclass(frozen=True)
class ImportCheck:
    """How the videos are checked.

    ``records`` is the folder that keeps the result of each check, so that only new bytes are
    decoded again; None keeps nothing. ``expect`` is the form that a method gives, as
    :func:`sfqa.generation.video_form.describe_differences` takes it. ``audio``: whether a video
    needs sound.
    """

    records: Path | None
    expect: Mapping[str, float]
    audio: bool


def import_shard(
    samples: pd.DataFrame, folder: Path | str, method: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Return rows of ``tables.VIDEOS`` for rows of ``tables.SAMPLES`` in mode ``import_videos``.

    Each video is hashed and checked at its ``source_path``. A missing or undecodable one gives a
    failed row; one without sound is accepted. ``method`` is the registry's entry
    (``registry.as_dict``), if there is one: a video that differs from its ``expect`` is flawed.
    The result of each check is kept in ``{folder}/records/{sample_id}.json``.
    """
    expect: Mapping[str, float] = (method or {}).get("expect") or {}
    how = ImportCheck(Path(folder) / "records", expect, audio=False)
    sample_rows = store.to_records(samples)
    rows = []
    with Progress("imported", len(sample_rows), len(sample_rows)) as progress:
        for sample in sample_rows:
            rows.append(_import_video(sample, Path(sample["source_path"]), how))
            _report_row(progress, rows[-1])
    return rows


def import_ready(
    samples: pd.DataFrame,
    method: Method,
    folder: Path | str,
    records: Path | str | None = None,
) -> list[dict[str, Any]]:
    """Return rows of ``tables.VIDEOS`` for a built dataset's method of kind ``import``.

    ``folder`` is ``{generators}/{label}`` (:func:`sfqa.generation.ready.list_ready`). A missing
    video gives a failed row that says where to put it. A video fails if it cannot be read, has no
    sound or is longer than its clip; it is flawed if it differs from the method's ``expect``. The
    result of each check is kept in ``{records}/{sample_id}.json``, if ``records`` is given.
    """
    how = ImportCheck(Path(records) if records else None, method.expect, audio=True)
    other_suffixes = ", ".join(SUFFIXES[1:])
    videos = list_ready(folder)
    sample_rows = store.to_records(samples)
    rows = []
    with Progress(method.label, len(sample_rows), len(sample_rows)) as progress:
        for sample in sample_rows:
            name = get_video_name(sample)
            target = Path(folder) / "videos" / f"{name}{SUFFIXES[0]}"
            missing = flaw(
                "no_video",
                f"there is none of {method.label} for the pair {name}, make it elsewhere and "
                f"put it at {target} (or {other_suffixes})",
            )
            rows.append(_import_video(sample, find_ready(videos, sample), how, missing))
            _report_row(progress, rows[-1])
    return rows


def _report_row(progress: Progress, row: Mapping[str, Any]) -> None:
    outcome = f"{row['status']} {row['detail']}".rstrip()
    progress.report(row["sample_id"], outcome, failed=row["status"] == tables.FAILED)


def _import_video(
    sample: Mapping[str, Any], path: Path | None, how: ImportCheck, missing: str = ""
) -> dict[str, Any]:
    """Return the row of one sample; ``missing`` is its detail if ``path`` is None."""
    if sample.get("raw") and path:
        return _make_row(sample) | import_raw_video(sample, path)
    sha = identity.sha256_file(path) if path and path.is_file() else None
    detail, form = _check_once(sample, path, sha, how) if path else (missing, None)
    status = tables.FAILED if detail else tables.OK
    if form and how.expect:
        detail = video_form.describe_differences(how.expect, form)
        status = tables.FLAWED if detail else tables.OK
    return _make_row(sample) | {
        "status": status,
        "detail": detail,
        "path": str(path) if sha else None,
        "sha256": sha,
        "size_bytes": path.stat().st_size if path and sha else None,
    }


def _make_row(sample: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of ``tables.VIDEOS`` that come from the sample."""
    return {
        "sample_id": sample["sample_id"],
        "method": sample["method"],
        "shard": int(sample["shard"]),
        "clip_path": sample.get("clip_path"),
        "clip_sha256": sample.get("clip_sha256"),
        "prompt": sample.get("prompt"),
        "reproducible": False,
    }


def _check_once(
    sample: Mapping[str, Any], path: Path, sha: str | None, how: ImportCheck
) -> tuple[str, VideoForm | None]:
    """Return why a video cannot be used, or '' and its form; from the record of the same bytes."""
    key = [check.VERSION, video_form.VERSION, sha, sample.get("clip_sha256"), how.audio]
    record = how.records / f"{sample['sample_id']}.json" if how.records and sha else None
    if record and (recorded := _read_record(record, key)):
        return recorded
    clip_sec = check.read_clip_sec(sample) if how.audio else None
    reason, form = check.find_problem(path, clip_sec=clip_sec, audio=how.audio), None
    if not reason:
        try:
            form = video_form.measure_form(path)
        except media.MediaError as error:
            reason = flaw("broken", str(error))
    if record:
        content = {"key": key, "reason": reason, "form": form and form.as_list()}
        with store.replacing(record) as temporary:
            temporary.write_text(json.dumps(content, sort_keys=True) + "\n", encoding="utf-8")
    return reason, form


def _read_record(path: Path, key: list[Any]) -> tuple[str, VideoForm | None] | None:
    """Return what a record says of these bytes; None if it is damaged or of other bytes."""
    try:
        content = read_json(path, allow_nan=True)
        if content["key"] != key:
            return None
        if content["reason"]:
            return str(content["reason"]), None
        width, height, fps, seconds = content["form"]
        return "", VideoForm(int(width), int(height), float(fps), float(seconds))
    except (OSError, ValueError, KeyError, TypeError):
        return None
