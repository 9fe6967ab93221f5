"""Feature tables as text on the screen, and as files for other programs (CSV, Parquet)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa.cli._extract import Extracted
from sfqa.cli._tables import align_columns, count_columns, write_csv

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_KEY_COLUMNS = ("sample_id", "method", "key", "status", "detail")
_UNTRAINED = "UNTRAINED: its weights are random, its numbers say nothing about a video"


def format_features(conformed: pd.DataFrame, extracted: Extracted, width: int | None) -> str:
    """Return one extractor's table as text: scalars as numbers, tensors as their shapes.

    There is one row per video if that fits ``width`` characters (None: always), otherwise one
    column per video. The status is the worse of the video's and the features'. The reasons are
    listed below the table.
    """
    table = extracted.table
    lines = [_format_title(extracted)]
    if extracted.untrained:
        lines.append(_UNTRAINED)
    columns = [["video", *table.column("sample_id").to_pylist()]]
    columns.append(["status", *_find_worst_statuses(conformed, table)])
    for field in _list_features(table):
        unit = (field.metadata or {}).get(b"unit", b"").decode()
        heading = f"{field.name} ({unit})" if unit else field.name
        columns.append([heading, *_format_cells(table, field)])
    if extracted.untrained:
        columns.append(["weights", *["untrained"] * table.num_rows])
    rows = [list(row) for row in zip(*columns, strict=True)]
    if width is None or _measure_width(rows) <= width:
        lines += ["", *align_columns(rows)]
    else:
        for part in _split_columns(columns, width):
            lines += ["", *align_columns(part)]
    reasons = list(_describe_problems(conformed, table))
    return "\n".join([*lines, *([""] if reasons else []), *reasons])


def _format_title(extracted: Extracted) -> str:
    options = ", ".join(f"{key} {value}" for key, value in extracted.about["options"].items())
    version = extracted.about["version"]
    title = f"{extracted.name} (VERSION {version}), weights: {extracted.weights}"
    return f"{title}, options: {options}" if options else title


def _list_features(table: pa.Table) -> list[pa.Field]:
    return [field for field in table.schema if field.name not in _KEY_COLUMNS]


def _format_cells(table: pa.Table, field: pa.Field) -> Iterator[str]:
    import pyarrow as pa

    from sfqa.features.base import read_tensor

    column = table.column(field.name)
    for row in range(table.num_rows):
        if pa.types.is_list(field.type):
            value = read_tensor(column, field, row)
            yield "-" if value is None else "x".join(map(str, value.shape)) + " numbers"
        else:
            cell = column[row].as_py()
            yield "-" if cell is None else f"{cell:.6g}" if isinstance(cell, float) else str(cell)


def _describe_problems(conformed: pd.DataFrame, table: pa.Table) -> Iterator[str]:
    """Yield a line for each video that has a detail itself or in its feature row."""
    details = zip(conformed["detail"], table.column("detail").to_pylist(), strict=True)
    names = table.column("sample_id").to_pylist()
    statuses = _find_worst_statuses(conformed, table)
    for name, status, parts in zip(names, statuses, details, strict=True):
        reasons = "; ".join(dict.fromkeys(part for part in parts if part))
        if reasons:
            yield f"{name}: {status}, {reasons}"


def _find_worst_statuses(conformed: pd.DataFrame, table: pa.Table) -> list[str]:
    """Return the worse status of each video and its feature row."""
    from sfqa.tables import STATUSES

    pairs = zip(conformed["status"], table.column("status").to_pylist(), strict=True)
    return [max(pair, key=STATUSES.index) for pair in pairs]


def _measure_width(rows: Sequence[Sequence[str]]) -> int:
    """Return the width of the aligned table, whose right-aligned last column fills its lines."""
    return max(map(count_columns, align_columns(rows)))


def _split_columns(columns: Sequence[Sequence[str]], width: int) -> Iterator[list[list[str]]]:
    """Yield the transposed table (a column per video) in parts that fit the width if possible."""
    first, last = 1, 1
    while first < len(columns[0]):
        last = first + 1
        while last < len(columns[0]):
            wider = [[row[0], *row[first : last + 1]] for row in columns]
            if _measure_width(wider) > width:
                break
            last += 1
        yield [[row[0], *row[first:last]] for row in columns]
        first = last


def write_features(
    path: Path, files: Sequence[Path], conformed: pd.DataFrame, extracted: Sequence[Extracted]
) -> None:
    """Write one row per video as CSV (scalars only) or Parquet (with tensors), atomically.

    Columns: ``video``, ``path``, ``sha256``, ``status`` and ``detail`` of the video, then for each
    extractor ``lse.status``, ``lse.detail``, ``lse.version``, ``lse.weights``, ``lse.key`` and its
    features as ``lse.lse_c``. In Parquet a tensor is flat; the column's metadata has axes and inner
    shape, the file's metadata has each extractor's VERSION, options and weights.
    """
    import pyarrow as pa

    from sfqa import store

    table = join_tables(files, conformed, extracted)
    if path.suffix.lower() == ".parquet":
        store.write_arrow(table, path, {item.name: dict(item.about) for item in extracted})
        return
    scalars = [field.name for field in table.schema if not pa.types.is_list(field.type)]
    write_csv(path, scalars, (row.values() for row in table.select(scalars).to_pylist()))


def join_tables(
    files: Sequence[Path], conformed: pd.DataFrame, extracted: Sequence[Extracted]
) -> pa.Table:
    """Return the table that :func:`write_features` writes, one row per video."""
    import pyarrow as pa

    from sfqa.store import to_records

    text = pa.string()
    videos = to_records(conformed)
    fields = [pa.field(name, text) for name in ("video", "path", "sha256", "status", "detail")]
    columns: list[Any] = [
        pa.array([video["sample_id"] for video in videos], text),
        pa.array([str(file) for file in files], text),
        *(pa.array([v[c] for v in videos], text) for c in ("source_sha256", "status", "detail")),
    ]
    for item in extracted:
        table, count = item.table, item.table.num_rows
        leading = {
            "status": table.column("status"),
            "detail": table.column("detail"),
            "version": pa.array([int(item.about["version"])] * count, pa.int64()),
            "weights": pa.array([item.weights] * count, text),
            "key": table.column("key"),
        }
        for name, column in leading.items():
            fields.append(pa.field(f"{item.name}.{name}", column.type))
            columns.append(column)
        for field in _list_features(table):
            fields.append(field.with_name(f"{item.name}.{field.name}"))
            columns.append(table.column(field.name))
    return pa.table(columns, schema=pa.schema(fields))
