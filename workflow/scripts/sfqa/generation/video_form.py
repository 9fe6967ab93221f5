"""The form of an imported video, compared with the form that the registry states for its method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path

from sfqa import any_video, media
from sfqa.tables import flaw

#: Increased whenever the measured form of a video can change.
VERSION = 1

#: Papers round frame rates: 23.976 is written as 24.
RATE_TOLERANCE = 0.01
#: Papers round lengths, and containers differ by a frame, which can be longer than this.
LENGTH_TOLERANCE_SEC = 0.5


@dataclass(frozen=True)
class VideoForm:
    """The displayed size of a video in pixels, its frames per second and its length in seconds."""

    width: int
    height: int
    fps: float
    seconds: float

    def as_list(self) -> list[float]:
        """Return the four numbers in order, for JSON."""
        return list(astuple(self))


def measure_form(path: Path | str) -> VideoForm:
    """Return the form of a video, rotation applied; raises :class:`media.MediaError`."""
    info = media.probe(path)
    turned = info.rotation % 180 != 0
    width, height = (info.height, info.width) if turned else (info.width, info.height)
    frames, fps = any_video.count_frames(path)
    return VideoForm(width, height, fps, frames / fps if fps > 0 else 0.0)


def describe_differences(expect: Mapping[str, float], form: VideoForm) -> str:
    """Return 'unexpected_form: sentence' with both values of everything that differs, else ''.

    ``expect`` holds any of ``width`` and ``height`` (compared exactly), ``fps`` (within 1 %) and
    ``seconds`` (within half a second or one frame, whichever is longer).

    >>> describe_differences({"width": 256, "fps": 8, "seconds": 2}, VideoForm(512, 256, 8, 2.1))
    'unexpected_form: width 512 instead of 256 pixels'
    """
    differences = []
    for name in ("width", "height"):
        expected, actual = expect.get(name), getattr(form, name)
        if expected is not None and actual != expected:
            differences.append(f"{name} {actual} instead of {expected:g} pixels")
    rate = expect.get("fps")
    if rate is not None and abs(form.fps - rate) > RATE_TOLERANCE * rate:
        differences.append(f"{form.fps:.5g} instead of {rate:g} frames per second")
    length, frame_rate = expect.get("seconds"), rate or form.fps
    if length is not None:
        frame = 1 / frame_rate if frame_rate > 0 else 0.0
        # A microsecond for rounding: 2.4 s at 10 frames per second.
        if abs(form.seconds - length) > max(LENGTH_TOLERANCE_SEC, frame) + 1e-6:
            differences.append(f"{form.seconds:.2f} instead of {length:g} s")
    return flaw("unexpected_form", ", ".join(differences)) if differences else ""
