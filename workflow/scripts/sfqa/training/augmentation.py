"""Random changes of views in a training: flips and crops, one for all frames of a step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ViewReading:
    """How a training changes the views of a role at random, and what prediction reads of them.

    ``flip``: each step is mirrored, left and right, with probability 1/2. ``crop``: a square of so
    many pixels is cut out of each step (None: nothing is cut); prediction gets the square in the
    centre. ``scored_steps``: how many of the first steps of a row prediction and validation read,
    such as the clips of the first of several draws; 0: all.
    """

    flip: bool = False
    crop: int | None = None
    scored_steps: int = 0

    def change(self, steps: Tensor, generator: torch.Generator) -> Tensor:
        """Return the steps (steps, ..., row, column) of one row, changed at random."""
        return augment(steps[None], generator, self.flip, self.crop)[0]

    def cut_centre(self, batch: Tensor) -> Tensor:
        """Return what prediction reads of a batch (rows, steps, ..., row, column)."""
        return batch if self.crop is None else crop_centre(batch, self.crop)


def augment(
    batch: Tensor, generator: torch.Generator | None, flip: bool = False, crop: int | None = None
) -> Tensor:
    """Return a batch (rows, steps, ..., row, column) with each step flipped and cropped at random.

    A step is a clip or a frame, and all of its frames are changed alike. ``flip`` and ``crop`` are
    those of :class:`ViewReading`. ``generator`` is on the CPU; None: torch's own. With the same
    state of it the result is the same. Raises ``ValueError`` if a picture is smaller than ``crop``.

    >>> batch = torch.arange(32, dtype=torch.uint8).view(1, 2, 1, 4, 4)
    >>> augment(batch, torch.Generator().manual_seed(0), flip=True, crop=2).shape
    torch.Size([1, 2, 1, 2, 2])
    """
    rows, steps, (height, width) = batch.shape[0], batch.shape[1], batch.shape[-2:]
    if crop is not None:
        _check_crop(batch, crop)
    size = (height, width) if crop is None else (crop, crop)
    count = (rows, steps)
    mirrored = _draw_numbers(2 if flip else 1, count, generator)
    tops = _draw_numbers(height - size[0] + 1, count, generator)
    lefts = _draw_numbers(width - size[1] + 1, count, generator)
    changed = batch.new_empty((*batch.shape[:-2], *size))
    for row in range(rows):
        for step in range(steps):
            top, left = tops[row][step], lefts[row][step]
            pictures = batch[row, step, ..., top : top + size[0], left : left + size[1]]
            changed[row, step] = pictures.flip(-1) if mirrored[row][step] else pictures
    return changed


def crop_centre(batch: Tensor, crop: int) -> Tensor:
    """Return the square of ``crop`` pixels in the centre of pictures (..., row, column).

    As torchvision's ``CenterCrop``. Raises ``ValueError`` if a picture is smaller.

    >>> crop_centre(torch.arange(5).expand(5, 5), 3)[0].tolist()
    [1, 2, 3]
    """
    _check_crop(batch, crop)
    top, left = (round((side - crop) / 2) for side in batch.shape[-2:])
    return batch[..., top : top + crop, left : left + crop]


def _check_crop(batch: Tensor, crop: int) -> None:
    height, width = batch.shape[-2:]
    if not 0 < crop <= min(height, width):
        raise ValueError(f"a crop of {crop} pixels out of pictures of {width}x{height}")


def _draw_numbers(
    high: int, count: tuple[int, int], generator: torch.Generator | None
) -> list[list[int]]:
    """Return whole numbers from 0 to ``high`` - 1; nothing is drawn where only 0 is possible."""
    if high == 1:
        return torch.zeros(count, dtype=torch.int64).tolist()
    return torch.randint(high, count, generator=generator).tolist()
