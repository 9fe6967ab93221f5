"""Scores of real raters from the user's tables, long or wide, every bad cell named."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sfqa.errors import UserError

VERSION = 1
_LONG = frozenset({"table", "rater", "sample_id", "score", "dimension", "dimension_name"})
_WIDE = frozenset({"wide", "sample_id", "dimension_name"})

Grid = tuple[list[str], list[list[str]]]


def import_scores(source: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return rows for ``tables.SCORES`` from a table of a real experiment.

    ``source`` describes a long table, one rating per row (``table``: path; ``rater``,
    ``sample_id``, ``score``: column names; ``dimension``: column name, or ``dimension_name``: the
    one dimension), or a wide one, one column per rater (``wide``: path; ``sample_id``: column
    name; ``dimension_name``; an empty cell is a missing rating). Tables are CSV, TSV or Parquet;
    messages count rows from the header, row 1 (in Parquet, which has none, from the first row).
    Raises :class:`UserError` naming file, row and column for empty names, scores that are no
    finite numbers, and ratings that are there twice.

    >>> import tempfile; path = Path(tempfile.mkdtemp()) / "s.csv"
    >>> _ = path.write_text("video,anna,ben\\nv1,4,5\\nv2,,2\\n")
    >>> rows = import_scores({"wide": str(path), "sample_id": "video", "dimension_name": "q"})
    >>> [(row["rater"], row["sample_id"], row["score"]) for row in rows]
    [('anna', 'v1', 4.0), ('ben', 'v1', 5.0), ('ben', 'v2', 2.0)]
    """
    if ("table" in source) == ("wide" in source):
        raise UserError("ratings source: give either 'table' (long) or 'wide', one of the two")
    allowed = _LONG if "table" in source else _WIDE
    for name in sorted(set(source) - allowed):
        raise UserError(
            f"ratings source: unknown entry {name!r}; it may have {', '.join(sorted(allowed))}"
        )
    return _long(source) if "table" in source else _wide(source)


def _long(source: Mapping[str, str]) -> list[dict[str, Any]]:
    path = Path(source["table"])
    if ("dimension" in source) == ("dimension_name" in source):
        raise UserError(
            f"ratings source {path}: give 'dimension' (a column) or 'dimension_name' "
            "(the one dimension), one of the two"
        )
    header, rows = _read(path)
    wanted = [_entry(source, path, name) for name in ("rater", "sample_id", "score")]
    if "dimension" in source:
        wanted.append(source["dimension"])
    at = [_column(path, header, name) for name in wanted]
    found = []
    for number, row in enumerate(rows, _first(path)):
        cells = [_filled(path, number, name, row[k]) for name, k in zip(wanted, at, strict=True)]
        dimension = cells[3] if len(cells) > 3 else source["dimension_name"]
        score = _number(path, number, wanted[2], cells[2])
        found.append((number, wanted[2], _row(cells[0], cells[1], dimension, score)))
    return _unique(path, found)


def _wide(source: Mapping[str, str]) -> list[dict[str, Any]]:
    path = Path(source["wide"])
    dimension = _entry(source, path, "dimension_name")
    header, rows = _read(path)
    key = _column(path, header, _entry(source, path, "sample_id"))
    raters = [(k, name) for k, name in enumerate(header) if k != key]
    if not raters:
        raise UserError(f"{path}: no column besides {header[key]!r}; add one column per rater")
    found = []
    for number, row in enumerate(rows, _first(path)):
        sample = _filled(path, number, header[key], row[key])
        for k, rater in raters:
            if row[k].strip():
                score = _number(path, number, rater, row[k].strip())
                found.append((number, rater, _row(rater, sample, dimension, score)))
    return _unique(path, found)


def _row(rater: str, sample: str, dimension: str, score: float) -> dict[str, Any]:
    return {
        "rater": rater,
        "sample_id": sample,
        "dimension": dimension,
        "score": score,
        "synthetic": False,
    }


def _unique(path: Path, found: list[tuple[int, str, dict[str, Any]]]) -> list[dict[str, Any]]:
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
    if not path.is_file():
        raise UserError(f"{path}: there is no such table of scores; correct the configuration")
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".tsv", ".parquet"):
        raise UserError(f"{path}: scores are read from .csv, .tsv or .parquet; convert it")
    header, rows = _parquet(path) if suffix == ".parquet" else _text(path, suffix)
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


def _text(path: Path, suffix: str) -> Grid:
    with open(path, newline="", encoding="utf-8-sig") as handle:
        try:
            lines = list(csv.reader(handle, delimiter="\t" if suffix == ".tsv" else ","))
        except (UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"{path}: not a UTF-8 text table ({error}); save it as one") from error
    if not lines:
        raise UserError(f"{path}: the file is empty; it needs a header and one row per rating")
    while len(lines) > 1 and not lines[-1]:  # blank lines at the end, as editors leave them
        lines.pop()
    return [name.strip() for name in lines[0]], lines[1:]


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


def _entry(source: Mapping[str, str], path: Path, name: str) -> str:
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
