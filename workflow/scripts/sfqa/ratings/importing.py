"""Import of real ratings from users' tables (long, wide or matrix); errors name the cell."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sfqa.errors import UserError, hint

VERSION = 2
_COMMON_KEYS = frozenset({"dimension_name", "scale", "to", "ignore"})
_LONG_KEYS = frozenset({"table", "rater", "sample_id", "score", "dimension"}) | _COMMON_KEYS
_WIDE_KEYS = frozenset({"wide", "sample_id", "dimension", "columns_are"}) | _COMMON_KEYS
_MATRIX_KEYS = frozenset({"matrix"}) | _COMMON_KEYS
#: Joins the parts of a sample's name that comes from several columns.
_SEPARATOR = "/"

#: Column names, and the rows' cells as text.
TextTable = tuple[list[str], list[list[str]]]
#: Row number, column and row of ``tables.SCORES`` for each rating.
Ratings = list[tuple[int, str, dict[str, Any]]]


def import_scores(source: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return rows for ``tables.SCORES`` from a table of a real experiment.

    ``source`` describes one of three formats.

    - Long, one rating (or one rating per dimension) per row. ``table``: path; ``rater``,
      ``sample_id``, ``score``: column names; ``dimension``: column name, or ``dimension_name``: the
      only dimension. For one column per dimension, ``score`` maps dimensions to columns; an empty
      cell is then a missing rating.
    - Wide, one column per rater. ``wide``: path; ``sample_id``: column name; ``dimension_name``, or
      ``dimension``: a column, or ``columns_are``: pattern of the column names, such as
      ``{rater}_{dimension}`` (the rater's part is as short as possible). An empty cell is a missing
      rating.
    - Matrix, numbers without a header: one row per sample (s0001, ...), one column per rater
      (r001, ...). ``matrix``: path; ``dimension_name``. An empty cell is a missing rating.

    ``sample_id`` may be a list of columns, whose cells are joined by "/". ``ignore`` lists columns
    of a wide table that are not raters. ``scale``: [worst, best] of the scores, or a mapping of
    dimension to that; scores are then mapped linearly to ``to`` ([1, 5] by default), so that
    [0, 10], [0, 100] and the reversed [5, 1] all end on one scale. Without ``scale`` scores are
    not changed. Tables are CSV, TSV or Parquet. Messages count rows from the header, which is row 1
    (without a header, from the first row).

    Raises :class:`UserError` naming file, row and column for empty names, scores that are not
    finite numbers or outside their scale, and repeated ratings.

    >>> import tempfile; path = Path(tempfile.mkdtemp()) / "s.csv"
    >>> _ = path.write_text("video,anna,ben\\nv1,4,5\\nv2,,2\\n")
    >>> rows = import_scores({"wide": str(path), "sample_id": "video", "dimension_name": "q"})
    >>> [(row["rater"], row["sample_id"], row["score"]) for row in rows]
    [('anna', 'v1', 4.0), ('ben', 'v1', 5.0), ('ben', 'v2', 2.0)]
    """
    formats = {
        "table": (_LONG_KEYS, _read_long),
        "wide": (_WIDE_KEYS, _read_wide),
        "matrix": (_MATRIX_KEYS, _read_matrix),
    }
    names = [name for name in formats if name in source]
    if len(names) != 1:
        raise UserError("ratings source: give one of 'table' (long), 'wide' and 'matrix'")
    keys, read_ratings = formats[names[0]]
    for name in sorted(set(source) - keys):
        raise UserError(f"ratings source: unknown entry {name!r}; {hint(name, sorted(keys))}")
    path = Path(source[names[0]])
    ratings = read_ratings(path, source)
    return _check_unique(path, rescale(path, ratings, source.get("scale"), source.get("to")))


def _read_long(path: Path, source: Mapping[str, Any]) -> Ratings:
    score = _get_entry(source, path, "score")
    has_several = isinstance(score, Mapping)
    entries = sum(name in source for name in ("dimension", "dimension_name")) + has_several
    if entries != 1:
        raise UserError(
            f"ratings source {path}: give one of 'dimension' (a column), 'dimension_name' (the "
            "only dimension), and in 'score' a column per dimension"
        )
    header, rows = _read_table(path)
    rater = _find_column(path, header, _get_entry(source, path, "rater"))
    sample_columns = _find_sample_columns(path, header, source)
    names = score if has_several else {source.get("dimension_name"): score}
    score_columns = {
        dimension: _find_column(path, header, name) for dimension, name in names.items()
    }
    dimension_column = _find_dimension_column(path, header, source)
    ratings: Ratings = []
    for number, row in enumerate(rows, _first_row(path)):

        def read_cell(k: int, number: int = number, row: list[str] = row) -> str:
            return _require_cell(path, number, header[k], row[k])

        rater_name = read_cell(rater)
        sample = _SEPARATOR.join(read_cell(k) for k in sample_columns)
        for name, k in score_columns.items():
            if has_several and not row[k].strip():
                continue
            dimension = str(name) if dimension_column is None else read_cell(dimension_column)
            value = _parse_number(path, number, header[k], read_cell(k))
            ratings.append((number, header[k], _make_row(rater_name, sample, dimension, value)))
    return ratings


