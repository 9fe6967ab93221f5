"""The map of VALOR and VAST from a tower into the alignment space."""

from __future__ import annotations

from torch import Tensor, nn

#: Channels of the alignment space.
CHANNELS = 512


class ContrastiveHead(nn.Module):
    """A linear map without bias into the alignment space, named as in the official checkpoints."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, CHANNELS, bias=False)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return vectors (.., 512)."""
        projected: Tensor = self.linear(vectors)
        return projected
