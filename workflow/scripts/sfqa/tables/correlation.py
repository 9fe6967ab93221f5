"""The tables of correlation: metrics against MOS, the same by method, metric against metric."""

from __future__ import annotations

from sfqa.tables.schema import BOOLEAN, FLOAT, INTEGER, STATUS, STRING, Column, Table

#: The statistics of a row.
STATISTICS = (
    Column("srcc", FLOAT, "Spearman rank-order correlation", nullable=True),
    Column("plcc", FLOAT, "Pearson linear correlation after the mapping", nullable=True),
    Column("krcc", FLOAT, "Kendall rank-order correlation, tau-b", nullable=True),
    Column("rmse", FLOAT, "root mean square error after the mapping", "MOS", nullable=True),
    Column("main_score", FLOAT, "(|srcc| + |plcc|) / 2, NTIRE's main score", nullable=True),
)

INTERVALS = (
    Column("srcc_low", FLOAT, "lower end of its 95 % interval", nullable=True),
    Column("srcc_high", FLOAT, "upper end of its 95 % interval", nullable=True),
    Column("plcc_low", FLOAT, "lower end of its 95 % interval, the mapping held", nullable=True),
    Column("plcc_high", FLOAT, "upper end of its 95 % interval, the mapping held", nullable=True),
    Column("krcc_low", FLOAT, "lower end of its 95 % interval", nullable=True),
    Column("krcc_high", FLOAT, "upper end of its 95 % interval", nullable=True),
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
        *STATISTICS,
        Column("srcc_sd", FLOAT, "its standard deviation over trials (ddof 1)", nullable=True),
        Column("plcc_sd", FLOAT, "its standard deviation over trials (ddof 1)", nullable=True),
        Column("krcc_sd", FLOAT, "its standard deviation over trials (ddof 1)", nullable=True),
        Column(
            "rmse_sd", FLOAT, "its standard deviation over trials (ddof 1)", "MOS", nullable=True
        ),
        *INTERVALS,
        Column("mapping", STRING, "what maps scores to MOS before PLCC and RMSE"),
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
        *STATISTICS,
        *INTERVALS,
        Column(
            "mapping", STRING, "what maps scores to MOS before PLCC and RMSE, fitted per method"
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
        Column("statistic", STRING, "srcc, plcc or krcc; video level, pooled"),
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
