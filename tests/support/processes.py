"""Processes that tests start."""

from __future__ import annotations

import psutil


def is_running(pid: int) -> bool:
    """Dead processes may be zombies: in a container perhaps nobody reaps those of a dead job."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def raise_in_second(kind: str, device: str) -> None:
    """Raise in the second process of a group; the first one waits for it."""
    from torch import distributed

    from sfqa.errors import UserError

    if distributed.get_rank() == 1:
        raise UserError("a sentence") if kind == "user" else ZeroDivisionError(kind)
    distributed.barrier()
