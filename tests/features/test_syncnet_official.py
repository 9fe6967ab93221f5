"""LSE-C, LSE-D and offset equal SyncNetInstance.evaluate of joonson/syncnet_python.

Its numbers are in official/syncnet.json, made with the crops, the sound and the weights drawn here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from official_code import check_array, draw_bits, draw_song, draw_weight, read_numbers
from sfqa.features import base
from sfqa.features.extractors import lse
from sfqa.features.mfcc import compute_mfcc
from sfqa.features.syncnet import SyncNet
from sfqa.features.weights import Weights

FRAMES, MAX_SHIFT = 18, 4


def draw_state() -> dict[str, torch.Tensor]:
    """Return drawn weights of SyncNet's floating keys."""
    network = SyncNet()
    return {
        key: draw_weight(key, tuple(start.shape)) if start.is_floating_point() else start
        for key, start in network.state_dict().items()
    }


def draw_crops() -> np.ndarray:
    """Return crops (frames, 224, 224, 3), uint8 BGR, whose squares change from frame to frame."""
    bits = draw_bits("syncnet/crops", FRAMES * 8 * 8 * 3).reshape(FRAMES, 8, 8, 3)
    return (bits >> np.uint64(56)).astype(np.uint8).repeat(28, 1).repeat(28, 2)


def draw_sound() -> np.ndarray:
    """Return int16 samples at 16 kHz, a little longer than the pictures."""
    return np.round(draw_song(1, 16000)[: FRAMES * 640 + 200] * 20000).astype(np.int16)


def test_scores_equal_the_official_code(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read_numbers("syncnet")

    def load(weights: Weights, build: Any) -> torch.nn.Module:
        network = build()
        network.load_state_dict(draw_state(), strict=True)
        return network.eval().requires_grad_(False)

    monkeypatch.setattr(Weights, "load", load)
    options = base.merge_options("lse", {"max_shift": MAX_SHIFT})
    extractor = lse.Extractor(options, Weights("official", "drawn"), "cpu")
    clip = lse.FaceClip(draw_crops(), compute_mfcc(draw_sound()), FRAMES - 5, {})
    ((lip, sound, _),) = extractor.compute_features([clip])
    check_array(lip, expected["lip"], 3e-5 * expected["lip"]["std"])
    check_array(sound, expected["sound"], 3e-5 * expected["sound"]["std"])
    (row,) = extractor.score([clip])
    assert isinstance(row, dict)
    assert row["offset"] == expected["offset"]
    tolerance = 3e-6 * expected["lse_d"]
    for name in ("lse_c", "lse_d", "window_distance"):
        np.testing.assert_allclose(row[name], expected[name], rtol=0, atol=tolerance)
