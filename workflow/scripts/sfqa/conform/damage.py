"""Where the picture of a video stands still or is black."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

VERSION = 1

#: Side in pixels of the square grey pictures looked at, and how many blocks fit along it.
SIDE, _BLOCKS = 64, 16
#: Two pictures are the same where no block differs by this mean absolute grey level (of 255).
#: Still faces encoded at CRF 18 to 28 differ by up to 2.7; of 36 real generator videos none
#: stays below 3 for over 0.2 s. ffmpeg's freezedetect takes the mean of the whole picture, 0.26 by
#: default, and misses that only the lips move.
STILL_LEVEL = 3.0
#: Shorter runs are low frame rates and held poses.
STILL_SEC = 0.5
#: Black is what ffmpeg's blackdetect takes for it: 98 % of the pixels up to 10 % of full range.
BLACK_LEVEL, BLACK_SHARE = 25, 0.98

Grey = npt.NDArray[np.uint8]


class Runs(NamedTuple):
    """Longest and summed length in seconds of runs."""

    longest_sec: float
    total_sec: float


def measure(small: bytes, fps: float) -> dict[str, float]:
    """Return frozen_longest_sec, frozen_total_sec and black_total_sec of grey pictures.

    ``small``: uint8 grey pictures of SIDE x SIDE pixels, full range, one after the other.

    >>> measure(bytes(50 * SIDE * SIDE), 25.0)
    {'frozen_longest_sec': 2.0, 'frozen_total_sec': 2.0, 'black_total_sec': 2.0}
    """
    pictures = np.frombuffer(small, np.uint8).reshape(-1, SIDE, SIDE)
    runs = frozen(pictures, fps)
    return {
        "frozen_longest_sec": runs.longest_sec,
        "frozen_total_sec": runs.total_sec,
        "black_total_sec": float(black(pictures).sum()) / fps,
    }


def frozen(pictures: Grey, fps: float) -> Runs:
    """Return the longest run of pictures that stay like the run's first one, and the sum of runs.

    ``pictures``: uint8 (n, SIDE, SIDE). A run of n pictures lasts n / fps seconds; runs shorter
    than STILL_SEC are none, and make ``longest_sec`` 0 where there is no other.
    """
    cuts = [0]
    for number in range(1, len(pictures)):
        if _difference(pictures[cuts[-1]], pictures[number]) >= STILL_LEVEL:
            cuts.append(number)
    lengths = [(b - a) / fps for a, b in pairwise([*cuts, len(pictures)])]
    runs = [length for length in lengths if length >= STILL_SEC]
    return Runs(max(runs, default=0.0), float(sum(runs)))


def _difference(one: Grey, other: Grey) -> float:
    """The mean absolute difference in the block where it is largest."""
    step = SIDE // _BLOCKS
    apart = np.abs(one.astype(np.int16) - other)
    return float(apart.reshape(_BLOCKS, step, _BLOCKS, step).mean((1, 3)).max())


def black(pictures: Grey) -> npt.NDArray[np.bool_]:
    """Return for each picture, uint8 (n, SIDE, SIDE), whether it is black."""
    share = (pictures <= BLACK_LEVEL).mean((1, 2))
    return np.asarray(share >= BLACK_SHARE)
