"""The table of the report: the rows that are not ok."""

from __future__ import annotations

from sfqa.tables.schema import STATUS, STRING, Column, Table

REJECTS = Table(
    "rejects",
    "one row of any stage that is not ok",
    (
        Column("stage", STRING, "stage that found it"),
        Column("item", STRING, "image, clip, sample or rater"),
        Column("method", STRING, "label of the generation method", nullable=True),
        *STATUS,
    ),
    key=("stage", "item", "detail"),
    path="rejects.parquet",
)
