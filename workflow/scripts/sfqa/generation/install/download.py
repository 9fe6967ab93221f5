"""Download one file from one address: resumed, checked by its sha256, renamed into place.

This is own code, because pooch, the library for such downloads, starts an interrupted download from
its first byte (weights have many gigabytes), follows redirects to addresses without encryption, and
reports neither progress in a log nor a full disk before it begins.
"""

from __future__ import annotations

import errno
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from sfqa.errors import UserError
from sfqa.generation.install.digests import Digests, sha256_told
from sfqa.generation.install.sources import is_web_address
from sfqa.generation.install.tools import Say

_CHUNK = 1 << 20
_QUIET_SEC = 10.0
_ATTEMPTS = 4
_STALL_SEC = 60.0
_FULL = (errno.ENOSPC, errno.EDQUOT)


def fetch_url(
    url: str,
    sha256: str,
    target: Path,
    parts: Path,
    digests: Digests,
    attempts: int = _ATTEMPTS,
    stall_sec: float = _STALL_SEC,
    pause_sec: float = 1.0,
) -> None:
    """Fetch an address into ``target``, by way of a part file in ``parts`` named by its sha256.

    What an interrupted call left is continued (HTTP ranges). A stalled, cut or busy connection is
    tried again after ``pause_sec``, twice as long each time. Raises :class:`UserError` for an
    address that fails and for bytes of another sha256, which are deleted.
    """
    say = digests.say
    part = parts / f"{sha256}.part"
    parts.mkdir(parents=True, exist_ok=True)
    say(f"fetching {url}")
    for attempt in range(attempts):
        resumed = part.exists()
        try:
            _stream(url, part, say, stall_sec)
        except _PassingError as error:
            if attempt + 1 == attempts:
                raise UserError(f"{url} cannot be fetched ({error}, {attempts} attempts)") from None
            say(f"{url}: {error}; trying again")
            time.sleep(pause_sec * 2**attempt)
            continue
        found = sha256_told(part, say)
        if found == sha256:
            move_into_place(part, target)
            digests.learn(target, sha256)
            return
        part.unlink()
        # What an earlier call left may be of another version: once more, from its start.
        if not resumed or attempt + 1 == attempts:
            raise UserError(
                f"{url} has the sha256 {found}, not {sha256}; what was fetched is deleted. Correct "
                "the url or the sha256 in the methods file, or put the right file there by hand"
            )


def move_into_place(part: Path, target: Path) -> None:
    """Rename a complete file onto its place, its bytes on the disk first."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(part, "rb") as handle:
        os.fsync(handle.fileno())
    part.replace(target)


def place(repo: Path, inside: str) -> Path:
    """Return where a download goes; raise :class:`UserError` where a link leads out of the repo.

    The rule must not write through links that a repository brings along, or into folders that
    other users share.
    """
    target = repo / inside
    if not target.parent.resolve().is_relative_to(repo.parent.resolve()):
        raise UserError(
            f"{target} leads out of {repo.parent} ({target.parent.resolve()}); nothing is "
            "downloaded through links, so put the file there by hand"
        )
    return target


def need_space(folder: Path, size: int, what: str) -> None:
    """Raise :class:`UserError` where the disk cannot hold ``size`` bytes more."""
    free = shutil.disk_usage(folder).free
    if size > free:
        raise UserError(
            f"{what} needs {size / 1e9:.2f} GB, and {folder} has {free / 1e9:.2f} GB free"
        )


class _PassingError(Exception):
    """A fault that may pass: another attempt is worth it."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects to addresses that could have been given themselves, and no others."""

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
            raise UserError(f"{req.full_url} leads to {newurl[:200]}, which is no https address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _stream(url: str, part: Path, say: Say, stall_sec: float) -> None:
    if not is_web_address(url):
        raise UserError(f"{url} is no https or file address; correct the url")
    local = urlsplit(url).scheme == "file"
    begin = part.stat().st_size if part.exists() and not local else 0
    request = urllib.request.Request(url, headers={"User-Agent": "sfqa"})
    if begin:
        request.add_header("Range", f"bytes={begin}-")
    try:
        response = urllib.request.build_opener(_Redirects).open(request, timeout=stall_sec)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the part is complete already, or its sha256 will tell
            return
        if error.code in (408, 425, 429) or error.code >= 500:
            raise _PassingError(f"the server says {error.code} {error.reason}") from None
        raise UserError(
            f"{url} cannot be fetched (the server says {error.code} {error.reason})"
        ) from None
    except urllib.error.URLError as error:
        if local:
            raise UserError(f"{url} cannot be read ({error.reason})") from None
        raise _PassingError(str(error.reason)) from None
    except (OSError, http.client.HTTPException) as error:
        raise _PassingError(_words(error)) from None
    with response:
        span = str(response.headers.get("Content-Range", ""))
        if begin and not (response.status == 206 and span.startswith(f"bytes {begin}-")):
            begin = 0  # a server without ranges sends all of it
        length = response.headers.get("Content-Length")
        total = begin + int(length) if length and length.isdigit() else None
        if total:
            need_space(part.parent, total - begin, url)
        done = _write(response, part, begin, total, say)
    if total is not None and done < total:
        raise _PassingError(f"cut off after {done} of {total} bytes")


def _write(response: Any, part: Path, begin: int, total: int | None, say: Say) -> int:
    done, start = begin, time.monotonic()
    said = start
    with open(part, "ab" if begin else "wb") as handle:
        while True:
            try:
                chunk = response.read(_CHUNK)
            except (OSError, http.client.HTTPException) as error:
                raise _PassingError(f"{_words(error)} after {done} bytes") from None
            if not chunk:
                return done
            try:
                handle.write(chunk)
                handle.flush()
            except OSError as error:
                if error.errno in _FULL:
                    raise UserError(f"the disk of {part.parent} is full; make room there") from None
                raise
            done += len(chunk)
            now = time.monotonic()
            if now - said > _QUIET_SEC:
                said = now
                of = f" of {total / 1e9:.2f}" if total else ""
                say(
                    f"{response.url}: {done / 1e9:.2f}{of} GB, "
                    f"{(done - begin) / (now - start) / 1e6:.1f} MB/s"
                )


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
