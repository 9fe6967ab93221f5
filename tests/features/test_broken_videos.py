"""Reasons of videos without frames and of one frame, as every extractor gives them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sfqa.features.base import UnusableError, Video
from sfqa.features.broken_videos import check_frames, describe_undecoded
from sfqa.features.qwen_omni_input import Reader


def make_video(frames: int, fps: float) -> Video:
    return Video("a", Path("none.mp4"), "0", fps, frames)


@pytest.mark.parametrize(
    ("frames", "fps", "reason"),
    [
        (0, 25.0, "broken: the video has 0 frames at 25 per second"),
        (1, 0.0, "broken: the video has 1 frame at 0 per second"),
        (8, 0.0, "broken: the video has 8 frames at 0 per second"),
    ],
)
def test_a_video_without_frames_or_rate(frames: int, fps: float, reason: str) -> None:
    with pytest.raises(UnusableError) as raised:
        check_frames(make_video(frames, fps))
    assert str(raised.value) == reason


def test_a_video_with_both_passes() -> None:
    check_frames(make_video(1, 25.0))


def test_one_frame_is_a_singular() -> None:
    assert str(describe_undecoded(1)) == "broken: its 1 frame does not decode"
    with pytest.raises(UnusableError, match=r"^short: the video has 1 frame at 25 per second"):
        Reader(2.0).prepare(make_video(1, 25.0))
