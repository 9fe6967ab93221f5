"""Choose the square crop of a portrait: the whole head from hair to chin, with both ears."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from sfqa.faces import Box

#: Side of the crop in face boxes. A Haar box spans from the middle of the forehead to the chin; on
#: the portraits of docs/materials.md hair extends up to 0.93 boxes above it and up to 1.24 boxes to
#: each side of its centre.
SIDE_IN_BOXES = 2.6
#: Height of the crop's centre above the box's centre, in boxes: 0.95 boxes remain above the box and
#: 0.65 below it, for chin, neck and the upper shoulders.
OFFSET_IN_BOXES = 0.15
#: If the crop would leave out less than this share of the short side, it keeps all of it.
_NEARLY_ALL = 0.15
#: With less space above the box, in boxes, hair or hat are cut off by the picture.
_SCALP = 0.15
#: A narrower crop, in boxes, cuts off the ears.
_EARS = 1.25


class Crop(NamedTuple):
    """A square crop in whole pixels: left edge, top edge, side."""

    left: int
    top: int
    side: int


def choose_square(width: int, height: int, face: Box | None) -> Crop:
    """Choose the square crop of a picture of ``width`` x ``height`` pixels.

    Its side is 2.6 face boxes, limited to the short side of the picture, and all of the short side
    if less than 15 % of it would be left out. Its centre is that of the head, moved as little as
    necessary to stay inside the picture. It contains the face box (within a pixel) if the picture
    does. Without a face: the central square.

    >>> choose_square(1000, 600, Box(50, 200, 100, 100))
    Crop(left=0, top=105, side=260)
    >>> choose_square(100, 60, None)
    Crop(left=20, top=0, side=60)
    """
    short = min(width, height)
    if face is None:
        return Crop((width - short) // 2, (height - short) // 2, short)
    side = round(SIDE_IN_BOXES * face.size)
    if side > (1 - _NEARLY_ALL) * short:
        side = short
    left = _position_square(face.cx, face.x, face.w, side, width)
    top = _position_square(face.cy - OFFSET_IN_BOXES * face.size, face.y, face.h, side, height)
    return Crop(left, top, side)


def _position_square(middle: float, start: float, length: float, side: int, limit: int) -> int:
    """Return the start of a crop along one axis: centred, around the face, inside the picture."""
    position = round(middle - side / 2)
    position = min(max(position, math.ceil(start + length - side)), max(0, math.floor(start)))
    return min(max(position, 0), limit - side)


def cuts_head(crop: Crop, face: Box) -> bool:
    """Return whether the crop, limited by the picture, ends too close to the face box.

    >>> cuts_head(choose_square(400, 400, Box(120, 2, 160, 160)), Box(120, 2, 160, 160))
    True
    """
    return face.y - crop.top < _SCALP * face.size or crop.side < _EARS * face.size


def crop_picture(picture: npt.NDArray[np.uint8], crop: Crop, size: int) -> Image.Image:
    """Return the crop resized to ``size`` x ``size`` pixels (Lanczos, antialiased when shrinking).

    >>> crop_picture(np.zeros((8, 9, 3), np.uint8), Crop(1, 0, 8), 4).size
    (4, 4)
    """
    rows = slice(crop.top, crop.top + crop.side)
    columns = slice(crop.left, crop.left + crop.side)
    square = Image.fromarray(np.ascontiguousarray(picture[rows, columns]))
    return square.resize((size, size), Image.Resampling.LANCZOS)
