"""Scores out of a study's database: the table of scores, and one with all that goes with them."""

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

Row = dict[str, Any]

_QUERY = """
SELECT p.rater, p.session, p.position, p.block, p.role, p.sample_id, s.dimension, s.score,
       p.seconds, a.at, a.at - a.served_at, a.details, a.comment
FROM scores s JOIN answers a USING (presentation) JOIN presentations p ON p.id = s.presentation
ORDER BY p.rater, p.session, p.position, s.dimension
"""

_COUNTED = """
SELECT p.rater, p.sample_id, s.dimension, s.score
FROM scores s JOIN presentations p ON p.id = s.presentation
WHERE p.role = 'test' ORDER BY p.rater, p.session, p.position, s.dimension
"""


def details(connection: sqlite3.Connection) -> list[Row]:
    """Return a row of :data:`SCORE_DETAILS` for every score, training and checks included."""
    head = [c.name for c in SCORE_DETAILS.columns[:9]]
    rows = []
    for *first, at, since, measured, comment in connection.execute(_QUERY):
        when = datetime.datetime.fromtimestamp(at, datetime.UTC)
        rows.append(
            dict(zip(head, first, strict=True))
            | {"answered_at": when.isoformat(timespec="milliseconds"), "since_served_sec": since}
            | json.loads(measured)
            | {"comment": comment}
        )
    return rows


def scores(connection: sqlite3.Connection) -> list[Row]:
    """Return rows of ``tables.SCORES``: the scores whose role is test.

    Training, repeats and checks say something about the rater, not about the sample.
    """
    names = ("rater", "sample_id", "dimension", "score")
    found = connection.execute(_COUNTED)
    return [dict(zip(names, row, strict=True)) | {"synthetic": False} for row in found]


def export(connection: sqlite3.Connection, folder: Path) -> tuple[int, int]:
    """Write ``scores.parquet`` and ``score_details.parquet`` and return their numbers of rows."""
    connection.execute("BEGIN")  # both tables show the same moment of a study that goes on
    rows, counted = details(connection), scores(connection)
    connection.execute("COMMIT")
    store.write(tables.SCORES, counted, folder / tables.SCORES.file_name)
    store.write(SCORE_DETAILS, rows, folder / SCORE_DETAILS.file_name)
    return len(counted), len(rows)


def agreement(counted: list[Row]) -> dict[str, dict[str, float | None]]:
    """Return, per dimension and rater, SRCC with the mean of the other raters' scores.

    None where it is undefined: too few samples that others rated too, or no spread.

    >>> rows = [{"rater": r, "sample_id": s, "dimension": "q", "score": v} for r, a in
    ...         {"r1": (1, 2, 3, 4), "r2": (2, 3, 4, 5)}.items() for s, v in zip("abcd", a)]
    >>> agreement(rows)
    {'q': {'r1': 1.0, 'r2': 1.0}}
    """
    made: dict[str, dict[str, float | None]] = {}
    if not counted:
        return made
    for dimension, part in pd.DataFrame(counted).groupby("dimension", sort=True):
        sample = part.groupby("sample_id")["score"]
        total, count = sample.transform("sum"), sample.transform("size")
        shared = part.assign(others=(total - part["score"]) / (count - 1))[count > 1]
        made[str(dimension)] = {str(r): None for r in sorted(part["rater"].unique())}
        for rater, mine in shared.groupby("rater", sort=True):
            value = srcc(mine["score"].to_numpy(float), mine["others"].to_numpy(float))
            made[str(dimension)][str(rater)] = value
    return made
