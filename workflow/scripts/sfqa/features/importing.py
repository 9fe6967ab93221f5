"""Import a table of ready features and MOS (mode ``import_features``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from sfqa import identity, tables
from sfqa.arrays import Floats
from sfqa.errors import UserError, hint
from sfqa.features import base
from sfqa.features.columns import explain_left_out, list_features, read_source
from sfqa.sample_fields import compile_expression, encode_keys
from sfqa.splits.official import check_split_name
from sfqa.user_tables import UserTable
from sfqa.user_tables.numbers import is_empty

VERSION = 2

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
    """What one table of ready features holds: rows of SAMPLES and MOS, and a feature table.

    ``columns``: rows of ``tables.IMPORTED_COLUMNS``, one for each column of the table.
    ``row_notes``: sentences on rows that were left out.
    """

    samples: list[dict[str, Any]]
    features: pa.Table
    mos: list[dict[str, Any]]
    columns: list[dict[str, Any]]
    row_notes: list[str]


def import_table(source: Mapping[str, Any], shards: int) -> Imported:
    """Return the samples, features and MOS of a CSV or Parquet table, one sample a row.

    ``source`` holds ``table`` (path), ``id`` (column of the sample's name), ``pattern`` (optional
    regular expression for the whole id, named groups out of :data:`ROLES` and the names that
    ``keys`` lists) and/or ``columns``
    (role -> column), ``features`` ('all' or column names), ``mos`` (dimension -> column) and
    ``synthetic`` (true for simulated MOS). 'all' takes the columns that
    :func:`sfqa.features.columns.feature_columns` lists. An empty feature cell makes a flawed row,
    an empty MOS a failed one. Raises :class:`UserError` for what the user can mend: columns, ids,
    repeated rows, numbers that can be read in two ways.
    """
    sheet = read_source(source)
    if not sheet.rows:
        raise UserError(f"{sheet.path}: the table has no rows; give one row per sample")
    ids = _read_ids(sheet, _read_column(sheet, source["id"], "import.id"))
    roles = _read_roles(sheet, ids, source)
    mos_columns = dict(source.get("mos") or {})
    for dimension, column in mos_columns.items():
        _read_column(sheet, column, f"import.mos.{dimension}")
    features = _select_features(sheet, source)
    methods = [m or UNKNOWN_METHOD for m in roles.get("method", [None] * len(ids))]
    samples = []
    for number, sample in enumerate(ids):
        row: dict[str, Any] = {ROLES.get(r, r): values[number] for r, values in roles.items()}
        row = {k: v for k, v in row.items() if k in tables.SAMPLES.names} | {
            "keys": encode_keys(row, source)
        }
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
    feature_table = _build_feature_table(sheet, ids, methods, features)
    columns = _describe_columns(sheet, source, features)
    return Imported(samples, feature_table, mos, columns, sheet.row_notes)


def _read_column(sheet: UserTable, name: str, key: str) -> list[Any]:
    return sheet.get_column(name, key)


def _read_ids(sheet: UserTable, cells: Sequence[Any]) -> list[str]:
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
    sheet: UserTable, ids: Sequence[str], source: Mapping[str, Any]
) -> dict[str, list[str | None]]:
    """Return the values of image, clip, method, ... from the pattern, overridden by columns."""
    values_by_role: dict[str, list[str | None]] = {}
    if source.get("pattern"):
        values_by_role |= _match_pattern(sheet, ids, source)
    for role, column in (source.get("columns") or {}).items():
        _check_role(role, "import.columns", source)
        cells = _read_column(sheet, column, f"import.columns.{role}")
        values_by_role[role] = [None if c is None or str(c) == "" else str(c) for c in cells]
    for value, row in zip(values_by_role.get("split", []), sheet.rows, strict=False):
        if value is not None:
            check_split_name(value, f"{sheet.path}, row {row}")
    return values_by_role


def _match_pattern(
    sheet: UserTable, ids: Sequence[str], source: Mapping[str, Any]
) -> dict[str, list[str | None]]:
    text = str(source["pattern"])
    pattern = compile_expression(text, "import.pattern")
    if not pattern.groupindex:
        raise UserError(
            f"config, import.pattern: {text!r} has no named group; "
            f"write (?P<image>...), with names out of {', '.join(ROLES)}"
        )
    for role in pattern.groupindex:
        _check_role(role, "import.pattern", source)
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


def _check_role(role: str, key: str, source: Mapping[str, Any]) -> None:
    roles = [*ROLES, *(source.get("keys") or ())]
    if role not in roles:
        raise UserError(f"config, {key}: nothing is called {role!r}; {hint(role, roles)}")


def _read_numbers(sheet: UserTable, name: str) -> Floats:
    """Convert a column to numbers; NaN for non-numbers, infinite values and truth values."""
    values = np.array(sheet.read_numbers(name).values, np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _select_features(sheet: UserTable, source: Mapping[str, Any]) -> dict[str, Floats]:
    """Return the numbers of the feature columns by name."""
    names = list_features(sheet, source)
    for name in names:
        _read_column(sheet, name, "import.features")
    features = {name: _read_numbers(sheet, name) for name in names}
    for name, values in features.items():
        if not np.isfinite(values).any():
            raise UserError(
                f"{sheet.path}: the column {name!r} (import.features) holds no number; leave it out"
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


def _describe_columns(
    sheet: UserTable, source: Mapping[str, Any], features: Mapping[str, Floats]
) -> list[dict[str, Any]]:
    """Return the rows of ``tables.IMPORTED_COLUMNS``: the use of each column, and what is odd."""
    uses = dict.fromkeys(features, "feature")
    uses |= {column: f"mos {name}" for name, column in (source.get("mos") or {}).items()}
    uses |= {column: str(role) for role, column in (source.get("columns") or {}).items()}
    uses[source["id"]] = "id"
    rows = []
    for name in [*sheet.left_out, *sheet.columns]:
        detail = ""
        if name in sheet.left_out:
            detail = f"left_out: {sheet.left_out[name]}"
        elif name not in uses and source.get("features", "all") == "all":
            detail = f"left_out: {explain_left_out(sheet, name)}".replace("; ", ", ")
        elif uses.get(name) == "feature" and sheet.read_numbers(name).is_percent:
            detail = "percent: the column is in percent, 12% is read as .12"
        status = tables.FLAWED if detail else tables.OK
        row = {"column": name, "use": uses.get(name, "none"), "status": status, "detail": detail}
        rows.append(row)
    return rows


def _describe_problem(cell: Any) -> str:
    if is_empty(cell):
        return "empty"
    return f"{str(cell)[:40]!r}, not a finite number"


def _build_feature_table(
    sheet: UserTable, ids: Sequence[str], methods: Sequence[str], features: Mapping[str, Floats]
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


def _check_percent(sheet: UserTable, column: str) -> None:
    """Raise :class:`UserError` for MOS in percent, whose scale is unclear."""
    if sheet.read_numbers(column).is_percent:
        raise UserError(
            f"{sheet.path}, column {column}: the MOS are in percent; write numbers on their scale"
        )


def _mos_rows(
    sheet: UserTable, ids: Sequence[str], dimension: str, column: str, synthetic: bool
) -> list[dict[str, Any]]:
    cells = sheet.columns[column]
    _check_percent(sheet, column)
    values = _read_numbers(sheet, column)
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
