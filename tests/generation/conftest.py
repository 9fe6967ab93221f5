"""A drawn portrait, a sound of known loudness, and samples that use them."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from sfqa import identity, media, tables
from sfqa.generation.registry import Method, load_methods
from sfqa.materials.portraits import draw_portraits

ROOT = Path(__file__).parents[2]
RATE = 16000
FPS = 25.0


@pytest.fixture(scope="session")
def known_methods() -> dict[str, Method]:
    """Every method of the project's registry."""
    return load_methods(ROOT / "config" / "methods.yaml")


@pytest.fixture(scope="session")
def methods(known_methods: dict[str, Method]) -> dict[str, Method]:
    """The procedural ones."""
    return {label: m for label, m in known_methods.items() if m.kind == "procedural"}


@pytest.fixture(scope="session")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("portrait")
    draw_portraits(folder, 1, 7, 320)
    return folder / "portrait01.png"


@pytest.fixture(scope="session")
def loudness() -> np.ndarray:
    """Loudness of each of 100 frames: syllables of 3 to 7 frames, some of them pauses."""
    rng = np.random.default_rng(5)
    course: list[float] = []
    while len(course) < 100:
        level = float(rng.choice([0.0, 0.1, 0.3, 0.5]))
        course += [level] * int(rng.integers(3, 8))
    return np.array(course[:100])


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory, loudness: np.ndarray) -> Path:
    path = tmp_path_factory.mktemp("clip") / "song.wav"
    seconds = np.arange(len(loudness) * round(RATE / FPS)) / RATE
    tone = np.sin(2 * np.pi * 220 * seconds) * np.repeat(loudness, round(RATE / FPS))
    media.write_wave(path, tone.astype(np.float32), RATE)
    return path


@pytest.fixture
def samples(portrait: Path, clip: Path) -> pd.DataFrame:
    """Three samples of the method `fake`."""
    rows = []
    for number in range(3):
        name = identity.sample_id(identity.pair_id(f"img{number}", "song"), "fake")
        row = dict.fromkeys(tables.SAMPLES.names)
        row |= {
            "sample_id": name,
            "method": "fake",
            "shard": 0,
            "image_path": str(portrait),
            "image_sha256": identity.sha256_file(portrait),
            "clip_path": str(clip),
            "clip_sha256": identity.sha256_file(clip),
        }
        rows.append(row)
    return pd.DataFrame(rows)


@pytest.fixture(scope="session")
def tiny_video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A whole video of 1 s with sound."""
    folder = tmp_path_factory.mktemp("tiny")
    return make_video(folder / "tiny.mp4", 25).read_bytes()


def make_video(path: Path, frames: int, shade: int = 0, sound: bool = True) -> Path:
    pictures = [np.full((32, 32, 3), (shade + 5 * n) % 255, np.uint8) for n in range(frames)]
    wave = path.with_suffix(".wav")
    media.write_wave(wave, np.zeros(frames * 640, np.float32), RATE)
    media.write_video(path, pictures, FPS, wave if sound else None)
    return path


@pytest.fixture(scope="session")
def video_maker():
    return make_video


@pytest.fixture(scope="session")
def plain_face() -> np.ndarray:
    """A face of four ellipses on grey: the same numbers on every machine."""
    image = np.full((256, 256, 3), 120, np.uint8)
    cv2.ellipse(image, (128, 128), (60, 78), 0, 0, 360, (205, 165, 140), -1)
    for x in (105, 151):
        cv2.ellipse(image, (x, 108), (10, 5), 0, 0, 360, (40, 30, 30), -1)
        cv2.ellipse(image, (x, 97), (12, 2), 0, 0, 360, (70, 50, 40), -1)
    cv2.ellipse(image, (128, 165), (22, 4), 0, 0, 360, (150, 60, 60), -1)
    image[:, 129:] = image[:, 1:128][:, ::-1]  # mirrored about column 128
    return image
