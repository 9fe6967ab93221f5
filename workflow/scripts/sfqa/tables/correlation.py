"""The tables of correlation: metrics against MOS, the same by method, metric against metric."""

from __future__ import annotations

from sfqa.statistics.registry import (
    MAPPED_LABELS,
    RESAMPLED,
    RESAMPLED_NAMES,
    STATISTICS,
    Statistic,
    join_words,
)
from sfqa.tables.schema import BOOLEAN, FLOAT, INTEGER, STATUS, STRING, Column, Table

_TESTED = join_words(RESAMPLED_NAMES, "or")

#: The statistics of a row.
STATISTIC_COLUMNS = (
    *(Column(s.name, FLOAT, s.meaning, s.unit, nullable=True) for s in STATISTICS),
    Column("main_score", FLOAT, "(|srcc| + |plcc|) / 2, NTIRE's main score", nullable=True),
)

_SD_COLUMNS = tuple(
    Column(
        f"{s.name}_sd", FLOAT, "its standard deviation over trials (ddof 1)", s.unit, nullable=True
    )
    for s in STATISTICS
)


def _list_ends(statistic: Statistic) -> list[Column]:
    """Return the columns of the two ends of a statistic's interval."""
    held = ", the mapping held" if statistic.is_mapped else ""
    return [
        Column(
            f"{statistic.name}_{end}",
            FLOAT,
            f"{word} end of its 95 % interval{held}",
            statistic.unit,
            nullable=True,
        )
        for end, word in (("low", "lower"), ("high", "upper"))
    ]


INTERVAL_COLUMNS = (
    *(column for statistic in RESAMPLED for column in _list_ends(statistic)),
    Column("interval", STRING, "how the interval of srcc was made, or why there is none"),
)

CORRELATION = Table(
    "correlation",
    "one metric in one dimension, under one protocol, at one level",
    (
        Column("metric", STRING, "name of the metric"),
        Column("group", STRING, "model type the metric is listed under"),
        Column("kind", STRING, "control, zero_shot, regressor or imported"),
        Column("dimension", STRING, "what was rated; 'overall' is the mean over dimensions"),
        Column("protocol", STRING, "how train and test were split"),
        Column("level", STRING, "video: samples; model: means of the methods"),
        Column("pooling", STRING, "pooled: all test rows at once; mean, median: over trials"),
        Column("trials", INTEGER, "number of trials"),
        Column("n", INTEGER, "number of test rows (mean over trials, rounded down)"),
        *STATISTIC_COLUMNS,
        *_SD_COLUMNS,
        *INTERVAL_COLUMNS,
        Column("mapping", STRING, f"what maps scores to MOS before {MAPPED_LABELS}"),
        Column("weights", STRING, "weights behind the features: official, random, none"),
        Column("synthetic_mos", BOOLEAN, "true: the MOS come from simulated raters"),
        *STATUS,
    ),
    key=("metric", "dimension", "protocol", "level", "pooling"),
    path="correlation/correlation.parquet",
)

CORRELATION_BY_METHOD = Table(
    "correlation_by_method",
    "one metric on the videos of one method, in one dimension, under one protocol",
    (
        Column("metric", STRING, "name of the metric"),
        Column("group", STRING, "model type the metric is listed under"),
        Column("kind", STRING, "control, zero_shot, regressor or imported"),
        Column("dimension", STRING, "what was rated"),
        Column("protocol", STRING, "how train and test were split"),
        Column("method", STRING, "label of the generation method"),
        Column("n", INTEGER, "number of its test samples"),
        *STATISTIC_COLUMNS,
        *INTERVAL_COLUMNS,
        Column(
            "mapping", STRING, f"what maps scores to MOS before {MAPPED_LABELS}, fitted per method"
        ),
        Column("weights", STRING, "weights behind the features: official, random, none"),
        Column("synthetic_mos", BOOLEAN, "true: the MOS come from simulated raters"),
        *STATUS,
    ),
    key=("metric", "dimension", "protocol", "method"),
    path="correlation/by_method.parquet",
)

SIGNIFICANCE = Table(
    "significance",
    "two metrics against each other in one statistic, dimension and protocol",
    (
        Column("dimension", STRING, "what was rated; 'overall' is the mean over dimensions"),
        Column("protocol", STRING, "how train and test were split"),
        Column("statistic", STRING, f"{_TESTED}; video level, pooled"),
        Column("metric_a", STRING, "the first metric"),
        Column("metric_b", STRING, "the second metric"),
        Column("n", INTEGER, "samples that both have a score of"),
        Column("value_a", FLOAT, "the first metric's statistic on these samples", nullable=True),
        Column("value_b", FLOAT, "the second metric's statistic on these samples", nullable=True),
        Column("difference", FLOAT, "first minus second", nullable=True),
        Column(
            "ci95_low", FLOAT, "lower end of its 95 % interval, paired bootstrap", nullable=True
        ),
        Column(
            "ci95_high", FLOAT, "upper end of its 95 % interval, paired bootstrap", nullable=True
        ),
        Column("p_bootstrap", FLOAT, "two-sided p, paired bootstrap", nullable=True),
        Column("z_steiger", FLOAT, "Steiger's Z for correlated correlations (1980)", nullable=True),
        Column(
            "p_steiger", FLOAT, "its two-sided p, as if samples were independent", nullable=True
        ),
        Column(
            "p_meng", FLOAT, "p of Meng, Rosenthal and Rubin's Z (1992), likewise", nullable=True
        ),
        Column(
            "p_holm", FLOAT, "p_bootstrap after Holm, over the pairs of a statistic", nullable=True
        ),
        Column("significant", BOOLEAN, "p_holm is below .05"),
        Column("resampled", STRING, "what the paired bootstrap drew"),
        Column("synthetic_mos", BOOLEAN, "true: the MOS come from simulated raters"),
        *STATUS,
    ),
    key=("dimension", "protocol", "statistic", "metric_a", "metric_b"),
    path="correlation/significance.parquet",
)
