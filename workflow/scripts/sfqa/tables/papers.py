"""The printed figures of a paper, in resources/published/."""

from __future__ import annotations

from sfqa.tables.schema import STRING, Column, Table

PUBLISHED = Table(
    "published",
    "one printed figure of one table of a paper",
    (
        Column("group", STRING, "the block that the row stands in, as printed", nullable=True),
        Column("row", STRING, "the row's name, as printed, without the number of its reference"),
        Column("column", STRING, "the heading above the statistic", nullable=True),
        Column("statistic", STRING, "the column's own heading"),
        Column("value", STRING, "the figure with the digits as printed; empty: '-'", nullable=True),
        Column("better", STRING, "higher, lower; empty: words or ranks, no order", nullable=True),
        Column("mark", STRING, "bold, underline, none; empty: the source lost it", nullable=True),
        Column("dataset", STRING, "what was tested on", nullable=True),
        Column("level", STRING, "video or model, as in the correlation table", nullable=True),
        Column("dimension", STRING, "what was rated, as our tables name it", nullable=True),
    ),
)
