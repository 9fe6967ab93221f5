"""The sha256 of large files, stored beside them, so that only changed files are hashed again."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from sfqa.errors import UserError
from sfqa.store import replacing
from sfqa.untrusted.documents import read_json

#: Receives each line of progress.
Log = Callable[[str], None]
#: Seconds between two lines of progress.
LOG_EVERY_SEC = 10.0

_CHUNK_BYTES = 1 << 22
_LARGE_BYTES = 100_000_000
# Caches that downloaders and Python leave beside weights; they are not part of them.
_CACHE_FOLDERS = (".git", ".cache", "__pycache__")


class Digests:
    """The sha256 of files, stored by path, size and both times of change.

    The paths of files below ``folder`` are stored relative to it, so that it can be moved.

    A damaged table of digests is no error: its files are hashed again. ``hashed`` counts the files
    that this object read.
    """

    def __init__(self, folder: Path, log: Log) -> None:
        self.folder = folder
        self.log = log
        self.table = folder / "weights.sha256.json"
        self.hashed = 0
        self._rows: dict[str, list[int | str]] = {}
        try:
            stored = read_json(self.table)
            for name, row in stored.items():
                if isinstance(row, list) and len(row) == 4 and len(str(row[3])) == 64:
                    self._rows[name] = row
        except (OSError, ValueError, AttributeError):
            pass

    def get_sha256(self, path: Path) -> str:
        """Return a file's sha256; raises :class:`UserError` if the file changes meanwhile."""
        name, state = self._relative_name(path), _read_state(path)
        row = self._rows.get(name)
        if row is not None and row[:3] == state:
            return str(row[3])
        sha256 = hash_with_progress(path, self.log)
        self.hashed += 1
        if _read_state(path) != state:
            raise UserError(f"{path} changes while it is read; run again when it is complete")
        self._rows[name] = [*state, sha256]
        if int(state[0]) > _LARGE_BYTES:
            self.save_if_possible()
        return sha256

    def add_sha256(self, path: Path, sha256: str) -> None:
        """Store the digest of a file that was hashed before it was moved here."""
        self._rows[self._relative_name(path)] = [*_read_state(path), sha256]

    def save(self, only: Iterable[Path] | None = None) -> None:
        """Write the table of digests atomically; with ``only``, drop all other files from it."""
        if only is not None:
            names = {self._relative_name(path) for path in only}
            self._rows = {name: row for name, row in self._rows.items() if name in names}
        text = json.dumps(self._rows, indent=1, sort_keys=True, ensure_ascii=False)
        with replacing(self.table) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")

    def save_if_possible(self) -> None:
        """Write the table of digests, unless the folder can only be read, as in a dry run.

        What is not written is hashed again by the next call.
        """
        with suppress(OSError, UserError):
            self.folder.mkdir(parents=True, exist_ok=True)
            self.save()

    def _relative_name(self, path: Path) -> str:
        if path.is_relative_to(self.folder):
            return path.relative_to(self.folder).as_posix()
        return path.absolute().as_posix()


def hash_with_progress(path: Path, log: Log) -> str:
    """Return a file's sha256; logs the progress of large files in GB and GB/s."""
    size, start = path.stat().st_size, time.monotonic()
    logged_at, done_bytes, sha256 = start, 0, hashlib.sha256()
    with open(path, "rb") as handle:
        while chunk := handle.read(_CHUNK_BYTES):
            sha256.update(chunk)
            done_bytes += len(chunk)
            now = time.monotonic()
            if now - logged_at > LOG_EVERY_SEC:
                logged_at = now
                rate = done_bytes / (now - start) / 1e9
                progress = f"{done_bytes / 1e9:.1f} of {size / 1e9:.1f} GB"
                log(f"sha256 of {path.name}: {progress}, {rate:.2f} GB/s")
    return sha256.hexdigest()


def iterate_files(path: Path) -> Iterator[Path]:
    """Yield the files at or below a path, sorted by name; links are followed once.

    Caches of git, Python and the hub's downloader are left out.
    """
    if path.is_file():
        yield path
    elif path.is_dir():
        yield from _walk_folder(path, ())


def _walk_folder(folder: Path, parents: tuple[tuple[int, int], ...]) -> Iterator[Path]:
    stat = folder.stat()
    identity = (stat.st_dev, stat.st_ino)
    if identity in parents:  # a link to a folder above it
        return
    for path in sorted(folder.iterdir()):
        if path.is_file():
            yield path
        elif path.is_dir() and path.name not in _CACHE_FOLDERS:
            yield from _walk_folder(path, (*parents, identity))


def _read_state(path: Path) -> list[int | str]:
    # The time of any change as well: a copy that keeps the modification time can differ.
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
