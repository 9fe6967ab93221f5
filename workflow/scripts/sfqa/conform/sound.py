"""Compare a video's own sound with the clip that drove it: offset, similarity, lost end."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.signal import correlate, correlation_lags

from sfqa.media import Sound

#: Sample rate in hertz of the comparison.
RATE = 16000
#: Largest offset that is searched; no generator shifts a clip further.
MAX_OFFSET_SEC = 5.0
#: Below this normalised correlation the sound is not the clip's. Among 11 real clips two different
#: ones reach 0.14; the sound of real videos and its own clip reach at least 0.985.
WEAK_MATCH = 0.3
#: A shift must leave this share of the shorter sound as overlap.
_OVERLAP = 0.5
#: The audible sound ends at the last 20 ms within this range of the loudest ones.
_QUIET_DB, _WINDOW = -50.0, RATE // 50


class SoundComparison(NamedTuple):
    """Result of the comparison; a value is None if it cannot be determined."""

    match: float
    offset_sec: float | None
    lost_tail_sec: float | None


def compare_sounds(own: Sound, clip: Sound) -> SoundComparison | None:
    """Compare a video's own sound with its driving clip, both mono at RATE.

    ``match``: the largest absolute cross-correlation over shifts up to MAX_OFFSET_SEC, normalised
    by the energy of both in the overlap, 0 to 1. ``offset_sec``: the shift of that peak, refined by
    a parabola; positive if the video's sound is late. ``lost_tail_sec``: duration of the clip's
    audible sound after the video's sound has ended. Returns None if one of the two is silent;
    offset and tail are None if the match is below WEAK_MATCH.

    >>> noise = np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32)
    >>> comparison = compare_sounds(np.concatenate([np.zeros(800, np.float32), noise]), noise)
    >>> [round(float(value), 4) for value in comparison]
    [1.0, 0.05, 0.0]
    """
    if not own.any() or not clip.any():
        return None
    shifts = correlation_lags(len(own), len(clip))
    overlap = np.minimum(len(own), shifts + len(clip)) - np.maximum(0, shifts)
    allowed = np.abs(shifts) <= MAX_OFFSET_SEC * RATE
    allowed &= overlap >= _OVERLAP * min(len(own), len(clip))
    shifts = shifts[allowed]
    correlation = correlate(own.astype(np.float64), clip.astype(np.float64), method="fft")[allowed]
    peak = int(np.argmax(np.abs(correlation)))
    shift = int(shifts[peak])
    a = own[max(0, shift) : max(0, shift + len(clip))].astype(np.float64)
    b = clip[max(0, -shift) : max(0, len(own) - shift)].astype(np.float64)
    energy = float(np.sqrt(np.sum(a * a) * np.sum(b * b)))
    # rounded, because the last digits of a Fourier transform differ between processors
    match = round(min(1.0, abs(float(correlation[peak])) / energy), 6) if energy > 0 else 0.0
    if match < WEAK_MATCH:
        return SoundComparison(match, None, None)
    offset = round((shift + _interpolate_peak(np.abs(correlation), peak)) / RATE, 6)
    lost_tail = max(0.0, find_audible_end(clip) + offset - find_audible_end(own))
    return SoundComparison(match, offset, round(lost_tail, 6))


def _interpolate_peak(values: npt.NDArray[np.float64], peak: int) -> float:
    """Return the offset of a peak, -1/2 to 1/2 samples, from a parabola through its neighbours."""
    if not 0 < peak < len(values) - 1:
        return 0.0
    before, top, after = values[peak - 1 : peak + 2]
    curve = before - 2 * top + after
    return float(np.clip((before - after) / (2 * curve), -0.5, 0.5)) if curve < 0 else 0.0


def find_audible_end(sound: Sound) -> float:
    """Return the end in seconds of the last 20 ms within 50 dB of the loudest ones; 0 for silence.

    >>> find_audible_end(np.concatenate([np.ones(RATE), np.zeros(RATE)]).astype(np.float32))
    1.0
    """
    window_count = -(-len(sound) // _WINDOW)
    padded = np.zeros(window_count * _WINDOW)
    padded[: len(sound)] = sound
    power = np.square(padded).reshape(window_count, _WINDOW).mean(1)
    if not power.any():
        return 0.0
    loud_windows = np.flatnonzero(power >= power.max() * 10 ** (_QUIET_DB / 10))
    return min((int(loud_windows[-1]) + 1) * _WINDOW, len(sound)) / RATE
