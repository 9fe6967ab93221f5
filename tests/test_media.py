from __future__ import annotations

import shutil
import subprocess
import wave

import numpy as np
import pytest

from sfqa import media
from sfqa.ffmpeg_program import find_ffmpeg


def draw_brightening_frames(frames: int = 12, height: int = 64, width: int = 96) -> np.ndarray:
    """Smooth frames whose brightness tells their number."""
    yy, xx = np.mgrid[:height, :width]
    base = (np.sin(xx / 17) + np.cos(yy / 13) + 2) * 30
    return np.stack([np.stack([base + 8 * i] * 3, -1).astype(np.uint8) for i in range(frames)])


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("media")
    time = np.arange(16000 * 2) / 16000
    media.write_wave(
        folder / "tone.wav", np.sin(440 * 2 * np.pi * time).astype(np.float32) / 2, 16000
    )
    media.write_video(
        folder / "v.mp4", draw_brightening_frames(50), 25, folder / "tone.wav", crf=10
    )
    return folder


def test_a_probe_tells_sizes_rates_and_lengths(clip):
    facts = media.probe(clip / "v.mp4")
    assert (facts.width, facts.height, facts.fps, facts.frames) == (96, 64, 25.0, 50)
    assert facts.duration_sec == pytest.approx(2.0, abs=1e-6)
    assert facts.has_audio
    assert facts.audio_duration_sec == pytest.approx(2.0, abs=0.05)
    sound = media.probe(clip / "tone.wav")
    assert (sound.has_video, sound.sample_rate, sound.channels) == (False, 16000, 1)


def test_frames_come_back_in_order_and_near_what_was_written(clip):
    frames = media.read_frames(clip / "v.mp4", [40, 3, 3])
    wanted = draw_brightening_frames(50)[[40, 3, 3]]
    assert frames.shape == wanted.shape
    assert np.abs(frames.astype(int) - wanted).mean() < 3


