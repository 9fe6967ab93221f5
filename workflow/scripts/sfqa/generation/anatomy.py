"""Where the mouth and the eyes of a portrait are, near enough to move them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from sfqa import faces

Pixels = npt.NDArray[np.uint8]
Grey = npt.NDArray[np.float32]

#: Side in pixels at which features are looked for, whatever the render size.
_LOOK = 320
_EYES = Path(cv2.__file__).parent / "data" / "haarcascade_eye.xml"
#: Sides tried in turn for the face: a cascade that misses at one scale hits at another.
_TRIES = (320, 256, 200)
#: A face smaller than this share of a portrait is taken for a false alarm.
_SMALLEST = 0.25


class Eye(NamedTuple):
    """One eye: centre and half axes, in shares of the picture's side."""

    cx: float
    cy: float
    half_width: float
    half_height: float


class Anatomy(NamedTuple):
    """A face: box centre and size, mouth line, tilt and eyes, in shares of the picture's side."""

    cx: float
    cy: float
    size: float
    mouth_x: float
    mouth_y: float
    mouth_half_width: float
    tilt_rad: float
    eyes: tuple[Eye, ...]
    found: bool


def locate(image: Pixels) -> Anatomy:
    """Return where the largest face of a square picture has its mouth and eyes.

    ``image``: uint8 RGB (side, side, 3). Box, mouth and eyes come from the Haar cascades; the line
    of the lips is then the darkest line near the place where the box expects it. Without a face
    (``found`` False) the middle of the picture is taken for one and no eyes are given.

    >>> locate(np.zeros((64, 64, 3), np.uint8)).found
    False
    """
    small = np.asarray(
        cv2.resize(image, (_LOOK, _LOOK), interpolation=cv2.INTER_AREA), dtype=np.uint8
    )
    hits = (faces.detect_faces(small, max_side=side)[:1] for side in _TRIES)
    found = next((b for hit in hits for b in hit if b.w >= _SMALLEST * _LOOK), None)
    box = found or faces.Box(0.26 * _LOOK, 0.22 * _LOOK, 0.48 * _LOOK, 0.48 * _LOOK)
    grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.float32)
    eyes = _eyes(grey, box) if found else []
    tilt = 0.0
    if len(eyes) == 2:
        tilt = math.atan2(eyes[1].cy - eyes[0].cy, eyes[1].cx - eyes[0].cx)
        # Eye boxes jump by a pixel or two: a little tilt is none.
        tilt = math.copysign(min(max(abs(tilt) - 0.06, 0.0), 0.35), tilt)
    mouth = faces.locate_mouth(box)
    x, y = _lip_line(grey, box, mouth, tilt)
    unit = 1.0 / _LOOK
    return Anatomy(
        cx=(box.x + box.w / 2) * unit,
        cy=(box.y + box.h / 2) * unit,
        size=box.w * unit,
        mouth_x=x * unit,
        mouth_y=y * unit,
        mouth_half_width=mouth.w / 2 * unit,
        tilt_rad=tilt,
        eyes=tuple(Eye(*(v * unit for v in eye)) for eye in eyes),
        found=found is not None,
    )


def _eyes(grey: Grey, box: faces.Box) -> list[Eye]:
    """Both eyes, left first: cascade hits in the upper half, else the box's proportions."""
    top, left = round(box.y + 0.15 * box.h), round(box.x)
    height, width = round(0.45 * box.h), round(box.w)
    part = np.ascontiguousarray(
        grey[max(0, top) : top + height, max(0, left) : left + width].astype(np.uint8)
    )
    side = round(0.16 * box.w)
    hits: list[tuple[float, float]] = []
    if min(part.shape) > side:
        cascade = cv2.CascadeClassifier(str(_EYES))
        for hit in cascade.detectMultiScale(
            part, scaleFactor=1.05, minNeighbors=3, minSize=(side, side)
        ):
            x, y, w, h = (float(v) for v in hit)
            hits.append((max(0, left) + x + w / 2, max(0, top) + y + h / 2))
    found: list[tuple[float, float] | None] = []
    for share in (0.30, 0.70):
        place = (box.x + share * box.w, box.y + 0.39 * box.h)
        near = [h for h in hits if math.dist(h, place) < 0.16 * box.w]
        found.append(min(near, key=lambda h: math.dist(h, place), default=None))
    left_eye, right_eye = found
    middle = box.x + box.w / 2
    if left_eye is None and right_eye is not None:
        left_eye = (2 * middle - right_eye[0], right_eye[1])
    if right_eye is None and left_eye is not None:
        right_eye = (2 * middle - left_eye[0], left_eye[1])
    places = [
        left_eye or (box.x + 0.30 * box.w, box.y + 0.39 * box.h),
        right_eye or (box.x + 0.70 * box.w, box.y + 0.39 * box.h),
    ]
    return [Eye(x, y, 0.125 * box.w, 0.055 * box.h) for x, y in places]


def _lip_line(grey: Grey, box: faces.Box, mouth: faces.Box, tilt: float) -> tuple[float, float]:
    """The middle of the dark line between the lips, along the tilted axis of the face."""
    # A tilted face carries its mouth sideways, about the middle of the face.
    down = 0.29 * box.h
    x0 = box.x + box.w / 2 - math.sin(tilt) * down
    y0 = box.y + box.h / 2 + math.cos(tilt) * down
    u = np.linspace(-0.6, 0.6, 41) * mouth.w / 2
    v = np.arange(-0.13 * box.h, 0.13 * box.h, 0.5)
    xs = (x0 + u[None, :] * math.cos(tilt) - v[:, None] * math.sin(tilt)).astype(np.float32)
    ys = (y0 + u[None, :] * math.sin(tilt) + v[:, None] * math.cos(tilt)).astype(np.float32)
    smooth = cv2.GaussianBlur(grey, (0, 0), 0.012 * box.h)
    patch = cv2.remap(smooth, xs, ys, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    profile = patch.mean(axis=1)
    reach = max(1, round(0.045 * box.h / 0.5))
    around = (np.roll(profile, reach) + np.roll(profile, -reach)) / 2
    dark = around - profile
    dark[:reach] = dark[-reach:] = 0
    # The prior keeps chins, moustaches and nostrils from winning by a little.
    score = dark * np.exp(-0.5 * (v / (0.06 * box.h)) ** 2)
    best = float(v[int(np.argmax(score))]) if score.max() > 1.0 else 0.0
    return x0 - best * math.sin(tilt), y0 + best * math.cos(tilt)
