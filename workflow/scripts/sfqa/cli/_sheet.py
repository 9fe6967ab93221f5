"""Tables that a user hands to a subcommand, and small tables for the eye."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sfqa.errors import UserError
from sfqa.sheets import read_table as read_sheet

__all__ = ["SUFFIXES", "check_out", "grid", "read_sheet", "write_table"]
SUFFIXES = (".csv", ".parquet")


def check_out(path: Path | None, option: str, suffixes: Sequence[str] = SUFFIXES) -> None:
    """Refuse a file that could not be written, before the work; no ``suffixes``: a folder."""
    if path is None:
        return
    if suffixes and path.suffix.lower() not in suffixes:
        raise UserError(f"{option} {path}: give a name that ends with {' or '.join(suffixes)}")
    if suffixes and path.is_dir():
        raise UserError(f"{option} {path}: this is a folder; give a file in it")
    if not suffixes and path.exists() and not path.is_dir():
        raise UserError(f"{option} {path}: this is a file; give a folder")
    if not path.absolute().parent.is_dir():
        raise UserError(f"{option} {path}: there is no folder {path.absolute().parent}; make it")


def write_table(path: Path, rows: Any, table: Any) -> None:
    """Write rows of a kind of table as .csv or .parquet, checked, whole and by rename."""
    from sfqa import store

    if path.suffix.lower() == ".parquet":
        store.write(table, rows, path)
        return
    arrow = store.to_arrow(table, rows).sort_by([(k, "ascending") for k in table.key])
    with store.replacing(path) as part, open(part, "w", newline="", encoding="utf-8") as handle:
        lines = csv.writer(handle, lineterminator="\n")
        lines.writerow(arrow.column_names)
        for row in arrow.to_pylist():
            lines.writerow(["" if value is None else value for value in row.values()])


def grid(rows: Sequence[dict[str, Any]], columns: Sequence[str], most: int = 0) -> str:
    """Return some columns of rows as text: words to the left, numbers to the right, '-' for none.

    ``most``: rows shown at most (0: all); a line says how many more there are.

    >>> print(grid([{"a": "x", "b": 1.23456789}, {"a": "yy", "b": None}], ["a", "b"]))
    a         b
    x   1.23457
    yy        -
    """
    shown = rows[:most] if most else rows
    cells = [[_cell(row[name]) for name in columns] for row in shown]
    numbers = [any(isinstance(row[name], (int, float)) for row in shown) for name in columns]
    lines = _aligned([list(columns), *cells], numbers)
    if len(rows) > len(shown):
        lines.append(f"... and {len(rows) - len(shown)} more")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _aligned(rows: Sequence[Sequence[str]], to_the_right: Sequence[bool]) -> list[str]:
    from sfqa.cli._show import _length

    widths = [max(map(_length, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        parts = [
            " " * (width - _length(cell)) + cell if right else cell + " " * (width - _length(cell))
            for cell, width, right in zip(row, widths, to_the_right, strict=True)
        ]
        lines.append("  ".join(parts).rstrip())
    return lines
