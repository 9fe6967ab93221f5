"""How many rows pass a network at a time: half as many after an error of memory."""

from __future__ import annotations

import logging

import torch

from sfqa import gpu_memory
from sfqa.errors import UserError

LOG = logging.getLogger("sfqa")


def halve_piece_rows(rows: int, device: str) -> int:
    """Return half of the rows that did not fit into the memory, and log it in a sentence.

    Raises :class:`UserError` if it was a single row.
    """
    memory = name_memory(device)
    if rows == 1:
        raise UserError(
            f"one row does not fit into {memory}; use a GPU with more, let fewer jobs share it "
            "(SFQA_JOBS_PER_GPU), train a smaller part of the network or, on a GPU, set precision: "
            "bf16 (docs/gpus.md)"
        )
    LOG.warning("piece_rows %d did not fit into %s: %d from now on", rows, memory, rows // 2)
    return rows // 2


def free_cached_memory() -> None:
    """Give back memory of the GPU that torch holds for later tensors, so that no part is lost."""
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def name_memory(device: str) -> str:
    """Return the memory of a device in words.

    >>> name_memory("cpu")
    'the memory of the machine'
    """
    if not device.startswith("cuda"):
        return "the memory of the machine"
    return f"the memory of the GPU ({gpu_memory.describe_gpu()})"
