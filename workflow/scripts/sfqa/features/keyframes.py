"""Select the frames of a video that an extractor reads: key frames and clips, as indices from 0."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]

# Added before rounding down, so that rounding errors never select the previous frame.
_EPS = 1e-6


def select_evenly(frames: int, count: int) -> Indices:
    """Return ``count`` evenly spaced frames, floor(frames / count * i), shape (count,).

    The first frame is always included, the last one never (except in videos with at most ``count``
    frames, where frames repeat). Raises ``ValueError`` if ``frames`` or ``count`` is not positive.

    >>> select_evenly(150, 8).tolist()
    [0, 18, 37, 56, 75, 93, 112, 131]
    """
    _check_positive(frames=frames, count=count)
    return np.arange(count, dtype=np.int64) * frames // count


def select_centres(frames: int, count: int) -> Indices:
    """Return the frames in the centres of ``count`` equal parts, shape (count,).

    Rule of mmaction's test sampler, which X-CLIP uses: floor((i + 1/2) * frames / count). Raises
    ``ValueError`` if ``frames`` or ``count`` is not positive.

    >>> select_centres(150, 8).tolist()
    [9, 28, 46, 65, 84, 103, 121, 140]
    """
    _check_positive(frames=frames, count=count)
    return (2 * np.arange(count, dtype=np.int64) + 1) * frames // (2 * count)


def select_middles(items: int, parts: int) -> Indices:
    """Return the middle item of each of ``parts`` equal parts, shape (parts,).

    Rule of VALOR and VAST in their tests, for frames and for slices of sound: the first parts are
    longer by one if need be, and of an even part the item before its centre counts. With fewer
    items than parts the last one repeats. Raises ``ValueError`` if ``items`` or ``parts`` is not
    positive.

    >>> select_middles(150, 8).tolist()
    [9, 28, 47, 66, 85, 104, 122, 140]
    >>> select_middles(3, 8).tolist()
    [0, 1, 2, 2, 2, 2, 2, 2]
    """
    _check_positive(items=items, parts=parts)
    indices = np.minimum(np.arange(max(items, parts), dtype=np.int64), items - 1)
    segments = np.array_split(indices, parts)
    return np.array([segment[(len(segment) + 1) // 2 - 1] for segment in segments], np.int64)


def second_starts(frames: int, fps: float) -> Indices:
    """Return the first frame of every whole second, i * round(fps), shape (seconds,).

    Rule of SimpleVQA (Sun et al., ACM MM 2022): floor(frames / round(fps)) seconds; a partial
    second is ignored. A video under one second, which SimpleVQA cannot read, gives its first frame.

    >>> second_starts(150, 25).tolist()
    [0, 25, 50, 75, 100, 125]
    >>> second_starts(150, 29.97).tolist()
    [0, 30, 60, 90, 120]
    """
    _check_positive(frames=frames, fps=fps)
    step = max(round(fps), 1)
    return np.arange(max(frames // step, 1), dtype=np.int64) * step


def second_clips(frames: int, fps: float, length: int = 32) -> Indices:
    """Return one clip of ``length`` consecutive frames per second, shape (seconds, length).

    A clip beyond the end repeats the last frame (SimpleVQA). Clips overlap below ``length`` frames
    per second and skip frames above.

    >>> second_clips(40, 25)[0, [0, 31]].tolist(), second_clips(30, 25)[0, -3:].tolist()
    ([0, 31], [29, 29, 29])
    """
    clips = second_starts(frames, fps)[:, None] + np.arange(length, dtype=np.int64)
    return np.minimum(clips, frames - 1)


def timed_clips(frames: int, fps: float, length: int = 32, span_sec: float = 64 / 30) -> Indices:
    """Return clips of ``span_sec`` seconds with ``length`` frames each, shape (clips, length).

    As SlowFast was trained on Kinetics: floor(linspace(start, start + span - 1, length)) within a
    clip, span in frames. A video shorter than the span repeats its last frame, so that motion keeps
    its speed. The clips are the fewest that cover the video, evenly spaced from its start to its
    end.

    >>> timed_clips(64, 30)[0, :4].tolist()
    [0, 2, 4, 6]
    >>> timed_clips(150, 25)[:, 0].tolist()
    [0, 48, 96]
    """
    _check_positive(frames=frames, fps=fps)
    span = span_sec * fps
    count = max(math.ceil(frames / span - _EPS), 1)
    starts = np.linspace(0.0, max(frames - span, 0.0), count)
    within = np.linspace(0.0, max(span - 1.0, 0.0), length)
    indices = np.floor(starts[:, None] + within + _EPS).astype(np.int64)
    return np.minimum(indices, frames - 1)


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name} must be positive, not {value}")
