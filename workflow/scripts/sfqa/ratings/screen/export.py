"""Export of a study's database: the table of scores, and the table of their details."""

from __future__ import annotations

import datetime
import json
import sqlite3
from pathlib import Path
from typing import Any

import pandas as pd

from sfqa import store, tables
from sfqa.statistics.functions import srcc
from sfqa.tables import SCORE_DETAILS

TableRow = dict[str, Any]

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
        when = datetime.datetime.fromtimestamp(at, datetime.UTC)
        rows.append(
            dict(zip(names, values, strict=True))
            | {"answered_at": when.isoformat(timespec="milliseconds")}
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


def export_tables(connection: sqlite3.Connection, folder: Path) -> tuple[int, int]:
    """Write ``scores.parquet`` and ``score_details.parquet`` and return their numbers of rows."""
    connection.execute("BEGIN")  # so that both tables show the same state of a running study
    details, scores = read_details(connection), read_scores(connection)
    connection.execute("COMMIT")
    store.write(tables.SCORES, scores, folder / tables.SCORES.file_name)
    store.write(SCORE_DETAILS, details, folder / SCORE_DETAILS.file_name)
    return len(scores), len(details)


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
