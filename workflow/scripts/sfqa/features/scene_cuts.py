"""Cuts between the scenes of a video, as PySceneDetect finds them for the SyncNet reference.

Source: ContentDetector of PySceneDetect 0.5.1 with its default arguments, on pictures that are
shrunk as its VideoManager does (set_downscale_factor).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

#: Mean change of hue, saturation and value from one frame to the next that is a cut, and the least
#: number of frames from one cut to the next.
_MIN_CHANGE, _MIN_SCENE_FRAMES = 30.0, 15
#: Every n-th pixel is compared, by the least width of the picture.
_STEPS = ((3200, 12), (2100, 8), (1700, 6), (1200, 5), (900, 4), (600, 3), (400, 2))

Image = npt.NDArray[np.uint8]


def convert_to_hsv(image: Image) -> Image:
    """Return hue, saturation and value of every n-th pixel of an RGB picture, all uint8."""
    step = next((step for width, step in _STEPS if image.shape[1] >= width), 1)
    pixels = np.ascontiguousarray(image[::step, ::step])
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV), np.uint8)


def measure_change(hsv: Image, previous: Image) -> float:
    """Return the mean absolute difference of two pictures of :func:`convert_to_hsv`.

    >>> measure_change(np.full((2, 2, 3), 9, np.uint8), np.zeros((2, 2, 3), np.uint8))
    9.0
    """
    sums = cv2.sumElems(cv2.absdiff(hsv, previous))[:3]
    pixels = float(hsv.shape[0] * hsv.shape[1])
    return sum(channel / pixels for channel in sums) / 3.0


def find_cuts(changes: Iterable[tuple[int, float]]) -> list[int]:
    """Return the frames at which a scene begins, except the first one.

    ``changes`` are (frame, change from the frame before it) in order.

    >>> find_cuts([(1, 40.0), (2, 0.0), (9, 40.0), (16, 30.0), (40, 29.9)])
    [1, 16]
    """
    cuts: list[int] = []
    for frame, change in changes:
        if change >= _MIN_CHANGE and (not cuts or frame - cuts[-1] >= _MIN_SCENE_FRAMES):
            cuts.append(frame)
    return cuts


def list_scenes(cuts: Sequence[int], frames: int) -> list[tuple[int, int]]:
    """Return first frame and end (exclusive) of each scene.

    >>> list_scenes([30, 80], 100)
    [(0, 30), (30, 80), (80, 100)]
    """
    return list(pairwise([0, *cuts, frames]))
