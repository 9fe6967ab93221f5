"""Whether a video is one at all, before it is accepted: generators end well with broken ones."""

from __future__ import annotations

from pathlib import Path

from sfqa import media
from sfqa.tables import flaw

#: Raised whenever a video may be judged otherwise than before.
VERSION = 1

#: A video needs two frames to move and half a second to be judged.
FEWEST_FRAMES = 2
SHORTEST_SEC = 0.5
#: A video longer than its clip by more holds pieces of another one (a stale work folder).
LONGER_SEC = 1.0


def problem(path: Path | str, clip_sec: float | None = None, audio: bool = True) -> str:
    """Return why a video cannot be accepted, as 'word: sentence', or '' where it can.

    It must exist, decode at its start, middle and end, hold sound (unless ``audio`` is False), have
    at least 2 frames and 0.5 s, and be at most 1 s longer than ``clip_sec``. A video shorter than
    its clip is accepted: that is the method's defect, and to be judged.

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
        if audio and not found.has_audio:
            return flaw("no_audio", f"{path} holds no sound")
        count, fps = media.frame_times(file)
        media.read_frames(file, sorted({0, count // 2, count - 1}) if count else [0])
    except media.MediaError as error:
        return flaw("broken", str(error))
    seconds = count / fps if fps > 0 else 0.0
    if count < FEWEST_FRAMES or seconds < SHORTEST_SEC:
        return flaw(
            "too_short",
            f"{path} has {count} frames and {seconds:.2f} s; {FEWEST_FRAMES} frames and "
            f"{SHORTEST_SEC:g} s are needed",
        )
    if clip_sec is not None and seconds > clip_sec + LONGER_SEC:
        return flaw("too_long", f"{path} lasts {seconds:.2f} s, its clip {clip_sec:.2f} s")
    return ""
