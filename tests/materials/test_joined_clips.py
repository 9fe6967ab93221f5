"""Driving clips whose rate or channels change within the file are cut as the same sound in one piece."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import wavfile

from sfqa import media
from sfqa.materials.clips import prepare_clips
from voices import RATE, make_voice

#: Phrases on both sides of the middle, at 4.5 s.
_SPANS = [(0.5, 2.0), (2.6, 4.2), (4.9, 6.4), (7.0, 8.5)]
_MP3 = ["-c:a", "libmp3lame", "-b:a", "96k", "-write_xing", "0", "-id3v2_version", "0"]
_AAC = ["-c:a", "aac", "-b:a", "128k", "-f", "adts"]
_AC3 = ["-c:a", "ac3", "-b:a", "448k"]


def _prepare(path: Path, folder: Path) -> dict[str, Any]:
    row = {"clip_id": path.stem, "path": str(path), "style": "pop", "language": "zh",
           "origin": "recorded", "title": None}  # fmt: skip
    return prepare_clips([row], folder, sample_rate=RATE)[0]


def _encode(
    source: Path, out: Path, start: float, rate: int, layout: str, codec: list[str]
) -> Path:
    command = [
        media.ffmpeg_exe(), "-v", "error", "-y", "-ss", str(start), "-t", "4.5", "-i", str(source),
        "-af", f"aresample={rate}:rematrix_maxval=1,aformat=channel_layouts={layout}", *codec, str(out),
    ]  # fmt: skip
    subprocess.run(command, check=True)
    return out


@pytest.mark.parametrize(
    ("suffix", "codec", "forms"),
    [
        ("mp3", _MP3, [("mono", 44100), ("stereo", 44100)]),
        ("mp3", _MP3, [("stereo", 44100), ("mono", 44100)]),
        ("mp3", _MP3, [("mono", 24000), ("mono", 44100)]),
        ("aac", _AAC, [("mono", 44100), ("stereo", 44100)]),
        ("aac", _AAC, [("stereo", 44100), ("stereo", 48000)]),
        ("ac3", _AC3, [("5.1", 48000), ("stereo", 48000)]),
    ],
)
def test_a_clip_of_two_forms_is_cut_as_one(
    tmp_path: Path, suffix: str, codec: list[str], forms: list[tuple[str, int]]
) -> None:
    source = tmp_path / "source.wav"
    wavfile.write(source, RATE, make_voice(_SPANS, 9.0))
    joined, whole = tmp_path / f"joined.{suffix}", tmp_path / "whole.wav"
    parts, decoded = [], []
    for number, (layout, rate) in enumerate(forms):
        part = _encode(source, tmp_path / f"{number}.{suffix}", 4.5 * number, rate, layout, codec)
        parts.append(part.read_bytes())
        decoded.append(media.read_audio(part, RATE, 2))
    joined.write_bytes(b"".join(parts))
    expected = np.concatenate(decoded)
    wavfile.write(whole, RATE, expected)

    sound = media.read_audio(joined, RATE, 2)
    assert len(sound) == pytest.approx(len(expected), abs=0.03 * RATE)
    middle = media.read_audio(joined, RATE, 2, start=5 * RATE, count=RATE)
    assert np.array_equal(middle, sound[5 * RATE : 6 * RATE])

    row, reference = (_prepare(path, tmp_path / path.stem) for path in (joined, whole))
    assert row["original_duration_sec"] == pytest.approx(9.0, abs=0.15)
    for name in ("cut_start_sec", "cut_end_sec", "voiced_sec"):
        assert row[name] == pytest.approx(reference[name], abs=0.06)
    assert row["loudness_lufs"] == pytest.approx(reference["loudness_lufs"], abs=0.2)
    assert (row["status"], row["detail"]) == (reference["status"], reference["detail"])
    assert f"the file changes from {forms[0][0]}" in row["cut_reason"]
    _, master = wavfile.read(row["path"])
    longest_silence = max(np.diff(np.flatnonzero(master), prepend=0), default=0)
    assert longest_silence < 0.1 * RATE


def test_a_clip_that_cannot_be_read_to_its_end_says_so(tmp_path: Path) -> None:
    """FFmpeg stops where an Ogg stream changes its channels."""
    source = tmp_path / "source.wav"
    wavfile.write(source, RATE, make_voice(_SPANS, 9.0))
    vorbis = ["-c:a", "libvorbis"]
    parts = [
        _encode(source, tmp_path / f"{number}.ogg", 4.5 * number, 44100, layout, vorbis)
        for number, layout in enumerate(("mono", "stereo"))
    ]
    joined = tmp_path / "joined.ogg"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    row = _prepare(joined, tmp_path / "out")
    assert row["original_duration_sec"] == pytest.approx(4.5, abs=0.05)
    assert "damaged: only 4.50 s of the sound can be read" in row["detail"]


def test_the_default_sound_of_a_video_is_cut(tmp_path: Path) -> None:
    for name, spans in (("first", [(0.5, 8.5)]), ("second", _SPANS)):
        wavfile.write(tmp_path / f"{name}.wav", RATE, make_voice(spans, 9.0))
    video = tmp_path / "two.mkv"
    command = [
        media.ffmpeg_exe(), "-v", "error", "-y", "-f", "lavfi", "-i", "color=red:s=64x64:r=25:d=9",
        "-i", str(tmp_path / "first.wav"), "-i", str(tmp_path / "second.wav"), "-map", "0", "-map",
        "1", "-map", "2", "-c:a", "pcm_s16le", "-disposition:a:0", "0", "-disposition:a:1",
        "default", str(video),
    ]  # fmt: skip
    subprocess.run(command, check=True)
    row, reference = (
        _prepare(path, tmp_path / path.stem) for path in (video, tmp_path / "second.wav")
    )
    for name in ("cut_start_sec", "cut_end_sec", "voiced_sec"):
        assert row[name] == pytest.approx(reference[name], abs=0.01)


@pytest.mark.parametrize("suffix", ["mkv", "ts"])
def test_sounds_of_recordings_one_after_the_other_are_all_heard(
    tmp_path: Path, suffix: str
) -> None:
    wavfile.write(tmp_path / "voice.wav", RATE, make_voice([(0.5, 2.5)], 3.0))
    part = tmp_path / f"part.{suffix}"
    command = [
        media.ffmpeg_exe(), "-v", "error", "-y", "-f", "lavfi", "-i", "color=red:s=64x64:r=25:d=3",
        "-i", str(tmp_path / "voice.wav"), "-c:v", "libx264", "-c:a", "aac", str(part),
    ]  # fmt: skip
    subprocess.run(command, check=True)
    joined = tmp_path / f"joined.{suffix}"
    joined.write_bytes(2 * part.read_bytes())
    once, twice = (media.read_audio(path, 16000) for path in (part, joined))
    assert len(twice) == pytest.approx(2 * len(once), abs=0.1 * 16000)
    energies = [float(np.square(half).sum()) for half in np.array_split(twice, 2)]
    assert energies == pytest.approx([float(np.square(once).sum())] * 2, rel=0.1)
