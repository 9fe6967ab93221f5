"""Fragments of FAST-VQA: 7x7 pieces of 32x32 pixels, cut from a grid and joined to 224x224.

The pieces are neither resized nor smoothed, so blur and artefacts keep their size. All 32 frames of
a clip are cut at the same places.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sfqa.arrays import Ints
from sfqa.features.base import UnusableError
from sfqa.features.bilinear import interpolate_pixels
from sfqa.features.random_draws import RandomDraws
from sfqa.media import Pixels

GRID, PIECE = 7, 32
SIZE = GRID * PIECE

#: What is done with pictures of less than 224 pixels (options of the extractors).
OFFICIAL, WHOLE = "official", "whole"


@dataclass(frozen=True)
class FragmentGrid:
    """Where the pieces of each clip begin: ``tops`` and ``lefts`` (7, 7, clips) in pixels."""

    tops: Ints
    lefts: Ints

    def cut(self, picture: Pixels, clip: int) -> Pixels:
        """Return the fragments (224, 224, 3) of a picture (height, width, 3) of a clip."""
        fragments = np.empty((SIZE, SIZE, 3), np.uint8)
        for row, column in np.ndindex(GRID, GRID):
            top, left = self.tops[row, column, clip], self.lefts[row, column, clip]
            piece = picture[top : top + PIECE, left : left + PIECE]
            y, x = row * PIECE, column * PIECE
            fragments[y : y + PIECE, x : x + PIECE] = piece
        return fragments


def draw_grid(height: int, width: int, clips: int, draws: RandomDraws) -> FragmentGrid:
    """Draw a piece in every cell of the grid for each clip: first all rows, then all columns.

    Cells are ``height // 7`` pixels high; a cell of 32 pixels or less draws nothing. Raises
    :class:`UnusableError` for pictures of less than 32 pixels.

    >>> draw_grid(224, 224, 1, RandomDraws(0)).tops[:, 0, 0].tolist()
    [0, 32, 64, 96, 128, 160, 192]
    """
    if min(height, width) < PIECE:
        raise UnusableError(f"too_small: {width}x{height} pixels; fragments need {PIECE}x{PIECE}")
    shape = (GRID, GRID, clips)
    offsets = []
    for side in (height, width):
        room = side // GRID - PIECE
        offsets.append(draws.draw_places(room, shape) if room > 0 else np.zeros(shape, np.int64))
    rows, columns = (
        np.minimum(np.arange(GRID) * (side // GRID), side - PIECE) for side in (height, width)
    )
    return FragmentGrid(rows[:, None, None] + offsets[0], columns[None, :, None] + offsets[1])


def enlarge_small(picture: Pixels) -> Pixels:
    """Enlarge a picture of less than 224 pixels; a larger one stays as it is.

    As the official code: the shorter side becomes 224 pixels, or 223 where the quotient is not
    exact; bilinear on numbers from 0 to 1, then cut off to bytes, not rounded.

    >>> enlarge_small(np.zeros((112, 200, 3), np.uint8)).shape
    (224, 400, 3)
    """
    height, width = picture.shape[:2]
    ratio = min(height / SIZE, width / SIZE)
    if ratio >= 1:
        return picture
    enlarged = interpolate_pixels(picture, 255.0, channels_apart=True, scale_factor=1 / ratio)
    return (enlarged * np.float32(255)).astype(np.uint8)
