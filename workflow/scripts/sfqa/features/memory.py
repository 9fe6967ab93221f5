"""Keep freed memory in the process, so that the next pass of a network reuses it."""

from __future__ import annotations

import ctypes
import sys

# <malloc.h>: the parameters of mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_KEEP = {_M_ARENA_MAX: 1, _M_TRIM_THRESHOLD: 2**31 - 1, _M_MMAP_THRESHOLD: 2**30}


def keep_freed() -> None:
    """Make this process keep the memory that its threads free from now on; needs glibc.

    A pass of a network on a CPU allocates hundreds of megabytes and frees them. By default glibc
    returns them to the kernel, which clears every page again for the next pass; this took 8 % of
    SlowFast's processor time on two threads. The peak of a job with one extractor stays the same
    (1.5 GB for SlowFast). A process that does many things would keep the peak of each, so only job
    scripts call this function.

    >>> keep_freed()
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in _KEEP.items():
            mallopt(parameter, value)
