"""List the videos of a sheet or a folder as samples (mode ``import_videos``)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sfqa import identity, tables
from sfqa.errors import UserError, hint
from sfqa.generation.raw_sources import describe_raw
from sfqa.labels.joining import join_labels
from sfqa.media_files import (
    ARCHIVE_SUFFIXES,
    PICTURE_SUFFIXES,
    RAW_SUFFIXES,
    SOUND_SUFFIXES,
    VIDEO_SUFFIXES,
    has_suffix,
    list_files,
    list_video_suffixes,
    match_glob,
    warn_about_unlisted_files,
    warn_about_unused_files,
)
from sfqa.sample_fields import (
    FIELDS,
    check_unique,
    clean_name,
    compile_pattern,
    encode_keys,
    get_field_column,
    list_fields,
)
from sfqa.splits.official import check_split_name
from sfqa.user_tables import read_table
from sfqa.user_tables.text import read_text

#: The name of a method becomes the name of a folder and a wildcard.
_METHOD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_MAX_EXAMPLES = 5

#: A listed video: where it is listed (for messages), its path, and its columns.
_Listed = tuple[str, Path, dict[str, str]]


def list_videos(source: Mapping[str, Any], shards: int) -> list[dict[str, Any]]:
    """Return rows of ``tables.SAMPLES`` for ready videos, sorted by sample id.

    ``source`` is one of three dictionaries; other keys are ignored.

    - ``{"sheet": path}``: a table with the columns ``video`` (path relative to the sheet) and
      ``method``, any of :data:`FIELDS`, and the keys of ``"keys"``: fields with names of the
      user's own, here and in the other two.
    - ``{"folder": path, "pattern": regex}``: the pattern must match the whole path of each video
      relative to the folder, and its named groups are any of these fields. With
      ``"unmatched": "skip"`` other videos are left out. Videos are the files below the folder with
      a suffix of :data:`sfqa.media_files.VIDEO_SUFFIXES`, in any case, or those that match
      ``"glob"``.
    - ``{"folder": path, "labels": ...}``: the videos of a folder that label files name, see
      :func:`sfqa.labels.joining.join_labels`, which also makes their sample ids.

    The sample id is that of the source, else made of image, clip and method, else of file stem and
    method. Characters other than letters, digits and ``_.+-`` become ``-``. The files are not
    opened. Raises :class:`UserError` for unknown columns and groups, an empty match, files that do
    not match and sample ids that occur twice. Logs a warning that counts and names the videos,
    pictures and sounds that are left out.
    """
    if "labels" in source:
        listed = list(_read_labels(source))
    elif "sheet" in source:
        listed = list(_read_sheet(source))
        warn_about_unlisted_files(source["sheet"], [path for _, path, _ in listed], VIDEO_SUFFIXES)
    else:
        listed = list(_read_folder(source))
    rows: dict[str, dict[str, Any]] = {}
    origins: dict[str, str] = {}
    for where, path, columns in listed:
        row = _build_sample(where, path, columns, shards)
        row["keys"] = encode_keys(columns, source)
        if has_suffix(path, ARCHIVE_SUFFIXES):
            raise UserError(f"{where}: {path.name} is an archive; unpack it first")
        row["raw"] = describe_raw(source, path, _find_base_folder(source), columns, where)
        name = row["sample_id"]
        # Some file systems ignore case, so names that differ only in case are the same.
        key = name.casefold()
        if key in rows:
            raise UserError(
                f"{origins[key]} and {where} both become the sample {name!r}; give them a "
                "sample_id (a column of the sheet or a group of the pattern) of their own"
            )
        rows[key], origins[key] = row, where
    _share_shards(list(rows.values()), shards)
    return sorted(rows.values(), key=lambda row: row["sample_id"])


def _share_shards(rows: list[dict[str, Any]], shards: int) -> None:
    """Put the samples of one file into one shard, so that one job computes its features once."""
    counts = Counter(row["source_path"] for row in rows)
    for row in rows:
        if counts[row["source_path"]] > 1:
            row["shard"] = identity.shard_of(Path(row["source_path"]).name, shards)


def digest_source(source: Mapping[str, Any]) -> str:
    """Return a digest that changes when a video is added, removed or renamed.

    It is that of a sheet's content, or of the sorted names of the videos in a folder. A video
    that changes under its name is noticed by its sha256 instead. Raises :class:`UserError` for a
    missing sheet or folder.
    """
    if "sheet" in source:
        return identity.digest(read_text(Path(source["sheet"])))
    return identity.digest(_list_files(source))


def _build_sample(
    where: str, path: Path, columns: Mapping[str, str], shards: int
) -> dict[str, Any]:
    method = columns.get("method")
    if method is None:
        raise UserError(
            f"{where}: no method; fill the column, give the pattern a group 'method', or write "
            "constant: {method: NAME} beside labels"
        )
    if not _METHOD.fullmatch(method):
        raise UserError(
            f"{where}: the method {method!r} becomes a folder; begin it with a letter or digit and "
            "use letters, digits and _ . + - only"
        )
    if columns.get("split") is not None:
        check_split_name(columns["split"], where)
    image, clip = columns.get("image_id"), columns.get("clip_id")
    pair = identity.pair_id(image, clip) if image and clip else None
    name = columns.get("sample_id") or identity.sample_id(pair or path.stem, method)
    name = clean_name(name)
    if not name.strip("-."):
        raise UserError(f"{where}: no letter or digit is left of its name; give it a sample_id")
    row: dict[str, Any] = dict.fromkeys(tables.SAMPLES.names)
    row |= {column: columns.get(column) for column in FIELDS.values()}
    row |= {
        "sample_id": name,
        "pair_id": None if pair is None else clean_name(pair),
        "shard": identity.shard_of(name, shards),
        "source_path": str(path),
    }
    return row


def _read_sheet(source: Mapping[str, Any]) -> Iterable[_Listed]:
    sheet = Path(source["sheet"])
    keys = [str(name) for name in source.get("keys") or ()]
    allowed = ("video", *list_fields(source))

    def check_header(header: list[str]) -> None:
        for column in header:
            if column not in allowed:
                raise UserError(f"{sheet}: unknown column {column!r}; {hint(column, allowed)}")
        for column in ("video", "method", *keys):
            if column not in header:
                reason = " (import.keys)" if column in keys else ""
                raise UserError(f"{sheet}: the column {column!r} is missing{reason}; add it")
        check_unique(str(sheet), "columns", [get_field_column(c) for c in header])

    table = read_table(sheet, "videos", check_header=check_header)
    table.log_notes()
    listed: list[_Listed] = []
    for index, number in enumerate(table.rows):
        where = f"{sheet}, row {number}"
        cells = {name: column[index] for name, column in table.columns.items()}
        values = {name: str(cell) for name, cell in cells.items() if cell not in (None, "")}
        video = values.pop("video", "")
        if not video:
            raise UserError(f"{where}, column video: it is empty; give the path of the video")
        fields = {get_field_column(name): cell for name, cell in values.items()}
        listed.append((where, sheet.parent / video, fields))
    if not listed:
        raise UserError(f"{sheet}: no videos in it; write one row for each")
    return listed


def _read_labels(source: Mapping[str, Any]) -> Iterable[_Listed]:
    folder = Path(source["folder"])
    for video in join_labels(source):
        where = video.where[0] if video.where else str(folder / video.path)
        yield where, folder / video.path, video.columns


def _list_files(source: Mapping[str, Any]) -> list[str]:
    if "folder" not in source:
        raise UserError("videos: give either 'sheet' or 'folder'")
    folder = Path(source["folder"])
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder; give the folder of the videos")
    return (
        match_glob(source["glob"], folder)
        if "glob" in source
        else list_files(folder, list_video_suffixes(source))
    )


def _find_base_folder(source: Mapping[str, Any]) -> Path:
    """Return the folder that paths of videos start at: that of the sheet, or the folder."""
    return Path(source["folder"]) if "folder" in source else Path(source["sheet"]).parent


def _read_folder(source: Mapping[str, Any]) -> Iterable[_Listed]:
    names = _list_files(source)
    folder = Path(source["folder"])
    if not names and "glob" in source:
        raise UserError(f"{folder}: no file matches the glob {source['glob']!r}; correct the glob")
    if not names:
        raise UserError(
            f"{folder}: there is no video in it; {_suggest_videos(folder)}correct the folder or "
            "give a 'glob'"
        )
    pattern = compile_pattern(source)
    listed: list[_Listed] = []
    unmatched = []
    for name in names:
        match = pattern.fullmatch(name)
        if match is None:
            unmatched.append(name)
            continue
        values = {get_field_column(g): v for g, v in match.groupdict().items() if v}
        listed.append((str(folder / name), folder / name, values))
    if not listed:
        raise UserError(
            f"{folder}: none of its {len(names)} files matches the pattern {pattern.pattern!r}, "
            f"for example not {names[0]!r}; correct the pattern"
        )
    if unmatched and source.get("unmatched", "error") == "error":
        more = ", ..." if len(unmatched) > _MAX_EXAMPLES else ""
        examples = ", ".join(unmatched[:_MAX_EXAMPLES]) + more
        raise UserError(
            f"{folder}: {len(unmatched)} of {len(names)} files do not match the pattern "
            f"{pattern.pattern!r}: {examples}; correct the pattern or write unmatched: skip"
        )
    _warn_about_left_out_files(source, sorted({*names} - {*unmatched}))
    return listed


def _suggest_videos(folder: Path) -> str:
    """Return what to do with the archives or raw videos of a folder without videos."""
    if archives := list_files(folder, ARCHIVE_SUFFIXES):
        return f"unpack {archives[0]} first, "
    if raw_videos := list_files(folder, RAW_SUFFIXES):
        return f"describe raw videos such as {raw_videos[0]} in import.raw, "
    return ""


def _warn_about_left_out_files(source: Mapping[str, Any], used: list[str]) -> None:
    """Log the videos that glob or pattern leave out, and the pictures and sounds of the folder."""
    folder = Path(source["folder"])
    if "glob" in source or source.get("unmatched") == "skip":
        reason = "glob or pattern do not match them; correct these to import them"
        warn_about_unused_files(folder, used, VIDEO_SUFFIXES, reason)
    other_suffixes = (PICTURE_SUFFIXES | SOUND_SUFFIXES) - VIDEO_SUFFIXES
    reason = "their names are not those of videos; give a 'glob' that matches them if they are"
    warn_about_unused_files(folder, used, other_suffixes, reason)
