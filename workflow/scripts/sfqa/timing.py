"""When the frames of a video are shown, for videos of a variable frame rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from sfqa import media
from sfqa.arrays import Floats

#: Increased whenever the result for a video that keeps its bytes (``mode: none``) changes.
VERSION = 1

#: The word of the flaw of a conformed row whose frames have times of their own.
VARIABLE_RATE = "variable_rate"
#: Frames this close to frame / rate count as evenly spaced. Containers round the times to 1 ms
#: (Matroska, FLV) or less; a quarter of a frame at 25 per second is no offset that can be measured.
TOLERANCE_SEC = 0.01
#: A stated rate that differs from the mean by more than this share is no mean of any part.
_FAR = 0.1


def measure_time_error(times: Floats, fps: float) -> float:
    """Return the largest distance in seconds of a frame's time from frame / ``fps``.

    ``times``: seconds after the first frame, shape (frames,).

    >>> round(measure_time_error(np.array([0.0, 0.04, 0.12]), 25.0), 6)
    0.04
    """
    return float(np.abs(times - np.arange(len(times)) / fps).max(initial=0.0))


def choose_rate(times: Floats, stated_rate: float) -> float:
    """Return the frame rate of which frame / rate comes near the frames' ``times``.

    It is the stated rate if that holds within :data:`TOLERANCE_SEC`, else the mean rate if that
    does; for a variable rate the stated one, unless it is far from the mean.

    >>> choose_rate(np.arange(50) / 25, 600.0), choose_rate(np.arange(50) / 25, 25.01)
    (25.0, 25.01)
    """
    if len(times) < 2:
        return stated_rate
    mean_rate = float((len(times) - 1) / (times[-1] - times[0]))
    if measure_time_error(times, stated_rate) <= TOLERANCE_SEC:
        return stated_rate
    if measure_time_error(times, mean_rate) <= TOLERANCE_SEC:
        return mean_rate
    return stated_rate if abs(stated_rate - mean_rate) < _FAR * mean_rate else mean_rate


def compute_duration(times: Floats, rate: float) -> float:
    """Return how long the frames are visible in seconds; the last one for the median interval.

    >>> round(compute_duration(np.array([0.0, 0.04, 0.16, 0.2]), 25.0), 6)
    0.24
    """
    interval = float(np.median(np.diff(times))) if len(times) > 1 else 1 / rate
    return float(times[-1]) + interval


def list_visible_frames(times: Floats, rate: float) -> npt.NDArray[np.int64]:
    """Return the frame that is visible in the middle of each interval of 1 / ``rate`` seconds.

    ``times``: when each frame appears, in seconds after the first one. This is the rule by which
    videos are conformed.

    >>> list_visible_frames(np.array([0.0, 0.04, 0.16, 0.2]), 25.0).tolist()
    [0, 1, 1, 1, 2, 3]
    """
    count = int(compute_duration(times, rate) * rate + 0.5)
    middles = (np.arange(count) + 0.5) / rate
    # Times of 32 bits are rounded: a frame that appears in the middle is not visible yet.
    return np.maximum(np.searchsorted(times, middles - 1e-5) - 1, 0)


def list_shown_frames(path: Path | str, rate: float) -> npt.NDArray[np.int64]:
    """Return the frames of a video to show at a constant rate, by the frames' own times.

    Raises :class:`media.MediaError` if decord cannot read the video.
    """
    return list_visible_frames(media.read_frame_times(path), rate)
