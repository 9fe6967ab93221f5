import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sfqa import identity
from sfqa.features.mfcc import compute_mfcc, mel_filters


def noise(samples, seed=0):
    rng = identity.random_generator("test_mfcc", seed)
    loudness = np.repeat(rng.uniform(0, 8000, samples // 800 + 1), 800)[:samples]
    return (rng.normal(size=samples) * loudness).clip(-32768, 32767).astype(np.int16)


def test_equals_python_speech_features_on_three_seconds():
    psf = pytest.importorskip("python_speech_features")
    sound = noise(48000)
    sound[16000:17600] = 0  # digital silence takes the other branch of the logarithm
    wanted = psf.mfcc(sound, 16000)
    assert wanted.shape == (299, 13)
    np.testing.assert_allclose(compute_mfcc(sound), wanted, rtol=0, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(samples=st.integers(1, 2500), seed=st.integers(0, 5))
@example(samples=400, seed=0)
@example(samples=401, seed=0)
@example(samples=560, seed=0)
@example(samples=561, seed=0)
def test_equals_python_speech_features_for_every_length(samples, seed):
    psf = pytest.importorskip("python_speech_features")
    sound = noise(samples, seed)
    np.testing.assert_allclose(compute_mfcc(sound), psf.mfcc(sound, 16000), rtol=0, atol=1e-6)


def test_mel_filters_equal_python_speech_features():
    psf = pytest.importorskip("python_speech_features")
    np.testing.assert_allclose(mel_filters(), psf.base.get_filterbanks(26, 512, 16000), atol=1e-12)


def test_silence_has_known_cepstra():
    silence = compute_mfcc(np.zeros(1600, np.int16))
    assert silence.shape == (9, 13)
    # Every log is log(eps), so that the DCT of the constant row is zero after the first place.
    np.testing.assert_allclose(silence[:, 0], np.log(2.0**-52), rtol=1e-15)
    np.testing.assert_allclose(silence[:, 1:], 0, atol=1e-12)


def test_twice_as_loud_raises_the_energy_alone():
    sound = noise(8000) // 4
    quiet, loud = compute_mfcc(sound), compute_mfcc(2 * sound)
    np.testing.assert_allclose(loud[:, 0] - quiet[:, 0], 2 * np.log(2), rtol=1e-9)
    np.testing.assert_allclose(loud[:, 1:], quiet[:, 1:], atol=1e-9)


@pytest.mark.parametrize("bad", [np.zeros(0, np.int16), np.zeros((10, 2), np.int16)])
def test_no_mono_sound_is_an_error(bad):
    with pytest.raises(ValueError, match="mono"):
        compute_mfcc(bad)
