"""Ready videos, hashed and checked where they lie: a method of kind ``import`` in a built dataset.

The user puts the videos into the method's folder, one per pair. They are recorded by the same
functions as in mode ``import_videos``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa import identity, store, tables
from sfqa.errors import UserError
from sfqa.tables import flaw

if TYPE_CHECKING:
    import pandas as pd

    from sfqa.generation.registry import Method

log = logging.getLogger("sfqa")

#: What a video that is put into a method's folder may be, the first one named to the user.
SUFFIXES = (".mp4", ".mov", ".webm", ".mkv")


@dataclass(frozen=True)
class Check:
    """How a video is checked.

    ``records`` is the folder in which what was said of it is kept, ``expect`` the form of
    :func:`sfqa.generation.expected.unexpected`, ``audio`` whether it needs sound.
    """

    records: Path | None
    expect: Mapping[str, float]
    audio: bool


def find_ready(folder: Path | str, sample: Mapping[str, Any]) -> Path | None:
    """Return the video that was put there for a sample, None where there is none.

    It is ``{folder}/videos/{pair_id}.mp4`` (or another of :data:`SUFFIXES`), ``folder`` being
    ``{generators}/{label}``. Raises :class:`UserError` where several files could be meant.
    """
    place = Path(folder) / "videos"
    found = [f for f in (place / f"{_pair(sample)}{s}" for s in SUFFIXES) if f.is_file()]
    if len(found) > 1:
        names = ", ".join(f.name for f in found)
        raise UserError(f"{place}: {names} are all videos of one pair; keep one of them")
    return found[0] if found else None


def import_ready(
    samples: pd.DataFrame,
    method: Method,
    folder: Path | str,
    records: Path | str | None = None,
) -> list[dict[str, Any]]:
    """Return rows of ``tables.VIDEOS`` for a built dataset's method of kind ``import``.

    ``folder`` is ``{generators}/{label}`` (:func:`find_ready`), where the videos stay. A missing
    one gives a failed row that says where to put it; one that cannot be read, has no sound or is
    longer than its clip fails; one of another form than the method's ``expect`` is flawed. What the
    check said is kept in ``{records}/{sample_id}.json`` where ``records`` is given.
    """
    check = Check(Path(records) if records else None, method.expect, audio=True)
    others = ", ".join(SUFFIXES[1:])
    listed = store.records(samples)
    rows = []
    for number, sample in enumerate(listed, start=1):
        wanted = Path(folder) / "videos" / f"{_pair(sample)}{SUFFIXES[0]}"
        missing = flaw(
            "no_video",
            f"there is none of {method.label} for the pair {_pair(sample)}, make it elsewhere and "
            f"put it at {wanted} (or {others})",
        )
        rows.append(video_row(sample, find_ready(folder, sample), check, missing))
        say(number, len(listed), rows[-1])
    return rows


def ready_digest(folder: Path | str) -> str:
    """Return a digest that changes when a ready video is added, removed or renamed.

    One listing of ``{folder}/videos``; a video that changes under its name is noticed by its sha256
    instead.
    """
    place = Path(folder) / "videos"
    names = [f.name for f in place.iterdir() if f.suffix in SUFFIXES] if place.is_dir() else []
    return identity.digest(sorted(names))


def _pair(sample: Mapping[str, Any]) -> str:
    return str(sample.get("pair_id") or sample["sample_id"])


def say(number: int, total: int, row: Mapping[str, Any]) -> None:
    """Log the progress: one line per video."""
    log.info("%d/%d %s: %s %s", number, total, row["sample_id"], row["status"], row["detail"])


def video_row(
    sample: Mapping[str, Any], path: Path | None, check: Check, missing: str = ""
) -> dict[str, Any]:
    """Return the row of ``tables.VIDEOS`` of one sample and its video.

    ``missing`` is the detail where ``path`` is None; a path without a file is a failed row too.
    """
    sha = identity.sha256_file(path) if path and path.is_file() else None
    reason, form = _checked(sample, path, sha, check) if path else (missing, None)
    status = tables.FAILED if reason else tables.OK
    if not reason and check.expect:
        # Only planning is without OpenCV, decord and PyAV.
        from sfqa.generation.expected import Form, unexpected

        reason = unexpected(check.expect, Form(*form)) if form else ""
        status = tables.FLAWED if reason else tables.OK
    return {
        "sample_id": sample["sample_id"],
        "method": sample["method"],
        "shard": int(sample["shard"]),
        "status": status,
        "detail": reason,
        "path": str(path) if sha else None,
        "sha256": sha,
        "size_bytes": path.stat().st_size if path and sha else None,
        "clip_path": sample.get("clip_path"),
        "clip_sha256": sample.get("clip_sha256"),
        "prompt": sample.get("prompt"),
        "reproducible": False,
    }


def _checked(
    sample: Mapping[str, Any], path: Path, sha: str | None, check: Check
) -> tuple[str, list[Any] | None]:
    """Why a video cannot be used, or '', and its form; from the record of the same bytes."""
    # Planning reads this module for its lists: without OpenCV, decord and PyAV.
    from sfqa import media
    from sfqa.generation import check as checks
    from sfqa.generation import expected

    key = [checks.VERSION, expected.VERSION, sha, sample.get("clip_sha256"), check.audio]
    record = check.records / f"{sample['sample_id']}.json" if check.records else None
    stored = _stored(record, key) if record and sha else None
    if stored:
        return stored
    clip_sec = _clip_sec(sample) if check.audio else None
    reason, form = checks.problem(path, clip_sec=clip_sec, audio=check.audio), None
    if not reason:
        try:
            form = expected.measure(path).as_list()
        except media.MediaError as error:
            reason = flaw("broken", str(error))
    if record and sha:
        with store.replacing(record) as temporary:
            content = {"key": key, "reason": reason, "form": form}
            temporary.write_text(json.dumps(content, sort_keys=True) + "\n", encoding="utf-8")
    return reason, form


def _stored(record: Path, key: list[Any]) -> tuple[str, list[Any] | None] | None:
    """What a record says of these bytes; a damaged or foreign one says nothing."""
    try:
        stored = json.loads(record.read_text(encoding="utf-8"))
        if stored["key"] != key:
            return None
        if stored["reason"]:
            return str(stored["reason"]), None
        width, height, fps, seconds = stored["form"]
        return "", [int(width), int(height), float(fps), float(seconds)]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _clip_sec(sample: Mapping[str, Any]) -> float | None:
    """Length of the driving clip in seconds, None where it cannot be read."""
    from sfqa import media

    try:
        return media.probe(str(sample["clip_path"])).audio_duration_sec or None
    except media.MediaError:
        return None
