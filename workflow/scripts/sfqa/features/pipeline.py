"""Run an extractor over videos: read ahead, score, return a row and its cost for each video.

For a :class:`sfqa.features.base.PipelinedExtractor`, worker processes read the videos and this
process scores them. Another one runs in the workers if it has no weights, else in this process.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from typing import Any, cast

from sfqa.features import weights
from sfqa.features.base import Extractor, PipelinedExtractor, UnusableError, Video, VideoReader
from sfqa.features.batches import Batching
from sfqa.features.costs import DeviceMeter, ScoringTimes
from sfqa.features.pass_sizes import PassNote
from sfqa.features.weights import Weights
from sfqa.processes import peak_memory_mb
from sfqa.workers import LostTaskError, TaskResult, WorkerPool, run_in_process

log = logging.getLogger("sfqa")

#: What a reader returned of a video, or why it could not be read.
_VideoRead = TaskResult[Video, Any]

#: Seconds that reading one video may take.
TIME_LIMIT_SEC = 600.0


@dataclass(frozen=True)
class ExtractionTask:
    """What is to be computed: an extractor with its options and weights, and on which device.

    ``device`` is entered only if it is needed, and held to the end. ``workers`` processes read
    ahead. With 0 the rows are the same, but a video that hangs or crashes the decoder stops the
    job. ``pass_note`` keeps how small the passes had to become.
    """

    extractor_class: type[Extractor]
    options: Mapping[str, Any]
    weights: Weights
    device: Callable[[], AbstractContextManager[str]]
    workers: int = 0
    time_limit_sec: float = TIME_LIMIT_SEC
    pass_note: PassNote | None = None

    @property
    def ahead(self) -> int:
        """How many videos may be read, or being read, and not yet scored."""
        return 2 * self.workers + 1

    @property
    def is_pipelined(self) -> bool:
        """Whether the extractor reads a video and scores it in two parts."""
        return hasattr(self.extractor_class, "score")

    @property
    def runs_in_workers(self) -> bool:
        """Whether the whole extractor runs in the workers: it has one part and no weights."""
        return not self.is_pipelined and self.weights.kind == weights.NONE


@dataclass(frozen=True)
class ComputedRow:
    """What the extractor returned for a video, or why it could not score it, and the cost."""

    video: Video
    values: dict[str, Any] | UnusableError
    cost: dict[str, Any]

    @property
    def is_final(self) -> bool:
        """Whether the next run need not try the video again: no process died or ran out of time."""
        return not isinstance(self.values, LostTaskError)


def compute_rows(
    task: ExtractionTask, videos: Sequence[Video], keep: Callable[[ComputedRow], None]
) -> None:
    """Compute a row for every video and call ``keep`` with it at once, in any order.

    Raises :class:`UserError` for options or weights that do not fit.
    """
    with ExitStack() as stack:
        pool: WorkerPool[Video, Any] | None = None
        if task.workers and (task.is_pipelined or task.runs_in_workers):
            count = min(task.workers, len(videos))
            # Building the network takes seconds: the workers start meanwhile.
            module = task.extractor_class.__module__
            pool = stack.enter_context(WorkerPool(count, module, task.time_limit_sec))
        device = "cpu" if task.runs_in_workers else stack.enter_context(task.device())
        extractor = _build_pipelined(task, device)
        batching = getattr(extractor, "batching", None)
        if task.pass_note and isinstance(batching, Batching):
            task.pass_note.restore(batching.reduction)
        if pool:
            videos_read = pool.run(extractor.reader.prepare, videos, task.ahead)
        else:
            videos_read = run_in_process(extractor.reader.prepare, videos)
        _score_videos(extractor, videos_read, DeviceMeter(device), keep)


def _score_videos(
    extractor: PipelinedExtractor,
    videos_read: Iterable[_VideoRead],
    device: DeviceMeter,
    keep: Callable[[ComputedRow], None],
) -> None:
    in_scorer: deque[_VideoRead] = deque()
    times = ScoringTimes()

    def make_cost(read: _VideoRead, seconds: float) -> dict[str, Any]:
        read_by_worker = read.pid != os.getpid()
        peak = read.peak_mb + (peak_memory_mb() if read_by_worker else 0.0)
        device_peak = device.read_peak_mb()
        return {
            "prepare_sec": round(read.seconds, 3),
            "device_sec": round(seconds, 3),
            "peak_memory_mb": round(peak, 1),
            "peak_device_mb": None if device_peak is None else round(device_peak, 1),
            "device": device.name,
            "device_kind": device.kind,
        }

    def iterate_usable() -> Iterator[Any]:
        for read in videos_read:
            if isinstance(read.value, UnusableError):
                if isinstance(read.value, LostTaskError) and read.value.trace:
                    log.warning("%s: not read\n%s", read.task.sample_id, read.value.trace)
                keep(ComputedRow(read.task, read.value, make_cost(read, 0.0)))
                continue
            in_scorer.append(replace(read, value=None))  # only the scorer holds the pictures
            yield read.value

    for values, seconds in times.time_outputs(extractor.score(times.time_inputs(iterate_usable()))):
        read = in_scorer.popleft()
        keep(ComputedRow(read.task, values, make_cost(read, seconds)))
    if in_scorer:
        raise RuntimeError(f"{type(extractor).__name__}.score left out {len(in_scorer)} videos")


def _build_pipelined(task: ExtractionTask, device: str) -> PipelinedExtractor:
    """Build the extractor; one with a single part is wrapped so that it has two."""
    if task.runs_in_workers:
        reader = _WholeVideoReader(task.extractor_class, dict(task.options), task.weights)
        return cast(PipelinedExtractor, WholeVideoAdapter(reader))
    extractor = task.extractor_class(task.options, task.weights, device)
    return cast(PipelinedExtractor, extractor if task.is_pipelined else InProcessAdapter(extractor))


@dataclass
class _WholeVideoReader:
    """Runs an extractor without weights where the video is read; it is built for the first one."""

    extractor_class: type[Extractor]
    options: dict[str, Any]
    weights: Weights
    extractor: Extractor | None = None

    def prepare(self, video: Video) -> Any:
        if self.extractor is None:
            self.extractor = self.extractor_class(self.options, self.weights, "cpu")
        return self.extractor.extract(video)


@dataclass
class WholeVideoAdapter:
    """Gives an extractor that runs in the workers the form of a pipelined one."""

    reader: VideoReader

    def score(self, prepared: Iterable[Any]) -> Iterator[dict[str, Any] | UnusableError]:
        """Yield the rows that the workers computed."""
        yield from prepared


class InProcessAdapter:
    """Gives an extractor with a network and a single part the form of a pipelined one.

    All of it runs in this process.
    """

    def __init__(self, extractor: Extractor) -> None:
        self.extractor, self.reader = extractor, self

    def prepare(self, video: Video) -> Any:
        """Return the video itself: the extractor reads it."""
        return video

    def score(self, prepared: Iterable[Any]) -> Iterator[dict[str, Any] | UnusableError]:
        """Yield the row of each video, or why it has none."""
        for video in prepared:
            try:
                yield self.extractor.extract(video)
            except UnusableError as error:
                yield error
