"""Tables of the subcommands: printed as aligned text, written as CSV or Parquet."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sfqa.csv_text import write_rows
from sfqa.errors import UserError

SUFFIXES = (".csv", ".parquet")
_GAP = "  "


def check_out(path: Path | None, option: str, suffixes: Sequence[str] = SUFFIXES) -> None:
    """Raise :class:`UserError` for an output path that cannot be written, before any work is done.

    ``suffixes``: the file types that are allowed; empty if the output is a folder.
    """
    if path is None:
        return
    if suffixes and path.suffix.lower() not in suffixes:
        raise UserError(f"{option} {path}: give a name that ends with {' or '.join(suffixes)}")
    if suffixes and path.is_dir():
        raise UserError(f"{option} {path}: this is a folder; give a file in it")
    if not suffixes and path.exists() and not path.is_dir():
        raise UserError(f"{option} {path}: this is a file; give a folder")
    if not path.absolute().parent.is_dir():
        raise UserError(
            f"{option} {path}: there is no folder {path.absolute().parent}; create it first"
        )


def write_table(path: Path, rows: Any, table: Any) -> None:
    """Write rows of a table's schema as .csv or .parquet, validated and atomically."""
    from sfqa import store

    if path.suffix.lower() == ".parquet":
        store.write(table, rows, path)
        return
    arrow = store.to_arrow(table, rows).sort_by([(k, "ascending") for k in table.key])
    write_csv(path, arrow.column_names, (row.values() for row in arrow.to_pylist()))


def write_csv(path: Path, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write rows as CSV atomically; None becomes an empty cell."""
    from sfqa import store

    with store.replacing(path) as part, open(part, "w", newline="", encoding="utf-8") as handle:
        write_rows(handle, columns, rows)


def format_table(rows: Sequence[dict[str, Any]], columns: Sequence[str], limit: int = 0) -> str:
    """Return some columns of rows as text: words left-aligned, numbers right-aligned, '-' for None.

    ``limit``: the number of rows to show (0: all). A last line counts the rows that are not shown.

    >>> print(format_table([{"a": "x", "b": 1.23456789}, {"a": "yy", "b": None}], ["a", "b"]))
    a         b
    x   1.23457
    yy        -
    """
    visible = rows[:limit] if limit else rows
    cells = [[_format_cell(row[name]) for name in columns] for row in visible]
    numeric = [any(isinstance(row[name], (int, float)) for row in visible) for name in columns]
    lines = align_columns([list(columns), *cells], numeric)
    if len(rows) > len(visible):
        lines.append(f"... and {len(rows) - len(visible)} more")
    return "\n".join(lines)


def _format_cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def align_columns(rows: Sequence[Sequence[str]], right: Sequence[bool] | None = None) -> list[str]:
    """Return a line per row with the cells padded to the width of their column.

    ``right``: whether each column is right-aligned; by default all except the first.

    >>> align_columns([["video", "n"], ["歌", "10"]])
    ['video   n', '歌     10']
    """
    right = right or [number > 0 for number in range(len(rows[0]))]
    widths = [max(map(count_columns, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = []
        for cell, width, is_right in zip(row, widths, right, strict=True):
            padding = " " * (width - count_columns(cell))
            cells.append(padding + cell if is_right else cell + padding)
        lines.append(_GAP.join(cells).rstrip())
    return lines


def count_columns(text: str) -> int:
    """Return the columns that a text takes on a terminal.

    East Asian wide characters take two, combining marks none.

    >>> count_columns("abc歌")
    5
    """
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )
