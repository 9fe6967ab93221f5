"""Driving clips of which parts do not decode say so; clips with tags between their parts do not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from sfqa import media
from sfqa.materials.clips import prepare_clips
from voices import RATE, make_voice

CODECS = {
    "mp3": ["-c:a", "libmp3lame"], "aac": ["-c:a", "aac"], "flac": ["-c:a", "flac"],
    "m4a": ["-c:a", "aac"], "mka": ["-c:a", "aac"],
}  # fmt: skip


def _encode(folder: Path, name: str, *codec: str) -> Path:
    source, out = folder / "source.wav", folder / name
    wavfile.write(source, RATE, make_voice([(0.5, 2.0), (2.6, 4.2), (4.9, 6.4), (7.0, 8.5)], 9.0))
    command = [media.ffmpeg_exe(), "-v", "error", "-y", "-i", str(source), *codec, str(out)]
    subprocess.run(command, check=True)
    return out


def _list_flaws(path: Path) -> str:
    row = {"clip_id": path.stem, "path": str(path), "style": "pop", "language": "zh",
           "origin": "recorded", "title": None}  # fmt: skip
    return prepare_clips([row], path.parent / "out", sample_rate=RATE)[0]["detail"] or ""


@pytest.mark.thorough
@pytest.mark.parametrize("suffix", CODECS)
def test_a_clip_whose_middle_is_overwritten_is_damaged(tmp_path: Path, suffix: str) -> None:
    path = _encode(tmp_path, f"clip.{suffix}", *CODECS[suffix])
    assert "damaged" not in _list_flaws(path)
    contents = np.frombuffer(path.read_bytes(), np.uint8).copy()
    begin, end = (round(share * len(contents)) for share in (0.4, 0.6))
    contents[begin:end] = np.random.default_rng(0).integers(0, 256, end - begin)
    path.write_bytes(contents.tobytes())
    assert "damaged: " in _list_flaws(path)


def test_a_clip_of_two_codecs_is_damaged(tmp_path: Path) -> None:
    """FFmpeg decodes only the sound of the first."""
    parts = [
        _encode(tmp_path, "a.mka", "-c:a", "aac"),
        _encode(tmp_path, "b.mka", "-c:a", "libopus"),
    ]
    path = tmp_path / "joined.mka"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert "damaged: parts of the sound do not decode" in _list_flaws(path)


@pytest.mark.parametrize("suffix", ["mp3", "aac", "flac"])
def test_clips_one_after_the_other_are_not_damaged(tmp_path: Path, suffix: str) -> None:
    part = _encode(tmp_path, f"part.{suffix}", *CODECS[suffix])
    path = tmp_path / f"joined.{suffix}"
    path.write_bytes(2 * part.read_bytes())
    assert "damaged" not in _list_flaws(path)
