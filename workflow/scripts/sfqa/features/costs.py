"""What a row cost: seconds, memory and device, kept with the row (:data:`sfqa.tables.COSTS`)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from sfqa.device import get_processor_name
from sfqa.features.batches import CPU_KIND, GPU_KIND, get_device_kind, is_gpu

T = TypeVar("T")
_MB = 1 << 20
_CPU_NAME = "cpu: "


class ScoringTimes:
    """Divides the time that scoring takes among the videos that are in the scorer.

    :meth:`time_inputs` wraps the items that the scorer takes, :meth:`time_outputs` the rows that it
    yields, in the same order. Time spent waiting for an item is not counted.
    """

    def __init__(self) -> None:
        self._seconds: list[float] = []  # of each item in the scorer, oldest first
        self._last = time.monotonic()

    def time_inputs(self, items: Iterable[T]) -> Iterator[T]:
        """Yield the items; each is in the scorer from then on."""
        source = iter(items)
        while True:
            self._divide_time()
            try:
                item = next(source)
            except StopIteration:
                self._last = time.monotonic()
                return
            self._last = time.monotonic()
            self._seconds.append(0.0)
            yield item

    def time_outputs(self, rows: Iterable[T]) -> Iterator[tuple[T, float]]:
        """Yield the rows, each with its seconds of scoring."""
        self._last = time.monotonic()
        for row in rows:
            self._divide_time()
            yield row, self._seconds.pop(0)
            self._last = time.monotonic()

    def _divide_time(self) -> None:
        elapsed = time.monotonic() - self._last
        self._seconds = [seconds + elapsed / len(self._seconds) for seconds in self._seconds]


def read_device_kind(cost: Mapping[str, Any]) -> str:
    """Return the kind of device that computed a row, '' if it was never computed.

    Rows of earlier versions have only the device's name, which tells the kind.

    >>> read_device_kind({"device": "cpu: AMD EPYC"}), read_device_kind({"device": "Tesla T4"})
    ('cpu', 'gpu')
    """
    if "device_kind" in cost:
        return str(cost["device_kind"])
    if "device" not in cost:
        return ""
    return CPU_KIND if str(cost["device"]).startswith(_CPU_NAME) else GPU_KIND


class DeviceMeter:
    """Kind, name and peak memory of the device that scores.

    >>> DeviceMeter("cpu").read_peak_mb() is None
    True
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.kind = get_device_kind(device)
        self.name = f"{_CPU_NAME}{get_processor_name()}"
        if is_gpu(device):
            import torch

            self.name = torch.cuda.get_device_name(device)

    def read_peak_mb(self) -> float | None:
        """Return the GPU memory's peak since the last call in MiB, None without a GPU."""
        if not is_gpu(self.device):
            return None
        import torch

        peak = torch.cuda.max_memory_allocated(self.device) / _MB
        torch.cuda.reset_peak_memory_stats(self.device)
        return peak
