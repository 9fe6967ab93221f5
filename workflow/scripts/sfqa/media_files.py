"""Which files look like videos, pictures or sounds, and which of them a run leaves out."""

from __future__ import annotations

import glob
import logging
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

#: Suffixes in lower case of files that FFmpeg plays as a video. Compare them with
#: :func:`has_suffix`, which ignores case: phones and cameras write .MP4 and .MOV.
VIDEO_SUFFIXES = frozenset(
    """.mp4 .mov .m4v .webm .mkv .avi .gif .apng .ts .mts .m2ts .m2t .mpg .mpeg .mpe .m1v .m2v .mpv
    .vob .wmv .asf .flv .f4v .ogv .ogm .3gp .3g2 .mxf .mjpg .mjpeg .mj2 .qt .divx .dv .rm .rmvb .nut
    .ivf .obu .h261 .h263 .h264 .264 .avc .h265 .265 .hevc .h266 .266 .vvc .av1 .y4m .wtv""".split()  # noqa: SIM905
)
#: Suffixes of pictures. A GIF is a picture among portraits and a video among videos.
PICTURE_SUFFIXES = frozenset(
    """.png .jpg .jpeg .jpe .jfif .webp .tif .tiff .gif .bmp .avif .heic .heif .jp2 .j2k .ppm .pgm
    .tga .psd .svg .jxl .dng""".split()  # noqa: SIM905
)
#: Suffixes of sounds. The sound of a video can be a clip, too.
SOUND_SUFFIXES = frozenset(
    """.wav .mp3 .flac .ogg .oga .opus .m4a .aac .wma .aif .aiff .aifc .amr .ac3 .mka .mp2 .w64 .caf
    .au .ape .wv .weba""".split()  # noqa: SIM905
)
#: Suffixes of raw pictures without a header: their size is stated elsewhere (``import.raw``).
RAW_SUFFIXES = frozenset({".yuv"})
#: Suffixes of archives, which have to be unpacked first.
ARCHIVE_SUFFIXES = frozenset((".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst"))
_MAX_EXAMPLES = 5

log = logging.getLogger("sfqa")


def has_suffix(name: Path | str, suffixes: Collection[str]) -> bool:
    """Return whether a file name ends with one of the suffixes, in any case.

    >>> has_suffix("IMG_0001.MP4", VIDEO_SUFFIXES), has_suffix("notes.txt", VIDEO_SUFFIXES)
    (True, False)
    """
    return PurePosixPath(name).suffix.lower() in suffixes


def list_video_suffixes(source: Mapping[str, Any]) -> frozenset[str]:
    """Return the suffixes of the videos of a section ``import``: with ``raw`` also raw ones."""
    return VIDEO_SUFFIXES | RAW_SUFFIXES if source.get("raw") else VIDEO_SUFFIXES


def match_glob(pattern: str, folder: Path | str | None = None) -> list[str]:
    """Return the sorted names that a glob matches below a folder; hidden files are left out.

    The case of the suffix at the end of the pattern is ignored: ``*.mp4`` matches a.MP4, too.
    ``**`` follows links to folders, except those that lead back to a folder above them.
    """
    ending = re.search(r"\.[A-Za-z0-9]+\Z", pattern)
    if ending:
        letters = (f"[{c.lower()}{c.upper()}]" if c.isalpha() else c for c in ending[0])
        pattern = pattern[: ending.start()] + "".join(letters)
    segments = pattern.split("/")
    if "**" not in segments:
        names = glob.iglob(pattern, root_dir=folder)  # noqa: PTH207  (leaves hidden files out)
        return sorted({PurePosixPath(name).as_posix() for name in names})
    # The glob module would follow a link that leads back to its own folder again and again.
    count = next(k for k, segment in enumerate(segments) if glob.has_magic(segment))
    prefix = "".join(f"{segment}/" for segment in segments[:count])
    start = Path(folder or "", prefix)
    outer = [parent.stat() for parent in start.resolve().parents] if start.is_dir() else []
    names = (
        prefix + name
        for name in _walk(str(start), "", tuple((s.st_dev, s.st_ino) for s in outer))
        if _matches(name.split("/"), segments[count:])
    )
    return sorted({PurePosixPath(name).as_posix() for name in names})


def list_files(folder: Path | str, suffixes: Collection[str]) -> list[str]:
    """Return the sorted names of all files below a folder with one of the suffixes, in any case."""
    # __MACOSX/ holds notes of the system that archives made on macOS bring, under the files' names.
    names = (
        name
        for name in match_glob("**/*", folder)
        if has_suffix(name, suffixes) and "__MACOSX" not in name.split("/")
    )
    return [name for name in names if not (Path(folder) / name).is_dir()]


def _walk(folder: str, prefix: str, outer: tuple[tuple[int, int], ...]) -> Iterator[str]:
    """Yield the names of the files and folders below a folder, except hidden ones.

    ``outer``: device and inode of the folders above, which no link may lead back to.
    """
    try:
        status = os.stat(folder)  # noqa: PTH116
        folder_id = (status.st_dev, status.st_ino)
        if folder_id in outer:
            log.warning("%s: the link leads to a folder above it; it is not followed", folder)
            return
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
    except FileNotFoundError:
        return
    except OSError as error:
        log.warning("%s: cannot be read (%s); its files are left out", folder, error.strerror)
        return
    for entry in visible:
        yield prefix + entry.name
        if entry.is_dir():
            yield from _walk(entry.path, f"{prefix}{entry.name}/", (*outer, folder_id))


def _matches(names: Sequence[str], segments: Sequence[str]) -> bool:
    """Return whether the parts of a path match those of a glob; ``**`` matches any number."""
    if not segments:
        return not names
    if segments[0] == "**":
        return any(_matches(names[k:], segments[1:]) for k in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], segments[0]) and _matches(names[1:], segments[1:])


def warn_about_unused_files(
    folder: Path | str, used: Iterable[str], suffixes: Collection[str], reason: str
) -> None:
    """Log how many files below a folder look usable and are not used, with examples.

    ``used``: the names, relative to the folder, of the files that are used. ``reason`` ends the
    sentence: why the others are left out, and what to do to use them.
    """
    used_names = set(used)
    _warn_about_names(
        folder, [n for n in list_files(folder, suffixes) if n not in used_names], reason
    )


def warn_about_unlisted_files(
    sheet: Path | str, listed: Iterable[Path | str], suffixes: Collection[str]
) -> None:
    """Log the files that a sheet does not list, in the folders of the files that it lists.

    Only files with one of the suffixes count; folders inside these folders are not searched.
    """
    paths = {Path(path).absolute() for path in listed}
    for folder in sorted({path.parent for path in paths}):
        names = [
            path.name
            for path in (sorted(folder.iterdir()) if folder.is_dir() else ())
            if path.absolute() not in paths
            and not path.name.startswith(".")
            and has_suffix(path, suffixes)
            and path.is_file()
        ]
        _warn_about_names(
            folder, names, f"{sheet} does not list them; add a row for each to use it"
        )


def _warn_about_names(folder: Path | str, names: list[str], reason: str) -> None:
    if names:
        more = ", ..." if len(names) > _MAX_EXAMPLES else ""
        examples = ", ".join(names[:_MAX_EXAMPLES]) + more
        count = f"{len(names)} file{'s' if len(names) > 1 else ''}"
        log.warning("%s: %s left out: %s; %s", folder, count, examples, reason)
