"""Losses of a whole batch whose rows pass the network in pieces, or in several processes.

PLCC and rank losses compare the rows of a batch, so the mean of the losses of its pieces is another
loss. Here all pieces pass the network once without a graph; the loss and its gradient with respect
to all scores are computed on the whole batch; then each piece passes again, with the same dropout,
and takes its part of that gradient back to the parameters. The sum is the gradient of one batch.
Memory holds the graph of one piece; the price is a second forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn

from sfqa.training.random_state import get_random_state, set_random_state

#: (prediction, target, mask), each (rows, dims), to a scalar.
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def freeze_batch_norms(network: nn.Module) -> None:
    """Set batch norms to evaluation: they use their running statistics and leave them as they are.

    With accumulation a batch norm would otherwise see pieces instead of the batch.
    """
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def count_processes() -> int:
    """Return the number of processes that train together (``torch.distributed``), 1 by default."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def backpropagate(
    forward: Callable[[Any], Tensor],
    pieces: Sequence[Any],
    loss: Loss,
    target: Tensor,
    mask: Tensor,
    scale: Callable[[Tensor], Tensor],
    device: str,
) -> Tensor:
    """Add the gradient of the loss of a whole batch to the parameters, and return the loss.

    ``forward`` maps the inputs of a piece to scores (rows, dims). ``target`` and ``mask`` are
    those of the whole batch: of the pieces in order, and with several processes of their rows
    in the order of ranks; each process then adds its part of the gradient (see
    :func:`sum_gradients`). ``scale`` is that of a gradient scaler.
    """
    if len(pieces) == 1 and count_processes() == 1:
        value = loss(forward(pieces[0]).to(target.dtype), target, mask)
        scale(value).backward()
        return value.detach()
    states, scores = [], []
    with torch.no_grad():
        for inputs in pieces:
            states.append(get_random_state(device))
            scores.append(forward(inputs).to(target.dtype))
    local = torch.cat(scores)
    start, batch = _gather_scores(local)
    batch.requires_grad_()
    value = loss(batch, target, mask)
    (gradient,) = torch.autograd.grad(value, batch)
    for inputs, state in zip(pieces, states, strict=True):
        set_random_state(state, device)
        piece = forward(inputs).to(target.dtype)
        piece.backward(scale(gradient[start : start + len(piece)]))
        start += len(piece)
    return value.detach()


def _gather_scores(local: Tensor) -> tuple[int, Tensor]:
    """Return where this process's scores begin in those of all processes, and the latter."""
    if count_processes() == 1:
        return 0, local
    count = torch.tensor([len(local)], device=local.device)
    counts = [torch.zeros_like(count) for _ in range(count_processes())]
    distributed.all_gather(counts, count)
    sizes = [int(size) for size in counts]
    # Gathered tensors have one size, so each is padded to the longest.
    padded = local.new_zeros((max(sizes), local.shape[1]))
    padded[: len(local)] = local
    gathered = [torch.zeros_like(padded) for _ in sizes]
    distributed.all_gather(gathered, padded)
    scores = torch.cat([part[:size] for part, size in zip(gathered, sizes, strict=True)])
    return sum(sizes[: distributed.get_rank()]), scores


def sum_gradients(network: nn.Module) -> None:
    """Sum the gradients over all processes, so that each takes the same step."""
    if count_processes() == 1:
        return
    for parameter in network.parameters():
        if not parameter.requires_grad:  # a frozen one, which no gradient may reach
            continue
        if parameter.grad is None:  # no row of this process reached it
            parameter.grad = torch.zeros_like(parameter)
        distributed.all_reduce(parameter.grad)
