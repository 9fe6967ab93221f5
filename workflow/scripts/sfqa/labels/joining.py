"""Find the video of every label, and the label of every video."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from sfqa import identity
from sfqa.errors import UserError
from sfqa.labels.files import (
    LabelRow,
    list_label_files,
    read_label_rows,
    read_label_table,
    to_text,
)
from sfqa.labels.samples import LabelledVideo as LabelledVideo
from sfqa.labels.samples import SampleRows
from sfqa.media_files import ARCHIVE_SUFFIXES, list_files, list_video_suffixes, match_glob
from sfqa.sample_fields import check_fields, clean_name, compile_pattern, get_field_column

VERSION = 1
#: Longer ids would exceed what a file name may have, with the suffixes that are put after it.
_MAX_ID_LENGTH = 120
_DIGEST_LENGTH = 8
_MAX_EXAMPLES = 5
#: Files whose first row is the header, unless the names of the columns are given.
_WITH_HEADER = (".csv", ".tsv", ".txt", ".xlsx", ".xlsm")


def join_labels(source: Mapping[str, Any]) -> list[LabelledVideo]:
    """Return the videos of a folder with their labels, sorted by path, each with a sample id.

    ``source`` is the section ``import``: ``folder``; ``glob`` or all files that look like videos;
    ``labels``: one entry or a list of them (:func:`sfqa.labels.files.read_label_rows`), each with
    ``match``: how its rows name videos, by the whole ``path`` (default), by the base ``name``, or
    by the ``sample_id`` that the pattern finds in the path; ``pattern``: regular expression for the
    whole path of a video, with named groups that are fields
    (:func:`sfqa.sample_fields.list_fields`); ``constant``: the same fields for all videos;
    ``names``: for a field, new names of its values; ``lookups``: further tables with fields, joined
    by the value of a field. Labels override the pattern, the pattern constants.

    ``samples_by``: fields of the label files that tell apart the samples of one video, such as its
    prompts. Rows of entries that do not give all of them count for all samples that agree.

    A label without a video and a video without a label raise :class:`UserError`, unless
    ``without_video`` or ``without_label`` is ``keep`` (``skip`` leaves such videos out). The sample
    id is that of the label file or the pattern, else the path without its suffix, or the base name
    if all labels are found by it; see :func:`name_samples`.
    """
    check_fields(source)
    folder = Path(source["folder"])
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder; correct import.folder")
    names = (
        match_glob(source["glob"], folder)
        if "glob" in source
        else list_files(folder, list_video_suffixes(source))
    )
    fields_of = _match_pattern(names, source)
    samples = SampleRows([get_field_column(name) for name in source.get("samples_by") or ()])
    missing: list[LabelRow] = []
    for labels in list_entries(source):
        match = str(labels.get("match", "path"))
        if match == "name" and "/" in str(labels.get("path", "")):
            raise UserError(
                f"config, import.labels: match: name ignores folders, but the template 'path' "
                f"({labels['path']!r}) has one; write match: path, or leave the folder out"
            )
        finder = _VideoFinder(folder, fields_of, match)
        columns = {get_field_column(column) for column in labels.get("columns") or ()}
        for row in read_label_rows(labels, folder):
            name = finder.find(row)
            if name is None:
                missing.append(row)
                name = row.path
            samples.add(name, row, columns)
    if missing and source.get("without_video", "error") == "error":
        raise UserError(_describe_missing(folder, missing, names))
    joined = _select_labelled(folder, samples.list_videos(names), source)
    constant = {
        get_field_column(name): str(value) for name, value in (source.get("constant") or {}).items()
    }
    for video in joined:
        video.columns = {**constant, **fields_of.get(video.path, {}), **video.columns}
        for name, new_names in (source.get("names") or {}).items():
            column = get_field_column(name)
            value = video.columns.get(column)
            if value in new_names:
                video.columns[column] = str(new_names[value])
    for lookup in source.get("lookups") or ():
        _add_fields(joined, lookup, folder)
    name_samples(joined, all(e.get("match") == "name" for e in list_entries(source)))
    return joined


def list_entries(source: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the entries of ``import.labels``, which may be one or a list."""
    labels = source["labels"]
    return [labels] if isinstance(labels, Mapping) else list(labels)


