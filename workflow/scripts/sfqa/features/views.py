"""The views of a video that FAST-VQA and DOVER score, cut while the video is decoded once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from sfqa import media
from sfqa.arrays import Ints
from sfqa.features import fragments
from sfqa.features.base import UnusableError, Video
from sfqa.features.broken_videos import describe_undecoded
from sfqa.features.random_draws import RandomDraws


class View(Protocol):
    """Clips (clips, length) of one kind of picture, 224x224 each."""

    @property
    def frames(self) -> Ints:
        """The indices of the frames of each clip."""

    def cut(self, picture: media.Pixels, clip: int) -> media.Pixels:
        """Return the picture (224, 224, 3) of a frame (height, width, 3) in a clip."""


@dataclass
class FragmentView:
    """Fragments at places that are drawn when the size of the pictures is known.

    ``small`` says what is done below 224 pixels. The official code enlarges the picture and cuts
    the grid of the old size out of it, so that only the top left part is seen ('official');
    'whole' uses the grid of the enlarged picture.
    """

    frames: Ints
    draws: RandomDraws
    small: str = fragments.OFFICIAL
    _grid: fragments.FragmentGrid | None = field(default=None, init=False)

    def cut(self, picture: media.Pixels, clip: int) -> media.Pixels:
        """Return the fragments of a frame in a clip."""
        enlarged = fragments.enlarge_small(picture)
        if self._grid is None:
            gridded = picture if self.small == fragments.OFFICIAL else enlarged
            height, width = gridded.shape[:2]
            self._grid = fragments.draw_grid(height, width, len(self.frames), self.draws)
        return self._grid.cut(enlarged, clip)


def read_views(video: Video, views: Sequence[View]) -> list[media.Pixels]:
    """Return the pictures of each view, uint8 (clips, length, 224, 224, 3).

    Every frame is decoded once and cut at once, so no whole video is held. Raises
    :class:`UnusableError` for a video that does not decode.
    """
    uses: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for number, view in enumerate(views):
        for clip, clip_frames in enumerate(view.frames.tolist()):
            for position, frame in enumerate(clip_frames):
                uses[frame].append((number, clip, position))
    size = (fragments.SIZE, fragments.SIZE, 3)
    pictures = [np.empty((*view.frames.shape, *size), np.uint8) for view in views]
    frame_indices = sorted(uses)
    try:
        frames = media.iterate_frames(video.path, frame_indices)
        for frame, picture in zip(frame_indices, frames, strict=True):
            for number, clip, position in uses[frame]:
                pictures[number][clip, position] = views[number].cut(picture, clip)
    except media.MediaError as error:
        raise describe_undecoded(video.frames) from error
    return pictures


def check_frames(video: Video) -> None:
    """Raise :class:`UnusableError` for a video without frames."""
    if video.frames < 1:
        raise UnusableError(f"broken: the video has {video.frames} frames")
