"""What alignment models read of real files: shifted, missing, short, mono, stereo and 5.1 sound."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from demo_material import save_portrait
from golden_weights import draw_song
from moving_blocks import draw_moving_blocks
from sfqa import media
from sfqa.features import imagebind_inputs
from sfqa.features.avid_inputs import ClipReader
from sfqa.features.base import UnusableError, Video
from sfqa.features.extractors import valor, vast
from sfqa.features.extractors.soundnet import SoundReader
from sfqa.features.imagebind_inputs import InputReader
from sfqa.features.normalised_frames import CLIP_STATISTICS, SquareForm
from sfqa.features.sound_slices import read_mixed_track
from sfqa.generation import adapters

FORM = SquareForm(*CLIP_STATISTICS)
READERS = {"valor": valor.ValorReader(8, 1, FORM), "vast": vast.VastReader(8, 1, FORM)}
#: Windows of the filter bank per second, and what continues a bank.
WINDOWS_PER_SECOND = {"valor": 22050 / 220, "vast": 100.0}
CONTINUED = {"valor": 4.2677393 / (2 * 4.5689974), "vast": 0.0}
SAMPLES_PER_WINDOW = {"valor": (22050, 220), "vast": (16000, 160)}


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 2 s without sound."""
    path = tmp_path_factory.mktemp("alignment") / "picture.mp4"
    media.write_video(path, draw_moving_blocks(50, 64, 96), 25.0)
    return path


def add_sound(
    picture: Path, sound: Any, rate: int, name: str, codec: str = "pcm_s16le", **options: str
) -> Video:
    """Write sound (samples,) or (samples, channels) in int16 beside the picture, by FFmpeg."""
    channels = 1 if sound.ndim == 1 else sound.shape[1]
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
    path = picture.with_name(f"{name}.mov")
    command = [
        media.ffmpeg_exe(), "-y", "-loglevel", "error", "-i", str(picture), "-f", "s16le", "-ar",
        str(rate), "-ac", str(channels), "-channel_layout", layout, "-i", "pipe:", "-c:v", "copy",
        "-c:a", codec, *(word for pair in options.items() for word in pair), str(path),
    ]  # fmt: skip
    subprocess.run(command, input=sound.astype("<i2").tobytes(), check=True, capture_output=True)
    frames = media.probe(path).frames
    return Video("a", path, name, 25.0, frames, audio_path=path)


def read_bank(reader: str, video: Video) -> Any:
    """Return the slice of sound as (window, band)."""
    slices = READERS[reader].prepare(video).slices
    return slices[0].T if reader == "valor" else slices[0]


@pytest.mark.parametrize("reader", READERS)
def test_sound_that_comes_later_moves_by_as_many_windows(reader: str, picture: Path) -> None:
    rate, step = SAMPLES_PER_WINDOW[reader]
    song = draw_song(0, 2, rate)
    shift = 40
    quiet = np.zeros(shift * step, np.int16)
    bank = read_bank(reader, add_sound(picture, song, rate, f"{reader}-early"))
    moved = read_bank(reader, add_sound(picture, np.r_[quiet, song], rate, f"{reader}-late"))
    count = 150
    np.testing.assert_allclose(moved[shift : shift + count], bank[:count], atol=1e-4)
    assert np.abs(moved[:count] - bank[:count]).mean() > 0.05


@pytest.mark.parametrize("reader", READERS)
def test_a_video_without_sound_is_a_reason(reader: str, picture: Path) -> None:
    with pytest.raises(UnusableError, match=r"^silent: the video has no sound"):
        READERS[reader].prepare(Video("a", picture, "0", 25.0, 50))
    quiet = add_sound(picture, np.zeros(32000, np.int16), 16000, "quiet")
    with pytest.raises(UnusableError, match=r"^silent: .* -60 dBFS"):
        READERS[reader].prepare(quiet)


