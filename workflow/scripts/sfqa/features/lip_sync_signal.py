"""Whether the mouth opens when the sound grows loud: correlation and the shift that fits best."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: Only faster changes than about this count: the length of one to two syllables. The slower
#: course of lips and loudness is posture and phrasing, which agrees at many shifts. Chosen, with
#: the floor, on 31 real talking heads of six generators (0.2 s to 1 s, 20 to 40 dB were tried).
WINDOW_SEC = 0.36
#: Loudness is cut off this far below the loudest frame, where pauses would else outweigh speech.
FLOOR_DB = 20.0
#: Every shift must leave at least this many times the greatest shift to compare.
_OVERLAP = 2


class Sync(NamedTuple):
    """The best correlation, its shift in frames (lips late where positive), and that at 0."""

    correlation: float
    offset: int
    zero: float


def loudness(sound: npt.NDArray[np.float32], rate: int, fps: float) -> Floats:
    """Return the loudness under each whole frame, in dB of full scale, shape (frames,).

    ``sound``: mono in -1..1 at ``rate`` hertz. The RMS of a frame, smoothed over three, no lower
    than 20 dB below the loudest.

    >>> loudness(np.full(3200, 0.1, np.float32), 16000, 25.0).round(3).tolist()
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
    """Return values less their running mean over an odd window; half of it is lost at each end.

    >>> high_pass(np.array([1.0, 1.0, 4.0, 1.0, 1.0]), 3).round(9).tolist()
    [-1.0, 2.0, -1.0]
    """
    mean = np.convolve(values, np.full(window, 1 / window), mode="valid")
    return np.asarray(values[window // 2 : len(values) - window // 2] - mean)


def motion_range(opening: Floats, window: int) -> float:
    """Return how far a mouth moves: the mean over windows of the greatest less the least opening.

    >>> motion_range(np.array([0.0, 1.0, 0.0, 0.0, 0.0]), 3)
    0.6666666666666666
    """
    views = np.lib.stride_tricks.sliding_window_view(opening, min(window, len(opening)))
    return float(np.mean(views.max(axis=1) - views.min(axis=1)))


def least_frames(max_shift: int, window: int) -> int:
    """Return how many frames :func:`compare` needs.

    >>> least_frames(15, 9)
    53
    """
    return (1 + _OVERLAP) * max_shift + window - 1


def compare(lips: Floats, level: Floats, max_shift: int, window: int) -> Sync | None:
    """Return how well the lips follow the loudness, or None where either does not change.

    ``lips`` and ``level``: one value per frame, of one length. Both are high-passed; Pearson's
    correlation is taken over what overlaps at each shift of -``max_shift``..``max_shift`` frames.
    The best is the greatest, since lips open when it grows loud; of equals the smallest shift.
    """
    quick, loud = high_pass(lips, window), high_pass(level, window)
    if min(np.ptp(quick), np.ptp(loud)) < 1e-9:
        return None
    found = {shift: _pearson(quick, loud, shift) for shift in range(-max_shift, max_shift + 1)}
    offset = max(found, key=lambda shift: (found[shift], -abs(shift), shift))
    return Sync(found[offset], offset, found[0])


def _pearson(lips: Floats, level: Floats, shift: int) -> float:
    """Correlation of lips with the level ``shift`` frames before; 0 where one is constant."""
    late, early = max(shift, 0), max(-shift, 0)
    a, b = lips[late : len(lips) - early], level[early : len(level) - late]
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt(np.sum(a * a) * np.sum(b * b)))
    return float(np.sum(a * b)) / scale if scale > 1e-12 else 0.0
