"""Run a function over tasks in worker processes, each task within a time and a memory limit.

A worker is a fresh interpreter that runs :func:`serve_tasks`. It is not a child of
``multiprocessing``, which would run the job's script again in it. Tasks and results are sent by
:mod:`sfqa.messages`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sfqa import processes
from sfqa.errors import UnusableError, UserError
from sfqa.messages import make_socket_pair, receive_value, send_value

Task = TypeVar("Task")
Result = TypeVar("Result")

#: Address space of a worker and of each process that it starts. A sound 8k video needs 2 GiB; one
#: whose header claims a thousand million frames makes a decoder ask for 30 and more.
MEMORY_BYTES = 16 * 2**30
#: Seconds in which a worker must have started: it only imports, but perhaps from a slow disk.
_START_SEC = 300.0
#: Tasks that one worker holds: one is running and one waits, so that the worker is never idle.
_TASKS_PER_WORKER = 2
_START_CODE = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from sfqa.workers import serve_tasks; "
    "serve_tasks(int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))"
)
#: There are many workers, so each computes on one thread, and none uses a GPU.
_WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1", "NUMBA_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
    "MALLOC_ARENA_MAX": "4",  # without it each thread reserves address space for an arena
}  # fmt: skip

# Each task of this project is a video, and these sentences stand in tables.
_TIMED_OUT = "timed_out: reading the video took longer than {seconds:g} s"
_WORKER_DIED = "decoder_died: the process that read the video ended ({ending})"


class LostTaskError(UnusableError):
    """A task without a result for a reason that may not be its own, so that it is tried again.

    ``trace`` is the traceback if the function raised an unexpected error.
    """

    trace = ""


@dataclass(frozen=True)
class TaskResult(Generic[Task, Result]):
    """What the function returned for a task, or the error that says why there is no result.

    ``seconds`` is the running time, ``peak_mb`` the peak memory of the process ``pid`` in MiB.
    """

    task: Task
    value: Result | UnusableError
    seconds: float
    peak_mb: float
    pid: int


def run_in_process(
    function: Callable[[Task], Result], tasks: Sequence[Task]
) -> Iterator[TaskResult[Task, Result]]:
    """Run the tasks in this process, in order, each when the iterator is asked for it.

    Nothing limits their time or memory. Raises as :meth:`WorkerPool.run`.
    """
    for task in tasks:
        yield _run_task(function, task)


def _run_task(function: Callable[[Task], Result], task: Task) -> TaskResult[Task, Result]:
    started = time.monotonic()
    processes.restart_peak_memory()
    value: Result | UnusableError
    try:
        value = function(task)
    except UnusableError as error:
        value = error
    except UserError:
        raise
    except Exception as error:
        first_line = (str(error).splitlines() or [""])[0][:200]
        value = LostTaskError(f"unexpected: {type(error).__name__} {first_line}".rstrip())
        value.trace = traceback.format_exc()
    seconds, peak_mb = time.monotonic() - started, processes.peak_memory_mb()
    return TaskResult(task, value, seconds, peak_mb, os.getpid())


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    link: socket.socket
    started: float
    ready: bool = False
    tasks: deque[int] = field(default_factory=deque)  # indices; the worker runs the first one
    running_since: float | None = None  # when it began to run the first task

    def end(self) -> None:
        """Kill the worker and what it started, and leave no zombie."""
        processes.end_process_group(self.process)
        self.process.wait()
        self.link.close()


class WorkerPool(Generic[Task, Result]):
    """Worker processes that run a function over tasks; they end with the block and with this job.

    ``count`` workers start at once and import the module ``preload``, so that the job can build a
    model meanwhile. A task that ends its worker, or runs longer than ``time_limit_sec``, is lost,
    and its worker is replaced. A task that asks for more than ``memory_bytes`` gets an error.
    """

    def __init__(
        self, count: int, preload: str, time_limit_sec: float, memory_bytes: int = MEMORY_BYTES
    ) -> None:
        self.count, self.preload, self.time_limit_sec = count, preload, time_limit_sec
        self.memory_bytes = memory_bytes
        self._results: deque[TaskResult[Task, Result]] = deque()
        self._workers: list[_Worker] = []
        for _ in range(count):
            self._workers.append(self._start_worker())

    def __enter__(self) -> WorkerPool[Task, Result]:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.end()
        self._workers = []

    def run(
        self, function: Callable[[Task], Result], tasks: Sequence[Task], ahead: int
    ) -> Iterator[TaskResult[Task, Result]]:
        """Yield the results of ``function``, which must be picklable, in order of completion.

        At most ``ahead`` tasks are running, or finished and not yet taken, at any time: that
        bounds the memory. Raises :class:`UserError` if the function does, and ``RuntimeError`` if
        a worker cannot start.
        """
        self._function, self._tasks = function, tasks
        self._waiting = deque(range(len(tasks)))
        for worker in self._workers:
            with suppress(ConnectionError):  # it has just died; _receive_results will notice
                send_value(worker.link, function)
        for _ in tasks:
            self._send_tasks(ahead)
            self._receive_results(wait=False)
            while not self._results:
                self._receive_results(wait=True)
                self._send_tasks(ahead)
            yield self._results.popleft()

    def _send_tasks(self, ahead: int) -> None:
        held = len(self._results) + sum(len(worker.tasks) for worker in self._workers)
        while self._waiting and held < ahead:
            worker = min(self._workers, key=lambda worker: len(worker.tasks))
            if len(worker.tasks) >= _TASKS_PER_WORKER:
                break
            index = self._waiting.popleft()
            worker.tasks.append(index)
            with suppress(ConnectionError):  # it has just died; its tasks come back
                send_value(worker.link, self._tasks[index])
            held += 1

    def _receive_results(self, wait: bool) -> None:
        """Receive what the workers sent; replace those that died or ran out of time.

        ``wait``: wait until a worker sends something, dies or runs out of time.
        """
        poll = select.poll()
        for worker in self._workers:
            poll.register(worker.link, select.POLLIN)
        deadlines = [d for w in self._workers if (d := self._find_deadline(w)) is not None]
        timeout_sec = None if wait else 0.0
        if wait and deadlines:
            timeout_sec = max(0.0, min(deadlines) - time.monotonic()) + 0.001
        readable = {fd for fd, _ in poll.poll(None if timeout_sec is None else 1000 * timeout_sec)}
        for worker in list(self._workers):
            if worker.link.fileno() in readable and not self._read_messages(worker):
                self._replace_dead(worker)
                continue
            deadline = self._find_deadline(worker)
            if deadline is not None and time.monotonic() >= deadline:
                self._replace_late(worker)

    def _find_deadline(self, worker: _Worker) -> float | None:
        if not worker.ready:
            return worker.started + max(self.time_limit_sec, _START_SEC)
        if worker.running_since is None:
            return None
        return worker.running_since + self.time_limit_sec

    def _read_messages(self, worker: _Worker) -> bool:
        """Read all that a worker has sent; return False if the worker has ended."""
        while True:
            try:
                message, content = receive_value(worker.link)
            except BlockingIOError:
                return True
            except ConnectionResetError:
                continue  # it died with a task unread; what it sent before comes first
            except EOFError:
                return False
            if message == "ready":
                worker.ready = True
            elif message == "running":
                worker.running_since = content
            elif message == "result":
                worker.running_since = None
                task = self._tasks[worker.tasks.popleft()]
                self._results.append(TaskResult(task, *content))
            elif message == "user error":
                raise UserError(content)
            else:
                raise RuntimeError(f"a worker process failed:\n{content}")

    def _replace_late(self, worker: _Worker) -> None:
        if not worker.ready:
            raise RuntimeError(f"a worker process did not start within {_START_SEC:.0f} s")
        self._replace(worker, LostTaskError(_TIMED_OUT.format(seconds=self.time_limit_sec)))

    def _replace_dead(self, worker: _Worker) -> None:
        code = worker.process.wait()
        ending = f"exit status {code}" if code >= 0 else signal.Signals(-code).name
        if not worker.ready:
            raise RuntimeError(f"a worker process ended before it could read ({ending})")
        self._replace(worker, LostTaskError(_WORKER_DIED.format(ending=ending)))

    def _replace(self, worker: _Worker, error: LostTaskError) -> None:
        """End a worker: the task that it ran is lost, the others go back to the queue."""
        worker.end()
        if worker.running_since is not None:
            task = self._tasks[worker.tasks.popleft()]
            seconds = time.monotonic() - worker.running_since
            self._results.append(TaskResult(task, error, seconds, 0.0, worker.process.pid))
        self._waiting.extendleft(reversed(worker.tasks))
        self._workers.remove(worker)
        if self._waiting:
            new_worker = self._start_worker()
            send_value(new_worker.link, self._function)
            self._workers.append(new_worker)

    def _start_worker(self) -> _Worker:
        link, worker_link = make_socket_pair()
        link.setblocking(False)
        with worker_link:
            command = [sys.executable, "-P", "-c", _START_CODE, json.dumps(sys.path)]
            process = subprocess.Popen(
                [*command, str(worker_link.fileno()), self.preload, str(self.memory_bytes)],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **_WORKER_ENVIRONMENT},
                pass_fds=(worker_link.fileno(),),
                process_group=0,  # so that an ffmpeg that it started ends with it
            )
        return _Worker(process, link, time.monotonic())


def serve_tasks(handle: int, preload: str, memory_bytes: int) -> None:
    """Be a worker: receive a function, then tasks, and answer each until the job is gone.

    ``handle`` is the file descriptor of the socket to the job.
    """
    # Where the kernel cannot kill it, the closed socket ends this worker after its task.
    processes.follow_parent_death(os.getppid())()
    processes.limit_memory(memory_bytes)
    link = socket.socket(fileno=handle)
    link.set_inheritable(False)
    with suppress(EOFError, ConnectionError):
        try:
            __import__(preload)
            function = receive_value(link)
            send_value(link, ("ready", None))
            while True:
                task = receive_value(link)
                send_value(link, ("running", time.monotonic()))
                result = _run_task(function, task)
                content = (result.value, result.seconds, result.peak_mb, result.pid)
                send_value(link, ("result", content))
        except (EOFError, ConnectionError):
            pass
        except UserError as error:
            send_value(link, ("user error", str(error)))
        except Exception:
            send_value(link, ("failed", traceback.format_exc()))
