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
from torch import Tensor, nn

from sfqa.errors import UserError
from sfqa.training.process_group import count_processes, gather_scores, share_memory_errors
from sfqa.training.random_state import get_random_state, set_random_state

#: (prediction, target, mask), each (rows, dims), to a scalar.
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def freeze_batch_norms(network: nn.Module, reason: str = "") -> None:
    """Set batch norms to evaluation: they use their running statistics and leave them as they are.

    With accumulation a batch norm would otherwise see pieces instead of the batch. The option
    ``piece_rows`` freezes them from the first step on, on every machine alike. Frozen halfway
    through a training, or because of the number of GPUs, they would make it another training:
    ``reason`` says why a batch has to pass in pieces if the option does not ask for it, and
    :class:`UserError` is raised if the network has batch norms that learn.
    """
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            if module.training and reason:
                raise UserError(
                    f"{reason}, and the network has batch norms, which learn from whole batches: "
                    "set piece_rows below batch_rows, which freezes them from the first step, or "
                    "let a batch fit into one GPU (processes: 1, or a smaller batch_rows)"
                )
            module.eval()


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
    :func:`~sfqa.training.process_group.sum_gradients`). ``scale`` is that of a gradient scaler.
    """
    if len(pieces) == 1 and count_processes() == 1:
        value = loss(forward(pieces[0]).to(target.dtype), target, mask)
        scale(value).backward()
        return value.detach()
    states, scores = [], []
    with share_memory_errors(), torch.no_grad():
        for inputs in pieces:
            states.append(get_random_state(device))
            scores.append(forward(inputs).to(target.dtype))
    start, batch = gather_scores(torch.cat(scores) if scores else None, device)
    batch.requires_grad_()
    value = loss(batch, target, mask)
    (gradient,) = torch.autograd.grad(value, batch)
    with share_memory_errors():
        for inputs, state in zip(pieces, states, strict=True):
            set_random_state(state, device)
            piece = forward(inputs).to(target.dtype)
            piece.backward(scale(gradient[start : start + len(piece)]))
            start += len(piece)
    return value.detach()
