"""What a row cost: seconds, memory and device, kept with the row (:data:`sfqa.tables.COSTS`)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from sfqa.device import get_processor_name
from sfqa.features.batches import is_gpu

T = TypeVar("T")
_MB = 1 << 20


class Shares:
    """Share out the time that scoring takes among the videos that are being scored.

    Put between reading and scoring: :meth:`taken` wraps what the scorer pulls, :meth:`given` what
    it yields, in the same order. Time spent waiting for the former counts for none.
    """

    def __init__(self) -> None:
        self._open: list[float] = []
        self._last = time.monotonic()

    def taken(self, items: Iterable[T]) -> Iterator[T]:
        """Yield the items; each is being scored from then on."""
        source = iter(items)
        while True:
            self._share()
            try:
                item = next(source)
            except StopIteration:
                self._last = time.monotonic()
                return
            self._last = time.monotonic()
            self._open.append(0.0)
            yield item

    def given(self, rows: Iterable[T]) -> Iterator[tuple[T, float]]:
        """Yield the rows, each with its seconds of scoring."""
        self._last = time.monotonic()
        for row in rows:
            self._share()
            yield row, self._open.pop(0)
            self._last = time.monotonic()

    def _share(self) -> None:
        spent = time.monotonic() - self._last
        self._open = [seconds + spent / len(self._open) for seconds in self._open]


class Device:
    """Name and peak memory of what scores.

    >>> Device("cpu").peak_mb() is None
    True
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.name = f"cpu: {get_processor_name()}"
        if is_gpu(device):
            import torch

            self.name = torch.cuda.get_device_name(device)

    def peak_mb(self) -> float | None:
        """Return the GPU memory's peak since the last call in MiB, None without a GPU."""
        if not is_gpu(self.device):
            return None
        import torch

        peak = torch.cuda.max_memory_allocated(self.device) / _MB
        torch.cuda.reset_peak_memory_stats(self.device)
        return peak
