"""A video's own sound against the clip that drove it: where it begins, how alike, what is lost."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.signal import correlate, correlation_lags

from sfqa.media import Sound

#: The rate in hertz that both sounds are compared at.
RATE = 16000
#: Offsets are looked for up to this; no generator shifts a clip further.
MAX_OFFSET_SEC = 5.0
#: Below this normalised correlation the sound is not the clip's. The 11 real clips against each
#: other reach 0.14, the real videos' sound against its own clip 0.985 and more.
WEAK_MATCH = 0.3
#: A shift must leave this share of the shorter sound to compare.
_OVERLAP = 0.5
#: The sound ends where it falls for good this far below its loudest 20 ms.
_QUIET_DB, _WINDOW = -50.0, RATE // 50


class Against(NamedTuple):
    """The own sound against the clip; None where one of the two cannot be told."""

    match: float
    offset_sec: float | None
    lost_tail_sec: float | None


def against(own: Sound, clip: Sound) -> Against | None:
    """Return how a video's own sound relates to its driving clip, both mono at RATE.

    ``match``: the largest absolute cross-correlation over shifts up to MAX_OFFSET_SEC, normalised
    by the energy of both in the overlap, 0 to 1. ``offset_sec``: the shift of that peak, refined by
    a parabola through it; positive where the video's sound is late. ``lost_tail_sec``: how much of
    the clip's audible sound the video ends before. None where one of them is silent, offset
    and tail None where the match is below WEAK_MATCH.

    >>> noise = np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32)
    >>> found = against(np.concatenate([np.zeros(800, np.float32), noise]), noise)
    >>> [round(float(value), 4) for value in found]
    [1.0, 0.05, 0.0]
    """
    if not own.any() or not clip.any():
        return None
    shifts = correlation_lags(len(own), len(clip))
    overlap = np.minimum(len(own), shifts + len(clip)) - np.maximum(0, shifts)
    near = np.abs(shifts) <= MAX_OFFSET_SEC * RATE
    near &= overlap >= _OVERLAP * min(len(own), len(clip))
    shifts = shifts[near]
    raw = correlate(own.astype(np.float64), clip.astype(np.float64), method="fft")[near]
    peak = int(np.argmax(np.abs(raw)))
    shift = int(shifts[peak])
    a = own[max(0, shift) : max(0, shift + len(clip))].astype(np.float64)
    b = clip[max(0, -shift) : max(0, len(own) - shift)].astype(np.float64)
    energy = float(np.sqrt(np.sum(a * a) * np.sum(b * b)))
    # rounded, as the last digits of a Fourier transform differ between processors
    match = round(min(1.0, abs(float(raw[peak])) / energy), 6) if energy > 0 else 0.0
    if match < WEAK_MATCH:
        return Against(match, None, None)
    offset = round((shift + _vertex(np.abs(raw), peak)) / RATE, 6)
    lost = max(0.0, audible_end(clip) + offset - audible_end(own))
    return Against(match, offset, round(lost, 6))


def _vertex(values: npt.NDArray[np.float64], peak: int) -> float:
    """Where between its neighbours a peak is, -1/2 to 1/2, by the parabola through the three."""
    if not 0 < peak < len(values) - 1:
        return 0.0
    before, top, after = values[peak - 1 : peak + 2]
    curve = before - 2 * top + after
    return float(np.clip((before - after) / (2 * curve), -0.5, 0.5)) if curve < 0 else 0.0


def audible_end(sound: Sound) -> float:
    """Return when in seconds the last 20 ms within 50 dB of the loudest ones end; 0 for silence.

    >>> audible_end(np.concatenate([np.ones(RATE), np.zeros(RATE)]).astype(np.float32))
    1.0
    """
    whole = -(-len(sound) // _WINDOW)
    padded = np.zeros(whole * _WINDOW)
    padded[: len(sound)] = sound
    power = np.square(padded).reshape(whole, _WINDOW).mean(1)
    if not power.any():
        return 0.0
    loud = np.flatnonzero(power >= power.max() * 10 ** (_QUIET_DB / 10))
    return min((int(loud[-1]) + 1) * _WINDOW, len(sound)) / RATE
