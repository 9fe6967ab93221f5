"""Export of a study's database: scores, scores with details, and raters, as Parquet and CSV."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sfqa import store
from sfqa.csv_text import write_rows
from sfqa.ratings.screen.raters import FINISHED, Answers, TableRow, format_time, read_raters
from sfqa.ratings.screen.study import Study
from sfqa.statistics.functions import srcc
from sfqa.tables import SCORE_DETAILS, SCORES

_DETAILS_QUERY = """
SELECT p.rater, p.session, p.position, p.block, p.role, p.sample_id, s.dimension, s.score,
       p.seconds, a.at, a.at - a.served_at, a.details, a.comment
FROM scores s JOIN answers a USING (presentation) JOIN presentations p ON p.id = s.presentation
ORDER BY p.rater, p.session, p.position, s.dimension
"""

_SCORES_QUERY = """
SELECT p.rater, p.sample_id, s.dimension, s.score
FROM scores s JOIN presentations p ON p.id = s.presentation
WHERE p.role = 'test' ORDER BY p.rater, p.session, p.position, s.dimension
"""


def read_details(connection: sqlite3.Connection) -> list[TableRow]:
    """Return a row of :data:`SCORE_DETAILS` for every score, including training and controls."""
    names = [c.name for c in SCORE_DETAILS.columns[:9]]
    rows = []
    for *values, at, since_served, measured, comment in connection.execute(_DETAILS_QUERY):
        rows.append(
            dict(zip(names, values, strict=True))
            | {"answered_at": format_time(at)}
            | {"since_served_sec": since_served}
            | json.loads(measured)
            | {"comment": comment}
        )
    return rows


def read_scores(connection: sqlite3.Connection) -> list[TableRow]:
    """Return rows of ``tables.SCORES`` for the presentations of role test.

    Training, repeats and control clips describe the rater, not the sample.
    """
    names = ("rater", "sample_id", "dimension", "score")
    rows = connection.execute(_SCORES_QUERY)
    return [dict(zip(names, row, strict=True)) | {"synthetic": False} for row in rows]


def export_tables(
    connection: sqlite3.Connection,
    folder: Path,
    study: Study | None = None,
    expected: Answers | None = None,
    finished_only: bool = False,
) -> dict[str, int]:
    """Write the tables of a study as Parquet and as CSV; return the rows of each by file name.

    The tables are ``scores``, ``score_details`` and ``raters``. ``study`` names the questions of
    the profile and the completion code; ``expected`` has the answers of gold and trap clips. With
    ``finished_only``, ``scores`` has only raters who answered all of their videos.
    """
    connection.execute("BEGIN")  # so that all tables show the same state of a running study
    details, scores = read_details(connection), read_scores(connection)
    raters_table, raters = read_raters(connection, study, expected)
    connection.execute("COMMIT")
    if finished_only:
        finished = {row["rater"] for row in raters if row["state"] == FINISHED}
        scores = [row for row in scores if row["rater"] in finished]
    counts = {}
    for table, rows in ((SCORES, scores), (SCORE_DETAILS, details), (raters_table, raters)):
        path = folder / table.file_name
        store.write(table, rows, path, private=True)
        write_csv(table.names, store.load(path).to_pylist(), path.with_suffix(".csv"))
        counts[table.file_name] = len(rows)
    return counts


def write_csv(names: Sequence[str], rows: Iterable[TableRow], path: Path) -> None:
    """Write rows as CSV (UTF-8), atomically and readable by this user only.

    Empty cells are empty, truth values true and false.

    An apostrophe is put before a text that a spreadsheet would run as a formula.
    """
    with (
        store.replacing(path, private=True) as part,
        open(part, "w", newline="", encoding="utf-8") as file,
    ):
        write_rows(file, names, ([_format_cell(row[name]) for name in names] for row in rows))


def _format_cell(value: Any) -> Any:
    """Return what is written for a value.

    >>> _format_cell(True), _format_cell(None), _format_cell(-1.5)
    ('true', '', -1.5)
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value


def compute_agreement(scores: list[TableRow]) -> dict[str, dict[str, float | None]]:
    """Return, per dimension and rater, the SRCC with the mean of the other raters' scores.

    It is None if undefined: too few samples that others also rated, or constant scores.

    >>> rows = [{"rater": r, "sample_id": s, "dimension": "q", "score": v} for r, a in
    ...         {"r1": (1, 2, 3, 4), "r2": (2, 3, 4, 5)}.items() for s, v in zip("abcd", a)]
    >>> compute_agreement(rows)
    {'q': {'r1': 1.0, 'r2': 1.0}}
    """
    agreement: dict[str, dict[str, float | None]] = {}
    if not scores:
        return agreement
    for dimension, part in pd.DataFrame(scores).groupby("dimension", sort=True):
        sample = part.groupby("sample_id")["score"]
        total, count = sample.transform("sum"), sample.transform("size")
        shared = part.assign(others=(total - part["score"]) / (count - 1))[count > 1]
        by_rater: dict[str, float | None] = {str(r): None for r in sorted(part["rater"].unique())}
        for rater, rows in shared.groupby("rater", sort=True):
            by_rater[str(rater)] = srcc(
                rows["score"].to_numpy(float), rows["others"].to_numpy(float)
            )
        agreement[str(dimension)] = by_rater
    return agreement
