"""The videos of one method on disk: what each depends on, and the record of each accepted one."""

from __future__ import annotations

import errno
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sfqa import identity, store
from sfqa.generation.registry import Method
from sfqa.untrusted.documents import read_json

#: A row of ``tables.SAMPLES`` as a dictionary.
Sample = dict[str, Any]


@dataclass(frozen=True)
class GenerationSettings:
    """What every video of a run has in common.

    ``size`` (pixels a side) and ``fps`` are for procedural methods. For methods of kind
    ``command``: ``generators`` holds one folder per method, ``attempts`` is the number of times a
    pair is tried in all, ``installed`` is the digest of the installed generator.
    """

    seed: int
    size: int
    fps: float
    generators: Path = Path("resources/generators")
    attempts: int = 2
    require_gpu: bool = True
    installed: str = ""


def compute_sample_key(sample: Sample, method: Method, settings: GenerationSettings) -> str:
    """Return the digest of everything that a sample's video depends on."""
    varying: dict[str, Any] = {"size": settings.size, "fps": float(settings.fps)}
    if method.kind == "command":
        varying = {"installed": settings.installed}
    return identity.digest(
        {
            "sample_id": sample["sample_id"],
            "image": sample.get("image_sha256"),
            "clip": sample.get("clip_sha256"),
            "prompt": sample.get("prompt"),
            "method": method.get_identity(),
            "seed": settings.seed,
            **varying,
        }
    )


@dataclass(frozen=True)
class VideoRecord:
    """What is recorded of an accepted video.

    ``key`` is from :func:`compute_sample_key`, ``sha256`` from the file. ``replaced`` says whether
    the user put another file in its place. ``flaw`` is a detail ('word: sentence') or ''.
    """

    key: str
    sha256: str
    replaced: bool = False
    flaw: str = ""


@dataclass(frozen=True)
class VideoFolder:
    """The folder of one method: accepted videos, their records, working folders and logs."""

    folder: Path

    def video_path(self, sample_id: str) -> Path:
        """Return the path of a sample's accepted video."""
        return self.folder / "videos" / f"{sample_id}.mp4"

    def work_path(self, sample_id: str) -> Path:
        """Return the private folder in which a sample's video is generated."""
        return self.folder / "work" / sample_id

    def log_path(self, name: str) -> Path:
        """Return the file that receives the output of a generator's process."""
        return self.folder / "logs" / f"{name}.log"

    def read_record(self, sample_id: str) -> VideoRecord | None:
        """Return the record of a sample; None if it is missing or damaged."""
        try:
            content = read_json(self._record_path(sample_id))
        except (OSError, ValueError):
            return None
        if not isinstance(content, dict):
            return None
        return VideoRecord(
            key=str(content.get("key")),
            sha256=str(content.get("sha256")),
            replaced=bool(content.get("replaced")),
            flaw=str(content.get("flaw", "")),
        )

    def write_record(self, sample_id: str, record: VideoRecord) -> None:
        """Write a record atomically."""
        content = {"key": record.key, "sha256": record.sha256, "replaced": record.replaced}
        if record.flaw:
            content["flaw"] = record.flaw
        with store.replacing(self._record_path(sample_id)) as temporary:
            temporary.write_text(json.dumps(content, sort_keys=True) + "\n", encoding="utf-8")

    def delete_record(self, sample_id: str) -> None:
        """Delete a record, if there is one."""
        self._record_path(sample_id).unlink(missing_ok=True)

    def add_video(self, sample_id: str, source: Path, key: str, flaw: str = "") -> VideoRecord:
        """Move a checked video into the folder, write its record last, and return the record.

        Raises ``OSError`` if the disk cannot take it.
        """
        video = self.video_path(sample_id)
        video.parent.mkdir(parents=True, exist_ok=True)
        _move_file(source, video)
        record = VideoRecord(key, identity.sha256_file(video), flaw=flaw)
        self.write_record(sample_id, record)
        return record

    def _record_path(self, sample_id: str) -> Path:
        return self.folder / "records" / f"{sample_id}.json"


def _move_file(source: Path, target: Path) -> None:
    """Rename a file with its bytes on the disk, or copy it from another file system."""
    with open(source, "rb") as handle:
        os.fsync(handle.fileno())
    try:
        if not source.is_symlink():  # the target of a link may belong to another user
            source.replace(target)
            return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    with store.replacing(target) as temporary:
        shutil.copyfile(source, temporary)
