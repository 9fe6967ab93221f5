"""How far the mouth of the face in a video is open, picture by picture, from its darkness."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from sfqa.faces import Box
from sfqa.features.face_track import iou
from sfqa.features.siti import Image, Luma

Floats = npt.NDArray[np.float64]

#: The lower face in a box of faces.detect_faces, sampled on a square grid: 0.1 to 0.9 of the width,
#: and from 0.45 of the height as far down.
_LEFT, _TOP, _EXTENT, _GRID = 0.10, 0.45, 0.80, 64
#: The mouth in it: a Gaussian window about the lower lip, which is what moves.
_X, _Y, _SPREAD_X, _SPREAD_Y = 0.50, 0.83, 0.1375, 0.1125
_LEAST_IOU = 0.5


def _window() -> npt.NDArray[np.float32]:
    at = (np.arange(_GRID) + 0.5) / _GRID * _EXTENT
    across = np.exp(-(((at + _LEFT - _X) / _SPREAD_X) ** 2))
    down = np.exp(-(((at + _TOP - _Y) / _SPREAD_Y) ** 2))
    window = np.outer(down, across)
    return np.asarray(window / window.sum(), np.float32)


_MOUTH = _window()


def opening(luma: Luma, face: Box) -> float:
    """Return how much darker the mouth is than the lower face, as a share of the latter.

    Grows as the mouth opens, whatever the exposure; 0 in a flat picture.

    >>> abs(opening(np.full((64, 64), 90, np.uint8), Box(8, 8, 40, 40))) < 1e-6
    True
    """
    scale = _GRID / (_EXTENT * face.w), _GRID / (_EXTENT * face.h)
    x, y = face.x + _LEFT * face.w, face.y + _TOP * face.h
    # Pixel centres on pixel centres; what lies outside the picture repeats its edge.
    matrix = np.array(
        [
            [scale[0], 0, (0.5 - x) * scale[0] - 0.5],
            [0, scale[1], (0.5 - y) * scale[1] - 0.5],
        ]
    )
    lower = cv2.warpAffine(
        luma, matrix, (_GRID, _GRID), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    ).astype(np.float32)
    mean = float(lower.mean(dtype=np.float64))
    return 1 - float((lower * _MOUTH).sum(dtype=np.float64)) / mean if mean > 0 else 0.0


class Run(NamedTuple):
    """The longest stretch in which one face was followed: first frame, and the mouth's opening."""

    first: int
    opening: Floats


class MouthWatch:
    """Follow the largest face and measure its mouth; feed it with every picture, in order.

    Faces are looked for in every ``every``-th picture and the last one; between two looks the box
    is interpolated. A face is the same while it shares more than half (intersection over union)
    with its last box; of one that is missed twice in a row the track ends, and the largest face
    begins another. At most ``2 * every`` pictures are held at a time.
    """

    def __init__(self, detector: Callable[[Image], Sequence[Box]], every: int) -> None:
        """``detector`` returns boxes, largest first, of a uint8 RGB picture."""
        self.detector, self.every = detector, every
        self.looks = self.hits = self.crowded = 0
        self._openings: list[float | None] = []
        self._waiting: list[Luma] = []
        self._face: Box | None = None
        self._seen = 0

    def feed(self, image: Image, luma: Luma, last: bool = False) -> None:
        """Add the next picture, uint8 RGB, and its luma; ``last`` ends the video."""
        look = self._seen % self.every == 0 or last
        self._seen += 1
        self._waiting.append(luma)
        if look:
            boxes = list(self.detector(image))
            self.looks += 1
            self.hits += bool(boxes)
            self.crowded += len(boxes) > 1
            self._settle(boxes)
        if last:
            self._lose()

    def run(self) -> Run:
        """Return the longest stretch with a face, the first of equals; empty where there is none.

        >>> MouthWatch(lambda image: [], 5).run().opening.size
        0
        """
        best, start = (0, 0), None
        for place, value in enumerate([*self._openings, None]):
            if value is not None and start is None:
                start = place
            if value is None and start is not None:
                best = max(best, (start, place), key=lambda span: span[1] - span[0])
                start = None
        return Run(best[0], np.array(self._openings[slice(*best)], np.float64))

    def _settle(self, boxes: list[Box]) -> None:
        """Measure the pictures that wait, as far as their face is known."""
        before = self._face
        if before is not None:
            same = max(boxes, key=lambda box: iou(box, before), default=None)
            if same is not None and iou(same, before) > _LEAST_IOU:
                self._measure(before, same)
                return
            if len(self._waiting) < 2 * self.every:
                return
            self._lose()
        elif boxes:
            current = self._waiting.pop()
            self._lose()
            self._face = boxes[0]
            self._openings.append(opening(current, boxes[0]))
        else:
            self._lose()

    def _measure(self, before: Box, after: Box) -> None:
        steps = len(self._waiting)
        for number, luma in enumerate(self._waiting, 1):
            share = number / steps
            box = Box(*((1 - share) * a + share * b for a, b in zip(before, after, strict=True)))
            self._openings.append(opening(luma, box))
        self._waiting, self._face = [], after

    def _lose(self) -> None:
        self._openings += [None] * len(self._waiting)
        self._waiting, self._face = [], None
