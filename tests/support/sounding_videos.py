"""Small real videos whose sound is known to the sample: uncompressed, of any rate and channels."""

from __future__ import annotations

from pathlib import Path

import ffmpeg
import numpy as np
import numpy.typing as npt

from moving_blocks import draw_moving_blocks
from sfqa import media
from sfqa.features.base import Video


def make_sounding_video(
    folder: Path,
    sound: npt.NDArray[np.float32] | None,
    rate: int = 16000,
    frames: int = 150,
    height: int = 64,
    width: int = 64,
) -> Video:
    """Write a video of 25 frames per second with 16-bit sound, (samples,) or (samples, channels)."""
    folder.mkdir(parents=True, exist_ok=True)
    path, wave, picture = folder / "a.mkv", folder / "sound.wav", folder / "picture.mp4"
    media.write_video(picture, draw_moving_blocks(frames, height, width), 25.0)
    streams = [ffmpeg.input(str(picture)).video]
    if sound is not None:
        # write_wave multiplies by 32767, and a sample of 16 bits is read as one of 32768.
        media.write_wave(wave, sound * np.float32(32768 / 32767), rate)
        streams.append(ffmpeg.input(str(wave)).audio)
    coding = {"vcodec": "copy"} | ({} if sound is None else {"acodec": "pcm_s16le"})
    media.run_ffmpeg(ffmpeg.output(*streams, str(path), **coding), path)
    return Video("a", path, "0", 25.0, frames, audio_path=None if sound is None else path)
