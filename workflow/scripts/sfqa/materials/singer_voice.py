"""The synthetic singer's voice: glottal source, formant filter, consonants."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from sfqa.materials.singer_score import Note, Score

Floats = npt.NDArray[np.float64]

# Formants in Hz of an adult male; m is the murmur of a closed mouth.
_FORMANTS = {
    "a": (730, 1090, 2440, 3400, 4200),
    "e": (530, 1840, 2480, 3500, 4300),
    "i": (280, 2250, 2950, 3600, 4400),
    "o": (480, 850, 2410, 3300, 4200),
    "u": (310, 870, 2240, 3300, 4200),
    "m": (260, 1000, 2150, 3200, 4200),
}
_BANDWIDTHS = np.array([80.0, 100.0, 130.0, 180.0, 240.0])
_TRACT = {"male": 1.0, "female": 1.16, "child": 1.3}  # shorter tracts, higher formants

# Seconds, voiced level, noise level of each consonant.
_CONSONANTS = {
    "": (0.04, 0.30, 0.0),
    "n": (0.075, 0.30, 0.0),
    "l": (0.06, 0.34, 0.0),
    "d": (0.06, 0.05, 0.0),
    "t": (0.07, 0.0, 0.0),
    "s": (0.10, 0.0, 0.16),
}
_RELEASE_SEC = 0.05


@dataclass
class _Curves:
    """Control curves on the frames of the filter."""

    semitones: Floats
    formants: Floats
    voiced: Floats
    noise: Floats
    vibrato: Floats


def sing(score: Score, sample_rate: int, rng: np.random.Generator) -> Floats:
    """Return the voice alone, float64 of shape (samples,), RMS about 0.1 where it sings.

    A Rosenberg (1971) glottal flow, differentiated (lip radiation), through five resonances that
    glide from vowel to vowel (Fant 1960), plus noise for fricatives, bursts and breaths.
    """
    size = round(score.length_sec * sample_rate)
    hop = round(sample_rate * 0.005)
    window = hann(4 * hop, sym=False)
    bank = ShortTimeFFT(window, hop, fs=sample_rate, mfft=4 * hop)
    frames = bank.p_num(size)
    times = bank.t(size)
    curves = _curves(score, times)
    clock = np.arange(size) / sample_rate
    pitch = 440.0 * 2.0 ** ((np.interp(clock, times, curves.semitones) - 69.0) / 12.0)
    pitch *= _waver(score, clock, np.interp(clock, times, curves.vibrato), rng)
    source = _glottal(pitch / sample_rate)
    hiss = rng.standard_normal(size)

    f0 = np.interp(times, clock, pitch)
    voiced = bank.stft(source) * _resonances(curves.formants, f0, bank.f)
    hissing = bank.stft(hiss) * (bank.f / 5000.0)[:, None] / (1.0 + (bank.f / 6500.0) ** 4)[:, None]
    assert voiced.shape[1] == frames
    gain = np.interp(clock, times, curves.voiced)
    sung = bank.istft(voiced, k1=size) * gain
    sung *= 0.1 / np.sqrt(np.mean(sung[gain > 0.3] ** 2))
    breath = bank.istft(hissing, k1=size) * np.interp(clock, times, curves.noise)
    return np.asarray(sung + 0.15 * breath, dtype=np.float64)


def _curves(score: Score, times: Floats) -> _Curves:
    scale = _TRACT[score.voice]
    step = float(times[1] - times[0])
    first = score.notes[0]
    formants = np.empty((len(times), 5))
    formants[:] = np.array(_FORMANTS["m"]) * scale
    semitones = np.full(len(times), first.midi)
    voiced, noise, vibrato = (np.zeros(len(times)) for _ in range(3))
    starts = {start for start, _ in score.phrases}
    ends = np.array([end for _, end in score.phrases])
    for note in score.notes:
        _draw(note, times, scale, _Curves(semitones, formants, voiced, noise, vibrato))
        if note.start_sec in starts:  # an audible breath before the phrase
            inhale = (times > note.start_sec - 0.3) & (times < note.start_sec - 0.06)
            noise[inhale] = 0.015
    for end in ends:  # a short release, so that the phrase ends where the score says
        tail = (times > end - _RELEASE_SEC) & (times <= end)
        voiced[tail] *= np.cos(np.pi / 2 * (times[tail] - end + _RELEASE_SEC) / _RELEASE_SEC)
    return _Curves(
        gaussian_filter1d(semitones, 0.025 / step),
        gaussian_filter1d(formants, 0.018 / step, axis=0),
        gaussian_filter1d(voiced, 0.006 / step),
        gaussian_filter1d(noise, 0.004 / step),
        gaussian_filter1d(vibrato, 0.06 / step),
    )


def _draw(note: Note, times: Floats, scale: float, curves: _Curves) -> None:
    """Write one syllable into the curves: onset, nucleus of one or two vowels, coda."""
    end = note.start_sec + note.length_sec
    # Consonants never take more than 45 % of a fast syllable.
    wish = _CONSONANTS[note.onset][0] + _CONSONANTS[note.coda][0]
    squeeze = min(1.0, 0.45 * note.length_sec / wish)
    opens = note.start_sec + _CONSONANTS[note.onset][0] * squeeze
    closes = end - _CONSONANTS[note.coda][0] * squeeze
    whole = (times >= note.start_sec) & (times < end)
    part = np.clip((times[whole] - note.start_sec) / note.length_sec, 0, 1)
    curves.semitones[whole] = note.midi + np.interp(part, (0.0, 0.45, 0.9), note.bend)
    curves.vibrato[whole] = np.clip((times[whole] - note.start_sec - 0.18) / 0.15, 0, 1)

    vowel = (times >= opens) & (times < closes)
    glide = np.clip((times[vowel] - opens) / max(closes - opens, 1e-3), 0, 1)
    mix = (1 / (1 + np.exp(-12 * (glide - 0.55))))[:, None]
    one, two = (np.array(_FORMANTS[v]) * scale for v in (note.vowels[0], note.vowels[-1]))
    curves.formants[vowel] = one * (1 - mix) + two * mix
    curves.voiced[vowel] = note.accent * (1.0 - 0.35 * glide**2) * np.minimum(1, 0.6 + 6 * glide)
    for sound, low, high in ((note.onset, note.start_sec, opens), (note.coda, closes, end)):
        closed = (times >= low) & (times < high)
        _, level, hiss = _CONSONANTS[sound]
        curves.voiced[closed] = level * note.accent
        curves.noise[closed] = hiss
        if sound in ("n", "d"):
            curves.formants[closed] = np.array(_FORMANTS["m"]) * scale
    if note.onset == "t":
        curves.noise[(times >= opens - 0.022) & (times < opens)] = 0.25


def _waver(score: Score, clock: Floats, amount: Floats, rng: np.random.Generator) -> Floats:
    """Vibrato (its rate drifting a little) and jitter, as a factor on the pitch."""
    style = score.style
    knots = np.arange(0.0, clock[-1] + 0.3, 0.25)
    rate = style.vibrato_hz + rng.normal(0, 0.25, len(knots))
    phase = np.cumsum(np.clip(np.interp(clock, knots, rate), 5.0, 6.0)) * (clock[1] - clock[0])
    cents = style.vibrato_cents * amount * np.sin(2 * np.pi * phase)
    points = np.arange(0.0, clock[-1] + 0.01, 0.008)
    cents = cents + np.interp(clock, points, rng.normal(0, 7.0, len(points)))
    return np.asarray(2.0 ** (cents / 1200.0))


def _glottal(increment: Floats) -> Floats:
    """Derivative of the Rosenberg pulse: 40 % opening, 16 % closing, else shut."""
    phase = np.cumsum(increment) % 1.0
    rise, fall = 0.40, 0.16
    opening = 0.5 * (1 - np.cos(np.pi * np.minimum(phase / rise, 1.0)))
    closing = np.cos(np.pi / 2 * np.clip((phase - rise) / fall, 0, 1))
    flow = np.where(phase < rise, opening, closing)
    # Divided by the increment, so that high notes are not louder for their pitch alone.
    return np.asarray(np.diff(flow, prepend=flow[:1]) / increment * 0.05)


def _resonances(formants: Floats, f0: Floats, frequencies: Floats) -> Floats:
    """Magnitude of five resonators in cascade, shape (frequencies, frames), levelled."""
    centres = formants.copy()
    centres[:, 0] = np.maximum(centres[:, 0], 1.02 * f0)  # trained singers tune F1 to f0
    squared = np.asarray(frequencies)[:, None] ** 2
    power = np.ones((len(frequencies), len(f0)))
    for number, width in enumerate(_BANDWIDTHS):
        c2 = (centres[:, number] ** 2)[None, :]
        power *= c2**2 / ((c2 - squared) ** 2 + width**2 * squared)
    power /= 1.0 + squared / 9000.0**2
    loud = np.sum(power / (1.0 + squared / 300.0**2), axis=0)
    return np.asarray(np.sqrt(power / loud * len(frequencies)))
