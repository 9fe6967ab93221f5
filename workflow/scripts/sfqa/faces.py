"""Where the faces are in a picture, by the Haar cascades that come with OpenCV."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

VERSION = 1

Image = npt.NDArray[np.uint8]

#: Frontal cascades in the order tried: (file, neighbours a hit needs). alt2 raises the fewest
#: false alarms; the other two find painted and drawn faces that it misses.
_FRONTAL = (
    ("haarcascade_frontalface_alt2.xml", 4),
    ("haarcascade_frontalface_default.xml", 6),
    ("haarcascade_frontalface_alt.xml", 3),
)
_PROFILE = ("haarcascade_profileface.xml", 4)
#: Side in pixels, after shrinking, of the smallest face looked for: the cascades' own is 20 to 24.
_SMALLEST = 24
#: A hit counts when it has at least this share of the raw detections of the strongest hit.
_WEAKEST = 0.25
_FOLDER = Path(cv2.__file__).parent / "data"
_cache = threading.local()


class Box(NamedTuple):
    """An upright box in pixels: left edge, top edge, width, height."""

    x: float
    y: float
    w: float
    h: float

    @property
    def cx(self) -> float:
        """Horizontal centre in pixels."""
        return self.x + self.w / 2

    @property
    def cy(self) -> float:
        """Vertical centre in pixels."""
        return self.y + self.h / 2

    @property
    def size(self) -> float:
        """The longer side in pixels.

        >>> Box(0, 0, 3, 4).size
        4
        """
        return max(self.w, self.h)


def detect(image: Image, max_side: int = 320) -> list[Box]:
    """Return the faces in a picture, largest first.

    ``image``: uint8 RGB of shape (height, width, 3). It is shrunk so that its longer side is
    ``max_side`` pixels (never enlarged); faces under 24 pixels are then not seen. The boxes are in
    the input's pixels. Frontal cascades are
    tried one after the other until one finds something, each on the picture with its histogram
    equalised and as it is, then the profile cascade and its mirror image (Viola and Jones 2001, as
    trained by Lienhart; OpenCV). Overlapping boxes are one face, and a hit with under a
    quarter of the strongest hit's raw detections is none.
    Raises ``ValueError`` for another shape or type.

    >>> detect(np.zeros((64, 64, 3), np.uint8))
    []
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"not a uint8 RGB picture: {image.dtype}, shape {image.shape}")
    height, width = image.shape[:2]
    if min(height, width) < 8:
        return []
    factor = min(1.0, max_side / max(height, width))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if factor < 1:
        shape = (max(8, round(width * factor)), max(8, round(height * factor)))
        grey = cv2.resize(grey, shape, interpolation=cv2.INTER_AREA)
    plain = np.asarray(grey, np.uint8)
    fx, fy = width / plain.shape[1], height / plain.shape[0]
    return [Box(b.x * fx, b.y * fy, b.w * fx, b.h * fy) for b in _detect(plain)]


def _detect(grey: npt.NDArray[np.uint8]) -> list[Box]:
    even = np.asarray(cv2.equalizeHist(grey), np.uint8)
    for name, neighbours in _FRONTAL:
        for picture in (even, grey):
            found = merge(_run(name, neighbours, picture))
            if found:
                return found
    looking_left = _run(*_PROFILE, even)
    mirrored = _run(*_PROFILE, np.ascontiguousarray(even[:, ::-1]))
    looking_right = [Box(even.shape[1] - b.x - b.w, b.y, b.w, b.h) for b in mirrored]
    return merge([*looking_left, *looking_right])


def _run(name: str, neighbours: int, grey: npt.NDArray[np.uint8]) -> list[Box]:
    """The hits of one cascade, without those far weaker than the strongest: mostly patterns."""
    hits, strength = _cascade(name).detectMultiScale2(
        grey, scaleFactor=1.1, minNeighbors=neighbours, minSize=(_SMALLEST, _SMALLEST)
    )
    strongest = max((int(n) for n in strength), default=0)
    return [
        Box(*map(float, hit))
        for hit, n in zip(hits, strength, strict=True)
        if n >= _WEAKEST * strongest
    ]


def _cascade(name: str) -> cv2.CascadeClassifier:
    """A cascade, one per thread, since OpenCV's objects keep state while they run."""
    held: dict[str, cv2.CascadeClassifier] = _cache.__dict__.setdefault("held", {})
    if name not in held:
        held[name] = cv2.CascadeClassifier(str(_FOLDER / name))
    return held[name]


def merge(boxes: Iterable[Box]) -> list[Box]:
    """Return boxes largest first, without those that share over 40 % of their area with a larger.

    >>> merge([Box(0, 0, 10, 10), Box(1, 1, 9, 9), Box(30, 0, 5, 5)])
    [Box(x=0, y=0, w=10, h=10), Box(x=30, y=0, w=5, h=5)]
    """
    kept: list[Box] = []
    for box in sorted(boxes, key=lambda b: (-b.w * b.h, b.x, b.y)):
        if all(_common(box, other) <= 0.4 * box.w * box.h for other in kept):
            kept.append(box)
    return kept


def _common(a: Box, b: Box) -> float:
    width = min(a.x + a.w, b.x + b.w) - max(a.x, b.x)
    height = min(a.y + a.h, b.y + b.h) - max(a.y, b.y)
    return max(0.0, width) * max(0.0, height)


def mouth_box(box: Box) -> Box:
    """Return where the mouth lies in a frontal face box of :func:`detect`.

    The proportions are those of OpenCV's frontal boxes, which run from the middle of the forehead
    to just above the chin: the lips meet at 0.79 of the height, the mouth is 0.44 wide.

    >>> mouth_box(Box(0, 0, 100, 100)).cy
    79.0
    """
    return Box(box.x + 0.28 * box.w, box.y + 0.68 * box.h, 0.44 * box.w, 0.22 * box.h)
