"""Run an extractor over videos: reading ahead, scoring across videos, a row and its cost for each.

An extractor in two halves (:class:`sfqa.features.base.Pipelined`) is read by worker processes and
scored here. One in one piece runs whole in the workers where it has no weights, else whole here.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, cast

from sfqa.features import weights
from sfqa.features.base import Extractor, Pipelined, Reader, UnusableError, Video
from sfqa.features.costs import Device, Shares
from sfqa.features.weights import Weights
from sfqa.processes import peak_memory_mb
from sfqa.workers import LostTaskError, TaskResult, WorkerPool, run_in_process

log = logging.getLogger("sfqa")

#: What a reader returned of a video, or why it could not be read.
_VideoRead = TaskResult[Video, Any]

#: Seconds that reading one video may take.
TIME_LIMIT_SEC = 600.0


@dataclass(frozen=True)
class Task:
    """What is to be computed: an extractor with its options and weights, and where.

    ``device`` is taken only when it is needed, and held to the end. ``workers`` processes read
    ahead, 0 for none: the rows are the same, but then nothing guards against a video that hangs
    or crashes the decoder. ``ahead`` videos at most are read and not scored.
    """

    kind: type[Extractor]
    options: Mapping[str, Any]
    weights: Weights
    device: Callable[[], AbstractContextManager[str]]
    workers: int = 0
    time_limit_sec: float = TIME_LIMIT_SEC

    @property
    def ahead(self) -> int:
        """How many videos may be read, or being read, and not yet scored."""
        return 2 * self.workers + 1


@dataclass(frozen=True)
class Row:
    """A computed row: what the extractor said of a video, or why it could not, and what it cost."""

    video: Video
    values: dict[str, Any] | UnusableError
    cost: dict[str, Any]

    @property
    def lasting(self) -> bool:
        """Whether the row is the video's own, not of a process that died or ran out of time."""
        return not isinstance(self.values, LostTaskError)


def compute(task: Task, videos: Sequence[Video], keep: Callable[[Row], None]) -> None:
    """Compute the row of every video and give it to ``keep`` as soon as it is there, in any order.

    Raises :class:`UserError` for options or weights that do not fit.
    """
    with ExitStack() as stack:
        pool: WorkerPool[Video, Any] | None = None
        if task.workers and (_in_halves(task.kind) or _weightless(task)):
            count = min(task.workers, len(videos))
            # Before the model is built, which takes seconds: the workers start meanwhile.
            pool = stack.enter_context(WorkerPool(count, task.kind.__module__, task.time_limit_sec))
        device = "cpu" if _weightless(task) else stack.enter_context(task.device())
        model = _halves(task, device)
        if pool:
            reading = pool.run(model.reader.prepare, videos, task.ahead)
        else:
            reading = run_in_process(model.reader.prepare, videos)
        _score(model, reading, Device(device), keep)


def _score(
    model: Pipelined, reading: Iterable[_VideoRead], device: Device, keep: Callable[[Row], None]
) -> None:
    waiting: deque[_VideoRead] = deque()
    shares = Shares()

    def cost(read: _VideoRead, seconds: float) -> dict[str, Any]:
        elsewhere = read.pid != os.getpid()
        peak = read.peak_mb + (peak_memory_mb() if elsewhere else 0.0)
        on_device = device.peak_mb()
        return {
            "prepare_sec": round(read.seconds, 3),
            "device_sec": round(seconds, 3),
            "peak_memory_mb": round(peak, 1),
            "peak_device_mb": None if on_device is None else round(on_device, 1),
            "device": device.name,
        }

    def readable() -> Iterator[Any]:
        for read in reading:
            if isinstance(read.value, UnusableError):
                if isinstance(read.value, LostTaskError) and read.value.trace:
                    log.warning("%s: not read\n%s", read.task.sample_id, read.value.trace)
                keep(Row(read.task, read.value, cost(read, 0.0)))
                continue
            waiting.append(replace(read, value=None))  # the scorer alone holds the pictures
            yield read.value

    for values, seconds in shares.given(model.score(shares.taken(readable()))):
        read = waiting.popleft()
        keep(Row(read.task, values, cost(read, seconds)))
    if waiting:
        raise RuntimeError(f"{type(model).__name__}.score left out {len(waiting)} videos")


def _in_halves(kind: type[Extractor]) -> bool:
    return hasattr(kind, "score")


def _weightless(task: Task) -> bool:
    """Whether an extractor needs no device: it is in one piece and has no weights."""
    return not _in_halves(task.kind) and task.weights.kind == weights.NONE


def _halves(task: Task, device: str) -> Pipelined:
    """The extractor in two halves, whatever it is made of."""
    if _weightless(task):
        return cast(Pipelined, _Whole(_WholeReader(task.kind, dict(task.options), task.weights)))
    model = task.kind(task.options, task.weights, device)
    return cast(Pipelined, model if _in_halves(task.kind) else _Here(model))


@dataclass
class _WholeReader:
    """Runs an extractor without weights: where the video is read it is scored."""

    kind: type[Extractor]
    options: dict[str, Any]
    weights: Weights
    made: list[Extractor] = field(default_factory=list)

    def prepare(self, video: Video) -> Any:
        if not self.made:
            self.made.append(self.kind(self.options, self.weights, "cpu"))
        return self.made[0].extract(video)


@dataclass
class _Whole:
    reader: Reader

    def score(self, prepared: Iterable[Any]) -> Iterator[dict[str, Any] | UnusableError]:
        yield from prepared


class _Here:
    """Runs an extractor in one piece that has a model: all of it in this process."""

    def __init__(self, model: Extractor) -> None:
        self.model, self.reader = model, self

    def prepare(self, video: Video) -> Any:
        return video

    def score(self, prepared: Iterable[Any]) -> Iterator[dict[str, Any] | UnusableError]:
        for video in prepared:
            try:
                yield self.model.extract(video)
            except UnusableError as error:
                yield error
