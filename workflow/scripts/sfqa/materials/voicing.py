"""Detect voiced frames in a song, also over music, and join them to phrases."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import binary_dilation, median_filter
from scipy.signal import ShortTimeFFT, butter, get_window, resample_poly, sosfiltfilt

from sfqa.arrays import Floats

Flags = npt.NDArray[np.bool_]

ANALYSIS_RATE = 16000  # Hz
HOP_SEC = 0.01
LOWEST_HZ, HIGHEST_HZ = 70.0, 1000.0
FLOOR_DB = -100.0

_LOUDNESS_SEC = 0.025
_CORRELATION_SEC = 0.03
_PERIODIC_ON, _PERIODIC_STAY = 0.6, 0.4
_HYSTERESIS_DB = 4.0
_RANGE_DB = (10.0, 30.0)  # distance of the threshold below the loudest voice, minimum and maximum
_MIN_VOICED_SEC, _MIN_GAP_SEC = 0.06, 0.05
_SURE_PERIODICITY = 0.85  # a frame this periodic may be as quiet as one that continues a voiced run
_EDGE_SEC, _DIP_SEC = (
    0.3,
    0.04,
)  # longest unvoiced consonant next to a voiced run, and longest closure in it
_CLEAN_DB = 12.0  # a background this far below the threshold contains no drums

_SILENCE_BELOW_DB, _KEEP_SILENCE_SEC = (
    50.0,
    0.5,
)  # level below the voice that counts as silence; duration of silence kept around the sound

# Separation, tuned on real voices over a synthetic band (docs/materials.md): window (samples),
# medians over time (s) and over frequency (Hz).
_LONG, _SHORT = (4096, 2.0, 60.0), (512, 0.2, 600.0)
# 40 s and 4 s, multiples of the step of the long window, so that blocks equal a single pass.
_BLOCK, _MARGIN = 312 * 2048, 31 * 2048
_MUSIC_DB = -12.0  # louder pauses, relative to the voice, are full of music
_LEAST_SHARE = 0.25  # if less of the voice remains, the removed part was a steady voice


class Voicing(NamedTuple):
    """Frames of 10 ms: centre times (s), loudness (dBFS), periodicity (0 to 1), voiced or not.

    ``over_music``: loudness and periodicity were measured after :func:`remove_music`.
    """

    times_sec: Floats
    loudness_db: Floats
    periodicity: Floats
    voiced: Flags
    over_music: bool = False


def detect_voicing(samples: npt.ArrayLike, sample_rate: int) -> Voicing:
    """Detect voiced frames in mono samples in [-1, 1], shape (n,), also over music.

    Loudness is the RMS from 120 Hz to 7 kHz in 25 ms. Periodicity is the highest normalised
    cross-correlation (Talkin 1995, RAPT) of the band 120 to 2000 Hz at lags of 70 to 1000 Hz,
    beyond the main lobe. A frame is voiced if it is loud and periodic: the loudness threshold
    splits the file's own loudness in two classes (Otsu 1979), both tests have a hysteresis, gaps
    under 50 ms are closed and runs under 60 ms dropped.

    If the pauses are full of music (within 12 dB of the voice), all of this is measured after
    :func:`remove_music`.

    >>> import numpy as np
    >>> tone = 0.3 * np.sign(np.sin(2 * np.pi * 220 * np.arange(16000) / 16000))
    >>> voicing = detect_voicing(np.concatenate([np.zeros(16000), tone]), 16000)
    >>> round(float(voicing.times_sec[voicing.voiced][0]), 1)
    1.0
    """
    sound = _resample_sound(np.asarray(samples, dtype=np.float64), sample_rate)
    measured = _measure_voicing(sound)
    if not measured.voiced.any():
        return measured
    voice_only = _measure_voicing(remove_music(sound))
    return (
        voice_only._replace(over_music=True) if _has_loud_music(measured, voice_only) else measured
    )


def _measure_voicing(sound: Floats) -> Voicing:
    count = max(1, int(len(sound) / (HOP_SEC * ANALYSIS_RATE)))
    times: Floats = (np.arange(count, dtype=np.float64) + 0.5) * HOP_SEC
    loudness = _compute_loudness(_filter_band(sound, 120.0, 7000.0), times)
    periodicity = _compute_periodicity(_filter_band(sound, 120.0, 2000.0), times)
    threshold = _find_threshold(loudness, periodicity)
    is_near_threshold = loudness >= threshold - _HYSTERESIS_DB
    can_start = (loudness >= threshold) & (periodicity >= _PERIODIC_ON)
    can_start |= is_near_threshold & (periodicity >= _SURE_PERIODICITY)
    can_continue = is_near_threshold & (periodicity >= _PERIODIC_STAY)
    return Voicing(
        times, loudness, periodicity, _clean_runs(_apply_hysteresis(can_start, can_continue))
    )


def remove_music(sound: Floats) -> Floats:
    """Return mono samples at 16 kHz, shape (n,), with steady tones and drums attenuated.

    Harmonic-percussive separation with medians (FitzGerald 2010), twice: in windows of 256 ms a
    voice changes and held chords do not, so the changing part is kept; in windows of 32 ms a voice
    is steady and drums are not, so the steady part is kept (Tachibana et al. 2014). A voice that
    holds one straight note is removed with the chords.
    """
    out = np.empty(len(sound))
    for first in range(
        0, len(sound), _BLOCK
    ):  # in blocks, so that memory does not grow with the file
        low, high = max(0, first - _MARGIN), min(len(sound), first + _BLOCK + _MARGIN)
        part = _separate_component(
            _separate_component(sound[low:high], *_LONG, False), *_SHORT, True
        )
        out[first : first + _BLOCK] = part[first - low : first - low + _BLOCK]
    return out


def _separate_component(
    sound: Floats, window: int, time_sec: float, band_hz: float, keep_harmonic: bool
) -> Floats:
    """Return the part of a sound that is smooth in time (harmonic), or the other part."""
    hop = window // 2
    transform = ShortTimeFFT(get_window("hann", window), hop, ANALYSIS_RATE)
    padded = np.pad(sound, window)
    spectrum = transform.stft(padded)
    magnitude = np.abs(spectrum).astype(np.float32)
    frames = max(3, round(time_sec * ANALYSIS_RATE / hop) | 1)
    bins = max(3, round(band_hz * window / ANALYSIS_RATE) | 1)
    harmonic = median_filter(magnitude, (1, frames)) ** 2
    percussive = median_filter(magnitude, (bins, 1)) ** 2
    mask = (harmonic if keep_harmonic else percussive) / (harmonic + percussive + np.float32(1e-12))
    return np.asarray(transform.istft(spectrum * mask, k1=len(padded))[window:-window])


def _has_loud_music(measured: Voicing, voice_only: Voicing) -> bool:
    """Return whether the pauses of the separated voice are full of sound."""
    if voice_only.voiced.sum() < _LEAST_SHARE * measured.voiced.sum():
        return False
    pause_levels = measured.loudness_db[~binary_dilation(voice_only.voiced, iterations=8)]
    if len(pause_levels) < 10:
        return False
    voice = 10.0 * np.log10(np.mean(10.0 ** (measured.loudness_db[voice_only.voiced] / 10.0)))
    return bool(np.percentile(pause_levels, 20) > voice + _MUSIC_DB)


def find_runs(voiced: Flags) -> list[tuple[float, float]]:
    """Return the voiced runs as (start, end) in seconds, at frame edges of 10 ms.

    >>> import numpy as np; find_runs(np.array([False, True, True, False]))
    [(0.01, 0.03)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], voiced.astype(np.int8), [0]])))
    return [
        (round(float(a) * HOP_SEC, 4), round(float(b) * HOP_SEC, 4))
        for a, b in edges.reshape(-1, 2)
    ]


