"""A portrait, a sound of known loudness, samples that use them, and a fake generator."""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest

from demo_material import save_portrait
from loopback_server import server as server
from sfqa import identity, media, store, tables
from sfqa.generation import adapters
from sfqa.generation.generate import generate_shard
from sfqa.generation.records import GenerationSettings
from sfqa.generation.registry import Method, load_methods
from videos import make_video

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))
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
    return save_portrait(folder / "portrait01.png", 1, 320)


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
    return make_video(folder / "tiny.mp4", frames=25).read_bytes()


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


@pytest.fixture(scope="session")
def ready_videos(tmp_path_factory):
    """What the fake generator copies."""
    import fake_generator

    folder = tmp_path_factory.mktemp("ready")
    fake_generator.make_ready(folder)
    return folder


@pytest.fixture
def engine(tmp_path, ready_videos, monkeypatch):
    """A fake generator that is installed, and a call that runs it on samples."""
    import fake_generator

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # no nvidia-smi of this machine
    temporary = Path(tempfile.mkdtemp(prefix="sfqatests", dir="/tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setenv("SFQA_GPU_LOCKS", str(tmp_path / "locks"))
    home = tmp_path / "home"
    home.mkdir()
    for path in ready_videos.glob("*.mp4"):
        (home / path.name).symlink_to(path)
    (home / "plan.json").write_text("{}")
    generator = fake_generator.FakeGenerator(home)
    module = fake_generator.fake_module(generator)
    monkeypatch.setattr(adapters, "load", lambda name: module)
    # All that is unkind to path handling.
    folder = tmp_path / "my results v1.5, it's" / "fake"
    generators = tmp_path / "resources 2.0"
    repo = fake_generator.install(generators)
    samples = fake_generator.make_samples(tmp_path, 3)
    (home / "calls.txt").touch()

    def plan(**acts):
        names = {f"img{key[1:]}__song__fake": value for key, value in acts.items()}
        (home / "plan.json").write_text(json.dumps(names))
        (home / "calls.txt").write_text("")

    def calls() -> list[int]:
        return [int(name[3:].split("_")[0]) for name in (home / "calls.txt").read_text().split()]

    def go(method=None, chosen=None, timeouts=fake_generator.QUICK, **changes):
        settings = {"seed": 7, "size": 64, "fps": 25.0, "generators": generators,
                    "require_gpu": False, "installed": "1", **changes}  # fmt: skip
        said: list[str] = []
        rows = generate_shard(
            made.samples if chosen is None else chosen, method or fake_generator.fake_method(), folder,
            GenerationSettings(**settings), said.append, timeouts,
        )  # fmt: skip
        store.to_arrow(tables.VIDEOS, rows)
        go.said = said
        return rows

    made = SimpleNamespace(
        go=go, plan=plan, calls=calls, home=home, folder=folder, repo=repo, generator=generator,
        samples=samples, module=module, generators=generators, temporary=temporary,
    )  # fmt: skip
    yield made
    left = [path for path in temporary.iterdir() if not path.name.startswith("sfqa-gpu")]
    shutil.rmtree(temporary)
    assert left == [], "an alias was left behind"
