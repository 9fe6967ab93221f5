"""A command whose descendants all end with it, run by :mod:`sfqa.repositories.supervisor`."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_POLL_SEC = 0.05
#: Seconds in which the supervisor ends after it was told to; it kills for two.
_END_SEC = 4.0


class SupervisedCommand:
    """A command in a session and process group of its own, with its output appended to a file.

    ``pid`` is its process and its group. Processes that leave the group, or whose parent has
    exited, become children of the supervisor (on Linux; elsewhere only the group is ended). All of
    them are killed when this process dies. ``log_bytes`` and ``part_bytes``: see
    :class:`sfqa.repositories.supervisor.BoundedLog`. Raises ``OSError`` if the command cannot
    start.
    """

    def __init__(
        self,
        argv: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        log: Path,
        log_bytes: int,
        part_bytes: int,
    ) -> None:
        self._code: int | None = None
        self._is_lost = False
        self._lines = b""
        self._supervisor = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_SUPERVISOR)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,  # select knows nothing of what a buffer holds
            start_new_session=True,
        )
        assert self._supervisor.stdin is not None
        assert self._supervisor.stdout is not None
        self._input, self._status = self._supervisor.stdin, self._supervisor.stdout
        task = {
            "argv": list(argv), "cwd": str(cwd), "env": dict(env), "log": str(log.absolute()),
            "log_bytes": log_bytes, "part_bytes": part_bytes,
        }  # fmt: skip
        text = json.dumps(task).encode() + b"\n"
        with suppress(BrokenPipeError):
            while text:
                text = text[os.write(self._input.fileno(), text) :]
        word, _, number = self._status.readline().decode().partition(" ")
        self.pid = int(number) if word == "started" else 0
        if word != "started":
            self.end(0)
            error = int(number or 0)
            raise OSError(error, os.strerror(error), argv[0])

    def poll(self) -> int | None:
        """Return the exit code of the command, None while it runs; below 0: by that signal."""
        return self.wait(0)

    def wait(self, seconds: float) -> int | None:
        """Return the exit code as soon as the command has ended, None after ``seconds``."""
        deadline = time.monotonic() + seconds
        while self._code is None:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._status], [], [], left)[0]:
                break
            part = os.read(self._status.fileno(), 4096)
            self._lines += part
            if self._lines.startswith(b"ended ") and self._lines.endswith(b"\n"):
                self._code = int(self._lines.split()[1])
            elif not part:  # the supervisor was killed, and with it the command by the kernel
                self._code, self._is_lost = -signal.SIGKILL, True
        return self._code

    def is_running(self) -> bool:
        """Return whether the command or any process that it started runs; zombies do not."""
        with suppress(psutil.Error):
            descendants = psutil.Process(self._supervisor.pid).children(recursive=True)
            return any(_is_alive(process) for process in descendants)
        return False

    def end(self, grace_sec: float) -> None:
        """End all processes: SIGTERM to the group, ``grace_sec`` seconds later SIGKILL to all."""
        if grace_sec and self.is_running():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGTERM)
            deadline = time.monotonic() + grace_sec
            while time.monotonic() < deadline:
                self.wait(_POLL_SEC)
                if not self.is_running():
                    break
                if self._code is not None:
                    time.sleep(_POLL_SEC)
        if self._is_lost:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        with suppress(BrokenPipeError):
            self._input.close()
        self.wait(_END_SEC)
        with suppress(subprocess.TimeoutExpired):
            self._supervisor.wait(_END_SEC)
        if self._supervisor.poll() is None:
            self._supervisor.kill()
            self._supervisor.wait()
        self._status.close()


def _is_alive(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    return False
