"""SimpleVQA's published score against the numbers of its official code, and pinned numbers.

Remake the pinned numbers after a bump of VERSION with
``PYTHONPATH=workflow/scripts:tests/support python tests/features/test_simplevqa.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from golden_summaries import digest_keys, load_golden, make_reader
from golden_weights import fill_weights
from sfqa import media
from sfqa.features import base, official, spatial_net
from sfqa.features.base import UnusableError, Video
from sfqa.features.extractors import simplevqa
from sfqa.features.slowfast_net import SlowFast
from sfqa.features.weights import Weights

GOLDEN = Path(__file__).parent / "golden" / "simplevqa.json"
OFFICIAL = load_golden("simplevqa")
RANDOM = Weights("random", "random:0")
VIDEO = Video("a", Path("none.mp4"), "0", fps=25.0, frames=150)


def build(**options: Any) -> simplevqa.Extractor:
    extractor = base.build_extractor("simplevqa", options, RANDOM, "cpu")
    assert isinstance(extractor, simplevqa.Extractor)
    return extractor


@pytest.fixture(scope="module")
def filled() -> simplevqa.Extractor:
    """The extractor with the weights of the goldens, and the demo's resizing."""
    extractor = build(resize="pillow")
    fill_weights(extractor.spatial.net)
    fill_weights(extractor.slowfast.net)
    return extractor


@pytest.mark.thorough
def test_the_official_scores(filled: simplevqa.Extractor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "read_frames", make_reader(0, 512, 512))
    (row,) = filled.score([filled.reader.prepare(VIDEO)])
    assert isinstance(row, dict)
    golden = OFFICIAL["pipeline"]["scores"]
    np.testing.assert_allclose(row["scores"][:6], golden["per_second"], atol=1e-5)
    assert row["scores"].shape == (8,)
    eight = golden["training_convention_8_with_last_repeated"]
    assert row["score"] == pytest.approx(eight, abs=1e-5)
    monkeypatch.setattr(filled, "seconds", 0)
    scores = np.array(golden["per_second"], np.float32)
    monkeypatch.setattr(filled, "compute_scores", lambda _: scores)
    still = np.zeros((6, 7168), np.float32), np.arange(6, dtype=np.float32)
    monkeypatch.setattr(filled.spatial, "compute_features", lambda _: [still])
    moving = np.zeros((6, 2304), np.float32)
    monkeypatch.setattr(filled.slowfast, "compute_features", lambda _: [moving])
    (row,) = filled.score([filled.reader.prepare(VIDEO)])
    assert isinstance(row, dict)
    assert row["score"] == pytest.approx(golden["mean_of_6_seconds"], abs=1e-6)


def test_the_checkpoint_is_the_official_one(tmp_path: Path) -> None:
    """Every key of the published file has its place, under the prefix of parallel training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        net, motion = spatial_net.build_simplevqa(), SlowFast()
    state = net.state_dict()
    assert len(state) == OFFICIAL["checkpoint"]["tensors"]
    assert digest_keys(state) == OFFICIAL["checkpoint"]["keys_sha256"]
    spec = {"weights": "official", "options": {}}
    files = official.find_official_files(official.load_registry(), "simplevqa", spec)
    path, motion_path = tmp_path / files[""].file, tmp_path / files["slowfast"].file
    torch.save({f"module.{key}": value for key, value in state.items()}, path)
    torch.save({"model_state": motion.state_dict()}, motion_path)
    part = Weights("official", "1" * 64, motion_path, keys=files["slowfast"].keys)
    weights = Weights("official", "0" * 64, path, keys=files[""].keys, parts={"slowfast": part})
    extractor = base.build_extractor("simplevqa", {}, weights, "cpu")
    assert isinstance(extractor, simplevqa.Extractor)
    features = np.random.default_rng(0).normal(size=(2, 9472)).astype(np.float32)
    with torch.inference_mode():
        by_hand = net.quality(torch.from_numpy(features))[:, 0].numpy()
    np.testing.assert_array_equal(extractor.compute_scores(features), by_hand)
    loaded = extractor.slowfast.net.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in motion.state_dict().items())
    for file in (path, motion_path):
        file.unlink()


def test_only_seconds_that_count_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "read_frames", make_reader(0, 96, 128))
    extractor = build(seconds=2)
    seconds = extractor.reader.prepare(VIDEO)
    assert len(seconds.key_frames.frames) == len(seconds.clips.places) == 2
    monkeypatch.setattr(extractor, "compute_scores", lambda _: np.array([np.nan], np.float32))
    blank = np.zeros((2, 7168), np.float32), seconds.key_frames.seconds
    monkeypatch.setattr(extractor.spatial, "compute_features", lambda _: [blank])
    moving = np.zeros((2, 2304), np.float32)
    monkeypatch.setattr(extractor.slowfast, "compute_features", lambda _: [moving])
    (row,) = extractor.score([seconds])
    assert isinstance(row, UnusableError)
    assert str(row).startswith("not_finite: ")


def pinned() -> dict[str, Any]:
    """The head's scores of drawn features, with random weights of seed 0."""
    features = np.random.default_rng(2).normal(size=(14, 9472)).astype(np.float32)
    scores = build().compute_scores(features)
    return {"version": simplevqa.VERSION, "scores": [float(f"{v:.6g}") for v in scores]}


def test_pinned_numbers() -> None:
    """A change of these numbers needs a new VERSION, which makes every cached row a miss."""
    expected, computed = json.loads(GOLDEN.read_text()), pinned()
    assert computed["version"] == expected["version"], (
        "VERSION was raised: remake the pinned numbers"
    )
    message = "the numbers changed: raise VERSION, then remake the pinned numbers"
    assert computed["scores"] == pytest.approx(expected["scores"], rel=1e-3, abs=1e-4), message


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(pinned(), indent=1) + "\n")
