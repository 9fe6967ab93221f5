"""Sheets that users write: CSV read as text, every mistake named by file, row and column."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from sfqa.errors import UserError, hint

IMAGE_COLUMNS = ("image_id", "path", "source", "category", "licence")
CLIP_COLUMNS = ("clip_id", "path", "style", "language", "origin", "title")
IMAGE_CHOICES = {"source": ("real", "ai", "synthetic")}
CLIP_CHOICES = {"origin": ("recorded", "ai", "synthetic")}
_ID = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-")


def read_sheet(
    path: Path | str,
    columns: Sequence[str],
    choices: dict[str, tuple[str, ...]],
    optional: Sequence[str] = ("licence", "title"),
) -> list[dict[str, str]]:
    """Return a sheet's rows; the column ``path`` is resolved against the sheet's folder.

    The first of ``columns`` is the name of the row: letters, digits and ``_ . + -`` without a
    double underscore, once only. Raises :class:`UserError` naming file, row and column.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: there is no such sheet; write one or correct the configuration")
    with open(path, newline="", encoding="utf-8-sig") as handle:
        reader = csv.DictReader(handle)
        header = list(reader.fieldnames or [])
        rows = list(reader)
    for name in header:
        if name not in columns:
            raise UserError(
                f"{path}: unknown column {name!r}; {hint(name, columns, 'it may have')}"
            )
    for name in columns:
        if name not in header and name not in optional:
            raise UserError(f"{path}: the column {name!r} is missing; add it")
    if not rows:
        raise UserError(f"{path}: the sheet has no rows; add one per file")
    seen: dict[str, int] = {}
    key = columns[0]
    for number, row in enumerate(rows, 2):
        where = f"{path}, row {number}"
        for name in columns:
            value = (row.get(name) or "").strip()
            row[name] = value
            if not value and name not in optional:
                raise UserError(f"{where}, column {name}: empty; fill it")
            if name in choices and value not in choices[name]:
                allowed = ", ".join(choices[name])
                raise UserError(f"{where}, column {name}: {value!r} is none of {allowed}")
        if not set(row[key]) <= _ID or "__" in row[key] or row[key][0] in "-.":
            raise UserError(
                f"{where}, column {key}: {row[key]!r} may hold letters, digits and _ . + - only, "
                "no double underscore, and may not begin with - or ."
            )
        if row[key] in seen:
            raise UserError(
                f"{where}, column {key}: {row[key]!r} is in row {seen[row[key]]} too; rename one"
            )
        seen[row[key]] = number
        row["path"] = str(path.parent / row["path"])
    return rows
