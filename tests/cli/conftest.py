"""Tiny real videos: a moving pattern, and a face that a detector finds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from sfqa import media
from sfqa.features import run
from videos import make_video

RATE, FPS = 16000, 25.0


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two videos and a file that is none."""
    folder = tmp_path_factory.mktemp("videos")
    make_video(folder / "one.mp4", seed=1)
    make_video(folder / "deep" / "two.webm.mp4", seed=2)
    (folder / "notes.txt").write_text("no video")
    return folder


@pytest.fixture(scope="session")
def face_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a face of ellipses whose mouth follows a tone."""
    frames = []
    rng = np.random.default_rng(3)
    level = np.repeat(rng.uniform(0, 0.5, 10), 5)
    for loud in level:
        image = np.full((256, 256, 3), 120, np.uint8)
        cv2.ellipse(image, (128, 128), (60, 78), 0, 0, 360, (205, 165, 140), -1)
        for x in (105, 151):
            cv2.ellipse(image, (x, 108), (10, 5), 0, 0, 360, (40, 30, 30), -1)
            cv2.ellipse(image, (x, 97), (12, 2), 0, 0, 360, (70, 50, 40), -1)
        cv2.ellipse(image, (128, 165), (22, 3 + int(20 * loud)), 0, 0, 360, (150, 60, 60), -1)
        image[:, 129:] = image[:, 1:128][:, ::-1]
        frames.append(image)
    folder = tmp_path_factory.mktemp("face")
    seconds = np.arange(len(frames) * 640) / RATE
    wave = np.sin(2 * np.pi * 220 * seconds) * np.repeat(level, 640)
    media.write_wave(folder / "face.wav", wave.astype(np.float32), RATE)
    media.write_video(folder / "face.mp4", frames, FPS, folder / "face.wav")
    return folder / "face.mp4"


@pytest.fixture
def without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quick: features are extracted in this process."""
    extract_shard = run.extract_shard
    monkeypatch.setattr(run, "extract_shard", lambda *a, workers: extract_shard(*a, workers=0))
