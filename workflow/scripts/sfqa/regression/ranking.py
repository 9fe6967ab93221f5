"""Spearman's correlation of many problems at once, on the device, for model selection."""

from __future__ import annotations

import torch
from torch import Tensor

#: What a problem scores where no SRCC is defined: below all that are.
UNDEFINED = -2.0


def ranks(values: Tensor, mask: Tensor) -> Tensor:
    """Return ranks from 1 along the last axis, ties at their mean rank, 0 where not under ``mask``.

    >>> ranks(torch.tensor([[3.0, 1.0, 3.0, 9.0]]), torch.tensor([[True, True, True, False]]))
    tensor([[2.5000, 1.0000, 2.5000, 0.0000]], dtype=torch.float64)
    """
    filled = torch.where(mask, values, torch.inf).contiguous()
    ordered = filled.sort(dim=-1).values
    below = torch.searchsorted(ordered, filled)
    upto = torch.searchsorted(ordered, filled, right=True)
    return torch.where(mask, (below + upto + 1).double() / 2, 0.0)


def srcc(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the SRCC along the last axis of float tensors (..., rows), float64 (...).

    Rows that are not under ``mask`` do not count. -2 where it is undefined: fewer than two rows,
    one side constant, or a prediction that is not finite. Rounded to 12 digits, so that equal
    orders tie exactly.

    >>> known = torch.ones(1, 3, dtype=torch.bool)
    >>> srcc(torch.tensor([[1.0, 2, 3]]), torch.tensor([[1.0, 3, 2]]), known).item()
    0.5
    >>> srcc(torch.ones(1, 3), torch.tensor([[1.0, 3, 2]]), known).item()
    -2.0
    """
    finite = (prediction.isfinite() | ~mask).all(dim=-1)
    count = mask.sum(dim=-1, keepdim=True).clamp(min=1)
    a, b = (torch.where(mask, ranks(v, mask) - (count + 1) / 2, 0.0) for v in (prediction, target))
    scale = ((a**2).sum(dim=-1) * (b**2).sum(dim=-1)).sqrt()
    correlation = (a * b).sum(dim=-1) / scale
    return torch.where(finite & (scale > 0), correlation.round(decimals=12), UNDEFINED)


def mean_srcc(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the mean SRCC over dimensions of (problems, rows, dims), float64 (problems,).

    A dimension with fewer than two known rows does not count; -2 where none is left.
    """
    is_defined = mask.sum(dim=1) >= 2
    srcc_by_dimension = srcc(*(v.transpose(1, 2) for v in (prediction, target, mask)))
    total = torch.where(is_defined, srcc_by_dimension, 0.0).sum(dim=1)
    return torch.where(is_defined.any(dim=1), total / is_defined.sum(dim=1).clamp(min=1), UNDEFINED)