@pytest.mark.parametrize("reader", READERS)
def test_a_second_of_sound_is_continued_as_in_the_official_code(reader: str, picture: Path) -> None:
    """Its 97 or 98 windows of 25 ms each lie in the second; the others continue the bank."""
    bank = read_bank(reader, add_sound(picture, draw_song(0, 1, 16000), 16000, "second"))
    windows = {"valor": 1 + (22050 - 551) // 220, "vast": 1 + (16000 - 400) // 160}[reader]
    np.testing.assert_allclose(bank[windows:], CONTINUED[reader], atol=1e-6)
    assert (np.abs(bank[:windows] - CONTINUED[reader]).max(1) > 0.05).all()


@pytest.mark.parametrize("reader", READERS)
def test_sound_shorter_than_a_window_is_a_reason(reader: str, picture: Path) -> None:
    video = add_sound(picture, draw_song(0, 0.02, 16000), 16000, "short")
    with pytest.raises(UnusableError, match=r"^short: .* 25 ms"):
        READERS[reader].prepare(video)


@pytest.mark.parametrize("reader", READERS)
def test_sound_of_8_khz_has_nothing_above_4_khz(reader: str, picture: Path) -> None:
    rate, _ = SAMPLES_PER_WINDOW[reader]
    full = read_bank(reader, add_sound(picture, draw_song(0, 2, rate), rate, f"{reader}-full"))
    narrow = read_bank(reader, add_sound(picture, draw_song(0, 2, 8000), 8000, "narrow"))
    windows = int(2 * WINDOWS_PER_SECOND[reader]) - 4
    edges = 1127 * np.log1p(np.array([20, 4200, rate / 2]) / 700)
    first_band = int(64 * (edges[1] - edges[0]) / (edges[2] - edges[0])) + 2
    above = slice(first_band, None)
    assert first_band < 62
    assert narrow[:windows, above].mean() < full[:windows, above].mean() - 0.1
    assert np.abs(narrow[:windows, :20] - full[:windows, :20]).mean() < 0.1


@pytest.mark.parametrize("channels", [2, 6])
def test_valor_mixes_the_channels_and_vast_reads_the_first(channels: int, picture: Path) -> None:
    song = draw_song(0, 2, 16000)
    left, right = (np.zeros((len(song), channels), np.int16) for _ in range(2))
    left[:, 0], right[:, 1] = song, song
    videos = [add_sound(picture, x, 16000, f"{n}-{channels}") for n, x in enumerate((left, right))]
    mixed = [read_bank("valor", video) for video in videos]
    np.testing.assert_allclose(mixed[0], mixed[1], atol=1e-4)
    first = read_bank("vast", videos[0])
    alone = read_bank("vast", add_sound(picture, song, 16000, "alone"))
    np.testing.assert_allclose(first, alone, atol=1e-5)
    with pytest.raises(UnusableError, match=r"^silent: .* -60 dBFS"):
        READERS["vast"].prepare(videos[1])


def test_channels_that_cancel_each_other_are_a_reason_where_they_are_mixed(picture: Path) -> None:
    """VAST and ImageBind hear the first channel, ImageBind without the mean of both, which is 0."""
    song = draw_song(0, 2, 16000)
    opposed = add_sound(picture, np.stack([song, -song], 1), 16000, "opposed")
    first = add_sound(picture, song, 16000, "first")
    reason = r"^silent: the mix of all channels at 2\d+ Hz is silence \(below -60 dBFS\)"
    for mixing in (READERS["valor"], ClipReader(), SoundReader()):
        with pytest.raises(UnusableError, match=reason):
            mixing.prepare(opposed)
    np.testing.assert_array_equal(read_bank("vast", opposed), read_bank("vast", first))
    banks = [InputReader().prepare(video).spectra for video in (opposed, first)]
    # The mean of the song, which is removed from it alone, is in the lowest band.
    np.testing.assert_allclose(banks[0][:, :, 3:], banks[1][:, :, 3:], atol=5e-3)
    zeros = add_sound(picture, np.zeros((16000, 2), np.int16), 16000, "zeros")
    with pytest.raises(UnusableError, match=r"^silent: the sound is silence \(below -60 dBFS\)"):
        READERS["valor"].prepare(zeros)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_constant_offset_is_silence(channels: int, picture: Path) -> None:
    """Two channels may stay at different numbers, and their mix moves no more than they do."""
    offset = np.tile(np.array([9000, -2000][:channels], np.int16), (16000, 1))
    video = add_sound(picture, offset, 16000, f"offset-{channels}")
    for reader in (*READERS.values(), ClipReader(), InputReader(), SoundReader()):
        with pytest.raises(UnusableError, match=r"^silent: .* \(below -60 dBFS\)"):
            reader.prepare(video)


def test_sound_after_the_pictures_is_none_for_avid_cma(picture: Path) -> None:
    """It hears as much as it sees: 2 s here."""
    song = draw_song(0, 2, 16000)
    late = add_sound(picture, np.r_[np.zeros(33000, np.int16), song], 16000, "after")
    with pytest.raises(UnusableError, match=r"^silent: the sound during the pictures is silence"):
        ClipReader().prepare(late)
    earlier = add_sound(picture, np.r_[np.zeros(31000, np.int16), song], 16000, "before")
    assert np.ptp(ClipReader().prepare(earlier).decibels) > 50


def test_valor_hears_what_ffmpeg_writes_to_its_wave_files(picture: Path) -> None:
    """The command of the official scripts, on AAC in stereo at another rate."""
    song = draw_song(0, 2, 44100)
    stereo = np.stack([song, song[::-1] // 2], 1)
    video = add_sound(picture, stereo, 44100, "aac", "aac", **{"-b:a": "96k"})
    command = [
        media.ffmpeg_exe(), "-loglevel", "error", "-i", str(video.path), "-f", "s16le", "-vn",
        "-ac", "1", "-ar", "22050", "pipe:",
    ]  # fmt: skip
    wave = subprocess.run(command, check=True, capture_output=True).stdout
    expected = np.frombuffer(wave, "<i2") / np.float32(32768)
    sound = read_mixed_track(video, 22050)
    assert len(sound) == len(expected)
    # swresample rounds half a step the other way now and then.
    assert np.abs(sound - expected).max() <= 1.01 / 32768


@pytest.mark.parametrize("reader", READERS)
def test_frames_are_the_middles_and_the_last_one_repeats(reader: str, picture: Path) -> None:
    video = add_sound(picture, draw_song(0, 2, 16000), 16000, "frames")
    frames = READERS[reader].prepare(video).frames
    expected = media.read_frames(video.path, [3, 10, 16, 22, 28, 34, 40, 46])
    np.testing.assert_array_equal(frames, np.stack([FORM.convert(p) for p in expected]))
    short = READERS[reader].prepare(Video("a", video.path, "0", 25.0, 3, audio_path=video.path))
    expected = media.read_frames(video.path, [0, 1, 2])
    np.testing.assert_array_equal(
        short.frames, np.stack([FORM.convert(expected[min(n, 2)]) for n in range(8)])
    )
    for frames_number in (0, 99):
        with pytest.raises(UnusableError, match=r"^broken: "):
            READERS[reader].prepare(
                Video("a", video.path, "0", 25.0, frames_number, audio_path=video.path)
            )


@pytest.fixture(scope="module")
def demo_videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Video]:
    """The demo's methods sharp, late and choppy on one clip of 3 s."""
    folder = tmp_path_factory.mktemp("demo")
    save_portrait(folder / "portrait.png", 1, 256)
    media.write_wave(folder / "clip.wav", draw_song(0, 3, 16000) / np.float32(32768), 16000)
    registry = yaml.safe_load(
        (Path(__file__).parents[2] / "config/methods.yaml").read_text(encoding="utf-8")
    )
    videos = {}
    for name in ("sharp", "late", "choppy"):
        path = folder / f"{name}.mp4"
        job = adapters.RenderJob(
            name, registry[name].get("options", {}), folder / "portrait.png", folder / "clip.wav",
            path, folder, 5, 160, 25.0,
        )  # fmt: skip
        adapters.load("procedural").generate(job)
        frames = media.frame_times(path)[0]
        videos[name] = Video(name, path, name, 25.0, frames, audio_path=path)
    return videos


@pytest.mark.parametrize("reader", READERS)
def test_late_lips_change_the_frames_and_not_the_sound(
    reader: str, demo_videos: dict[str, Video]
) -> None:
    sharp, late = (READERS[reader].prepare(demo_videos[name]) for name in ("sharp", "late"))
    np.testing.assert_array_equal(sharp.slices, late.slices)
    moved = np.abs(sharp.frames - late.frames)
    assert (moved.max(axis=(1, 2, 3)) > 0.5).sum() >= 6


@pytest.mark.parametrize("reader", READERS)
def test_a_lost_end_is_lost_in_frames_and_sound(reader: str, demo_videos: dict[str, Video]) -> None:
    """0.8 s of 3 s: the middles of 55 frames, and a bank that is continued earlier."""
    video = demo_videos["choppy"]
    assert video.frames == 55
    frames = media.read_frames(video.path, [3, 10, 17, 24, 31, 38, 45, 51])
    prepared = READERS[reader].prepare(video)
    np.testing.assert_array_equal(prepared.frames, np.stack([FORM.convert(f) for f in frames]))
    ends = {}
    for name in ("sharp", "choppy"):
        bank = read_bank(reader, demo_videos[name])
        sounding = np.abs(bank - CONTINUED[reader]).max(1) > 1e-3
        ends[name] = int(np.flatnonzero(sounding)[-1])
    lost = (ends["sharp"] - ends["choppy"]) / WINDOWS_PER_SECOND[reader]
    assert lost == pytest.approx(0.8, abs=0.08)


def test_imagebind_and_avid_cma_see_late_lips_and_hear_the_same_sound(
    demo_videos: dict[str, Video],
) -> None:
    sharp, late = (InputReader().prepare(demo_videos[name]) for name in ("sharp", "late"))
    np.testing.assert_array_equal(sharp.spectra, late.spectra)
    assert (np.abs(sharp.pictures - late.pictures).max(axis=(1, 2, 3)) > 0.1).sum() >= 6
    sharp_clips, late_clips = (ClipReader().prepare(demo_videos[n]) for n in ("sharp", "late"))
    np.testing.assert_array_equal(sharp_clips.decibels, late_clips.decibels)
    moved = np.abs(sharp_clips.frames.astype(int) - late_clips.frames).max(axis=(1, 2, 3)) > 25
    assert moved.mean() > 0.5


def test_imagebind_and_avid_cma_lose_a_lost_end(demo_videos: dict[str, Video]) -> None:
    """0.8 s of 3 s: clips of two seconds that begin evenly up to 0.2 s, and 220 columns."""
    video = demo_videos["choppy"]
    # 2.2 - 2 is above 0.2 in binary, so that the last clip begins with frame 6, as officially.
    expected = [[0, 49], [2, 51], [3, 52], [4, 53], [6, 54]]
    assert imagebind_inputs.select_frames(video).tolist() == expected
    sharp, choppy = (ClipReader().prepare(demo_videos[name]) for name in ("sharp", "choppy"))
    assert (len(sharp.decibels), len(choppy.decibels)) == (300, 220)
    assert choppy.starts.tolist() == [0, 2, 4, 6, 8, 11, 13, 15, 17, 20]
    length = len(media.read_audio(video.path, 16000)) / 16000
    sound = imagebind_inputs.read_sound(video)
    assert sound.shape[1] / 16000 == pytest.approx(length, abs=1e-3)
    assert length == pytest.approx(2.2, abs=0.08)
