"""URLs of videos and pictures on a page: relative links, or the content of the file."""

from __future__ import annotations

import base64
import mimetypes
import os
from pathlib import Path
from urllib.parse import quote


def relative_url(target: Path, page_folder: Path) -> str:
    """Return a file's percent-encoded URL relative to the folder of a page.

    >>> relative_url(Path("/r/demo/conform/a #1.mp4"), Path("/r/demo/report/site"))
    '../../conform/a%20%231.mp4'
    """
    relative = os.path.relpath(target, page_folder)
    return quote(Path(relative).as_posix(), safe="/._-~()+,=@")


def encode_data_url(path: Path) -> str:
    """Return a file's content as a ``data:`` URL, for a page that is a single file."""
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{media_type};base64,{base64.b64encode(path.read_bytes()).decode()}"
