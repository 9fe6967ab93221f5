"""Read the key frames of a video as the squares that a network sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from sfqa import media
from sfqa.features import keyframes, resizing
from sfqa.features.base import UnusableError, Video
from sfqa.features.broken_videos import describe_undecoded

#: Ways to choose key frames: N from the start of N equal parts, or from their centres, or the first
#: frame of every second.
EVENLY, CENTRES, SECONDS = "evenly", "centres", "seconds"


@dataclass(frozen=True)
class Square:
    """How a frame becomes a square of ``size`` pixels, by Pillow with antialiasing.

    The short side is resized to ``short_side`` (None: ``size``), then the centre is cropped. With
    ``squash`` both sides are resized, which ignores the aspect ratio, before the crop.

    >>> Square(64).resize(np.zeros((2, 90, 160, 3), np.uint8)).shape
    (2, 64, 64, 3)
    """

    size: int
    short_side: int | None = None
    resampling: Image.Resampling = Image.Resampling.BICUBIC
    squash: bool = False

    def resize(self, frames: media.Pixels) -> media.Pixels:
        """Return the squares (n, size, size, 3) of RGB frames (n, height, width, 3)."""
        short_side = self.short_side or self.size
        if self.squash:
            sides = (short_side, short_side)
            squashed = [Image.fromarray(f).resize(sides, self.resampling) for f in frames]
            frames = np.stack([np.asarray(picture) for picture in squashed])
        return resizing.crop_centre(frames, short_side, self.size, self.resampling)


@dataclass(frozen=True)
class Preprocessing:
    """How a frame becomes the input of a network: the square, then mean and deviation per channel.

    Both are of values from 0 to 1.
    """

    square: Square
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class KeyFrames:
    """The input of a network: frames (n, size, size, 3), uint8 RGB, each once, and the prompt.

    ``places`` holds the indices of the key frames, in order.
    """

    frames: media.Pixels
    places: keyframes.Indices
    prompt: str | None

    def list_pictures(self) -> list[media.Pixels]:
        """Return the key frames in order."""
        return [self.frames[index] for index in self.places]


@dataclass(frozen=True)
class KeyFrameReader:
    """Reads ``count`` key frames as squares; ``spacing`` is 'evenly', 'centres' or 'seconds'.

    With ``needs_prompt``, a video without a prompt is not read.
    """

    count: int
    square: Square
    spacing: str = EVENLY
    needs_prompt: bool = False

    def prepare(self, video: Video) -> KeyFrames:
        """Return the key frames; raises :class:`UnusableError` if not all of them decode."""
        if self.needs_prompt and not (video.prompt or "").strip():
            raise UnusableError("no_prompt: the video has no prompt, which the score compares with")
        if video.frames < 1:
            raise UnusableError("broken: the video has no frames")
        frame_indices, places = np.unique(self._select(video), return_inverse=True)
        try:
            frames = media.read_frames(video.path, frame_indices.tolist(), self.square.resize)
        except media.MediaError as error:
            raise describe_undecoded(video.frames) from error
        return KeyFrames(frames, places, video.prompt)

    def _select(self, video: Video) -> keyframes.Indices:
        if self.spacing == SECONDS:
            if not video.fps > 0:
                raise UnusableError(f"broken: the video has {video.fps} frames per second")
            return keyframes.second_starts(video.frames, video.fps)
        if self.spacing == CENTRES:
            return keyframes.select_centres(video.frames, self.count)
        return keyframes.select_evenly(video.frames, self.count)
