"""Check a video before it is accepted: a generator can exit with code 0 and a broken video."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sfqa import any_video, media
from sfqa.tables import flaw

#: Increased whenever the result of the check can change for a video.
VERSION = 3

#: A video needs two frames to move and half a second to be judged.
FEWEST_FRAMES = 2
SHORTEST_SEC = 0.5
#: A video that is longer than its clip by more than this holds parts of another one (of a working
#: folder that was not empty).
LONGER_SEC = 1.0
#: A file with a smaller share of the frames that it declares was cut off.
COMPLETE_SHARE = 0.95
#: In a picture with a smaller side a face cannot be judged.
SMALLEST_PX = 64

#: Movement is measured in this many frames, each averaged to this many cells a side.
_MOTION_FRAMES = 9
_CELLS = 32
#: In grey levels of 255. In an encoded still picture no cell changes by more than 3 (H.264, crf 16
#: to 40); in a talking head some cell changes by 90 or more (20 published results of five
#: generators).
FROZEN_GREY = 4.0
#: The brightest cell of a black frame stays below this; that of a dim portrait is above 100.
BLACK_GREY = 16.0

_STAMP = re.compile(r"\[\d\d:\d\d:\d\d\] \S+:\d+: (Error: )?")


def find_problem(
    path: Path | str,
    clip_sec: float | None = None,
    audio: bool = True,
    *,
    expected_sec: float | None = None,
    tolerance_sec: float = 1.0,
    moving: bool = False,
) -> str:
    """Return why a video cannot be accepted, as 'word: sentence'; '' if it can.

    It must exist, decode at its start, middle and end, have sound (unless ``audio`` is False), the
    frames that it declares, at least 2 frames and 0.5 s, and be at most 1 s longer than
    ``clip_sec``. A video that is shorter than its clip is accepted, because raters should see this
    defect. If ``expected_sec`` is given, the length may differ from it by ``tolerance_sec``. With
    ``moving`` the video must be at least 64 pixels a side, and neither black nor frozen.

    >>> find_problem("nowhere.mp4")
    'no_video: there is no file nowhere.mp4'
    """
    file = Path(path)
    if not file.is_file():
        return flaw("no_video", f"there is no file {path}")
    if file.stat().st_size == 0:
        return flaw("no_video", f"the file {path} is empty")
    try:
        info = media.probe(file)
        if not info.has_video:
            return flaw("no_picture", f"{path} holds no picture")
        if audio and not _has_sound(file, info):
            return flaw("no_audio", f"{path} holds no sound")
        count, fps = any_video.count_frames(file)
        numbers = {0, count // 2, count - 1}
        if moving:
            numbers = {round(n * (count - 1) / (_MOTION_FRAMES - 1)) for n in range(_MOTION_FRAMES)}
        frames = any_video.read_frames(file, sorted(numbers) if count else [0])
    except media.MediaError as error:
        return flaw("broken", describe_media_error(error))
    # Only these formats declare the number of frames; for others it is estimated from the length.
    if file.suffix.lower() in (".mp4", ".mov", ".m4v") and count < COMPLETE_SHARE * info.frames:
        return flaw("broken", f"{path} holds {count} of the {info.frames} frames it declares")
    reason = check_length(path, count, fps, clip_sec, expected_sec, tolerance_sec)
    return reason or (_check_picture(path, frames) if moving else "")


def find_sound_problem(path: Path) -> str:
    """Return why a file gives no sound, as 'word: sentence'; '' if it does."""
    try:
        has_sound = _has_sound(path, media.probe(path))
    except media.MediaError as error:
        return flaw("broken", describe_media_error(error))
    return "" if has_sound else flaw("no_audio", f"{path} holds no sound")


def _has_sound(path: Path, info: media.Probe) -> bool:
    if not info.has_audio or info.audio_duration_sec > 0:
        return info.has_audio
    sound = media.read_sound_presentation(path)  # chained Ogg, for example, states no duration
    return sound is not None and sound.channels > 0


def describe_media_error(error: media.MediaError) -> str:
    """Return the message of an error without the time and source line that decord adds.

    >>> describe_media_error(media.MediaError("a.mp4: ([11:40:00] /src/reader.cc:486: no frame)"))
    'a.mp4: (no frame)'
    """
    return _STAMP.sub("", str(error))


def read_clip_sec(sample: Mapping[str, Any]) -> float | None:
    """Return the length of a sample's driving clip in seconds, None if it cannot be read."""
    try:
        return media.probe(str(sample["clip_path"])).audio_duration_sec or None
    except media.MediaError:
        return None


def check_length(
    path: Path | str,
    count: int,
    fps: float,
    clip_sec: float | None = None,
    expected_sec: float | None = None,
    tolerance_sec: float = 1.0,
) -> str:
    """Return why ``count`` frames are too few or too many, as :func:`find_problem`; '' if not."""
    seconds = count / fps if fps > 0 else 0.0
    if count < FEWEST_FRAMES or seconds < SHORTEST_SEC:
        return flaw(
            "too_short",
            f"{path} has {count} frames and {seconds:.2f} s; {FEWEST_FRAMES} frames and "
            f"{SHORTEST_SEC:g} s are needed",
        )
    if clip_sec is not None and seconds > clip_sec + LONGER_SEC:
        return flaw("too_long", f"{path} lasts {seconds:.2f} s, its clip {clip_sec:.2f} s")
    if expected_sec is not None and abs(seconds - expected_sec) > tolerance_sec:
        word = "too_short" if seconds < expected_sec else "too_long"
        return flaw(word, f"{path} lasts {seconds:.2f} s where {expected_sec:.2f} s are expected")
    return ""


def _check_picture(path: Path | str, frames: media.Pixels) -> str:
    height, width = frames.shape[1:3]
    if min(height, width) < SMALLEST_PX:
        return flaw(
            "too_small", f"{path} is {width}x{height}; {SMALLEST_PX} pixels a side are needed"
        )
    cells = np.stack([_average_cells(frame) for frame in frames])
    dark = cells.max(axis=(1, 2)) < BLACK_GREY
    if 2 * np.count_nonzero(dark) >= len(dark):
        return flaw(
            "black", f"{np.count_nonzero(dark)} of {len(dark)} frames looked at in {path} are black"
        )
    largest_change = float(np.ptp(cells, axis=0).max())
    if largest_change < FROZEN_GREY:
        return flaw(
            "frozen",
            f"nothing moves in {path}: {largest_change:.1f} grey levels, {FROZEN_GREY:g} needed",
        )
    return ""


def _average_cells(frame: media.Pixels) -> npt.NDArray[np.float32]:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    small = cv2.resize(grey, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.float32)
