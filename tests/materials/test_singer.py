"""The synthetic singer: true pitches, vowels, syllables, pauses, and the same bytes each time."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile
from scipy.signal import butter, hilbert, sosfiltfilt

from sfqa import identity, media, tables
from sfqa.errors import UserError
from sfqa.materials import singer, singer_score, singer_voice
from sfqa.materials.singer_score import Note, Score

RATE = 24000
STYLE = {style.name: style for style in singer_score.STYLES}


def _rms(part: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.asarray(part, dtype=float) ** 2)))


def _instant_hz(voice: np.ndarray, near_hz: float) -> np.ndarray:
    """Frequency of the fundamental, from the phase of the band around it."""
    band = butter(2, [near_hz * 0.7, near_hz * 1.4], "bandpass", fs=RATE, output="sos")
    phase = np.unwrap(np.angle(hilbert(sosfiltfilt(band, voice))))
    return np.diff(phase) * RATE / (2 * np.pi)


def _score(vowels: str, midi: float = 57.0, length: float = 2.0) -> Score:
    note = Note(0.3, length, midi, (0.0, 0.0, 0.0), "", vowels, "", 1.0)
    return Score(STYLE["classical"], "male", 50, (note,), ((0.3, 0.3 + length),), length + 0.6)


def test_rows_and_files(tmp_path: Path) -> None:
    rows = singer.sing_clips(tmp_path, 8, seed=3, sample_rate=16000)
    assert [r["clip_id"] for r in rows[:3]] == ["pop_zh_01", "rock_en_02", "folk_zh_03"]
    assert {r["style"] for r in rows} == set(singer.STYLES)
    assert rows[7]["style"] == "pop"
    assert rows[7]["language"] == "en"
    for row in rows:
        assert set(row) == {"clip_id", "path", "style", "language", "origin", "title"}
        assert set(row) - {"path"} <= set(tables.CLIPS.names)
        assert row["origin"] == "synthetic"
        assert "Synthetic" in row["title"]
        assert row["path"] == f"{row['clip_id']}.wav"
        rate, samples = wavfile.read(tmp_path / row["path"])
        assert rate == 16000
        assert samples.dtype == np.int16
        assert 8.5 < len(samples) / rate < 12.5
        assert np.abs(samples.astype(int)).max() == pytest.approx(0.7 * 32767, abs=1)


def test_same_bytes_and_more_clips_change_none(tmp_path: Path) -> None:
    for name, count, seed in (("a", 1, 5), ("b", 2, 5), ("c", 1, 6)):
        singer.sing_clips(tmp_path / name, count, seed, sample_rate=16000)
    first, same, other = ((tmp_path / n / "pop_zh_01.wav").read_bytes() for n in "abc")
    assert first == same
    assert first != other
    assert (tmp_path / "b" / "rock_en_02.wav").is_file()


@pytest.mark.parametrize("midi", [50.0, 57.0, 69.0])
def test_sung_pitch_is_the_written_pitch(midi: float) -> None:
    voice = singer_voice.sing(_score("a", midi), RATE, np.random.default_rng(0))
    written = 440.0 * 2 ** ((midi - 69) / 12)
    steady = _instant_hz(voice, written)[round(0.8 * RATE) : round(2.0 * RATE)]
    assert 1200 * np.log2(np.mean(steady) / written) == pytest.approx(0.0, abs=10.0)  # cents


def test_vibrato_rate_and_depth() -> None:
    voice = singer_voice.sing(_score("a", 57.0, 3.0), RATE, np.random.default_rng(1))
    hz = _instant_hz(voice, 220.0)[round(1.0 * RATE) : round(3.0 * RATE)]
    slow = sosfiltfilt(butter(2, 12.0, fs=RATE, output="sos"), 1200 * np.log2(hz / 220.0))
    spectrum = np.abs(np.fft.rfft((slow - slow.mean()) * np.hanning(len(slow)), 16 * len(slow)))
    rate = np.fft.rfftfreq(16 * len(slow), 1 / RATE)[int(np.argmax(spectrum))]
    assert 4.9 < rate < 6.1
    assert np.ptp(slow) / 2 == pytest.approx(STYLE["classical"].vibrato_cents, rel=0.25)


@pytest.mark.parametrize(
    ("vowel", "first", "second"), [("a", 730, 1090), ("i", 280, 2250), ("u", 310, 870)]
)
def test_formants_are_where_the_vowel_has_them(vowel: str, first: int, second: int) -> None:
    score = _score(vowel, midi=38.0)  # 73 Hz: harmonics close enough to see the resonances
    score = dataclasses.replace(score, style=dataclasses.replace(score.style, vibrato_cents=0))
    voice = singer_voice.sing(score, RATE, np.random.default_rng(2))[RATE : 2 * RATE]
    power = np.abs(np.fft.rfft(voice * np.hanning(RATE))) ** 2  # 1 Hz a bin
    smooth = np.convolve(power, np.hanning(150), "same")
    for formant in (first, second):
        near = smooth[formant - 120 : formant + 120].max()
        # A resonance stands above the valley half an octave up or down from it.
        assert near > 3 * min(smooth[round(formant * 1.5)], smooth[round(formant / 1.5)])


def test_loudness_closes_at_every_consonant() -> None:
    """The mouth opens and closes: closures lie well below the vowels on both sides."""
    rng = identity.generator("closures")
    score = singer_score.compose(STYLE["pop"], "zh", rng)
    voice = singer_voice.sing(score, RATE, rng)
    depths = []
    for one, two in zip(score.notes, score.notes[1:], strict=False):
        if two.onset not in ("t", "d", "s", "n") or two.start_sec in dict(score.phrases):
            continue
        levels = [
            _rms(voice[round((at - 0.01) * RATE) : round((at + 0.01) * RATE)])
            for at in (one.start_sec + 0.55 * one.length_sec, two.start_sec + 0.04,
                       two.start_sec + 0.55 * two.length_sec)
        ]  # fmt: skip
        depths.append(20 * np.log10(min(levels[0], levels[2]) / levels[1]))
    assert len(depths) > 10
    assert np.min(depths) > 3.0
    assert np.median(depths) > 10.0


@pytest.mark.parametrize("style", singer.STYLES)
def test_phrases_pauses_and_backing_level(style: str) -> None:
    for language in ("zh", "en"):
        song = singer.sing(style, language, 11, 0, 16000)
        (start1, end1), (start2, end2) = song.phrases
        lengths = sorted([end1 - start1, end2 - start2])
        assert 2.0 < lengths[0] < 3.8
        assert 5.0 <= lengths[1] <= 6.8
        assert 0.4 <= start2 - end1 <= 0.85
        pause = song.samples[round((end1 + 0.03) * 16000) : round((start2 - 0.03) * 16000)]
        sung = np.concatenate(
            [song.samples[round(a * 16000) : round(b * 16000)] for a, b in song.phrases]
        )
        assert -25.0 < 20 * np.log10(_rms(pause) / _rms(sung)) < -8.0


def test_languages_differ_in_rhythm() -> None:
    """Syllable lengths vary more in English (stress-timed) than in Mandarin."""

    def variation(language: str) -> float:
        lengths = [
            note.length_sec
            for number in range(12)
            for note in singer_score.compose(
                STYLE["folk"], language, np.random.default_rng(number)
            ).notes
        ]
        return float(np.std(lengths) / np.mean(lengths))

    assert variation("en") > 1.1 * variation("zh")


def test_unknown_style_and_language() -> None:
    with pytest.raises(UserError, match=r"polka.*choose one of pop"):
        singer.sing("polka", "zh", 1)
    with pytest.raises(UserError, match="'fr'; choose zh or en"):
        singer.sing("pop", "fr", 1)


def test_voice_and_length_do_not_hang_on_the_sample_rate(tmp_path: Path) -> None:
    slow, fast = (singer.sing("rnb", "zh", 4, 0, rate) for rate in (16000, 48000))
    assert slow.phrases == fast.phrases
    assert len(fast.samples) == pytest.approx(3 * len(slow.samples), abs=3)
    media.write_wave(tmp_path / "x.wav", fast.samples, 48000)
    assert media.probe(tmp_path / "x.wav").audio_duration_sec > 7.0


def test_numbers_change_only_with_the_version() -> None:
    """Golden numbers: where they change on purpose, raise singer.VERSION and write them anew."""
    assert singer.VERSION == 1
    song = singer.sing("rock", "en", 1, 0, 16000)
    assert len(song.samples) == 157800
    assert _rms(song.samples) == pytest.approx(0.130911168, rel=1e-5)
    assert song.phrases[1] == pytest.approx((3.80952381, 9.28571429))
