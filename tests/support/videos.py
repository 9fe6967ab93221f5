"""Small real videos with sound."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from sfqa import media

RATE = 16000


def make_video(
    path: Path,
    seed: int = 0,
    frames: int = 25,
    fps: float = 25.0,
    sound: bool = True,
    side: int = 64,
) -> Path:
    """Write a video of coloured noise that moves, with a tone; each seed has its own colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (16, 16, 3), np.uint8)
    picture = cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)
    moving = [np.roll(picture, n, axis=1) for n in range(frames)]
    seconds = np.arange(round(frames / fps * RATE)) / RATE
    wave = path.with_suffix(".wav")
    media.write_wave(wave, 0.3 * np.sin(2 * np.pi * (200 + 99 * (seed % 50)) * seconds), RATE)
    media.write_video(path, moving, fps, wave if sound else None)
    wave.unlink()
    return path