def test_decord_gives_the_frames_that_ffmpeg_gives(clip):
    raw = subprocess.run(
        [media.ffmpeg_exe(), "-v", "error", "-i", str(clip / "v.mp4"), "-f", "rawvideo",
         "-pix_fmt", "rgb24", "pipe:"],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    ffmpeg_frames = np.frombuffer(raw, np.uint8).reshape(-1, 64, 96, 3)
    ours = media.read_frames(clip / "v.mp4")
    assert ours.shape == ffmpeg_frames.shape
    # Both convert yuv420p themselves; chroma is interpolated differently at edges.
    assert np.abs(ours.astype(int) - ffmpeg_frames).max() <= 4


def test_sound_comes_back_at_any_rate(clip):
    for rate in (8000, 16000, 44100):
        samples = media.read_audio(clip / "tone.wav", rate)
        spectrum = np.abs(np.fft.rfft(samples))
        assert np.argmax(spectrum) * rate / len(samples) == pytest.approx(440, abs=1)
        assert len(samples) == pytest.approx(2 * rate, abs=rate * 0.01)
    assert media.read_audio(clip / "tone.wav", 16000, channels=2).shape[1] == 2


def test_a_wave_is_16_bit_and_exact(tmp_path):
    samples = np.array([0.0, 0.5, -1.0, 1.0], np.float32)
    media.write_wave(tmp_path / "x.wav", samples, 8000)
    with wave.open(str(tmp_path / "x.wav")) as stored:
        assert stored.getparams()[:4] == (1, 2, 8000, 4)
        values = np.frombuffer(stored.readframes(4), "<i2")
    assert values.tolist() == [0, 16384, -32767, 32767]


def test_the_same_frames_give_the_same_bytes(tmp_path, clip):
    for name in "ab":
        media.write_video(
            tmp_path / f"{name}.mp4", draw_brightening_frames(20), 25, clip / "tone.wav"
        )
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize("content", [b"", b"this is a text", b"\0" * 5000, b"\0\0\0\x18ftypmp42"])
def test_what_is_no_media_is_a_sentence(tmp_path, content):
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    for call in (media.probe, media.read_frames, media.frame_times):
        with pytest.raises(media.MediaError, match=r"bad\.mp4"):
            call(path)
    with pytest.raises(media.MediaError, match=r"bad\.mp4"):
        media.read_audio(path, 16000)


def test_a_truncated_video_is_a_sentence_or_fewer_frames(tmp_path, clip):
    data = (clip / "v.mp4").read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(data[: len(data) * 2 // 3])
    try:
        assert len(media.read_frames(path)) < 50
    except media.MediaError as error:
        assert "cut.mp4" in str(error)


def test_no_frames_and_odd_sizes_are_sentences(tmp_path):
    with pytest.raises(media.MediaError, match="no frames"):
        media.write_video(tmp_path / "x.mp4", [], 25)
    odd = [np.zeros((33, 33, 3), np.uint8)] * 3
    with pytest.raises(media.MediaError, match=r"x\.mp4: ffmpeg failed"):
        media.write_video(tmp_path / "x.mp4", odd, 25)
    assert not list(tmp_path.iterdir())


def test_without_an_ffmpeg_on_the_path_the_packaged_one_is_taken(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    find_ffmpeg.cache_clear()
    try:
        done = subprocess.run([media.ffmpeg_exe(), "-version"], capture_output=True, check=True)
        assert b"ffmpeg version" in done.stdout
    finally:
        find_ffmpeg.cache_clear()


def test_a_downmix_is_the_mean_of_the_channels(tmp_path):
    both = np.stack([np.full(8000, 0.9), np.full(8000, 0.5)], 1)
    with wave.open(str(tmp_path / "s.wav"), "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes((both * 32767).astype("<i2").tobytes())
    samples = media.read_audio(tmp_path / "s.wav", 8000)
    assert samples == pytest.approx(0.7, abs=1e-4)


def stereo(folder, rate=16000, seconds=2.0, seed=1):
    sound = np.random.default_rng(seed).uniform(-0.5, 0.5, (round(rate * seconds), 2))
    media.write_wave(folder / "st.wav", sound.astype(np.float32), rate)
    return np.round(sound.astype(np.float32) * 32767) / 32768


def test_a_stereo_wave_keeps_its_channels(tmp_path):
    sound = stereo(tmp_path)
    assert media.probe(tmp_path / "st.wav").channels == 2
    assert media.read_audio(tmp_path / "st.wav", 16000, 2) == pytest.approx(sound, abs=1e-6)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [16000, 48000])
def test_a_part_of_the_sound_is_the_part_of_the_whole(tmp_path, channels, rate):
    stereo(tmp_path)
    whole = media.read_audio(tmp_path / "st.wav", rate, channels)
    for start, count in ((0, 100), (777, 1000), (rate, None), (2 * rate - 5, 100)):
        part = media.read_audio(tmp_path / "st.wav", rate, channels, start, count)
        end = None if count is None else start + count
        assert (part == whole[start:end]).all()
    with pytest.raises(media.MediaError, match="no sound"):
        media.read_audio(tmp_path / "st.wav", rate, channels, start=3 * rate)


def test_mono_becomes_two_equal_channels_of_its_level(clip):
    mono = media.read_audio(clip / "tone.wav", 16000)
    both = media.read_audio(clip / "tone.wav", 16000, 2)
    assert (both == mono[:, None]).all()


def test_sound_that_starts_late_is_preceded_by_silence(tmp_path, clip):
    subprocess.run(
        [media.ffmpeg_exe(), "-v", "error", "-i", clip / "v.mp4", "-itsoffset", "1", "-i",
         clip / "tone.wav", "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "aac",
         tmp_path / "late.mp4"],
        check=True,
    )  # fmt: skip
    sound = media.read_audio(tmp_path / "late.mp4", 16000)
    assert len(sound) == pytest.approx(48000, abs=1100)
    assert np.abs(sound[:14800]).max() < 1e-3  # AAC spreads its edges
    assert np.abs(sound[16500:40000]).max() > 0.4


def test_more_channels_are_mixed_without_clipping(tmp_path):
    raw = np.ones((8000, 6), "<f4") * np.sin(np.arange(8000) / 9)[:, None]
    subprocess.run(
        [media.ffmpeg_exe(), "-v", "error", "-f", "f32le", "-ar", "8000", "-ch_layout", "5.1",
         "-i", "-", "-c:a", "pcm_f32le", tmp_path / "s.wav"],
        input=raw.astype("<f4").tobytes(), check=True,
    )  # fmt: skip
    both = media.read_audio(tmp_path / "s.wav", 8000, 2)
    assert np.abs(both).max() == pytest.approx(1.0, abs=1e-4)
    assert np.abs(media.read_audio(tmp_path / "s.wav", 8000)).max() <= 1.0 + 1e-6


def test_messages_hold_no_addresses(tmp_path):
    path = tmp_path / "bad.mp4"
    path.write_bytes(b"\0\0\0\x18ftypmp42" + b"\0" * 500)
    words = set()
    for _ in range(2):
        with pytest.raises(media.MediaError) as raised:
            media.read_audio(path, 16000)
        words.add(str(raised.value))
    assert len(words) == 1
    assert "0x" not in words.pop()


def test_a_summary_of_loudness_is_read_from_old_and_new_words(monkeypatch, clip):
    text = (
        "[Parsed_ebur128_0 @ 0x55] t: 1.9 TARGET:-23 LUFS M: -9.0 S:-120.7 I: -9.0 LUFS\n"
        "[Parsed_ebur128_0 @ 0x55] Summary:\n\n  Integrated loudness:\n    I:          -9.0 LUFS\n"
        "    Threshold: -19.0 LUFS\n\n  Loudness range:\n    LRA:         2.0 LU\n"
        "    Threshold: -29.0 LUFS\n    LRA low:   -11.0 LUFS\n    LRA high:   -9.0 LUFS\n\n"
        "  True peak:\n    Peak:       -inf dBFS\nsize=N/A time=00:00:02.00\n"
    )
    monkeypatch.setattr(
        media, "_call_ffmpeg", lambda *_: subprocess.CompletedProcess([], 0, b"", text.encode())
    )
    said = media.loudness_summary(clip / "tone.wav")
    assert said == {"I": -9.0, "LRA": 2.0, "Peak": float("-inf")}
    monkeypatch.setattr(
        media, "_call_ffmpeg", lambda *_: subprocess.CompletedProcess([], 0, b"", b"")
    )
    with pytest.raises(media.MediaError, match="no summary"):
        media.loudness_summary(clip / "tone.wav")
