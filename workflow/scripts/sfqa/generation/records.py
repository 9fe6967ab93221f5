"""What is known of a method's videos: what each depends on, its record, its row."""

from __future__ import annotations

import errno
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sfqa import identity, media, store, tables
from sfqa.generation.check import problem
from sfqa.generation.registry import Method
from sfqa.tables import flaw


@dataclass(frozen=True)
class Settings:
    """What every video of a run has in common.

    ``size`` (pixels a side) and ``fps`` are for procedural methods. For methods of kind
    ``command``: ``generators`` holds one folder for each, ``attempts`` is how often a pair is
    tried in all, ``installed`` the digest of the installed generator.
    """

    seed: int
    size: int
    fps: float
    generators: Path = Path("resources/generators")
    attempts: int = 2
    require_gpu: bool = True
    installed: str = ""


def sample_key(sample: dict[str, Any], method: Method, settings: Settings) -> str:
    """Return the digest of everything that a sample's video depends on."""
    own: dict[str, Any] = {"size": settings.size, "fps": float(settings.fps)}
    if method.kind == "command":
        own = {"installed": settings.installed}
    return identity.digest(
        {
            "sample_id": sample["sample_id"],
            "image": sample.get("image_sha256"),
            "clip": sample.get("clip_sha256"),
            "prompt": sample.get("prompt"),
            "method": method.identity(),
            "seed": settings.seed,
            **own,
        }
    )


@dataclass(frozen=True)
class Shelf:
    """The videos of one method in a folder: accepted ones, their records, runs at work."""

    folder: Path
    method: Method
    settings: Settings

    def work(self, name: str) -> Path:
        """The private folder of a run."""
        return self.folder / "work" / name

    def known(self, sample: dict[str, Any]) -> tuple[dict[str, Any], str] | None:
        """Return a sample's row and 'skipped' or 'kept' where its video is there, else None.

        It is skipped where its record holds the key and the sha256. A video with other bytes that
        passes the check was replaced by hand, and is kept. A record that does not fit is removed.
        """
        video, record = self._video(sample), self._record(sample)
        key = sample_key(sample, self.method, self.settings)
        old = _read_record(record)
        if old.get("key") == key and video.is_file():
            sha = identity.sha256_file(video)
            if sha == old.get("sha256"):
                replaced, found = bool(old.get("replaced")), str(old.get("flaw", ""))
                return self._accepted(sample, sha, replaced, found), "skipped"
            # The length of a generator's video need not be its clip's.
            seconds = None if self.method.kind == "command" else clip_sec(sample)
            if not problem(video, seconds):
                _write_record(record, key, sha, replaced=True)
                return self._accepted(sample, sha, replaced=True), "kept"
        record.unlink(missing_ok=True)
        return None

    def accept(self, sample: dict[str, Any], made: Path, found: str = "") -> dict[str, Any]:
        """Move a checked video into place, record it last, and return its row.

        ``found`` is a flaw to be named, or ''. Raises ``OSError`` where the disk does not take it.
        """
        video = self._video(sample)
        video.parent.mkdir(parents=True, exist_ok=True)
        _move(made, video)
        sha = identity.sha256_file(video)
        key = sample_key(sample, self.method, self.settings)
        _write_record(self._record(sample), key, sha, replaced=False, found=found)
        return self._accepted(sample, sha, replaced=False, found=found)

    def failed(self, sample: dict[str, Any], reason: str) -> dict[str, Any]:
        """Return the row of a sample that has no video; ``reason`` is 'word: sentence'."""
        return self._row(sample, tables.FAILED, reason)

    def _video(self, sample: dict[str, Any]) -> Path:
        return self.folder / "videos" / f"{sample['sample_id']}.mp4"

    def _record(self, sample: dict[str, Any]) -> Path:
        return self.folder / "records" / f"{sample['sample_id']}.json"

    def _accepted(
        self, sample: dict[str, Any], sha: str, replaced: bool, found: str = ""
    ) -> dict[str, Any]:
        if replaced:
            found = flaw("replaced", "the video is not the one that the method made; it was kept")
        row = self._row(sample, tables.FLAWED if found else tables.OK, found)
        video = self._video(sample)
        return row | {
            "path": str(video),
            "sha256": sha,
            "size_bytes": video.stat().st_size,
            "reproducible": self.method.reproducible and not replaced,
        }

    def _row(self, sample: dict[str, Any], status: str, detail: str) -> dict[str, Any]:
        return {
            "sample_id": sample["sample_id"],
            "method": self.method.label,
            "shard": int(sample["shard"]),
            "status": status,
            "detail": detail,
            "path": None,
            "sha256": None,
            "size_bytes": None,
            "clip_path": sample.get("clip_path"),
            "clip_sha256": sample.get("clip_sha256"),
            "prompt": sample.get("prompt"),
            "reproducible": self.method.reproducible,
        }


def clip_sec(sample: dict[str, Any]) -> float | None:
    """Length of the driving clip in seconds, None where it cannot be read."""
    try:
        return media.probe(sample["clip_path"]).audio_duration_sec or None
    except media.MediaError:
        return None


def missing_input(sample: dict[str, Any]) -> str:
    """Return why a sample cannot be made at all, as 'word: sentence', or ''."""
    for kind in ("image", "clip"):
        path = sample.get(f"{kind}_path")
        if path is None or not Path(path).is_file():
            return flaw(f"no_{kind}", f"there is no file {path} for the {kind}")
    return ""


def is_full(error: BaseException) -> bool:
    """Whether an error says that a disk, or the share of it that is allowed, is full.

    >>> is_full(OSError(errno.ENOSPC, "x")), is_full(OSError(errno.EACCES, "x"))
    (True, False)
    """
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return os.strerror(errno.ENOSPC) in str(error)


def _move(made: Path, video: Path) -> None:
    with open(made, "rb") as handle:
        os.fsync(handle.fileno())
    try:
        if not made.is_symlink():  # a link's target may belong to somebody else
            made.replace(video)
            return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    with store.replacing(video) as temporary:
        shutil.copyfile(made, temporary)


def _read_record(path: Path) -> dict[str, Any]:
    """What was recorded; a missing or broken record is an empty one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write_record(path: Path, key: str, sha: str, replaced: bool, found: str = "") -> None:
    content = {"key": key, "sha256": sha, "replaced": replaced}
    if found:
        content["flaw"] = found
    with store.replacing(path) as temporary:
        temporary.write_text(json.dumps(content, sort_keys=True) + "\n", encoding="utf-8")
