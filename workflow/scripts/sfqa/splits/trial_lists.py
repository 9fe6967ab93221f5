"""Trials that a dataset was published with, as lists of the samples of each part.

A change of the numbers here raises VERSION in protocols.py.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from sfqa.errors import UserError, hint
from sfqa.labels.files import read_label_table, to_text
from sfqa.media_files import VIDEO_SUFFIXES, has_suffix
from sfqa.sample_fields import clean_name
from sfqa.user_tables import UserTable
from sfqa.user_tables.text import read_text

#: Names of parts in lists, and the part that they stand for.
PART_NAMES = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}
_TRIAL = "{trial}"
#: Files whose lines are names, if nothing says that they are tables.
_LINE_SUFFIXES = (".txt", ".lst", ".list", "")


@dataclass(frozen=True)
class ListedSample:
    """A line of a list: the trial, the part, the sample as the list names it, file and row."""

    trial: int
    part: str
    name: str
    where: str


def list_trial_files(lists: Mapping[str, Any], where: str) -> list[tuple[int | None, str, Path]]:
    """Return the files of a protocol's ``lists``, each with its trial (or None) and part (or '').

    ``{trial}`` in a name stands for the number of the trial. A file of a part without it, beside
    files with it, belongs to every trial. Raises :class:`UserError` if there is no such file, or a
    trial has no file of one of the parts.
    """
    folder = Path(str(lists.get("folder", ".")))
    files = lists["files"]
    by_part = files if isinstance(files, Mapping) else {"": files}
    listed: list[tuple[int | None, str, Path]] = []
    for part, names in by_part.items():
        for name in [names] if isinstance(names, str) else names:
            paths = _find_trial_files(folder, str(name))
            if not paths:
                raise UserError(
                    f"{where}, lists: there is no file {folder / name}; correct files or folder"
                )
            listed += [
                (trial, PART_NAMES[str(part).lower()] if part else "", path)
                for trial, path in paths
            ]
    trials = sorted({trial for trial, _, _ in listed if trial is not None})
    for part in sorted({part for _, part, _ in listed}):
        present = {trial for trial, other, _ in listed if other == part}
        for trial in trials:
            if present != {None} and trial not in present:
                raise UserError(
                    f"{where}, lists: there is no file of the part {part} for trial {trial} in "
                    f"{folder}; add it"
                )
    if "trial" in lists or "columns" in lists:
        return listed
    return [
        (number, part, path)
        for trial, part, path in listed
        for number in (trials if trial is None and trials else [trial])
    ]


def _find_trial_files(folder: Path, name: str) -> list[tuple[int | None, Path]]:
    """Return the files that a name with ``{trial}`` stands for, in the order of the trials."""
    if _TRIAL not in name:
        path = folder / name
        return [(None, path)] if path.is_file() else []
    first, *others = map(re.escape, name.split(_TRIAL))
    # The same digits stand wherever the name has {trial}.
    expression = re.compile(first + r"(\d+)" + r"\1".join(others))
    paths: dict[int, Path] = {}
    pattern = re.sub(r"([\[\]*?])", r"[\1]", name).replace(_TRIAL, "*")
    for path in sorted(folder.glob(pattern)):
        match = expression.fullmatch(path.relative_to(folder).as_posix())
        if match and path.is_file():
            trial = int(match[1])
            if trial in paths:
                raise UserError(f"{path}: {paths[trial]} is trial {trial}, too; rename one")
            paths[trial] = path
    return sorted(paths.items())


def read_trial_lists(lists: Mapping[str, Any], where: str) -> list[ListedSample]:
    """Return the lines of a protocol's ``lists``, by trial.

    ``lists`` holds ``files``: a path, a list of paths, or one or several paths for each of train,
    val and test, all relative to ``folder``, with ``{trial}`` for the number of the trial; how
    tables are read, as for labels (``header``, ``separator``, ``quotes``, ``sheet``); ``sample``:
    the column that names the sample (``sample``); ``trial``: the column with the number of the
    trial; ``part``: the column with the part (``part``); or ``columns``: a template such as
    ``split_{trial}`` of columns, one per trial, that hold the part; ``names``: for names of parts
    in the files, the part that they stand for; ``trials``: the number of trials, for a check.

    Text files of one part are lists of names, one per line, unless ``sample`` or ``header`` says
    that they are tables. An empty cell of ``columns`` leaves the sample out of that trial. Raises
    :class:`UserError` naming file and row, and for trials that are missing between others.
    """
    listed = [
        line
        for trial, part, path in list_trial_files(lists, where)
        for line in _read_list(lists, trial, part, path)
    ]
    if not listed:
        raise UserError(f"{where}, lists: the files are empty; correct files")
    trials = sorted({line.trial for line in listed})
    expected = range(min(trials[0], 1), trials[-1] + 1)
    missing = sorted({*expected} - {*trials})
    if missing:
        raise UserError(
            f"{where}, lists: trial {missing[0]} is missing ({len(missing)} in all) among the "
            f"trials {expected[0]} to {expected[-1]}; add it, or number the trials from 0 or 1"
        )
    count = lists.get("trials")
    if count is not None and count != len(trials):
        raise UserError(f"{where}, lists.trials: {count}, but the lists have {len(trials)} trials")
    return sorted(listed, key=lambda line: line.trial)


def _read_list(
    lists: Mapping[str, Any], trial: int | None, part: str, path: Path
) -> Iterator[ListedSample]:
    """Yield the lines of one file; ``trial`` and ``part`` are those of its name, if it has them."""
    is_table = any(key in lists for key in ("sample", "header", "trial", "columns"))
    if part and not is_table and path.suffix.lower() in _LINE_SUFFIXES:
        for number, line in enumerate(read_text(path).splitlines(), start=1):
            if line.strip():
                yield ListedSample(
                    1 if trial is None else trial, part, line.strip(), f"{path}, row {number}"
                )
        return
    column = str(lists.get("sample", "sample"))
    option = "regression.protocols.lists"
    table = read_label_table({**lists, "video": column}, path, option)
    names = table.get_column(column, f"{option}.sample")
    trial_columns = _find_trial_columns(lists, table, trial)
    for index, row in enumerate(table.rows):
        where = f"{path}, row {row}"
        name = to_text(names[index])
        if not name:
            raise UserError(f"{where}, column {column}: it is empty; name the sample")
        for part_column, column_trial in trial_columns:
            if part:
                cell_part: str | None = part
            else:
                cell = to_text(table.get_column(part_column, f"{option}.part")[index])
                cell_part = _read_part(lists, cell, f"{where}, column {part_column}")
            number = _read_trial(lists, table, index, column_trial)
            if cell_part is not None:
                yield ListedSample(number, cell_part, name, where)


def _find_trial_columns(
    lists: Mapping[str, Any], table: UserTable, trial: int | None
) -> list[tuple[str, int | None]]:
    """Return the columns of a table that hold parts, each with its trial or None."""
    if "columns" not in lists:
        return [(str(lists.get("part", "part")), trial)]
    template = str(lists["columns"])
    expression = re.compile(r"(\d+)".join(map(re.escape, template.split(_TRIAL, 1))))
    matches = [(name, expression.fullmatch(name)) for name in table.columns]
    columns = [(name, int(match[1])) for name, match in matches if match and match.groups()]
    if not columns:
        raise UserError(
            f"{table.path}: no column is called like {template!r} (lists.columns), with a number "
            f"for {_TRIAL}; it has {', '.join(table.columns)}"
        )
    return list(columns)


def _read_part(lists: Mapping[str, Any], cell: str, where: str) -> str | None:
    """Return the part that a cell names; None if it is empty in a column of its trial."""
    if not cell and "columns" in lists:
        return None
    names = {str(k): str(v) for k, v in (lists.get("names") or {}).items()}
    name = names.get(cell, cell).lower()
    if name not in PART_NAMES:
        raise UserError(
            f"{where}: {cell!r} is no part; {hint(name, PART_NAMES)} (lists.names gives parts "
            "other names)"
        )
    return PART_NAMES[name]


def _read_trial(lists: Mapping[str, Any], table: UserTable, index: int, trial: int | None) -> int:
    """Return the number of the trial of a row: that of the file or column, else of its cell."""
    column = lists.get("trial")
    if trial is not None or column is None:
        return 1 if trial is None else trial
    cell = to_text(table.get_column(str(column), "regression.protocols.lists.trial")[index])
    if not re.fullmatch(r"\d{1,6}", cell):
        raise UserError(
            f"{table.describe_cell(str(column), index)}: {cell!r} is no number of a trial; write a "
            "whole number from 0 or 1"
        )
    return int(cell)


def find_listed_parts(
    listed: Iterable[ListedSample], rows: pd.DataFrame, where: str
) -> dict[int, dict[str, str]]:
    """Return the part of each listed sample by trial: ``{1: {"a": "train", "b": "test"}}``.

    A list names a sample by its id, by the path of its video or the end of the path, or by the
    file's name, each with or without the suffix. Raises :class:`UserError` naming file and row for
    a name that is no sample or stands for several, and for a sample that is in a trial twice; and
    for a trial without train or test samples.
    """
    finder = _SampleFinder(rows)
    parts: dict[int, dict[str, str]] = {}
    origins: dict[tuple[int, str], ListedSample] = {}
    for line in listed:
        sample = finder.find(line)
        earlier = origins.setdefault((line.trial, sample), line)
        if earlier is not line:
            problem = (
                "twice"
                if earlier.part == line.part
                else f"in two parts, {earlier.part} and {line.part}"
            )
            raise UserError(
                f"{line.where}: {line.name!r} is in trial {line.trial} {problem} (also "
                f"{earlier.where}); keep one of the two"
            )
        parts.setdefault(line.trial, {})[sample] = line.part
    for trial, part_of in parts.items():
        for part in ("train", "test"):
            if part not in part_of.values():
                raise UserError(f"{where}, lists: trial {trial} has no {part} samples; add some")
    return parts


class _SampleFinder:
    """Finds the sample that a list names."""

    def __init__(self, rows: pd.DataFrame) -> None:
        ids = [str(name) for name in rows["sample_id"]]
        paths = rows["source_path"] if "source_path" in rows else [None] * len(ids)
        self.ids = set(ids)
        self.path_of = {
            name: _normalize(path) if isinstance(path, str) else ""
            for name, path in zip(ids, paths, strict=True)
        }
        self.by_name: dict[str, set[str]] = defaultdict(set)
        for sample, path in self.path_of.items():
            self.by_name[sample.casefold()].add(sample)
            if path:
                name = path.rpartition("/")[2]
                self.by_name[name.casefold()].add(sample)
                self.by_name[_remove_suffix(name).casefold()].add(sample)

    def find(self, line: ListedSample) -> str:
        """Return the id of the sample of a line."""
        name = _normalize(line.name.replace("\\", "/")).removeprefix("./")
        if name in self.ids:
            return name
        samples = self._find_by_path(name)
        if not samples:
            safe_names = {clean_name(name), clean_name(_remove_suffix(name))}
            samples = sorted({s for n in safe_names for s in self._find_by_id(n)})
        if len(samples) > 1:
            raise UserError(
                f"{line.where}: {line.name!r} may be the sample {samples[0]!r} or {samples[1]!r}; "
                "write the sample id, or the path of the video"
            )
        if not samples:
            near = get_close_matches(name, list(self.by_name), 1, 0.6)
            nearest = f", the nearest is {min(self.by_name[near[0]])!r}" if near else ""
            raise UserError(
                f"{line.where}: there is no sample {line.name!r}{nearest}; correct the list, or "
                "add the video"
            )
        return samples[0]

    def _find_by_path(self, name: str) -> list[str]:
        """Return the samples whose video's path ends with a name, in any case if in no other."""
        last_part = name.rpartition("/")[2]
        candidates = sorted(self.by_name.get(last_part.casefold(), ()))
        for adapt in (str, str.casefold):
            ending = "/" + adapt(name)
            samples = [
                sample
                for sample in candidates
                if ("/" + adapt(self.path_of[sample])).endswith(ending)
                or ("/" + adapt(_remove_suffix(self.path_of[sample]))).endswith(ending)
            ]
            if samples:
                return samples
        return []

    def _find_by_id(self, name: str) -> Sequence[str]:
        if name in self.ids:
            return [name]
        folded = name.casefold()
        return [s for s in self.by_name.get(folded, ()) if s.casefold() == folded]


def _normalize(name: str) -> str:
    """Return a path in one spelling: macOS writes an u and two dots where others write ü."""
    return re.sub("/+", "/", unicodedata.normalize("NFC", name.replace("\\", "/")))


def _remove_suffix(name: str) -> str:
    """Return a path without the suffix of a video: a point in a name is no suffix."""
    length = len(PurePosixPath(name).suffix) if has_suffix(name, VIDEO_SUFFIXES) else 0
    return name[: len(name) - length]
