"""Every table: its schema (names, types, units, meanings) and its path, one file for each stage.

A new table is one :class:`Table` in the file of its stage. Catalogue, ``docs/outputs.md`` and rules
read it from there. This package imports nothing of the stages, so every
stage can import it.
"""

from __future__ import annotations

from types import ModuleType

from sfqa.tables import (
    conform,
    correlation,
    features,
    generation,
    materials,
    pairs,
    ratings,
    regression,
    report,
    study,
)  # fmt: skip
from sfqa.tables.challenge import LEADERBOARD
from sfqa.tables.conform import CONFORMED
from sfqa.tables.correlation import CORRELATION, CORRELATION_BY_METHOD, SIGNIFICANCE
from sfqa.tables.features import COSTS, FEATURES, IMPORTED_COLUMNS
from sfqa.tables.generation import VIDEOS
from sfqa.tables.materials import CLIPS, IMAGES
from sfqa.tables.pairs import PAIRS, SAMPLES
from sfqa.tables.papers import PUBLISHED
from sfqa.tables.ratings import (
    LABEL_DIFFERENCES,
    MOS,
    MOS_BY_LABEL,
    RATER_REPORT,
    RATERS,
    RATING_NOTES,
    RELIABILITY,
    SCORES,
)  # fmt: skip
from sfqa.tables.regression import LEARNING, PREDICTIONS
from sfqa.tables.report import REJECTS
from sfqa.tables.schema import (
    FAILED,
    FLAWED,
    OK,
    STATUS,
    STATUSES,
    Column,
    Table,
    fill_wildcards,
    flaw,
    has_flaw,
)  # fmt: skip
from sfqa.tables.study import (
    MEASURED,
    PLAN,
    ROLES,
    SCORE_DETAILS,
    SCREEN_MEASURED,
    STUDY_MEDIA,
    STUDY_RATERS,
)

__all__ = [
    "CLIPS", "CONFORMED", "CORRELATION", "CORRELATION_BY_METHOD", "COSTS", "FAILED", "FEATURES",
    "FLAWED", "IMAGES", "IMPORTED_COLUMNS", "LABEL_DIFFERENCES", "LEADERBOARD", "LEARNING",
    "MEASURED", "MOS", "MOS_BY_LABEL", "OK", "PAIRS", "PLAN", "PREDICTIONS", "PUBLISHED",
    "RATERS", "RATER_REPORT", "RATING_NOTES", "REJECTS", "RELIABILITY", "ROLES", "SAMPLES",
    "SCORES", "SCORE_DETAILS", "SCREEN_MEASURED", "SIGNIFICANCE", "STATUS", "STATUSES",
    "STUDY_MEDIA", "STUDY_RATERS", "TABLES", "VIDEOS", "Column", "Table", "fill_wildcards",
    "flaw", "has_flaw", "merged_path", "table_path",
]  # fmt: skip


def _tables_of(*stages: ModuleType) -> dict[str, Table]:
    """Return the tables that the stages' files define, by name, in the order of definition."""
    listed: dict[str, Table] = {}
    for stage in stages:
        for table in vars(stage).values():
            if not isinstance(table, Table) or table is FEATURES:
                continue
            if listed.setdefault(table.name, table) is not table:
                raise ValueError(f"{stage.__name__}: two tables are named {table.name!r}")
    return listed


#: Every table of a dataset by name, in the order of the catalogue. Feature tables are not among
#: them: each extractor adds columns of its own to those of :data:`FEATURES`.
TABLES = _tables_of(
    materials, pairs, generation, conform, features, study, ratings, regression, correlation, report
)
_WITH_PATH = {**TABLES, FEATURES.name: FEATURES}


def table_path(name: str, **wildcards: str) -> str:
    """Return the path of a table from the project's folder, the given wildcards filled.

    Raises ``KeyError`` for an unknown table, ``ValueError`` for a wildcard that the path lacks.

    >>> table_path("mos")
    'results/{dataset}/ratings/mos.parquet'
    >>> table_path("predictions", dataset="demo", metric="ridge")
    'results/demo/regression/ridge/predictions.parquet'
    """
    return fill_wildcards(f"results/{{dataset}}/{_WITH_PATH[name].path}", wildcards)


def merged_path(name: str, **wildcards: str) -> str:
    """Return the path of the file that holds all rows of a table with several files.

    >>> merged_path("conformed")
    'results/{dataset}/conform/videos.parquet'
    """
    return fill_wildcards(f"results/{{dataset}}/{_WITH_PATH[name].merged_path}", wildcards)
