"""ConvNeXt-3D tiny, the aesthetic branch of DOVER, in the names of the official checkpoint.

ConvNeXt (CVPR 2022) with convolutions over time: a stem of 2x4x4 pixels, then four stages of blocks
whose depthwise convolution sees 1, 3, 1, 1, 3, 1, ... frames. No library has it.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

DEPTHS, WIDTHS = (3, 3, 9, 3), (96, 192, 384, 768)
#: Few blocks, for trials and not for results.
REDUCED_DEPTHS = (1, 2, 1, 1)
_EPSILON = 1e-6
#: Frames that the depthwise convolution of a block sees; each stage begins anew.
_FRAMES = (1, 3, 1)


class ConvNeXt3d(nn.Module):
    """Returns the normalised map (clip, 768, time / 2, height / 32, width / 32)."""

    def __init__(self, depths: tuple[int, ...] = DEPTHS, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        stem = nn.Sequential(nn.Conv3d(3, widths[0], (2, 4, 4), (2, 4, 4)), _ChannelNorm(widths[0]))
        reductions = [
            nn.Sequential(_ChannelNorm(narrow), nn.Conv3d(narrow, wide, (1, 2, 2), (1, 2, 2)))
            for narrow, wide in pairwise(widths)
        ]
        self.downsample_layers = nn.ModuleList([stem, *reductions])
        self.stages = nn.ModuleList(
            nn.Sequential(*(_Block(width, _FRAMES[n % len(_FRAMES)]) for n in range(depth)))
            for width, depth in zip(widths, depths, strict=True)
        )
        self.norm = nn.LayerNorm(widths[-1], _EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """Return the map of clips (clip, 3, time, height, width)."""
        for reduce_size, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(reduce_size(x))
        normalised: Tensor = self.norm(x.movedim(1, -1)).movedim(-1, 1)
        return normalised


class _ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of (clip, channel, time, height, width)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, _EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class _Block(nn.Module):
    """Depthwise convolution, normalisation and two linear layers, added to the input."""

    def __init__(self, channels: int, frames: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv3d(
            channels, channels, (frames, 7, 7), padding=(frames // 2, 3, 3), groups=channels
        )
        self.norm = nn.LayerNorm(channels, _EPSILON)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)
        self.gamma = nn.Parameter(torch.full((channels,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm(self.dwconv(x).movedim(1, -1))
        inner = self.pwconv2(functional.gelu(self.pwconv1(inner)))
        return x + (self.gamma * inner).movedim(-1, 1)
