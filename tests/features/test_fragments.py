"""Fragments and whole frames against the official code, and the views of a decoded video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms import Resize

from golden_tensors import check_tensor
from golden_weights import draw_video
from moving_blocks import draw_moving_blocks
from official_code import read_numbers
from sfqa import media
from sfqa.features import fragments, views
from sfqa.features.aesthetic_view import AestheticView, squash
from sfqa.features.base import UnusableError, Video
from sfqa.features.frame_sampling import draw_clips
from sfqa.features.random_draws import RandomDraws

CASES = [*read_numbers("fast_vqa")["fragments"], *read_numbers("dover")["fragments"]]


def cut_fragments(frames: media.Pixels, clips: int, small: str = "official") -> media.Pixels:
    indices = np.arange(len(frames)).reshape(clips, -1)
    view = views.FragmentView(indices, RandomDraws(0), small)
    return np.stack([view.cut(f, n * clips // len(frames)) for n, f in enumerate(frames)])


@pytest.mark.parametrize("case", CASES, ids=lambda case: "x".join(map(str, case["video"])))
def test_fragments_are_the_official_ones(case: dict[str, Any]) -> None:
    frames = draw_video(*case["video"])
    pixels = cut_fragments(frames, len(frames) // 32).transpose(3, 0, 1, 2)
    check_tensor(pixels, case["fragments"], 0)
    assert float(f"{pixels.sum(dtype=np.int64):.8g}") == float(f"{case['sum']:.8g}")


def test_below_224_pixels_the_official_code_sees_the_top_left_part() -> None:
    """The lower right corner is bright; only the grid of the enlarged picture reaches it."""
    frames = np.zeros((32, 112, 168, 3), np.uint8)
    frames[:, 60:, 90:] = 255
    official, whole = (cut_fragments(frames, 1, small) for small in ("official", "whole"))
    assert official.max() == 0
    assert whole.max() == 255
    large = draw_moving_blocks(32, 224, 240)
    np.testing.assert_array_equal(cut_fragments(large, 1), cut_fragments(large, 1, "whole"))


def test_a_picture_that_is_smaller_than_a_fragment_is_refused() -> None:
    with pytest.raises(UnusableError, match=r"^too_small: 40x31 pixels"):
        cut_fragments(np.zeros((32, 31, 40, 3), np.uint8), 1)
    assert cut_fragments(np.zeros((32, 31, 40, 3), np.uint8), 1, "whole").shape[1:3] == (224, 224)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("size", [(512, 512), (333, 97), (224, 224), (100, 640)])
def test_whole_frames_are_torchvisions(size: tuple[int, int], antialias: bool) -> None:
    (frame,) = draw_video(1, 1, *size)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        planes = torch.from_numpy(frame).permute(2, 0, 1)[None]
        resized = Resize((224, 224), antialias=antialias)(planes)[0].permute(1, 2, 0)
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(squash(frame, antialias), resized.numpy())


def test_bytes_do_not_depend_on_the_number_of_threads() -> None:
    (large,), (small,) = draw_video(0, 1, 512, 512), draw_video(0, 1, 200, 320)
    threads, made = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            made.append((squash(large, antialias=False), fragments.enlarge_small(small)))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    for first, second in zip(*made, strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_video_is_decoded_once_and_cut_by_index(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    media.write_video(path, draw_moving_blocks(40, 256, 300), 25.0)
    video = Video("a", path, "0", 25.0, 40)
    clips = draw_clips(40, RandomDraws(0).time, 2)
    plans = [
        views.FragmentView(clips, RandomDraws(4)),
        AestheticView(np.full((1, 32), 7)),
    ]
    cut, still = views.read_views(video, plans)
    frames = media.read_frames(path)
    view = views.FragmentView(clips, RandomDraws(4))
    for clip in range(2):
        for position, frame in enumerate(clips[clip]):
            np.testing.assert_array_equal(cut[clip, position], view.cut(frames[frame], clip))
    np.testing.assert_array_equal(still[0, 31], squash(frames[7], antialias=False))
    with pytest.raises(UnusableError, match=r"^broken: not all 60 frames decode"):
        views.read_views(Video("a", path, "0", 25.0, 60), [AestheticView(np.full((1, 1), 55))])
