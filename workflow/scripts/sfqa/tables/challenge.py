"""The leaderboard of a challenge phase."""

from __future__ import annotations

from sfqa.statistics.registry import MAPPED_LABELS, STATISTICS
from sfqa.tables.schema import BOOLEAN, FLOAT, INTEGER, STRING, Column, Table

LEADERBOARD = Table(
    "leaderboard",
    "one submission to one phase of a challenge",
    (
        Column(
            "rank", INTEGER, "place among the valid submissions; empty: not ranked", nullable=True
        ),
        Column("team", STRING, "name of the team"),
        Column("main_score", FLOAT, "(|SRCC| + |PLCC|) / 2", nullable=True),
        Column("main_score_low", FLOAT, "lower end of its 95 % interval", nullable=True),
        Column("main_score_high", FLOAT, "upper end of its 95 % interval", nullable=True),
        *(Column(s.name, FLOAT, s.meaning, s.unit, nullable=True) for s in STATISTICS),
        Column("n", INTEGER, "number of videos scored"),
        Column("mapping", STRING, f"what maps scores to MOS before {MAPPED_LABELS}"),
        Column("phase", STRING, "name of the phase"),
        Column("phase_sha256", STRING, "digest of the phase's names and MOS"),
        Column("submission_sha256", STRING, "sha256 of the file"),
        Column("runtime", STRING, "as readme.txt says: seconds per video", nullable=True),
        Column("cpu_or_gpu", STRING, "as readme.txt says: CPU 1, GPU 0", nullable=True),
        Column("extra_data", STRING, "as readme.txt says: extra data 1, none 0", nullable=True),
        Column("llm", STRING, "as readme.txt says: LLM 1, none 0", nullable=True),
        Column("description", STRING, "as readme.txt says", nullable=True),
        Column("baseline", BOOLEAN, "true: shown for comparison, not ranked"),
        Column("status", STRING, "ok; flawed (scored, something to know); failed (not valid)"),
        Column("detail", STRING, "why the row is not ok"),
    ),
    key=("team",),
)
