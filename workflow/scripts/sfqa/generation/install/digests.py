"""sha256 of large files, kept beside them, so that a second look hashes only what changed."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from sfqa.errors import UserError
from sfqa.store import replacing

Say = Callable[[str], None]
_CHUNK = 1 << 22
_QUIET_SEC = 10.0
_LARGE = 100_000_000
# Caches that downloaders and Python leave beside weights; they are no part of them.
_NOT_CONTENT = (".git", ".cache", "__pycache__")


class Digests:
    """The sha256 of files below a folder, by path, size and both times of change.

    A damaged sidecar is no error: its files are hashed again.
    """

    def __init__(self, folder: Path, say: Say) -> None:
        self.folder = folder
        self.say = say
        self.sidecar = folder / "weights.sha256.json"
        self.hashed = 0  # files read in full by this object
        self._known: dict[str, list[int | str]] = {}
        try:
            stored = json.loads(self.sidecar.read_text(encoding="utf-8"))
            for name, row in stored.items():
                if isinstance(row, list) and len(row) == 4 and len(str(row[3])) == 64:
                    self._known[name] = row
        except (OSError, ValueError, AttributeError):
            pass

    def of(self, path: Path) -> str:
        """Return a file's sha256; raise :class:`UserError` for one that changes meanwhile."""
        name, state = self._name(path), _state(path)
        row = self._known.get(name)
        if row is not None and row[:3] == state:
            return str(row[3])
        found = sha256_told(path, self.say)
        self.hashed += 1
        if _state(path) != state:
            raise UserError(f"{path} changes while it is read; run again when it is complete")
        self._known[name] = [*state, found]
        if int(state[0]) > _LARGE:
            self.save()
        return found

    def learn(self, path: Path, sha256: str) -> None:
        """Note a file whose digest was found before it was moved here."""
        self._known[self._name(path)] = [*_state(path), sha256]

    def save(self, only: Iterable[Path] | None = None) -> None:
        """Write the sidecar, whole; with ``only``, forget all other files."""
        if only is not None:
            names = {self._name(path) for path in only}
            self._known = {name: row for name, row in self._known.items() if name in names}
        text = json.dumps(self._known, indent=1, sort_keys=True, ensure_ascii=False)
        with replacing(self.sidecar) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def sha256_told(path: Path, say: Say) -> str:
    """Return a file's sha256, telling progress and GB/s where it takes long."""
    size, start = path.stat().st_size, time.monotonic()
    said, done, found = start, 0, hashlib.sha256()
    with open(path, "rb") as handle:
        while chunk := handle.read(_CHUNK):
            found.update(chunk)
            done += len(chunk)
            now = time.monotonic()
            if now - said > _QUIET_SEC:
                said = now
                speed = done / (now - start) / 1e9
                of = f"{done / 1e9:.1f} of {size / 1e9:.1f} GB"
                say(f"sha256 of {path.name}: {of}, {speed:.2f} GB/s")
    return found.hexdigest()


def regular_files(path: Path) -> Iterator[Path]:
    """Give the files at or below a path in the order of their names, links followed once.

    Caches of git, Python and the hub's downloader are left out.
    """
    if path.is_file():
        yield path
    elif path.is_dir():
        yield from _below(path, ())


def _below(folder: Path, above: tuple[tuple[int, int], ...]) -> Iterator[Path]:
    here = folder.stat()
    identity = (here.st_dev, here.st_ino)
    if identity in above:  # a link to a folder above it
        return
    for path in sorted(folder.iterdir()):
        if path.is_file():
            yield path
        elif path.is_dir() and path.name not in _NOT_CONTENT:
            yield from _below(path, (*above, identity))


def _state(path: Path) -> list[int | str]:
    # the time of any change as well: copies that keep the time of change may hold other bytes
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
