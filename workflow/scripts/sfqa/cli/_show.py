"""Feature tables for the eye (text) and for other programs (CSV, Parquet)."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa.cli._extract import Extracted

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_HEAD = ("sample_id", "method", "key", "status", "detail")
_GAP = "  "
_UNTRAINED = "UNTRAINED: its weights are random, its numbers say nothing about a video"


def screen(conformed: pd.DataFrame, made: Extracted, width: int | None) -> str:
    """Return one extractor's table as text: scalars as numbers, tensors as their shapes.

    One row per video where that fits ``width`` characters (None: always), else one column per
    video. The status is the worse one of the video and of its features; below stand the reasons.
    """
    lines = [_title(made)]
    if made.untrained:
        lines.append(_UNTRAINED)
    columns = [("video", made.table.column("sample_id").to_pylist())]
    columns += [("status", _worst(conformed, made.table))]
    for field in _features(made.table):
        cells = list(_cells(made.table, field))
        unit = (field.metadata or {}).get(b"unit", b"").decode()
        columns.append((f"{field.name} ({unit})" if unit else field.name, cells))
    if made.untrained:
        columns.append(("weights", ["untrained"] * made.table.num_rows))
    grid = [[name, *cells] for name, cells in columns]
    rows = [list(row) for row in zip(*grid, strict=True)]
    if width is None or _width(rows) <= width:
        lines += ["", *_aligned(rows)]
    else:
        for part in _parts(grid, width):
            lines += ["", *_aligned(part)]
    reasons = list(_reasons(conformed, made.table))
    return "\n".join([*lines, *([""] if reasons else []), *reasons])


def _title(made: Extracted) -> str:
    options = ", ".join(f"{key} {value}" for key, value in made.about["options"].items())
    title = f"{made.name} (VERSION {made.about['version']}), weights: {made.weights}"
    return f"{title}, options: {options}" if options else title


def _features(table: pa.Table) -> list[pa.Field]:
    return [field for field in table.schema if field.name not in _HEAD]


def _cells(table: pa.Table, field: pa.Field) -> Iterator[str]:
    import pyarrow as pa

    from sfqa.features.base import tensor

    column = table.column(field.name)
    for row in range(table.num_rows):
        if pa.types.is_list(field.type):
            value = tensor(column, field, row)
            yield "-" if value is None else "x".join(map(str, value.shape)) + " numbers"
        else:
            cell = column[row].as_py()
            yield "-" if cell is None else f"{cell:.6g}" if isinstance(cell, float) else str(cell)


def _reasons(conformed: pd.DataFrame, table: pa.Table) -> Iterator[str]:
    """What is wrong with the videos themselves and with their rows, each once."""
    details = zip(conformed["detail"], table.column("detail").to_pylist(), strict=True)
    names = table.column("sample_id").to_pylist()
    for name, status, parts in zip(names, _worst(conformed, table), details, strict=True):
        told = "; ".join(dict.fromkeys(part for part in parts if part))
        if told:
            yield f"{name}: {status}, {told}"


def _worst(conformed: pd.DataFrame, table: pa.Table) -> list[str]:
    """The status of each video or that of its row, whichever is worse."""
    from sfqa.tables import STATUSES

    both = zip(conformed["status"], table.column("status").to_pylist(), strict=True)
    return [max(pair, key=STATUSES.index) for pair in both]


def _length(text: str) -> int:
    """Columns on a terminal: East Asian characters take two, combining marks none."""
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(_length, column)) for column in zip(*rows, strict=True)]


def _width(rows: Sequence[Sequence[str]]) -> int:
    widths = _widths(rows)
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with the first column to the left and the others to the right."""
    widths = _widths(rows)
    lines = []
    for row in rows:
        spaces = [" " * (width - _length(cell)) for cell, width in zip(row, widths, strict=True)]
        others = [space + cell for space, cell in zip(spaces[1:], row[1:], strict=True)]
        lines.append(_GAP.join([row[0] + spaces[0], *others]).rstrip())
    return lines


def _parts(grid: Sequence[Sequence[str]], width: int) -> Iterator[list[list[str]]]:
    """The turned table (a column per video) in parts, each within the width if it can be."""
    first, last = 1, 1
    while first < len(grid[0]):
        last = first + 1
        while last < len(grid[0]):
            wider = [[row[0], *row[first : last + 1]] for row in grid]
            if _width(wider) > width:
                break
            last += 1
        yield [[row[0], *row[first:last]] for row in grid]
        first = last


def write(
    path: Path, files: Sequence[Path], conformed: pd.DataFrame, made: list[Extracted]
) -> None:
    """Write one row per video: CSV (scalars) or Parquet (tensors, too), whole and by rename.

    Columns: ``video``, ``path``, ``sha256``, ``status`` and ``detail`` of the video, then for each
    extractor ``lse.status``, ``lse.detail``, ``lse.version``, ``lse.weights``, ``lse.key`` and its
    features as ``lse.lse_c``. In Parquet a tensor is flat; the column's metadata has axes and inner
    shape, the file's has each extractor's VERSION, options and weights.
    """
    from sfqa import store

    table = joined(files, conformed, made)
    if path.suffix.lower() == ".parquet":
        store.write_arrow(table, path, {one.name: dict(one.about) for one in made})
        return
    import pyarrow as pa

    flat = [field.name for field in table.schema if not pa.types.is_list(field.type)]
    with store.replacing(path) as part, open(part, "w", newline="", encoding="utf-8") as handle:
        lines = csv.writer(handle, lineterminator="\n")
        lines.writerow(flat)
        for row in table.select(flat).to_pylist():
            lines.writerow(["" if row[name] is None else row[name] for name in flat])


def joined(files: Sequence[Path], conformed: pd.DataFrame, made: list[Extracted]) -> pa.Table:
    """Return the tables of all extractors side by side, one row per video (:func:`write`)."""
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
    for one in made:
        count = one.table.num_rows
        about = {
            "status": one.table.column("status"),
            "detail": one.table.column("detail"),
            "version": pa.array([int(one.about["version"])] * count, pa.int64()),
            "weights": pa.array([one.weights] * count, text),
            "key": one.table.column("key"),
        }
        for name, column in about.items():
            fields.append(pa.field(f"{one.name}.{name}", column.type))
            columns.append(column)
        for field in _features(one.table):
            fields.append(field.with_name(f"{one.name}.{field.name}"))
            columns.append(one.table.column(field.name))
    return pa.table(columns, schema=pa.schema(fields))
