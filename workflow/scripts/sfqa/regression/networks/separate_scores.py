"""Networks whose parts each have a score and a loss of their own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sfqa.regression.losses import Loss


def join_scores(scores: Sequence[Tensor]) -> Tensor:
    """Return several scores (rows, dims) side by side, (rows, scores x dims).

    A network returns them in training mode, for :func:`average_losses` or :func:`sum_losses`.
    """
    return torch.cat(list(scores), dim=-1)


def average_losses(loss: Loss) -> Loss:
    """Return a loss of joined scores: the mean of the loss of each of them.

    Parts that share no parameters are then trained independently, with another scale of the
    loss.

    >>> from sfqa.regression.losses import mae
    >>> target, known = torch.zeros(2, 1), torch.ones(2, 1, dtype=torch.bool)
    >>> float(average_losses(mae)(torch.tensor([[1.0, 3.0], [1.0, 3.0]]), target, known))
    2.0
    """

    def compute_mean(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        return _compute_losses(loss, prediction, target, mask).mean()

    return compute_mean


def sum_losses(loss: Loss) -> Loss:
    """Return a loss of joined scores: the sum of the loss of each of them, as DOVER's branches.

    >>> from sfqa.regression.losses import mae
    >>> target, known = torch.zeros(2, 1), torch.ones(2, 1, dtype=torch.bool)
    >>> float(sum_losses(mae)(torch.tensor([[1.0, 3.0], [1.0, 3.0]]), target, known))
    4.0
    """

    def compute_sum(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        return _compute_losses(loss, prediction, target, mask).sum()

    return compute_sum


def _compute_losses(loss: Loss, prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    scores = prediction.split(target.shape[1], dim=1)
    return torch.stack([loss(score, target, mask) for score in scores])
