"""FocusQ's features against the numbers that its official code gave; its token needs pyiqa."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from golden_summaries import assert_summary, digest_keys, list_places, load_golden, make_reader
from golden_weights import draw_weight, fill_weights
from needs_pyiqa import needs_pyiqa
from sfqa import media
from sfqa.features import base
from sfqa.features.base import Video
from sfqa.features.extractors import iqa, spatial
from sfqa.features.weights import Weights

GOLDEN = load_golden("focusq")
PIPELINE, STAGES = GOLDEN["pipeline"], GOLDEN["pipeline"]["stages"]
RANDOM = Weights("random", "random:0")
PREFIX = "faceiqa_model.net."
VIDEO = Video("a", Path("none.mp4"), "0", fps=25.0, frames=75)


@pytest.fixture(autouse=True)
def video(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "read_frames", make_reader(0, 512, 512))


def compute_spatial() -> np.ndarray:
    extractor = base.build_extractor("spatial", {}, RANDOM, "cpu")
    assert isinstance(extractor, spatial.Extractor)
    fill_weights(extractor.net)
    key_frames = extractor.reader.prepare(VIDEO)
    assert_summary(extractor._make_input(list(key_frames.frames))[None], PIPELINE["input"])
    ((features, _),) = extractor.compute_features([key_frames])
    return features


def draw_motion() -> np.ndarray:
    rows = [draw_weight(f"motion/{i}", (2304, 1))[:, 0] for i in range(3)]
    motion: np.ndarray = torch.stack(rows).numpy()
    return motion


def build_iqa() -> iqa.Extractor:
    options = {"metric": "topiq_nr-face-v1", "input": "focusq"}
    extractor = base.build_extractor("iqa", options, RANDOM, "cpu")
    assert isinstance(extractor, iqa.Extractor)
    fill_weights(extractor.forward.net, prefix=PREFIX)
    return extractor


def score(features: np.ndarray) -> np.ndarray:
    """FocusQ's head on rows of 9728 features: two layers without an activation."""
    first = draw_weight("quality.0.weight", (128, 9728)), draw_weight("quality.0.bias", (128,))
    last = draw_weight("quality.1.weight", (1, 128)), draw_weight("quality.1.bias", (1,))
    x = torch.nn.functional.linear(torch.from_numpy(features).float(), *first)
    scores: np.ndarray = torch.nn.functional.linear(x, *last)[:, 0].numpy()
    return scores


def test_spatial_and_motion_features() -> None:
    """Without pyiqa: the columns of the features that are not the token's."""
    motion = draw_motion()
    assert_summary(motion[None], PIPELINE["motion_input"])
    features = np.concatenate([compute_spatial(), motion], 1)
    summary = STAGES["features (3,9728) = spatial 7168, motion 2304, face 256"]
    frames, columns = np.divmod(list_places(3 * 9728, len(summary["values"])), 9728)
    others = columns < 9472
    assert others.sum() > 40
    values = features[frames[others], columns[others]]
    np.testing.assert_allclose(values, np.array(summary["values"])[others], atol=2e-5)


@needs_pyiqa
def test_the_token_at_every_stage_and_the_score() -> None:
    extractor = build_iqa()
    # One pass at a time, so that the hooks see the frames in order.
    extractor.batching = replace(extractor.batching, parallel=1)
    net = extractor.forward.net
    outputs: dict[str, list[torch.Tensor]] = {}

    def keep(name: str, tensor: torch.Tensor) -> None:
        outputs.setdefault(name, []).append(tensor.detach())

    net.semantic_model.register_forward_pre_hook(lambda _, x: keep("input", x[0]))
    net.semantic_model.register_forward_hook(
        lambda _m, _x, levels: [keep(f"level {i}", y) for i, y in enumerate(levels)] and None
    )
    for i, block in enumerate(net.sa_attn_blks):
        block.register_forward_hook(lambda _m, _x, y, i=i: keep(f"block {i}", y))
    net.attn_pool.register_forward_hook(lambda _m, _x, y: keep("tokens", y))
    (row,) = extractor.score([extractor.reader.prepare(VIDEO)])
    assert isinstance(row, dict)
    backbone_input = STAGES["face_backbone_input (512x512, normalised twice)"]
    assert_summary(torch.cat(outputs["input"]), backbone_input)
    for i in range(5):
        assert_summary(torch.cat(outputs[f"level {i}"]), STAGES[f"face_level_{i}"])
        # Places, frames, channels.
        assert_summary(torch.cat(outputs[f"block {i}"], 1), STAGES[f"sa_attn_blks.{i}"])
    assert_summary(torch.cat(outputs["tokens"], 1), STAGES["attn_pool tokens (N,B,C)"])
    assert_summary(row["token"], STAGES["face_feature (3,256)"])
    features = np.concatenate([compute_spatial(), draw_motion(), row["token"]], 1)
    assert_summary(features, STAGES["features (3,9728) = spatial 7168, motion 2304, face 256"])
    golden = PIPELINE["scores"]
    np.testing.assert_allclose(score(features), golden["per_frame"], atol=1e-5)
    video_score = score(features.mean(0)[None])[0]
    assert video_score == pytest.approx(golden["video"], abs=1e-5)


@needs_pyiqa
def test_the_keys_of_the_checkpoint() -> None:
    from torchvision.models import resnet50

    with torch.device("meta"):
        keys: dict[str, Any] = {
            key: t for key, t in resnet50().state_dict().items() if not key.startswith("fc.")
        }
    keys |= {PREFIX + key: t for key, t in build_iqa().forward.net.state_dict().items()}
    for layer, shape in (("0", (128, 9728)), ("1", (1, 128))):
        keys |= {f"quality.{layer}.weight": torch.empty(shape)}
        keys |= {f"quality.{layer}.bias": torch.empty(shape[:1])}
    assert len(keys) == GOLDEN["checkpoint"]["tensors"]
    assert digest_keys(keys) == GOLDEN["checkpoint"]["keys_sha256"]
