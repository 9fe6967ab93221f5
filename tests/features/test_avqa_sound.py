"""Known truth for the sound of DNN-RNT, DNN-SND and GeneralAVQA: shifts, silence, rates, channels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from golden_weights import draw_song
from sfqa import media
from sfqa.features import avqa_steps, base, patch_grid
from sfqa.features.base import UnusableError, Video
from sfqa.features.extractors import audio, frames_grid, soundnet
from sfqa.features.weights import NONE, Weights

GRID, SOUND = frames_grid.GridReader("all"), soundnet.SoundReader()


def draw_voice(seconds: float, rate: int) -> np.ndarray:
    return draw_song(1, seconds, rate).astype(np.float32) / np.float32(32768)


def make_video(
    folder: Path, sound: np.ndarray | None, rate: int = 48000, frames: int = 50
) -> Video:
    wave, path = folder / "a.wav", folder / "a.mp4"
    if sound is not None:
        media.write_wave(wave, sound, rate)
    picture = np.full((224, 224, 3), 90, np.uint8)
    media.write_video(path, [picture] * frames, 25.0, audio=None if sound is None else wave)
    return Video("a", path, "0", 25.0, frames, audio_path=None if sound is None else wave)


def extract_sound(video: Video) -> dict[str, np.ndarray]:
    """What the three extractors make of the sound: spectrogram, SoundNet's steps, a map."""
    network = base.build_extractor("soundnet", {}, Weights("random", "random:0"), "cpu")
    maps = base.build_extractor("audio", {}, Weights(NONE, NONE), "cpu")
    return {
        "spectrogram": GRID.prepare(video).spectrogram,
        "soundnet": network.extract(video)["audio"],
        "mfcc": maps.extract(video)["mfcc"],
    }


def test_delayed_sound_delays_the_patches_by_as_much() -> None:
    """Two frames at 25 fps are 3840 samples, 16 columns and one step."""
    sound = draw_voice(7, 48000)
    late = np.concatenate([np.zeros(3840, np.float32), sound])[: len(sound)]
    early_columns, late_columns = (frames_grid.compute_spectrogram(s) for s in (sound, late))
    np.testing.assert_array_equal(late_columns[:, 16 + 4 :], early_columns[:, 4:-16])
    video = Video("a", Path("a.mp4"), "0", 25.0, 175)
    times = avqa_steps.list_sound_times(video)
    starts = frames_grid.select_columns(times, early_columns.shape[1])
    inner = np.flatnonzero((starts > 20) & (starts < early_columns.shape[1] - 224))
    assert len(inner) > 50
    for step in inner[1:]:
        patch = late_columns[:, starts[step] : starts[step] + patch_grid.SIZE]
        before = early_columns[:, starts[step - 1] : starts[step - 1] + patch_grid.SIZE]
        np.testing.assert_array_equal(patch, before)


@pytest.mark.parametrize("layer", ["conv7", "pool5"])
def test_delayed_sound_delays_soundnets_columns_by_as_much(layer: str) -> None:
    network: Any = base.build_extractor(
        "soundnet", {"layer": layer}, Weights("random", "random:0"), "cpu"
    )
    sound, (_, step) = 256 * draw_voice(22, soundnet.RATE), network.column_grid
    late = np.concatenate([np.zeros(step, np.float32), sound])[: len(sound)]
    early_columns, late_columns = (network.compute_columns(s) for s in (sound, late))
    np.testing.assert_allclose(late_columns[6:-3], early_columns[5:-4], rtol=1e-4, atol=1e-5)
    assert np.abs(late_columns[6:-3] - early_columns[6:-3]).max() > 1e-3


def test_a_click_in_a_file_is_in_its_column(tmp_path: Path) -> None:
    """The column of a file's click is that of its sample: 25 columns are 6000 samples."""
    for start in (30000, 36000):
        sound = 0.002 * np.random.default_rng(0).normal(size=96000).astype(np.float32)
        sound[start : start + 480] += 0.8 * np.sin(np.arange(480) / 3).astype(np.float32)
        spectrogram = GRID.prepare(make_video(tmp_path, sound)).spectrogram
        loudest = spectrogram.max(axis=0).argmax()
        # Windows of 960 samples every 240 that contain the click of 480.
        assert abs(loudest * 240 + 480 - (start + 240)) <= 240


def test_no_sound_and_silence_are_reasons(tmp_path: Path) -> None:
    maps = base.build_extractor("audio", {}, Weights(NONE, NONE), "cpu")
    for sound in (None, np.zeros(96000, np.float32)):
        video = make_video(tmp_path, sound)
        for prepare in (GRID.prepare, SOUND.prepare, maps.extract):
            with pytest.raises(UnusableError, match="^silent: "):
                prepare(video)


@pytest.mark.thorough
def test_a_video_of_one_second(tmp_path: Path) -> None:
    """SoundNet repeats its sound 21 times; a patch of 224 columns and 30 segments do not fit."""
    video = make_video(tmp_path, draw_voice(1, 48000), frames=25)
    with pytest.raises(UnusableError, match=r"^short: the sound lasts 1\.0. s, .* needs 1.135 s"):
        GRID.prepare(video)
    network: Any = base.build_extractor("soundnet", {}, Weights("random", "random:0"), "cpu")
    row = network.extract(video)["audio"]
    assert row.shape == (96, 1024)
    assert len(np.unique(row, axis=0)) == 1
    maps: Any = base.build_extractor("audio", {}, Weights(NONE, NONE), "cpu")
    assert maps.extract(video)["mfcc"].shape == (30, audio.COLUMNS, 128)


@pytest.mark.thorough
def test_mono_at_8_khz_is_a_row_without_high_frequencies(tmp_path: Path) -> None:
    features = extract_sound(make_video(tmp_path, draw_voice(2, 8000), rate=8000))
    assert features["soundnet"].shape == (96, 1024)
    assert features["mfcc"].shape == (30, 64, 128)
    hertz = 700 * (10 ** (np.linspace(30, 3820, 224) / 2595) - 1)
    loudness = features["spectrogram"].mean(axis=1)
    assert loudness[hertz > 5000].max() < loudness[hertz < 3000].min()


def test_of_5_1_the_spectrogram_reads_front_left_and_the_others_a_mix(tmp_path: Path) -> None:
    voice = draw_voice(2, 48000)
    left, centre = np.zeros((2, len(voice), 6), np.float32)
    left[:, 0], centre[:, 2] = voice, voice
    features = extract_sound(make_video(tmp_path, left))
    alone = extract_sound(make_video(tmp_path, voice))
    columns = min(alone["spectrogram"].shape[1], features["spectrogram"].shape[1])
    difference = alone["spectrogram"][:150, :columns] - features["spectrogram"][:150, :columns]
    assert np.abs(difference).mean() < 0.5
    video = make_video(tmp_path, centre)
    with pytest.raises(UnusableError, match="^silent: "):
        GRID.prepare(video)
    assert np.abs(SOUND.prepare(video).sound).max() > 1
