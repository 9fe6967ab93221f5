"""Download one file from one address: resumed, checked by its sha256, renamed into place.

This is own code, because pooch, the library for such downloads, starts an interrupted download from
its first byte (weights have many gigabytes), follows redirects to addresses without encryption, and
reports neither progress in a log nor a full disk before it begins.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from sfqa.digests import LOG_EVERY_SEC, Digests, Log, hash_with_progress
from sfqa.errors import UserError
from sfqa.private_files import refuse_links
from sfqa.web_address import is_web_address

_CHUNK_BYTES = 1 << 20
_SHA256_DIGITS = 64
_ATTEMPTS = 4
_STALL_SEC = 60.0
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def fetch_url(
    url: str,
    sha256: str,
    target: Path,
    parts: Path,
    digests: Digests,
    attempts: int = _ATTEMPTS,
    stall_sec: float = _STALL_SEC,
    pause_sec: float = 1.0,
    size: int | None = None,
    registry: str = "the methods file",
) -> str:
    """Download an address to ``target``, through a partial file in ``parts``; return its sha256.

    ``sha256`` may be its first digits, or '' if the publisher states none; ``size`` is the stated
    number of bytes. The partial file is resumed after an interruption (HTTP ranges); without the
    whole sha256 only if the server confirms that its file is still the same (``If-Range``). If
    the server is busy, breaks off or sends nothing for ``stall_sec``, the next attempt begins after
    ``pause_sec``, which doubles each time. Raises :class:`UserError` if the address fails, or if
    its bytes have another sha256 or size or are a web page: they are then deleted. ``registry``
    names the file with the address in messages.
    """
    log = digests.log
    is_pinned = len(sha256) == _SHA256_DIGITS
    name = sha256 if is_pinned else hashlib.sha256(f"{url} {sha256}".encode()).hexdigest()
    part = parts / f"{name}.part"
    validator = None if is_pinned else parts / f"{name}.etag"
    parts.mkdir(parents=True, exist_ok=True)
    log(f"fetching {url}")
    for attempt in range(attempts):
        resumed = part.exists()
        try:
            _download_rest(url, part, log, stall_sec, validator)
        except _TemporaryError as error:
            if attempt + 1 == attempts:
                raise UserError(f"{url} cannot be fetched ({error}, {attempts} attempts)") from None
            log(f"{url}: {error}; trying again")
            time.sleep(pause_sec * 2**attempt)
            continue
        actual = hash_with_progress(part, log)
        fault = _find_fault(url, part, actual, sha256, size)
        if not fault:
            move_into_place(part, target)
            digests.add_sha256(target, actual)
            if validator is not None:
                validator.unlink(missing_ok=True)
            return actual
        part.unlink()
        # The part of an earlier call may be of another version: try once more, from the first byte.
        if not resumed or attempt + 1 == attempts:
            raise UserError(
                f"{fault}; what was fetched is deleted. Correct the url or the sha256 in "
                f"{registry}, or put the right file there by hand"
            )
    raise AssertionError("the last attempt returns or raises")


def is_web_page(beginning: bytes) -> bool:
    """Return whether a file that begins with these bytes is HTML.

    >>> is_web_page(b"\\n<!DOCTYPE html><html>"), is_web_page(b"PK")
    (True, False)
    """
    text = beginning.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return text.startswith((b"<!doctype html", b"<html"))


def _find_fault(url: str, part: Path, actual: str, sha256: str, size: int | None) -> str:
    """Return why a complete download is not the file that was asked for, '' if it is."""
    with open(part, "rb") as handle:
        beginning = handle.read(512)
    if not (beginning or sha256) and size != 0:  # repositories of generators may have empty files
        return f"{url} answers with an empty file"
    if is_web_page(beginning):
        return f"{url} answers with a web page and not with the file"
    if not actual.startswith(sha256):
        begins = "" if len(sha256) == _SHA256_DIGITS else "one that begins with "
        return f"{url} has the sha256 {actual}, not {begins}{sha256}"
    if size is not None and part.stat().st_size != size:
        return f"{url} has {part.stat().st_size} bytes, and its publisher states {size}"
    return ""


@contextmanager
def lock_folder(folder: Path, log: Log) -> Iterator[None]:
    """Hold the lock of a folder, which ends with the process; waits for another process first."""
    with open(folder / ".lock", "a", opener=refuse_links) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log(f"{folder}: another process installs there; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:
            pass  # a file system without locks: the workflow's own lock has to suffice
        yield


def move_into_place(part: Path, target: Path) -> None:
    """Rename a complete file to its target, after its bytes are on the disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(part, "rb") as handle:
        os.fsync(handle.fileno())
    part.replace(target)


def resolve_target(repo: Path, relative_path: str) -> Path:
    """Return the target of a download; raises :class:`UserError` if a link leads out of the repo.

    Nothing may be written through links that a repository contains, or into folders that users
    share.
    """
    target = repo / relative_path
    if not target.parent.resolve().is_relative_to(repo.parent.resolve()):
        raise UserError(
            f"{target} leads out of {repo.parent} ({target.parent.resolve()}); nothing is "
            "downloaded through links, so put the file there by hand"
        )
    return target