def find_phrases(
    voicing: Voicing, min_pause_sec: float = 0.25, min_phrase_sec: float = 0.2
) -> list[tuple[float, float]]:
    """Return the sung phrases as (start, end) in seconds: voiced runs joined over short pauses.

    Loud unvoiced sound next to a run (a fricative, or a burst after a closure of up to 40 ms) is
    part of the phrase if it ends within 300 ms, except over a band, where it may be a drum. Phrases
    shorter than ``min_phrase_sec`` are dropped.

    >>> import numpy as np
    >>> flags = np.zeros(300, bool); flags[20:80] = flags[90:150] = flags[200:260] = True
    >>> quiet = np.where(flags, -20.0, -80.0)
    >>> find_phrases(Voicing(np.arange(300) / 100, quiet, flags * 1.0, flags))
    [(0.2, 1.5), (2.0, 2.6)]
    """
    threshold = _find_threshold(voicing.loudness_db, voicing.periodicity)
    is_loud = voicing.voiced | (voicing.loudness_db >= threshold - _HYSTERESIS_DB)
    is_loud = ~_clear_short_runs(~is_loud, _DIP_SEC, edges=False)
    unvoiced_levels = voicing.loudness_db[~voicing.voiced]
    if voicing.over_music or (
        len(unvoiced_levels) and np.median(unvoiced_levels) > threshold - _CLEAN_DB
    ):
        is_loud = voicing.voiced
    joined: list[list[float]] = []
    voiced = find_runs(voicing.voiced)
    for index, (start, end) in enumerate(voiced):
        first, last = round(start / HOP_SEC), round(end / HOP_SEC)
        low = round(voiced[index - 1][1] / HOP_SEC) if index else 0
        high = round(voiced[index + 1][0] / HOP_SEC) if index + 1 < len(voiced) else len(is_loud)
        start = round(start - _extend_edge(is_loud[low:first][::-1]), 4)
        end = round(end + _extend_edge(is_loud[last:high]), 4)
        if joined and start - joined[-1][1] < min_pause_sec:
            joined[-1][1] = end
        else:
            joined.append([start, end])
    return [(a, b) for a, b in joined if b - a >= min_phrase_sec]


