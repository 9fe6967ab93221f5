"""Voiced frames and phrases: known boundaries, pitches, noise, silence, consonants."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import sawtooth

import demo_material
from sfqa.materials.voicing import Voicing, detect_voicing, find_phrases, find_runs, remove_music
from voices import RATE, make_voice


@pytest.mark.parametrize("hz", [75.0, 110.0, 220.0, 440.0, 950.0])
def test_a_tone_is_periodic_at_every_voice_pitch(hz: float) -> None:
    found = detect_voicing(make_voice([(1.0, 3.0)], 4.0, hz), RATE)
    inside = (found.times_sec > 1.05) & (found.times_sec < 2.95)
    outside = (found.times_sec < 0.95) | (found.times_sec > 3.05)
    assert found.periodicity[inside].min() > 0.9
    assert found.voiced[inside].all()
    assert not found.voiced[outside].any()


def test_loudness_is_rms_in_dbfs() -> None:
    tone = 0.1 * np.sin(2 * np.pi * 1000 * np.arange(2 * RATE) / RATE)
    found = detect_voicing(tone, RATE)
    assert found.loudness_db[50:150] == pytest.approx(20 * np.log10(0.1 / np.sqrt(2)), abs=0.2)


def test_white_noise_is_never_voiced() -> None:
    found = detect_voicing(0.2 * np.random.default_rng(0).standard_normal(10 * RATE), RATE)
    assert not found.voiced.any()
    assert find_phrases(found) == []


def test_silence_is_finite_and_unvoiced() -> None:
    for length in (0, 1, 100, RATE):
        found = detect_voicing(np.zeros(length), RATE)
        assert np.isfinite(found.loudness_db).all()
        assert (found.periodicity == 0).all()
        assert not found.voiced.any()


@pytest.mark.parametrize("floor_db", [-100.0, -60.0, -34.0])
def test_known_boundaries_within_40_ms(floor_db: float) -> None:
    spans = [(0.53, 2.31), (2.92, 5.07), (5.6, 9.04)]
    found = find_phrases(detect_voicing(make_voice(spans, 10.0, floor_db=floor_db), RATE))
    assert np.array(found) == pytest.approx(np.array(spans), abs=0.04)


@pytest.mark.parametrize("clip_id", demo_material.CLIPS)
def test_sung_phrases_over_a_band_within_60_ms(clip_id: str) -> None:
    song = demo_material.load_clip(clip_id, 16000)
    for speed in (1.0, 0.9, 1.1):
        found = find_phrases(detect_voicing(demo_material.change_speed(song, speed), 16000))
        sung = np.array(demo_material.PHRASES[clip_id]) / speed
        assert np.array(found) == pytest.approx(sung, abs=0.06)


def test_level_and_rate_change_no_phrase() -> None:
    song = demo_material.load_clip("rnb_en_06", 48000)
    whole = np.array(find_phrases(detect_voicing(song, 48000)))
    assert np.array(find_phrases(detect_voicing(song * 0.1, 48000))) == pytest.approx(
        whole, abs=0.02
    )
    assert np.array(find_phrases(detect_voicing(song[::2], 24000))) == pytest.approx(
        whole, abs=0.03
    )


def test_a_fricative_belongs_to_its_phrase_in_a_clean_recording() -> None:
    sound = make_voice([(1.0, 2.0)], 4.0)
    hiss = np.random.default_rng(1).standard_normal(round(0.2 * RATE)) * 0.05
    sound[round(0.8 * RATE) : round(1.0 * RATE)] += hiss.astype(np.float32)
    found = detect_voicing(sound, RATE)
    assert np.array(find_phrases(found)) == pytest.approx(np.array([[0.8, 2.0]]), abs=0.03)
    assert np.array(find_runs(found.voiced)) == pytest.approx(np.array([[1.0, 2.0]]), abs=0.03)


def test_short_pauses_join_and_islands_drop() -> None:
    flags = np.zeros(500, bool)
    for start, end in ((50, 100), (120, 170), (300, 310)):
        flags[start:end] = True
    made = Voicing(np.arange(500) / 100, np.where(flags, -20.0, -90.0), flags * 1.0, flags)
    assert find_phrases(made) == [(0.5, 1.7)]
    assert find_phrases(made, min_pause_sec=0.1, min_phrase_sec=0.05) == [
        (0.5, 1.0), (1.2, 1.7), (3.0, 3.1)]  # fmt: skip


def _power_db(sound: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(sound**2)))


def test_chords_and_drums_go_and_a_moving_voice_stays() -> None:
    clock = np.arange(6 * 16000) / 16000
    chord = sum(np.sin(2 * np.pi * hz * clock) for hz in (196.0, 247.0, 294.0)) / 10
    pitch = 220 * 2 ** (np.sin(2 * np.pi * 5.5 * clock) / 12)
    voice = 0.1 * sawtooth(2 * np.pi * np.cumsum(pitch) / 16000)
    clicks = np.zeros(len(clock))
    clicks[4000::8000] = 3.0
    inner = slice(16000, -16000)
    lost = {
        name: _power_db(sound[inner]) - _power_db(remove_music(sound)[inner])
        for name, sound in (("chord", chord), ("clicks", clicks), ("voice", voice))
    }
    assert lost["chord"] > 15
    assert lost["clicks"] > 10
    assert lost["voice"] < min(lost["chord"], lost["clicks"]) - 8, lost


def test_blocks_leave_no_seam() -> None:
    song = demo_material.load_clip("rock_en_02", 16000).astype(float)
    sound = np.tile(song, 6)[: 62 * 16000]
    whole = remove_music(sound)
    shift = 170 * 2048  # the second block of this is whole over the first seam of that
    part = remove_music(sound[shift:])
    around = slice(38 * 16000, 42 * 16000)  # blocks meet near 40 s
    assert whole[around] == pytest.approx(part[38 * 16000 - shift :][: 4 * 16000], abs=1e-9)


@pytest.mark.thorough
@pytest.mark.parametrize("clip_id", demo_material.CLIPS)
def test_a_voice_is_found_over_a_band_as_loud_as_itself(clip_id: str) -> None:
    voice = demo_material.load_clip(clip_id, 16000).astype(float)
    alone = detect_voicing(voice, 16000)
    assert not alone.over_music
    sung = np.repeat(alone.voiced, 160)[: len(voice)]
    band = demo_material.play_band(len(voice) / 16000, 16000)
    band *= np.sqrt(np.mean(voice[: len(sung)][sung] ** 2))
    found = detect_voicing(voice + band, 16000)
    assert found.over_music
    assert found.voiced[alone.voiced].mean() > 0.9
    assert found.voiced[~alone.voiced].mean() < 0.4  # 0.7 by loudness and periodicity alone


def test_a_steady_voice_is_not_taken_for_music() -> None:
    found = detect_voicing(make_voice([(0.5, 3.0), (3.7, 9.5), (10.1, 12.0)], 13.0), RATE)
    assert not found.over_music
    assert len(find_phrases(found)) == 3
