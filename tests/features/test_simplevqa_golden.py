"""``spatial`` and ``slowfast`` against the numbers that SimpleVQA's official code gave."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from golden_summaries import (
    assert_summary,
    digest_keys,
    draw_frames,
    list_places,
    load_golden,
    make_reader,
)
from golden_weights import draw_video, draw_weight, fill_weights
from sfqa import media
from sfqa.features import base
from sfqa.features.base import Video
from sfqa.features.extractors import slowfast, spatial
from sfqa.features.weights import Weights

GOLDEN = load_golden("simplevqa")
PIPELINE = GOLDEN["pipeline"]
RANDOM = Weights("random", "random:0")
VIDEO = Video("a", Path("none.mp4"), "0", fps=25.0, frames=150)
LANDSCAPE = Video("b", Path("none.mp4"), "0", fps=25.0, frames=30)


@pytest.fixture
def square(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "read_frames", make_reader(0, 512, 512))


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "read_frames", make_reader(0, 360, 640))


def build_spatial(**options: Any) -> spatial.Extractor:
    extractor = base.build_extractor("spatial", options, RANDOM, "cpu")
    assert isinstance(extractor, spatial.Extractor)
    fill_weights(extractor.net)
    return extractor


def build_slowfast() -> slowfast.Extractor:
    extractor = base.build_extractor("slowfast", {}, RANDOM, "cpu")
    assert isinstance(extractor, slowfast.Extractor)
    # One pass at a time, so that what the network gets is kept in order.
    extractor.batching = replace(extractor.batching, parallel=1)
    fill_weights(extractor.net)
    return extractor


def compute_motion(extractor: slowfast.Extractor, clips: slowfast.Clips) -> np.ndarray:
    (features,) = extractor.compute_features([clips])
    return features


def list_motion_inputs(extractor: slowfast.Extractor, clips: slowfast.Clips) -> list[np.ndarray]:
    """What the network gets for each clip, (32, 3, 224, 224), without running it."""
    inputs: list[np.ndarray] = []

    def keep(x: torch.Tensor) -> torch.Tensor:
        inputs.extend(x.permute(0, 2, 1, 3, 4).numpy())
        return torch.zeros(len(x), 2304)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extractor.net, "compute_features", keep)
        compute_motion(extractor, clips)
    return inputs


def score(features: np.ndarray) -> np.ndarray:
    """The two layers of SimpleVQA's head on rows of 9472 features."""
    layers = [
        draw_weight(f"quality.{n}.{part}", shape)
        for n, part, shape in (
            (0, "weight", (128, 9472)), (0, "bias", (128,)),
            (1, "weight", (1, 128)), (1, "bias", (1,)),
        )
    ]  # fmt: skip
    x = torch.from_numpy(features).float()
    x = torch.nn.functional.linear(x, layers[0], layers[1])
    scores: np.ndarray = torch.nn.functional.linear(x, layers[2], layers[3])[:, 0].numpy()
    return scores


def test_the_keys_of_both_checkpoints() -> None:
    """torchvision's network also has a classifier, which SimpleVQA's does not."""
    from torchvision.models import resnet50

    from sfqa.features.slowfast_net import SlowFast

    with torch.device("meta"):
        states = resnet50().state_dict(), SlowFast().state_dict()
    spatial_keys = {key: t for key, t in states[0].items() if not key.startswith("fc.")}
    heads = {"0": (128, 9472), "1": (1, 128)}
    for layer, shape in heads.items():
        spatial_keys[f"quality.{layer}.weight"] = torch.empty(shape)
        spatial_keys[f"quality.{layer}.bias"] = torch.empty(shape[:1])
    for keys, golden in (
        (spatial_keys, GOLDEN["checkpoint"]), (states[1], GOLDEN["slowfast_checkpoint"])
    ):  # fmt: skip
        assert len(keys) == golden["tensors"]
        assert digest_keys(keys) == golden["keys_sha256"]


def test_drawn_frames_are_those_of_the_goldens_video() -> None:
    np.testing.assert_array_equal(
        draw_video(0, 8, 40, 60)[[0, 3, 7]], draw_frames(0, [0, 3, 7], 40, 60)
    )


@pytest.mark.usefixtures("square")
def test_spatial_input_maps_and_features() -> None:
    extractor = build_spatial()
    key_frames = extractor.reader.prepare(VIDEO)
    assert key_frames.seconds.tolist() == [0, 1, 2, 3, 4, 5]
    x = extractor._make_input(list(key_frames.frames))
    assert_summary(x, PIPELINE["spatial_input"])
    maps: dict[str, list[torch.Tensor]] = {"layer2": [], "layer3": [], "layer4": []}
    for name, outputs in maps.items():
        hook = lambda _, __, y, kept=outputs: kept.append(y)  # noqa: E731
        getattr(extractor.net, name).register_forward_hook(hook)
    # One picture a pass, so that hooks run in order.
    extractor.batching = type(extractor.batching)(1, False)
    ((features, _),) = extractor.compute_features([key_frames])
    for name, outputs in maps.items():
        assert_summary(torch.cat(outputs), PIPELINE["layer_maps"][name])
    means = [part.mean() for part in np.split(features[0], np.cumsum([512, 512, 1024, 1024, 2048]))]
    golden_means = PIPELINE["spatial_frame0_means avg2,std2,avg3,std3,avg4,std4"]
    np.testing.assert_allclose(means, golden_means, atol=2e-5)
    summary = PIPELINE["features (6,9472) = spatial 7168 + motion 2304"]
    seconds, columns = np.divmod(list_places(6 * 9472, len(summary["values"])), 9472)
    is_spatial = columns < 7168
    assert is_spatial.sum() > 60
    np.testing.assert_allclose(
        features[seconds[is_spatial], columns[is_spatial]],
        np.array(summary["values"])[is_spatial],
        atol=2e-5,
    )


