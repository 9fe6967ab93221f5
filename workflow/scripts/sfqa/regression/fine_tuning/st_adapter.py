"""ST-Adapter: what a video adds to the frames of an image encoder, with few parameters."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Frames, rows and columns that the depthwise convolution sees, as in ST-Adapter's code.
KERNEL = (3, 1, 1)


class StAdapter(nn.Module):
    """r + f(DW3D(r W_down)) W_up of AIGC-VQA (eq. 5), f being a GELU.

    Tokens of frames (rows, frames, tokens, width) stay in their shape; the first one, the class
    token, is left as it is, and the others are a square. W_up begins at 0, so that first the
    encoder's output passes unchanged. Source: Pan et al., ST-Adapter (NeurIPS 2022).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = width // 2
        self.down, self.up = nn.Linear(width, inner), nn.Linear(inner, width)
        self.convolution = nn.Conv3d(inner, inner, KERNEL, padding="same", groups=inner)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the tokens with what neighbouring frames add."""
        first, places = tokens[:, :, :1], tokens[:, :, 1:]
        side = math.isqrt(places.shape[2])
        maps = self.down(places).unflatten(2, (side, side)).permute(0, 4, 1, 2, 3)
        added = functional.gelu(self.convolution(maps)).permute(0, 2, 3, 4, 1).flatten(2, 3)
        return torch.cat([first, places + self.up(added)], dim=2)
