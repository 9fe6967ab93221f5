"""UGVQ behind its cached features: everything after the frozen ViT, SlowFast and CLIP text.

Zhang et al., "Benchmarking Multi-dimensional AIGC Video Quality Assessment", arXiv 2407.21408,
sections 5 and 6.1.3. docs/ugvq.md lists what the paper leaves open and how it is read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor, nn

from sfqa.regression.networks.attention import AttentionLayer

ROLES = ("spatial", "temporal", "text")
#: The pairs of eq. 7 and 8, in their order.
PAIRS = (("spatial", "text"), ("spatial", "temporal"), ("temporal", "text"))
TOKENS, POSITIONS = ("sequence", "video"), ("none", "learned")


@dataclass(frozen=True)
class Sizes:
    """The paper's sizes (6.1.3), and a choice for each that it leaves open."""

    width: int = 1024
    layers: int = 8
    heads: int = 2
    feedforward: int = 2048
    fusion_heads: int = 4
    fusion_feedforward: int = 1536
    hidden: int = 9216
    dropout: float = 0.0
    tokens: str = "sequence"
    positions: str = "none"


class Scma(nn.Module):
    """Symmetric cross-modality attention (eq. 6): one to the other and back, concatenated.

    (n, a, width), (n, b, width) -> (n, 2 width), each direction the mean over its own tokens.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        layer_sizes = (
            sizes.width, sizes.fusion_heads, sizes.fusion_feedforward, sizes.dropout
        )  # fmt: skip
        self.there, self.back = AttentionLayer(*layer_sizes), AttentionLayer(*layer_sizes)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """CAT(mean(MHAttention(one, other, other)), mean(MHAttention(other, one, one))).

        Means over tokens, dim -2.
        """
        directions = self.there(one, other).mean(dim=-2), self.back(other, one).mean(dim=-2)
        return torch.cat(directions, dim=-1)


class Ugvq(nn.Module):
    """Spatial (n, frames, d), temporal (n, clips, d) or (n, d), text (n, d) -> (n, dims).

    ``widths`` holds the width of each modality. One that is left out is ablated, with the SCMA
    layers that read it (table 5, columns Spatial, Temporal, Text). ``fusion`` False leaves out all
    SCMA layers (column Fusion). A modality of another width than the model's is projected to it by
    a linear layer.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        dims: int,
        sizes: Sizes = Sizes(),
        frames: int = 8,
        fusion: bool = True,
    ) -> None:
        super().__init__()
        self.sizes, self.roles = sizes, [r for r in ROLES if r in widths]
        width = sizes.width
        self.project = nn.ModuleDict(
            {r: nn.Linear(widths[r], width) for r in self.roles if widths[r] != width}
        )
        self.encoder = nn.ModuleList()
        self.position: nn.Parameter | None = None
        if "spatial" in self.roles:
            layer_sizes = (width, sizes.heads, sizes.feedforward, sizes.dropout)
            self.encoder.extend(AttentionLayer(*layer_sizes) for _ in range(sizes.layers))
            if sizes.positions == "learned":
                self.position = nn.Parameter(0.02 * torch.randn(frames, width))
        pairs = [p for p in PAIRS if fusion and set(p) <= set(self.roles)]
        self.fusion = nn.ModuleDict({f"{a}_{b}": Scma(sizes) for a, b in pairs})
        joined = width * (len(self.roles) + 2 * len(pairs))
        self.regressor = nn.Sequential(
            nn.Linear(joined, sizes.hidden), nn.ReLU(), nn.Dropout(sizes.dropout),
            nn.Linear(sizes.hidden, dims),
        )  # fmt: skip

    def forward(self, x: Mapping[str, Tensor]) -> Tensor:
        """Return the qualities, one column per dimension."""
        return self.regressor(self.compute_features(x))

    def compute_features(self, x: Mapping[str, Tensor]) -> Tensor:
        """Return the unified quality-aware features of eq. 9, (n, 9 width) in the full model."""
        tokens = {role: self._make_tokens(role, x[role]) for role in self.roles}
        singles = [t.mean(dim=-2) for t in tokens.values()]
        fused = []
        for name, layer in self.fusion.items():
            first, second = name.split("_")
            fused.append(layer(tokens[first], tokens[second]))
        return torch.cat([*singles, *fused], dim=-1)

    def _make_tokens(self, role: str, x: Tensor) -> Tensor:
        """A modality as (n, tokens, width); frames pass the Transformer encoder (eq. 3)."""
        if x.dim() == 2:
            x = x.unsqueeze(-2)
        if role in self.project:
            x = self.project[role](x)
        if role == "spatial":
            if self.position is not None:
                x = x + self.position
            for layer in self.encoder:
                x = layer(x, x)
        return x.mean(dim=-2, keepdim=True) if self.sizes.tokens == "video" else x


def ablations() -> list[tuple[tuple[str, ...], bool]]:
    """Return the rows of table 5 in its order: modalities, and whether they are fused.

    >>> ablations()[0], ablations()[-1]
    ((('spatial',), False), (('spatial', 'temporal', 'text'), True))
    """
    pairs = [("spatial", "temporal"), ("spatial", "text"), ("temporal", "text")]
    assert set(pairs) == set(combinations(ROLES, 2))
    rows: list[tuple[str, ...]] = [(r,) for r in ROLES] + [*pairs, ROLES]
    return [(r, False) for r in rows] + [(ROLES, True)]
