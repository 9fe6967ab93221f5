"""In which processes the fits of a head are trained: this one, several side by side, or groups.

A worker process maps the features from files and trains the same numbers as this process.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from sfqa import store
from sfqa.errors import UserError
from sfqa.job import STOPS
from sfqa.regression.problems import Features, Matrix, Problem, get_blocks
from sfqa.training.checkpoints import read_checkpoint
from sfqa.training.precision import use_one_thread
from sfqa.training.processes import call_in_processes, count_processes_to_start
from sfqa.workers import LostTaskError, WorkerPool

LOG = logging.getLogger("sfqa")


class NamedHead(Protocol):
    """A head that a worker process loads by its name."""

    @property
    def name(self) -> str:
        """The name of its file."""


class TrainableFit(Protocol):
    """What is needed of a fit (:class:`sfqa.regression.network_fits.NetworkFit`)."""

    @property
    def head(self) -> NamedHead:
        """The head whose network is trained."""

    @property
    def options(self) -> Mapping[str, Any]:
        """The options of the head."""

    @property
    def device(self) -> str:
        """The device that trains: 'cpu' or 'cuda:0'."""

    def train(self, x: Features, problem: Problem, path: Path, name: str) -> str:
        """Train the network of a problem, store it in ``path``, and return '' or a reason."""


#: Limits of a worker process: 20 days and no bound of the address space, since features are mapped.
_WORKER_SEC, _WORKER_BYTES = 20 * 86400.0, 2**46

#: Number, problem, file and name of a fit.
_Task = tuple[int, Problem, Path, str]


def train_tasks(
    fit: TrainableFit, x: Features, tasks: Sequence[_Task], work: Path
) -> Iterator[tuple[int, str]]:
    """Train the network of each task, and yield its number and '' or the reason of a failure.

    With the option ``processes`` each network is trained by a group of processes, one network after
    the other. Else a GPU trains them one after the other, and a CPU as many at a time as there are
    threads. Raises :class:`UserError` if a process is ended from outside.
    """
    group = count_processes_to_start(int(fit.options.get("processes", 1)), fit.device)
    side_by_side = min(torch.get_num_threads() if fit.device == "cpu" else 1, len(tasks))
    if group > 1:
        yield from _train_in_groups(fit, x, tasks, group, work)
    elif side_by_side > 1:
        yield from _train_side_by_side(fit, x, tasks, side_by_side, work)
    else:
        yield from _train_in_turn(fit, x, tasks)


def _train_in_turn(
    fit: TrainableFit, x: Features, tasks: Sequence[_Task]
) -> Iterator[tuple[int, str]]:
    with use_one_thread(fit.device):
        for number, problem, path, name in tasks:
            yield number, fit.train(x, problem, path, name)


@dataclass(frozen=True)
class _WorkerTask:
    """A fit for a worker process, which maps the features from files."""

    head: str
    options: Mapping[str, Any]
    features: Mapping[str, Path]
    is_mapping: bool
    task: _Task


def _list_worker_tasks(
    fit: TrainableFit, x: Features, tasks: Sequence[_Task], work: Path
) -> list[_WorkerTask]:
    features = {role: _store_block(block, work, role) for role, block in get_blocks(x).items()}
    return [
        _WorkerTask(fit.head.name, fit.options, features, isinstance(x, Mapping), task)
        for task in tasks
    ]


def _train_in_groups(
    fit: TrainableFit, x: Features, tasks: Sequence[_Task], processes: int, work: Path
) -> Iterator[tuple[int, str]]:
    """Train one network after the other, each by a group of processes."""
    for worker_task in _list_worker_tasks(fit, x, tasks, work):
        number, problem, path, name = worker_task.task
        LOG.info("%s: %d processes train together", problem.label, processes)
        try:
            call_in_processes(_train_in_group, worker_task, processes, fit.device, work)
        except UserError as error:
            raise UserError(f"{problem.label}: {error}") from error
        stored = read_checkpoint(path, name)
        assert stored is not None
        yield number, stored["reason"]


def _train_side_by_side(
    fit: TrainableFit, x: Features, tasks: Sequence[_Task], processes: int, work: Path
) -> Iterator[tuple[int, str]]:
    worker_tasks = _list_worker_tasks(fit, x, tasks, work)
    pool: WorkerPool[_WorkerTask, str] = WorkerPool(
        processes, "sfqa.regression.network_head", _WORKER_SEC, _WORKER_BYTES
    )
    with pool:
        for result in pool.run(_train_in_worker, worker_tasks, ahead=processes):
            number, problem, _, _ = result.task.task
            if isinstance(result.value, LostTaskError) and result.value.trace:
                raise RuntimeError(f"{problem.label}: the training failed\n{result.value.trace}")
            if not isinstance(result.value, str):
                raise UserError(
                    f"{problem.label}: the process that trained a network was ended from outside, "
                    "often for lack of memory; run again (it resumes), with fewer threads"
                )
            yield number, result.value


def _train_in_worker(worker_task: _WorkerTask) -> str:
    # The job decides when to stop; its end ends this process, which loses a few seconds.
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)
    return _train_in_group(worker_task, "cpu")


def _train_in_group(worker_task: _WorkerTask, device: str) -> str:
    from sfqa.regression import heads

    head = heads.load_head(worker_task.head)
    fit: TrainableFit = head.prepare_fit(worker_task.options, device)  # type: ignore[union-attr]
    blocks = {role: _map_block(path) for role, path in worker_task.features.items()}
    _, problem, path, name = worker_task.task
    return fit.train(blocks if worker_task.is_mapping else blocks["x"], problem, path, name)


def _map_block(path: Path) -> Matrix:
    block: Matrix = np.load(path, mmap_mode="c")  # torch warns of arrays that it may not write to
    return block


def _store_block(block: Matrix, work: Path, role: str) -> Path:
    """Return the file of a block, which is written unless the block is mapped from one already."""
    if isinstance(block, np.memmap) and block.filename is not None and block.flags.c_contiguous:
        path = Path(block.filename)
        if _map_block(path).shape == block.shape:  # not a part of the file
            return path
    path = work / f"features-{role}.npy"
    with store.replacing(path) as temporary, open(temporary, "wb") as file:
        np.save(file, block)
    return path
