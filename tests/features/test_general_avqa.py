"""GeneralAVQA's frames against numbers of its official code.

Remake the pinned numbers after a bump of VERSION with
``PYTHONPATH=workflow/scripts:tests/support python tests/features/test_general_avqa.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.models import resnet50
from torchvision.transforms import Compose, Normalize, ToTensor

from golden_weights import draw_video, fill_weights
from moving_blocks import draw_moving_blocks
from official_code import check_array, read_numbers
from sfqa import media
from sfqa.features import base, official
from sfqa.features.base import UnusableError, Video
from sfqa.features.extractors import general_avqa
from sfqa.features.weights import Weights

GOLDEN = Path(__file__).parent / "golden" / "general_avqa.json"
OFFICIAL = read_numbers("general_avqa")
RANDOM = Weights("random", "random:0")


def build(weights: Weights = RANDOM, **options: Any) -> general_avqa.Extractor:
    extractor = base.build_extractor("general_avqa", options, weights, "cpu")
    assert isinstance(extractor, general_avqa.Extractor)
    return extractor


def test_frames_are_those_of_the_official_reader() -> None:
    frames = OFFICIAL["frames"]
    assert general_avqa.select_frames(150).tolist() == frames["frames of 150"]
    read = frames["frames of 144 (36 are read, the first 30 kept)"]
    assert general_avqa.select_frames(144).tolist() == read[:30]
    assert general_avqa.select_frames(30).tolist() == list(range(30))
    assert general_avqa.select_frames(12).tolist() == list(range(12))


def test_the_official_features() -> None:
    extractor = build()
    fill_weights(extractor.net)
    pictures = draw_video(0, 4, 224, 288)
    (features,) = extractor.compute_features([pictures])
    check_array(features, OFFICIAL["outputs"]["spatial features, BGR, 4 frames (4,2048)"], 1e-5)


def test_colours_are_as_the_option_says() -> None:
    pictures = draw_video(2, 2, 64, 80)
    transform = Compose([ToTensor(), Normalize(general_avqa.MEAN, general_avqa.STD)])
    published, other = build(), build(colours="rgb")
    for extractor, step in ((published, -1), (other, 1)):
        expected = torch.stack([transform(p[..., ::step].copy()) for p in pictures])
        torch.testing.assert_close(extractor._make_input(list(pictures)), expected)


def test_the_checkpoint_of_parallel_training_loads(tmp_path: Path) -> None:
    """Its keys begin with module.backbone., and it has a head of its own that is left out."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        net = resnet50()
    spec = {"weights": "official", "options": {}}
    (entry,) = official.find_official_files(official.load_registry(), "general_avqa", spec).values()
    assert entry.file == "DataParallel-00008.pt"
    path = tmp_path / entry.file
    state = {f"module.backbone.{key}": value for key, value in net.state_dict().items()}
    state |= {"module.fc.weight": torch.zeros(2, 2048), "module.fc.bias": torch.zeros(2)}
    torch.save({"state_dict": state, "epoch": 8}, path)
    extractor = build(Weights("official", "0" * 64, path, keys=entry.keys))
    for key, value in extractor.net.state_dict().items():
        assert torch.equal(value, net.state_dict()[key]), key
    path.unlink()
    spec = {"weights": "official", "options": {"network": "imagenet"}}
    (entry,) = official.find_official_files(official.load_registry(), "general_avqa", spec).values()
    assert entry.file == "resnet50-0676ba61.pth"


def test_a_row_has_its_videos_frames(tmp_path: Path) -> None:
    """Frames of 8 and of 70; videos of another size in between change nothing."""
    extractor, rows = build(), []
    extractor.average = lambda _, x: x.mean((2, 3))
    for name, count, size in (("a", 8, (64, 96)), ("b", 70, (96, 64))):
        path = tmp_path / f"{name}.mp4"
        media.write_video(path, draw_moving_blocks(count, *size), 25.0)
        video = Video(name, path, "0", 25.0, count)
        rows.append((extractor.reader.prepare(video), extractor.extract(video)["video"]))
    assert [row.shape for _, row in rows] == [(8, 3), (30, 3)]
    together = list(extractor.score([frames for frames, _ in rows]))
    for (frames, row), scored in zip(rows, together, strict=True):
        assert isinstance(scored, dict)
        np.testing.assert_array_equal(scored["video"], row)
        means = frames[..., ::-1].mean((1, 2)) / 255
        np.testing.assert_allclose(
            row, (means - general_avqa.MEAN) / np.array(general_avqa.STD), atol=2e-3
        )


def test_what_cannot_be_used_says_why(tmp_path: Path) -> None:
    reader = general_avqa.WholeFrameReader()
    with pytest.raises(UnusableError, match=r"^broken: the video has no frames"):
        reader.prepare(Video("a", tmp_path / "a.mp4", "0", 25.0, 0))
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(b"no video" * 99)
    with pytest.raises(UnusableError, match=r"^broken: not all 50 frames decode"):
        reader.prepare(Video("a", noise, "0", 25.0, 50))


def pinned() -> dict[str, Any]:
    """A frame in both orders of colours, with random weights of seed 0."""
    numbers: dict[str, Any] = {"version": general_avqa.VERSION}
    for colours in ("bgr", "rgb"):
        (features,) = build(colours=colours).compute_features([draw_moving_blocks(1, 96, 128)])
        row = features[0].astype(float)
        numbers[colours] = [float(f"{v:.6g}") for v in [row.std(), *row[:: len(row) // 8]]]
    return numbers


def test_pinned_numbers() -> None:
    """A change of these numbers needs a new VERSION, which makes every cached row a miss."""
    expected, computed = json.loads(GOLDEN.read_text()), pinned()
    assert computed["version"] == expected["version"], (
        "VERSION was raised: remake the pinned numbers"
    )
    message = "the numbers changed: raise VERSION, then remake the pinned numbers"
    for name in ("bgr", "rgb"):
        assert computed[name] == pytest.approx(expected[name], rel=1e-3, abs=1e-4), message


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(pinned(), indent=1) + "\n")
