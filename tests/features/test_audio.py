"""Sound features against librosa, spafe, plain sums and known tones, and pinned numbers.

Remake the pinned numbers after a bump of VERSION with
``PYTHONPATH=workflow/scripts python tests/features/test_audio.py``.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sfqa import identity, media
from sfqa.errors import UserError
from sfqa.features import base, gammatone, spectra
from sfqa.features.base import UnusableError, Video
from sfqa.features.extractors import audio
from sfqa.features.weights import Weights

GOLDEN = Path(__file__).parent / "golden" / "audio.json"
NONE = Weights("none", "none")
RATE = 48000


def tone(hertz: float, samples: int, rate: int = RATE, height: float = 0.3) -> np.ndarray:
    return (height * np.sin(2 * np.pi * hertz * np.arange(samples) / rate + 0.4)).astype(np.float32)


def music(samples: int, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """Gliding harmonics that pulse, and noise: something in every band, at every time."""
    t = np.arange(samples) / rate
    glide = 2 * np.pi * (220 * t + 30 * t**2)
    voice = sum(np.sin(n * glide) / n for n in range(1, 9)) * (1.2 + np.sin(2 * np.pi * 3 * t))
    noise = identity.random_generator("test_audio", seed).normal(size=samples)
    return (0.1 * voice + 0.02 * noise).astype(np.float32)


def chroma(magnitude: np.ndarray) -> np.ndarray:
    sums = magnitude.reshape(len(magnitude), 7, 128).sum(axis=1)
    return sums / sums.max(axis=1, keepdims=True)


# Against librosa and spafe, as GeneralAVQA calls them ------------------------------------------


# A segment is shorter than librosa's filters for the low octaves, of which it warns.
pytestmark = pytest.mark.filterwarnings("ignore:n_fft=:UserWarning")


@pytest.fixture(scope="module")
def librosa() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("librosa")


@pytest.mark.thorough
@pytest.mark.parametrize(("rate", "hop"), [(48000, 512), (44100, 512), (16000, 123)])
def test_librosas_mfcc(librosa: Any, rate: int, hop: int) -> None:
    sound = music(rate // 2, rate)
    sound[: rate // 8] = 0  # under the range of 80 dB, which is taken from the loudest
    wanted = librosa.feature.mfcc(
        y=sound.astype(np.float64), sr=rate, n_fft=1024, hop_length=hop, n_mfcc=128
    ).T
    got = spectra.mel_cepstra(sound, rate, hop)
    assert np.abs(wanted).max() > 100
    # librosa keeps its filters in float32.
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("rate", "hop"), [(48000, 512), (16000, 123)])
@pytest.mark.parametrize("seed", [0, 1])
def test_librosas_chroma_stft(librosa: Any, rate: int, hop: int, seed: int) -> None:
    sound = music(rate // 2, rate, seed).astype(np.float64)
    wanted = librosa.feature.chroma_stft(
        y=sound, sr=rate, n_fft=1024, hop_length=hop, n_chroma=128
    ).T
    np.testing.assert_allclose(spectra.chroma_stft(sound, rate, hop), wanted, rtol=0, atol=1e-6)


def test_librosas_chroma_cqt(librosa: Any) -> None:
    """librosa halves the sound for each octave, which on a short one shows in the low octaves."""
    sound = music(36000).astype(np.float64)
    wanted = librosa.feature.chroma_cqt(
        y=sound, sr=RATE, hop_length=512, n_chroma=128, bins_per_octave=None
    ).T
    apart = np.abs(spectra.chroma_cqt(sound, RATE, 512) - wanted)
    assert apart.max() < 0.02
    assert apart.mean() < 2e-3


@pytest.mark.thorough
def test_librosas_constant_q_on_a_long_sound(librosa: Any) -> None:
    """With room for the filters, and all of each filter used, both are the same transform."""
    sound = np.zeros(8 * 16000)
    sound[60000:68000] = music(8000, 16000) * np.hanning(8000)
    wanted = np.abs(
        librosa.cqt(
            sound, sr=16000, hop_length=1024, n_bins=896, bins_per_octave=128, tuning=0.2,
            sparsity=0, dtype=np.complex128,
        )
    ).T  # fmt: skip
    got = np.abs(spectra.constant_q(sound, 16000, 1024, 0.2))
    scale = (got * wanted).sum() / (got**2).sum()
    assert np.abs(got * scale - wanted).max() < 3e-3 * wanted.max()


@pytest.mark.parametrize(("rate", "hop"), [(48000, 508), (16000, 99)])
def test_spafes_gfcc(rate: int, hop: int) -> None:
    spafe = pytest.importorskip("spafe.features.gfcc")
    sliding = pytest.importorskip("spafe.utils.preprocessing").SlidingWindow
    sound = music(rate // 2, rate).astype(np.float64)
    wanted = spafe.gfcc(
        sound, fs=rate, nfft=1024, nfilts=256, num_ceps=128,
        pre_emph=False, window=sliding(1024 / rate, (hop + 1e-6) / rate, "hamming"),
    )  # fmt: skip
    np.testing.assert_allclose(gammatone.compute_gfcc(sound, rate, hop), wanted, rtol=0, atol=1e-10)


# Against definitions ---------------------------------------------------------------------------


def test_gammatone_centres_are_even_in_erb_rate() -> None:
    """Glasberg & Moore 1990: ERB-rate(f) = 21.4 log10(4.37 f / 1000 + 1)."""
    centres = np.append(gammatone.centre_frequencies(RATE), RATE / 2)
    rates = 21.4 * np.log10(4.37 * centres / 1000 + 1)
    assert centres[0] == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(np.diff(rates), rates[-1] / 256, rtol=1e-5)


@pytest.mark.parametrize("rate", [16000, 48000])
def test_gammatone_filters_peak_at_their_centre_and_are_as_wide_as_stated(rate: int) -> None:
    centres, filters = gammatone.centre_frequencies(rate), gammatone.gammatone_filters(rate)
    assert filters.shape == (256, 513)
    line = rate / 1024
    middle = (centres > 3 * line) & (centres < 0.35 * rate)
    np.testing.assert_allclose(filters[middle].argmax(axis=1) * line, centres[middle], atol=line)
    # Equivalent rectangular bandwidth: that of the rectangle with the filter's height and energy.
    widths = (filters**2).sum(axis=1) * line
    wanted = ((centres / 9.26449) ** 4 + 24.7**4) ** 0.25
    wide = middle & (wanted > 6 * line)
    assert wide.sum() > 30
    np.testing.assert_allclose(widths[wide], wanted[wide], rtol=0.03)


def test_log_mel_is_a_plain_fourier_sum() -> None:
    sound, rate = music(2000, 16000), 16000
    got, hertz = spectra.log_mel(sound, rate), spectra.log_mel_hertz(rate)
    assert got.shape == ((2000 - 240) // 80, 224)
    n = np.arange(320)
    window = 0.54 - 0.46 * np.cos(2 * np.pi * n / 320)
    whole = np.round(sound.astype(float) * 32768 * 1e6) / 1e6
    for column, band in ((0, 0), (3, 100), (21, 223)):
        block = (whole[80 * column : 80 * column + 320] + 0.5) / 32767.5 * window
        wanted = np.log(abs((block * np.exp(-2j * np.pi * n * hertz[band] / rate)).sum()))
        assert got[column, band] == pytest.approx(wanted, abs=1e-7)


def test_log_mel_of_nothing_has_known_numbers() -> None:
    """Samples of -.5 / 32768 stand for zeros after the offset, whose log is that of 2^-52."""
    nothing = np.full(960, -0.5 / 32768)
    np.testing.assert_allclose(spectra.log_mel(nothing, RATE), -52 * np.log(2), rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(theta=st.floats(-1.5, 1.5), half=st.integers(2, 60))
@example(theta=0.0, half=8)
@example(theta=2 * np.pi / 16, half=8)
@example(theta=-2 * np.pi / 16, half=8)
@example(theta=1e-12, half=8)
def test_hann_transform_is_the_sum(theta: float, half: int) -> None:
    n = np.arange(-half, half + 1)
    wanted = ((1 + np.cos(np.pi * n / half)) / 2 * np.cos(n * theta)).sum()
    got = spectra.hann_transform(np.array([theta]), np.array([2.0 * half]))[0]
    assert got == pytest.approx(wanted, abs=1e-6 * half)


def test_constant_q_is_its_definition() -> None:
    sound, rate, hop, offset = music(20000, 16000).astype(float), 16000, 301, 0.37
    got = spectra.constant_q(sound, rate, hop, offset)
    assert got.shape == (1 + 20000 // 301, 896)
    largest = np.abs(got).max()
    for column, k in ((0, 0), (66, 0), (30, 130), (10, 300), (5, 511), (5, 512), (60, 700), (33, 895)):  # fmt: skip
        f = 440 * 2 ** (-3.75 + (k + offset) / 128)
        q = 1 / ((2 ** (2 / 128) - 1) / (2 ** (2 / 128) + 1))
        size = 2 * round(q * rate / f / 2)
        n = np.arange(-size // 2, size // 2 + 1)
        n = n[(column * hop + n >= 0) & (column * hop + n < len(sound))]
        atom = (1 + np.cos(2 * np.pi * n / size)) * np.exp(-2j * np.pi * n * f / rate)
        wanted = (sound[column * hop + n] * atom).sum() / np.sqrt(size)
        assert abs(got[column, k] - wanted) < 1e-4 * largest


def test_constant_q_needs_its_highest_tone() -> None:
    with pytest.raises(ValueError, match="8000 Hz"):
        spectra.constant_q(music(8000, 8000), 8000, 100)


# Known tones -----------------------------------------------------------------------------------

_NOTES = st.integers(48, 95)  # C3 to B6


@settings(max_examples=15, deadline=None)
@given(note=_NOTES)
def test_a_note_lights_its_mel_band(note: int) -> None:
    hertz = 440 * 2 ** ((note - 69) / 12)
    bands = spectra.log_mel_hertz(RATE)
    nearest = int(np.abs(bands - hertz).argmin())
    got = spectra.log_mel(tone(hertz, 4800), RATE).mean(axis=0)
    assert abs(int(got.argmax()) - nearest) <= 1
    # A tone of height A on a window of n samples, at the very frequency: A n .54 / 2.
    got = spectra.log_mel(tone(bands[nearest], 4800), RATE).mean(axis=0)
    assert got[nearest] == pytest.approx(np.log(0.3 * 960 * 0.54 / 2), abs=0.02)


@settings(max_examples=15, deadline=None)
@given(note=_NOTES)
@example(note=69)
def test_a_note_lights_its_pitch_class(note: int) -> None:
    hertz = 440 * 2 ** ((note - 69) / 12)
    sound = tone(hertz, 16000, 16000)
    got = spectra.chroma_cqt(sound, 16000, 1000)[5:-5].argmax(axis=1)
    place = note % 12 * 128 / 12
    assert (np.abs((got - place + 64) % 128 - 64) <= 1).all()

    by_line = spectra.chroma_stft(sound, 16000, 1000)[5:-5].argmax(axis=1)
    place = (note - 69) % 12 * 128 / 12 - 30
    half_a_line = 128 * np.log2(1 + 16000 / 1024 / 2 / hertz)
    assert (np.abs((by_line - place + 64) % 128 - 64) <= 1 + half_a_line).all()


@settings(max_examples=15, deadline=None)
@given(note=_NOTES)
def test_a_note_lights_its_gammatone_and_mel_filters(note: int) -> None:
    """Through the cepstra and back: all 128 of the MFCC are kept, so their DCT can be undone."""
    from scipy.fft import idct

    hertz = 440 * 2 ** ((note - 69) / 12)
    sound = tone(hertz, 9600)
    decibels = idct(spectra.mel_cepstra(sound, RATE, 512), norm="ortho", axis=1)[4]
    line = round(hertz * 1024 / RATE)
    assert spectra.mel_filters(RATE)[decibels.argmax(), line - 1 : line + 2].max() > 0
    smooth = idct(gammatone.compute_gfcc(sound, RATE, 508), n=256, norm="ortho", axis=1)[4]
    centre = gammatone.centre_frequencies(RATE)[smooth.argmax()]
    assert abs(centre - hertz) < RATE / 1024


@pytest.mark.parametrize("cents", [-30, 0, 30])
def test_tuning_of_a_tone_out_of_tune(cents: int) -> None:
    bins = 128 * cents / 1200
    spectrum = spectra._compute_magnitudes(tone(440 * 2 ** (cents / 1200), RATE // 2), 2048, 512)
    got = spectra.estimate_tuning(spectrum[4:-4], RATE, 2048)
    apart = (got - bins + 0.5) % 1 - 0.5
    # The parabola through a Hann window's lobe is off by up to some .05 lines, 1.2 Hz.
    assert abs(apart) < 128 * np.log2(1 + 1.2 / 440) + 0.01


def test_twice_as_loud_moves_the_first_cepstrum_alone() -> None:
    sound = music(9600)
    quiet, loud = (spectra.mel_cepstra(s, RATE, 512) for s in (sound, 2 * sound))
    np.testing.assert_allclose(loud[:, 0] - quiet[:, 0], 20 * np.log10(2) * np.sqrt(128), rtol=1e-6)
    np.testing.assert_allclose(loud[:, 1:], quiet[:, 1:], atol=1e-6)
    quiet, loud = (gammatone.compute_gfcc(s, RATE, 508) for s in (sound, 2 * sound))
    np.testing.assert_allclose(loud, quiet * 4 ** (1 / 3), rtol=1e-6, atol=1e-9)


def test_silence_within_a_sound_is_finite_and_dark() -> None:
    nothing = np.zeros(9600, np.float32)
    for made in (spectra.chroma_stft, spectra.chroma_cqt):
        assert not made(nothing, RATE, 512).any()
    assert not gammatone.compute_gfcc(nothing, RATE, 508).any()
    cepstra = spectra.mel_cepstra(nothing, RATE, 512)
    np.testing.assert_allclose(cepstra[:, 0], -100 * np.sqrt(128))
    np.testing.assert_allclose(cepstra[:, 1:], 0, atol=1e-9)


# The extractor ---------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(samples=st.integers(16000, 600_000))
@example(samples=83_200)
def test_segments_are_the_published_ones(samples: int) -> None:
    parts = audio.cut_segments(np.arange(samples, dtype=np.float32))
    length = int(np.floor(samples / 8 * 0.75))
    starts = range(0, samples - length + 1, length - int(np.ceil(samples / 8 * 0.5)))
    assert len(parts) == 30
    assert [int(p[0]) for p in parts] == list(starts)[:30]
    assert {len(p) for p in parts} == {length}


@pytest.mark.parametrize("rate", [44100, 48000])
def test_eight_seconds_are_as_published(rate: int) -> None:
    """At its data's 8 s the steps are GeneralAVQA's 512 and 508, of which 64 columns are kept."""
    part = audio.cut_segments(music(8 * rate, rate))[0]
    got = audio.compute_segment_maps(part, rate)
    np.testing.assert_array_equal(got["mfcc"], spectra.mel_cepstra(part, rate, 512)[:64])
    np.testing.assert_array_equal(got["gfcc"], gammatone.compute_gfcc(part, rate, 508)[:64])
    assert {v.shape for v in got.values()} == {(64, 128)}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Video:
    folder = tmp_path_factory.mktemp("audio")
    full, wave, path = folder / "full.wav", folder / "a.wav", folder / "a.mp4"
    media.write_wave(full, music(60000), RATE)
    media.write_wave(wave, media.read_audio(full, 16000), 16000)
    picture = np.zeros((32, 32, 3), np.uint8)
    media.write_video(path, [picture] * 31, 25.0, audio=full)
    return Video("a", path, "0", 25.0, 31, audio_path=wave, audio_sha256="1", sample_rate=16000)


def test_the_extractor_reads_the_track(video: Video) -> None:
    extractor = base.build_extractor("audio", {}, NONE, "cpu")
    row = extractor.extract(video)
    names = [f.name for f in audio.Extractor.FEATURES]
    assert list(row) == names
    sound = media.read_audio(video.path, RATE)
    assert row["log_mel"].shape == ((len(sound) - 720) // 240, 224)
    assert [row[n].shape for n in names[1:]] == [(30, 64, 128)] * 4 + [(1472,)]
    assert {v.dtype for v in row.values()} == {np.dtype(np.float16)}
    part = audio.cut_segments(sound)[7]
    wanted = spectra.chroma_stft(part, RATE, len(part) // 63)[:64].astype(np.float16)
    np.testing.assert_array_equal(row["chroma_stft"][7], wanted)
    for start, kind in ((0, "log_mel"), (448, "mfcc"), (1216, "gfcc")):
        flat = row[kind].astype(float).reshape(-1, row[kind].shape[-1])
        width = flat.shape[1]
        got = row["statistics"][start : start + 2 * width].astype(float)
        np.testing.assert_allclose(got[:width], flat.mean(axis=0), rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(got[width:], flat.std(axis=0), rtol=2e-3, atol=2e-3)

    again = extractor.extract(video)
    for name, values in row.items():
        np.testing.assert_array_equal(again[name], values)


def test_the_extractor_reads_the_wave(video: Video) -> None:
    extractor = base.build_extractor("audio", {"source": "wave", "sample_rate": 16000}, NONE, "cpu")
    got = extractor.extract(video)
    assert video.audio_path is not None
    wanted = spectra.log_mel(media.read_audio(video.audio_path, 16000), 16000)
    np.testing.assert_array_equal(got["log_mel"], wanted.astype(np.float16))


def test_videos_without_sound_say_why(video: Video, tmp_path: Path) -> None:
    extractor = base.build_extractor("audio", {}, NONE, "cpu")
    with pytest.raises(UnusableError, match=r"^silent: the video has no sound"):
        extractor.extract(Video("a", video.path, "0", 25.0, 31))
    with pytest.raises(UnusableError, match=r"^silent: .* -60 dBFS"):
        extractor.compute_features(tone(440, 2 * RATE, height=0.0009))
    with pytest.raises(UnusableError, match=r"^short: the sound lasts 0.98 s"):
        extractor.compute_features(tone(440, 47000))
    assert extractor.compute_features(tone(440, RATE, height=0.0011))["mfcc"].shape == (30, 64, 128)
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(b"no video" * 99)
    with pytest.raises(UnusableError, match=r"^broken: ") as caught:
        extractor.extract(Video("a", noise, "0", 25.0, 31, audio_path=video.audio_path))
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "value"), [("source", "film"), ("sample_rate", 8000), ("sample_rate", 96000)]
)
def test_impossible_options(option: str, value: object) -> None:
    with pytest.raises(UserError, match=rf"features.audio.options.{option}"):
        base.build_extractor("audio", {option: value}, NONE, "cpu")
    with pytest.raises(UserError, match="say 'none'"):
        base.build_extractor("audio", {}, Weights("random", "random:0"), "cpu")


def pinned() -> dict[str, Any]:
    """Some numbers of each kind, at both rates."""
    made: dict[str, Any] = {"version": audio.VERSION}
    for rate in (16000, 48000):
        row = base.build_extractor("audio", {"sample_rate": rate}, NONE, "cpu").compute_features(
            music(rate, rate)
        )
        for kind in audio.STATISTICS_OF:
            flat = row[kind].astype(float).ravel()
            chosen = [flat.mean(), flat.std(), *flat[:: len(flat) // 10]]
            made[f"{kind}_{rate}"] = [float(f"{v:.6g}") for v in chosen]
    return made


def test_pinned_numbers() -> None:
    """A change of these numbers needs a new VERSION, which makes every cached row a miss."""
    wanted, got = json.loads(GOLDEN.read_text()), pinned()
    assert got["version"] == wanted["version"], "VERSION was raised: remake the pinned numbers"
    message = "the numbers changed: raise VERSION, then remake the pinned numbers"
    assert set(got) == set(wanted)
    for kind in set(wanted) - {"version"}:
        assert got[kind] == pytest.approx(wanted[kind], rel=2e-3, abs=1e-3), message


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(pinned(), indent=1) + "\n")
