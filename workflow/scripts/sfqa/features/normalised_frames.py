"""Frames as VALOR and VAST see them: squares of 224 pixels, resized as tensors and normalised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sfqa import media
from sfqa.arrays import Floats32
from sfqa.features import keyframes
from sfqa.features.base import UnusableError, Video
from sfqa.features.bilinear import use_one_thread
from sfqa.features.broken_videos import describe_undecoded

#: Mean and deviation per channel, of values from 0 to 1.
CLIP_STATISTICS = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
IMAGENET_STATISTICS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
#: Side of the squares in pixels.
SIDE = 224


@dataclass(frozen=True)
class SquareForm:
    """How a frame becomes a square of 224 pixels: ``Resize`` and ``Normalize`` of torchvision.

    Both sides are resized, or with ``crop`` the short side, and the centre is cropped. Without
    ``antialias`` as in the torchvision of the official requirements, which did not smooth tensors:
    four pixels are mixed for each, however much smaller the picture becomes. With ``double`` the
    arithmetic is in float64 and the result is rounded to float32.

    >>> form = SquareForm(*CLIP_STATISTICS)
    >>> form.convert(np.zeros((90, 160, 3), np.uint8)).shape
    (3, 224, 224)
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop: bool = False
    antialias: bool = False
    double: bool = False

    def convert(self, picture: media.Pixels) -> Floats32:
        """Return a picture (height, width, 3) as channels (3, 224, 224)."""
        import torch
        from torch.nn.functional import interpolate

        height, width = picture.shape[:2]
        short = min(height, width)
        size = (SIDE * height // short, SIDE * width // short) if self.crop else (SIDE, SIDE)
        top, left = (round((n - SIDE) / 2) for n in size)
        number_type = torch.float64 if self.double else torch.float32
        mean, std = (
            torch.tensor(v, dtype=number_type).view(3, 1, 1) for v in (self.mean, self.std)
        )
        with torch.inference_mode(), use_one_thread():
            planes = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))
            resized = interpolate(
                planes[None].to(number_type) / 255, size, mode="bilinear", antialias=self.antialias
            )[0, :, top : top + SIDE, left : left + SIDE]
            square: Floats32 = ((resized - mean) / std).float().numpy()
        return square

    def undo_normalisation(self, squares: Floats32) -> Floats32:
        """Return squares (..., 3, 224, 224) of :meth:`convert` as numbers from 0 to 1."""
        mean, std = (np.array(v, np.float32)[:, None, None] for v in (self.mean, self.std))
        numbers: Floats32 = squares * std + mean
        return numbers


def read_squares(video: Video, count: int, form: SquareForm) -> Floats32:
    """Return the middle frames of ``count`` equal parts of a video, (count, 3, 224, 224).

    A video with fewer frames repeats the last one (:func:`keyframes.select_middles`). Raises
    :class:`UnusableError` for a video that has no frame or does not decode.
    """
    if video.frames < 1:
        raise UnusableError("broken: the video has no frames")
    indices = keyframes.select_middles(video.frames, count)
    frame_indices, places = np.unique(indices, return_inverse=True)
    try:
        frames = media.iterate_frames(video.path, frame_indices.tolist())
        squares = np.stack([form.convert(frame) for frame in frames])
    except media.MediaError as error:
        raise describe_undecoded(video.frames) from error
    if len(squares) < len(frame_indices):
        raise describe_undecoded(video.frames)
    return squares[places]
