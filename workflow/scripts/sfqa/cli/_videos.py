"""Which files a command line means, and the names of their rows."""

from __future__ import annotations

import glob
import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sfqa.errors import UserError, hint

#: What is taken for a video inside a folder; a file that is named outright may be called anything.
SUFFIXES = (".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi")

_UNSAFE = re.compile(r"[^\w.+-]+")
_LONGEST = 120


def find_videos(words: Sequence[str]) -> list[Path]:
    """Return the files that paths, folders (with all below them) and globs mean, each once.

    In the order of the words, those of a folder or glob sorted. Hidden files are not found by
    folders and globs. Raises :class:`UserError` for a word that leads to no file.
    """
    found: dict[Path, None] = {}
    for word in words:
        for path in _of_word(word):
            found.setdefault(path.resolve())
    return list(found)


def _of_word(word: str) -> list[Path]:
    path = Path(word).expanduser()
    if path.is_dir():
        inside = [path / name for name in _matches("**/*", path)]
        videos = [p for p in inside if p.suffix.lower() in SUFFIXES and p.is_file()]
        if not videos:
            raise UserError(
                f"{word}: no video in this folder ({', '.join(SUFFIXES)}); give a folder of videos "
                "or name the files"
            )
        return videos
    if path.exists():
        return [path]
    if glob.has_magic(word):
        files = [Path(name) for name in _matches(str(path), None) if Path(name).is_file()]
        if not files:
            raise UserError(f"{word}: no file matches this pattern; correct it")
        return files
    beside = [p.name for p in path.parent.glob("*")] if path.parent.is_dir() else []
    near = hint(path.name, beside, cutoff=0.7) if beside else ""
    raise UserError(
        f"{word}: there is no such file; "
        + (near if near.startswith("did") else "give the path of a video")
    )


def _matches(pattern: str, root: Path | None) -> list[str]:
    return sorted(glob.glob(pattern, root_dir=root, recursive=True))  # noqa: PTH207  (hidden files stay out)


def names_of(files: Sequence[Path]) -> list[str]:
    """Return a name per file: its stem, with as much of its path before it as tells it apart.

    Characters other than letters, digits and ``_.+-`` become '-'. Names differ in more than case,
    since some file systems fold it.

    >>> names_of([Path("/v/sharp/song 1.mp4"), Path("/v/late/song 1.mp4"), Path("/v/b.mp4")])
    ['sharp__song-1', 'late__song-1', 'b']
    >>> names_of([Path("/v/b.mp4"), Path("/v/b.webm")])
    ['b.mp4', 'b.webm']
    """
    tries = [0] * len(files)
    most = 2 * max((len(f.parts) for f in files), default=0)
    while True:
        names = [_name(f, number) for f, number in zip(files, tries, strict=True)]
        seen = Counter(name.casefold() for name in names)
        twice = [n for n, name in enumerate(names) if seen[name.casefold()] > 1]
        if not twice:
            return names
        if all(tries[n] > most for n in twice):
            break
        for n in twice:
            tries[n] += 1
    for n in twice:  # two paths that differ in replaced characters or in case alone
        names[n] += f"-{hashlib.sha256(str(files[n]).encode()).hexdigest()[:8]}"
    return names


def _name(path: Path, number: int) -> str:
    """The stem, the file's name, then both again with one, two, ... folders before them."""
    folders = [part for part in path.parts[:-1] if part != path.anchor]
    chosen = folders[max(0, len(folders) - number // 2) :]
    last = path.name if number % 2 else path.stem
    name = _UNSAFE.sub("-", "__".join([*chosen, last]))
    if len(name.encode()) > _LONGEST:  # other parts are added to it, and file systems end at 255
        mark = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = name.encode()[: _LONGEST - 9].decode(errors="ignore") + "-" + mark
    return name
