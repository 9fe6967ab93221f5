"""A source-filter singer: driving clips for the embedded demo, made offline, never recorded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sfqa import identity, media
from sfqa.errors import UserError
from sfqa.materials import singer_backing, singer_score, singer_voice

VERSION = 1

STYLES = tuple(style.name for style in singer_score.STYLES)
_PEAK = 0.7


@dataclass(frozen=True)
class Song:
    """One sung clip: samples float32 (n,), and the true phrases as (start, end) in seconds."""

    samples: media.Sound
    phrases: tuple[tuple[float, float], ...]
    voice: str


def sing(style: str, language: str, seed: int, number: int = 0, sample_rate: int = 48000) -> Song:
    """Sing one clip of 9 to 12 s in a style (:data:`STYLES`) with the rhythm of zh or en.

    The same arguments give the same samples. Raises :class:`UserError` for an unknown style or
    language.

    >>> song = sing("pop", "zh", seed=1, sample_rate=16000)
    >>> 9.0 < len(song.samples) / 16000 < 12.5
    True
    """
    preset = next((s for s in singer_score.STYLES if s.name == style), None)
    if preset is None:
        raise UserError(f"no singing style {style!r}; choose one of {', '.join(STYLES)}")
    if language not in singer_score.LANGUAGES:
        raise UserError(f"the singer knows no language {language!r}; choose zh or en")
    rng = identity.generator("singer", VERSION, seed, number)
    score = singer_score.compose(preset, language, rng)
    voice = singer_voice.sing(score, sample_rate, rng)
    backing = singer_backing.accompany(score, sample_rate, rng)
    sung = np.zeros(len(voice), dtype=bool)
    for start, end in score.phrases:
        sung[round(start * sample_rate) : round(end * sample_rate)] = True
    level = np.sqrt(np.mean(voice[sung] ** 2)) * 10.0 ** (preset.backing_db / 20.0)
    mix = voice + level * backing
    mix *= _PEAK / np.max(np.abs(mix))
    return Song(mix.astype(np.float32), score.phrases, score.voice)


def sing_clips(
    folder: Path, count: int, seed: int, sample_rate: int = 48000
) -> list[dict[str, Any]]:
    """Write ``count`` sung clips as ``{clip_id}.wav`` and return their rows of the clip sheet.

    Each row has clip_id, path (file name relative to ``folder``), style, language, origin
    (always "synthetic") and title. Clip n depends on the seed and n alone: a larger count adds
    clips and changes none. Styles take turns, languages too, so that 14 clips hold each
    combination once.
    """
    folder = Path(folder)
    rows = []
    for number in range(count):
        style = STYLES[number % len(STYLES)]
        language = singer_score.LANGUAGES[number % 2]
        song = sing(style, language, seed, number, sample_rate)
        clip_id = f"{style}_{language}_{number + 1:02d}"
        media.write_wave(folder / f"{clip_id}.wav", song.samples, sample_rate)
        rows.append(
            {
                "clip_id": clip_id,
                "path": f"{clip_id}.wav",
                "style": style,
                "language": language,
                "origin": "synthetic",
                "title": f"Synthetic {style} no. {number + 1} ({song.voice} voice)",
            }
        )
    return rows
