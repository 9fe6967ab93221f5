"""The quiet band behind the synthetic singer: chords, bass, light drums."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sfqa.materials.singer_score import Score

Floats = npt.NDArray[np.float64]

_HARMONICS = {
    "pad": (1.0, 0.3, 0.1),
    "pluck": (1.0, 0.5, 0.25, 0.12),
    "organ": (1.0, 0.6, 0.0, 0.4),
}
# Length in seconds, level, decay in seconds.
_DRUMS = {
    "k": (0.18, 2.5, 0.06),
    "s": (0.15, 0.5, 0.04),
    "h": (0.06, 0.22, 0.015),
    ".": (0.0, 0.0, 1.0),
}


def accompany(score: Score, sample_rate: int, rng: np.random.Generator) -> Floats:
    """Return the backing, float64 of shape (samples,), RMS 1.

    One chord a bar of four beats; the chord and the bass are struck each beat (pad: each bar),
    drums each half beat.
    """
    size = round(score.length_sec * sample_rate)
    beat = 60.0 / score.style.bpm
    out = np.zeros(size + sample_rate)
    scale = score.style.scale
    slow = score.style.chord_sound == "pad"
    for number in range(int(np.ceil(score.length_sec / beat))):
        bar, place = divmod(number, 4)
        degree = score.style.chords[bar % len(score.style.chords)]
        root = score.tonic % 12 + 48
        chord = [root + scale[(degree + k) % len(scale)] for k in (0, 2, 4)]
        at = round(number * beat * sample_rate)
        if place == 0 or not slow:
            length = beat * (4.2 if slow else 1.2)
            for midi in chord:
                _add(out, at, _tone(midi, length, score.style.chord_sound, sample_rate))
        _add(out, at, 1.2 * _tone(chord[0] - 12, beat, "pluck", sample_rate))
    pattern = score.style.drums
    for number in range(int(np.ceil(score.length_sec / beat * 2)) if pattern else 0):
        hit = _drum(pattern[number % len(pattern)], sample_rate, rng)
        _add(out, round(number * beat / 2 * sample_rate), hit)
    out = out[:size]
    return np.asarray(out / np.sqrt(np.mean(out**2)))


def _add(out: Floats, at: int, sound: Floats) -> None:
    end = min(len(out), at + len(sound))
    out[at:end] += sound[: max(0, end - at)]


def _tone(midi: float, length_sec: float, sound: str, sample_rate: int) -> Floats:
    clock = np.arange(round(length_sec * sample_rate)) / sample_rate
    pitch = 440.0 * 2.0 ** ((midi - 69.0) / 12.0)
    wave = np.zeros(len(clock))
    for number, level in enumerate(_HARMONICS[sound], start=1):
        if level:
            wave += level * np.sin(2 * np.pi * number * pitch * clock)
    attack, decay = {"pad": (0.15, 3.0), "pluck": (0.005, 0.35), "organ": (0.02, 1.5)}[sound]
    shape = np.minimum(1.0, clock / attack) * np.exp(-clock / decay)
    return np.asarray(wave * shape * np.clip((length_sec - clock) / 0.05, 0, 1))


def _drum(kind: str, sample_rate: int, rng: np.random.Generator) -> Floats:
    length, level, decay = _DRUMS[kind]
    clock = np.arange(round(length * sample_rate)) / sample_rate
    if kind == "k":
        wave = np.sin(2 * np.pi * (48.0 * clock + 2.5 * (1 - np.exp(-clock / 0.03))))
    else:
        wave = np.diff(rng.standard_normal(len(clock) + 1))
    return np.asarray(level * wave * np.exp(-clock / decay))
