"""Count and read frames of any video that FFmpeg plays, also of those that decord cannot read.

decord knows no AV1 and no H.266, and needs times in the packets, which raw streams and some
animated pictures do not have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import numpy as np

from sfqa import media, timing

#: Frames per second of streams that state no rate and no times, as in FFmpeg's demuxers.
_DEFAULT_RATE = 25.0
#: decord's rate is trusted if it gives the stated duration within this share. The rate of H.264
#: that was copied into AVI is 600, for example.
_SAME_DURATION = 0.1


def count_frames(path: Path | str) -> tuple[int, float]:
    """Return the number of frames that decode and the average frame rate (finite, above 0).

    Raises :class:`media.MediaError` if neither decord nor FFmpeg decodes a frame.
    """
    probed = media.probe(path)
    try:
        count, rate = media.frame_times(path)
        if abs(count / rate - probed.duration_sec) <= _SAME_DURATION * probed.duration_sec:
            return count, rate
        return count, timing.choose_rate(media.read_frame_times(path), rate)
    except media.MediaError as error:
        times = [frame.time for frame in _decode_frames(path)]
        if not times:
            raise media.MediaError(str(error)) from error
    stamps = sorted(time for time in times if time is not None)
    if len(stamps) == len(times) > 1 and stamps[-1] > stamps[0]:
        return len(times), (len(stamps) - 1) / (stamps[-1] - stamps[0])
    return len(times), probed.fps or _DEFAULT_RATE


def read_frames(path: Path | str, indices: Sequence[int]) -> media.Pixels:
    """Return the frames of increasing indices as uint8 RGB (n, height, width, 3).

    Raises :class:`media.MediaError` if neither decord nor FFmpeg decodes them.
    """
    try:
        return media.read_frames(path, indices)
    except media.MediaError as error:
        pictures: list[media.Pixels] = []
        for number, frame in enumerate(_decode_frames(path)):
            if number in indices:
                height, width = pictures[0].shape[:2] if pictures else (frame.height, frame.width)
                with media.translate_errors(path):
                    pictures.append(frame.to_ndarray(format="rgb24", width=width, height=height))
        if len(pictures) < len(set(indices)):
            raise media.MediaError(str(error)) from error
    return np.stack(pictures)


def _decode_frames(path: Path | str) -> Iterator[Any]:
    """Yield the frames that PyAV decodes of the stream that is presented.

    Packets that do not decode are skipped, as players do. Raises :class:`media.MediaError` after
    the last frame if the container states a number of frames and the file has fewer: it was cut
    off.
    """
    index = media.read_presentation(path).video
    with (
        suppress(av.error.FFmpegError, OSError, ValueError),
        av.open(media.to_ffmpeg_path(path)) as container,
    ):
        stream, packet_count = container.streams[index], 0
        for packet in container.demux(stream):
            packet_count += packet.size > 0
            with suppress(av.error.FFmpegError):
                yield from packet.decode()
        if packet_count < stream.frames:
            raise media.MediaError(
                f"{path} holds {packet_count} of the {stream.frames} frames it declares"
            )