def has_ratings(source: Mapping[str, Any]) -> bool:
    """Return whether the label files hold ratings of single raters instead of MOS.

    Raises :class:`UserError` if some hold ratings and others MOS.
    """
    with_scores = [labels for labels in list_entries(source) if labels.get("mos")]
    rated = ["rater" in labels or "rater_column" in labels for labels in with_scores]
    if any(rated) and not all(rated):
        raise UserError(
            "config, import.labels: some entries hold ratings (rater, rater_column) and others "
            "MOS; use one of the two"
        )
    return any(rated)


def list_all_files(source: Mapping[str, Any]) -> list[Path]:
    """Return the files that the labels and the lookups of the section ``import`` are read from."""
    folder = Path(source["folder"])
    paths = [
        path for labels in list_entries(source) for _, path in list_label_files(labels, folder)
    ]
    return [*paths, *(folder / str(lookup["file"]) for lookup in source.get("lookups") or ())]


def name_samples(videos: Iterable[LabelledVideo], by_base_name: bool = False) -> None:
    """Set the sample id of each video: a name that is safe in every file system.

    It is that of the labels or the pattern, else the path, or with ``by_base_name`` the base name,
    without its suffix. Other characters than letters, digits and ``_.+-`` become ``-``, with ``/``
    among them. After it stand the values that tell apart the samples of one video, unless the
    labels give the id. A name of more than 120 characters is cut, and ``-`` with 8 digits of the
    digest of the whole name is put after it; the same is put after names that would be equal, such
    as those of two prompts that differ in their signs alone. ``source_path`` in ``tables.SAMPLES``
    leads back from the id to the file.

    >>> videos = [LabelledVideo("Gen-2/a dog.mp4"), LabelledVideo("Gen-2/a, dog.mp4")]
    >>> name_samples(videos); [video.columns["sample_id"] for video in videos]
    ['Gen-2-a-dog-749c1578', 'Gen-2-a-dog-9e6cffa0']
    """
    by_name: dict[str, list[tuple[LabelledVideo, str]]] = defaultdict(list)
    for video in videos:
        path = video.path.rpartition("/")[2] if by_base_name else video.path
        stem = path.rpartition(".")[0] or path
        raw_name = "-".join([video.columns.get("sample_id") or stem, *video.sample_values])
        safe_name = clean_name(raw_name).strip("-.") or "video"
        # Some file systems ignore case, so names that differ only in case are the same.
        by_name[safe_name.casefold()].append((video, raw_name))
        video.columns["sample_id"] = safe_name
    for group in by_name.values():
        for video, raw_name in group:
            safe_name = video.columns["sample_id"]
            if len(group) > 1 or len(safe_name) > _MAX_ID_LENGTH:
                unique_name = raw_name if len(group) == 1 else f"{raw_name}\0{video.path}"
                digest = identity.digest(unique_name)[:_DIGEST_LENGTH]
                cut = safe_name[: _MAX_ID_LENGTH - _DIGEST_LENGTH - 1].rstrip("-.")
                video.columns["sample_id"] = f"{cut}-{digest}"


class _VideoFinder:
    """Finds the file of a label row among the names of the files."""

    def __init__(
        self, folder: Path, fields_of: Mapping[str, Mapping[str, str]], match: str
    ) -> None:
        self.folder, self.match = folder, match
        self.names_by_key: dict[str, list[str]] = defaultdict(list)
        for name, fields in fields_of.items():
            if match == "sample_id":
                if "sample_id" not in fields:
                    raise UserError(
                        f"{folder / name}: match: sample_id needs a pattern with the group "
                        "sample_id that matches every video; correct import.pattern"
                    )
                key = fields["sample_id"]
            else:
                key = name if match == "path" else name.rpartition("/")[2]
            self.names_by_key[_normalize(key)].append(name)
        self.names_by_folded_key: dict[str, list[str]] = defaultdict(list)
        for key, names in self.names_by_key.items():
            self.names_by_folded_key[key.casefold()] += names

    def find(self, row: LabelRow) -> str | None:
        """Return the name of the row's file, None if there is none.

        The same name in another case is taken if it is the only one. Raises :class:`UserError` if
        several files could be meant.
        """
        path = _normalize(row.path)
        key = {"path": path, "name": path.rpartition("/")[2]}.get(self.match, _normalize(row.video))
        names = self.names_by_key.get(key) or self.names_by_folded_key.get(key.casefold(), [])
        if len(names) > 1:
            names = [name for name in names if f"/{_normalize(name)}".endswith(f"/{path}")] or names
        if len(names) > 1:
            raise UserError(
                f"{row.where}: {row.video!r} may be {names[0]!r} or {names[1]!r} in {self.folder}; "
                "give the whole path with the template 'path', and match: path"
            )
        return names[0] if names else None