def _extend_edge(loud: Flags) -> float:
    """Return how long loud frames continue; 0 if that is too long for a consonant."""
    quiet = np.flatnonzero(~loud)
    frames = int(quiet[0]) if len(quiet) else len(loud)
    return frames * HOP_SEC if frames * HOP_SEC <= _EDGE_SEC else 0.0


def _resample_sound(sound: Floats, sample_rate: int) -> Floats:
    if sample_rate == ANALYSIS_RATE or not len(sound):
        return sound
    common = int(np.gcd(sample_rate, ANALYSIS_RATE))
    return np.asarray(resample_poly(sound, ANALYSIS_RATE // common, sample_rate // common))


def _filter_band(sound: Floats, low: float, high: float) -> Floats:
    if not len(sound):
        return sound
    sections = butter(2, [low, high], btype="bandpass", fs=ANALYSIS_RATE, output="sos")
    return np.asarray(sosfiltfilt(sections, sound, padlen=min(200, len(sound) - 1)))


def _compute_loudness(sound: Floats, times: Floats) -> Floats:
    half = round(_LOUDNESS_SEC * ANALYSIS_RATE / 2)
    energy = np.concatenate([[0.0], np.cumsum(sound**2)])
    centres = np.round(times * ANALYSIS_RATE).astype(int)
    low, high = np.clip(centres - half, 0, len(sound)), np.clip(centres + half, 0, len(sound))
    power = np.maximum(energy[high] - energy[low], 0.0) / np.maximum(high - low, 1)
    return np.asarray(10.0 * np.log10(power + 10.0 ** (FLOOR_DB / 10.0)))


def _compute_periodicity(sound: Floats, times: Floats) -> Floats:
    """Return the peak of the normalised cross-correlation of each frame with the later sound."""
    lags = int(np.ceil(ANALYSIS_RATE / LOWEST_HZ))
    shortest = int(ANALYSIS_RATE / HIGHEST_HZ)
    size = round(_CORRELATION_SEC * ANALYSIS_RATE)
    reach = size + lags
    padded = np.concatenate([np.zeros(reach), sound, np.zeros(reach)])
    starts = np.round(times * ANALYSIS_RATE).astype(int) + reach - reach // 2
    # White noise of -80 dBFS in the norm only, so that near silence counts as aperiodic.
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
        # Lags within the main lobe (before the first value below zero) do not indicate pitch.
        past = np.logical_or.accumulate(ratio < 0, axis=1)
        ratio[~past] = 0.0
        out[first : first + 1024] = ratio[:, shortest:].max(axis=1)
    return np.clip(out, 0.0, 1.0)


def _find_threshold(loudness: Floats, periodicity: Floats) -> float:
    """Return the loudness that separates voice from the rest: Otsu, 10 to 30 dB below the top."""
    periodic = loudness[periodicity >= _PERIODIC_ON]
    top = float(np.percentile(periodic if len(periodic) else loudness, 95))
    low, high = top - _RANGE_DB[1], top - _RANGE_DB[0]
    # Otherwise silence around the sound would be one of the two classes, and the band the other.
    sound = np.flatnonzero(loudness > top - _SILENCE_BELOW_DB)
    if len(sound):
        keep = round(_KEEP_SILENCE_SEC / HOP_SEC)
        loudness = loudness[max(0, sound[0] - keep) : sound[-1] + 1 + keep]
    values = np.clip(loudness, low - 10.0, top)
    cuts = np.arange(low, high + 0.25, 0.5)
    below = values[None, :] < cuts[:, None]
    share = below.mean(axis=1)
    total = values.mean()
    part = np.where(below, values[None, :], 0.0).mean(axis=1)
    between = (total * share - part) ** 2 / np.maximum(share * (1 - share), 1e-9)
    return max(float(cuts[int(np.argmax(between))]), FLOOR_DB + 30.0)


def _apply_hysteresis(start: Flags, stay: Flags) -> Flags:
    """Return the runs of ``stay`` that contain at least one ``start``."""
    label = np.cumsum(np.diff(stay.astype(np.int8), prepend=0) == 1) * stay
    return np.isin(label, np.unique(label[start & stay])) & stay


def _clean_runs(voiced: Flags) -> Flags:
    out = _clear_short_runs(~voiced, _MIN_GAP_SEC, edges=False)
    return _clear_short_runs(~out, _MIN_VOICED_SEC, edges=True)


def _clear_short_runs(flags: Flags, least_sec: float, edges: bool) -> Flags:
    """Clear runs shorter than a duration; runs at the edges of the file only if ``edges``."""
    out = flags.copy()
    least = round(least_sec / HOP_SEC)
    bounds = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    for first, last in bounds.reshape(-1, 2):
        if last - first < least and (edges or (first > 0 and last < len(flags))):
            out[first:last] = False
    return out
