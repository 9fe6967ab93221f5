"""The folder of a method of kind ``import``, in which the user puts one video per pair."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sfqa import identity
from sfqa.errors import UserError
from sfqa.media_files import VIDEO_SUFFIXES, has_suffix, warn_about_unused_files

#: Suffixes that messages to the user name. Every video suffix is accepted, in any case.
SUFFIXES = (".mp4", ".mov", ".webm", ".mkv")

#: The videos of a method's folder by their names without suffix.
ReadyVideos = Mapping[str, Sequence[Path]]


def list_ready(folder: Path | str) -> ReadyVideos:
    """Return the videos that the user put into ``{folder}/videos``, by their names without suffix.

    ``folder`` is ``{generators}/{label}``. Files with a suffix of
    :data:`sfqa.media_files.VIDEO_SUFFIXES` are videos, in any case.
    """
    videos: dict[str, list[Path]] = {}
    for path in _list_videos(folder):
        if path.is_file():
            videos.setdefault(path.stem, []).append(path)
    return videos


def find_ready(videos: ReadyVideos, sample: Mapping[str, Any]) -> Path | None:
    """Return the video of a sample, ``{pair_id}.mp4`` (or another suffix), None if there is none.

    Raises :class:`UserError` if several files match.
    """
    matches = videos.get(get_video_name(sample), ())
    if len(matches) > 1:
        names = ", ".join(path.name for path in matches)
        raise UserError(
            f"{matches[0].parent}: {names} are all videos of one pair; keep one of them"
        )
    return matches[0] if matches else None


def warn_about_unused_videos(folder: Path | str, samples: Iterable[Mapping[str, Any]]) -> None:
    """Log the videos in ``{folder}/videos`` that are of none of a method's samples."""
    names = {get_video_name(sample) for sample in samples}
    used = [path.name for path in _list_videos(folder) if path.stem in names]
    reason = "no pair has their names; name each after its pair ({pair_id}.mp4) to use it"
    warn_about_unused_files(Path(folder) / "videos", used, VIDEO_SUFFIXES, reason)


def _list_videos(folder: Path | str) -> list[Path]:
    videos = Path(folder) / "videos"
    paths = sorted(videos.iterdir()) if videos.is_dir() else []
    return [path for path in paths if has_suffix(path, VIDEO_SUFFIXES)]


def digest_ready(folder: Path | str) -> str:
    """Return a digest that changes when a video is added, removed or renamed.

    Only the names in ``{folder}/videos`` are read; a video that changes under its name is noticed
    by its sha256 instead.
    """
    return identity.digest([path.name for path in _list_videos(folder)])


def get_video_name(sample: Mapping[str, Any]) -> str:
    """Return the name that a sample's video has in the folder, without its suffix."""
    return str(sample.get("pair_id") or sample["sample_id"])