def _normalize(name: str) -> str:
    """Return a path in one spelling: macOS writes an u and two dots where others write ü."""
    return re.sub("/+", "/", unicodedata.normalize("NFC", name))


def _match_pattern(names: list[str], source: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return the fields that the pattern finds in each path; {} if there is no pattern."""
    if "pattern" not in source:
        return {name: {} for name in names}
    pattern = compile_pattern(source)
    fields_of = {}
    for name in names:
        match = pattern.fullmatch(name)
        if match is None:
            if source.get("unmatched", "error") == "error":
                raise UserError(
                    f"{Path(source['folder']) / name}: it does not match the pattern "
                    f"{pattern.pattern!r}; correct import.pattern, or write unmatched: skip"
                )
            continue
        fields_of[name] = {
            get_field_column(group): v for group, v in match.groupdict().items() if v
        }
    return fields_of


def _describe_missing(folder: Path, missing: list[LabelRow], names: list[str]) -> str:
    """Return the error for labels without a video, with the nearest file name."""
    first = missing[0]
    near = get_close_matches(first.path, names[:5000], 1, 0.3)
    nearest = f", the nearest file is {near[0]!r}" if near else ""
    archives = list_files(folder, ARCHIVE_SUFFIXES)
    unpack = f"unpack {archives[0]} first, " if archives else ""
    count = f"{len(missing)} labelled videos are" if len(missing) > 1 else "a labelled video is"
    return (
        f"{first.where}: there is no {first.path!r} in {folder}{nearest}; {count} missing: "
        f"{unpack}add them, correct 'path' or 'match' in import.labels, or write "
        "without_video: keep"
    )


def _select_labelled(
    folder: Path, videos: list[LabelledVideo], source: Mapping[str, Any]
) -> list[LabelledVideo]:
    """Return the videos that the run uses; raises :class:`UserError` for one without a label."""
    unlabelled = [video.path for video in videos if not video.where]
    action = source.get("without_label", "error")
    if unlabelled and action == "error":
        more = ", ..." if len(unlabelled) > _MAX_EXAMPLES else ""
        raise UserError(
            f"{folder}: {len(unlabelled)} of {len(videos)} videos are in no label file: "
            f"{', '.join(unlabelled[:_MAX_EXAMPLES])}{more}; add labels, or write without_label: "
            "keep (videos without a MOS) or skip (left out)"
        )
    selected = [video for video in videos if video.where or action == "keep"]
    if not selected:
        raise UserError(f"{folder}: no labelled videos in it; correct import.folder")
    return selected


def _add_fields(videos: list[LabelledVideo], lookup: Mapping[str, Any], folder: Path) -> None:
    """Add the fields of another table, such as prompts, by the value of a field of the videos.

    ``lookup``: ``file`` and how it is read, as for labels; ``field``: the field of the videos;
    ``key``: the column that it is looked up in, or ``row`` for the number of the row, counted from
    ``first`` (0 by default); ``columns``: fields and their columns in the table.
    """
    path = folder / str(lookup["file"])
    table = read_label_table(lookup, path)
    key, first = str(lookup["key"]), int(lookup.get("first", 0))
    if key == "row" and key not in table.columns:
        # Empty lines of the file count, too: a missing prompt must not shift the others.
        has_header = not lookup.get("header") and path.suffix.lower() in _WITH_HEADER
        start = table.rows[0] if has_header else 1
        keys = [str(number - start + first) for number in table.rows]
    else:
        keys = [to_text(cell) for cell in table.get_column(key, "import.lookups, key")]
    index_of: dict[str, int] = {}
    for index, value in enumerate(keys):
        if value in index_of:
            raise UserError(
                f"{path}, row {table.rows[index]}, column {key}: {value!r} is in row "
                f"{table.rows[index_of[value]]} too; keep one of the two"
            )
        index_of[value] = index
    columns = {
        get_field_column(name): table.get_column(column, f"import.lookups, columns.{name}")
        for name, column in lookup["columns"].items()
    }
    column_of_videos = get_field_column(lookup["field"])
    for video in videos:
        value = video.columns.get(column_of_videos, "")
        if value not in index_of and value.isdecimal():  # 0007 in a file name is row 7
            value = str(int(value))
        if value not in index_of:
            raise UserError(
                f"{path}: no row for the {lookup['field']} {value!r} of {video.path!r}; add it, or "
                "correct import.lookups"
            )
        for name, cells in columns.items():
            cell = to_text(cells[index_of[value]])
            if cell:
                video.columns[name] = cell
