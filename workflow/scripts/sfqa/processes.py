"""Process groups that end as a whole and with their parent; the memory of this process.

psutil lists processes and tells zombies from processes that run. It has no form of what else is
here: the kernel's signal at a parent's death, the peak of the memory since a moment, a limit that
macOS accepts too.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

_POLL_SEC = 0.05
#: Seconds in which the kernel ends a process that was sent SIGKILL, unless a driver holds it.
_KILL_SEC = 1.0
_MB = 1 << 20
_PR_SET_PDEATHSIG = 1


def follow_parent_death(parent: int) -> Callable[[], None]:
    """Return a function that lets the kernel kill the calling process when ``parent`` dies.

    A child calls it, for example as ``preexec_fn``: nothing may be loaded between fork and exec,
    so the C library is loaded here. The kernel's signal exists on Linux only; elsewhere the
    function only ends a child whose parent is dead already.
    """
    prctl = None
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            prctl = ctypes.CDLL(None).prctl

    def follow() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the call above
            os._exit(1)

    return follow


def is_group_running(group: int) -> bool:
    """Return whether a process group has a process that is no zombie.

    In a container perhaps nobody reaps orphans: they stay in their group after their end.
    """
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return any(_is_running_member(pid, group) for pid in psutil.pids())


def _is_running_member(pid: int, group: int) -> bool:
    try:
        if os.getpgid(pid) != group:
            return False
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except (ProcessLookupError, PermissionError, psutil.Error):
        return False


def end_process_group(process: subprocess.Popen[bytes], grace_sec: float = 0.0) -> None:
    """End a process and all of its group, whose number is that of the process.

    The group gets SIGTERM and ``grace_sec`` seconds to end (0: no SIGTERM), then SIGKILL and one
    second. The process is reaped once it has ended.
    """
    for number, wait_sec in ((signal.SIGTERM, grace_sec), (signal.SIGKILL, _KILL_SEC)):
        process.poll()
        if not is_group_running(process.pid):
            return
        if not wait_sec:
            continue
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        deadline = time.monotonic() + wait_sec
        with suppress(subprocess.TimeoutExpired):
            process.wait(wait_sec)
        while is_group_running(process.pid) and time.monotonic() < deadline:
            time.sleep(_POLL_SEC)


def limit_memory(limit_bytes: int) -> None:
    """Limit the address space of this process, and of each process that it starts.

    An administrator's lower limit stays. Does nothing on macOS, which has no such limit.
    """
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    lowest = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (lowest, hard))


def restart_peak_memory() -> None:
    """Let :func:`peak_memory_mb` count from now. Linux only; elsewhere it counts from the start."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb() -> float:
    """Return the peak resident memory of this process in MiB.

    >>> 1 < peak_memory_mb() < 1e6
    True
    """
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (_MB if sys.platform == "darwin" else 1024)
