"""EBU R128: the known signals of EBU Tech 3341 and 3342, and pyloudnorm as a second meter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyloudnorm
import pytest
from scipy.signal import lfilter

from demo_material import load_clip
from sfqa import media
from sfqa.loudness import Loudness, measure_loudness

RATE = 48000


def _tones(*steps: tuple[float, float]) -> np.ndarray:
    """A stereo sine of 1 kHz in steps of (peak level in dBFS, seconds)."""
    clock = np.arange(round(sum(sec for _, sec in steps) * RATE)) / RATE
    gain = np.concatenate([np.full(round(sec * RATE), 10 ** (db / 20)) for db, sec in steps])
    tone = gain * np.sin(2 * np.pi * 1000 * clock)
    return np.stack([tone, tone], axis=1).astype(np.float32)


def _measured(folder: Path, sound: np.ndarray, rate: int = RATE) -> Loudness:
    media.write_wave(folder / "x.wav", sound, rate)
    return measure_loudness(folder / "x.wav")


@pytest.mark.parametrize(
    ("steps", "wanted"),
    [
        (((-23.0, 20.0),), -23.0),  # Tech 3341, case 1
        (((-33.0, 20.0),), -33.0),  # case 2
        (((-36.0, 10.0), (-23.0, 60.0), (-36.0, 10.0)), -23.0),  # case 3, relative gate
        (((-72.0, 10.0), (-36.0, 10.0), (-23.0, 60.0), (-36.0, 10.0), (-72.0, 10.0)), -23.0),
        (((-26.0, 20.0), (-20.0, 20.1), (-26.0, 20.0)), -23.0),  # case 5
    ],
)
def test_integrated_loudness_of_ebu_3341(
    tmp_path: Path, steps: tuple[tuple[float, float], ...], wanted: float
) -> None:
    found = _measured(tmp_path, _tones(*steps))
    assert found.integrated_lufs == pytest.approx(wanted, abs=0.1001)
    assert found.reason == ""


@pytest.mark.parametrize(
    ("steps", "wanted"),
    [
        (((-20.0, 20.0), (-30.0, 20.0)), 10.0),  # Tech 3342, case 1
        (((-20.0, 20.0), (-15.0, 20.0)), 5.0),
        (((-40.0, 20.0), (-20.0, 20.0)), 20.0),
        (((-50.0, 20.0), (-35.0, 20.0), (-20.0, 20.0), (-35.0, 20.0), (-50.0, 20.0)), 15.0),
    ],
)
def test_loudness_range_of_ebu_3342(
    tmp_path: Path, steps: tuple[tuple[float, float], ...], wanted: float
) -> None:
    assert _measured(tmp_path, _tones(*steps)).range_lu == pytest.approx(wanted, abs=1.0)


@pytest.mark.parametrize("degrees", [0.0, 45.0, 60.0, 67.5])
def test_true_peak_between_the_samples(tmp_path: Path, degrees: float) -> None:
    """Tech 3341, cases 15 to 18: a sine of a quarter of the rate, +0.2 and -0.4 dB allowed."""
    phase = 2 * np.pi * np.arange(RATE) / 4 + np.deg2rad(degrees)
    ramp = np.minimum(1.0, np.arange(RATE) / 4800)
    tone = (0.5 * np.sin(phase) * ramp * ramp[::-1]).astype(np.float32)
    found = _measured(tmp_path, np.stack([tone, tone], axis=1)).true_peak_dbtp
    assert found is not None
    assert -6.0 - 0.4 <= found <= -6.0 + 0.2 + 1e-9
    if degrees == 45.0:
        assert 20 * np.log10(np.abs(tone).max()) < -8.9  # no sample comes near


@pytest.mark.parametrize("case", ["song", "noise", "one side", "mono"])
@pytest.mark.parametrize("rate", [44100, 48000])
def test_pyloudnorm_agrees(tmp_path: Path, case: str, rate: int) -> None:
    rng = np.random.default_rng(5)
    if case == "song":
        song = load_clip("rock_en_02", rate)[: 7 * rate]
        sound = np.stack([song, 0.6 * np.roll(song, 400)], axis=1)
    else:
        noise = lfilter([0.05], [1.0, -0.95], rng.standard_normal((6 * rate, 2)), axis=0)
        sound = noise * (0.5 + 0.4 * np.sin(np.arange(6 * rate) / rate)[:, None])
        if case == "one side":
            sound[:, 1] = 0.0
        if case == "mono":
            sound = sound[:, 0]
    found = _measured(tmp_path, sound.astype(np.float32), rate)
    wanted = pyloudnorm.Meter(rate).integrated_loudness(sound)
    assert found.integrated_lufs == pytest.approx(wanted, abs=0.15)


def test_two_equal_channels_are_3_lu_louder_than_one(tmp_path: Path) -> None:
    both = _measured(tmp_path, _tones((-23.0, 5.0))).integrated_lufs
    one = _measured(tmp_path, _tones((-23.0, 5.0))[:, 0]).integrated_lufs
    assert both is not None
    assert one is not None
    assert both - one == pytest.approx(10 * np.log10(2), abs=0.101)


def test_what_is_undefined_is_none_with_a_reason(tmp_path: Path) -> None:
    nothing = np.zeros((6 * RATE, 2), np.float32)
    assert _measured(tmp_path, nothing) == (None, None, None, "no loudness: it is silent")
    whisper = _measured(tmp_path, _tones((-80.0, 6.0)))
    assert whisper[:2] == (None, None)
    assert whisper.true_peak_dbtp == pytest.approx(-80.0, abs=0.5)
    assert whisper.reason == "no loudness: nothing of 0.4 s is louder than -70 LUFS"
    assert _measured(tmp_path, _tones((-20.0, 0.3))).integrated_lufs is None
    brief = _measured(tmp_path, _tones((-20.0, 3.0)))
    assert brief.integrated_lufs == pytest.approx(-20.0, abs=0.1001)
    assert (brief.range_lu, brief.reason) == (None, "no loudness range: shorter than 4 s")


def test_a_clips_range_comes_from_whole_windows_only(tmp_path: Path) -> None:
    assert _measured(tmp_path, _tones((-23.0, 5.0))).range_lu == 0.0


def test_a_video_with_sound_is_measured(tmp_path: Path) -> None:
    media.write_wave(tmp_path / "x.wav", _tones((-23.0, 5.0)), RATE)
    frames = [np.zeros((32, 32, 3), np.uint8)] * 125
    media.write_video(tmp_path / "x.mp4", frames, 25, tmp_path / "x.wav")
    assert measure_loudness(tmp_path / "x.mp4").integrated_lufs == pytest.approx(-23.0, abs=0.11)


def test_no_sound_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(b"no sound")
    with pytest.raises(media.MediaError, match=r"x\.wav"):
        measure_loudness(tmp_path / "x.wav")
    media.write_video(tmp_path / "v.mp4", [np.zeros((32, 32, 3), np.uint8)] * 3, 25)
    with pytest.raises(media.MediaError, match=r"v\.mp4"):
        measure_loudness(tmp_path / "v.mp4")
