"""Find frozen and black parts of a video."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

VERSION = 1

#: Side in pixels of the square grey pictures that are compared, and number of blocks per side.
SIDE, _BLOCKS = 64, 16
#: Two pictures are equal if no block differs by this mean absolute grey level (of 255). Still faces
#: encoded at CRF 18 to 28 differ by up to 2.7; of 36 real generator videos none stays below 3 for
#: over 0.2 s. ffmpeg's freezedetect compares the mean of the whole picture (0.26 by default) and
#: overlooks moving lips in a still picture.
STILL_LEVEL = 3.0
#: Shorter runs are caused by low frame rates and held poses.
STILL_SEC = 0.5
#: Black as in ffmpeg's blackdetect: 98 % of the pixels are at most 10 % of full range.
BLACK_LEVEL, BLACK_SHARE = 25, 0.98

Grey = npt.NDArray[np.uint8]


class Runs(NamedTuple):
    """Length in seconds of the longest run, and of all runs together."""

    longest_sec: float
    total_sec: float


def measure_damage(grey_bytes: bytes, fps: float) -> dict[str, float]:
    """Return frozen_longest_sec, frozen_total_sec and black_total_sec of grey pictures.

    ``grey_bytes``: consecutive uint8 grey pictures of SIDE x SIDE pixels, full range.

    >>> measure_damage(bytes(50 * SIDE * SIDE), 25.0)
    {'frozen_longest_sec': 2.0, 'frozen_total_sec': 2.0, 'black_total_sec': 2.0}
    """
    pictures = np.frombuffer(grey_bytes, np.uint8).reshape(-1, SIDE, SIDE)
    runs = find_frozen_runs(pictures, fps)
    return {
        "frozen_longest_sec": runs.longest_sec,
        "frozen_total_sec": runs.total_sec,
        "black_total_sec": float(find_black(pictures).sum()) / fps,
    }


def find_frozen_runs(pictures: Grey, fps: float) -> Runs:
    """Return the length of the longest frozen run and of all frozen runs.

    ``pictures``: uint8 (n, SIDE, SIDE). A run is a sequence of pictures that differ from its first
    one by less than STILL_LEVEL in every block; n pictures last n / fps seconds. Runs shorter than
    STILL_SEC are ignored; without a run both values are 0.
    """
    run_starts = [0]
    for index in range(1, len(pictures)):
        if _max_block_difference(pictures[run_starts[-1]], pictures[index]) >= STILL_LEVEL:
            run_starts.append(index)
    lengths = [(b - a) / fps for a, b in pairwise([*run_starts, len(pictures)])]
    runs = [length for length in lengths if length >= STILL_SEC]
    return Runs(max(runs, default=0.0), float(sum(runs)))


def _max_block_difference(first: Grey, second: Grey) -> float:
    """Return the largest mean absolute difference of all blocks."""
    step = SIDE // _BLOCKS
    difference = np.abs(first.astype(np.int16) - second)
    return float(difference.reshape(_BLOCKS, step, _BLOCKS, step).mean((1, 3)).max())


def find_black(pictures: Grey) -> npt.NDArray[np.bool_]:
    """Return for each picture, uint8 (n, SIDE, SIDE), whether it is black."""
    share = (pictures <= BLACK_LEVEL).mean((1, 2))
    return np.asarray(share >= BLACK_SHARE)
