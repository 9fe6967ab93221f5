"""Files to raters: whole or by range, under names that tell nothing."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

_TYPES = {
    ".mp4": "video/mp4", ".m4v": "video/mp4", ".webm": "video/webm", ".mov": "video/quicktime",
    ".mkv": "video/x-matroska", ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg",
    ".webp": "image/webp", ".wav": "audio/wav", ".mp3": "audio/mpeg", ".flac": "audio/flac",
    ".ogg": "audio/ogg", ".m4a": "audio/mp4",
}  # fmt: skip
_CHUNK = 512 * 1024
_RANGE = re.compile(r"(\d*)-(\d*)", re.ASCII)
#: More digits than any file's length needs; int() of a longer text costs time.
_MAX_DIGITS = 18


class UnsatisfiableError(Exception):
    """None of the asked-for ranges lies in the file."""


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the first and last byte of the first satisfiable range, None for the whole file.

    A header that is not in the grammar of RFC 9110, section 14, is ignored, as it says. Of several
    ranges the first that can be served is. Raises :class:`UnsatisfiableError` where none can be.

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
    found: list[tuple[int, int]] = []
    asked = 0
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
        asked += 1
        if not first:
            start, end = max(0, size - int(last)), size - 1
        else:
            start, end = int(first), min(int(last) if last else size - 1, size - 1)
        if start <= end:
            found.append((start, end))
    if not asked:
        return None
    if not found:
        raise UnsatisfiableError
    return found[0]


def etag(identity: str, status: os.stat_result) -> str:
    """Return the ETag of a file under an opaque id: the same file under another id has another."""
    text = f"{identity}:{status.st_size}:{status.st_mtime_ns}"
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:24]}"'


def answer(request: Request, path: Path, identity: str) -> Response:
    """Return the response for a file: 200, 206, 304 or 416; never its name or its date.

    Raises ``FileNotFoundError`` where the file has gone.
    """
    status = path.stat()
    size, tag = status.st_size, etag(identity, status)
    headers = {"accept-ranges": "bytes", "etag": tag, "cache-control": "private, no-store"}
    kind = _TYPES.get(path.suffix.lower(), "application/octet-stream")
    known = request.headers.get("if-none-match")
    if known and (known.strip() == "*" or tag in re.findall(r'"[^"]*"', known)):
        return Response(status_code=304, headers=headers)
    asked = request.headers.get("range")
    if request.headers.get("if-range", tag) != tag:
        asked = None
    try:
        part = parse_range(asked, size)
    except UnsatisfiableError:
        return Response(status_code=416, headers=headers | {"content-range": f"bytes */{size}"})
    start, end = part or (0, size - 1)
    headers["content-length"] = str(end - start + 1)
    if part:
        headers["content-range"] = f"bytes {start}-{end}/{size}"
    code = 206 if part else 200
    if request.method == "HEAD":
        return Response(status_code=code, headers=headers, media_type=kind)
    return StreamingResponse(_bytes(path, start, end), code, headers, media_type=kind)


async def _bytes(path: Path, start: int, end: int) -> AsyncIterator[bytes]:
    while start <= end:
        data = await asyncio.to_thread(_read, path, start, min(_CHUNK, end - start + 1))
        if not data:
            raise OSError("a file became shorter while it was served")
        yield data
        start += len(data)


def _read(path: Path, start: int, count: int) -> bytes:
    with open(path, "rb") as handle:
        handle.seek(start)
        return handle.read(count)
