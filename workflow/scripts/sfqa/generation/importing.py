"""List the videos of a sheet or a folder as samples (mode ``import_videos``)."""

from __future__ import annotations

import csv
import glob
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from sfqa import identity, tables
from sfqa.errors import UserError, hint

#: What a sheet's columns and a pattern's groups may be called, and the column that each fills.
FIELDS = {
    "sample_id": "sample_id",
    "method": "method",
    "image_id": "image_id",
    "image": "image_id",
    "clip_id": "clip_id",
    "clip": "clip_id",
    "image_source": "image_source",
    "image_category": "image_category",
    "style": "style",
    "language": "language",
    "prompt": "prompt",
    "split": "split",
}
SPLITS = ("train", "val")
_ID = re.compile(r"[^A-Za-z0-9_.+-]+")
#: A method is a folder and a wildcard.
_METHOD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_SHOWN = 5

#: A found video: where it was found (for messages), its path, and the columns known of it.
_Found = tuple[str, Path, dict[str, str]]


def list_videos(source: Mapping[str, Any], shards: int) -> list[dict[str, Any]]:
    """Return rows of ``tables.SAMPLES`` for ready videos, sorted by sample id.

    ``source`` is either ``{"sheet": path}``, a CSV file with the columns ``video`` (path relative
    to the sheet) and ``method`` and any of :data:`FIELDS`; or ``{"folder": path, "glob":
    "**/*.mp4", "pattern": regex}``, whose named groups (any of :data:`FIELDS`) are matched against
    each whole path relative to the folder; ``"unmatched": "skip"`` leaves files out that do not
    match; other keys are not looked at. The sample id is the given one, else
    image, clip and method, else file stem and method, other characters than letters, digits and
    ``_.+-`` replaced by ``-``. The files are not opened. Raises :class:`UserError` for unknown
    columns and groups, an empty match, files that do not match and ids that meet.
    """
    found = _from_sheet(source) if "sheet" in source else _from_folder(source)
    rows: dict[str, dict[str, Any]] = {}
    places: dict[str, str] = {}
    for where, path, known in found:
        row = _sample(where, path, known, shards)
        name = row["sample_id"]
        # File systems that fold case would mix two names that differ in nothing else.
        same = name.casefold()
        if same in rows:
            raise UserError(
                f"{places[same]} and {where} both become the sample {name!r}; give them a "
                "sample_id (a column of the sheet or a group of the pattern) of their own"
            )
        rows[same], places[same] = row, where
    return sorted(rows.values(), key=lambda row: row["sample_id"])


def folder_digest(source: Mapping[str, Any]) -> str:
    """Return a digest that changes when a video is added, removed or renamed.

    For a folder the sorted names that the glob finds (folders are listed, files not touched), for a
    sheet its content. A video that changes under the same name is noticed by its sha256 instead.
    Raises :class:`UserError` for a missing sheet or folder.
    """
    if "sheet" in source:
        return identity.digest(_sheet_text(Path(source["sheet"])))
    return identity.digest(_names(source))


def _sample(where: str, path: Path, known: Mapping[str, str], shards: int) -> dict[str, Any]:
    method = known.get("method")
    if method is None:
        raise UserError(
            f"{where}: no method; fill the column, or give the pattern a group, 'method'"
        )
    if not _METHOD.fullmatch(method):
        raise UserError(
            f"{where}: the method {method!r} becomes a folder; begin it with a letter or digit and "
            "use letters, digits and _ . + - only"
        )
    split = known.get("split")
    if split is not None and split not in SPLITS:
        raise UserError(f"{where}: split {split!r}; {hint(split, SPLITS)}")
    image, clip = known.get("image_id"), known.get("clip_id")
    pair = identity.pair_id(image, clip) if image and clip else None
    name = known.get("sample_id") or identity.sample_id(pair or path.stem, method)
    name = _clean(name)
    if not name.strip("-."):
        raise UserError(f"{where}: no letter or digit is left of its name; give it a sample_id")
    row: dict[str, Any] = dict.fromkeys(tables.SAMPLES.names)
    row |= {column: known.get(column) for column in FIELDS.values()}
    row |= {
        "sample_id": name,
        "pair_id": None if pair is None else _clean(pair),
        "shard": identity.shard_of(name, shards),
        "source_path": str(path),
    }
    return row


def _clean(name: str) -> str:
    """A name that is safe in every file system: other characters become '-'."""
    return _ID.sub("-", name)


