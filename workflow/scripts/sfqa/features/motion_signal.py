"""How the pictures of a video follow one another: change, flicker, smoothness, stand-stills."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from sfqa.features.siti import Luma, deviation

#: A picture repeats the one before when no block of this side has changed by more than this many
#: grey levels on average. Blocks, since lips that move in a still picture change its mean by under
#: 0.2; and not 0.5 levels, since H.264 at CRF 16 changes the worst block of repeated pictures by
#: 1 (median) to 2.2 (95 %). Drawn faces in slow motion: 96 % of the repeats found, 6 % of the
#: others taken for one (none of them in quick motion, whose worst block changes by about 15).
FROZEN_BLOCK, FROZEN_LEVEL = 16, 2.0


@dataclass
class Motion:
    """Measures that grow picture by picture; feed it with every picture, in order.

    ``ti``, ``change`` (mean absolute, grey levels) and ``frozen`` have one entry per pair of
    neighbours, ``residual`` (grey levels) one per three of them.
    """

    brightness: list[float] = field(default_factory=list)
    ti: list[float] = field(default_factory=list)
    change: list[float] = field(default_factory=list)
    residual: list[float] = field(default_factory=list)
    frozen: list[bool] = field(default_factory=list)
    _last: list[Luma] = field(default_factory=list)

    def feed(self, luma: Luma) -> None:
        """Add the luma of the next picture, uint8 (height, width) in 0..255; it is kept for two."""
        self.brightness.append(float(cv2.mean(luma)[0]))
        if self._last:
            before = self._last[-1]
            difference = cv2.absdiff(luma, before)
            square = float(cv2.norm(difference, cv2.NORM_L2SQR)) / luma.size
            step = self.brightness[-1] - self.brightness[-2]
            self.ti.append(deviation(step, square))
            self.change.append(float(cv2.mean(difference)[0]))
            self.frozen.append(stands_still(np.asarray(difference, np.uint8)))
        if len(self._last) == 2:
            self.residual.append(reconstruction_error(self._last[0], self._last[1], luma))
        self._last = [*self._last[-1:], luma]

    def flicker(self) -> float | None:
        """Return the root mean square of the high-passed mean luma, in grey levels.

        The high-pass takes half of what a picture has above the mean of its two neighbours: a
        ramp gives 0, brightness that alternates by +-a gives a. None below 3 pictures.

        >>> Motion(brightness=[10.0, 14.0, 10.0, 14.0]).flicker()
        2.0
        """
        m = np.array(self.brightness)
        if len(m) < 3:
            return None
        high = m[1:-1] / 2 - (m[:-2] + m[2:]) / 4
        return float(np.sqrt(np.mean(np.square(high))))

    def smoothness(self) -> float | None:
        """Return 1 - the mean error of pictures made from their neighbours / 255; None below 3.

        The scale of VBench's motion smoothness (Huang et al., CVPR 2024), with the mean of the two
        neighbours in the place of an interpolation network.
        """
        return 1 - float(np.mean(self.residual)) / 255 if self.residual else None

    def irregularity(self) -> float | None:
        """Return the mean error of :meth:`smoothness` over the mean change; None below 3 pictures.

        The jerk of the motion free of its amount: 0 for even change and for none at all, 1 for a
        video in which every other picture repeats the one before.
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


def stands_still(difference: Luma) -> bool:
    """Say whether two pictures are the same to within 2 grey levels in every 16x16 block.

    ``difference``: absolute difference of their luma, uint8 (height, width). Rows and columns
    beyond the last whole block belong to no block.

    >>> [stands_still(np.full((32, 32), level, np.uint8)) for level in (0, 2, 3)]
    [True, True, False]
    """
    height, width = (max(1, n // FROZEN_BLOCK) for n in difference.shape)
    whole = difference[: height * FROZEN_BLOCK, : width * FROZEN_BLOCK]
    size = (width, height)
    # Means rounded to whole levels are quick and mostly tell.
    worst = int(np.max(cv2.resize(whole, size, interpolation=cv2.INTER_AREA)))
    if worst != round(FROZEN_LEVEL):
        return worst < FROZEN_LEVEL
    exact = cv2.resize(whole.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return float(np.max(exact)) <= FROZEN_LEVEL
