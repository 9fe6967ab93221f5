"""Multi-head attention and the Transformer layer around it (Vaswani et al., NeurIPS 2017).

Written out, since the fused kernels of ``torch.nn.TransformerEncoderLayer`` have no batching rule
for ``vmap``. With the same weights the numbers are the same.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head attention: (n, a, width) to (n, b, width) -> (n, a, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is no multiple of {heads} heads")
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        for part in (self.query, self.key, self.value):
            nn.init.xavier_uniform_(part.weight, gain=1 / math.sqrt(2))
        for part in (self.query, self.key, self.value, self.out):
            nn.init.zeros_(part.bias)

    def forward(self, query: Tensor, other: Tensor) -> Tensor:
        """Attend from ``query`` to ``other``, from which keys and values are computed."""
        q, k, v = (
            part(x).unflatten(-1, (self.heads, -1)).transpose(-2, -3)
            for part, x in ((self.query, query), (self.key, other), (self.value, other))
        )
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        mixed = torch.softmax(scores, dim=-1) @ v
        return self.out(mixed.transpose(-2, -3).flatten(-2))


class AttentionLayer(nn.Module):
    """Attention, then a feed-forward network (ReLU), each added to its input and normalised after.

    In the original's order, which is torch's default. If a sequence attends to itself, this is a
    Transformer encoder layer; if it attends to another modality, it is one direction of UGVQ's
    symmetric cross-attention.
    """

    def __init__(self, width: int, heads: int, feedforward: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.first, self.second = nn.Linear(width, feedforward), nn.Linear(feedforward, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.drop1, self.drop2, self.drop3 = (nn.Dropout(dropout) for _ in range(3))

    def forward(self, query: Tensor, other: Tensor) -> Tensor:
        """(n, a, width) attending to (n, b, width) -> (n, a, width)."""
        x = self.norm1(query + self.drop1(self.attention(query, other)))
        inner = self.drop2(torch.relu(self.first(x)))
        return self.norm2(x + self.drop3(self.second(inner)))
