"""Passes of a network that hold parts of several videos, and what moves between memories."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Floats = npt.NDArray[np.float32]
T = TypeVar("T")
U = TypeVar("U")


@dataclass
class _Open(Generic[T]):
    """An item whose parts are not all computed."""

    item: T
    count: int
    made: list[Floats] = field(default_factory=list)


@dataclass(frozen=True)
class Passes:
    """How many parts go through a network at once, and whether parts of several videos mix.

    Mixed passes are always full, the last one by repetition: one shape, so that one algorithm
    computes every row, whoever its neighbours are. Passes that do not mix are ``size`` parts of
    one video, the last of them smaller: what a CPU, which gains nothing by more, does by default.

    On a CPU ``beside`` passes are computed at a time, each by one thread: no thread waits for
    another, and the numbers do not depend on how many there are, as they would if the threads
    shared a pass.
    """

    size: int
    mixed: bool
    beside: int = field(default=1, compare=False)

    @classmethod
    def choose(cls, wanted: int | None, device: str, alone: int, on_gpu: int) -> Passes:
        """Return the passes for the option ``batch``: a number mixes, None is up to the device.

        >>> Passes.choose(None, "cpu", 1, 16) == Passes(1, mixed=False)
        True
        >>> Passes.choose(4, "cpu", 1, 16) == Passes(4, mixed=True)
        True
        """
        import torch

        beside = 1 if is_gpu(device) else torch.get_num_threads()
        if wanted is not None:
            return cls(wanted, True, beside)
        return cls(on_gpu, True) if is_gpu(device) else cls(alone, False, beside)


def is_gpu(device: str) -> bool:
    """Say whether work on a device runs beside Python.

    >>> is_gpu("cuda:1"), is_gpu("cpu")
    (True, False)
    """
    return device.startswith("cuda")


def across(
    items: Iterable[T],
    parts: Callable[[T], Sequence[U]],
    forward: Callable[[list[U]], torch.Tensor],
    passes: Passes,
) -> Iterator[tuple[T, list[Floats]]]:
    """Yield every item, in order, with the rows that ``forward`` gives for its parts.

    ``forward`` takes a list of parts and returns a tensor with a row for each. Items are taken
    only when more parts are needed. On a GPU one pass is computed while the next is gathered.
    """
    opened: deque[_Open[T]] = deque()
    waiting: deque[tuple[_Open[T], U]] = deque()
    flying: deque[tuple[list[_Open[T]], _Landing | Future[_Landing]]] = deque()

    def launch() -> _Landing | Future[_Landing]:
        taken = [waiting.popleft() for _ in range(min(passes.size, len(waiting)))]
        given = [part for _, part in taken]
        if passes.mixed:
            given += given[-1:] * (passes.size - len(given))
        made = begin(lambda: _Landing(forward(given)))
        flying.append(([one for one, _ in taken], made))
        return made

    def land(left: int) -> None:
        while len(flying) > left or (flying and _is_done(flying[0][1])):
            owners, landing = flying.popleft()
            landing = landing.result() if isinstance(landing, Future) else landing
            for one, row in zip(owners, landing.rows(), strict=False):
                one.made.append(row)

    def whole() -> Iterator[tuple[T, list[Floats]]]:
        while opened and len(opened[0].made) == opened[0].count:
            one = opened.popleft()
            yield one.item, one.made

    with _side_by_side(passes.beside) as begin:
        for item in items:
            own = parts(item)
            one = _Open(item, len(own))
            opened.append(one)
            waiting.extend((one, part) for part in own)
            while len(waiting) >= passes.size or (waiting and not passes.mixed):
                made = launch()
                if isinstance(made, Future):
                    # As many wait as run, those of the next item too: no thread is ever idle.
                    land(2 * passes.beside)
                else:
                    land(1 if made.running else 0)
                yield from whole()
            yield from whole()
        if waiting:
            launch()
        land(0)
        yield from whole()


def _is_done(made: _Landing | Future[_Landing]) -> bool:
    return isinstance(made, Future) and made.done()


@contextmanager
def _side_by_side(count: int) -> Iterator[Callable[[Callable[[], _Landing]], Any]]:
    """Give what begins a pass: at once, or in one of ``count`` threads that compute alone."""
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


class _Landing:
    """Rows on their way from the device; off a GPU they are there at once."""

    def __init__(self, made: torch.Tensor) -> None:
        import torch

        self.running = made.is_cuda
        if not self.running:
            self.host = made.float()
        else:
            # Asked for now, behind this pass alone: later the copy would wait for the next one.
            self.host = torch.empty(made.shape, dtype=torch.float32, pin_memory=True)
            self.host.copy_(made, non_blocking=True)
            self.event = torch.cuda.Event()
            self.event.record()

    def rows(self) -> list[Floats]:
        if self.running:
            self.event.synchronize()
            return list(self.host.numpy().copy())
        return list(self.host.numpy())


def to_device(pieces: Sequence[npt.NDArray[Any]], device: torch.device | str) -> torch.Tensor:
    """Return pieces of one shape and type stacked on the device, as they are (bytes as bytes).

    To a GPU by way of pinned memory, without waiting for the copy.

    >>> to_device([np.zeros((2, 2), np.uint8)] * 3, "cpu").shape
    torch.Size([3, 2, 2])
    """
    import torch

    if not is_gpu(str(device)):
        return torch.from_numpy(np.stack(pieces))
    shape = (len(pieces), *pieces[0].shape)
    kind = torch.from_numpy(pieces[0][:0]).dtype
    pinned = torch.empty(shape, dtype=kind, pin_memory=True)
    np.stack(pieces, out=pinned.numpy())
    return pinned.to(device, non_blocking=True)


def exact() -> AbstractContextManager[None]:
    """Keep fp32 what it says: no TensorFloat-32 (10 bits), no algorithm chosen by timing."""
    import torch

    if not torch.cuda.is_available():
        return nullcontext()
    return cast(
        AbstractContextManager[None],
        torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        ),
    )
