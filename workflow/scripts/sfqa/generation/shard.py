"""One shard of a method: what is decided for each of its samples, and the row of each."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from sfqa import identity, tables
from sfqa.generation.check import find_problem, read_clip_sec
from sfqa.generation.records import (
    GenerationSettings,
    Sample,
    VideoFolder,
    VideoRecord,
    compute_sample_key,
)
from sfqa.generation.registry import Method
from sfqa.progress import Progress
from sfqa.repositories.workspace import remove_workspace
from sfqa.tables import flaw

#: Receives each line of progress.
Log = Callable[[str], None]
#: A row of ``tables.VIDEOS`` as a dictionary.
Row = dict[str, Any]


class Shard:
    """The samples of one job: where their videos are, and the row of each decided sample.

    Each sample gets its row by one of :meth:`keep_video`, :meth:`take_over_video`,
    :meth:`accept_video` and :meth:`fail_sample`. They also write the record of its video and a
    line of progress.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        method: Method,
        folder: Path,
        settings: GenerationSettings,
        log: Log | None = None,
    ) -> None:
        self.samples, self.method, self.settings = samples, method, settings
        self.videos = VideoFolder(folder)
        self.progress = Progress(method.label, len(samples), len(samples), log=log)
        self._rows: dict[str, Row] = {}

    def list_rows(self) -> list[Row]:
        """Return the rows of all samples, in the order of the samples."""
        return [self._rows[sample["sample_id"]] for sample in self.samples]

    def find_record(self, sample: Sample) -> VideoRecord | None:
        """Return the record of a video that has the sample's inputs and options, else None."""
        record = self.videos.read_record(sample["sample_id"])
        fits = record and record.key == compute_sample_key(sample, self.method, self.settings)
        return record if fits and self.videos.video_path(sample["sample_id"]).is_file() else None

    def is_unchanged(self, sample: Sample, record: VideoRecord) -> bool:
        """Return whether the sample's video has the bytes that its record states."""
        video = self.videos.video_path(sample["sample_id"])
        return identity.sha256_file(video) == record.sha256

    def is_usable(self, sample: Sample) -> bool:
        """Return whether the sample's video passes the check."""
        # The length of a generator's video can differ from that of its clip.
        seconds = None if self.method.kind == "command" else read_clip_sec(sample)
        return not find_problem(self.videos.video_path(sample["sample_id"]), seconds)

    def keep_video(self, sample: Sample, record: VideoRecord) -> None:
        """Add the row of a video that is complete."""
        self._remove_work(sample)
        self._report(self._add_row(sample, record), "skipped", computed=False)

    def take_over_video(self, sample: Sample) -> None:
        """Add the row of a video that the user replaced: it is flawed, but not overwritten."""
        name = sample["sample_id"]
        record = VideoRecord(
            key=compute_sample_key(sample, self.method, self.settings),
            sha256=identity.sha256_file(self.videos.video_path(name)),
            replaced=True,
        )
        self.videos.write_record(name, record)
        self._remove_work(sample)
        self._report(self._add_row(sample, record), "kept", computed=False)

    def accept_video(self, sample: Sample, video: Path, seconds: float, detail: str = "") -> None:
        """Move a generated and checked video into place and add its row.

        ``seconds`` is how long it took to generate; a ``detail`` ('word: sentence') makes the row
        flawed. Raises ``OSError`` if the disk cannot take it.
        """
        key = compute_sample_key(sample, self.method, self.settings)
        record = self.videos.add_video(sample["sample_id"], video, key, detail)
        self._report(self._add_row(sample, record), f"generated in {seconds:.1f} s")

    def fail_sample(self, sample: Sample, reason: str, seconds: float = 0.0) -> None:
        """Add the row of a sample that has no video; ``reason`` is 'word: sentence'."""
        row = self._base_row(sample) | {"status": tables.FAILED, "detail": reason}
        self._rows[sample["sample_id"]] = row
        self._report(row, f"tried for {seconds:.1f} s")

    def _report(self, row: Row, action: str, computed: bool = True) -> None:
        outcome = f"{row['status']} {row['detail']}".rstrip()
        failed = row["status"] == tables.FAILED
        self.progress.report(
            row["sample_id"], f"{outcome}, {action}", computed=computed, failed=failed
        )

    def _remove_work(self, sample: Sample) -> None:
        # A run that was killed between the record and its cleaning up leaves this folder.
        remove_workspace(self.videos.work_path(sample["sample_id"]))

    def _add_row(self, sample: Sample, record: VideoRecord) -> Row:
        name, detail = sample["sample_id"], record.flaw
        if record.replaced:
            detail = flaw("replaced", "the video is not the one that the method made; it was kept")
        video = self.videos.video_path(name)
        self._rows[name] = self._base_row(sample) | {
            "status": tables.FLAWED if detail else tables.OK,
            "detail": detail,
            "path": str(video),
            "sha256": record.sha256,
            "size_bytes": video.stat().st_size,
            "reproducible": self.method.reproducible and not record.replaced,
        }
        return self._rows[name]

    def _base_row(self, sample: Sample) -> Row:
        return {
            "sample_id": sample["sample_id"],
            "method": self.method.label,
            "shard": int(sample["shard"]),
            "status": tables.FAILED,
            "detail": "",
            "path": None,
            "sha256": None,
            "size_bytes": None,
            "clip_path": sample.get("clip_path"),
            "clip_sha256": sample.get("clip_sha256"),
            "prompt": sample.get("prompt"),
            "reproducible": self.method.reproducible,
        }


class Engine(Protocol):
    """Generates the videos of samples and hands each to the shard."""

    #: How many samples one call of :meth:`generate` takes at most.
    batch_size: int

    def generate(self, samples: Sequence[Sample]) -> None:
        """Generate the videos; each sample is accepted or failed when this returns."""


def find_missing_input(sample: Sample) -> str:
    """Return why a sample cannot be generated, as 'word: sentence'; '' if its inputs exist."""
    for name in ("image", "clip"):
        path = sample.get(f"{name}_path")
        if path is None or not Path(path).is_file():
            return flaw(f"no_{name}", f"there is no file {path} for the {name}")
    return ""


def is_disk_full(error: BaseException) -> bool:
    """Return whether an error says that the disk, or the user's quota on it, is full.

    >>> is_disk_full(OSError(errno.ENOSPC, "x")), is_disk_full(OSError(errno.EACCES, "x"))
    (True, False)
    """
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return os.strerror(errno.ENOSPC) in str(error)
