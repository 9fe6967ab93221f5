"""Where somebody sings: voiced frames over music, and the phrases that they form."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import binary_dilation, median_filter
from scipy.signal import ShortTimeFFT, butter, get_window, resample_poly, sosfiltfilt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

ANALYSIS_RATE = 16000  # Hz
HOP_SEC = 0.01
LOWEST_HZ, HIGHEST_HZ = 70.0, 1000.0
FLOOR_DB = -100.0

_LOUDNESS_SEC = 0.025
_CORRELATION_SEC = 0.03
_PERIODIC_ON, _PERIODIC_STAY = 0.6, 0.4
_HYSTERESIS_DB = 4.0
_RANGE_DB = (10.0, 30.0)  # the threshold lies this far below the loudest voice, at least and most
_MIN_VOICED_SEC, _MIN_GAP_SEC = 0.06, 0.05
_CERTAIN = 0.85  # so periodic a frame may be as quiet as one that only stays voiced
_EDGE_SEC, _DIP_SEC = 0.3, 0.04  # an unvoiced consonant beside a voiced run, a closure in it
_CLEAN_DB = 12.0  # a background this far below the threshold holds no drums

_NOTHING_DB, _KEPT_SEC = 50.0, 0.5  # so far below the voice there is nothing; what is kept of it

# Separation, tried on real voices over a synthetic band (docs/materials.md): window (samples),
# medians over time (s) and over frequency (Hz).
_LONG, _SHORT = (4096, 2.0, 60.0), (512, 0.2, 600.0)
# 40 s and 4 s, in whole steps of the long window: parts then equal the whole.
_BLOCK, _MARGIN = 312 * 2048, 31 * 2048
_MUSIC_DB = -12.0  # pauses no quieter than this against the voice are full of music
_LEAST_SHARE = 0.25  # less voice left than this: what was taken away was a steady voice


class Voicing(NamedTuple):
    """Frames of 10 ms: centre times (s), loudness (dBFS), periodicity (0..1), voiced or not.

    ``over_music``: loudness and periodicity are those of the voice drawn out of loud music.
    """

    times_sec: Floats
    loudness_db: Floats
    periodicity: Floats
    voiced: Flags
    over_music: bool = False


def voicing(samples: npt.ArrayLike, sample_rate: int) -> Voicing:
    """Return frame-wise vocal activity of mono samples in -1..1, shape (n,), over music.

    Loudness is the RMS from 120 Hz to 7 kHz in 25 ms. Periodicity is the highest normalised
    cross-correlation (Talkin 1995, RAPT) of the band 120 to 2000 Hz at lags of 70 to 1000 Hz,
    past the main lobe. A frame is voiced where it is loud and periodic: the loudness threshold
    splits the file's own loudness in two (Otsu 1979), both tests have a hysteresis, gaps under
    50 ms are closed and islands under 60 ms dropped.

    Where the pauses are full of music (within 12 dB of the voice), all of this is measured on
    :func:`without_music`.

    >>> import numpy as np
    >>> tone = 0.3 * np.sign(np.sin(2 * np.pi * 220 * np.arange(16000) / 16000))
    >>> found = voicing(np.concatenate([np.zeros(16000), tone]), 16000)
    >>> round(float(found.times_sec[found.voiced][0]), 1)
    1.0
    """
    sound = _resampled(np.asarray(samples, dtype=np.float64), sample_rate)
    heard = _measured(sound)
    if not heard.voiced.any():
        return heard
    drawn = _measured(without_music(sound))
    return drawn._replace(over_music=True) if _in_music(heard, drawn) else heard


def _measured(sound: Floats) -> Voicing:
    count = max(1, int(len(sound) / (HOP_SEC * ANALYSIS_RATE)))
    times: Floats = (np.arange(count, dtype=np.float64) + 0.5) * HOP_SEC
    loudness = _loudness(_band(sound, 120.0, 7000.0), times)
    periodicity = _periodicity(_band(sound, 120.0, 2000.0), times)
    threshold = _threshold(loudness, periodicity)
    near = loudness >= threshold - _HYSTERESIS_DB
    start = (loudness >= threshold) & (periodicity >= _PERIODIC_ON)
    start |= near & (periodicity >= _CERTAIN)
    stay = near & (periodicity >= _PERIODIC_STAY)
    return Voicing(times, loudness, periodicity, _tidy(_hysteresis(start, stay)))


def without_music(sound: Floats) -> Floats:
    """Return mono samples of 16 kHz, shape (n,), with steady tones and drums taken down.

    Harmonic-percussive separation by medians (FitzGerald 2010) twice: in windows of 256 ms a
    voice moves and held chords stay, so that the moving part is kept; in windows of 32 ms a voice
    stays and drums pass, so that the steady part is kept (Tachibana et al. 2014). A voice holding
    one straight note goes with the chords.
    """
    out = np.empty(len(sound))
    for first in range(0, len(sound), _BLOCK):  # memory does not grow with the file
        low, high = max(0, first - _MARGIN), min(len(sound), first + _BLOCK + _MARGIN)
        part = _separated(_separated(sound[low:high], *_LONG, False), *_SHORT, True)
        out[first : first + _BLOCK] = part[first - low : first - low + _BLOCK]
    return out


def _separated(sound: Floats, window: int, time_sec: float, band_hz: float, steady: bool) -> Floats:
    """The part of a sound that is smooth in time (steady), or the part that is not."""
    hop = window // 2
    transform = ShortTimeFFT(get_window("hann", window), hop, ANALYSIS_RATE)
    padded = np.pad(sound, window)
    spectrum = transform.stft(padded)
    size = np.abs(spectrum).astype(np.float32)
    frames = max(3, round(time_sec * ANALYSIS_RATE / hop) | 1)
    bins = max(3, round(band_hz * window / ANALYSIS_RATE) | 1)
    held = median_filter(size, (1, frames)) ** 2
    struck = median_filter(size, (bins, 1)) ** 2
    mask = (held if steady else struck) / (held + struck + np.float32(1e-12))
    return np.asarray(transform.istft(spectrum * mask, k1=len(padded))[window:-window])


def _in_music(heard: Voicing, drawn: Voicing) -> bool:
    """Whether the pauses of the drawn-out voice are full of sound."""
    if drawn.voiced.sum() < _LEAST_SHARE * heard.voiced.sum():
        return False
    rest = heard.loudness_db[~binary_dilation(drawn.voiced, iterations=8)]
    if len(rest) < 10:
        return False
    voice = 10.0 * np.log10(np.mean(10.0 ** (heard.loudness_db[drawn.voiced] / 10.0)))
    return bool(np.percentile(rest, 20) > voice + _MUSIC_DB)


def runs(voiced: Flags) -> list[tuple[float, float]]:
    """Return voiced runs as (start, end) in seconds, frame edges of 10 ms.

    >>> import numpy as np; runs(np.array([False, True, True, False]))
    [(0.01, 0.03)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], voiced.astype(np.int8), [0]])))
    return [
        (round(float(a) * HOP_SEC, 4), round(float(b) * HOP_SEC, 4))
        for a, b in edges.reshape(-1, 2)
    ]


