"""Import of real ratings from users' tables (long, wide or matrix); errors name the cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sfqa.errors import UserError, hint
from sfqa.ratings.cells import (
    ScoreReader,
    describe_columns,
    get_entry,
    join_samples,
    list_named_columns,
    list_sample_columns,
    make_row,
    require_text,
)
from sfqa.ratings.scales import Ratings, check_ends, rescale
from sfqa.ratings.summary_names import leave_out_summary_names
from sfqa.ratings.wide import read_wide
from sfqa.sample_fields import check_dimensions
from sfqa.tables import FLAWED
from sfqa.user_tables import UserTable, read_table
from sfqa.user_tables.columns import counts_from_start
from sfqa.user_tables.numbers import parse_number

VERSION = 3
_COMMON_KEYS = frozenset({"dimension_name", "scale", "to", "ends", "ignore", "missing_codes"})
_LONG_KEYS = frozenset({"table", "rater", "sample_id", "score", "dimension"}) | _COMMON_KEYS
_WIDE_KEYS = _COMMON_KEYS | {
    "wide", "sample_id", "rater", "dimension", "columns_are", "dimensions"
}  # fmt: skip
_MATRIX_KEYS = frozenset({"matrix"}) | _COMMON_KEYS


def import_scores(
    source: Mapping[str, Any], notes: list[str] | None = None
) -> list[dict[str, Any]]:
    """Return rows for ``tables.SCORES`` from a table of a real experiment.

    ``source`` describes one of three formats.

    - Long, one rating (or one rating per dimension) per row. ``table``: path; ``rater``,
      ``sample_id``, ``score``: column names; ``dimension``: column name, or ``dimension_name``: the
      only dimension. For one column per dimension, ``score`` maps dimensions to columns; an empty
      cell is then a missing rating.
    - Wide. ``wide``: path; ``sample_id``: column name, for one row per sample and one column per
      rater; or ``rater``: column name, for one row per rater and one column per sample, as forms
      export them. ``dimension_name``, or ``dimension``: a column, or ``columns_are``: pattern of
      the column names, such as ``{rater}_{dimension}`` (the rater's part is as short as possible)
      or ``{sample} [{dimension}]``; ``dimensions`` lists the dimensions if the names can be read
      in two ways. An empty cell is a missing rating. Columns and rows of means, deviations and
      counts, and columns of row numbers, are left out.
    - Matrix, numbers without a header: one row per sample (s0001, ...), one column per rater
      (r001, ...). ``matrix``: path; ``dimension_name``. An empty cell is a missing rating.

    ``sample_id`` may be a list of columns, whose cells are joined by "/". ``ignore`` lists columns
    of a wide table that are not raters. ``missing_codes`` lists cells that mean that there is no
    rating, such as -1. ``ends``: [lowest, highest] of the raw scores; others are refused.
    ``scale``: [worst, best] of the scores, or a mapping of dimension to that; scores are then
    mapped linearly to ``to`` ([1, 5] by default), so that [0, 10], [0, 100] and the reversed
    [5, 1] all end on one scale. Without ``scale`` scores are not changed. Tables are read by
    :func:`sfqa.user_tables.read_table`. What is left out is added to ``notes``.

    Raises :class:`UserError` naming file, row and column for empty names, scores that are not
    finite numbers or outside their scale, repeated ratings, and columns that may be summaries.

    >>> import tempfile; path = Path(tempfile.mkdtemp()) / "s.csv"
    >>> _ = path.write_text("video,anna,ben\\nv1,4,5\\nv2,,2\\n")
    >>> rows = import_scores({"wide": str(path), "sample_id": "video", "dimension_name": "q"})
    >>> [(row["rater"], row["sample_id"], row["score"]) for row in rows]
    [('anna', 'v1', 4.0), ('ben', 'v1', 5.0), ('ben', 'v2', 2.0)]
    """
    formats = {
        "table": (_LONG_KEYS, _read_long),
        "wide": (_WIDE_KEYS, read_wide),
        "matrix": (_MATRIX_KEYS, _read_matrix),
    }
    names = [name for name in formats if name in source]
    if len(names) != 1:
        raise UserError("ratings source: give one of 'table' (long), 'wide' and 'matrix'")
    keys, read_ratings = formats[names[0]]
    for name in sorted(set(source) - keys):
        raise UserError(f"ratings source: unknown entry {name!r}; {hint(name, sorted(keys))}")
    path = Path(source[names[0]])
    notes = [] if notes is None else notes
    ratings = read_ratings(path, source, notes)
    if source.get("ends") is not None:
        check_ends(path, ratings, source["ends"])
    return _check_unique(path, rescale(path, ratings, source.get("scale"), source.get("to")))


def describe_source(ratings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description for :func:`import_scores` of the section ``ratings``.

    >>> section = {"source": "table", "path": "s.csv", "columns": {"rater": "who"}, "ends": [1, 5]}
    >>> describe_source(section)
    {'rater': 'who', 'table': 's.csv', 'missing_codes': (), 'ends': [1, 5]}
    """
    source = {**ratings.get("columns", {}), ratings["source"]: ratings["path"]}
    source["missing_codes"] = ratings.get("missing_codes", ())
    if "dimension_name" in ratings:
        source["dimension_name"] = ratings["dimension_name"]
    if "rescale" in ratings:
        return source | {"scale": ratings["rescale"], "to": ratings["ends"]}
    return source | {"ends": ratings["ends"]}


def build_notes(path: Path | str, notes: Iterable[str]) -> list[dict[str, Any]]:
    """Return the rows of ``tables.RATING_NOTES`` for the notes of :func:`import_scores`.

    >>> build_notes("s.csv", ["s.csv: 3 ratings are missing (codes -1)"])[0]["detail"]
    'imported: 3 ratings are missing (codes -1)'
    """
    details = [note.removeprefix(f"{path}: ").replace("; ", ", ") for note in dict.fromkeys(notes)]
    return [
        {"table": str(path), "status": FLAWED, "detail": f"imported: {detail}"}
        for detail in details
    ]


class RatingNames(NamedTuple):
    """The dimensions, samples and raters of a table of ratings, each in the order of the table."""

    dimensions: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()
    raters: tuple[str, ...] = ()


def read_rating_names(ratings: Mapping[str, Any], path: str) -> RatingNames:
    """Return the names in the table of ratings at ``path``, which a section ``ratings`` describes.

    A header without rows is accepted: people may rate the videos after they are made. Raises
    :class:`UserError` for a mistake in the table.
    """
    if ratings["source"] == "study":
        from sfqa import store, tables

        rows = store.to_records(store.read(tables.SCORES, path))
    elif not read_table(path, "scores").rows:
        return RatingNames()
    else:
        rows = import_scores(describe_source(ratings))
    columns = (
        tuple(dict.fromkeys(str(row[name]) for row in rows))
        for name in ("dimension", "sample_id", "rater")
    )
    return RatingNames(*columns)


def read_columns(path: Path) -> list[str]:
    """Return the column names of a table; raises :class:`UserError` if it cannot be read."""
    return list(read_table(path, "scores").columns)


def _read_long(path: Path, source: Mapping[str, Any], notes: list[str]) -> Ratings:
    score = get_entry(source, path, "score")
    has_several = isinstance(score, Mapping)
    entries = sum(name in source for name in ("dimension", "dimension_name")) + has_several
    if entries != 1:
        raise UserError(
            f"ratings source {path}: give one of 'dimension' (a column), 'dimension_name' (the "
            "only dimension), and in 'score' a column per dimension"
        )
    rater = get_entry(source, path, "rater")
    sample_columns = list_sample_columns(source, path)
    score_columns = dict(score) if has_several else {source.get("dimension_name"): score}
    table = read_table(path, "scores", named=list_named_columns(source))
    needed = [rater, *sample_columns, *score_columns.values()]
    for name in needed + ([source["dimension"]] if "dimension" in source else []):
        if name not in table.columns:
            raise UserError(
                f"{path}: no column {name!r}; {describe_columns(name, list(table.columns))}; "
                f"a table with one column per rater or per video is wide: {_describe_wide(table)}"
            )
    reader = ScoreReader(table, source)
    scores = {column: reader.read_scores(column) for column in score_columns.values()}
    ratings: Ratings = []
    for index, number in enumerate(table.rows):
        rater_name = require_text(table, rater, index)
        sample = join_samples(table, sample_columns, index)
        for name, column in score_columns.items():
            dimension = str(name)
            if "dimension" in source:
                dimension = require_text(table, source["dimension"], index)
            value = scores[column][index]
            if value is None:
                if not has_several and index not in reader.coded[column]:
                    require_text(table, column, index)
                continue
            ratings.append((number, column, make_row(rater_name, sample, dimension, value)))
    notes += table.notes + reader.notes
    return leave_out_summary_names(path, ratings, notes)


def _describe_wide(table: UserTable) -> str:
    """Return how to write in the configuration and on the command line that a table is wide."""
    first = next(iter(table.columns))
    return (
        f"source: wide with columns: {{rater: {first}}} if each row is a rater, {{sample_id: "
        f"{first}}} if each row is a video (sfqa mos: --wide --rater {first!r}, or --wide --sample "
        f"{first!r})"
    )


def _read_matrix(path: Path, source: Mapping[str, Any], notes: list[str]) -> Ratings:
    dimension = str(get_entry(source, path, "dimension_name"))
    if path.suffix.lower() in (".parquet", ".pq"):
        raise UserError(f"{path}: a matrix must be .csv or .tsv; convert it")
    table = _split_blanks(read_table(path, "scores", has_header=False))
    first_cells = table.columns["1"]
    if len(table.columns) > 1 and len(first_cells) > 2 and counts_from_start(first_cells):
        notes.append(f"{path}: column 1 counts the rows; if it holds no ratings, delete it")
    reader = ScoreReader(table, source)
    scores = {column: reader.read_scores(column) for column in table.columns}
    ratings: Ratings = []
    for index, number in enumerate(table.rows):
        for column in table.columns:
            value = scores[column][index]
            if value is not None:
                row = make_row(f"r{int(column):03d}", f"s{number:04d}", dimension, value)
                ratings.append((number, column, row))
    notes += table.notes + reader.notes
    return ratings


def _split_blanks(table: UserTable) -> UserTable:
    """Return a matrix whose numbers are separated by blanks alone with a column for each of them.

    Raises :class:`UserError` if 100 200 may also be one number with a separator of thousands.
    """
    cells = [str(cell) for cell in table.columns["1"]]
    if len(table.columns) > 1 or not any(" " in cell for cell in cells):
        return table
    rows = [cell.split() for cell in cells]
    are_numbers = [parse_number(cell) is not None for cell in cells]
    if len({len(row) for row in rows}) > 1 or all(are_numbers):
        index = next((k for k, row in enumerate(rows) if len(row) > 1 and are_numbers[k]), None)
        if index is None:
            return table
        raise UserError(
            f"{table.describe_cell('1', index)}: {cells[index]!r} can be read as one number or as "
            f"{len(rows[index])}; put a comma between two numbers, and write one number without "
            "blanks"
        )
    columns = {str(k + 1): list(column) for k, column in enumerate(zip(*rows, strict=True))}
    return UserTable(table.path, columns, table.rows, " ")


def _check_unique(path: Path, ratings: Ratings) -> list[dict[str, Any]]:
    """Return the rows; raises :class:`UserError` for repeated ratings and for none."""
    if not ratings:
        raise UserError(f"{path}: the table has no ratings; add some")
    row_numbers: dict[tuple[str, str, str], int] = {}
    for number, column, row in ratings:
        key = (row["rater"], row["sample_id"], row["dimension"])
        if key in row_numbers:
            raise UserError(
                f"{path}, row {number}, column {column}: rater {key[0]!r} rated {key[1]!r} in row "
                f"{row_numbers[key]} already (dimension {key[2]!r}); keep one of the two"
            )
        row_numbers[key] = number
    check_dimensions({dimension for _, _, dimension in row_numbers}, str(path))
    return [row for _, _, row in ratings]
