"""Which files may leave the machine: files with a known suffix, in folders of the dataset."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from sfqa.media_files import PICTURE_SUFFIXES, SOUND_SUFFIXES, VIDEO_SUFFIXES, has_suffix

#: Suffixes of the files that are shown to raters or copied into a site or a published dataset.
#: Other files are never handed on, whatever a table says.
SHAREABLE_SUFFIXES = VIDEO_SUFFIXES | PICTURE_SUFFIXES | SOUND_SUFFIXES


def explain_unshareable(path: Path, folders: Iterable[Path] | None = None) -> str:
    """Return why a file that a table names must not be handed on, '' if it may be.

    The file behind a link counts, not the link: its suffix must be one of
    :data:`SHAREABLE_SUFFIXES`, and it must lie in one of the ``folders``, if they are given.

    >>> explain_unshareable(Path("/etc/passwd"))
    'its name does not end as that of a video, picture or sound'
    >>> explain_unshareable(Path("/data/a.mp4"), [Path("/home")])
    'it does not exist'
    """
    try:
        target = path.resolve(strict=True)
        mode = target.stat().st_mode
    except (OSError, RuntimeError, ValueError):
        return "it does not exist"
    if not has_suffix(target, SHAREABLE_SUFFIXES):
        return "its name does not end as that of a video, picture or sound"
    if not stat.S_ISREG(mode):
        return "it is not a file"
    if folders is not None and not any(target.is_relative_to(f.resolve()) for f in folders):
        return "it lies outside of the folders of the dataset"
    return ""


def list_dataset_folders(folder: Path) -> list[Path]:
    """Return the folders whose files belong to a dataset or to a study.

    These are the folder itself and the one that the workflow runs in: the folder that contains
    ``results/``, or for a folder outside of ``results/`` the one above it. The home folder of a
    user, the root and a folder that everybody may write to (/tmp) are no such folders.

    >>> [f.as_posix() for f in list_dataset_folders(Path("/none/results/demo"))]
    ['/none/results/demo', '/none']
    >>> [f.as_posix() for f in list_dataset_folders(Path("/tmp/study"))]
    ['/tmp/study']
    """
    start = folder.absolute()
    names = start.parts
    depth = len(names) - names[::-1].index("results") - 1 if "results" in names[1:] else -1
    work_folder = Path(*names[:depth]) if depth > 0 else start.parent
    return [start, work_folder] if _is_work_folder(work_folder) else [start]


def _is_work_folder(folder: Path) -> bool:
    if folder in (Path(folder.anchor), Path("~").expanduser()):
        return False
    with suppress(OSError):
        return not folder.stat().st_mode & stat.S_IWOTH
    return True


def describe_unshareable(files: Sequence[tuple[str, str]], option: str) -> str:
    """Return a sentence about files that are not handed on, with examples and what to do.

    ``files``: path and reason of each. ``option``: the option that allows a folder.

    >>> describe_unshareable([("/etc/passwd", "it does not exist")], "--media")
    "1 file is not handed on, for example '/etc/passwd': it does not exist"
    """
    outside = [(path, reason) for path, reason in files if reason.startswith("it lies outside")]
    path, reason = (outside or list(files))[0]
    count = f"{len(files)} files are" if len(files) > 1 else "1 file is"
    text = f"{count} not handed on, for example {path[:200]!r}: {reason}"
    if not outside:
        return text
    return f"{text}; if you know these files, allow their folder by {option} {Path(path).parent}"