def phrases(
    found: Voicing, min_pause_sec: float = 0.25, min_phrase_sec: float = 0.2
) -> list[tuple[float, float]]:
    """Return sung phrases as (start, end) in seconds: voiced runs joined over short pauses.

    Loud unvoiced sound beside a run (a fricative, a burst after a closure of up to 40 ms) is part
    of the phrase where it ends within 300 ms, but not over a band, where it may be a drum. Phrases
    shorter than ``min_phrase_sec`` are dropped.

    >>> import numpy as np
    >>> flags = np.zeros(300, bool); flags[20:80] = flags[90:150] = flags[200:260] = True
    >>> quiet = np.where(flags, -20.0, -80.0)
    >>> phrases(Voicing(np.arange(300) / 100, quiet, flags * 1.0, flags))
    [(0.2, 1.5), (2.0, 2.6)]
    """
    threshold = _threshold(found.loudness_db, found.periodicity)
    loud = found.voiced | (found.loudness_db >= threshold - _HYSTERESIS_DB)
    loud = ~_without_short(~loud, _DIP_SEC, edges=False)
    rest = found.loudness_db[~found.voiced]
    if found.over_music or (len(rest) and np.median(rest) > threshold - _CLEAN_DB):
        loud = found.voiced
    joined: list[list[float]] = []
    voiced = runs(found.voiced)
    for number, (start, end) in enumerate(voiced):
        first, last = round(start / HOP_SEC), round(end / HOP_SEC)
        low = round(voiced[number - 1][1] / HOP_SEC) if number else 0
        high = round(voiced[number + 1][0] / HOP_SEC) if number + 1 < len(voiced) else len(loud)
        start = round(start - _reach(loud[low:first][::-1]), 4)
        end = round(end + _reach(loud[last:high]), 4)
        if joined and start - joined[-1][1] < min_pause_sec:
            joined[-1][1] = end
        else:
            joined.append([start, end])
    return [(a, b) for a, b in joined if b - a >= min_phrase_sec]


def _reach(loud: Flags) -> float:
    """How long loud frames go on from here; nothing where that is too long for a consonant."""
    quiet = np.flatnonzero(~loud)
    frames = int(quiet[0]) if len(quiet) else len(loud)
    return frames * HOP_SEC if frames * HOP_SEC <= _EDGE_SEC else 0.0


