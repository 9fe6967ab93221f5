"""Facts about networks."""

from __future__ import annotations

from torch import nn


def count_parameters(net: nn.Module) -> int:
    """How many numbers a network has."""
    return sum(p.numel() for p in net.parameters())
