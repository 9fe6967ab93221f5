"""Run long commands (git, conda) without a shell, with progress in the log and a time limit."""

from __future__ import annotations

import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from sfqa.digests import LOG_EVERY_SEC, Log

_GRACE_SEC = 10.0


def run_command(
    argv: Sequence[str | Path],
    cwd: Path,
    log: Log,
    limit_sec: float,
    env: Mapping[str, str] | None = None,
    name: str = "",
) -> tuple[int | None, list[str]]:
    """Run a command to its end; return its exit code and the last lines of its output.

    The exit code is None if the command was ended at its time limit. At most one line in ten
    seconds is logged, behind ``name`` (default: that of the program). The command belongs to the
    caller's process group, so that an interrupt from the terminal or a scheduler ends both.

    >>> run_command(["echo", "two words; $HOME"], Path.cwd(), print, 10)
    (0, ['two words; $HOME'])
    """
    lines: deque[str] = deque(maxlen=50)
    process = subprocess.Popen(
        [str(part) for part in argv],
        cwd=cwd,
        env=None if env is None else dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,  # universal newlines: git's progress ends its lines with a carriage return
        encoding="utf-8",
        errors="replace",
    )
    name = name or Path(str(argv[0])).name

    def read_output() -> None:
        assert process.stdout is not None
        logged_at = time.monotonic()
        for line in process.stdout:
            if line.strip():
                lines.append(line.strip())
                if time.monotonic() - logged_at > LOG_EVERY_SEC:
                    logged_at = time.monotonic()
                    log(f"{name}: {line.strip()[:200]}")

    reader = threading.Thread(target=read_output, daemon=True)
    reader.start()
    code: int | None
    try:
        code = process.wait(limit_sec)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        _end_process(process)
        reader.join(5)  # a grandchild may hold the pipe open for longer
    if not reader.is_alive() and process.stdout is not None:
        process.stdout.close()
    return code, list(lines)


def get_error_line(lines: Sequence[str], code: int | None, limit_sec: float) -> str:
    """Return the line of a failed command's output that names the error, for a sentence.

    >>> get_error_line(["a", "fatal: no such host"], 128, 10)
    'fatal: no such host'
    >>> get_error_line([], None, 60)
    'not done within 60 s'
    """
    if code is None:
        return f"not done within {limit_sec:.0f} s"
    errors = [line for line in lines if line.startswith(("fatal:", "error:", "ERROR"))]
    return (errors or list(lines) or [f"exit code {code}"])[-1][:300]


def _end_process(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()  # git and conda then end their own children
        try:
            process.wait(_GRACE_SEC)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