def _resampled(sound: Floats, sample_rate: int) -> Floats:
    if sample_rate == ANALYSIS_RATE or not len(sound):
        return sound
    common = int(np.gcd(sample_rate, ANALYSIS_RATE))
    return np.asarray(resample_poly(sound, ANALYSIS_RATE // common, sample_rate // common))


def _band(sound: Floats, low: float, high: float) -> Floats:
    if not len(sound):
        return sound
    sections = butter(2, [low, high], btype="bandpass", fs=ANALYSIS_RATE, output="sos")
    return np.asarray(sosfiltfilt(sections, sound, padlen=min(200, len(sound) - 1)))


def _loudness(sound: Floats, times: Floats) -> Floats:
    half = round(_LOUDNESS_SEC * ANALYSIS_RATE / 2)
    energy = np.concatenate([[0.0], np.cumsum(sound**2)])
    centres = np.round(times * ANALYSIS_RATE).astype(int)
    low, high = np.clip(centres - half, 0, len(sound)), np.clip(centres + half, 0, len(sound))
    power = np.maximum(energy[high] - energy[low], 0.0) / np.maximum(high - low, 1)
    return np.asarray(10.0 * np.log10(power + 10.0 ** (FLOOR_DB / 10.0)))


def _periodicity(sound: Floats, times: Floats) -> Floats:
    """Peak of the normalised cross-correlation of each frame with its later self."""
    lags = int(np.ceil(ANALYSIS_RATE / LOWEST_HZ))
    shortest = int(ANALYSIS_RATE / HIGHEST_HZ)
    size = round(_CORRELATION_SEC * ANALYSIS_RATE)
    reach = size + lags
    padded = np.concatenate([np.zeros(reach), sound, np.zeros(reach)])
    starts = np.round(times * ANALYSIS_RATE).astype(int) + reach - reach // 2
    # White noise of -80 dBFS in the norm only: near silence counts as aperiodic.
    tiny = size * 10.0 ** (-80.0 / 10.0)
    length = next_fast_len(reach + size, real=True)
    out = np.empty(len(starts))
    for first in range(0, len(starts), 1024):
        part = starts[first : first + 1024]
        long = padded[part[:, None] + np.arange(reach)]
        short = long[:, :size]
        product = np.conj(rfft(short, length, axis=1)) * rfft(long, length, axis=1)
        cross = irfft(product, length, axis=1)[:, : lags + 1]
        energy = np.cumsum(np.pad(long**2, ((0, 0), (1, 0))), axis=1)
        later = energy[:, size : size + lags + 1] - energy[:, : lags + 1]
        ratio = cross / (np.sqrt(np.maximum(later[:, :1] * later, 0.0)) + tiny)
        # Lags inside the main lobe (before the first fall below zero) say nothing of pitch.
        past = np.logical_or.accumulate(ratio < 0, axis=1)
        ratio[~past] = 0.0
        out[first : first + 1024] = ratio[:, shortest:].max(axis=1)
    return np.clip(out, 0.0, 1.0)


def _threshold(loudness: Floats, periodicity: Floats) -> float:
    """Loudness that parts voice from the rest: Otsu's split, kept 10 to 30 dB below the top."""
    periodic = loudness[periodicity >= _PERIODIC_ON]
    top = float(np.percentile(periodic if len(periodic) else loudness, 95))
    low, high = top - _RANGE_DB[1], top - _RANGE_DB[0]
    # Silence around the sound would be taken for one of the two, and the band for the voice.
    sound = np.flatnonzero(loudness > top - _NOTHING_DB)
    if len(sound):
        keep = round(_KEPT_SEC / HOP_SEC)
        loudness = loudness[max(0, sound[0] - keep) : sound[-1] + 1 + keep]
    values = np.clip(loudness, low - 10.0, top)
    cuts = np.arange(low, high + 0.25, 0.5)
    below = values[None, :] < cuts[:, None]
    share = below.mean(axis=1)
    total = values.mean()
    part = np.where(below, values[None, :], 0.0).mean(axis=1)
    between = (total * share - part) ** 2 / np.maximum(share * (1 - share), 1e-9)
    return max(float(cuts[int(np.argmax(between))]), FLOOR_DB + 30.0)


def _hysteresis(start: Flags, stay: Flags) -> Flags:
    """Runs of ``stay`` that hold at least one ``start``."""
    label = np.cumsum(np.diff(stay.astype(np.int8), prepend=0) == 1) * stay
    return np.isin(label, np.unique(label[start & stay])) & stay


def _tidy(voiced: Flags) -> Flags:
    out = _without_short(~voiced, _MIN_GAP_SEC, edges=False)
    return _without_short(~out, _MIN_VOICED_SEC, edges=True)


def _without_short(flags: Flags, least_sec: float, edges: bool) -> Flags:
    """Clear runs shorter than a time; runs at the file's edges only where asked."""
    out = flags.copy()
    least = round(least_sec / HOP_SEC)
    bounds = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    for first, last in bounds.reshape(-1, 2):
        if last - first < least and (edges or (first > 0 and last < len(flags))):
            out[first:last] = False
    return out
