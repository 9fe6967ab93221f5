"""Frames and places of the official samplers of FAST-VQA and DOVER."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from official_code import read_numbers
from sfqa.features.frame_sampling import draw_clips, list_centred_clips
from sfqa.features.random_draws import RandomDraws, seed_draws

FAST_VQA = read_numbers("fast_vqa")
DOVER = read_numbers("dover")


@pytest.mark.parametrize("case", FAST_VQA["frame_sampler"], ids=lambda case: str(case["frames"]))
def test_the_clips_of_fast_vqa(case: dict[str, Any]) -> None:
    frames = case["frames"]
    for name, clips in (("evaluation_FragmentSampleFrames_32_4_2", 4),
                        ("training_FragmentSampleFrames_32_1_2", 1)):  # fmt: skip
        drawn = draw_clips(frames, RandomDraws(0).time, clips)
        assert drawn.ravel().tolist() == case[name]
    demo = list_centred_clips(frames, 4)
    assert demo.ravel().tolist() == case["demo_vqa_py_SampleFrames_32_interval1_4clips"]


@pytest.mark.parametrize("case", DOVER["frame_sampler"], ids=lambda case: str(case["frames"]))
def test_the_clips_of_dover(case: dict[str, Any]) -> None:
    draws = RandomDraws(0)
    technical = draw_clips(case["frames"], draws.time, 3)
    aesthetic = draw_clips(case["frames"], draws.time, 32, length=1, interval=2)
    assert technical.ravel().tolist() == case["indices"]["technical"]
    assert aesthetic.ravel().tolist() == case["indices"]["aesthetic"]


@pytest.mark.parametrize("model", [FAST_VQA, DOVER], ids=["fast_vqa", "dover"])
def test_the_recorded_draws(model: dict[str, Any]) -> None:
    draws = RandomDraws(0)
    for call in model["pipeline"]["draws"]:
        if call["call"] == "torch.randint":
            drawn = draws.draw_places(call["high"], tuple(call["size"]))
        else:
            drawn = draws.time.randint(call["low"], call["high"], size=call["size"])
        assert drawn.tolist() == call["values"]


@pytest.mark.parametrize("seed", [0, 1, 2**31 + 5, 2**32 - 1])
def test_places_are_those_of_torch(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    draws = RandomDraws(seed)
    for high in (1, 41, 105, 242):
        expected = torch.randint(high, (7, 7, 4), generator=generator)
        np.testing.assert_array_equal(draws.draw_places(high, (7, 7, 4)), expected.numpy())


def test_a_video_has_its_own_draws() -> None:
    first = seed_draws("a" * 64, 0).seed
    assert first == seed_draws("a" * 64, 0).seed
    assert len({first, seed_draws("a" * 64, 1).seed, seed_draws("b" * 64, 0).seed}) == 3
    assert [seed_draws("a" * 64, draw, 5).seed for draw in (0, 2)] == [5, 7]
    assert all(0 <= seed_draws(str(n), 0).seed < 2**32 for n in range(50))


@pytest.mark.parametrize("frames", [1, 2, 31, 33, 257])
def test_every_index_exists(frames: int) -> None:
    for clips in (draw_clips(frames, RandomDraws(3).time, 4), list_centred_clips(frames, 4)):
        assert clips.shape == (4, 32)
        assert clips.min() >= 0
        assert clips.max() < frames
