"""Files for raters, complete or by range, under names that reveal nothing."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
import stat
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from sfqa.private_files import refuse_links

_TYPES = {
    ".mp4": "video/mp4", ".m4v": "video/mp4", ".webm": "video/webm", ".mov": "video/quicktime",
    ".mkv": "video/x-matroska", ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg",
    ".webp": "image/webp", ".wav": "audio/wav", ".mp3": "audio/mpeg", ".flac": "audio/flac",
    ".ogg": "audio/ogg", ".m4a": "audio/mp4",
}  # fmt: skip
_CHUNK = 512 * 1024
_RANGE = re.compile(r"(\d*)-(\d*)", re.ASCII)
#: Enough digits for the length of any file; int() of a longer text is slow.
_MAX_DIGITS = 18


class UnsatisfiableError(Exception):
    """None of the requested ranges lies in the file."""


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the first and last byte of the first satisfiable range, None for the complete file.

    A header that does not match the grammar of RFC 9110, section 14, is ignored, as the standard
    says. Raises :class:`UnsatisfiableError` if no range can be satisfied.

    >>> parse_range("bytes=0-9", 100), parse_range("bytes=-10", 100), parse_range("bytes=95-", 100)
    ((0, 9), (90, 99), (95, 99))
    >>> parse_range("bytes=9-0", 100), parse_range("lines=1-2", 100), parse_range(None, 100)
    (None, None, None)
    """
    if header is None:
        return None
    unit, equals, ranges = header.partition("=")
    if not equals or unit.strip().lower() != "bytes":
        return None
    satisfiable: list[tuple[int, int]] = []
    count = 0
    for part in ranges.split(","):
        word = part.strip(" \t")
        if not word:
            continue
        match = _RANGE.fullmatch(word)
        if not match or word == "-" or len(word) > 2 * _MAX_DIGITS:
            return None
        first, last = match[1], match[2]
        if first and last and int(last) < int(first):
            return None
        count += 1
        if not first:
            start, end = max(0, size - int(last)), size - 1
        else:
            start, end = int(first), min(int(last) if last else size - 1, size - 1)
        if start <= end:
            satisfiable.append((start, end))
    if not count:
        return None
    if not satisfiable:
        raise UnsatisfiableError
    return satisfiable[0]


def make_etag(identity: str, status: os.stat_result) -> str:
    """Return the ETag of a file for a presentation; it differs between presentations."""
    text = f"{identity}:{status.st_size}:{status.st_mtime_ns}"
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:24]}"'


def make_response(request: Request, path: Path, identity: str) -> Response:
    """Return the response for a file (200, 206, 304 or 416), without its name and date.

    Raises ``FileNotFoundError`` if the file does not exist any more.
    """
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise FileNotFoundError(errno.ENOENT, "it is not a file any more")
    size, tag = status.st_size, make_etag(identity, status)
    headers = {"accept-ranges": "bytes", "etag": tag, "cache-control": "private, no-store"}
    media_type = _TYPES.get(path.suffix.lower(), "application/octet-stream")
    cached = request.headers.get("if-none-match")
    if cached and (cached.strip() == "*" or tag in re.findall(r'"[^"]*"', cached)):
        return Response(status_code=304, headers=headers)
    range_header = request.headers.get("range")
    if request.headers.get("if-range", tag) != tag:
        range_header = None
    try:
        part = parse_range(range_header, size)
    except UnsatisfiableError:
        return Response(status_code=416, headers=headers | {"content-range": f"bytes */{size}"})
    start, end = part or (0, size - 1)
    headers["content-length"] = str(end - start + 1)
    if part:
        headers["content-range"] = f"bytes {start}-{end}/{size}"
    code = 206 if part else 200
    if request.method == "HEAD":
        return Response(status_code=code, headers=headers, media_type=media_type)
    return StreamingResponse(_stream_bytes(path, start, end), code, headers, media_type=media_type)


async def _stream_bytes(path: Path, start: int, end: int) -> AsyncIterator[bytes]:
    while start <= end:
        data = await asyncio.to_thread(_read_bytes, path, start, min(_CHUNK, end - start + 1))
        if not data:
            raise OSError("a file became shorter while it was served")
        yield data
        start += len(data)


def _read_bytes(path: Path, start: int, count: int) -> bytes:
    with open(path, "rb", opener=refuse_links) as handle:
        handle.seek(start)
        return handle.read(count)
