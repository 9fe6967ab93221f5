"""Whether a video is one at all, before it is accepted: generators end well with broken ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sfqa import media
from sfqa.tables import flaw

#: Raised whenever a video may be judged otherwise than before.
VERSION = 2

#: A video needs two frames to move and half a second to be judged.
FEWEST_FRAMES = 2
SHORTEST_SEC = 0.5
#: A video longer than its clip by more holds pieces of another one (a stale work folder).
LONGER_SEC = 1.0
#: A file with fewer of the frames that its head declares was cut off.
WHOLE_SHARE = 0.95
#: A picture with a smaller side shows no face to judge.
SMALLEST_PX = 64

#: Movement is looked for in this many frames, each averaged to this many cells a side.
_LOOKS = 9
_CELLS = 32
#: In grey levels of 255. A still picture, encoded, moves no cell by more than 3 (H.264, crf 16 to
#: 40); a talking head moves some cell by 90 and more (20 published results of five generators).
FROZEN_GREY = 4.0
#: The brightest cell of a black frame; that of a dim portrait is above 100.
BLACK_GREY = 16.0

_STAMP = re.compile(r"\[\d\d:\d\d:\d\d\] \S+:\d+: (Error: )?")


def problem(
    path: Path | str,
    clip_sec: float | None = None,
    audio: bool = True,
    *,
    expected_sec: float | None = None,
    tolerance_sec: float = 1.0,
    moving: bool = False,
) -> str:
    """Return why a video cannot be accepted, as 'word: sentence', or '' where it can.

    It must exist, decode at its start, middle and end, hold sound (unless ``audio`` is False) and
    the frames that it declares, have at least 2 frames and 0.5 s, and be at most 1 s longer than
    ``clip_sec``; a video shorter than its clip is the method's defect, and to be judged.
    ``expected_sec`` is the length that the method gives: further than ``tolerance_sec`` from it is
    a failure on both sides. ``moving`` says that it must show a face that moves: at least 64
    pixels a side, neither black nor frozen.

    >>> problem("nowhere.mp4")
    'no_video: there is no file nowhere.mp4'
    """
    file = Path(path)
    if not file.is_file():
        return flaw("no_video", f"there is no file {path}")
    if file.stat().st_size == 0:
        return flaw("no_video", f"the file {path} is empty")
    try:
        found = media.probe(file)
        if not found.has_video:
            return flaw("no_picture", f"{path} holds no picture")
        if audio and not (found.has_audio and found.audio_duration_sec > 0):
            return flaw("no_audio", f"{path} holds no sound")
        count, fps = media.frame_times(file)
        looks = {0, count // 2, count - 1}
        if moving:
            looks = {round(n * (count - 1) / (_LOOKS - 1)) for n in range(_LOOKS)}
        frames = media.read_frames(file, sorted(looks) if count else [0])
    except media.MediaError as error:
        return flaw("broken", describe_media_error(error))
    # Only these formats declare a number; elsewhere it is a guess from the length.
    if file.suffix.lower() in (".mp4", ".mov", ".m4v") and count < WHOLE_SHARE * found.frames:
        return flaw("broken", f"{path} holds {count} of the {found.frames} frames it declares")
    reason = _length(path, count, fps, clip_sec, expected_sec, tolerance_sec)
    return reason or (_sight(path, frames) if moving else "")


def describe_media_error(error: media.MediaError) -> str:
    """Return the message of an error without the time and source line that decord adds.

    >>> describe_media_error(media.MediaError("a.mp4: ([11:40:00] /src/reader.cc:486: no frame)"))
    'a.mp4: (no frame)'
    """
    return _STAMP.sub("", str(error))


def clip_seconds(sample: Mapping[str, Any]) -> float | None:
    """Return the length of a sample's driving clip in seconds, None if it cannot be read."""
    try:
        return media.probe(str(sample["clip_path"])).audio_duration_sec or None
    except media.MediaError:
        return None


def _length(
    path: Path | str,
    count: int,
    fps: float,
    clip_sec: float | None,
    expected_sec: float | None,
    tolerance_sec: float,
) -> str:
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


def _sight(path: Path | str, frames: media.Pixels) -> str:
    height, width = frames.shape[1:3]
    if min(height, width) < SMALLEST_PX:
        return flaw(
            "too_small", f"{path} is {width}x{height}; {SMALLEST_PX} pixels a side are needed"
        )
    cells = np.stack([_cells(frame) for frame in frames])
    dark = cells.max(axis=(1, 2)) < BLACK_GREY
    if 2 * np.count_nonzero(dark) >= len(dark):
        return flaw(
            "black", f"{np.count_nonzero(dark)} of {len(dark)} frames looked at in {path} are black"
        )
    moved = float(np.ptp(cells, axis=0).max())
    if moved < FROZEN_GREY:
        return flaw(
            "frozen", f"nothing moves in {path}: {moved:.1f} grey levels, {FROZEN_GREY:g} needed"
        )
    return ""


def _cells(frame: media.Pixels) -> npt.NDArray[np.float32]:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    small = cv2.resize(grey, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.float32)
