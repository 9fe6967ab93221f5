"""The Transformer layer, of one sequence or from one to another (Vaswani et al., NeurIPS 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class AttentionLayer(nn.Module):
    """Attention, then a feed-forward network (ReLU), each added to its input and normalised after.

    In the original's order, which is torch's default. If a sequence attends to itself, this is a
    Transformer encoder layer; if it attends to another modality, it is one direction of UGVQ's
    symmetric cross-attention.
    """

    def __init__(self, width: int, heads: int, feedforward: int, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is no multiple of {heads} heads")
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.first, self.second = nn.Linear(width, feedforward), nn.Linear(feedforward, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.drop1, self.drop2, self.drop3 = (nn.Dropout(dropout) for _ in range(3))

    def forward(self, query: Tensor, other: Tensor) -> Tensor:
        """(n, a, width) attending to (n, b, width) -> (n, a, width)."""
        attended, _ = self.attention(query, other, other, need_weights=False)
        x = self.norm1(query + self.drop1(attended))
        inner = self.drop2(torch.relu(self.first(x)))
        normalised: Tensor = self.norm2(x + self.drop3(self.second(inner)))
        return normalised
