"""Which frames of a video FAST-VQA and DOVER look at: clips from equal segments, or centred clips.

Frame indices beyond the end continue at the first frame: they are taken modulo the number of
frames. A video of 150 frames has four overlapping clips of 64 frames, of which the last wraps.
"""

from __future__ import annotations

import numpy as np

from sfqa.arrays import Ints

#: Frames of a clip.
LENGTH = 32


def draw_clips(
    frames: int, numbers: np.random.RandomState, clips: int, length: int = LENGTH, interval: int = 2
) -> Ints:
    """Return the frames (clips, length) of one clip in each of ``clips`` equal segments.

    A clip takes every ``interval``-th frame. Its start is drawn where the segment is longer than
    the clip; the last possible start is never drawn, as in the official samplers. In a shorter
    segment the clip starts with the segment and nothing is drawn. DOVER's aesthetic view is 32
    segments with clips of one frame.

    >>> draw_clips(150, np.random.RandomState(0), 4)[:, 0].tolist()
    [0, 37, 74, 111]
    """
    segment = frames // clips
    room = segment - length * interval
    offsets = numbers.randint(0, room, size=clips) if room > 0 else np.zeros(clips, np.int64)
    starts = np.arange(clips) * segment + offsets
    return np.asarray((starts[:, None] + np.arange(length) * interval) % frames, np.int64)


def list_centred_clips(frames: int, clips: int, length: int = LENGTH) -> Ints:
    """Return the frames (clips, length) of the demo of FAST-VQA: consecutive ones, nothing drawn.

    The clips are centred in ``clips`` equal parts of the possible starts.

    >>> list_centred_clips(150, 4)[:, 0].tolist()
    [14, 44, 74, 104]
    """
    spacing = (frames - length + 1) / clips
    starts = np.zeros(clips, np.int64)
    if frames >= length:
        starts = (np.arange(clips) * spacing + spacing / 2).astype(np.int64)
    return np.asarray((starts[:, None] + np.arange(length)) % frames, np.int64)