@pytest.mark.usefixtures("square")
@pytest.mark.thorough
def test_motion_clips_and_the_features_of_the_first() -> None:
    extractor = build_slowfast()
    clips = extractor.reader.prepare(VIDEO)
    assert len(clips.places) == 6
    inputs = list_motion_inputs(extractor, clips)
    assert_summary(inputs[0], PIPELINE["motion_clip_0"])
    assert_summary(inputs[5], PIPELINE["motion_clip_5 (last frame repeated)"])
    (features,) = compute_motion(extractor, slowfast.Clips(clips.frames, clips.places[:1]))
    assert features[:2048].mean() == pytest.approx(PIPELINE["motion_clip0_slow_mean"], abs=2e-5)
    assert features[2048:].mean() == pytest.approx(PIPELINE["motion_clip0_fast_mean"], abs=2e-5)
    values = PIPELINE["motion_features_eval_mode (6,2304)"]["values"]
    places = list_places(6 * 2304, len(values))
    first = places < 2304
    np.testing.assert_allclose(features[places[first]], np.array(values)[first], atol=2e-5)


@pytest.mark.thorough
@pytest.mark.usefixtures("wide")
def test_a_landscape_video() -> None:
    golden = PIPELINE["landscape_case"]
    extractor = build_spatial()
    key_frames = extractor.reader.prepare(LANDSCAPE)
    assert_summary(extractor._make_input(list(key_frames.frames)), golden["spatial_input"])
    motion = build_slowfast()
    (clip,) = list_motion_inputs(motion, motion.reader.prepare(LANDSCAPE))
    assert_summary(clip, golden["motion_clip_0"])


@pytest.mark.thorough
@pytest.mark.usefixtures("square")
def test_all_features_and_the_scores_of_both_conventions() -> None:
    """Whole seconds, and the 8 rows of the published training, which repeat the last second."""
    motion = build_slowfast()
    spatial_extractor = build_spatial()
    moving = compute_motion(motion, motion.reader.prepare(VIDEO))
    assert_summary(moving, PIPELINE["motion_features_eval_mode (6,2304)"])
    ((still, _),) = spatial_extractor.compute_features([spatial_extractor.reader.prepare(VIDEO)])
    features = np.concatenate([still, moving], 1)
    assert_summary(features, PIPELINE["features (6,9472) = spatial 7168 + motion 2304"])
    golden = PIPELINE["scores"]
    scores = score(features)
    np.testing.assert_allclose(scores, golden["per_second"], atol=1e-5)
    assert scores.mean() == pytest.approx(golden["mean_of_6_seconds"], abs=1e-5)
    repeated = features[np.minimum(np.arange(8), 5)]
    eight = golden["training_convention_8_with_last_repeated"]
    assert score(repeated).mean() == pytest.approx(eight, abs=1e-5)
    assert score(features.mean(0)[None])[0] == pytest.approx(
        golden["head_on_mean_feature"], abs=1e-5
    )


@pytest.mark.parametrize(("height", "width"), [(512, 512), (360, 640), (640, 361), (720, 405)])
def test_cv2_is_the_way_of_the_scripts(height: int, width: int) -> None:
    """The scripts resize and store each frame; training and test read it by torchvision."""
    frames = draw_frames(0, [0, 9], height, width)
    portrait, landscape = (520, int(520 / width * height)), (int(520 / height * width), 520)
    size = portrait if height > width else landscape
    read = transforms.Compose([transforms.Resize(520), transforms.CenterCrop(448)])
    stored = [cv2.resize(cv2.cvtColor(f, cv2.COLOR_RGB2BGR), size) for f in frames]
    by_script = [
        np.asarray(read(Image.fromarray(np.ascontiguousarray(s[..., ::-1])))) for s in stored
    ]
    resized = spatial.RESIZERS["cv2"](frames, short_side=520, crop=448)
    np.testing.assert_array_equal(resized, by_script)


@pytest.mark.usefixtures("square")
def test_cv2_and_pillow_differ_by_one_level() -> None:
    by_pillow, by_cv2 = (
        base.build_extractor("spatial", {"resize": name}, RANDOM, "cpu")
        .reader.prepare(VIDEO)
        .frames
        for name in ("pillow", "cv2")
    )
    difference = np.abs(by_pillow.astype(int) - by_cv2.astype(int))
    assert difference.max() == 1
