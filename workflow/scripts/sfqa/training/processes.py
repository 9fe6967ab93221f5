"""Start processes of this machine that train one network together, with torchrun's own launcher.

The processes are those of ``torchrun --standalone``: one for each GPU, or on a CPU as many as the
job has threads. They exchange by nccl on GPUs and by gloo on the CPU
(:mod:`sfqa.training.process_group`). A process is a fresh interpreter and no child of
``multiprocessing``, which would run the job's script again in it.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed

from sfqa.errors import UserError, format_count
from sfqa.job import STOPS, JobLogFile, Stopped, raise_on_stop
from sfqa.processes import follow_parent_death

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

LOG = logging.getLogger("sfqa")

_START_CODE = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from sfqa.training.processes import serve_call; serve_call(*sys.argv[2:])"
)
#: The launcher's messages are for its developers: what a user needs is in the error that is raised.
_LAUNCHER_LOGS = ("torch.distributed.elastic", "torch.distributed.launcher", "torch.distributed.nn")
#: The launcher sends SIGKILL to a process that does not end 30 s after the first one failed, so a
#: process that was killed within this time was killed by somebody else.
_KILLED_SEC = 5


def count_processes_to_start(processes: int, device: str) -> int:
    """Return how many processes can train together here, at most the number that is asked for.

    On GPUs one for each that the job has, on a CPU one for each thread. If there are fewer than
    ``processes``, the log says so: the training is the same with any number.
    """
    if processes == 1:
        return 1
    is_gpu = device.startswith("cuda")
    available = torch.cuda.device_count() if is_gpu else torch.get_num_threads()
    count = max(1, min(processes, available))
    if count < processes:
        LOG.info(
            "processes: %d, but this job has %s: %s",
            processes,
            format_count(available, "GPU" if is_gpu else "thread"),
            "one process trains" if count == 1 else f"{count} processes train together",
        )
    return count


def call_in_processes(
    function: Callable[[Any, str], object], argument: Any, count: int, device: str, folder: Path
) -> None:
    """Call ``function(argument, device)`` in ``count`` processes that form a group, and wait.

    ``function`` is one of a module, and the argument picklable. Each process gets the GPU of its
    number, or the CPU with one thread. The first process writes to the job's log. ``folder`` holds
    temporary files. A signal to stop reaches all processes, which end with
    :class:`~sfqa.job.Stopped` and after which it is raised here. Raises :class:`UserError` for one
    that a process raised and for a process that was killed, and ``RuntimeError`` with the traceback
    of any other error. No process outlives this one.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    with TemporaryDirectory(prefix="processes-", dir=folder) as name:
        scratch = Path(name)
        (scratch / "call.pickle").write_bytes(pickle.dumps((function, argument)))
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            run_id=scratch.name,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(str(scratch / "logs")),
        )
        # The job handles SIGTERM, SIGUSR1 and Ctrl-C itself: its exception ends the launcher, which
        # sends SIGTERM to the processes and waits. Earlier versions of torch have no such field.
        config.signals_to_handle = "SIGHUP,SIGQUIT"
        arguments = [json.dumps(sys.path), str(scratch), device, str(os.getpid())]
        log_files = [h.baseFilename for h in LOG.handlers if isinstance(h, logging.FileHandler)]
        try:
            with _keep_signal_handlers(), _silence_launcher():
                launch = elastic_launch(config, sys.executable)
                launch("-P", "-c", _START_CODE, *arguments, *log_files)
        except ChildFailedError as error:
            raise _explain_failure(error.failures, _read_errors(scratch)) from None
        except SignalException as error:
            signal.raise_signal(error.sigval)  # as the job would have handled it
            raise


@contextmanager
def _keep_signal_handlers() -> Iterator[None]:
    """Restore the handlers of signals that the launcher replaces, in the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = ("SIGTERM", "SIGUSR1", "SIGINT", "SIGHUP", "SIGQUIT")
    handlers = {name: signal.getsignal(signal.Signals[name]) for name in names}
    try:
        yield
    finally:
        for name, handler in handlers.items():
            signal.signal(signal.Signals[name], handler)


@contextmanager
def _silence_launcher() -> Iterator[None]:
    loggers = [logging.getLogger(n) for n in logging.root.manager.loggerDict
               if n.startswith(_LAUNCHER_LOGS)]  # fmt: skip
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _read_errors(scratch: Path) -> list[dict[str, Any]]:
    """Return what the processes wrote before they ended with an error, in order of time."""
    errors = [json.loads(path.read_text()) for path in scratch.glob("error-*.json")]
    return sorted(errors, key=lambda error: float(error["time"]))


def _explain_failure(
    failures: Mapping[int, ProcessFailure], errors: list[dict[str, Any]]
) -> BaseException:
    """Return what to raise for processes that failed: the first failure led to the others."""
    first = min(failure.timestamp for failure in failures.values())
    for rank, failure in failures.items():
        # SIGTERM is what the launcher sends to the others.
        was_killed = failure.exitcode < 0 and -failure.exitcode not in STOPS
        if was_killed and failure.timestamp <= first + _KILLED_SEC:
            return UserError(
                f"process {rank + 1} of a group that trained a network was ended from outside "
                f"({signal.Signals(-failure.exitcode).name}), often for lack of memory; run again: "
                "the training resumes from its last checkpoint"
            )
    for error in errors:
        return UserError(error["text"]) if error["is_user"] else RuntimeError(error["text"])
    stops = [n for n in STOPS if any(f.exitcode in (128 + n, -n) for f in failures.values())]
    if stops:
        return Stopped(stops[-1])  # rather the signal that the launcher does not send
    codes = ", ".join(str(failure.exitcode) for failure in failures.values())
    return RuntimeError(f"processes of a group ended with exit status {codes}")


def serve_call(folder: str, device: str, parent: str, *log_files: str) -> None:
    """Be a process of a group: call the function that the job stored in ``folder``."""
    follow_parent_death(int(parent))()
    rank = int(os.environ["RANK"])
    LOG.setLevel(logging.INFO)
    LOG.propagate = False
    LOG.addHandler(logging.NullHandler())
    for path in log_files if rank == 0 else ():
        LOG.addHandler(JobLogFile(path))
    error: dict[str, Any] = {}
    try:
        with raise_on_stop():
            _join_and_call(Path(folder), device)
    except UserError as user_error:
        error = {"is_user": True, "text": str(user_error)}
    except Exception:
        error = {"is_user": False, "text": traceback.format_exc()}
    finally:
        for number in STOPS:  # it ends anyway, with a status that says why
            signal.signal(number, signal.SIG_IGN)
    if error:
        content = json.dumps({**error, "time": time.time()})
        Path(folder, f"error-{rank}.json").write_text(content)
        sys.exit(1)


def _join_and_call(folder: Path, device: str) -> None:
    function, argument = pickle.loads((folder / "call.pickle").read_bytes())
    backend = "gloo"
    if device.startswith("cuda"):
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
        backend = "cpu:gloo,cuda:nccl"
    elif sys.platform == "linux":
        # All processes are on this machine, whatever its name resolves to.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    distributed.init_process_group(backend)
    function(argument, device)
    with suppress(RuntimeError):  # another process may have ended before
        distributed.destroy_process_group()
