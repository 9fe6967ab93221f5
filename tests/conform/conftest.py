"""Really made files, and what the tests of this room read from the results."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from sfqa import media
from sfqa.conform import video
from sfqa.identity import sha256_file

FORM = video.Form(64, 25, 16000, 12, "ultrafast")
BITS = 10


def made(path, *arguments):
    """Run ffmpeg with the arguments, writing ``path``."""
    command = [media.ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *map(str, arguments), str(path)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return path


def video_row(source, clip=None, **more):
    base = {
        "sample_id": source.stem, "method": "m", "shard": 0, "status": "ok", "detail": "",
        "path": str(source), "sha256": sha256_file(source) if source.exists() else None,
        "size_bytes": 1, "clip_path": str(clip) if clip else None,
        "clip_sha256": sha256_file(clip) if clip else None, "prompt": None, "reproducible": True,
    }  # fmt: skip
    return base | more


def numbered(count, height=64, width=160):
    """Frames that show their number in black and white columns."""
    for number in range(count):
        bits = [(number >> bit) & 1 for bit in range(BITS)]
        line = np.repeat(np.array(bits, np.uint8) * 220 + 16, width // BITS)
        yield np.broadcast_to(line[None, :, None], (height, width, 3)).copy()


def numbers(frames):
    """The numbers that frames of :func:`numbered` show, at any size."""
    line = frames[:, frames.shape[1] // 2].mean(-1)
    step = line.shape[1] / BITS
    centres = [round((bit + 0.5) * step) for bit in range(BITS)]
    return ((line[:, centres] > 128) << np.arange(BITS)).sum(1).tolist()


def words(row):
    return [part.split(":")[0] for part in row["detail"].split("; ") if part]


@pytest.fixture(scope="session")
def talk(tmp_path_factory):
    """Six seconds of something like speech: bursts of noise, 16 kHz mono; its path."""
    rng = np.random.default_rng(3)
    time = np.arange(6 * 16000) / 16000
    loud = np.maximum(0, np.sin(2 * np.pi * 2.3 * time + np.sin(3 * time)))
    path = tmp_path_factory.mktemp("talk") / "talk.wav"
    media.write_wave(path, (0.2 * loud * rng.normal(0, 1, time.size)).astype(np.float32), 16000)
    return path
