"""Bilinear interpolation of one picture by torch, with the same bytes on any number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from sfqa.arrays import Floats32
from sfqa.media import Pixels


def interpolate_pixels(
    picture: Pixels, divisor: float = 1.0, channels_apart: bool = False, **options: Any
) -> Floats32:
    """Return a picture (height, width, 3), divided by ``divisor``, in another size, as float32.

    ``options`` are those of ``torch.nn.functional.interpolate``. It runs in one thread: more would
    divide the picture at other places, and move the last digit of some numbers, which are rounded
    or cut off to bytes afterwards. torch has a function of its own for batches of three channels,
    with other last digits, which ``channels_apart`` avoids.

    >>> interpolate_pixels(np.full((8, 8, 3), 9, np.uint8), size=(4, 6)).shape
    (4, 6, 3)
    """
    import torch
    from torch.nn.functional import interpolate

    with torch.inference_mode(), use_one_thread():
        planes = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))
        batch = planes[:, None] if channels_apart else planes[None]
        resized = interpolate(batch / divisor, mode="bilinear", **options).flatten(0, 1)
        pixels: Floats32 = resized.permute(1, 2, 0).numpy()
    return pixels


@contextmanager
def use_one_thread() -> Iterator[None]:
    """Let torch use one thread, so that a result does not depend on how the work is divided."""
    import torch

    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(usual)
