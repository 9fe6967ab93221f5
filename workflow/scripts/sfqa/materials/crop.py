"""The square to cut from a portrait: the whole head, hair to chin and both ears."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from sfqa.faces import Box

#: Side of the crop in face boxes. A Haar box runs from the middle of the forehead to the chin; on
#: the portraits of docs/materials.md hair rises up to 0.93 boxes above it and spreads up to 1.24
#: boxes to each side of its middle.
ROOM = 2.6
#: How far above the box's middle the crop's middle lies, in boxes: 0.95 boxes stay free above the
#: box and 0.65 below it, for chin, neck and the first of the shoulders.
LIFT = 0.15
#: A crop that would leave out less than this share of the short side keeps all of it.
_NEARLY_ALL = 0.15
#: Where the picture leaves less than this above the box, in boxes, hair or hat are cut by it.
_SCALP = 0.15
#: A crop under this many boxes wide has no room for ears.
_EARS = 1.25


class Crop(NamedTuple):
    """A square of whole pixels inside a picture: left and top edge, side."""

    left: int
    top: int
    side: int


def square_round(width: int, height: int, face: Box | None) -> Crop:
    """Return the square to cut from a picture of ``width`` x ``height`` pixels.

    Its side is 2.6 face boxes, at most the short side of the picture and all of it where little
    would be left out; its middle is the head's, moved as little as keeps it inside the picture. It
    holds a face box that the picture holds, within a pixel. Without a face: the middle square.

    >>> square_round(1000, 600, Box(50, 200, 100, 100))
    Crop(left=0, top=105, side=260)
    >>> square_round(100, 60, None)
    Crop(left=20, top=0, side=60)
    """
    short = min(width, height)
    if face is None:
        return Crop((width - short) // 2, (height - short) // 2, short)
    side = round(ROOM * face.size)
    if side > (1 - _NEARLY_ALL) * short:
        side = short
    left = _place(face.cx, face.x, face.w, side, width)
    top = _place(face.cy - LIFT * face.size, face.y, face.h, side, height)
    return Crop(left, top, side)


def _place(middle: float, start: float, length: float, side: int, limit: int) -> int:
    """Where a crop begins along one axis: round the middle, round the face, inside the picture."""
    place = round(middle - side / 2)
    place = min(max(place, math.ceil(start + length - side)), max(0, math.floor(start)))
    return min(max(place, 0), limit - side)


def cuts_head(crop: Crop, face: Box) -> bool:
    """Return whether the crop, hence the picture, ends too near the face box for a whole head.

    >>> cuts_head(square_round(400, 400, Box(120, 2, 160, 160)), Box(120, 2, 160, 160))
    True
    """
    return face.y - crop.top < _SCALP * face.size or crop.side < _EARS * face.size


def cut(picture: npt.NDArray[np.uint8], crop: Crop, size: int) -> Image.Image:
    """Return the crop as ``size`` x ``size`` pixels (Lanczos, antialiased where it shrinks).

    >>> cut(np.zeros((8, 9, 3), np.uint8), Crop(1, 0, 8), 4).size
    (4, 4)
    """
    rows = slice(crop.top, crop.top + crop.side)
    columns = slice(crop.left, crop.left + crop.side)
    square = Image.fromarray(np.ascontiguousarray(picture[rows, columns]))
    return square.resize((size, size), Image.Resampling.LANCZOS)
