"""What Qwen2.5-Omni sees and hears of a video; read without the network and its libraries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sfqa import media
from sfqa.arrays import Floats32
from sfqa.errors import format_count
from sfqa.features.base import UnusableError, Video
from sfqa.features.broken_videos import describe_undecoded

#: Samples per second of the sound that the model hears, and the seconds that it hears at most.
SAMPLE_RATE, HEARD_SECONDS = 16_000, 300
# The shortest sound that gives the model a token, in seconds.
_SHORTEST = 0.04
#: Sound whose largest sample is smaller (-60 dBFS) is taken for silence.
_SILENCE = 1e-3


@dataclass(frozen=True)
class VideoWithSound:
    """Frames (n, height, width, 3), sound (samples,) at 16 kHz if there is some, and notes."""

    frames: media.Pixels
    sound: Floats32 | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reader:
    """Reads the frames that the model sees and all of the sound."""

    fps: float

    def prepare(self, video: Video) -> VideoWithSound:
        """Return frames and sound; raises :class:`UnusableError` if they do not decode."""
        if video.frames < 2 or not video.fps > 0:
            frames_text = format_count(video.frames, "frame")
            raise UnusableError(
                f"short: the video has {frames_text} at {video.fps:g} per second, and the model "
                "needs two"
            )
        indices = list_frames(video.frames, video.fps, self.fps).tolist()
        try:
            frames = media.read_frames(video.path, indices)
        except media.MediaError as error:
            raise describe_undecoded(video.frames) from error
        if video.audio_path is None:
            note = "silent: the video has no sound, so the model saw the picture alone"
            return VideoWithSound(frames, None, (note,))
        try:
            sound = media.read_audio(video.audio_path, SAMPLE_RATE)
        except media.MediaError as error:
            raise UnusableError("broken: the sound does not decode") from error
        seconds = len(sound) / SAMPLE_RATE
        if seconds < _SHORTEST:
            raise UnusableError(f"short: the sound lasts {seconds:.3f} s, .04 s is the least")
        notes = []
        if np.abs(sound).max() < _SILENCE:
            notes.append(
                "silent: the sound is silence (below -60 dBFS) with all channels mixed, as the "
                "model heard it"
            )
        if seconds > HEARD_SECONDS:
            notes.append(
                f"sound_cut: the sound lasts {seconds:.0f} s, the model heard {HEARD_SECONDS} s"
            )
        return VideoWithSound(frames, sound, tuple(notes))


def list_frames(frames: int, fps: float, frames_per_second: float) -> npt.NDArray[np.int64]:
    """Return the frames that the model sees: an even number, evenly spaced from the first one.

    There are ``frames_per_second`` of them, at least 4 and at most 768 if the video has as many.
    Raises ``ValueError`` for a video of fewer than 2 frames.

    >>> list_frames(100, 25.0, 2.0).tolist()
    [0, 12, 25, 37, 50, 62, 75, 87]
    """
    if frames < 2:
        raise ValueError(f"{frames} frames are too few")
    count = min(max(frames / fps * frames_per_second, 4), 768 // 2 * 2, frames // 2 * 2)
    step = frames / (int(count // 2) * 2)
    numbers = np.arange(int(np.ceil(frames / step)), dtype=np.float64) * step
    return numbers.astype(np.float32).astype(np.int64)  # rounded as torch.arange does
