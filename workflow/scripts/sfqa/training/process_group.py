"""What processes that train one network together exchange, by ``torch.distributed``.

Without a group of processes each function returns what a single process needs. Small numbers are
exchanged on the CPU, so a group has the backend gloo beside that of its GPUs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed, nn

from sfqa.errors import is_out_of_memory
from sfqa.job import defer_stop, raise_stopped, read_deferred_stop

#: Types of the scores of a network.
_DTYPES = (torch.float32, torch.float64)
#: Numbers that are sent at a time (64 MiB in float32): a message has a cost of its own.
_BUCKET_NUMBERS = 2**24


def count_processes() -> int:
    """Return the number of processes that train together (``torch.distributed``), 1 by default."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def get_process_number() -> int:
    """Return the number of this process in its group, counted from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def is_first_process() -> bool:
    """Return whether this process writes the files of its group: checkpoints, curves, results."""
    return get_process_number() == 0


def find_maximum(value: int) -> int:
    """Return the largest value of all processes."""
    if count_processes() == 1:
        return value
    largest = torch.tensor(value)
    distributed.all_reduce(largest, distributed.ReduceOp.MAX)
    return int(largest)


def select_part(rows: Tensor) -> Tensor:
    """Return the rows that this process computes; it may have none.

    >>> select_part(torch.arange(3))
    tensor([0, 1, 2])
    """
    return rows.tensor_split(count_processes())[get_process_number()]


def gather_scores(local: Tensor | None, device: str) -> tuple[int, Tensor]:
    """Return where this process's scores begin in those of all processes, and the latter.

    ``local`` is (rows, columns), in the order of :func:`select_part`; None if this process has no
    rows.
    """
    if count_processes() == 1:
        assert local is not None
        return 0, local
    shape = torch.zeros(3, dtype=torch.int64)  # rows, columns, number of the type
    if local is not None:
        shape = torch.tensor([*local.shape, _DTYPES.index(local.dtype)])
    shapes = [torch.zeros_like(shape) for _ in range(count_processes())]
    distributed.all_gather(shapes, shape)
    sizes = [int(size) for size, *_ in shapes]
    # Gathered tensors have one shape, so each is padded to the longest.
    longest, columns, dtype = (int(size) for size in torch.stack(shapes).amax(dim=0))
    padded = torch.zeros((longest, columns), device=device, dtype=_DTYPES[dtype])
    if local is not None:
        padded[: len(local)] = local
    gathered = [torch.zeros_like(padded) for _ in sizes]
    distributed.all_gather(gathered, padded)
    scores = torch.cat([part[:size] for part, size in zip(gathered, sizes, strict=True)])
    return sum(sizes[: get_process_number()]), scores


def sum_gradients(network: nn.Module) -> None:
    """Sum the gradients over all processes, so that each takes the same step.

    A parameter that no process has reached keeps no gradient, as with one process: with one of
    zeros an optimizer would still let its weights decay.
    """
    if count_processes() == 1:
        return
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    is_reached = torch.tensor([parameter.grad is not None for parameter in parameters]).int()
    distributed.all_reduce(is_reached, distributed.ReduceOp.MAX)
    gradients = []
    for parameter in (p for p, reached in zip(parameters, is_reached, strict=True) if reached):
        if parameter.grad is None:  # no row of this process reached it
            parameter.grad = torch.zeros_like(parameter)
        gradients.append(parameter.grad)
    for bucket in _split_into_buckets(gradients):
        numbers = torch.cat([gradient.flatten() for gradient in bucket])
        distributed.all_reduce(numbers)
        parts = numbers.split([gradient.numel() for gradient in bucket])
        for gradient, part in zip(bucket, parts, strict=True):
            gradient.copy_(part.view_as(gradient))


def _split_into_buckets(gradients: list[Tensor]) -> Iterator[list[Tensor]]:
    """Yield gradients that are sent together: as many as hold few numbers, or a single one."""
    bucket: list[Tensor] = []
    for gradient in gradients:
        if bucket and sum(part.numel() for part in [*bucket, gradient]) > _BUCKET_NUMBERS:
            yield bucket
            bucket = []
        bucket.append(gradient)
    if bucket:
        yield bucket


@contextmanager
def share_memory_errors() -> Iterator[None]:
    """Raise an error of memory in all processes if one has it in the block.

    The others would wait for its numbers. Any other error is raised in its process alone.
    """
    if count_processes() == 1:
        yield
        return
    is_short = False
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        is_short = True
    if find_maximum(is_short):
        raise torch.OutOfMemoryError("a process of the group ran out of memory")


@contextmanager
def defer_stop_in_group() -> Iterator[None]:
    """Defer a stop in a block that calls :func:`stop_together`; a single process defers none."""
    if count_processes() == 1:
        yield
        return
    with defer_stop():
        yield


def stop_together() -> None:
    """Raise :class:`~sfqa.job.Stopped` in all processes if one of them was asked to stop.

    All have taken the same number of steps then. Without a group it does nothing.
    """
    if count_processes() > 1 and (number := find_maximum(read_deferred_stop())):
        raise_stopped(number)
