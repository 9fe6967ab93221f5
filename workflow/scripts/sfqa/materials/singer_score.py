"""What the synthetic singer sings: styles, syllable rhythms and melodies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
PENTATONIC, BLUES = (0, 2, 4, 7, 9), (0, 3, 5, 6, 7, 10)

T = TypeVar("T")

LANGUAGES = ("zh", "en")


@dataclass(frozen=True)
class Style:
    """How a style sings and is accompanied: tempo, scale, vibrato, backing."""

    name: str
    bpm: float
    unit_beats: float  # the shortest syllable, in beats
    scale: tuple[int, ...]
    leap: int  # widest melodic step, in scale degrees
    vibrato_cents: float
    vibrato_hz: float
    voices: tuple[str, ...]
    chords: tuple[int, ...]  # scale degree of the chord root in each bar
    chord_sound: str  # pad, pluck or organ
    drums: str  # one letter per half beat: k kick, s snare, h hat, . nothing
    backing_db: float  # level of the backing against the voice


STYLES = (
    Style("pop", 104, 0.5, MAJOR, 3, 35, 5.6,
          ("female", "male"), (0, 4, 5, 3), "pad", "khshkhsh", -14),
    Style("rock", 126, 0.5, MINOR, 3, 25, 5.8,
          ("male",), (0, 5, 2, 6), "organ", "khshkksh", -12.5),
    Style("folk", 92, 0.5, PENTATONIC, 2, 20, 5.2,
          ("female", "male"), (0, 3, 0, 2), "pluck", "", -16),
    Style("classical", 69, 0.5, MAJOR, 4, 70, 5.5,
          ("female", "male"), (0, 3, 4, 0), "pad", "", -17),
    Style("rap", 88, 0.25, BLUES, 1, 0, 5.0,
          ("male", "female"), (0, 0, 3, 0), "pluck", "khsh", -13),
    Style("rnb", 76, 0.5, BLUES, 3, 50, 5.9,
          ("female",), (0, 3, 4, 2), "organ", "k.shk.sh", -15),
    Style("children", 112, 0.5, PENTATONIC, 2, 10, 5.0,
          ("child",), (0, 2, 3, 0), "pluck", "k.h.", -16),
)  # fmt: skip

_LOWEST = {"male": 50, "female": 60, "child": 67}  # MIDI notes of the tonic


@dataclass(frozen=True)
class Note:
    """One syllable: seconds, pitch (MIDI) with a bend in semitones, and its sounds."""

    start_sec: float
    length_sec: float
    midi: float
    bend: tuple[float, float, float]
    onset: str
    vowels: str
    coda: str
    accent: float


@dataclass(frozen=True)
class Score:
    """A whole clip: notes, phrases as (start, end) in seconds, length, and the voice."""

    style: Style
    voice: str
    tonic: int
    notes: tuple[Note, ...]
    phrases: tuple[tuple[float, float], ...]
    length_sec: float


# Share of each length (in units). Mandarin gives its syllables nearly equal time; English
# alternates stressed and reduced ones.
_RHYTHM = {
    "zh": ((2, 0.72), (1, 0.12), (4, 0.16)),
    "en": ((1, 0.48), (2, 0.22), (3, 0.22), (4, 0.08)),
}
_RAP = {"zh": ((1, 0.75), (2, 0.25)), "en": ((1, 0.58), (2, 0.30), (3, 0.12))}
# n nasal, l liquid, d voiced stop, t stop with burst, s fricative, "" none
_ONSETS = {
    "zh": (("t", 0.24), ("d", 0.22), ("s", 0.22), ("n", 0.18), ("l", 0.14)),
    "en": (("", 0.12), ("t", 0.20), ("d", 0.22), ("s", 0.16), ("n", 0.16), ("l", 0.14)),
}
_OPENINGS = (("", 0.6), ("l", 0.4))
_CODAS = {
    "zh": (("", 0.7), ("n", 0.3)),
    "en": (("", 0.4), ("n", 0.2), ("t", 0.16), ("s", 0.12), ("d", 0.12)),
}
_VOWELS = {
    "zh": ("a", "o", "e", "i", "u", "ai", "ao", "ia", "uo", "ei"),
    "en": ("a", "e", "i", "o", "u", "ai", "ou", "ei", "a", "e"),
}
# The four tones of Mandarin as small bends (start, middle, end, in semitones).
_TONES = ((0.0, 0.0, 0.0), (-1.4, -0.6, 0.2), (-0.4, -1.4, 0.0), (1.0, 0.2, -1.2))


def compose(style: Style, language: str, rng: np.random.Generator) -> Score:
    """Return a score of one long phrase (5 to 6.8 s) and one short one, in either order.

    >>> score = compose(STYLES[0], "zh", np.random.default_rng(1))
    >>> sum(5.0 <= end - start <= 6.8 for start, end in score.phrases)
    1
    """
    unit = 60.0 / style.bpm * style.unit_beats
    voice = style.voices[int(rng.integers(len(style.voices)))]
    tonic = _LOWEST[voice] + int(rng.integers(0, 5))
    spans = [(5.2, 6.7), (2.4, 3.4)]
    if rng.random() < 0.5:
        spans.reverse()
    now = _units(0.4, 1.0, unit, rng) * unit
    notes: list[Note] = []
    phrases: list[tuple[float, float]] = []
    for number, (low, high) in enumerate(spans):
        if number:
            now += _units(0.42, 0.8, unit, rng) * unit
        count = _units(low, high, unit, rng)
        notes += _phrase(style, language, tonic, now, count, unit, rng)
        phrases.append((now, now + count * unit))
        now += count * unit
    now += float(rng.uniform(0.5, 0.9))
    return Score(style, voice, tonic, tuple(notes), tuple(phrases), now)


def _units(low: float, high: float, unit: float, rng: np.random.Generator) -> int:
    """A number of units that lasts between low and high seconds, at least one."""
    first, last = int(np.ceil(low / unit)), int(np.floor(high / unit))
    return max(1, int(rng.integers(first, last + 1)) if last >= first else first)


def _phrase(
    style: Style,
    language: str,
    tonic: int,
    start: float,
    count: int,
    unit: float,
    rng: np.random.Generator,
) -> list[Note]:
    rhythm = (_RAP if style.name == "rap" else _RHYTHM)[language]
    lengths: list[int] = []
    while sum(lengths) < count:
        lengths.append(min(_pick(rhythm, rng), count - sum(lengths)))
    degree = int(rng.integers(0, len(style.scale)))
    notes = []
    now = start
    for number, length in enumerate(lengths):
        last = number == len(lengths) - 1
        degree = _next_degree(degree, style.leap, len(style.scale), rng)
        octave, step = divmod(0 if last else degree, len(style.scale))
        strong = length > 1 or last or language == "zh"
        bend = _TONES[int(rng.integers(4))] if language == "zh" else (-0.3, 0.0, 0.0)
        depth = 2.0 if style.name == "rap" else 0.5
        notes.append(
            Note(
                start_sec=now,
                length_sec=length * unit,
                midi=tonic + 12.0 * octave + style.scale[step],
                bend=(bend[0] * depth, bend[1] * depth, bend[2] * depth),
                # A phrase opens voiced: its true start can then be heard, and be checked.
                onset=_pick(_ONSETS[language] if number else _OPENINGS, rng),
                vowels=_VOWELS[language][int(rng.integers(10))],
                coda="" if last else _pick(_CODAS[language], rng),
                accent=float(rng.uniform(0.85, 1.0) if strong else rng.uniform(0.55, 0.75)),
            )
        )
        now += length * unit
    return notes


def _next_degree(degree: int, leap: int, size: int, rng: np.random.Generator) -> int:
    moved = degree + int(rng.integers(-leap, leap + 1))
    return moved if -2 <= moved <= size + 1 else degree


def _pick(choices: tuple[tuple[T, float], ...], rng: np.random.Generator) -> T:
    weights = np.array([weight for _, weight in choices])
    place = np.searchsorted(np.cumsum(weights / weights.sum()), rng.random(), side="right")
    return choices[min(int(place), len(choices) - 1)][0]
