"""Distances of lip and sound features at every shift, and LSE-D, LSE-C and offset."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sfqa.arrays import Floats

FPS = 25
SAMPLES_PER_FRAME = 640  # 16 kHz / 25 fps
_WINDOW = 5
#: Added to every difference before the norm, as torch's pairwise_distance does.
_EPS = 1e-6


class LseScores(NamedTuple):
    """Scores of one face track.

    ``lse_d``: the smallest mean distance (lower is better); ``lse_c``: the median of the mean
    distances minus the smallest (higher is better); ``offset`` in frames at 25 fps, positive where
    the sound comes before the picture.
    """

    lse_d: float
    lse_c: float
    offset: int


def frames_at_25(frames: int, fps: float) -> list[int]:
    """Return the frames of a video to show at 25 frames per second: the nearest in time.

    At 25 fps these are all frames, once each.

    >>> frames_at_25(4, 25.0), frames_at_25(6, 50.0), frames_at_25(2, 12.5)
    ([0, 1, 2, 3], [0, 2, 4], [0, 1, 1, 1])
    """
    count = int(frames / fps * FPS + 0.5)
    return [min(frames - 1, int(i * fps / FPS + 0.5)) for i in range(count)]


def window_count(frames: int, samples: int) -> int:
    """Return the number of windows of 5 frames that are scored for given frames and 16 kHz samples.

    Like the reference, this leaves out the last full window.

    >>> window_count(150, 6 * 16000)
    145
    >>> window_count(3, 16000)
    0
    """
    return max(0, min(frames, samples // SAMPLES_PER_FRAME) - _WINDOW)


def compute_distances(
    lip: npt.NDArray[np.float32], audio: npt.NDArray[np.float32], max_shift: int = 15
) -> Floats:
    """Return the distance (windows, 2 * max_shift + 1) of lip window v to sound window v + shift.

    ``lip`` and ``audio`` are features (windows, size). Shifts run from -max_shift to +max_shift
    frames; beyond the ends the sound's features are zeros. Euclidean distance of features that are
    not normalised (Chung and Zisserman 2016; joonson/syncnet_python). Raises ``ValueError`` for
    features of different shapes.
    """
    if lip.shape != audio.shape or lip.ndim != 2:
        raise ValueError(f"features of shapes {lip.shape} and {audio.shape}")
    windows = len(lip)
    left = lip.astype(np.float64) + _EPS
    right = np.pad(audio.astype(np.float64), ((max_shift, max_shift), (0, 0)))
    shifts = range(2 * max_shift + 1)
    each = [np.linalg.norm(left - right[k : k + windows], axis=1) for k in shifts]
    return np.stack(each, axis=1)


def compute_scores(mean_distance: Floats) -> LseScores:
    """Return LSE-D, LSE-C (Prajwal et al., ACM MM 2020) and the offset of mean distances (shifts,).

    Raises ``ValueError`` for an even number of shifts: they must lie around zero.

    >>> compute_scores(np.array([9.0, 8.0, 5.0, 8.0, 10.0]))
    LseScores(lse_d=5.0, lse_c=3.0, offset=0)
    """
    if mean_distance.size % 2 == 0:
        raise ValueError(f"{mean_distance.size} shifts do not lie around zero")
    best = int(np.argmin(mean_distance))
    least = float(mean_distance[best])
    return LseScores(least, float(np.median(mean_distance)) - least, mean_distance.size // 2 - best)
