"""Import a table of ready features and MOS (mode ``import_features``)."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sfqa import identity, tables
from sfqa.arrays import Floats
from sfqa.errors import UserError, hint
from sfqa.features import base

VERSION = 1

#: What a pattern's group or an entry of ``columns`` may fill in, and the column of the samples.
ROLES = {
    "image": "image_id",
    "clip": "clip_id",
    "method": "method",
    "prompt": "prompt",
    "split": "split",
    "image_source": "image_source",
    "image_category": "image_category",
    "style": "style",
    "language": "language",
}
#: Label of the generation method where the table tells none.
UNKNOWN_METHOD = "imported"


@dataclass(frozen=True)
class Imported:
    """What one table of ready features holds: rows of SAMPLES and MOS, and a feature table."""

    samples: list[dict[str, Any]]
    features: pa.Table
    mos: list[dict[str, Any]]


@dataclass(frozen=True)
class _Sheet:
    """A table as text or numbers by column; ``rows`` are the row numbers a user would count."""

    path: Path
    columns: dict[str, list[Any]]
    rows: list[int]


def import_table(source: Mapping[str, Any], shards: int) -> Imported:
    """Return the samples, features and MOS of a CSV or Parquet table, one sample a row.

    ``source`` holds ``table`` (path), ``id`` (column of the sample's name), ``pattern`` (optional
    regular expression for the whole id, named groups out of :data:`ROLES`) and/or ``columns``
    (role -> column), ``features`` ('all' or column names), ``mos`` (dimension -> column) and
    ``synthetic`` (true for simulated MOS). 'all' takes every column that holds a number and is
    neither id, role nor MOS. An empty feature cell makes a flawed row, an empty MOS a failed one.
    Raises :class:`UserError` for what the user can mend: columns, ids, repeated rows.
    """
    sheet = _read(Path(source["table"]))
    ids = _read_ids(sheet, _read_column(sheet, source["id"], "import.id"))
    roles = _read_roles(sheet, ids, source)
    mos_columns = dict(source.get("mos") or {})
    for dimension, column in mos_columns.items():
        _read_column(sheet, column, f"import.mos.{dimension}")
    used = {source["id"], *mos_columns.values(), *(source.get("columns") or {}).values()}
    features = _select_features(sheet, source.get("features", "all"), used)
    methods = [m or UNKNOWN_METHOD for m in roles.get("method", [None] * len(ids))]
    samples = []
    for number, sample in enumerate(ids):
        row: dict[str, Any] = {ROLES[role]: values[number] for role, values in roles.items()}
        row |= {"sample_id": sample, "method": methods[number]}
        row["shard"] = identity.shard_of(sample, shards)
        if row.get("image_id") and row.get("clip_id"):
            row["pair_id"] = identity.pair_id(row["image_id"], row["clip_id"])
        samples.append(row)
    mos = [
        row
        for dimension, column in mos_columns.items()
        for row in _mos_rows(sheet, ids, dimension, column, bool(source.get("synthetic", False)))
    ]
    return Imported(samples, _build_feature_table(sheet, ids, methods, features), mos)


def _read(path: Path) -> _Sheet:
    if not path.is_file():
        raise UserError(f"{path}: there is no such table; correct import.table")
    if path.suffix.lower() in (".parquet", ".pq"):
        table = pq.read_table(path)
        names, columns = table.column_names, [c.to_pylist() for c in table.columns]
        rows = list(range(1, table.num_rows + 1))
    elif path.suffix.lower() == ".csv":
        names, columns, rows = _read_csv(path)
    else:
        raise UserError(f"{path}: import.table must be a .csv or a .parquet file; convert it")
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise UserError(f"{path}: the column {twice[0]!r} is there twice; rename one")
    if not rows:
        raise UserError(f"{path}: the table has no rows; give one row per sample")
    return _Sheet(path, dict(zip(names, columns, strict=True)), rows)


def _read_csv(path: Path) -> tuple[list[str], list[list[Any]], list[int]]:
    with open(path, newline="", encoding="utf-8-sig") as handle:
        reader = csv.reader(handle)
        names = [name.strip() for name in next(reader, [])]
        lines, rows = [], []
        for line in reader:
            if not line:
                continue
            if len(line) != len(names):
                raise UserError(
                    f"{path}, row {reader.line_num}: {len(line)} cells where the header has "
                    f"{len(names)}; correct the row (text with commas needs quotes)"
                )
            lines.append([cell.strip() for cell in line])
            rows.append(reader.line_num)
    return names, [list(column) for column in zip(*lines, strict=True)] or [[] for _ in names], rows


def _read_column(sheet: _Sheet, name: str, key: str) -> list[Any]:
    if name not in sheet.columns:
        raise UserError(
            f"{sheet.path}: no column {name!r} ({key}); {hint(name, sheet.columns, 'it has')}"
        )
    return sheet.columns[name]


def _read_ids(sheet: _Sheet, cells: Sequence[Any]) -> list[str]:
    row_of_id: dict[str, int] = {}
    for cell, row in zip(cells, sheet.rows, strict=True):
        if cell is None or str(cell) == "":
            raise UserError(f"{sheet.path}, row {row}: the id is empty; fill it or delete the row")
        if str(cell) in row_of_id:
            raise UserError(
                f"{sheet.path}, row {row}: the id {str(cell)!r} is in row "
                f"{row_of_id[str(cell)]} too; keep one row per sample"
            )
        row_of_id[str(cell)] = row
    return list(row_of_id)


def _read_roles(
    sheet: _Sheet, ids: Sequence[str], source: Mapping[str, Any]
) -> dict[str, list[str | None]]:
    """Return the values of image, clip, method, ... from the pattern, overridden by columns."""
    values_by_role: dict[str, list[str | None]] = {}
    if source.get("pattern"):
        values_by_role |= _match_pattern(sheet, ids, str(source["pattern"]))
    for role, column in (source.get("columns") or {}).items():
        _check_role(role, "import.columns")
        cells = _read_column(sheet, column, f"import.columns.{role}")
        values_by_role[role] = [None if c is None or str(c) == "" else str(c) for c in cells]
    for value, row in zip(values_by_role.get("split", []), sheet.rows, strict=False):
        if value not in (None, "train", "val"):
            raise UserError(
                f"{sheet.path}, row {row}: the split {value!r} is neither 'train' nor 'val'; "
                "correct it or leave it empty"
            )
    return values_by_role


def _match_pattern(sheet: _Sheet, ids: Sequence[str], text: str) -> dict[str, list[str | None]]:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UserError(
            f"config, import.pattern: {text!r} is no regular expression ({error}); correct it"
        ) from error
    if not pattern.groupindex:
        raise UserError(
            f"config, import.pattern: {text!r} has no named group; "
            f"write (?P<image>...), with names out of {', '.join(ROLES)}"
        )
    for role in pattern.groupindex:
        _check_role(role, "import.pattern")
    values_by_role: dict[str, list[str | None]] = {role: [] for role in pattern.groupindex}
    for sample, row in zip(ids, sheet.rows, strict=True):
        match = pattern.fullmatch(sample)
        if match is None:
            raise UserError(
                f"{sheet.path}, row {row}: the id {sample!r} does not match the pattern {text!r}; "
                "correct the id or import.pattern (it must match the whole id)"
            )
        for role, values in values_by_role.items():
            values.append(match.group(role) or None)
    return values_by_role


def _check_role(role: str, key: str) -> None:
    if role not in ROLES:
        raise UserError(f"config, {key}: nothing is called {role!r}; {hint(role, ROLES)}")


def _read_numbers(cells: Sequence[Any]) -> Floats:
    """Convert a column to numbers; NaN for non-numbers, infinite values and truth values."""
    candidates = [None if isinstance(c, bool) else c for c in cells]
    numbers = pd.to_numeric(pd.Series(candidates, dtype=object), errors="coerce")
    values = numbers.to_numpy(np.float64, na_value=np.nan)
    return np.where(np.isfinite(values), values, np.nan)


def _select_features(
    sheet: _Sheet, wanted: str | Sequence[str], used: set[str]
) -> dict[str, Floats]:
    if wanted == "all":
        every = {n: _read_numbers(c) for n, c in sheet.columns.items() if n not in used}
        features = {n: v for n, v in every.items() if np.isfinite(v).any()}
    elif isinstance(wanted, str):
        raise UserError(f"config, import.features: {wanted!r}; write 'all' or a list of columns")
    else:
        features = {n: _read_numbers(_read_column(sheet, n, "import.features")) for n in wanted}
        for name, values in features.items():
            if not np.isfinite(values).any():
                raise UserError(
                    f"{sheet.path}: the column {name!r} (import.features) holds no number; "
                    "leave it out"
                )
    head = {c.name for c in tables.FEATURES.columns}
    for name in features:
        if name in head or not name:
            raise UserError(
                f"{sheet.path}: a feature cannot be called {name!r}, the feature table has a "
                "column of that name; rename it"
            )
    if not features:
        raise UserError(f"{sheet.path}: no column with numbers is left as a feature; add one")
    return features


def _describe_problem(cell: Any) -> str:
    if cell is None or str(cell).strip().lower() in ("", "nan", "na", "n/a", "null", "none"):
        return "empty"
    return f"{str(cell)[:40]!r}, not a finite number"


def _build_feature_table(
    sheet: _Sheet, ids: Sequence[str], methods: Sequence[str], features: Mapping[str, Floats]
) -> pa.Table:
    detail = [""] * len(ids)
    for name, values in features.items():
        for index in np.flatnonzero(np.isnan(values)):
            reason = f"not_a_number: {name} is {_describe_problem(sheet.columns[name][index])}"
            reason = reason.replace("; ", ", ")
            detail[index] = f"{detail[index]}; {reason}" if detail[index] else reason
    feature_columns = [
        base.Feature(n, f"column {n!r} of {sheet.path.name}", dtype="float64") for n in features
    ]
    columns = {n: [None if np.isnan(v) else float(v) for v in x] for n, x in features.items()}
    rows = [
        {
            "sample_id": sample,
            "method": methods[index],
            "key": None,
            "status": tables.FLAWED if detail[index] else tables.OK,
            "detail": detail[index],
            **{n: x[index] for n, x in columns.items()},
        }
        for index, sample in enumerate(ids)
    ]
    return base.build_table(feature_columns, rows)


def _mos_rows(
    sheet: _Sheet, ids: Sequence[str], dimension: str, column: str, synthetic: bool
) -> list[dict[str, Any]]:
    cells = sheet.columns[column]
    values = _read_numbers(cells)
    rows = []
    for sample, cell, value in zip(ids, cells, values, strict=True):
        row: dict[str, Any] = {
            "sample_id": sample,
            "dimension": dimension,
            "mos": None,
            "synthetic": synthetic,
            "status": tables.FAILED,
            "detail": f"no_mos: {column} is {_describe_problem(cell)}".replace("; ", ", "),
        }
        if not np.isnan(value):
            row |= {"mos": float(value), "status": tables.OK, "detail": ""}
        rows.append(row)
    return rows
