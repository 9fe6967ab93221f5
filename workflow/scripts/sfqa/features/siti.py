"""Spatial and temporal information (ITU-T P.910) of the luma plane of a video.

Limited-range luma 16..235 is first stretched to 0..255, as ffmpeg's filter siti and siti-tools do;
on the coded range SI and TI would be smaller by the factor 219/255.
"""

from __future__ import annotations

import math
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Luma = npt.NDArray[np.uint8]

#: Luma weights of R'G'B' by the matrix that the decoder used.
MATRICES = {"bt601": (0.299, 0.587, 0.114), "bt709": (0.2126, 0.7152, 0.0722)}
_STRIP = 48


def compute_luma(image: Image, matrix: str = "bt601") -> Luma:
    """Return the luma of a picture, uint8 (height, width) in 0..255, black 0 and white 255.

    ``image``: uint8 RGB (height, width, 3), as decoded from Y'CbCr; with the ``matrix`` that the
    decoder used this is the coded luma plane again, stretched to the full range.

    >>> compute_luma(np.full((2, 2, 3), 7, np.uint8)).tolist()
    [[7, 7], [7, 7]]
    """
    if matrix == "bt601":
        return cast(Luma, cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    weights = np.array([MATRICES[matrix]], np.float32)
    return cast(Luma, cv2.transform(image, weights))


def gradient_moments(picture: Luma) -> tuple[float, float]:
    """Return the mean and the mean square of the Sobel gradient's magnitude, in grey levels.

    Computed over all pixels except the border, where the 3x3 operator is undefined.
    """
    height, width = picture.shape
    total = square = 0.0
    # Strips fit into the processor's cache, which halves the time.
    for top in range(1, height - 1, _STRIP):
        stop = min(top + _STRIP, height - 1)
        gradients = cv2.spatialGradient(picture[top - 1 : stop + 1])
        # Squares are integers with correctly rounded roots, so both sums are exact in double
        # precision and equal on every machine, unlike OpenCV's own magnitude.
        x, y = (np.asarray(g[1:-1, 1:-1], np.float32) for g in gradients)
        squares = x * x + y * y
        square += cv2.sumElems(squares)[0]
        total += cv2.sumElems(np.sqrt(squares))[0]
    count = (height - 2) * (width - 2)
    return total / count, square / count


def compute_deviation(mean: float, square: float) -> float:
    """Return the standard deviation from the mean and the mean square.

    >>> compute_deviation(2.0, 5.0)
    1.0
    """
    return math.sqrt(max(0.0, square - mean * mean))
