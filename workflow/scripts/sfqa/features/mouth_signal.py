"""Measure the mouth opening of the face in a video, frame by frame, from its darkness."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from sfqa.arrays import Floats
from sfqa.faces import Box, compute_iou
from sfqa.features.siti import Image, Luma

#: The lower face in a box of faces.detect_faces, sampled on a square grid: 0.1 to 0.9 of the width,
#: and from 0.45 of the height as far down.
_LEFT, _TOP, _EXTENT, _GRID = 0.10, 0.45, 0.80, 64
#: The mouth in this grid: a Gaussian window around the lower lip, which moves most.
_X, _Y, _SPREAD_X, _SPREAD_Y = 0.50, 0.83, 0.1375, 0.1125
_MIN_IOU = 0.5


def _make_mouth_window() -> npt.NDArray[np.float32]:
    """Return the weights of the face grid's cells: a Gaussian at the mouth, sum 1."""
    at = (np.arange(_GRID) + 0.5) / _GRID * _EXTENT
    across = np.exp(-(((at + _LEFT - _X) / _SPREAD_X) ** 2))
    down = np.exp(-(((at + _TOP - _Y) / _SPREAD_Y) ** 2))
    window = np.outer(down, across)
    return np.asarray(window / window.sum(), np.float32)


_MOUTH = _make_mouth_window()


def measure_opening(luma: Luma, face: Box) -> float:
    """Return how much darker the mouth is than the lower face, relative to the latter.

    The value grows as the mouth opens, independently of exposure; 0 in a uniform picture.

    >>> abs(measure_opening(np.full((64, 64), 90, np.uint8), Box(8, 8, 40, 40))) < 1e-6
    True
    """
    scale = _GRID / (_EXTENT * face.w), _GRID / (_EXTENT * face.h)
    x, y = face.x + _LEFT * face.w, face.y + _TOP * face.h
    # Aligned at pixel centres; pixels outside the picture repeat its edge.
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


class OpeningRun(NamedTuple):
    """The longest run of frames with one tracked face: first frame, and openings."""

    first: int
    opening: Floats

    def repeat_frames(self, shown: npt.NDArray[np.int64]) -> OpeningRun:
        """Return the run at another rate; ``shown`` has the frame for each frame of that rate.

        >>> OpeningRun(1, np.array([0.5, 0.7])).repeat_frames(np.array([0, 1, 1, 2, 2, 3]))
        OpeningRun(first=1, opening=array([0.5, 0.5, 0.7, 0.7]))
        """
        stop = self.first + len(self.opening)
        positions = np.flatnonzero((shown >= self.first) & (shown < stop))
        first = int(positions[0]) if positions.size else 0
        return OpeningRun(first, self.opening[shown[positions] - self.first])


class MouthTracker:
    """Tracks the largest face and measures its mouth; call :meth:`add_frame` for every frame.

    Faces are searched in every ``every``-th frame and the last one; boxes are interpolated between.
    A face is the same if its intersection over union with the last box is above one half. A track
    ends after two missed searches in a row, and the largest face starts another one. At most
    ``2 * every`` frames are kept.
    """

    def __init__(self, detector: Callable[[Image], Sequence[Box]], every: int) -> None:
        """``detector`` returns the boxes of a uint8 RGB picture, largest first."""
        self.detector, self.every = detector, every
        self.looks = self.hits = self.crowded = 0
        self._openings: list[float | None] = []
        self._waiting: list[Luma] = []
        self._face: Box | None = None
        self._seen = 0

    def add_frame(self, image: Image, luma: Luma, last: bool = False) -> None:
        """Add the next frame, uint8 RGB, and its luma; ``last`` marks the end of the video."""
        look = self._seen % self.every == 0 or last
        self._seen += 1
        self._waiting.append(luma)
        if look:
            boxes = list(self.detector(image))
            self.looks += 1
            self.hits += bool(boxes)
            self.crowded += len(boxes) > 1
            self._assign_boxes(boxes)
        if last:
            self._drop_face()

    def longest_run(self) -> OpeningRun:
        """Return the longest run with a face (the first of equal ones); empty without a face.

        >>> MouthTracker(lambda image: [], 5).longest_run().opening.size
        0
        """
        best, start = (0, 0), None
        for index, value in enumerate([*self._openings, None]):
            if value is not None and start is None:
                start = index
            if value is None and start is not None:
                best = max(best, (start, index), key=lambda span: span[1] - span[0])
                start = None
        return OpeningRun(best[0], np.array(self._openings[slice(*best)], np.float64))

    def _assign_boxes(self, boxes: list[Box]) -> None:
        """Measure the waiting frames whose face is now known."""
        before = self._face
        if before is not None:
            same = max(boxes, key=lambda box: compute_iou(box, before), default=None)
            if same is not None and compute_iou(same, before) > _MIN_IOU:
                self._measure_waiting(before, same)
                return
            if len(self._waiting) < 2 * self.every:
                return
            self._drop_face()
        elif boxes:
            current = self._waiting.pop()
            self._drop_face()
            self._face = boxes[0]
            self._openings.append(measure_opening(current, boxes[0]))
        else:
            self._drop_face()

    def _measure_waiting(self, before: Box, after: Box) -> None:
        steps = len(self._waiting)
        for number, luma in enumerate(self._waiting, 1):
            share = number / steps
            box = Box(*((1 - share) * a + share * b for a, b in zip(before, after, strict=True)))
            self._openings.append(measure_opening(luma, box))
        self._waiting, self._face = [], after

    def _drop_face(self) -> None:
        self._openings += [None] * len(self._waiting)
        self._waiting, self._face = [], None
