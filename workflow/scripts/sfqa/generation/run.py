"""Make the videos of one shard: skip what is there, keep going past what fails."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sfqa import identity, media, store, tables
from sfqa.errors import UserError
from sfqa.generation import adapters
from sfqa.generation.check import problem
from sfqa.generation.registry import Method
from sfqa.tables import flaw

Log = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """What every video of a run has in common: seed, side in pixels, frame rate."""

    seed: int
    size: int
    fps: float


def generate_shard(
    samples: pd.DataFrame,
    method: Method,
    folder: Path | str,
    seed: int,
    size: int,
    fps: float,
    log: Log | None = None,
) -> list[dict[str, Any]]:
    """Return rows of ``tables.VIDEOS`` for rows of ``tables.SAMPLES``, making missing videos.

    Videos are ``{folder}/videos/{sample_id}.mp4``; ``size`` is their side in pixels (even), ``fps``
    their frame rate. A sample is skipped when its record ``{folder}/records/{sample_id}.json``
    (written last, by rename) holds the key of its inputs and options and the video is there. A
    video with other bytes than recorded that passes the check was replaced by hand: it is kept and
    its row is flawed. An adapter's exception or a failed check gives a failed row, tried again
    on the next run. Raises :class:`UserError` for an odd size or samples of another method.
    """
    if size < 32 or size % 2:
        raise UserError(f"generation size {size}: give an even number of pixels, 32 or more")
    if not fps > 0:
        raise UserError(f"generation fps {fps}: give a frame rate above 0")
    say = log or logging.getLogger("sfqa").info
    settings, rows = Settings(seed, size, fps), []
    records = store.records(samples)
    for number, sample in enumerate(records, start=1):
        if sample["method"] != method.label:
            raise UserError(
                f"sample {sample['sample_id']}: its method is {sample['method']!r}, this shard's "
                f"{method.label!r}; give each shard the rows of one method"
            )
        row, done = _video(sample, method, Path(folder), settings)
        rows.append(row)
        tail = f" ({row['detail']})" if row["detail"] else ""
        say(f"{number}/{len(records)} {sample['sample_id']}: {done}, {row['status']}{tail}")
    return rows


def sample_key(sample: dict[str, Any], method: Method, settings: Settings) -> str:
    """Return the digest of everything that a sample's video depends on."""
    return identity.digest(
        {
            "sample_id": sample["sample_id"],
            "image": sample.get("image_sha256"),
            "clip": sample.get("clip_sha256"),
            "prompt": sample.get("prompt"),
            "method": method.identity(),
            "seed": settings.seed,
            "size": settings.size,
            "fps": float(settings.fps),
        }
    )


def _video(
    sample: dict[str, Any], method: Method, folder: Path, settings: Settings
) -> tuple[dict[str, Any], str]:
    """The sample's row, and a word for the log: skipped, kept or generated."""
    name = sample["sample_id"]
    video, record = folder / "videos" / f"{name}.mp4", folder / "records" / f"{name}.json"
    key = sample_key(sample, method, settings)
    old = _read_record(record)
    if old.get("key") == key and video.is_file():
        sha = identity.sha256_file(video)
        if sha == old.get("sha256"):
            return _row(sample, method, video, sha, bool(old.get("replaced"))), "skipped"
        if not problem(video, _clip_sec(sample)):
            _write_record(record, key, sha, replaced=True)
            return _row(sample, method, video, sha, replaced=True), "kept"
    record.unlink(missing_ok=True)
    reason = _generate(sample, method, folder, video, settings)
    if reason:
        return _row(sample, method, None, None, replaced=False, reason=reason), "generated"
    sha = identity.sha256_file(video)
    _write_record(record, key, sha, replaced=False)
    return _row(sample, method, video, sha, replaced=False), "generated"


def _generate(
    sample: dict[str, Any], method: Method, folder: Path, video: Path, settings: Settings
) -> str:
    """Why there is no video, or '' where ``video`` now holds it, checked."""
    name = sample["sample_id"]
    for kind in ("image", "clip"):
        path = sample.get(f"{kind}_path")
        if path is None or not Path(path).is_file():
            return flaw(f"no_{kind}", f"there is no file {path} for the {kind} of {name}")
    # A killed run leaves its work behind; a failed one too, for its files to be looked at.
    work = folder / "work" / name
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    output = work / "output.mp4"
    job = adapters.Job(
        sample_id=name,
        method=method,
        image=Path(sample["image_path"]),
        clip=Path(sample["clip_path"]),
        output=output,
        work=work,
        seed=settings.seed,
        size=settings.size,
        fps=settings.fps,
    )
    try:
        adapters.load(method.adapter).generate(job)
    except Exception as error:
        logging.getLogger("sfqa").debug("%s: generation failed", name, exc_info=True)
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        last = lines[-1] if lines else "no message"
        return flaw("generation_failed", f"{type(error).__name__}: {last[:300]}")
    reason = problem(output, _clip_sec(sample))
    if reason:
        return reason
    video.parent.mkdir(parents=True, exist_ok=True)
    output.replace(video)
    shutil.rmtree(work, ignore_errors=True)
    return ""


def _clip_sec(sample: dict[str, Any]) -> float | None:
    """Length of the driving clip in seconds, None where it cannot be read."""
    try:
        return media.probe(sample["clip_path"]).audio_duration_sec or None
    except media.MediaError:
        return None


def _row(
    sample: dict[str, Any],
    method: Method,
    video: Path | None,
    sha: str | None,
    replaced: bool,
    reason: str = "",
) -> dict[str, Any]:
    status = tables.FAILED if reason else tables.OK
    if replaced:
        status = tables.FLAWED
        reason = flaw("replaced", "the video is not the one that the method made; it was kept")
    return {
        "sample_id": sample["sample_id"],
        "method": method.label,
        "shard": int(sample["shard"]),
        "status": status,
        "detail": reason,
        "path": None if video is None else str(video),
        "sha256": sha,
        "size_bytes": None if video is None else video.stat().st_size,
        "clip_path": sample.get("clip_path"),
        "clip_sha256": sample.get("clip_sha256"),
        "prompt": sample.get("prompt"),
        "reproducible": method.reproducible and not replaced,
    }


def _read_record(path: Path) -> dict[str, Any]:
    """What was recorded; a missing or broken record is an empty one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write_record(path: Path, key: str, sha: str, replaced: bool) -> None:
    with store.replacing(path) as temporary:
        content = {"key": key, "sha256": sha, "replaced": replaced}
        temporary.write_text(json.dumps(content, sort_keys=True) + "\n", encoding="utf-8")
