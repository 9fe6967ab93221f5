"""The videos that a dataset's tables name: where their files lie, and one frame of each."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from sfqa import media
from sfqa.media import Pixels


def located(path: str | None, folder: Path) -> Path | None:
    """Return where a file of a table lies, for a dataset whose folder may have been moved.

    Tables name files as seen from the folder that the workflow runs in: ``results/{dataset}/...``
    is looked for below ``folder``, anything else two folders above it. None stays None.

    >>> located("results/demo/conform/a.mp4", Path("/copy/demo")).as_posix()
    '/copy/demo/conform/a.mp4'
    >>> located("resources/videos/a.mp4", Path("/x/results/demo")).as_posix()
    '/x/resources/videos/a.mp4'
    """
    if not path:
        return None
    given, folder = Path(path), Path(folder)
    if given.is_absolute():
        return given
    name = folder.absolute().name
    if given.parts[:2] == ("results", name):
        return folder / Path(*given.parts[2:])
    return folder.absolute().parents[1] / given


def thumbnail(path: Path, side: int = 160) -> Pixels | None:
    """Return a video's middle frame in a square of ``side`` pixels, None where it does not decode.

    Shape (side, side, 3), uint8 RGB; the picture keeps its shape, on black.
    """
    try:
        count, _ = media.frame_times(path)
        frame = media.read_frames(path, [count // 2])[0]
    except media.MediaError:
        return None
    scale = side / max(frame.shape[:2])
    size = (max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale)))
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    square = np.zeros((side, side, 3), np.uint8)
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = small
    return square
