"""Videos that a dataset's tables name: where their files are, and one frame of each."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from sfqa import media
from sfqa.media import Pixels


def locate_file(path: str | None, folder: Path) -> Path | None:
    """Return the location of a file that a table names, even if the dataset's folder was moved.

    Tables store paths relative to the folder that the workflow runs in. A path that starts with
    ``results/{dataset}/`` is looked up inside ``folder``, any other relative path two levels above
    it. An absolute path is returned unchanged, an empty one as None.

    >>> locate_file("results/demo/conform/a.mp4", Path("/copy/demo")).as_posix()
    '/copy/demo/conform/a.mp4'
    >>> locate_file("resources/videos/a.mp4", Path("/x/results/demo")).as_posix()
    '/x/resources/videos/a.mp4'
    """
    if not path:
        return None
    table_path, folder = Path(path), Path(folder)
    if table_path.is_absolute():
        return table_path
    dataset = folder.absolute().name
    if table_path.parts[:2] == ("results", dataset):
        return folder / Path(*table_path.parts[2:])
    return folder.absolute().parents[1] / table_path


def read_thumbnail(path: Path, side: int = 160) -> Pixels | None:
    """Return a video's middle frame as a square of ``side`` pixels, None if it cannot be decoded.

    The result is uint8 RGB of shape (side, side, 3). The frame keeps its aspect ratio; the rest of
    the square is black.
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