def check_free_space(folder: Path, size: int, what: str) -> None:
    """Raise :class:`UserError` if the disk of a folder cannot hold ``size`` more bytes."""
    free = shutil.disk_usage(folder).free
    if size > free:
        raise UserError(
            f"{what} needs {size / 1e9:.2f} GB, and {folder} has {free / 1e9:.2f} GB free"
        )


class _TemporaryError(Exception):
    """An error after which another attempt can succeed."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects only to addresses that the methods file may contain."""

    def redirect_request(
        self,
        req: Any,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> Any:
        if not is_web_address(newurl) or urlsplit(newurl).scheme == "file":
            raise UserError(
                f"{req.full_url} leads to {newurl[:200]}, which is not an https address"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _download_rest(
    url: str, part: Path, log: Log, stall_sec: float, validator: Path | None = None
) -> None:
    """Append to the partial file what it lacks; raises _TemporaryError or UserError.

    ``validator`` keeps the ETag of the partial file; the rest is only asked for with it.
    """
    if not is_web_address(url):
        raise UserError(f"{url} is not an https or file address; correct the url")
    local = urlsplit(url).scheme == "file"
    begin = part.stat().st_size if part.exists() and not local else 0
    etag = ""
    if validator is not None:
        with suppress(OSError):
            etag = validator.read_text(encoding="utf-8")
        begin = begin if etag else 0
    request = urllib.request.Request(url, headers={"User-Agent": "sfqa"})
    if begin:
        request.add_header("Range", f"bytes={begin}-")
        if etag:
            request.add_header("If-Range", etag)
    try:
        response = urllib.request.build_opener(_Redirects).open(request, timeout=stall_sec)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the part is complete, or its sha256 will differ
            return
        if error.code in (408, 425, 429) or error.code >= 500:
            raise _TemporaryError(f"the server says {error.code} {error.reason}") from None
        raise UserError(
            f"{url} cannot be fetched (the server says {error.code} {error.reason})"
        ) from None
    except urllib.error.URLError as error:
        if local:
            raise UserError(f"{url} cannot be read ({error.reason})") from None
        raise _TemporaryError(str(error.reason)) from None
    except (OSError, http.client.HTTPException) as error:
        raise _TemporaryError(_describe_error(error)) from None
    with response:
        span = str(response.headers.get("Content-Range", ""))
        if begin and not (response.status == 206 and span.startswith(f"bytes {begin}-")):
            begin = 0  # a server without ranges sends the whole file
        if validator is not None and not begin:
            _keep_validator(validator, str(response.headers.get("ETag", "")))
        length = response.headers.get("Content-Length")
        total = begin + int(length) if length and length.isdigit() else None
        if total:
            check_free_space(part.parent, total - begin, url)
        size = _write_body(response, part, begin, total, log)
    if total is not None and size < total:
        raise _TemporaryError(f"cut off after {size} of {total} bytes")


def _keep_validator(path: Path, etag: str) -> None:
    """Store the ETag of a download that begins; a weak one cannot resume it."""
    if etag.startswith('"'):
        with open(path, "w", encoding="utf-8", opener=refuse_links) as file:
            file.write(etag)
    else:
        path.unlink(missing_ok=True)


def _write_body(response: Any, part: Path, begin: int, total: int | None, log: Log) -> int:
    """Write a response to the partial file from byte ``begin`` on; return the size of the file."""
    size, start = begin, time.monotonic()
    logged_at = start
    with open(part, "ab" if begin else "wb", opener=refuse_links) as handle:
        while True:
            try:
                chunk = response.read(_CHUNK_BYTES)
            except (OSError, http.client.HTTPException) as error:
                raise _TemporaryError(f"{_describe_error(error)} after {size} bytes") from None
            if not chunk:
                return size
            try:
                handle.write(chunk)
                handle.flush()
            except OSError as error:
                if error.errno in _DISK_FULL:
                    raise UserError(
                        f"the disk of {part.parent} is full; free some space there"
                    ) from None
                raise
            size += len(chunk)
            now = time.monotonic()
            if now - logged_at > LOG_EVERY_SEC:
                logged_at = now
                rate = (size - begin) / (now - start)
                log(f"{response.url}: {describe_progress(size, total, rate)}")


def describe_progress(size: int, total: int | None, rate: float) -> str:
    """Return how far a download is, its rate in bytes per second, and the time left.

    >>> describe_progress(500_000_000, 2_000_000_000, 5_000_000)
    '0.50 of 2.00 GB, 5.0 MB/s, 5 min left'
    """
    if not total:
        return f"{size / 1e9:.2f} GB, {rate / 1e6:.1f} MB/s"
    seconds = (total - size) / rate if rate else float("inf")
    left = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
    left = f", {left} left" if rate else ""
    return f"{size / 1e9:.2f} of {total / 1e9:.2f} GB, {rate / 1e6:.1f} MB/s{left}"


def _describe_error(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
