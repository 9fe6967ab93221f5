"""Which ffmpeg is run: that on the PATH if it is recent enough, else the packaged one."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache

from sfqa.errors import UserError

#: Oldest supported version of FFmpeg, and the version of libavutil in it. 5.1 does not know some
#: options and describes a full disk as a damaged file. A common static build of 7.0 ends with a
#: segmentation fault on MPEG-TS.
OLDEST, _OLDEST_LIBAVUTIL = "7.1", (59, 39)
#: Prints of the program that has the encoder of the videos. LGPL builds do not have it.
_ENCODER = "--enable-libx264"

log = logging.getLogger("sfqa")


@dataclass(frozen=True)
class FfmpegProgram:
    """The ffmpeg to run: its path, and why another one is not used ('' if there is no other)."""

    path: str
    reason: str = ""


@cache
def find_ffmpeg() -> FfmpegProgram:
    """Return the ffmpeg on the PATH, or the binary of the package imageio-ffmpeg.

    The latter is used if the PATH has none, or one that is older than :data:`OLDEST` or has no
    x264; the first call then logs the reason. Raises :class:`UserError` if neither can be used.
    """
    on_path = shutil.which("ffmpeg")
    problem = describe_problem(on_path) if on_path else "there is no ffmpeg on the PATH"
    if on_path and not problem:
        return FfmpegProgram(on_path)
    packaged = _find_packaged()
    packaged_problem = describe_problem(packaged) if packaged else "imageio-ffmpeg has no binary"
    if packaged and not packaged_problem:
        reason = f"{problem}; the binary of imageio-ffmpeg is used: {packaged}" if on_path else ""
        if reason:
            log.info("%s", reason)
        return FfmpegProgram(packaged, reason)
    raise UserError(
        f"{problem}, and {packaged_problem}; install FFmpeg {OLDEST} or newer with x264, or "
        "imageio-ffmpeg from a wheel"
    )


def describe_problem(program: str) -> str:
    """Return why an ffmpeg cannot be used, as a sentence that names it; '' if it can."""
    try:
        completed = subprocess.run(
            [program, "-version"],
            capture_output=True, text=True, errors="replace", timeout=60, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{program} does not run ({type(error).__name__})"
    # Builds of a development branch have no version, but every build prints that of its libraries.
    library = re.search(r"^libavutil\s+(\d+)\.\s*(\d+)\.", completed.stdout, re.MULTILINE)
    if completed.returncode != 0 or library is None:
        return f"{program} is no ffmpeg that runs"
    version = completed.stdout.partition("\n")[0].removeprefix("ffmpeg version ")
    version = version.partition(" Copyright")[0]
    if (int(library[1]), int(library[2])) < _OLDEST_LIBAVUTIL:
        return f"{program} is FFmpeg {version}, older than {OLDEST}, the oldest that is supported"
    if _ENCODER not in completed.stdout:
        return f"{program}, FFmpeg {version}, has no x264 (it is not built with {_ENCODER})"
    return ""


def _find_packaged() -> str | None:
    import imageio_ffmpeg

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:
        return None
