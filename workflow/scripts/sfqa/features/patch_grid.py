"""Patches of a picture on a grid, and which of them are the most salient."""

from __future__ import annotations

import numpy as np

from sfqa import media
from sfqa.arrays import AnyArray, Floats32, Ints
from sfqa.features.base import UnusableError

#: Side of a patch, and distance of neighbouring ones, in pixels.
SIZE, STEP = 224, 200
#: Number of salient patches that the official script of DNN-RNT keeps.
SALIENT = 25
#: Side of the picture whose salience is computed.
_MAP_SIDE = 64


def list_corners(height: int, width: int) -> Ints:
    """Return row and column of the upper left pixel of every patch, (patches, 2), row by row.

    The last patch of a row or column ends with the picture. As in the official script a row of
    patches that fits exactly counts twice, a column does not. Raises :class:`UnusableError` for a
    picture smaller than a patch.

    >>> list_corners(424, 512).tolist()[:4], len(list_corners(424, 512))
    ([[0, 0], [0, 200], [0, 288], [200, 0]], 9)
    """
    if min(height, width) < SIZE:
        raise UnusableError(
            f"small: the picture has {width}x{height} pixels, a patch of {SIZE} does not fit"
        )
    last_row, last_column = height - SIZE, width - SIZE
    rows = [*range(0, last_row + 1, STEP), last_row]
    columns = [*range(0, last_column, STEP), last_column]
    return np.array([(row, column) for row in rows for column in columns], np.int64)


def cut_patch(picture: AnyArray, corner: Ints) -> AnyArray:
    """Return the patch (224, 224, ..) of a picture (height, width, ..), without a copy."""
    row, column = corner
    return picture[row : row + SIZE, column : column + SIZE]


def compute_spectral_residual(picture: media.Pixels) -> Floats32:
    """Return the salience of an RGB picture, (64, 64), by the spectral residual.

    Source: Hou and Zhang, "Saliency Detection: A Spectral Residual Approach", CVPR 2007. It stands
    in for FES, the MATLAB model of the official code.
    """
    import cv2

    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    side = (_MAP_SIDE, _MAP_SIDE)
    small = cv2.resize(grey, side, interpolation=cv2.INTER_AREA).astype(np.float32)
    spectrum = np.fft.fft2(small)
    magnitude = np.log(np.abs(spectrum) + 1e-9).astype(np.float32)
    residual = magnitude - cv2.blur(magnitude, (3, 3))
    salience = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
    return np.asarray(cv2.GaussianBlur(salience.astype(np.float32), (0, 0), 2.5))


def select_salient(picture: media.Pixels, corners: Ints, count: int = SALIENT) -> Ints:
    """Return the corners of the ``count`` patches with the largest sums of salience.

    The most salient is the first; a smaller grid is returned as it is.
    """
    import cv2

    if len(corners) <= count:
        return corners
    height, width = picture.shape[:2]
    salience = cv2.resize(compute_spectral_residual(picture), (width, height))
    sums = np.array([float(cut_patch(salience, corner).sum()) for corner in corners])
    return corners[np.argsort(-sums, kind="stable")[:count]]
