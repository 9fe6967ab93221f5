"""Runs one command and ends every process that it started, also those that left its group.

A program of its own, which imports nothing of the package: ``python -I -S supervisor.py``. The
first line of its standard input is a JSON object: ``argv``, ``cwd``, ``env``, ``log`` (path of a
file to which the output is appended), ``log_bytes`` and ``part_bytes`` (see :class:`BoundedLog`).
On its standard output it writes ``started PID`` or ``failed ERRNO``, then ``ended CODE`` (below 0:
by that signal). When its standard input is closed, by its parent or because the parent died, it
kills all descendants of the command and exits.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
#: Signals that end the supervisor by default; the command gets their usual handling.
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
#: Seconds in which killed processes have ended, unless a driver holds them.
_KILL_SEC = 2.0
_POLL_SEC = 0.005
#: Bytes that are read from the command at a time, and reads that empty its pipe.
_READ_BYTES, _DRAIN_PARTS = 1 << 16, 64
#: Seconds between two writes of the end of a long output.
_FLUSH_SEC = 0.2
_LEFT_OUT = b"\n[the middle of a long output is left out here]\n"


def main() -> None:
    """Run the command of the standard input's first line."""
    task = json.loads(_read_line())
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    prctl = _find_prctl()
    if prctl is not None:
        prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    supervisor = os.getpid()

    def prepare_child() -> None:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != supervisor:
            os._exit(1)

    log = BoundedLog(task["log"], task["log_bytes"], task["part_bytes"])
    output_read, output_write = os.pipe()
    os.set_blocking(output_read, False)
    try:
        process = subprocess.Popen(
            task["argv"],
            cwd=task["cwd"],
            env=task["env"],
            stdin=subprocess.DEVNULL,
            stdout=output_write,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=prepare_child,
        )
    except OSError as error:
        _report(f"failed {error.errno or 0}")
        return
    _report(f"started {process.pid}")
    os.close(output_write)
    sources = [0, wake_read, output_read]
    while True:
        ready, _, _ = select.select(sources, [], [], None if log.is_flushed else _FLUSH_SEC)
        if output_read in ready and not log.copy_from(output_read, 1):
            sources.remove(output_read)
        log.flush_if_due()
        if wake_read in ready:
            os.read(wake_read, 4096)
            codes = _reap_children()
            if process.pid in codes:
                log.copy_from(output_read, _DRAIN_PARTS)
                log.flush()
                _report(f"ended {codes[process.pid]}")
        if 0 in ready and not os.read(0, 4096):
            _end_descendants(process.pid)
            log.copy_from(output_read, _DRAIN_PARTS)
            log.flush()
            return


class BoundedLog:
    """The end of a file to which the output of a command is appended.

    If the output exceeds ``log_bytes``, its first and its last ``part_bytes`` stay, with a line
    between them that says so. The last ones are written anew a few times a second, so that a
    command that prints without end costs neither disk nor time.
    """

    def __init__(self, path: str, log_bytes: int, part_bytes: int) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        self._start = os.lseek(self._file, 0, os.SEEK_END)
        self._log_bytes, self._part_bytes = log_bytes, part_bytes
        self._size = 0
        self._tail: bytes | None = None  # None: the whole output is in the file
        self._flushed_at = 0.0
        self.is_flushed = True

    def copy_from(self, pipe: int, parts: int) -> bool:
        """Append what a pipe holds, at most ``parts`` reads; False if all writers are gone."""
        for _ in range(parts):
            try:
                data = os.read(pipe, _READ_BYTES)
            except BlockingIOError:
                return True
            if not data:
                return False
            self._append(data)
        return True

    def _append(self, data: bytes) -> None:
        if self._tail is not None:
            self._tail = (self._tail + data)[-self._part_bytes :]
            self.is_flushed = False
            return
        with contextlib.suppress(OSError):  # a full disk: the command goes on
            os.write(self._file, data)
        self._size += len(data)
        if self._size > self._log_bytes:
            end = os.lseek(self._file, 0, os.SEEK_END)
            self._tail = os.pread(self._file, self._part_bytes, max(0, end - self._part_bytes))
            self.flush()

    def flush_if_due(self) -> None:
        """Write the last part if that was not done in the last fraction of a second."""
        if time.monotonic() - self._flushed_at >= _FLUSH_SEC:
            self.flush()

    def flush(self) -> None:
        """Write the last part of a long output after the first one."""
        self._flushed_at = time.monotonic()
        if self._tail is not None:
            text = _LEFT_OUT + self._tail
            place = self._start + self._part_bytes
            with contextlib.suppress(OSError):
                os.pwrite(self._file, text, place)
                os.ftruncate(self._file, place + len(text))
        self.is_flushed = True


def _read_line() -> bytes:
    """Return the first line of the standard input, and nothing that follows it."""
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(0, 1 << 16)
        if not part:
            sys.exit(1)
        line += part
    return line


def _report(text: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(1, f"{text}\n".encode())


def _find_prctl() -> ctypes._NamedFuncPointer | None:
    """Return the kernel's call for orphans and for the death of a parent; Linux only."""
    if sys.platform != "linux":
        return None
    with contextlib.suppress(OSError, AttributeError):
        return ctypes.CDLL(None).prctl
    return None


def _reap_children() -> dict[int, int]:
    """Collect the children that have ended; return the exit code of each."""
    codes = {}
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            codes[ended[0]] = os.waitstatus_to_exitcode(ended[1])
    return codes


def _end_descendants(command: int) -> None:
    """Kill the command's group, then the children until there are none.

    The children of a killed process become children of this one, if the kernel can do that.
    """
    deadline = time.monotonic() + _KILL_SEC
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(command, signal.SIGKILL)
    while time.monotonic() < deadline:
        _reap_children()
        children = _list_children()
        if not children:
            return
        for pid in children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_POLL_SEC)


def _list_children() -> list[int]:
    """Return the processes whose parent is this one; [] where there is no /proc."""
    parent, children = os.getpid(), []
    with contextlib.suppress(OSError):
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
                if int(fields[1]) == parent:
                    children.append(int(folder.name))
    return children


if __name__ == "__main__":
    main()
