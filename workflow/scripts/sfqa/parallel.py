"""Run a function over tasks in forked copies of this process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from sfqa.errors import UserError
from sfqa.processes import follow_parent_death

Task = TypeVar("Task")
Result = TypeVar("Result")

# What a forked process computes. It is inherited, not sent, so functions may be closures and
# tasks may hold large tables.
_inherited: tuple[Callable[[Any], Any], Sequence[Any]] | None = None


def run_forked(
    function: Callable[[Task], Result], tasks: Sequence[Task], processes: int
) -> Iterator[tuple[int, Result]]:
    """Yield the index of each task and its result, in order of completion.

    With one process or one task, and on systems other than Linux, the tasks run in this process, in
    order. Otherwise they run in forked processes, which import nothing again and end with this one;
    results are sent back and so must be picklable. Raises what ``function`` raises, and
    :class:`UserError` if a process is killed, for example for its memory.

    >>> sorted(run_forked(lambda word: word.upper(), ["a", "b"], 2))
    [(0, 'A'), (1, 'B')]
    """
    count = min(processes, len(tasks))
    if count <= 1 or sys.platform != "linux":
        yield from ((index, function(task)) for index, task in enumerate(tasks))
        return
    pool = ProcessPoolExecutor(
        count,
        multiprocessing.get_context("fork"),
        _start_process,
        (function, tasks, follow_parent_death(os.getpid())),
    )
    try:
        indices: dict[Future[Any], int] = {
            pool.submit(_run_inherited, index): index for index in range(len(tasks))
        }
        for future in as_completed(indices):
            yield indices[future], future.result()
    except BrokenProcessPool:
        raise UserError(
            f"one of {count} processes was killed, probably because the memory did not suffice; "
            "run again with fewer cores or more memory"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_process(
    function: Callable[[Any], Any], tasks: Sequence[Any], follow: Callable[[], None]
) -> None:
    global _inherited
    follow()
    # The job's own process saves the work when it is asked to stop.
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    _inherited = (function, tasks)


def _run_inherited(index: int) -> Any:
    assert _inherited is not None
    function, tasks = _inherited
    return function(tasks[index])
