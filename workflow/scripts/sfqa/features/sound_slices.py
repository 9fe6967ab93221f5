"""Sound as alignment models read it: the video's own track, and filter banks cut into slices."""

from __future__ import annotations

import numpy as np

from sfqa import media
from sfqa.arrays import Floats32
from sfqa.features import keyframes
from sfqa.features.base import UnusableError, Video
from sfqa.features.sinc_resampling import resample_sound

#: Sound whose largest sample is smaller (-60 dBFS) is taken for silence.
_SILENCE = 1e-3
#: Largest number of a 16-bit sample plus one.
_FULL_SCALE = 32768


def read_mixed_track(video: Video, rate: int) -> media.Sound:
    """Return the track of a video as ``ffmpeg -ac 1 -ar <rate>`` writes it to a wave file.

    All channels are mixed and the samples are rounded to 16 bits. Raises :class:`UnusableError` for
    a video without sound, and for channels that cancel each other.
    """
    _check_sound(video)
    try:
        sound = media.read_audio(video.path, rate)
    except media.MediaError as error:
        raise UnusableError("broken: the sound does not decode") from error
    rounded = np.rint(sound * _FULL_SCALE).clip(-_FULL_SCALE, _FULL_SCALE - 1) / _FULL_SCALE
    mixed: media.Sound = rounded.astype(np.float32)
    if is_silence(mixed):
        read_all_channels(video)  # raises for a track that is silence as a whole
        raise UnusableError(
            f"silent: the mix of all channels at {rate} Hz is silence (below -60 dBFS)"
        )
    return mixed


def read_first_channel(video: Video, rate: int) -> media.Sound:
    """Return the first channel of a video's track, resampled as torchaudio does.

    Of stereo it is the left one, of 5.1 the front left one. Raises :class:`UnusableError` for a
    video without sound.
    """
    channels, own_rate = read_all_channels(video)
    first = resample_sound(np.ascontiguousarray(channels[:, 0]), own_rate, rate)
    return check_level(first, "the first channel of the sound")


def read_all_channels(video: Video) -> tuple[media.Sound, int]:
    """Return all channels of a video's track, (samples, channels), and its own rate.

    Raises :class:`UnusableError` for a video without sound.
    """
    _check_sound(video)
    try:
        properties = media.probe(video.path)
        sound = media.read_audio(video.path, properties.sample_rate, properties.channels)
    except media.MediaError as error:
        raise UnusableError("broken: the sound does not decode") from error
    return check_level(sound.reshape(len(sound), -1)), properties.sample_rate


def _check_sound(video: Video) -> None:
    if video.audio_path is None:
        raise UnusableError("silent: the video has no sound")


def check_level(sound: media.Sound, name: str = "the sound") -> media.Sound:
    """Return the sound; raises :class:`UnusableError`, which says ``name``, for silence."""
    if is_silence(sound):
        raise UnusableError(f"silent: {name} is silence (below -60 dBFS)")
    return sound


def is_silence(sound: media.Sound) -> bool:
    """Return whether no sample of any channel reaches -60 dBFS, or all of them stay that close.

    Sound that does not move cannot be heard, wherever it stays: a track with a constant offset.

    >>> quiet = np.array([0.0009, -0.0009], np.float32)
    >>> is_silence(quiet), is_silence(quiet[:1] + 0.5), is_silence(quiet * 2)
    (True, True, False)
    """
    if len(sound) == 0:
        return True
    return bool(np.abs(sound).max() < _SILENCE or np.ptp(sound, axis=0).max() < _SILENCE)


def cut_slices(bank: Floats32, length: int, count: int, least: int = 1) -> Floats32:
    """Return slices (count, length, bands) of a filter bank (frames, bands).

    The bank is continued with zeros to whole slices, at least ``least``. As in the official code a
    bank that already fills its slices gets an empty one, too. The middle slices of ``count`` equal
    parts are returned (:func:`keyframes.select_middles`). Raises :class:`UnusableError` for a bank
    without frames.

    >>> cut_slices(np.ones((512, 64), np.float32), 512, 2).mean(axis=(1, 2)).tolist()
    [1.0, 0.0]
    """
    if len(bank) == 0:
        raise UnusableError("short: the sound is shorter than one window of 25 ms")
    padding = max(length * least - len(bank), length - len(bank) % length)
    padded = np.pad(bank, ((0, padding), (0, 0)))
    slices = padded.reshape(-1, length, bank.shape[1])
    return slices[keyframes.select_middles(len(slices), count)]