def _read_wide(path: Path, source: Mapping[str, Any]) -> Ratings:
    entries = [name for name in ("dimension_name", "dimension", "columns_are") if name in source]
    if not entries:
        _get_entry(source, path, "dimension_name")
    if len(entries) > 1:
        raise UserError(f"ratings source {path}: give only one of {', '.join(entries)}")
    header, rows = _read_table(path)
    sample_columns = _find_sample_columns(path, header, source)
    dimension_column = _find_dimension_column(path, header, source)
    ignored = {_find_column(path, header, name) for name in source.get("ignore", ())}
    others = {*sample_columns, *ignored, dimension_column}
    rater_columns = [k for k in range(len(header)) if k not in others]
    if not rater_columns:
        raise UserError(
            f"{path}: no column besides {header[sample_columns[0]]!r}; add one column per rater"
        )
    pattern = source.get("columns_are")
    labels = {k: (header[k], str(source.get("dimension_name"))) for k in rater_columns}
    if pattern is not None:
        labels = {k: _parse_column_name(path, header[k], str(pattern)) for k in rater_columns}
    ratings: Ratings = []
    for number, row in enumerate(rows, _first_row(path)):
        cells = [_require_cell(path, number, header[k], row[k]) for k in sample_columns]
        sample = _SEPARATOR.join(cells)
        row_dimension = None
        if dimension_column is not None:
            name = header[dimension_column]
            row_dimension = _require_cell(path, number, name, row[dimension_column])
        for k in rater_columns:
            if row[k].strip():
                score = _parse_number(path, number, header[k], row[k].strip())
                rater, dimension = labels[k]
                rating = _make_row(rater, sample, row_dimension or dimension, score)
                ratings.append((number, header[k], rating))
    return ratings


def _read_matrix(path: Path, source: Mapping[str, Any]) -> Ratings:
    dimension = str(_get_entry(source, path, "dimension_name"))
    rows = _read_cells(path)
    ratings: Ratings = []
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise UserError(
                f"{path}, row {number}: {len(row)} cells, but the first row has {len(rows[0])}; "
                "correct it"
            )
        for k, cell in enumerate(row, 1):
            if cell.strip():
                score = _parse_number(path, number, str(k), cell.strip())
                rating = _make_row(f"r{k:03d}", f"s{number:04d}", dimension, score)
                ratings.append((number, str(k), rating))
    return ratings


def _find_sample_columns(path: Path, header: list[str], source: Mapping[str, Any]) -> list[int]:
    names = _get_entry(source, path, "sample_id")
    names = [names] if isinstance(names, str) else [str(name) for name in names]
    return [_find_column(path, header, name) for name in names]


def _find_dimension_column(path: Path, header: list[str], source: Mapping[str, Any]) -> int | None:
    return _find_column(path, header, source["dimension"]) if "dimension" in source else None


def rescale(path: Path | str, ratings: Ratings, scale: Any, to: Any = None) -> Ratings:
    """Map scores linearly from their scale to another one, [worst, best] each.

    ``scale`` is one pair, or a mapping of dimension to pair; None changes nothing. Raises
    :class:`UserError` for scores outside their scale.

    >>> row = {"dimension": "q", "score": 2.0}
    >>> rescale("s.csv", [(2, "mark", row)], [5, 1])[0][2]["score"]
    4.0
    """
    if scale is None:
        if to is not None:
            raise UserError(f"ratings source {path}: 'to' needs the 'scale' of the scores")
        return ratings
    target = _check_ends(path, "to", [1, 5] if to is None else to)
    by_dimension = {
        str(name): _check_ends(path, f"scale, {name}", ends)
        for name, ends in (scale.items() if isinstance(scale, Mapping) else ())
    }
    common = None if isinstance(scale, Mapping) else _check_ends(path, "scale", scale)
    for number, column, row in ratings:
        ends = common or by_dimension.get(row["dimension"])
        if ends is None:
            raise UserError(
                f"ratings source {path}: no scale for {row['dimension']!r}; "
                f"{hint(row['dimension'], by_dimension)}"
            )
        worst, best = ends
        if not min(ends) <= row["score"] <= max(ends):
            raise UserError(
                f"{path}, row {number}, column {column}: {row['score']:g} is outside the scale of "
                f"{worst:g} to {best:g}; correct it, or the scale"
            )
        share = (row["score"] - worst) / (best - worst)
        row["score"] = target[0] + share * (target[1] - target[0])
    return ratings