def _sheet_text(sheet: Path) -> str:
    try:
        return sheet.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{sheet}: the sheet of videos cannot be read ({error}); give a CSV file in UTF-8"
        ) from error


def _from_sheet(source: Mapping[str, Any]) -> Iterable[_Found]:
    sheet = Path(source["sheet"])
    reader = csv.DictReader(_sheet_text(sheet).splitlines(keepends=True), strict=True)
    known = ("video", *FIELDS)
    columns = reader.fieldnames or []
    for column in columns:
        if column not in known:
            raise UserError(f"{sheet}: unknown column {column!r}; {hint(column, known)}")
    for column in ("video", "method"):
        if column not in columns:
            raise UserError(f"{sheet}: the column {column!r} is missing; add it")
    _check_twice(str(sheet), "columns", [FIELDS.get(c, c) for c in columns])
    found: list[_Found] = []
    try:
        for cells in reader:
            where = f"{sheet}, row {reader.line_num}"
            if None in cells or None in cells.values():
                raise UserError(
                    f"{where}: its number of cells is not that of the head; quote cells that "
                    "hold a comma"
                )
            video = cells["video"].strip()
            if not video:
                raise UserError(f"{where}, column video: it is empty; give the path of the video")
            values = {FIELDS[c]: v.strip() for c, v in cells.items() if c != "video" and v.strip()}
            found.append((where, sheet.parent / video, values))
    except csv.Error as error:
        raise UserError(f"{sheet}, row {reader.line_num}: no CSV ({error}); correct it") from error
    if not found:
        raise UserError(f"{sheet}: no videos in it; write one row for each")
    return found


def _names(source: Mapping[str, Any]) -> list[str]:
    if "folder" not in source:
        raise UserError("videos: give either 'sheet' or 'folder'")
    folder = Path(source["folder"])
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder; give the folder of the videos")
    wanted = str(source.get("glob", "**/*.mp4"))
    names = glob.iglob(wanted, root_dir=folder, recursive=True)  # noqa: PTH207  (hidden files stay out)
    return sorted(PurePosixPath(name).as_posix() for name in names)


def _from_folder(source: Mapping[str, Any]) -> Iterable[_Found]:
    names = _names(source)
    folder, wanted = Path(source["folder"]), source.get("glob", "**/*.mp4")
    if not names:
        raise UserError(f"{folder}: no file matches the glob {wanted!r}; correct the glob")
    pattern = _pattern(source)
    found: list[_Found] = []
    unmatched = []
    for name in names:
        match = pattern.fullmatch(name)
        if match is None:
            unmatched.append(name)
            continue
        values = {FIELDS[g]: v for g, v in match.groupdict().items() if v}
        found.append((str(folder / name), folder / name, values))
    if not found:
        raise UserError(
            f"{folder}: none of its {len(names)} files matches the pattern {pattern.pattern!r}, "
            f"for example not {names[0]!r}; correct the pattern"
        )
    if unmatched and source.get("unmatched", "error") == "error":
        shown = ", ".join(unmatched[:_SHOWN]) + (", ..." if len(unmatched) > _SHOWN else "")
        raise UserError(
            f"{folder}: {len(unmatched)} of {len(names)} files do not match the pattern "
            f"{pattern.pattern!r}: {shown}; correct the pattern or write unmatched: skip"
        )
    return found


def _pattern(source: Mapping[str, Any]) -> re.Pattern[str]:
    if "pattern" not in source:
        raise UserError("videos: a folder needs a 'pattern' with a named group for the method")
    text = str(source["pattern"])
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UserError(
            f"videos: the pattern {text!r} is no regular expression ({error})"
        ) from error
    for group in pattern.groupindex:
        if group not in FIELDS:
            raise UserError(f"videos: unknown group {group!r} in {text!r}; {hint(group, FIELDS)}")
    _check_twice(f"videos, pattern {text!r}", "groups", [FIELDS[g] for g in pattern.groupindex])
    if source.get("unmatched", "error") not in ("error", "skip"):
        raise UserError(f"videos: unmatched is {source['unmatched']!r}; give 'error' or 'skip'")
    return pattern


def _check_twice(where: str, what: str, columns: list[str]) -> None:
    for column in columns:
        if columns.count(column) > 1:
            raise UserError(f"{where}: two {what} for {column!r}; keep one")
