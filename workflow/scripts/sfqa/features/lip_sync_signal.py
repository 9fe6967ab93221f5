"""Correlate mouth opening and loudness: strength, and the shift with the best fit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sfqa.arrays import Floats

#: Slower changes than about this, one to two syllables, are removed: posture and phrasing agree at
#: many shifts. Tuned, with the floor, on 31 real talking heads of six generators (0.2 s to 1 s and
#: 20 to 40 dB were tried).
WINDOW_SEC = 0.36
#: Loudness is clipped this far below the loudest frame; otherwise pauses outweigh speech.
FLOOR_DB = 20.0
#: Every shift must leave an overlap of at least this many times the largest shift.
_OVERLAP = 2


class Sync(NamedTuple):
    """The best correlation, its shift in frames (lips late where positive), and that at 0."""

    correlation: float
    offset: int
    zero: float


def compute_level(sound: npt.NDArray[np.float32], rate: int, fps: float) -> Floats:
    """Return the loudness of each whole frame in dB of full scale, shape (frames,).

    ``sound``: mono in [-1, 1] at ``rate`` hertz. RMS per frame, smoothed over three frames and
    clipped at 20 dB below the loudest.

    >>> compute_level(np.full(3200, 0.1, np.float32), 16000, 25.0).round(3).tolist()
    [-20.0, -20.0, -20.0, -20.0, -20.0]
    """
    frames = int(len(sound) / rate * fps + 1e-6)
    if frames == 0:
        return np.zeros(0)
    edges = np.round(np.arange(frames + 1) * rate / fps).astype(np.int64).clip(0, len(sound))
    power = np.concatenate([[0.0], np.cumsum(np.square(sound, dtype=np.float64))])
    rms = np.sqrt(np.maximum(np.diff(power[edges]), 0) / np.maximum(np.diff(edges), 1))
    level = 20 * np.log10(np.maximum(rms, 1e-6))
    level = np.maximum(level, level.max() - FLOOR_DB)
    padded = np.pad(level, 1, mode="edge")
    return np.asarray((padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4)


def window_frames(fps: float) -> int:
    """Return the length of the window in frames, an odd number of at least 3.

    >>> window_frames(25.0), window_frames(50.0), window_frames(5.0)
    (9, 19, 3)
    """
    return max(3, 2 * int(WINDOW_SEC * fps / 2) + 1)


def high_pass(values: Floats, window: int) -> Floats:
    """Subtract the running mean over an odd window; half a window is lost at each end.

    >>> high_pass(np.array([1.0, 1.0, 4.0, 1.0, 1.0]), 3).round(9).tolist()
    [-1.0, 2.0, -1.0]
    """
    mean = np.convolve(values, np.full(window, 1 / window), mode="valid")
    return np.asarray(values[window // 2 : len(values) - window // 2] - mean)


def motion_range(opening: Floats, window: int) -> float:
    """Return the motion range of a mouth: mean over windows of largest minus smallest opening.

    >>> motion_range(np.array([0.0, 1.0, 0.0, 0.0, 0.0]), 3)
    0.6666666666666666
    """
    views = np.lib.stride_tricks.sliding_window_view(opening, min(window, len(opening)))
    return float(np.mean(views.max(axis=1) - views.min(axis=1)))


def count_needed_frames(max_shift: int, window: int) -> int:
    """Return the number of frames that :func:`compare_signals` needs.

    >>> count_needed_frames(15, 9)
    53
    """
    return (1 + _OVERLAP) * max_shift + window - 1


def compare_signals(lips: Floats, level: Floats, max_shift: int, window: int) -> Sync | None:
    """Correlate lips and loudness at all shifts; returns None if either is constant.

    ``lips`` and ``level``: one value per frame, same length. Both are high-passed. Pearson's
    correlation is computed over the overlap at each shift of -``max_shift`` to ``max_shift``
    frames. The best shift has the largest correlation, because lips open when sound is loud; ties
    go to the smallest shift.
    """
    fast_lips, fast_level = high_pass(lips, window), high_pass(level, window)
    if min(np.ptp(fast_lips), np.ptp(fast_level)) < 1e-9:
        return None
    correlations = {
        shift: _correlate_shifted(fast_lips, fast_level, shift)
        for shift in range(-max_shift, max_shift + 1)
    }
    offset = max(correlations, key=lambda shift: (correlations[shift], -abs(shift), shift))
    return Sync(correlations[offset], offset, correlations[0])


def _correlate_shifted(lips: Floats, level: Floats, shift: int) -> float:
    """Correlate the lips with the level ``shift`` frames earlier; 0 if one is constant."""
    late, early = max(shift, 0), max(-shift, 0)
    a, b = lips[late : len(lips) - early], level[early : len(level) - late]
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt(np.sum(a * a) * np.sum(b * b)))
    return float(np.sum(a * b)) / scale if scale > 1e-12 else 0.0