def _check_ends(path: Path | str, entry: str, ends: Any) -> tuple[float, float]:
    are_numbers = isinstance(ends, (list, tuple)) and all(
        isinstance(end, (int, float)) and not isinstance(end, bool) and math.isfinite(end)
        for end in ends
    )
    if not are_numbers or len(ends) != 2 or ends[0] == ends[1]:
        raise UserError(
            f"ratings source {path}, {entry}: {ends!r} is not a scale; give [worst, best], "
            "such as [1, 5]"
        )
    return float(ends[0]), float(ends[1])


def _parse_column_name(path: Path, column: str, pattern: str) -> tuple[str, str]:
    """Return rater and dimension from the name of a column."""
    if any(pattern.count(part) != 1 for part in ("{rater}", "{dimension}")):
        raise UserError(
            f"ratings source {path}: columns_are {pattern!r} needs {{rater}} and {{dimension}} once"
        )
    expression = re.escape(pattern)
    # The rater's part is matched lazily: dimensions often contain the separator, raters rarely.
    for part, any_text in (("rater", ".+?"), ("dimension", ".+")):
        expression = expression.replace(re.escape(f"{{{part}}}"), f"(?P<{part}>{any_text})")
    match = re.fullmatch(expression, column)
    if match is None:
        raise UserError(
            f"{path}, row 1: the column {column!r} does not match {pattern!r}; rename it, or list "
            "it in 'ignore'"
        )
    return match["rater"], match["dimension"]


def _make_row(rater: str, sample: str, dimension: str, score: float) -> dict[str, Any]:
    return {
        "rater": rater,
        "sample_id": sample,
        "dimension": dimension,
        "score": score,
        "synthetic": False,
    }


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
    return [row for _, _, row in ratings]


def _read_table(path: Path) -> TextTable:
    """Return header and cells as text; an empty cell is an empty string."""
    if path.suffix.lower() == ".parquet":
        _check_file(path)
        header, rows = _read_parquet(path)
    else:
        cells = _read_cells(path)
        header, rows = [name.strip() for name in cells[0]], cells[1:]
    for name in header:
        if not name:
            raise UserError(f"{path}, row 1: a column has no name; name it")
        if header.count(name) > 1:
            raise UserError(f"{path}, row 1: the column {name!r} occurs twice; rename one")
    for number, row in enumerate(rows, _first_row(path)):
        if len(row) != len(header):
            raise UserError(
                f"{path}, row {number}: {len(row)} cells under {len(header)} columns; correct it"
            )
    return header, rows


def read_columns(path: Path) -> list[str]:
    """Return the column names of a table; raises :class:`UserError` if it cannot be read."""
    return _read_table(path)[0]


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"{path}: there is no such table of scores; correct the configuration")
    if path.suffix.lower() not in (".csv", ".tsv", ".parquet"):
        raise UserError(f"{path}: scores must be .csv, .tsv or .parquet; convert it")


def _read_cells(path: Path) -> list[list[str]]:
    """Return all lines of a text table, including the header."""
    _check_file(path)
    if path.suffix.lower() == ".parquet":
        raise UserError(f"{path}: a matrix must be .csv or .tsv; convert it")
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    with open(path, newline="", encoding="utf-8-sig") as handle:
        try:
            lines = list(csv.reader(handle, delimiter=delimiter))
        except (UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"{path}: not a UTF-8 text table ({error}); save it as one") from error
    while len(lines) > 1 and not lines[-1]:  # blank lines at the end
        lines.pop()
    if not lines:
        raise UserError(f"{path}: the file is empty; it needs a header and one row per rating")
    return lines


def _read_parquet(path: Path) -> TextTable:
    try:
        frame = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path}: not a Parquet file ({error}); write it again") from error
    columns = [column.to_pylist() for column in frame.columns]
    texts = [["" if value is None else str(value) for value in column] for column in columns]
    return frame.column_names, [list(row) for row in zip(*texts, strict=True)]


def _first_row(path: Path) -> int:
    return 1 if path.suffix.lower() == ".parquet" else 2


def _get_entry(source: Mapping[str, Any], path: Path, name: str) -> Any:
    if not source.get(name):
        raise UserError(f"ratings source {path}: the entry {name!r} is missing; add it")
    return source[name]


def _find_column(path: Path, header: list[str], name: str) -> int:
    if name not in header:
        raise UserError(f"{path}: no column {name!r}; the columns are {', '.join(header)}")
    return header.index(name)


def _require_cell(path: Path, number: int, column: str, cell: str) -> str:
    if not cell.strip():
        raise UserError(f"{path}, row {number}, column {column}: empty; fill it or delete the row")
    return cell.strip()


def _parse_number(path: Path, number: int, column: str, cell: str) -> float:
    try:
        value = math.nan if "_" in cell else float(cell)  # Python reads 1_0 as ten
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(
            f"{path}, row {number}, column {column}: {cell!r} is not a number; correct it"
        )
    return value
