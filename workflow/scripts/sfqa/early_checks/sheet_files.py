"""Find the files of a sheet that do not exist, before the first job."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from sfqa.errors import UserError
from sfqa.user_tables import read_table

#: As many missing files are listed in a message.
_MAX_LISTED = 10
#: A folder is listed once if a sheet names more of its files than this.
_MANY_FILES = 20


def find_missing(paths: Sequence[str]) -> list[int]:
    """Return the positions of the paths without a file.

    Listing a folder takes a hundredth of the time of asking for each of its files.

    >>> find_missing([__file__, "nowhere/a.mp4"])
    [1]
    """
    by_folder: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for position, path in enumerate(paths):
        folder, _, name = path.rpartition("/")
        by_folder[folder].append((position, name))
    missing: list[int] = []
    for folder, files in by_folder.items():
        names = _list_names(folder) if len(files) > _MANY_FILES else frozenset()
        # Names that are not listed may still exist, where the file system ignores case.
        missing += [
            position
            for position, name in files
            if name not in names and not Path(paths[position]).exists()
        ]
    return sorted(missing)


def _list_names(folder: str) -> frozenset[str]:
    """Return the names in a folder; that of a link to a missing file is among them."""
    try:
        with os.scandir(folder or ".") as entries:
            return frozenset(entry.name for entry in entries)
    except OSError:
        return frozenset()


def check_sheet(sheet: str, paths: Sequence[str], column: str, missing: str) -> str:
    """Return a sentence on the missing files of a sheet, '' if there are none.

    ``paths`` are those of its rows in any order, ``column`` holds them in the sheet. Raises
    :class:`UserError`, with the rows of up to ten of them, unless ``missing`` is ``skip``.
    """
    missing_paths = {paths[position] for position in find_missing(paths)}
    if not missing_paths:
        return ""
    lines = _describe_rows(sheet, column, missing_paths)
    verb = "is" if len(lines) == 1 else "are"
    count = f"{sheet}: {len(lines)} of {len(paths)} files {verb} missing"
    listed = [f"  {line}" for line in lines[:_MAX_LISTED]]
    if len(lines) > _MAX_LISTED:
        listed.append(f"  and {len(lines) - _MAX_LISTED} more")
    if missing == "skip":
        return "\n".join(
            [f"{count} and {verb} skipped (missing: skip), without values in the tables:", *listed]
        )
    raise UserError(
        "\n".join(
            [
                f"{count}:", *listed,
                "Correct the paths, which start at the folder of the sheet, or write a line "
                "'missing: skip' in the configuration to go on without these files",
            ]
        )
    )  # fmt: skip


def _describe_rows(sheet: str, column: str, missing_paths: set[str]) -> list[str]:
    """Return a line for every row of a sheet whose file is missing: row, path, nearest file."""
    table = read_table(sheet, "files", allow_short_rows=True)
    folder = Path(sheet).parent
    lines: list[str] = []
    for row, cell in zip(table.rows, table.columns[column], strict=True):
        path = str(folder / str(cell or "").strip())
        if path not in missing_paths:
            continue
        near = ""
        if len(lines) < _MAX_LISTED:
            parent, _, name = path.rpartition("/")
            matches = get_close_matches(name, sorted(_list_names(parent)))
            near = f" (the nearest file there is {matches[0]!r})" if matches else ""
        lines.append(f"row {row}: {cell}{near}")
    return lines
