"""How a training chooses its best epoch: by the mean SRCC on validation rows."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from sfqa.arrays import Floats

#: SRCC of predictions for which it is not defined: below all others.
UNDEFINED = -2.0


def compute_mean_srcc(prediction: Tensor, target: Tensor, mask: Tensor) -> float:
    """Return the mean SRCC over dimensions of (rows, dims), of the rated rows of each.

    A dimension with fewer than two rated rows does not count; -2 if none is left. A dimension
    whose predictions or targets are constant counts as -2. Rounded to 12 digits, so that equal
    orders tie exactly.

    >>> import torch
    >>> rated = torch.tensor([[True], [True], [True]])
    >>> compute_mean_srcc(torch.tensor([[1.0], [2], [3]]), torch.tensor([[1.0], [3], [2]]), rated)
    0.5
    """
    scores, mos, rated = (v.cpu().numpy() for v in (prediction.double(), target.double(), mask))
    values = []
    for column in range(mask.shape[1]):
        rows = rated[:, column]
        if rows.sum() >= 2:
            a, b = (_rank_from_mean(v[rows, column]) for v in (scores, mos))
            scale = float(np.sqrt((a @ a) * (b @ b)))
            values.append(round(float(a @ b) / scale, 12) if scale > 0 else UNDEFINED)
    return sum(values) / len(values) if values else UNDEFINED


def _rank_from_mean(values: Floats) -> Floats:
    """Return ranks, ties at their mean rank, minus the mean of all ranks.

    scipy's ``rankdata`` gives the same; importing it takes longer than a short training.
    """
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    centred: Floats = ranks[index] - (len(values) + 1) / 2
    return centred
