"""Resize pictures exactly as Pillow does, with the fastest maintained library."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from math import lcm

import numpy as np
from PIL import Image

from sfqa.media import Pixels

#: Bits after the binary point of the weights: 22 in Pillow; in torch as many as fit in 16 bits.
_PILLOW, _TORCH = 22, 15


def resize_bilinear(frames: Pixels, width: int, height: int) -> Pixels:
    """Resize frames to (n, height, width, 3) like Pillow's BILINEAR with antialiasing.

    Uses torch, which is six times as fast, for sizes where :func:`equal_in_torch` proves the same
    bytes, except if the height shrinks more than the width: the two libraries then process the axes
    in different order.

    >>> resize_bilinear(np.full((2, 512, 512, 3), 7, np.uint8), 224, 224).shape
    (2, 224, 224, 3)
    """
    resized = np.empty((len(frames), height, width, 3), dtype=np.uint8)
    source_height, source_width = frames.shape[1:3]
    if (
        source_height * width <= source_width * height
        and equal_in_torch(source_height, height)
        and equal_in_torch(source_width, width)
    ):
        import torch
        from torch.nn.functional import interpolate

        with torch.inference_mode():
            for index, frame in enumerate(frames):
                x = torch.from_numpy(np.ascontiguousarray(frame))[None].permute(0, 3, 1, 2)
                x = interpolate(x, (height, width), mode="bilinear", antialias=True)
                resized[index] = x[0].permute(1, 2, 0).numpy()
        return resized
    for index, frame in enumerate(frames):
        scaled = Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR)
        resized[index] = np.asarray(scaled)
    return resized


def crop_centre(frames: Pixels, short_side: int, crop: int, resampling: Image.Resampling) -> Pixels:
    """Return the centres (n, crop, crop, 3) of frames resized to a short side by Pillow.

    >>> bicubic = Image.Resampling.BICUBIC
    >>> crop_centre(np.zeros((2, 90, 160, 3), np.uint8), 80, 64, bicubic).shape
    (2, 64, 64, 3)
    """
    height, width = frames.shape[1:3]
    short = min(height, width)
    scaled_width, scaled_height = short_side * width // short, short_side * height // short
    top, left = round((scaled_height - crop) / 2), round((scaled_width - crop) / 2)
    centres = np.empty((len(frames), crop, crop, 3), dtype=np.uint8)
    for index, frame in enumerate(frames):
        scaled = Image.fromarray(frame).resize((scaled_width, scaled_height), resampling)
        centres[index] = np.asarray(scaled)[top : top + crop, left : left + crop]
    return centres


def crop_centre_by_opencv(frames: Pixels, short_side: int, crop: int) -> Pixels:
    """Return the centres (n, crop, crop, 3) of frames resized to a short side by OpenCV.

    Bilinear without antialiasing, as SimpleVQA's scripts store the frames that it is trained on.

    >>> crop_centre_by_opencv(np.zeros((2, 90, 160, 3), np.uint8), 80, 64).shape
    (2, 64, 64, 3)
    """
    import cv2

    height, width = frames.shape[1:3]
    if height > width:
        scaled_width, scaled_height = short_side, int(short_side / width * height)
    else:
        scaled_width, scaled_height = int(short_side / height * width), short_side
    top, left = round((scaled_height - crop) / 2), round((scaled_width - crop) / 2)
    centres = np.empty((len(frames), crop, crop, 3), dtype=np.uint8)
    for index, frame in enumerate(frames):
        scaled = cv2.resize(frame, (scaled_width, scaled_height))
        centres[index] = scaled[top : top + crop, left : left + crop]
    return centres


@cache
def equal_in_torch(source: int, target: int) -> bool:
    """Return whether torch's weights give the same bytes for rows of pixels as Pillow's.

    Both sum weighted bytes and round half up. The exact sum is a multiple of 1/D. If it is not
    halfway between two integers, it is at least 1/2D away from halfway, and smaller errors of the
    weights change nothing. If it is halfway, which requires an even D, the sign of the error
    decides; it is the same if the errors of both libraries' weights are proportional.

    >>> equal_in_torch(512, 224), equal_in_torch(256, 224), equal_in_torch(224, 224)
    (True, False, True)
    """
    if source == target:
        return True
    if source < target:
        return False
    rows = [_triangle_weights(source, target, position) for position in range(target)]
    largest = max(max(row) for row in rows)
    bits = max(b for b in range(_PILLOW + 1) if _round_weight(largest, b) < 1 << _TORCH)
    return all(_gives_same_bytes(row, bits) for row in {tuple(row) for row in rows})


def _gives_same_bytes(row: tuple[Fraction, ...], bits: int) -> bool:
    steps = lcm(*(w.denominator for w in row))
    torchs, pillows = (
        [Fraction(_round_weight(w, b), 1 << b) - w for w in row] for b in (bits, _PILLOW)
    )
    for errors in (torchs, pillows):
        most = 255 * max(sum(e for e in errors if e > 0), -sum(e for e in errors if e < 0))
        if most * 2 * steps >= 1:
            return False
    pairs = list(zip(torchs, pillows, strict=True))
    ratios = {t / p for t, p in pairs if p}
    proportional = all(p or not t for t, p in pairs) and len(ratios) <= 1
    return steps % 2 == 1 or (proportional and all(ratio > 0 for ratio in ratios))


def _round_weight(weight: Fraction, bits: int) -> int:
    """Round a weight half up to a number of bits after the binary point."""
    return int(weight * (1 << bits) + Fraction(1, 2))


def _triangle_weights(source: int, target: int, position: int) -> list[Fraction]:
    """Return the triangular weights of a pixel of the smaller picture."""
    scale, half = Fraction(source, target), Fraction(1, 2)
    middle = (position + half) * scale
    first, stop = max(0, int(middle - scale + half)), min(source, int(middle + scale + half))
    raw = [max(Fraction(0), 1 - abs(n - middle + half) / scale) for n in range(first, stop)]
    return [w / sum(raw) for w in raw]
