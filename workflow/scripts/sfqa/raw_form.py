"""The form of raw video, which its file does not state: size, frame rate, pixel format, sound."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from sfqa.errors import UserError, hint

#: Increased whenever the joined picture and sound of a raw video can change.
VERSION = 1

#: Planar pixel formats: horizontal and vertical subsampling of the two chroma planes (None: no
#: chroma), and bytes per value.
_PLANAR: dict[str, tuple[int, int, int] | tuple[None, None, int]] = {
    "yuv420p": (2, 2, 1), "yuv422p": (2, 1, 1), "yuv444p": (1, 1, 1), "nv12": (2, 2, 1),
    "nv21": (2, 2, 1), "yuv420p10le": (2, 2, 2), "yuv422p10le": (2, 1, 2), "yuv444p10le": (1, 1, 2),
    "yuv420p12le": (2, 2, 2), "gray": (None, None, 1), "gray10le": (None, None, 2),
}  # fmt: skip
#: Packed pixel formats: pixels in a unit, and bytes of the unit.
_PACKED = {"uyvy422": (2, 4), "yuyv422": (2, 4), "rgb24": (1, 3), "bgr24": (1, 3), "rgba": (1, 4)}
PIXEL_FORMATS = (*_PLANAR, *_PACKED)
_MAX_SIDE = 16384
_MAX_FPS = 1000


@dataclass(frozen=True)
class RawForm:
    """Size in pixels, frames per second as text (``25``, ``30000/1001``), pixel format of FFmpeg.

    ``sound``: path of the file with the sound, None without sound. ``frames``: how many frames the
    file must have, None if any number is right.
    """

    width: int
    height: int
    fps: str
    pixel_format: str
    sound: str | None = None
    frames: int | None = None

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame.

        >>> RawForm(1920, 1080, "25", "yuv420p").frame_bytes
        3110400
        """
        if self.pixel_format in _PACKED:
            pixels, size = _PACKED[self.pixel_format]
            return -(-self.width // pixels) * size * self.height
        across, down, size = _PLANAR[self.pixel_format]
        chroma = 0
        if across is not None and down is not None:
            chroma = 2 * -(-self.width // across) * -(-self.height // down)
        return (self.width * self.height + chroma) * size

    def to_json(self) -> str:
        """Return the form as a JSON object."""
        return json.dumps(asdict(self), sort_keys=True)

    def describe(self) -> str:
        """Return size and pixel format in words."""
        return f"{self.width}x{self.height} {self.pixel_format}"


def parse_json(text: str) -> RawForm:
    """Return the form in a JSON object of :meth:`RawForm.to_json`."""
    return RawForm(**json.loads(text))


def parse_form(values: dict[str, Any], where: str) -> RawForm:
    """Return the form that texts or numbers state, checked; ``where`` begins messages.

    >>> parse_form({"width": "64", "height": 48, "fps": 29.97, "pixel_format": "gray"}, "").fps
    '29.97'
    """
    sides = {}
    for name in ("width", "height"):
        text = str(values[name]).strip()
        if not text.isdecimal() or not 2 <= int(text) <= _MAX_SIDE:
            raise UserError(
                f"{where}, {name}: {text!r}; write a whole number of pixels from 2 to {_MAX_SIDE}"
            )
        sides[name] = int(text)
    fps = str(values["fps"]).strip()
    try:
        is_valid = 0 < Fraction(fps) <= _MAX_FPS
    except (ValueError, ZeroDivisionError):
        is_valid = False
    if not is_valid:
        raise UserError(
            f"{where}, fps: {fps!r}; write frames per second up to {_MAX_FPS}, such as 25 or "
            "30000/1001"
        )
    pixel_format = str(values["pixel_format"]).strip().lower()
    if pixel_format not in PIXEL_FORMATS:
        raise UserError(
            f"{where}, pixel_format: {pixel_format!r} is not read; "
            f"{hint(pixel_format, PIXEL_FORMATS, cutoff=0.8)}"
        )
    sound, frames = values.get("audio"), str(values.get("frames") or "").strip()
    if frames and not frames.isdecimal():
        raise UserError(f"{where}, frames: {frames!r}; write the number of frames, or leave it out")
    return RawForm(
        sides["width"],
        sides["height"],
        fps,
        pixel_format,
        str(sound) if sound else None,
        int(frames) if frames else None,
    )


def check_raw(raw: Mapping[str, Any]) -> None:
    """Raise :class:`UserError` for impossible values of ``import.raw`` that are no templates."""
    example = {"width": 64, "height": 64, "fps": 25, "pixel_format": "yuv420p"}
    values = {name: value for name, value in raw.items() if "{" not in str(value)}
    parse_form(example | values, "config, import.raw")
