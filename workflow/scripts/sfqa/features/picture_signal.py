"""Quality measures of single pictures that need no trained weights."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from sfqa.features.siti import Image, Luma, compute_deviation, gradient_moments

#: Immerkaer's operator: the difference of two Laplacians, zero for any linear gradient.
_NOISE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_BLOCK = 8
#: Keeps the blockiness ratio finite in uniform pictures; in grey levels, far below any texture.
_FLAT = 0.01
#: ffmpeg's filter blackdetect: 98 % of the pixels in the lowest tenth of the range.
_BLACK, _BLACK_SHARE = 25, 0.98


class PictureMeasures(NamedTuple):
    """The measures of one picture; grey levels run from 0 (black) to 255 (white)."""

    si: float
    tenengrad: float
    sharpness: float
    contrast: float
    brightness: float
    colourfulness: float
    blockiness: float
    noise: float


def measure_picture(image: Image, luma: Luma) -> PictureMeasures:
    """Measure a picture of at least 16x16 pixels.

    ``image``: uint8 RGB (height, width, 3); ``luma``: its luma, uint8 (height, width).
    """
    mean, square = gradient_moments(luma)
    brightness, contrast = (float(v[0, 0]) for v in cv2.meanStdDev(luma))
    return PictureMeasures(
        si=compute_deviation(mean, square),
        tenengrad=square,
        sharpness=laplacian_variance(luma),
        contrast=contrast / 255,
        brightness=brightness,
        colourfulness=compute_colourfulness(image),
        blockiness=compute_blockiness(luma),
        noise=estimate_noise(luma),
    )


def laplacian_variance(luma: Luma) -> float:
    """Return the variance of the Laplacian (4 neighbours), in square grey levels.

    Source: Pech-Pacheco et al., ICPR 2000.

    >>> laplacian_variance(np.full((16, 16), 9, np.uint8))
    0.0
    """
    spread = cv2.meanStdDev(cv2.Laplacian(luma, cv2.CV_16S))[1]
    return float(spread[0, 0]) ** 2


def compute_colourfulness(image: Image) -> float:
    """Return the metric M of Hasler and Suesstrunk (2003) on R'G'B' in 0..255.

    The length of the standard deviations of rg = R - G and yb = (R + G) / 2 - B, plus 0.3 times
    the length of their means. About 0 for grey, 109 for extremely colourful pictures.

    >>> compute_colourfulness(np.full((16, 16, 3), 90, np.uint8))
    0.0
    """
    red, green, blue = cv2.split(image)
    r, g, b = cv2.mean(image)[:3]
    # The opponent pictures need not be made: the mean squares of the differences of two channels
    # hold those of rg and, since 2 (R - B)(G - B) = (R - B)^2 + (G - B)^2 - (R - G)^2, of yb too.
    rg_square, rb_square, gb_square = (
        cv2.norm(first, second, cv2.NORM_L2SQR) / red.size
        for first, second in ((red, green), (red, blue), (green, blue))
    )
    rg, yb = r - g, (r + g) / 2 - b
    yb_square = (rb_square + gb_square) / 2 - rg_square / 4
    return math.hypot(
        compute_deviation(rg, rg_square), compute_deviation(yb, yb_square)
    ) + 0.3 * math.hypot(rg, yb)


def compute_blockiness(luma: Luma) -> float:
    """Return the ratio of luma steps across the 8x8 grid to those inside its blocks.

    B / A of Wang, Sheikh and Bovik (ICIP 2002): mean absolute difference of neighbours across block
    borders (B) and within blocks (A), averaged over rows and columns. 1 means no visible grid. The
    grid must start in the upper left corner: a grid stretched by resizing is not detected.

    >>> compute_blockiness(np.full((16, 16), 9, np.uint8))
    1.0
    """
    sides = [_measure_steps(luma, axis) for axis in (0, 1)]
    border = sum(b for b, _ in sides) / 2
    inside = sum(a for _, a in sides) / 2
    return (border + _FLAT) / (inside + _FLAT)


def _measure_steps(luma: Luma, axis: int) -> tuple[float, float]:
    """Return B and A of the paper along one axis: 0 down the rows, 1 across the columns."""
    if axis == 1:
        steps = cv2.absdiff(luma[:, 1:], luma[:, :-1])
    else:
        steps = cv2.absdiff(luma[1:], luma[:-1])
    sums: npt.NDArray[np.int32] = np.ravel(
        np.asarray(cv2.reduce(steps, 1 - axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S), np.int32)
    )
    other = luma.shape[1 - axis]
    length = luma.shape[axis]
    border = float(sums[_BLOCK - 1 :: _BLOCK].sum()) / (other * ((length - 1) // _BLOCK))
    # As published: 8 times the mean over all steps, less the borders, over the 7 other steps.
    inside = (_BLOCK * float(sums.mean()) / other - border) / (_BLOCK - 1)
    return border, max(inside, 0.0)


def estimate_noise(luma: Luma) -> float:
    """Return the standard deviation of the noise in grey levels (Immerkaer, 1996).

    Fine texture counts as noise, so a sharp picture has a floor of a few grey levels.

    >>> estimate_noise(np.full((16, 16), 9, np.uint8))
    0.0
    """
    height, width = luma.shape
    response = cv2.filter2D(luma, cv2.CV_16S, _NOISE)[1:-1, 1:-1]
    total = float(cv2.norm(response, cv2.NORM_L1))
    return math.sqrt(math.pi / 2) * total / (6 * (width - 2) * (height - 2))


def is_black(luma: Luma, brightness: float) -> bool:
    """Return whether a picture is black: 98 % of its pixels are in the lowest tenth of the range.

    ``brightness``: mean of ``luma``. Source: defaults of ffmpeg's filter blackdetect.

    >>> is_black(np.full((16, 16), 25, np.uint8), 25.0)
    True
    """
    # A picture with that share of black cannot be brighter, so most need no counting.
    if brightness > _BLACK_SHARE * _BLACK + (1 - _BLACK_SHARE) * 255:
        return False
    return int(np.count_nonzero(luma <= _BLACK)) >= _BLACK_SHARE * luma.size
