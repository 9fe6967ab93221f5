"""Measure changes between successive frames: motion, flicker, smoothness, frozen frames."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from sfqa.features.siti import Luma, compute_deviation

#: A frame repeats the previous one if no block of this side changes by more than this many grey
#: levels on average. Blocks are used because moving lips change the mean of a still picture by less
#: than 0.2. The level is above 0.5 because H.264 at CRF 16 changes the worst block of repeated
#: frames by 1 (median) to 2.2 (95 %). For drawn faces in slow motion 96 % of the repeats are
#: detected with 6 % false positives; in fast motion the worst block changes by about 15.
FROZEN_BLOCK, FROZEN_LEVEL = 16, 2.0


@dataclass
class Motion:
    """Motion measures; call :meth:`add_frame` for every frame, in order.

    ``ti``, ``change`` (mean absolute, grey levels) and ``frozen`` have one entry per pair of
    successive frames, ``residual`` (grey levels) one per three.
    """

    brightness: list[float] = field(default_factory=list)
    ti: list[float] = field(default_factory=list)
    change: list[float] = field(default_factory=list)
    residual: list[float] = field(default_factory=list)
    frozen: list[bool] = field(default_factory=list)
    _last: list[Luma] = field(default_factory=list)

    def add_frame(self, luma: Luma) -> None:
        """Add the luma of the next frame, uint8 (height, width); it is kept for two frames."""
        self.brightness.append(float(cv2.mean(luma)[0]))
        if self._last:
            before = self._last[-1]
            difference = cv2.absdiff(luma, before)
            square = float(cv2.norm(difference, cv2.NORM_L2SQR)) / luma.size
            step = self.brightness[-1] - self.brightness[-2]
            self.ti.append(compute_deviation(step, square))
            self.change.append(float(cv2.mean(difference)[0]))
            self.frozen.append(is_frozen(np.asarray(difference, np.uint8)))
        if len(self._last) == 2:
            self.residual.append(reconstruction_error(self._last[0], self._last[1], luma))
        self._last = [*self._last[-1:], luma]

    def compute_flicker(self) -> float | None:
        """Return the root mean square of the high-passed mean luma, in grey levels.

        The high-pass is half the difference of a frame from the mean of its two neighbours: a ramp
        gives 0, brightness that alternates by +-a gives a. None for fewer than 3 frames.

        >>> Motion(brightness=[10.0, 14.0, 10.0, 14.0]).compute_flicker()
        2.0
        """
        m = np.array(self.brightness)
        if len(m) < 3:
            return None
        high = m[1:-1] / 2 - (m[:-2] + m[2:]) / 4
        return float(np.sqrt(np.mean(np.square(high))))

    def compute_smoothness(self) -> float | None:
        """Return 1 - the mean error of frames predicted from their neighbours / 255.

        Scale of VBench's motion smoothness (Huang et al., CVPR 2024), with the mean of the two
        neighbours instead of an interpolation network. None for fewer than 3 frames.
        """
        return 1 - float(np.mean(self.residual)) / 255 if self.residual else None

    def compute_irregularity(self) -> float | None:
        """Return the mean error of :meth:`compute_smoothness` divided by the mean change.

        It measures jerkiness independently of the amount of motion: 0 for even change or none, 1
        if every second frame repeats the previous one. None for fewer than 3 frames.
        """
        if not self.residual:
            return None
        change = float(np.mean(self.change))
        return float(np.mean(self.residual)) / change if change > 0 else 0.0


def reconstruction_error(before: Luma, picture: Luma, after: Luma) -> float:
    """Return the mean absolute difference, in grey levels, from the mean of both neighbours.

    >>> low, mid, high = (np.full((2, 2), v, np.uint8) for v in (10, 12, 15))
    >>> reconstruction_error(low, mid, high)
    0.5
    """
    around = cv2.add(before, after, dtype=cv2.CV_16S)
    twice = cv2.add(picture, picture, dtype=cv2.CV_16S)
    return float(cv2.norm(twice, around, cv2.NORM_L1)) / (2 * picture.size)


def is_frozen(difference: Luma) -> bool:
    """Return whether two frames are equal within 2 grey levels in every 16x16 block.

    ``difference``: absolute difference of their luma, uint8 (height, width). Rows and columns after
    the last whole block are ignored.

    >>> [is_frozen(np.full((32, 32), level, np.uint8)) for level in (0, 2, 3)]
    [True, True, False]
    """
    height, width = (max(1, n // FROZEN_BLOCK) for n in difference.shape)
    block_area = difference[: height * FROZEN_BLOCK, : width * FROZEN_BLOCK]
    size = (width, height)
    # Means rounded to whole levels are fast and decide most cases.
    rounded_worst = int(np.max(cv2.resize(block_area, size, interpolation=cv2.INTER_AREA)))
    if rounded_worst != round(FROZEN_LEVEL):
        return rounded_worst < FROZEN_LEVEL
    exact = cv2.resize(block_area.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return float(np.max(exact)) <= FROZEN_LEVEL
