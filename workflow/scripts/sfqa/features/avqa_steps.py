"""The 96 steps of DNN-RNT and DNN-SND: a picture every other frame, the sound at those between."""

from __future__ import annotations

import numpy as np

from sfqa import media
from sfqa.arrays import Floats, Ints
from sfqa.features.base import UnusableError, Video
from sfqa.features.broken_videos import check_frames

STEPS = 96


def list_picture_frames(video: Video) -> Ints:
    """Return the frames 0, 2, .., 190, (96,), and the last frame in place of those after the end.

    The official script reads 8 s at 24 frames per second and fails for fewer than 192 frames. Its
    sound is continued as here. Raises :class:`UnusableError` for a video without frames.

    >>> from pathlib import Path
    >>> list_picture_frames(Video("a", Path("a.mp4"), "0", fps=25.0, frames=150))[[0, 1, 74, 95]]
    array([  0,   2, 148, 149])
    """
    check_frames(video)
    return np.minimum(2 * np.arange(STEPS), video.frames - 1)


def list_sound_times(video: Video) -> Floats:
    """Return when the frames 1, 3, .., 191 are shown, (96,), in seconds, also after the end.

    Frames of a variable rate have their own times. Raises :class:`UnusableError` as
    :func:`list_picture_frames` does.
    """
    check_frames(video)
    numbers = 2 * np.arange(STEPS) + 1
    if not video.variable_rate:
        return np.asarray(numbers / video.fps)
    try:
        times = media.read_frame_times(video.path)
    except media.MediaError as error:
        raise UnusableError("broken: the times of the frames cannot be read") from error
    last = len(times) - 1
    return np.asarray(times[np.minimum(numbers, last)] + np.maximum(numbers - last, 0) / video.fps)
