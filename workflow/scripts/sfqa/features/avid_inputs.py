"""What AVID-CMA sees and hears of a video: ten clips of half a second, ten spectra of two."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from PIL import Image

from sfqa import media
from sfqa.arrays import Floats32, Ints
from sfqa.features.base import UnusableError, Video
from sfqa.features.broken_videos import check_frames, describe_undecoded
from sfqa.features.frame_reader import Square
from sfqa.features.sound_slices import check_level, read_mixed_track

#: Clips of a video, and frames of a clip, which has 16 in a second.
CLIPS, FRAMES, FRAME_RATE = 10, 8, 16
#: Columns of a clip's spectrum, which has 100 in a second, and its bins.
COLUMNS, COLUMN_RATE, BINS = 200, 100, 257
_RATE, _WINDOW = 24000, 1024
_HOP = _RATE // COLUMN_RATE
#: Least power, and how many decibels below the loudest place of a video the range ends.
_LEAST_POWER, _RANGE = 1e-10, 100.0


@dataclass(frozen=True)
class PreparedClips:
    """The input of both networks.

    ``frames`` (n, 224, 224, 3), uint8, are the frames in use, ``clips`` (10, 8) those of each clip;
    ``decibels`` (columns, 257) are those of the whole video, ``starts`` the first column of each
    clip.
    """

    frames: media.Pixels
    clips: Ints
    decibels: Floats32
    starts: Ints

    def list_clips(self) -> tuple[list[media.Pixels], Ints]:
        """Return the different clips (8, 224, 224, 3), and which one each of the ten is."""
        different, places = np.unique(self.clips, axis=0, return_inverse=True)
        return [self.frames[clip] for clip in different], places.ravel()

    def list_spectra(self) -> tuple[list[Floats32], Ints]:
        """Return the different spectra (200 or fewer, 257), and which one each of the ten is."""
        different, places = np.unique(self.starts, return_inverse=True)
        return [self.decibels[start : start + COLUMNS] for start in different], places


@dataclass(frozen=True)
class ClipReader:
    """Reads the inputs of both networks; its fields are options of the extractor."""

    resize: str = "short_side"
    padding: Literal["reflect", "zeros"] = "reflect"
    square: Square = field(init=False)

    def __post_init__(self) -> None:
        square = Square(224, 256, Image.Resampling.BILINEAR, squash=self.resize == "squash")
        object.__setattr__(self, "square", square)

    def prepare(self, video: Video) -> PreparedClips:
        """Return the inputs.

        Raises :class:`UnusableError` for a video that does not decode, has no sound, or is too
        short for a row.
        """
        indices = select_clips(video)
        # The official loader divides samples of 16 bits by 32767.
        sound = read_mixed_track(video, _RATE) * np.float32(32768) / np.float32(32767)
        seconds = video.frames / video.fps
        check_level(sound[: int(seconds * _RATE)], "the sound during the pictures")
        decibels = compute_decibels(sound, seconds, self.padding)
        frame_indices, places = np.unique(indices, return_inverse=True)
        try:
            frames = media.read_frames(video.path, frame_indices.tolist(), self.square.resize)
        except (media.MediaError, ValueError) as error:
            raise describe_undecoded(video.frames) from error
        starts = list_starts(len(decibels), COLUMNS)
        return PreparedClips(frames, places.reshape(indices.shape), decibels, starts)


def list_starts(count: int, length: int) -> Ints:
    """Return where ten clips of ``length`` begin among ``count`` steps, evenly, rounded down.

    All begin at 0 if there are no more than ``length`` steps.

    >>> list_starts(96, 8).tolist()
    [0, 9, 19, 29, 39, 48, 58, 68, 78, 88]
    """
    last = max(count - length, 1) if count > length else 0
    return np.linspace(0, last, CLIPS).astype(np.int64)


def select_clips(video: Video) -> Ints:
    """Return the frames of ten clips, (10, 8), at 16 frames per second.

    The frame at time t is floor(t fps). A video with fewer than eight repeats them from the first
    one. Raises :class:`UnusableError` for a video without frames or shorter than a sixteenth of a
    second.

    >>> from pathlib import Path
    >>> select_clips(Video("a", Path(), "", 25.0, 150))[1].tolist()
    [14, 15, 17, 18, 20, 21, 23, 25]
    """
    check_frames(video)
    seconds = video.frames / video.fps
    # The official code stops half a frame before the end.
    count = min(
        math.ceil((seconds - 0.5 / video.fps) * FRAME_RATE), math.floor(seconds * FRAME_RATE)
    )
    if count < 1:
        raise UnusableError(f"short: the video lasts {seconds:.3f} s, 1/16 s is the least")
    numbers = np.floor(np.arange(count) / FRAME_RATE * video.fps).astype(np.int64)
    if video.variable_rate:
        times = media.read_frame_times(video.path)
        numbers = np.minimum(np.searchsorted(times * video.fps, numbers - 1e-6), video.frames - 1)
    steps = list_starts(count, FRAMES)[:, None] + np.arange(FRAMES)
    # Only a video with fewer frames than a clip has steps beyond its end.
    return numbers[steps % count if count < FRAMES else steps]


def compute_decibels(
    sound: media.Sound, seconds: float, padding: Literal["reflect", "zeros"] = "reflect"
) -> Floats32:
    """Return the spectrum of a video in decibels of power, (columns, 257), 100 columns per second.

    ``sound`` (samples,), at 24 kHz, is cut or continued with zeros to the length of the video.
    Windows of 1024 samples (Hann) every 240, around each column, so that the sound is continued by
    its reflection or by zeros; bins 1 to 512 are averaged in pairs. Nothing is more than 100 dB
    below the loudest place of the video.

    >>> compute_decibels(np.ones(24000, np.float32), 2.0).shape
    (200, 257)
    """
    from transformers import audio_utils

    samples = int(seconds * _RATE)
    padded = np.pad(sound[:samples], (0, max(0, samples - len(sound))))
    power = audio_utils.spectrogram(
        padded, audio_utils.window_function(_WINDOW, "hann"), _WINDOW, _HOP, _WINDOW, power=2.0,
        pad_mode="reflect" if padding == "reflect" else "constant",
    )[:, : int(seconds * COLUMN_RATE)]  # fmt: skip
    pairs = power[1:].reshape(BINS - 1, 2, -1).mean(axis=1)
    decibels = 10 * np.log10(np.maximum(np.concatenate([power[:1], pairs]), _LEAST_POWER))
    limited: Floats32 = np.maximum(decibels, decibels.max() - _RANGE).T.astype(np.float32)
    return limited
