"""Locate the mouth and the eyes of a portrait, precisely enough to move them."""

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

#: The picture is searched at this side in pixels, whatever its own size.
_SEARCH_PX = 320
_EYE_CASCADE = Path(cv2.__file__).parent / "data" / "haarcascade_eye.xml"
#: Sides at which the face is searched, one after the other: a cascade that misses it at one
#: scale finds it at another.
_FACE_SEARCH_PX = (320, 256, 200)
#: A face smaller than this share of a portrait counts as a false detection.
_SMALLEST_SHARE = 0.25


class Eye(NamedTuple):
    """An eye: centre and half axes, as shares of the picture's side."""

    cx: float
    cy: float
    half_width: float
    half_height: float


class Anatomy(NamedTuple):
    """A face: box centre and size, mouth line, tilt and eyes, as shares of the picture's side.

    ``detected`` is False if no face was found and the middle of the picture is used.
    """

    cx: float
    cy: float
    size: float
    mouth_x: float
    mouth_y: float
    mouth_half_width: float
    tilt_rad: float
    eyes: tuple[Eye, ...]
    detected: bool


def locate_face(image: Pixels) -> Anatomy:
    """Return where the largest face of a square picture has its mouth and eyes.

    ``image``: uint8 RGB, shape (side, side, 3). Box, mouth and eyes come from Haar cascades; the
    line between the lips is the darkest line near the mouth of the box. If no face is detected, the
    middle of the picture is used and there are no eyes.

    >>> locate_face(np.zeros((64, 64, 3), np.uint8)).detected
    False
    """
    small = np.asarray(
        cv2.resize(image, (_SEARCH_PX, _SEARCH_PX), interpolation=cv2.INTER_AREA), dtype=np.uint8
    )
    searches = (faces.detect_faces(small, max_side=side)[:1] for side in _FACE_SEARCH_PX)
    detected = next(
        (b for boxes in searches for b in boxes if b.w >= _SMALLEST_SHARE * _SEARCH_PX), None
    )
    box = detected or faces.Box(
        0.26 * _SEARCH_PX, 0.22 * _SEARCH_PX, 0.48 * _SEARCH_PX, 0.48 * _SEARCH_PX
    )
    grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.float32)
    eyes = _locate_eyes(grey, box) if detected else []
    tilt = 0.0
    if len(eyes) == 2:
        tilt = math.atan2(eyes[1].cy - eyes[0].cy, eyes[1].cx - eyes[0].cx)
        # Eye boxes jump by a pixel or two, so a small tilt is ignored.
        tilt = math.copysign(min(max(abs(tilt) - 0.06, 0.0), 0.35), tilt)
    mouth = faces.locate_mouth(box)
    x, y = _locate_lip_line(grey, box, mouth, tilt)
    unit = 1.0 / _SEARCH_PX
    return Anatomy(
        cx=(box.x + box.w / 2) * unit,
        cy=(box.y + box.h / 2) * unit,
        size=box.w * unit,
        mouth_x=x * unit,
        mouth_y=y * unit,
        mouth_half_width=mouth.w / 2 * unit,
        tilt_rad=tilt,
        eyes=tuple(Eye(*(v * unit for v in eye)) for eye in eyes),
        detected=detected is not None,
    )


def _locate_eyes(grey: Grey, box: faces.Box) -> list[Eye]:
    """Return both eyes in pixels, the left one first.

    They are detected in the upper half of the face; an eye that is not detected mirrors the other
    one or is placed by the proportions of the box.
    """
    top, left = round(box.y + 0.15 * box.h), round(box.x)
    height, width = round(0.45 * box.h), round(box.w)
    part = np.ascontiguousarray(
        grey[max(0, top) : top + height, max(0, left) : left + width].astype(np.uint8)
    )
    side = round(0.16 * box.w)
    hits: list[tuple[float, float]] = []
    if min(part.shape) > side:
        cascade = cv2.CascadeClassifier(str(_EYE_CASCADE))
        for hit in cascade.detectMultiScale(
            part, scaleFactor=1.05, minNeighbors=3, minSize=(side, side)
        ):
            x, y, w, h = (float(v) for v in hit)
            hits.append((max(0, left) + x + w / 2, max(0, top) + y + h / 2))
    nearest: list[tuple[float, float] | None] = []
    for share in (0.30, 0.70):
        expected = (box.x + share * box.w, box.y + 0.39 * box.h)
        close_hits = [h for h in hits if math.dist(h, expected) < 0.16 * box.w]
        nearest.append(min(close_hits, key=lambda h: math.dist(h, expected), default=None))
    left_eye, right_eye = nearest
    middle = box.x + box.w / 2
    if left_eye is None and right_eye is not None:
        left_eye = (2 * middle - right_eye[0], right_eye[1])
    if right_eye is None and left_eye is not None:
        right_eye = (2 * middle - left_eye[0], left_eye[1])
    centres = [
        left_eye or (box.x + 0.30 * box.w, box.y + 0.39 * box.h),
        right_eye or (box.x + 0.70 * box.w, box.y + 0.39 * box.h),
    ]
    return [Eye(x, y, 0.125 * box.w, 0.055 * box.h) for x, y in centres]


def _locate_lip_line(
    grey: Grey, box: faces.Box, mouth: faces.Box, tilt: float
) -> tuple[float, float]:
    """Return the middle of the dark line between the lips, found along the axis of the face."""
    # The mouth of a tilted face is turned about the middle of the face.
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
    # The weights favour the expected position over slightly darker chins, moustaches and nostrils.
    score = dark * np.exp(-0.5 * (v / (0.06 * box.h)) ** 2)
    best = float(v[int(np.argmax(score))]) if score.max() > 1.0 else 0.0
    return x0 - best * math.sin(tilt), y0 + best * math.cos(tilt)
