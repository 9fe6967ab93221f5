"""One process of a generator, from start to end: its group, time limit, log and environment."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sfqa import media
from sfqa.device import device_order

#: What is taken from the caller's environment would point the generator at our own Python.
_OURS = re.compile(r"VIRTUAL_ENV|PYTHONPATH|PYTHONHOME|PYTHONSTARTUP|_?CONDA|_CE_|MAMBA_|PIXI_")
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
_TAIL_BYTES = 65536
_TAIL_LINES = 3
_TAIL_CHARS = 300
_POLL_SEC = 0.05
_PR_SET_PDEATHSIG = 1

# Is told the group, then waits for one more byte. Where the job died instead, the whole group goes:
# the kernel's own signal (PR_SET_PDEATHSIG) reaches the first process alone.
_GUARD = """
import os, sys
group = sys.stdin.readline()
if group and not sys.stdin.read(1):
    os.killpg(int(group), 9)
"""

#: The newest result of each item, its size and its time; None where one is missing.
Results = Callable[[], object]


@dataclass(frozen=True)
class Patience:
    """Seconds: for a result after its process, from the polite signal to the hard, to settle."""

    late_sec: float = 10.0
    grace_sec: float = 5.0
    settle_sec: float = 0.2


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code (below 0: by that signal), and whether it took too long.

    >>> Ended(-9).sentence
    'it was ended by SIGKILL'
    """

    code: int
    timed_out: bool = False

    @property
    def sentence(self) -> str:
        """The end in words."""
        if self.code >= 0:
            return f"it ended with exit code {self.code}"
        try:
            return f"it was ended by {signal.Signals(-self.code).name}"
        except ValueError:
            return f"it was ended by signal {-self.code}"


def run(
    argv: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    log: Path,
    limit_sec: float,
    results: Results,
    patience: Patience,
) -> Ended:
    """Run a command to its end, its output appended to ``log``; nothing of it is left running.

    The command has a process group of its own, which dies with the caller, however that dies.
    After exit code 0, children still in the group are waited for, until the group is empty or the
    results stand still for ``late_sec``, and then up to ``late_sec`` for results that are missing
    or still grow. Raises ``OSError`` where the command cannot start.
    """
    deadline = time.monotonic() + limit_sec
    with _guard() as told:
        with open(log, "ab") as out:
            process = subprocess.Popen(
                list(argv),
                cwd=cwd,
                env={**env, "PWD": str(cwd)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_tied_to(os.getpid()),
            )
        try:
            told(process.pid)
            try:
                code = process.wait(limit_sec)
            except subprocess.TimeoutExpired:
                _end(process, patience.grace_sec)
                found = process.poll()  # None: stuck in a driver, not even SIGKILL ends it
                return Ended(-signal.SIGKILL if found is None else found, timed_out=True)
            if code != 0:
                return Ended(code)
            if not _group_ended(process.pid, deadline, results, patience.late_sec):
                return Ended(code, timed_out=True)
            _settle(results, patience)
            return Ended(code)
        finally:
            _end(process, patience.grace_sec)


def environment(
    python: Path, tools: Path, temporary: Path, device: str | None, extra: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of a generator: ours without Python and conda, its own put first.

    ``tools`` is an empty folder that gets a link named ffmpeg where the PATH has none. ``extra``
    wins over all.
    """
    env = {k: v for k, v in os.environ.items() if not _OURS.match(k)}
    paths = [str(python.parent), *filter(None, env.get("PATH", os.defpath).split(os.pathsep))]
    if shutil.which("ffmpeg", path=os.pathsep.join(paths)) is None:
        (tools / "ffmpeg").symlink_to(Path(media.ffmpeg_exe()).absolute())
        paths.append(str(tools))
    env |= {
        "PATH": os.pathsep.join(paths),
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(temporary),
        **_OFFLINE,
    }
    if device is not None:
        env |= {**device_order(), "CUDA_VISIBLE_DEVICES": device}
    return {**env, **extra}


def tail(log: Path, start: int) -> str:
    """Return the last lines that a log got after byte ``start``, as one line of text.

    >>> import tempfile; log = Path(tempfile.mkdtemp()) / "a.log"
    >>> _ = log.write_text("old\\n10 %\\r20 %\\n\\x1b[31mstopped\\x1b[0m\\n\\n"); tail(log, 4)
    '10 % | 20 % | stopped'
    """
    text = whole_tail(log, start)
    lines = [" ".join(line.split()) for line in re.split(r"[\r\n]+", text)]
    short = " | ".join([line for line in lines if line][-_TAIL_LINES:])
    return short if len(short) <= _TAIL_CHARS else "..." + short[3 - _TAIL_CHARS :]


def whole_tail(log: Path, start: int) -> str:
    """Return the last 64 KiB that a log got after byte ``start``, without colours."""
    try:
        with open(log, "rb") as handle:
            handle.seek(max(start, handle.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = handle.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    return "".join(c for c in text if c.isprintable() or c in "\r\n\t ")


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end the block as an interrupt does, so that what it started is ended too."""
    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _tied_to(parent: int) -> Callable[[], None] | None:
    """What a child does between fork and exec, so that it ends when its parent does (Linux)."""
    try:
        prctl = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return None

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return tie


@contextlib.contextmanager
def _guard() -> Iterator[Callable[[int], None]]:
    """Have a small process end the group that it is told, where this one dies inside the block."""
    guard = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _GUARD],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert guard.stdin is not None
    pipe = guard.stdin

    def told(group: int) -> None:
        with contextlib.suppress(BrokenPipeError):
            pipe.write(b"%d\n" % group)
            pipe.flush()

    try:
        yield told
    finally:
        with contextlib.suppress(BrokenPipeError):
            guard.communicate(b".")


def _group_ended(group: int, deadline: float, results: Results, late_sec: float) -> bool:
    """Wait for what the first process left running; False where the time limit came first."""
    before, since = results(), time.monotonic()
    while _alive(group):
        found, now = results(), time.monotonic()
        if found != before:
            before, since = found, now
        if found is not None and now - since >= late_sec:
            return True  # a helper that never ends (a server, a pool) must not cost the whole limit
        if now > deadline:
            return False
        time.sleep(_POLL_SEC)
    return True


def _settle(results: Results, patience: Patience) -> None:
    """Wait until all results are there and stand still, ``late_sec`` at most."""
    start = time.monotonic()
    before, since = results(), start
    while time.monotonic() - start < patience.late_sec:
        time.sleep(_POLL_SEC)
        found, now = results(), time.monotonic()
        if found != before:
            before, since = found, now
        if found is not None and now - since >= patience.settle_sec:
            return


def _end(process: subprocess.Popen[bytes], grace_sec: float) -> None:
    """End a process and its group: asked first, then killed."""
    group = process.pid
    for number, wait_sec in ((signal.SIGTERM, grace_sec), (signal.SIGKILL, 1.0)):
        process.poll()
        if not _alive(group):
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
        until = time.monotonic() + wait_sec
        while time.monotonic() < until:
            process.poll()
            if not _alive(group):
                return
            time.sleep(_POLL_SEC)


def _alive(group: int) -> bool:
    """Whether a group has a process that still runs."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    proc = Path("/proc")
    if not (proc / "self" / "stat").exists():
        return True
    # In a container nobody may reap orphans: they stay in their group, but run no more.
    for folder in proc.iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError, IndexError):
                state, _, number = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
                if int(number) == group and state not in "ZX":
                    return True
    return False
