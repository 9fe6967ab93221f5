"""Check a published folder by its checksums, and give its configuration the paths of its place."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sfqa.errors import UserError
from sfqa.identity import sha256_file
from sfqa.publishing.configuration import CONFIG_FILE, SHEET_FILE, move_config, read_config
from sfqa.publishing.folder import CHECKSUM_FILE
from sfqa.untrusted import limits
from sfqa.untrusted.archives import leads_outside
from sfqa.untrusted.documents import read_limited
from sfqa.untrusted.limits import RefusedError

_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


@dataclass
class FolderCheck:
    """Files of a published folder: how many are as published, missing ones, changed ones.

    ``missing_videos``: videos of the sheet that are not in the folder.
    """

    unchanged: int = 0
    missing: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    missing_videos: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether every file is there as it was published."""
        return not (self.missing or self.changed)


def is_published_folder(path: Path) -> bool:
    """Return whether a path is a folder that ``sfqa publish`` wrote."""
    return (path / CONFIG_FILE).is_file() and (path / CHECKSUM_FILE).is_file()


def check_folder(folder: Path) -> FolderCheck:
    """Compare the files of a published folder with its checksums.

    Raises :class:`UserError` if the checksums cannot be read.
    """
    path = folder / CHECKSUM_FILE
    result = FolderCheck()
    try:
        text = read_limited(path, limits.CHECKSUM_BYTES).decode("utf-8")
    except (RefusedError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not checksums ({error}); fetch the folder again") from error
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None or leads_outside(match[2]):
            raise UserError(f"{path}, row {number}: not a checksum; fetch the folder again")
        file = folder / match[2]
        if not file.is_file():
            result.missing.append(match[2])
        elif sha256_file(file) != match[1]:
            result.changed.append(match[2])
        else:
            result.unchanged += 1
    result.missing_videos = list_missing_videos(folder)
    return result


def list_missing_videos(folder: Path) -> list[str]:
    """Return the videos of the folder's sheet that are not in the folder."""
    sheet = folder / SHEET_FILE
    if not sheet.is_file():
        return []
    from sfqa.user_tables import read_table

    names = dict.fromkeys(map(str, read_table(sheet, "videos").columns["video"]))
    return [name for name in names if not (folder / name).is_file()]


def place_config(folder: Path, dataset: str | None) -> dict[str, Any]:
    """Return the folder's configuration with paths for the working directory.

    ``dataset`` is a new name of the dataset. Raises :class:`UserError` if results of that name are
    in the working directory already.
    """
    config = move_config(read_config(folder), folder)
    if dataset:
        config["dataset"] = dataset
    if (Path("results") / config["dataset"]).exists():
        raise UserError(
            f"results/{config['dataset']}: there are results of this name already; name the "
            "dataset otherwise with --dataset, or work in another folder"
        )
    return config
