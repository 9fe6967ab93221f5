"""Processes that tests start."""

from __future__ import annotations

import psutil


def is_running(pid: int) -> bool:
    """Dead processes may be zombies: in a container perhaps nobody reaps those of a dead job."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
