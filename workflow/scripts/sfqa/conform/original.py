"""Measure a video that keeps its bytes (``mode: none``), as the extractors will read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sfqa import media, timing
from sfqa.conform import measures


class UnreadableError(media.MediaError):
    """FFmpeg plays a video that the extractors cannot read; the message says what to do."""


def measure_original(
    probed: media.Probe,
    presentation: media.Presentation,
    video: Path,
    wave: Path,
    clip: Path | None,
) -> dict[str, Any]:
    """Return :func:`measures.measure_video` of a video whose frames may have times of their own.

    ``fps`` is right where decord misreads it. Adds ``time_error_sec`` if a frame is not where the
    frame rate puts it; ``duration_sec`` then is that of the frames' times. Raises
    :class:`UnreadableError` if decord, which reads the videos for the extractors, cannot read this
    one.
    """
    try:
        measured = measures.measure_video(probed, presentation, video, wave, clip)
        times = media.read_frame_times(video)
        media.read_frames(video, [len(times) - 1])  # of some streams it cannot read the end
    except media.MediaError as error:
        raise UnreadableError(
            f"{error}. FFmpeg plays this video, but the extractors cannot read it as it is: "
            "conform it with 'conform: {mode: encode}' or sfqa without --no-conform"
        ) from error
    fps = timing.choose_rate(times, measured["fps"])
    error_sec, duration_sec = timing.measure_time_error(times, fps), measured["frames"] / fps
    if error_sec > timing.TOLERANCE_SEC:
        duration_sec = timing.compute_duration(times, fps)
        measured["time_error_sec"] = error_sec
    measured |= {"fps": fps, "duration_sec": duration_sec}
    if measured["clip_duration_sec"] is not None:
        measured["duration_difference_sec"] = duration_sec - measured["clip_duration_sec"]
    return measured
