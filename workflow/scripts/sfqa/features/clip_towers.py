"""CLIP's vision transformers by open_clip, in the layout of OpenAI's files; positions resampled."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn


def build_clip_tower(width: int, depth: int, patch: int, size: int = 224) -> nn.Module:
    """Return a ViT with QuickGELU: pictures (n, 3, size, size) -> class tokens (n, width).

    The tokens are taken after the last norm; there is no projection. A head has 64 channels.
    """
    from open_clip.transformer import QuickGELU, VisionTransformer

    tower: Any = VisionTransformer(
        size, patch, width, depth, width // 64, 4.0, act_layer=QuickGELU, output_dim=1
    )
    tower.proj = None
    built: nn.Module = tower
    return built


def resample_positions(table: Tensor, count: int) -> Tensor:
    """Return the embeddings (count, channel) of positions of another square grid of patches.

    The first row, of the class token, stays; the others are resampled bilinearly without
    antialiasing, as VALOR and VAST do. A table of ``count`` rows, or one that is no square and a
    class token, is returned as it is.

    >>> resample_positions(torch.zeros(577, 8), 257).shape
    torch.Size([257, 8])
    """
    side, new_side = math.isqrt(max(len(table) - 1, 0)), math.isqrt(count - 1)
    if len(table) == count or side * side != len(table) - 1 or not side:
        return table
    grid = table[1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    resized = nn.functional.interpolate(grid, (new_side, new_side), mode="bilinear")
    rows: Tensor = resized[0].permute(1, 2, 0).flatten(0, 1)
    return torch.cat([table[:1], rows])
