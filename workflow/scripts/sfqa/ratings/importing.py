"""Scores of real raters from the user's tables, long or wide, every bad cell named."""

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
_COMMON = frozenset({"dimension_name", "scale", "to", "ignore"})
_LONG = frozenset({"table", "rater", "sample_id", "score", "dimension"}) | _COMMON
_WIDE = frozenset({"wide", "sample_id", "dimension", "columns_are"}) | _COMMON
_MATRIX = frozenset({"matrix"}) | _COMMON
#: Parts of a sample's name that is made of several columns.
_JOIN = "/"

Grid = tuple[list[str], list[list[str]]]
Found = list[tuple[int, str, dict[str, Any]]]


def import_scores(source: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return rows for ``tables.SCORES`` from a table of a real experiment.

    ``source`` describes one of three kinds of table.

    - Long, one rating (or one rating per dimension) per row. ``table``: path; ``rater``,
      ``sample_id``, ``score``: column names; ``dimension``: column name, or ``dimension_name``: the
      one dimension. Several dimensions side by side: ``score`` is a mapping of dimension to column
      (there an empty cell is a missing rating).
    - Wide, one column per rater. ``wide``: path; ``sample_id``: column name; ``dimension_name``, or
      ``dimension``: a column, or ``columns_are``: how the columns are named, such as
      ``{rater}_{dimension}`` (the rater's part as short as possible). An empty cell is a missing
      rating.
    - Matrix, numbers alone, without a header: one row per sample (s0001, ...), one column per
      rater (r001, ...). ``matrix``: path; ``dimension_name``. An empty cell is a missing rating.

    ``sample_id`` may be a list of columns, whose cells are joined by "/". ``ignore`` lists columns
    that are no rater's in a wide table. ``scale``: [worst, best] of the scores as given, or a
    mapping of dimension to that; they are then mapped linearly to ``to`` ([1, 5] if not given), so
    that [0, 10], [0, 100] and the reversed [5, 1] all end on one scale. Without ``scale`` scores
    stay as they are. Tables are CSV, TSV or Parquet; messages count rows from the header, row 1
    (where there is none, from the first row).

    Raises :class:`UserError` naming file, row and column for empty names, scores that are no
    finite numbers or outside their scale, and ratings that are there twice.

    >>> import tempfile; path = Path(tempfile.mkdtemp()) / "s.csv"
    >>> _ = path.write_text("video,anna,ben\\nv1,4,5\\nv2,,2\\n")
    >>> rows = import_scores({"wide": str(path), "sample_id": "video", "dimension_name": "q"})
    >>> [(row["rater"], row["sample_id"], row["score"]) for row in rows]
    [('anna', 'v1', 4.0), ('ben', 'v1', 5.0), ('ben', 'v2', 2.0)]
    """
    kinds = {"table": (_LONG, _long), "wide": (_WIDE, _wide), "matrix": (_MATRIX, _matrix)}
    given = [kind for kind in kinds if kind in source]
    if len(given) != 1:
        raise UserError("ratings source: give 'table' (long), 'wide' or 'matrix', one of them")
    allowed, read = kinds[given[0]]
    for name in sorted(set(source) - allowed):
        raise UserError(f"ratings source: unknown entry {name!r}; {hint(name, sorted(allowed))}")
    path = Path(source[given[0]])
    found = read(path, source)
    return _unique(path, rescale(path, found, source.get("scale"), source.get("to")))


def _long(path: Path, source: Mapping[str, Any]) -> Found:
    score = _entry(source, path, "score")
    several = isinstance(score, Mapping)
    ways = sum(name in source for name in ("dimension", "dimension_name")) + several
    if ways != 1:
        raise UserError(
            f"ratings source {path}: give 'dimension' (a column) or 'dimension_name' (the one "
            "dimension) or a column per dimension in 'score', one of the three"
        )
    header, rows = _read(path)
    rater = _column(path, header, _entry(source, path, "rater"))
    keys = [_column(path, header, name) for name in _several(_entry(source, path, "sample_id"))]
    columns = score if several else {source.get("dimension_name"): score}
    at = {dimension: _column(path, header, name) for dimension, name in columns.items()}
    by_row = _column(path, header, source["dimension"]) if "dimension" in source else None
    found: Found = []
    for number, row in enumerate(rows, _first(path)):

        def filled(k: int, number: int = number, row: list[str] = row) -> str:
            return _filled(path, number, header[k], row[k])

        who, sample = filled(rater), _JOIN.join(filled(k) for k in keys)
        for dimension, k in at.items():
            if several and not row[k].strip():
                continue
            what = filled(by_row) if by_row is not None else str(dimension)
            value = _number(path, number, header[k], filled(k))
            found.append((number, header[k], _row(who, sample, what, value)))
    return found


def _wide(path: Path, source: Mapping[str, Any]) -> Found:
    ways = [name for name in ("dimension_name", "dimension", "columns_are") if name in source]
    if not ways:
        _entry(source, path, "dimension_name")
    if len(ways) > 1:
        raise UserError(f"ratings source {path}: give one of {', '.join(ways)}, not several")
    header, rows = _read(path)
    keys = [_column(path, header, name) for name in _several(_entry(source, path, "sample_id"))]
    by_row = _column(path, header, source["dimension"]) if "dimension" in source else None
    other = {*keys, *(_column(path, header, name) for name in source.get("ignore", ()))}
    raters = [k for k in range(len(header)) if k not in other and k != by_row]
    if not raters:
        raise UserError(f"{path}: no column besides {header[keys[0]]!r}; add one column per rater")
    pattern = source.get("columns_are")
    heads = {k: (header[k], str(source.get("dimension_name"))) for k in raters}
    if pattern is not None:
        heads = {k: _parts(path, header[k], str(pattern)) for k in raters}
    found: Found = []
    for number, row in enumerate(rows, _first(path)):
        sample = _JOIN.join(_filled(path, number, header[k], row[k]) for k in keys)
        what = _filled(path, number, header[by_row], row[by_row]) if by_row is not None else None
        for k in raters:
            if row[k].strip():
                score = _number(path, number, header[k], row[k].strip())
                rater, dimension = heads[k]
                found.append((number, header[k], _row(rater, sample, what or dimension, score)))
    return found


def _matrix(path: Path, source: Mapping[str, Any]) -> Found:
    dimension = str(_entry(source, path, "dimension_name"))
    rows = _cells(path)
    found: Found = []
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise UserError(
                f"{path}, row {number}: {len(row)} cells, but the first row has {len(rows[0])}; "
                "correct it"
            )
        for k, cell in enumerate(row, 1):
            if cell.strip():
                score = _number(path, number, str(k), cell.strip())
                found.append(
                    (number, str(k), _row(f"r{k:03d}", f"s{number:04d}", dimension, score))
                )
    return found


def rescale(path: Path | str, found: Found, scale: Any, to: Any = None) -> Found:
    """Map scores linearly from their scale to another one, [worst, best] each.

    ``found`` holds row number, column and row of every score; ``scale`` is one pair, or a mapping
    of dimension to pair; nothing is changed where it is None. Raises :class:`UserError` for scores
    outside their scale.

    >>> row = {"dimension": "q", "score": 2.0}
    >>> rescale("s.csv", [(2, "mark", row)], [5, 1])[0][2]["score"]
    4.0
    """
    if scale is None:
        if to is not None:
            raise UserError(f"ratings source {path}: 'to' needs the 'scale' of the scores")
        return found
    goal = _ends(path, "to", [1, 5] if to is None else to)
    by_dimension = {
        str(name): _ends(path, f"scale, {name}", ends)
        for name, ends in (scale.items() if isinstance(scale, Mapping) else ())
    }
    one = None if isinstance(scale, Mapping) else _ends(path, "scale", scale)
    for number, column, row in found:
        ends = one or by_dimension.get(row["dimension"])
        if ends is None:
            known = hint(row["dimension"], by_dimension)
            raise UserError(f"ratings source {path}: no scale for {row['dimension']!r}; {known}")
        worst, best = ends
        if not min(ends) <= row["score"] <= max(ends):
            raise UserError(
                f"{path}, row {number}, column {column}: {row['score']:g} is outside the scale of "
                f"{worst:g} to {best:g}; correct it, or the scale"
            )
        share = (row["score"] - worst) / (best - worst)
        row["score"] = goal[0] + share * (goal[1] - goal[0])
    return found


def _ends(path: Path | str, what: str, given: Any) -> tuple[float, float]:
    numbers = isinstance(given, (list, tuple)) and all(
        isinstance(end, (int, float)) and not isinstance(end, bool) and math.isfinite(end)
        for end in given
    )
    if not numbers or len(given) != 2 or given[0] == given[1]:
        raise UserError(
            f"ratings source {path}, {what}: {given!r} is no scale; give [worst, best], "
            "such as [1, 5]"
        )
    return float(given[0]), float(given[1])


def _several(names: Any) -> list[str]:
    return [names] if isinstance(names, str) else [str(name) for name in names]


def _parts(path: Path, column: str, pattern: str) -> tuple[str, str]:
    """Rater and dimension in the name of a column."""
    if any(pattern.count(part) != 1 for part in ("{rater}", "{dimension}")):
        raise UserError(
            f"ratings source {path}: columns_are {pattern!r} needs {{rater}} and {{dimension}} once"
        )
    expression = re.escape(pattern)
    # Dimensions often have the separator in their names, raters seldom.
    for part, any_text in (("rater", ".+?"), ("dimension", ".+")):
        expression = expression.replace(re.escape(f"{{{part}}}"), f"(?P<{part}>{any_text})")
    matched = re.fullmatch(expression, column)
    if matched is None:
        raise UserError(
            f"{path}, row 1: the column {column!r} is not named as {pattern!r}; rename it, or list "
            "it in 'ignore'"
        )
    return matched["rater"], matched["dimension"]


def _row(rater: str, sample: str, dimension: str, score: float) -> dict[str, Any]:
    return {
        "rater": rater,
        "sample_id": sample,
        "dimension": dimension,
        "score": score,
        "synthetic": False,
    }


def _unique(path: Path, found: Found) -> list[dict[str, Any]]:
    if not found:
        raise UserError(f"{path}: the table holds no rating; add some")
    seen: dict[tuple[str, str, str], int] = {}
    for number, column, row in found:
        key = (row["rater"], row["sample_id"], row["dimension"])
        if key in seen:
            raise UserError(
                f"{path}, row {number}, column {column}: rater {key[0]!r} rated {key[1]!r} in row "
                f"{seen[key]} already (dimension {key[2]!r}); keep one of the two"
            )
        seen[key] = number
    return [row for _, _, row in found]


def _read(path: Path) -> Grid:
    """The header and the cells as text; an empty cell is an empty text."""
    if path.suffix.lower() == ".parquet":
        _there(path)
        header, rows = _parquet(path)
    else:
        cells = _cells(path)
        header, rows = [name.strip() for name in cells[0]], cells[1:]
    for name in header:
        if not name:
            raise UserError(f"{path}, row 1: a column has no name; name it")
        if header.count(name) > 1:
            raise UserError(f"{path}, row 1: the column {name!r} is there twice; rename one")
    for number, row in enumerate(rows, _first(path)):
        if len(row) != len(header):
            raise UserError(
                f"{path}, row {number}: {len(row)} cells under {len(header)} columns; correct it"
            )
    return header, rows


def columns_of(path: Path) -> list[str]:
    """Return the names in a table's header; raises :class:`UserError` for what is no table."""
    return _read(path)[0]


def _there(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"{path}: there is no such table of scores; correct the configuration")
    if path.suffix.lower() not in (".csv", ".tsv", ".parquet"):
        raise UserError(f"{path}: scores are read from .csv, .tsv or .parquet; convert it")


def _cells(path: Path) -> list[list[str]]:
    """All lines of a text table, the header included."""
    _there(path)
    if path.suffix.lower() == ".parquet":
        raise UserError(f"{path}: a matrix without names is read from .csv or .tsv; convert it")
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    with open(path, newline="", encoding="utf-8-sig") as handle:
        try:
            lines = list(csv.reader(handle, delimiter=delimiter))
        except (UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"{path}: not a UTF-8 text table ({error}); save it as one") from error
    while len(lines) > 1 and not lines[-1]:  # blank lines at the end, as editors leave them
        lines.pop()
    if not lines:
        raise UserError(f"{path}: the file is empty; it needs a header and one row per rating")
    return lines


def _parquet(path: Path) -> Grid:
    try:
        frame = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path}: not a Parquet file ({error}); write it again") from error
    columns = [column.to_pylist() for column in frame.columns]
    texts = [["" if value is None else str(value) for value in column] for column in columns]
    return frame.column_names, [list(row) for row in zip(*texts, strict=True)]


def _first(path: Path) -> int:
    return 1 if path.suffix.lower() == ".parquet" else 2


def _entry(source: Mapping[str, Any], path: Path, name: str) -> Any:
    if not source.get(name):
        raise UserError(f"ratings source {path}: the entry {name!r} is missing; add it")
    return source[name]


def _column(path: Path, header: list[str], name: str) -> int:
    if name not in header:
        raise UserError(f"{path}: no column {name!r}; the columns are {', '.join(header)}")
    return header.index(name)


def _filled(path: Path, number: int, column: str, cell: str) -> str:
    if not cell.strip():
        raise UserError(f"{path}, row {number}, column {column}: empty; fill it or delete the row")
    return cell.strip()


def _number(path: Path, number: int, column: str, cell: str) -> float:
    try:
        value = math.nan if "_" in cell else float(cell)  # Python reads 1_0 as ten
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{path}, row {number}, column {column}: {cell!r} is no number; correct it")
    return value
