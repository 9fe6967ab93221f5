"""Read label files: one row per video, with its mean opinion scores and its other fields."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from sfqa.errors import UserError, hint
from sfqa.labels.pairs import check_no_pairs, explain_vote
from sfqa.media_files import (
    PICTURE_SUFFIXES,
    RAW_SUFFIXES,
    SOUND_SUFFIXES,
    VIDEO_SUFFIXES,
    has_suffix,
)
from sfqa.sample_fields import compile_expression, get_field_column
from sfqa.user_tables import UserTable, read_table
from sfqa.user_tables.structured import is_structured, read_structured
from sfqa.user_tables.text import SEPARATORS, read_text, split_text

#: A character that no text has: the whole line is one cell, such as a prompt with commas.
_NO_SEPARATOR = "\x1f"
#: Files whose columns always have names.
_WITH_NAMES = (".jsonl", ".ndjson", ".mat", ".parquet", ".pq")

log = logging.getLogger("sfqa")


@dataclass(frozen=True)
class Score:
    """The published score of one video in one dimension; ``mos`` is None where it is hidden.

    ``sd``: standard deviation over raters; ``n``: number of ratings; None where not published.
    ``where``: file and row, for messages.
    """

    mos: float | None
    sd: float | None
    n: int | None
    where: str


@dataclass
class LabelRow:
    """One row of a label file: its video as the file names it, columns of the sample, scores.

    The scores are ratings of one person if ``rater`` is not empty, else published MOS.
    """

    where: str
    video: str
    path: str
    rater: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    scores: dict[str, Score] = field(default_factory=dict)


def read_label_rows(labels: Mapping[str, Any], folder: Path) -> list[LabelRow]:
    """Return the rows of one entry of ``import.labels``, in the order of the files.

    ``labels`` holds

    - ``files``: a path, a list of paths, or a mapping of a part of the official split to its
      path(s), each relative to ``folder`` or absolute;
    - ``header``: names of the columns of a file without a header;
    - ``separator``, ``quotes``: as :func:`sfqa.user_tables.reader.read_table` takes them;
    - ``sheet``: of a workbook;
    - ``extract``: a mapping of a column to a regular expression whose named groups become columns;
    - ``video``: the column that names the video (default ``video``);
    - ``path``: template of the video's path, see :func:`fill_template`;
    - ``mos``, ``sd``, ``n``: mappings of dimensions to columns;
    - ``rater``, ``rater_column``: the scores are ratings of that rater, of the one in that column;
    - ``columns``: mapping of fields (:func:`sfqa.sample_fields.list_fields`) to columns;
    - ``ends``: [lowest, highest] possible score; ``missing_codes``: numbers that stand for none.

    Raises :class:`UserError` naming file, row and column.
    """
    return [
        row
        for split, path in list_label_files(labels, folder)
        for row in _read_file(labels, path, split)
    ]


def list_label_files(labels: Mapping[str, Any], folder: Path) -> list[tuple[str | None, Path]]:
    """Return the label files of an entry, each with its part of the official split or None."""
    files = labels["files"]
    by_split = files if isinstance(files, Mapping) else {None: files}
    return [
        (None if split is None else str(split), folder / name)
        for split, names in by_split.items()
        for name in ([names] if isinstance(names, str) else names)
    ]


def read_label_table(
    labels: Mapping[str, Any], path: Path, option: str = "import.labels"
) -> UserTable:
    """Return the cells of one label file; raises :class:`UserError` naming file and row.

    ``option``: the section of the configuration that describes the file, for messages.
    """
    header = labels.get("header")
    if header is not None and path.suffix.lower() in _WITH_NAMES:
        raise UserError(f"{path}: its columns have names; leave 'header' out of {option}")
    if is_structured(path):
        table = read_structured(path, labels.get("sheet"), header)
    else:
        table = read_table(
            path,
            "labels",
            has_header=header is None,
            separator=_find_separator(labels, path, option),
            quotes=bool(labels.get("quotes", True)),
        )
        if header is not None:
            _name_columns(table, [str(name) for name in header], option)
    for note in table.notes:
        log.warning("%s", note)
    for column, expression in (labels.get("extract") or {}).items():
        _extract_columns(table, column, str(expression))
    return table


def _find_separator(labels: Mapping[str, Any], path: Path, option: str) -> str | None:
    """Return the character between columns: the given one, or that which fits the header's names.

    None leaves it to the reader of tables.
    """
    separator = labels.get("separator")
    if separator is not None:
        character = "\t" if separator == "\\t" else str(separator).strip(" ") or " "
        if len(character) != 1:
            raise UserError(
                f"config, {option}.separator: {separator!r}; give one character, blanks round "
                "it do not matter"
            )
        return character
    header = labels.get("header")
    if header is None or path.suffix.lower() not in (".csv", ".tsv", ".txt") or not path.is_file():
        return None
    if len(header) == 1:
        return _NO_SEPARATOR
    content = read_text(path)
    video_column = str(labels.get("video", "video"))
    position = header.index(video_column) if video_column in header else None
    fitting = []
    for character in SEPARATORS:
        try:
            _, records = split_text(path, content, character, bool(labels.get("quotes", True)))
        except UserError:
            continue
        if not all(_fits(cells, len(header)) for _, cells in records):
            continue
        # "a.mp4;3,5" is a name and 3.5: split at the comma, the name would hold a semicolon.
        if position is None or not any(
            set(cells[position]) & set(SEPARATORS) for _, cells in records
        ):
            fitting.append(character)
    return fitting[0] if len(fitting) == 1 else None


def _fits(cells: Sequence[str], count: int) -> bool:
    """Return whether a row has as many cells, or one more that is empty, at its end."""
    return len(cells) == count or (len(cells) == count + 1 and not cells[-1])


def _name_columns(table: UserTable, header: list[str], option: str) -> None:
    """Give the columns of a file without a header their names."""
    while len(table.columns) > len(header) and not any(list(table.columns.values())[-1]):
        table.columns.popitem()  # a separator at the end of every row
    if len(header) != len(table.columns):
        raise UserError(
            f"{table.path}, row {table.rows[0]}: {len(table.columns)} cells where "
            f"{option}.header has {len(header)} names; correct header or separator"
        )
    if len(set(header)) != len(header):
        raise UserError(f"config, {option}.header: a name is there twice; rename one")
    table.columns = dict(zip(header, table.columns.values(), strict=True))


def to_text(cell: Any) -> str:
    """Return a cell of any table as the text that a label file would have.

    >>> to_text(4542323058.0), to_text(" a.mp4 "), to_text(None)
    ('4542323058', 'a.mp4', '')
    """
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def fill_template(template: str, cells: Mapping[str, str], where: str) -> str:
    """Return a path made of a template such as ``videos/{method}/{video}.mp4``.

    ``{column}`` is the cell of a column, ``{column.stem}`` the same without folder and suffix,
    ``{column.name}`` without folder, ``{column.path}`` without suffix, and ``{split}`` the part of
    the official split.

    >>> fill_template("{split}/{video.stem}.mp4", {"video": "x/a.avi", "split": "test"}, "")
    'test/a.mp4'
    """

    def fill(match: re.Match[str]) -> str:
        column, _, part = match[1].partition(".") if match[1] not in cells else (match[1], "", "")
        if column not in cells or part not in ("", "stem", "name", "path"):
            raise UserError(
                f"{where}: the template {template!r} has {match[0]!r}; {hint(column, cells)}, "
                "with .stem, .name or .path after it"
            )
        text = cells[column]
        name = text.rpartition("/")[2]
        # Only a suffix of a media file is one: "gen.v2" and "qp_0.5" are whole names.
        suffixes = VIDEO_SUFFIXES | PICTURE_SUFFIXES | SOUND_SUFFIXES | RAW_SUFFIXES
        is_file = has_suffix(name, suffixes)
        length = len(PurePosixPath(name).suffix) if is_file else 0
        return {
            "": text,
            "name": name,
            "stem": name[: len(name) - length],
            "path": text[: len(text) - length],
        }[part]

    return re.sub(r"\{([^{}]+)\}", fill, template)


def _read_file(labels: Mapping[str, Any], path: Path, split: str | None) -> Iterator[LabelRow]:
    table = read_label_table(labels, path)
    video_column = str(labels.get("video", "video"))
    check_no_pairs(table, video_column)
    table.get_column(video_column, "import.labels.video")
    field_columns = {
        get_field_column(name): [
            to_text(cell) for cell in table.get_column(column, f"columns.{name}")
        ]
        for name, column in (labels.get("columns") or {}).items()
    }
    scores = {
        dimension: _read_scores(labels, table, dimension) for dimension in (labels.get("mos") or {})
    }
    template = str(labels.get("path", "{video}"))
    for index, number in enumerate(table.rows):
        where = f"{path}, row {number}"
        cells = {name: to_text(values[index]) for name, values in table.columns.items()}
        video = cells[video_column].replace("\\", "/")
        if not video:
            raise UserError(f"{where}, column {video_column}: it is empty; name the video")
        cells |= {video_column: video, "video": video}
        if split is not None:
            cells["split"] = split
        columns = {name: values[index] for name, values in field_columns.items() if values[index]}
        if split is not None:
            columns.setdefault("split", split)
        yield LabelRow(
            where,
            video,
            fill_template(template, cells, where).lstrip("/").removeprefix("./"),
            _read_rater(labels, cells, where),
            columns,
            {dimension: values[index] for dimension, values in scores.items()},
        )


def _read_rater(labels: Mapping[str, Any], cells: Mapping[str, str], where: str) -> str:
    column = labels.get("rater_column")
    if column is None:
        return str(labels.get("rater", ""))
    if not cells.get(column):
        raise UserError(f"{where}, column {column}: no rater; name one, or correct rater_column")
    return cells[column]


def _read_scores(labels: Mapping[str, Any], table: UserTable, dimension: str) -> list[Score]:
    """Return the scores of one dimension, one per row."""
    missing_codes = [float(code) for code in labels.get("missing_codes", ())]
    column = labels["mos"][dimension]
    values = _read_numbers(table, column, f"mos.{dimension}", missing_codes)
    deviations = _read_optional(table, labels, "sd", dimension)
    counts = _read_optional(table, labels, "n", dimension)
    ends = labels.get("ends")
    if ends and ends[0] >= ends[1]:
        raise UserError(
            f"config, import.labels.ends: {ends[0]:g} is not below {ends[1]:g}; give the lowest "
            "and the highest score"
        )
    scores = []
    for index, value in enumerate(values):
        where = table.describe_cell(column, index)
        if value is not None and ends and not ends[0] <= value <= ends[1]:
            raise UserError(
                f"{where}: {value:g} is outside of the scale {ends[0]:g} to {ends[1]:g} "
                "(import.labels.ends); correct one of them, or list it in missing_codes"
            )
        if value is None:
            scores.append(Score(None, None, None, where))
            continue
        deviation, count = deviations[index], counts[index]
        if deviation is not None and deviation < 0:
            raise UserError(f"{where}: its standard deviation {deviation:g} is below 0; correct it")
        if count is not None and (count < 1 or not count.is_integer()):
            raise UserError(f"{where}: {count:g} is no number of ratings; correct it")
        scores.append(Score(value, deviation, None if count is None else int(count), where))
    return scores


def _read_optional(
    table: UserTable,
    labels: Mapping[str, Any],
    key: str,
    dimension: str,
) -> Sequence[float | None]:
    """Return the standard deviations or numbers of ratings of one dimension, None without them."""
    columns = labels.get(key) or {}
    for name in columns:
        if name not in labels["mos"]:
            raise UserError(
                f"config, import.labels.{key}: no dimension {name!r}; {hint(name, labels['mos'])}"
            )
    if dimension not in columns:
        return [None] * len(table.rows)
    return _read_numbers(table, columns[dimension], f"{key}.{dimension}", ())


def _read_numbers(
    table: UserTable, column: str, key: str, missing_codes: Sequence[float]
) -> list[float | None]:
    """Return the numbers of a column, None where there is none."""
    table.get_column(column, f"import.labels.{key}")
    numbers = table.read_numbers(column)
    if numbers.is_percent:
        raise UserError(
            f"{table.path}, column {column}: the cells are percentages; write numbers on the scale "
            "of the scores"
        )
    if numbers.bad:
        index = numbers.bad[0]
        vote = explain_vote(table.columns[column][index])
        remedy = f"{vote}correct it, or leave it empty if the score is hidden"
        if numbers.bad == [0] and table.separator and table.rows[0] == 1 and len(table.rows) > 1:
            remedy = "if row 1 names the columns, delete 'header' from import.labels"
        raise UserError(
            f"{table.describe_cell(column, index)}: {to_text(table.columns[column][index])!r} is "
            f"not a number; {remedy}"
        )
    values: list[float | None] = []
    for index, value in enumerate(numbers.values):
        if math.isinf(value):
            raise UserError(
                f"{table.describe_cell(column, index)}: not a finite number; correct it"
            )
        values.append(None if math.isnan(value) or value in missing_codes else value)
    return values


def _extract_columns(table: UserTable, column: str, expression: str) -> None:
    """Add a column for each named group of a regular expression that matches a whole column."""
    pattern = compile_expression(expression, "import.labels.extract")
    cells = table.get_column(column, "import.labels.extract")
    added: dict[str, list[Any]] = {name: [] for name in pattern.groupindex}
    for index, cell in enumerate(cells):
        match = pattern.fullmatch(to_text(cell))
        if match is None:
            raise UserError(
                f"{table.describe_cell(column, index)}: {to_text(cell)!r} does not match "
                f"{expression!r} (import.labels.extract); correct one of them"
            )
        for name in added:
            added[name].append(match[name])
    table.columns |= added
