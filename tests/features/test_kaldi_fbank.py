"""Kaldi's filter banks and torchaudio's resampling, against numbers of the official front ends."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from golden_summaries import load_golden
from golden_weights import draw_song
from sfqa.features.kaldi_fbank import compute_fbank
from sfqa.features.sinc_resampling import resample_sound


def assert_every_step(
    computed: npt.NDArray[np.float32], summary: dict[str, object], tolerance: float = 2e-6
) -> None:
    assert list(computed.shape) == summary["shape"]
    assert computed.mean(dtype=np.float64) == pytest.approx(summary["mean"], abs=1e-5)
    assert computed.std(dtype=np.float64) == pytest.approx(summary["std"], abs=1e-5)
    values = np.asarray(summary["values"])
    chosen = computed.ravel()[:: summary["step"]][: len(values)]
    np.testing.assert_allclose(chosen, values, rtol=0, atol=tolerance)


def normalise_as_vast(sound: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    bank = (compute_fbank(sound * np.float32(2**15), 16000, 64) - 15.41663) / (2 * 6.55582)
    return np.pad(bank, ((0, 1024 - len(bank)), (0, 0)))[None].astype(np.float32)


def test_hanning_window_as_valor():
    sound = draw_song(0, 6, 22050) / np.float32(32768)
    assert_every_step(
        compute_fbank(sound - sound.mean(), 22050, 64, "hanning"),
        load_golden("fbank")["valor"],
    )


def test_povey_window_as_vast():
    sound = draw_song(0, 6, 16000) / np.float32(32768)
    assert_every_step(normalise_as_vast(sound), load_golden("fbank")["vast"])


def test_both_kernels_resample_alike():
    """torchaudio's function rounds its kernel to float32 step by step, its module once."""
    sound = draw_song(0, 1, 44100) / np.float32(32768)
    single, double = (resample_sound(sound, 44100, 16000, t) for t in ("float32", "float64"))
    assert single.dtype == double.dtype == np.float32
    assert 1e-7 < np.abs(single - double).max() < 1e-5


def test_resampled_sound_as_vast():
    sound = resample_sound(draw_song(0, 6, 44100) / np.float32(32768), 44100, 16000)
    assert_every_step(normalise_as_vast(sound), load_golden("fbank")["vast, 44.1 kHz"], 1e-4)


@pytest.mark.parametrize("samples", [0, 1, 399])
def test_sound_shorter_than_a_frame_has_no_frames(samples: int):
    assert compute_fbank(np.zeros(samples, np.float32), 16000, 64).shape == (0, 64)


def test_silence_is_the_floor():
    bank = compute_fbank(np.zeros(1600, np.float32), 16000, 128)
    assert bank == pytest.approx(np.log(1.1920929e-07))


@pytest.mark.parametrize(("rate", "new_rate"), [(44100, 16000), (8000, 22050), (48000, 16000)])
def test_a_resampled_tone_is_the_tone_of_the_new_rate(rate: int, new_rate: int):
    def make_tone(samples: int, sample_rate: int) -> npt.NDArray[np.float32]:
        return np.sin(2 * np.pi * 440 * np.arange(samples) / sample_rate).astype(np.float32)

    resampled = resample_sound(make_tone(rate, rate), rate, new_rate)
    assert len(resampled) == new_rate
    inner = slice(new_rate // 10, -new_rate // 10)
    expected = make_tone(new_rate, new_rate)
    np.testing.assert_allclose(resampled[inner], expected[inner], rtol=0, atol=2e-3)


def test_the_same_rate_is_the_same_sound():
    sound = draw_song(0, 0.1, 16000) / np.float32(32768)
    assert resample_sound(sound, 16000, 16000) is sound
