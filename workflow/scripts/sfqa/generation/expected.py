"""Whether an imported video has the form that the registry says its method gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path

from sfqa import media
from sfqa.tables import flaw

#: Raised whenever the form of a video may be measured otherwise than before.
VERSION = 1

#: Rates are written rounded: 23.976 as 24.
RATE_TOLERANCE = 0.01
#: Lengths are written rounded, and containers differ by a frame (one may last longer than this).
LENGTH_TOLERANCE_SEC = 0.5


@dataclass(frozen=True)
class Form:
    """What a video is: its size as shown in pixels, frames per second, length in seconds."""

    width: int
    height: int
    fps: float
    seconds: float

    def as_list(self) -> list[float]:
        """Return the four numbers in order, as JSON keeps them."""
        return list(astuple(self))


def measure(path: Path | str) -> Form:
    """Return the form of a video, rotation applied; raises :class:`media.MediaError`."""
    facts = media.probe(path)
    turned = facts.rotation % 180 != 0
    width, height = (facts.height, facts.width) if turned else (facts.width, facts.height)
    frames, fps = media.frame_times(path)
    return Form(width, height, fps, frames / fps if fps > 0 else 0.0)


def unexpected(expect: Mapping[str, float], form: Form) -> str:
    """Return 'unexpected_form: sentence' with both numbers of all that differs, else ''.

    ``expect`` holds any of ``width`` and ``height`` (to be met exactly), ``fps`` (within 1 %) and
    ``seconds`` (within half a second or one frame, whichever is longer).

    >>> unexpected({"width": 256, "height": 256, "fps": 8, "seconds": 2}, Form(512, 256, 8, 2.1))
    'unexpected_form: width 512 instead of 256 pixels'
    """
    found = []
    for name in ("width", "height"):
        wanted, given = expect.get(name), getattr(form, name)
        if wanted is not None and given != wanted:
            found.append(f"{name} {given} instead of {wanted:g} pixels")
    rate = expect.get("fps")
    if rate is not None and abs(form.fps - rate) > RATE_TOLERANCE * rate:
        found.append(f"{form.fps:.5g} instead of {rate:g} frames per second")
    length, frame_rate = expect.get("seconds"), rate or form.fps
    if length is not None:
        frame = 1 / frame_rate if frame_rate > 0 else 0.0
        # A microsecond for lengths that are no whole numbers: 2.4 s at 10 per second.
        if abs(form.seconds - length) > max(LENGTH_TOLERANCE_SEC, frame) + 1e-6:
            found.append(f"{form.seconds:.2f} instead of {length:g} s")
    return flaw("unexpected_form", ", ".join(found)) if found else ""
