"""Long commands (git, conda): no shell, no questions, progress told, a time limit."""

from __future__ import annotations

import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Say = Callable[[str], None]
_QUIET_SEC = 10.0
_GRACE_SEC = 10.0


def run_command(
    argv: Sequence[str | Path],
    cwd: Path,
    say: Say,
    limit_sec: float,
    env: Mapping[str, str] | None = None,
    name: str = "",
) -> tuple[int | None, list[str]]:
    """Run a command to its end and return its exit code (None past the limit) and last lines.

    At most one line in ten seconds goes to ``say``, behind ``name`` (default: that of the program).
    The command shares the caller's process group, so that an interrupt from the terminal or a
    scheduler ends both.

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

    def listen() -> None:
        assert process.stdout is not None
        said = time.monotonic()
        for line in process.stdout:
            if line.strip():
                lines.append(line.strip())
                if time.monotonic() - said > _QUIET_SEC:
                    said = time.monotonic()
                    say(f"{name}: {line.strip()[:200]}")

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    code: int | None
    try:
        code = process.wait(limit_sec)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        _end(process)
        listener.join(5)  # a grandchild may hold the pipe open for longer
    if not listener.is_alive() and process.stdout is not None:
        process.stdout.close()
    return code, list(lines)


def last_line(lines: Sequence[str], code: int | None, limit_sec: float) -> str:
    """Return what a failed command said last, on one line, for a sentence.

    >>> last_line(["a", "fatal: no such host"], 128, 10)
    'fatal: no such host'
    >>> last_line([], None, 60)
    'not done within 60 s'
    """
    if code is None:
        return f"not done within {limit_sec:.0f} s"
    told = [line for line in lines if line.startswith(("fatal:", "error:", "ERROR"))]
    return (told or list(lines) or [f"exit code {code}"])[-1][:300]


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()  # git and conda end their own children then
        try:
            process.wait(_GRACE_SEC)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
