"""Videos and pictures of a report: where they lie, one frame of each, and as part of a page."""

from __future__ import annotations

import base64
import mimetypes
import os
from pathlib import Path
from urllib.parse import quote

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


def link(target: Path, page_folder: Path) -> str:
    """Return the address of a file as seen from a page's folder, percent-coded, never absolute.

    >>> link(Path("/r/demo/conform/a #1.mp4"), Path("/r/demo/report/site"))
    '../../conform/a%20%231.mp4'
    """
    relative = os.path.relpath(target, page_folder)
    return quote(Path(relative).as_posix(), safe="/._-~()+,=@")


def data_uri(path: Path) -> str:
    """Return a file's content as an address, for a page that is one file."""
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


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
