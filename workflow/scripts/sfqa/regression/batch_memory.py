"""How large the batches of the closed-form heads are."""

from __future__ import annotations

from sfqa import gpu_memory

#: Part of the GPU's memory that a batch may take.
GPU_SHARE = 0.25
_FLOAT64_BYTES = 8


def count_numbers_at_once(device: str, on_cpu: int) -> int:
    """Return how many float64 numbers a batch may hold: ``on_cpu``, or a share of the GPU's memory.

    A job requests the same memory on every machine, so the number on a CPU is fixed. That of a GPU
    depends on its total memory, not on what is free, so that a resumed run has the same batches.

    >>> count_numbers_at_once("cpu", 1000)
    1000
    """
    if not device.startswith("cuda"):
        return on_cpu
    return int(gpu_memory.compute_memory_budget(GPU_SHARE) // _FLOAT64_BYTES)
