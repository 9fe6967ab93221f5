"""Run a network on batches that mix parts of several videos, and move data to the device."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from sfqa.arrays import Floats32
from sfqa.features.pass_sizes import PassReduction, run_in_passes

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
U = TypeVar("U")


@dataclass
class _PendingItem(Generic[T]):
    """An item whose parts are not all computed yet."""

    item: T
    count: int
    rows: list[Floats32] = field(default_factory=list)


@dataclass(frozen=True)
class Batching:
    """How a network runs in batches: their size, and whether a batch mixes parts of several videos.

    Mixed batches are always full; the last one is filled by repeating a part. They all have one
    shape, so the same algorithm computes every row, whatever else is in the batch. Other batches
    hold at most ``size`` parts of one video; this is the default on a CPU, where larger batches are
    not faster.

    On a CPU ``parallel`` batches run at a time, each in one thread: threads do not wait for each
    other, and the results do not depend on their number, as they would if they shared a batch.

    ``reduction``: a batch that does not fit in memory is repeated in halves, and all later ones are
    as small.
    """

    size: int
    mixed: bool
    parallel: int = field(default=1, compare=False)
    reduction: PassReduction = field(default_factory=PassReduction, compare=False)

    @property
    def current_size(self) -> int:
        """The size of the next batch."""
        return self.reduction.get_size(self.size)

    @classmethod
    def choose(cls, batch: int | None, device: str, on_cpu: int, on_gpu: int) -> Batching:
        """Return the batching for the option ``batch``: a number mixes, None depends on the device.

        >>> Batching.choose(None, "cpu", 1, 16) == Batching(1, mixed=False)
        True
        >>> Batching.choose(4, "cpu", 1, 16) == Batching(4, mixed=True)
        True
        """
        import torch

        parallel = 1 if is_gpu(device) else torch.get_num_threads()
        if batch is not None:
            return cls(batch, True, parallel)
        return cls(on_gpu, True) if is_gpu(device) else cls(on_cpu, False, parallel)


#: Kinds of devices, as they are recorded with a row: their numbers differ in the last digits.
CPU_KIND, GPU_KIND = "cpu", "gpu"


def get_device_kind(device: str) -> str:
    """Return 'cpu' or 'gpu'.

    >>> get_device_kind("cuda:0")
    'gpu'
    """
    return GPU_KIND if is_gpu(device) else CPU_KIND


def is_gpu(device: str) -> bool:
    """Return whether a device computes asynchronously to Python.

    >>> is_gpu("cuda:1"), is_gpu("cpu")
    (True, False)
    """
    return device.startswith("cuda")


def run_batched(
    items: Iterable[T],
    parts: Callable[[T], Sequence[U]],
    forward: Callable[[list[U]], torch.Tensor],
    batching: Batching,
) -> Iterator[tuple[T, list[Floats32]]]:
    """Yield every item, in order, with the rows that ``forward`` computes for its parts.

    ``parts`` splits an item; ``forward`` takes a list of parts and returns a tensor with one row
    per part. Items are read only when more parts are needed. On a GPU, the next batch is prepared
    while one is computed.
    """
    pending: deque[_PendingItem[T]] = deque()
    queue: deque[tuple[_PendingItem[T], U]] = deque()
    in_flight: deque[tuple[list[_PendingItem[T]], _Rows | Future[_Rows]]] = deque()

    def compute(batch_parts: list[U]) -> _Rows:
        results: _Rows = []

        def run_pass(first: int, stop: int, pass_size: int) -> None:
            pass_parts = batch_parts[first:stop]
            if batching.mixed:
                pass_parts += pass_parts[-1:] * (pass_size - len(pass_parts))
            results.append((stop - first, _DeviceRows(forward(pass_parts))))

        run_in_passes(batching.size, batching.mixed, batching.reduction, len(batch_parts), run_pass)
        return results

    def submit() -> _Rows | Future[_Rows]:
        batch = [queue.popleft() for _ in range(min(batching.current_size, len(queue)))]
        result = start(lambda: compute([part for _, part in batch]))
        in_flight.append(([entry for entry, _ in batch], result))
        return result

    def collect(allowed: int) -> None:
        while len(in_flight) > allowed or (in_flight and _is_completed(in_flight[0][1])):
            entries, result = in_flight.popleft()
            passes = result.result() if isinstance(result, Future) else result
            rows = [row for count, device_rows in passes for row in device_rows.rows()[:count]]
            for entry, row in zip(entries, rows, strict=True):
                entry.rows.append(row)

    def pop_completed() -> Iterator[tuple[T, list[Floats32]]]:
        while pending and len(pending[0].rows) == pending[0].count:
            entry = pending.popleft()
            yield entry.item, entry.rows

    with _start_workers(batching.parallel) as start:
        for item in items:
            item_parts = parts(item)
            entry = _PendingItem(item, len(item_parts))
            pending.append(entry)
            queue.extend((entry, part) for part in item_parts)
            while len(queue) >= batching.current_size or (queue and not batching.mixed):
                result = submit()
                if isinstance(result, Future):
                    # As many batches wait as run, also of the next item, so no thread is idle.
                    collect(2 * batching.parallel)
                else:
                    collect(1 if result[-1][1].running else 0)
                yield from pop_completed()
            yield from pop_completed()
        while queue:
            submit()
        collect(0)
        yield from pop_completed()


def pair_with_items(
    items: Iterable[T], compute: Callable[[Iterable[T]], Iterable[U]]
) -> Iterator[tuple[T, U]]:
    """Yield every item with its result; ``compute`` yields the results in order, one per item.

    >>> list(pair_with_items([1, 2], lambda numbers: (10 * n for n in numbers)))
    [(1, 10), (2, 20)]
    """
    in_progress: deque[T] = deque()

    def iterate_items() -> Iterator[T]:
        for item in items:
            in_progress.append(item)
            yield item

    for result in compute(iterate_items()):
        yield in_progress.popleft(), result


def _is_completed(result: _Rows | Future[_Rows]) -> bool:
    return isinstance(result, Future) and result.done()


@contextmanager
def _start_workers(count: int) -> Iterator[Callable[[Callable[[], _Rows]], Any]]:
    """Provide a function that starts a pass: immediately, or in one of ``count`` threads."""
    if count == 1:
        yield lambda work: work()
        return
    import torch

    usual = torch.get_num_threads()
    pool = ThreadPoolExecutor(count, "pass", torch.set_num_threads, (1,))
    try:
        yield pool.submit
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(usual)


class _DeviceRows:
    """Rows that are copied from the device; without a GPU they are available immediately."""

    def __init__(self, output: torch.Tensor) -> None:
        import torch

        self.running = output.is_cuda
        if not self.running:
            self.host = output.float()
        else:
            # Copy now, directly after this pass; later the copy would wait for the next pass.
            self.host = torch.empty(output.shape, dtype=torch.float32, pin_memory=True)
            self.host.copy_(output, non_blocking=True)
            # A waiting thread sleeps; by default it spins and takes a core from the readers.
            self.event = torch.cuda.Event(blocking=True)
            self.event.record(torch.cuda.current_stream(output.device))

    def rows(self) -> list[Floats32]:
        if self.running:
            self.event.synchronize()
            return list(self.host.numpy().copy())
        return list(self.host.numpy())


#: The passes of a batch, usually one: how many of its rows count, and the rows.
_Rows = list[tuple[int, _DeviceRows]]


def to_device(pieces: Sequence[npt.NDArray[Any]], device: torch.device | str) -> torch.Tensor:
    """Stack arrays of one shape and type on the device, without conversion (bytes stay bytes).

    Transfers to a GPU use pinned memory and do not wait for the copy.

    >>> to_device([np.zeros((2, 2), np.uint8)] * 3, "cpu").shape
    torch.Size([3, 2, 2])
    """
    import torch

    if not is_gpu(str(device)):
        return torch.from_numpy(np.stack(pieces))
    shape = (len(pieces), *pieces[0].shape)
    dtype = torch.from_numpy(pieces[0][:0]).dtype
    pinned = torch.empty(shape, dtype=dtype, pin_memory=True)
    np.stack(pieces, out=pinned.numpy())
    return pinned.to(device, non_blocking=True)


@contextmanager
def set_precision(precision: str = "fp32") -> Iterator[None]:
    """Let float32 be float32 on a GPU, unless ``precision`` is tf32.

    TensorFloat-32 has a mantissa of 10 bits. Algorithms are not chosen by timing, which would give
    other numbers in the next run. On a CPU nothing changes.
    """
    import torch

    if not torch.cuda.is_available():
        yield
        return
    tf32 = precision == "tf32"
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=tf32
        ):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
