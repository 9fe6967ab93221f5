"""The folder of a method of kind ``import``, in which the user puts one video per pair."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sfqa import identity
from sfqa.errors import UserError

#: Suffixes of a video in a method's folder; messages to the user name the first one.
SUFFIXES = (".mp4", ".mov", ".webm", ".mkv")


def find_ready(folder: Path | str, sample: Mapping[str, Any]) -> Path | None:
    """Return the video that the user put into the folder for a sample, None if there is none.

    It is ``{folder}/videos/{pair_id}.mp4`` (or another of :data:`SUFFIXES`), where ``folder`` is
    ``{generators}/{label}``. Raises :class:`UserError` if several files match.
    """
    videos, name = Path(folder) / "videos", get_video_name(sample)
    matches = [path for path in (videos / f"{name}{s}" for s in SUFFIXES) if path.is_file()]
    if len(matches) > 1:
        names = ", ".join(path.name for path in matches)
        raise UserError(f"{videos}: {names} are all videos of one pair; keep one of them")
    return matches[0] if matches else None


def digest_ready(folder: Path | str) -> str:
    """Return a digest that changes when a video is added, removed or renamed.

    Only the names in ``{folder}/videos`` are read; a video that changes under its name is noticed
    by its sha256 instead.
    """
    videos = Path(folder) / "videos"
    paths = videos.iterdir() if videos.is_dir() else ()
    return identity.digest(sorted(path.name for path in paths if path.suffix in SUFFIXES))


def get_video_name(sample: Mapping[str, Any]) -> str:
    """Return the name that a sample's video has in the folder, without its suffix."""
    return str(sample.get("pair_id") or sample["sample_id"])
