"""Video files that a command line names, and the names of their rows."""

from __future__ import annotations

import glob
import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sfqa.errors import UserError, hint
from sfqa.media_files import (
    PICTURE_SUFFIXES,
    SOUND_SUFFIXES,
    VIDEO_SUFFIXES,
    list_files,
    match_glob,
    warn_about_unused_files,
)

_UNSAFE = re.compile(r"[^\w.+-]+")
_MAX_BYTES = 120


def find_videos(arguments: Sequence[str]) -> list[Path]:
    """Return the files that paths, folders (searched recursively) and globs name, without repeats.

    The files are in the order of the arguments; those of a folder or glob are sorted. A folder
    stands for its files with a suffix of :data:`sfqa.media_files.VIDEO_SUFFIXES`; a file that is
    named may have any suffix. Folders and globs skip hidden files and ignore the case of suffixes.
    Logs a warning that counts and names the pictures and sounds of a folder, which are left out.
    Raises :class:`UserError` for an argument that matches no file.
    """
    videos: dict[Path, None] = {}
    for argument in arguments:
        for path in _expand_argument(argument):
            videos.setdefault(path.resolve())
    return list(videos)


def _expand_argument(argument: str) -> list[Path]:
    path = Path(argument).expanduser()
    if path.is_dir():
        names = [name for name in list_files(path, VIDEO_SUFFIXES) if (path / name).is_file()]
        if not names:
            raise UserError(
                f"{argument}: no video in this folder (.mp4, .mov, .webm, ...); give a folder of "
                "videos or name the files"
            )
        other_suffixes = (PICTURE_SUFFIXES | SOUND_SUFFIXES) - VIDEO_SUFFIXES
        reason = "their names are not those of videos; name the files to measure them"
        warn_about_unused_files(argument, names, other_suffixes, reason)
        return [path / name for name in names]
    if path.exists():
        return [path]
    if glob.has_magic(argument):
        files = [Path(name) for name in match_glob(str(path)) if Path(name).is_file()]
        if not files:
            raise UserError(f"{argument}: no file matches this pattern; correct it")
        return files
    siblings = [p.name for p in path.parent.glob("*")] if path.parent.is_dir() else []
    suggestion = hint(path.name, siblings, cutoff=0.7) if siblings else ""
    raise UserError(
        f"{argument}: there is no such file; "
        + (suggestion if suggestion.startswith("did") else "give the path of a video")
    )


def name_files(files: Sequence[Path]) -> list[str]:
    """Return a unique name for each file: its stem, with leading folders if stems are equal.

    Characters other than letters, digits and ``_.+-`` become '-'. Names that differ only in case
    count as equal, because some file systems ignore case.

    >>> name_files([Path("/v/sharp/song 1.mp4"), Path("/v/late/song 1.mp4"), Path("/v/b.mp4")])
    ['sharp__song-1', 'late__song-1', 'b']
    >>> name_files([Path("/v/b.mp4"), Path("/v/b.webm")])
    ['b.mp4', 'b.webm']
    """
    levels = [0] * len(files)
    max_level = 2 * max((len(f.parts) for f in files), default=0)
    while True:
        names = [_make_name(f, level) for f, level in zip(files, levels, strict=True)]
        counts = Counter(name.casefold() for name in names)
        repeated = [n for n, name in enumerate(names) if counts[name.casefold()] > 1]
        if not repeated:
            return names
        if all(levels[n] > max_level for n in repeated):
            break
        for n in repeated:
            levels[n] += 1
    for n in repeated:  # paths that differ only in replaced characters or in case
        names[n] += f"-{hashlib.sha256(str(files[n]).encode()).hexdigest()[:8]}"
    return names


def _make_name(path: Path, level: int) -> str:
    """Return the stem (level 0), the file's name (1), then the same with 1, 2, ... folders."""
    folders = [part for part in path.parts[:-1] if part != path.anchor]
    leading = folders[max(0, len(folders) - level // 2) :]
    last = path.name if level % 2 else path.stem
    name = _UNSAFE.sub("-", "__".join([*leading, last]))
    # Other parts are added to the name, and file systems allow 255 bytes.
    if len(name.encode()) > _MAX_BYTES:
        suffix = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = name.encode()[: _MAX_BYTES - 9].decode(errors="ignore") + "-" + suffix
    return name
