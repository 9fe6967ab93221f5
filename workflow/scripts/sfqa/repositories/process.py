"""One process of a program, from start to end: its group, time limit, log and environment."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from sfqa import media
from sfqa.gpu_names import Gpu, make_device_variables
from sfqa.repositories.supervised import SupervisedCommand

#: Variables of the caller that a program needs: folders, language, libraries, GPUs, threads, the
#: grant of the scheduler.
_NEEDED = re.compile(
    r"SFQA_\w+|PATH|HOME|USER|LOGNAME|SHELL|TERM|LANG|LANGUAGE|LC_\w+|TZ|HOSTNAME|COLUMNS"
    r"|(DY)?LD_(FALLBACK_)?LIBRARY_PATH|XDG_CACHE_HOME|FONTCONFIG_\w+|MPLCONFIGDIR"
    r"|HF_HOME|HF_HUB_CACHE|HUGGINGFACE_HUB_CACHE|TRANSFORMERS_CACHE|TORCH_HOME|TORCH_EXTENSIONS_DIR"
    r"|(CUDA|CUDNN|CUBLAS|NVIDIA|NCCL|ROCR|HIP|HSA|GPU|OMP|GOMP|KMP|MKL|OPENBLAS|NUMEXPR|VECLIB"
    r"|PYTORCH|TRITON|TF|XLA)_\w+"
    r"|SLURM_(JOB_?ID|JOB_NAME|JOB_GPUS|CPUS_PER_TASK|CPUS_ON_NODE|GPUS_ON_NODE|STEP_GPUS"
    r"|MEM_PER_NODE|NODEID|PROCID|LOCALID|TMPDIR)"
)
#: Words in the names of variables that hold secrets.
_SECRET = re.compile(r"TOKEN|KEY|SECRET|PASSW|CREDENTIAL|AUTH|JWT", re.IGNORECASE)
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
_TAIL_BYTES = 65536
_TAIL_LINES = 3
_TAIL_CHARS = 300
_POLL_SEC = 0.05
#: Size of the output of a process above which its middle is left out of the log, and how much of
#: its start and of its end stays.
LOG_BYTES, _LOG_PART_BYTES = 4 << 20, 1 << 20

#: Lists the newest result of each item with its size and time; None if one is missing.
ListResults = Callable[[], object]


@dataclass(frozen=True)
class Timeouts:
    """Timeouts in seconds.

    ``late_sec``: how long to wait for an output file after the process exits. ``grace_sec``: delay
    between SIGTERM and SIGKILL. ``settle_sec``: how long a file must stop growing.
    """

    late_sec: float = 10.0
    grace_sec: float = 5.0
    settle_sec: float = 0.2


@dataclass(frozen=True)
class ProcessEnd:
    """How a process ended: its exit code (below 0: by that signal), and whether it took too long.

    >>> ProcessEnd(-9).describe()
    'it was ended by SIGKILL'
    """

    code: int
    timed_out: bool = False

    def describe(self) -> str:
        """Return the end as a sentence."""
        if self.code >= 0:
            return f"it ended with exit code {self.code}"
        try:
            return f"it was ended by {signal.Signals(-self.code).name}"
        except ValueError:
            return f"it was ended by signal {-self.code}"


def run_command(
    argv: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    log: Path,
    limit_sec: float,
    list_results: ListResults,
    timeouts: Timeouts,
) -> ProcessEnd:
    """Run a command to its end, append its output to ``log`` and leave no process running.

    It is stopped after ``limit_sec``. The rest is as for :func:`watch_command`.
    """
    deadline = time.monotonic() + limit_sec
    steps = watch_command(argv, cwd, env, log, lambda: deadline, list_results, timeouts)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return cast(ProcessEnd, stop.value)


def watch_command(
    argv: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    log: Path,
    get_deadline: Callable[[], float],
    list_results: ListResults,
    timeouts: Timeouts,
) -> Generator[None, None, ProcessEnd]:
    """Run a command and yield while it runs, so that the caller can look at its first results.

    The generator returns how the command ended. Closing the generator ends the command. Its output
    is appended to ``log``; the middle of more than 4 MiB is left out. It is stopped at
    ``get_deadline()``, a time of ``time.monotonic`` that may change while it runs. All that the
    command starts is killed when it has ended, and when the caller dies, also what left its process
    group (:class:`sfqa.repositories.supervised.SupervisedCommand`). After exit code 0 it waits for
    other processes until none runs or the results have not changed for ``late_sec``, then up to
    ``late_sec`` for results that are missing or still grow. Raises ``OSError`` if the command
    cannot start.
    """
    log.touch()
    command = SupervisedCommand(
        argv, cwd, {**env, "PWD": str(cwd)}, log, LOG_BYTES, _LOG_PART_BYTES
    )
    try:
        while (code := command.wait(0)) is None:
            if time.monotonic() >= get_deadline():
                command.end(timeouts.grace_sec)
                killed = command.poll()  # None: a driver holds it, not even SIGKILL ends it
                return ProcessEnd(-signal.SIGKILL if killed is None else killed, timed_out=True)
            yield
            command.wait(_POLL_SEC)
        if code != 0:
            return ProcessEnd(code)
        if not _wait_for_others(command, get_deadline(), list_results, timeouts.late_sec):
            return ProcessEnd(code, timed_out=True)
        _wait_for_results(list_results, timeouts)
        return ProcessEnd(code)
    finally:
        command.end(timeouts.grace_sec)


def make_environment(
    python: Path,
    tools: Path,
    temporary: Path,
    gpu: Gpu | None,
    extra: Mapping[str, str],
    passed: Collection[str] = (),
) -> dict[str, str]:
    """Return the environment of a program: what it needs of ours, its own Python first on PATH.

    ``passed`` are further variables of ours that it gets, see :func:`select_variables`. ``gpu`` is
    the only one that it sees. ``tools`` is an empty folder that gets a link named ffmpeg if the
    PATH has none. ``extra`` overrides all other variables.
    """
    env = select_variables(os.environ, passed)
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
    if gpu is not None:
        env |= make_device_variables(gpu)
    return {**env, **extra}


def select_variables(
    environment: Mapping[str, str], passed: Collection[str] = ()
) -> dict[str, str]:
    """Return the variables that a program of others may see, and those in ``passed``.

    Tokens, keys, passwords, agents, proxies and what would make it use our own Python do not pass.

    >>> ours = {"PATH": "/bin", "HF_TOKEN": "x", "CUDA_PATH": "/c", "NVIDIA_API_KEY": "x"}
    >>> select_variables(ours), select_variables(ours, ["HF_TOKEN"])["HF_TOKEN"]
    ({'PATH': '/bin', 'CUDA_PATH': '/c'}, 'x')
    """
    return {
        name: value
        for name, value in environment.items()
        if name in passed or (_NEEDED.fullmatch(name) and not _SECRET.search(name))
    }


def trim_log(log: Path, start: int = 0) -> None:
    """Shorten what was written to a log after byte ``start`` if it is longer than 4 MiB.

    The first and the last MiB stay, with a line between them that says so. A process that appends
    to the log continues at the new end.
    """
    if not log.is_file() or log.stat().st_size - start <= LOG_BYTES:
        return
    with open(log, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(size - _LOG_PART_BYTES)
        ending = file.read()
        file.seek(start + _LOG_PART_BYTES)
        file.write(b"\n[the middle of a long output is left out here]\n" + ending)
        file.truncate()


def read_last_lines(log: Path, start: int) -> str:
    """Return the last lines that were written to a log after byte ``start``, joined into one.

    >>> import tempfile; log = Path(tempfile.mkdtemp()) / "a.log"
    >>> _ = log.write_text("old\\n10 %\\r20 %\\n\\x1b[31mstopped\\x1b[0m\\n\\n")
    >>> read_last_lines(log, 4)
    '10 % | 20 % | stopped'
    """
    text = read_log_end(log, start)
    lines = [" ".join(line.split()) for line in re.split(r"[\r\n]+", text)]
    short = " | ".join([line for line in lines if line][-_TAIL_LINES:])
    return short if len(short) <= _TAIL_CHARS else "..." + short[3 - _TAIL_CHARS :]


def read_log_end(log: Path, start: int) -> str:
    """Return the last 64 KiB that were written to a log after byte ``start``, without colours."""
    try:
        with open(log, "rb") as handle:
            handle.seek(max(start, handle.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = handle.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    return "".join(c for c in text if c.isprintable() or c in "\r\n\t ")


@contextlib.contextmanager
def end_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block as an interrupt does, so that its processes are ended too.

    Does nothing outside the main thread, or if there is a handler already.
    """
    is_main_thread = threading.current_thread() is threading.main_thread()
    if not is_main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _wait_for_others(
    command: SupervisedCommand, deadline: float, list_results: ListResults, late_sec: float
) -> bool:
    """Wait for the processes that the first one left running; False if the time limit passed."""
    last_results, changed_at = list_results(), time.monotonic()
    while command.is_running():
        new_results, now = list_results(), time.monotonic()
        if new_results != last_results:
            last_results, changed_at = new_results, now
        if new_results is not None and now - changed_at >= late_sec:
            return True  # a child that never ends (a server, a pool) must not cost the whole limit
        if now > deadline:
            return False
        time.sleep(_POLL_SEC)
    return True


def _wait_for_results(list_results: ListResults, timeouts: Timeouts) -> None:
    """Wait until all results exist and no longer change, ``late_sec`` at most."""
    start = time.monotonic()
    last_results, changed_at = list_results(), start
    while time.monotonic() - start < timeouts.late_sec:
        time.sleep(_POLL_SEC)
        new_results, now = list_results(), time.monotonic()
        if new_results != last_results:
            last_results, changed_at = new_results, now
        if new_results is not None and now - changed_at >= timeouts.settle_sec:
            return
