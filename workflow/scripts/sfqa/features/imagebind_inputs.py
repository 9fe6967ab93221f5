"""What ImageBind sees and hears of a video: clips of two seconds, three crops, mel spectra."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from sfqa import media
from sfqa.arrays import Floats32, Ints
from sfqa.features.base import UnusableError, Video
from sfqa.features.bilinear import interpolate_pixels
from sfqa.features.broken_videos import check_frames, describe_undecoded
from sfqa.features.kaldi_fbank import compute_fbank
from sfqa.features.sinc_resampling import resample_sound
from sfqa.features.sound_slices import check_level, read_all_channels
from sfqa.features.view_columns import round_to_pixels

#: Clips of each kind, and how long each lasts in seconds.
VIDEO_CLIPS, AUDIO_CLIPS, CLIP_SEC = 5, 3, 2
#: Side of a crop in pixels, and crops of a clip.
SIDE, CROPS = 224, 3
_RATE, _BANDS, _COLUMNS = 16000, 128, 204
#: Mean and deviation of the spectra.
_MEAN, _STD = -4.268, 9.138


@dataclass(frozen=True)
class PreparedInputs:
    """The input of both towers.

    ``pictures`` (n, height, width, 3), float32 from 0 to 1, are the frames in use, the short side
    224; ``pairs`` (5, 2) the first and the last one of each clip; ``spectra`` (3, 1, 128, 204).
    """

    pictures: Floats32
    pairs: Ints
    spectra: Floats32

    def list_views(self) -> tuple[list[Floats32], Ints]:
        """Return the different views (2, 224, 224, 3), and which one each of the 15 is.

        The 15 are ordered by clip, then left, centre, right (or top, centre, bottom). The crops of
        a square are one and the same view, and so are clips of the same frames.
        """
        height, width = self.pictures.shape[1:3]
        corners = list_crop_corners(height, width)
        crops = [(*pair, *corner) for pair in self.pairs.tolist() for corner in corners]
        different = list(dict.fromkeys(crops))
        views = [
            self.pictures[[first, last], top : top + SIDE, left : left + SIDE]
            for first, last, top, left in different
        ]
        return views, np.array([different.index(view) for view in crops])

    def round_views(self) -> media.Pixels:
        """Return the 15 views (15, 2, 224, 224, 3) in whole pixels, at most half a level away."""
        views, places = self.list_views()
        return round_to_pixels(np.stack(views))[places]


@dataclass(frozen=True)
class InputReader:
    """Reads the inputs of both towers; see :class:`PreparedInputs`."""

    def prepare(self, video: Video) -> PreparedInputs:
        """Return the inputs.

        Raises :class:`UnusableError` for a video that does not decode, has no sound, or is too
        short for a row.
        """
        spectra = compute_spectra(read_sound(video))
        indices = select_frames(video)
        frame_indices, places = np.unique(indices, return_inverse=True)
        try:
            frames = media.iterate_frames(video.path, frame_indices.tolist())
            pictures = np.stack([resize_short_side(frame) for frame in frames])
        except (media.MediaError, ValueError) as error:
            raise describe_undecoded(video.frames) from error
        return PreparedInputs(pictures, places.reshape(indices.shape), spectra)


def list_clip_starts(duration: float, count: int) -> list[Fraction]:
    """Return when clips of two seconds begin, evenly from the start to two seconds before the end.

    The rule of the pytorchvideo that ImageBind pins. (Its release 0.1.5 divides by ``count`` and
    never reaches the end.) All clips of a shorter video begin at 0.

    >>> [float(start) for start in list_clip_starts(6.0, 5)]
    [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    step = Fraction(max(duration - CLIP_SEC, 0)) / max(count - 1, 1)
    return [index * step for index in range(count)]


def select_frames(video: Video) -> Ints:
    """Return the first and the last frame of every clip, (5, 2).

    A clip has the frames that appear from its start to before its end: ceil(fps start) ..
    ceil(fps end) - 1. Raises :class:`UnusableError` for a video without frames, or one in which two
    seconds hold no frame.

    >>> from pathlib import Path
    >>> select_frames(Video("a", Path(), "", 25.0, 150)).tolist()
    [[0, 49], [25, 74], [50, 99], [75, 124], [100, 149]]
    """
    check_frames(video)
    starts = list_clip_starts(video.frames / video.fps, VIDEO_CLIPS)
    bounds = [[float(start), float(start + CLIP_SEC)] for start in starts]
    if video.variable_rate:
        stops = np.searchsorted(media.read_frame_times(video.path), bounds)
    else:
        stops = np.array([[math.ceil(video.fps * time) for time in pair] for pair in bounds])
    first, stop = np.minimum(stops, video.frames).astype(np.int64).T
    if (first >= stop).any():
        raise UnusableError("short: a clip of two seconds holds no frame")
    return np.stack([first, stop - 1], axis=1)


def resize_short_side(picture: media.Pixels) -> Floats32:
    """Return a picture (height, width, 3) with a short side of 224 pixels, from 0 to 1.

    Bilinear without antialiasing, as pytorchvideo's ``ShortSideScale`` does with tensors.
    """
    height, width = picture.shape[:2]
    if width < height:
        size = (math.floor(height / width * SIDE), SIDE)
    else:
        size = (SIDE, math.floor(width / height * SIDE))
    return interpolate_pixels(picture, 255.0, size=size, align_corners=False)


def list_crop_corners(height: int, width: int) -> list[tuple[int, int]]:
    """Return top and left of the three crops along the longer side: start, centre, end.

    >>> list_crop_corners(224, 281)
    [(0, 0), (0, 29), (0, 57)]
    """
    top, left = math.ceil((height - SIDE) / 2), math.ceil((width - SIDE) / 2)
    if height > width:
        return [(0, left), (top, left), (height - SIDE, left)]
    return [(top, 0), (top, left), (top, width - SIDE)]


def read_sound(video: Video) -> Floats32:
    """Return the first channel of the track and the mean of all channels, (2, samples), at 16 kHz.

    Resampled as by ``torchaudio.functional.resample``. Raises :class:`UnusableError` for a video
    without sound, or with silence in its first channel.
    """
    sound, rate = read_all_channels(video)
    first = check_level(sound[:, 0], "the first channel of the sound")
    channels = (first, sound.mean(axis=1, dtype=np.float64).astype(np.float32))
    return np.stack(
        [resample_sound(np.ascontiguousarray(c), rate, _RATE, "float32") for c in channels]
    )


def compute_spectra(sound: Floats32) -> Floats32:
    """Return the normalised mel spectra of three clips, (3, 1, 128, 204).

    ``sound`` (2, samples) is the first channel and the mean of all channels. As in the official
    code, the first channel is heard, the mean over samples and channels is removed from each clip
    (from samples of two clips twice), and spectra are continued with zeros before they are
    normalised. Raises :class:`UnusableError` for sound shorter than one window of 25 ms.
    """
    import torch

    remaining = sound.copy()
    spectra = []
    for start in list_clip_starts(sound.shape[1] / _RATE, AUDIO_CLIPS):
        clip = remaining[:, int(start * _RATE) : int((start + CLIP_SEC) * _RATE)]
        # Sums of NumPy are rounded in another order, which quiet bands show.
        clip -= torch.from_numpy(clip[1]).mean().item()
        bank = compute_fbank(clip[0], _RATE, _BANDS, "hanning")[:_COLUMNS]
        if not len(bank):
            raise UnusableError("short: the sound is shorter than one window of 25 ms")
        spectra.append(np.pad(bank, ((0, _COLUMNS - len(bank)), (0, 0))).T)
    normalised: Floats32 = (np.stack(spectra)[:, None] - np.float32(_MEAN)) / np.float32(_STD)
    return normalised
