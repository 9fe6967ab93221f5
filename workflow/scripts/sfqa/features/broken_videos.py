"""Reasons of videos that hold no frames, or whose frames do not decode."""

from __future__ import annotations

from sfqa.errors import format_count
from sfqa.features.base import UnusableError, Video


def check_frames(video: Video) -> None:
    """Raise :class:`UnusableError` for a video without frames or without a frame rate."""
    if video.frames < 1 or not video.fps > 0:
        frames = format_count(video.frames, "frame")
        raise UnusableError(f"broken: the video has {frames} at {video.fps:g} per second")


def describe_undecoded(frames: int) -> UnusableError:
    """Return the error of a video of so many frames, of which some do not decode.

    >>> print(describe_undecoded(150))
    broken: not all 150 frames decode
    >>> print(describe_undecoded(1))
    broken: its 1 frame does not decode
    """
    if frames == 1:
        return UnusableError("broken: its 1 frame does not decode")
    return UnusableError(f"broken: not all {frames} frames decode")
