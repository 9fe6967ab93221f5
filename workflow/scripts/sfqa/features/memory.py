"""Freed memory stays with the process, so that a network's next pass finds it there."""

from __future__ import annotations

import ctypes
import sys

# <malloc.h>: the parameters of mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_KEEP = {_M_ARENA_MAX: 1, _M_TRIM_THRESHOLD: 2**31 - 1, _M_MMAP_THRESHOLD: 2**30}


def keep_freed() -> None:
    """Let this process keep what it frees from now on, for all threads; no-op without glibc.

    A network's pass on a CPU asks for hundreds of megabytes and frees them. glibc would give them
    back to the kernel, which clears every page anew for the next pass: of SlowFast's processor time
    on two threads that was 8 %. A job of one extractor peaks as before (1.5 GB of SlowFast); a
    process that does many things would hold the most that each took, so a job's script calls this
    and no function of the package does.

    >>> keep_freed()
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in _KEEP.items():
            mallopt(parameter, value)
