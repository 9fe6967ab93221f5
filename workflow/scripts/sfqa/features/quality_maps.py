"""From clips to the maps of FAST-VQA and DOVER, and from maps to columns and scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sfqa.arrays import AnyArray, Floats32
from sfqa.features import batches
from sfqa.features.half_precision import round_to_float16
from sfqa.media import Pixels

if TYPE_CHECKING:
    import torch

    from sfqa.features.vqa_head_net import VqaHead

#: ImageNet's statistics, as the official code has them: RGB from 0 to 255.
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def compute_maps(
    network: Callable[[torch.Tensor], torch.Tensor],
    clips: Sequence[Pixels],
    device: torch.device,
    precision: str,
) -> torch.Tensor:
    """Return the maps (clip, 768, 16, 7, 7) of clips, uint8 (32, 224, 224, 3) each.

    Clips are moved to the device as bytes and normalised there.
    """
    import torch

    with torch.inference_mode(), batches.set_precision(precision):
        pixels = batches.to_device(clips, device).float()
        mean, std = (torch.tensor(numbers, device=device) for numbers in (MEAN, STD))
        return network(pixels.sub_(mean).div_(std).permute(0, 4, 1, 2, 3).contiguous())


def score_maps(head: VqaHead, maps: Floats32) -> float:
    """Return the official score of maps (clip, 768, ...): the mean over positions and clips.

    The head is that of the network, and is left on the CPU.
    """
    import torch

    with torch.inference_mode():
        return float(head(torch.from_numpy(maps)).double().mean())


def round_maps(maps: Floats32, model: str, keep_maps: bool) -> tuple[AnyArray | None, AnyArray]:
    """Return the maps, or None if they are not kept, and their means (clip, channel), as float16.

    Raises :class:`UnusableError` for numbers that float16 cannot hold.
    """
    rounded = round_to_float16(maps, model)
    means = maps.reshape(*maps.shape[:2], -1).mean(axis=2, dtype=np.float64)
    pooled = means.astype(np.float16)
    return (rounded if keep_maps else None), pooled


def list_clips(draws: Sequence[Pixels]) -> list[Any]:
    """Return the clips of all draws, each (32, 224, 224, 3), in order."""
    return [clip for clips in draws for clip in clips]
