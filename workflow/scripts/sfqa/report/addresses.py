"""Addresses of videos and pictures on a page: relative links, or the content of the file."""

from __future__ import annotations

import base64
import mimetypes
import os
from pathlib import Path
from urllib.parse import quote


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
