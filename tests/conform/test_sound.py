"""The own sound against the driving clip: offsets, likeness and lost tails that are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample

from sfqa import media
from sfqa.conform import sound, video

from .conftest import FORM, made, numbered, video_row, words

RATE = sound.RATE


def speech(seconds=4.0, seed=1):
    """Bursts of low-pass noise, as float32."""
    rng = np.random.default_rng(seed)
    noise = resample(rng.normal(0, 0.1, round(seconds * 4000)), round(seconds * RATE))
    time = np.arange(noise.size) / RATE
    return (noise * np.maximum(0, np.sin(2 * np.pi * 1.7 * time + seed))).astype(np.float32)


def shifted(signal, seconds):
    """The signal later by any time, by the shift theorem (periodic at the ends)."""
    spectrum = np.fft.rfft(np.pad(signal, (0, 2 * RATE)).astype(np.float64))
    turn = np.exp(-2j * np.pi * np.fft.rfftfreq(signal.size + 2 * RATE, 1 / RATE) * seconds)
    return np.fft.irfft(spectrum * turn)[: signal.size].astype(np.float32)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(late=st.floats(0, 1.5), gain=st.floats(0.01, 4), noise=st.floats(0, 0.01))
def test_an_offset_is_found_to_a_twentieth_of_a_sample(late, gain, noise):
    clip = speech()
    own = gain * (shifted(clip, late) + np.random.default_rng(0).normal(0, noise, clip.size))
    found = sound.compare_sounds(own.astype(np.float32), clip)
    assert found.offset_sec == pytest.approx(late, abs=0.05 / RATE + noise / RATE * 100)
    assert found.match > 0.9


@pytest.mark.parametrize("early", [0.02, 0.5, 2.0])
def test_early_sound_is_a_negative_offset(early):
    clip = speech()
    found = sound.compare_sounds(clip[round(early * RATE) :], clip)
    assert found.offset_sec == pytest.approx(-early, abs=1e-5)
    assert found.match == pytest.approx(1, abs=1e-6)


def test_the_match_is_the_plain_normalised_correlation():
    clip, own = speech(1.0, 2), speech(1.3, 3) + np.pad(speech(1.0, 2), (4800, 0)) / 2
    best = 0.0
    for shift in range(4790, 4811):
        part = own[shift : shift + clip.size].astype(float)
        other = clip[: part.size].astype(float)
        best = max(best, abs(part @ other) / np.sqrt((part @ part) * (other @ other)))
    assert sound.compare_sounds(own, clip).match == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_another_sound_has_no_offset(seed):
    found = sound.compare_sounds(speech(seed=seed + 10), speech(seed=seed + 20))
    assert found.match < sound.WEAK_MATCH
    assert (found.offset_sec, found.lost_tail_sec) == (None, None)


def test_silence_has_no_match():
    assert sound.compare_sounds(np.zeros(RATE, np.float32), speech()) is None


@pytest.mark.parametrize("kept", [4.0, 3.5, 2.0])
@pytest.mark.parametrize("late", [0.0, 0.3])
@pytest.mark.parametrize("padded", [0.0, 1.0])
def test_a_lost_tail_is_measured_through_padding_and_offsets(kept, late, padded):
    clip = 0.1 * np.random.default_rng(5).normal(0, 1, 4 * RATE).astype(np.float32)
    own = np.concatenate(
        [np.zeros(round(late * RATE)), clip[: round(kept * RATE)], np.zeros(round(padded * RATE))]
    ).astype(np.float32)
    found = sound.compare_sounds(own, clip)
    assert found.offset_sec == pytest.approx(late, abs=1e-5)
    assert found.lost_tail_sec == pytest.approx(4.0 - kept, abs=0.021)


def test_silence_at_the_end_of_the_clip_is_not_lost():
    clip = np.concatenate([speech(3.0), np.zeros(RATE, np.float32)])
    assert sound.compare_sounds(clip[: 3 * RATE], clip).lost_tail_sec == pytest.approx(0, abs=0.021)


def talking(folder, wave, picture_sec=6.0):
    media.write_video(folder / "v.mp4", numbered(round(25 * picture_sec)), 25, wave)
    return folder / "v.mp4"


@pytest.mark.parametrize("late", [-0.3, -0.02, 0.0, 0.03, 0.064, 0.5])
def test_the_offset_of_a_video_is_that_of_its_sound(tmp_path, talk, late):
    picture = talking(tmp_path, None)
    source = made(
        tmp_path / "late.mp4", "-i", picture, "-itsoffset", late, "-i", talk, "-map", "0:v",
        "-map", "1:a", "-c:v", "copy", "-c:a", "aac",
    )  # fmt: skip
    row = video.conform_row(video_row(source, talk), tmp_path / "o", FORM)
    assert row["audio_offset_sec"] == pytest.approx(late, abs=0.001)
    assert row["audio_match"] > 0.95
    assert ("audio_offset" in words(row)) == (abs(late) > 0.04)
    if late == 0.5:
        assert "audio_offset: the sound is 500 ms later than in the clip" in row["detail"]


def test_a_truncated_video_has_lost_its_tail(tmp_path, talk):
    """FantasyTalking makes at most so many frames, and cuts the sound to them."""
    made(tmp_path / "cut.wav", "-i", talk, "-t", 4.4)
    row = video.conform_row(
        video_row(talking(tmp_path, tmp_path / "cut.wav", 4.4), talk), tmp_path / "o", FORM
    )
    assert row["duration_difference_sec"] == pytest.approx(-1.6, abs=1e-6)
    clip_end = sound.find_audible_end(media.read_audio(talk, RATE))
    assert row["lost_tail_sec"] == pytest.approx(clip_end - 4.4, abs=0.07)
    assert {"lost_tail", "cut_short"} <= set(words(row))


def test_the_sound_of_another_clip_is_named(tmp_path, talk):
    media.write_wave(tmp_path / "other.wav", speech(6.0, 9), RATE)
    row = video.conform_row(
        video_row(talking(tmp_path, tmp_path / "other.wav"), talk), tmp_path, FORM
    )
    assert "other_sound" in words(row)
    assert (row["audio_offset_sec"], row["lost_tail_sec"]) == (None, None)


def test_loudness_is_that_of_what_is_heard(tmp_path):
    """A mono tone is heard from two speakers: at -23 dBFS peak, 997 Hz, it has -23 LUFS."""
    time = np.arange(5 * 48000) / 48000
    tone = 10 ** (-23 / 20) * np.sin(2 * np.pi * 997 * time)
    tone *= np.clip(np.minimum(time, 5 - time) * 10, 0, 1)  # AAC overshoots at an abrupt start
    media.write_wave(tmp_path / "t.wav", tone.astype(np.float32), 48000)
    row = video.conform_row(
        video_row(talking(tmp_path, tmp_path / "t.wav", 5)), tmp_path / "o", FORM
    )
    assert row["loudness_lufs"] == pytest.approx(-23, abs=0.2)
    assert row["true_peak_dbtp"] == pytest.approx(-23, abs=0.3)


@pytest.mark.shared
def test_real_clips_match_themselves_and_no_other(shared_data):
    folder = shared_data / "real" / "audio"
    clips = [media.read_audio(path, RATE) for path in sorted(folder.glob("*"))]
    assert len(clips) >= 5
    for number, clip in enumerate(clips):
        own = 0.5 * clip + np.random.default_rng(number).normal(0, 0.003, clip.size)
        assert sound.compare_sounds(own.astype(np.float32), clip).match > 0.9
        other = sound.compare_sounds(clips[number - 1], clip)
        assert other.match < 0.8 * sound.WEAK_MATCH
