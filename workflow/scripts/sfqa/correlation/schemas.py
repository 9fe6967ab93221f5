"""The tables of correlation: metrics against MOS, the same by method, metric against metric."""

from __future__ import annotations

import pyarrow as pa

from sfqa.schema import STATUS, Column, Table

_S, _F, _I, _B = pa.string(), pa.float64(), pa.int64(), pa.bool_()

#: The statistics of a row.
STATISTICS = (
    Column("srcc", _F, "Spearman rank-order correlation", nullable=True),
    Column("plcc", _F, "Pearson linear correlation after the mapping", nullable=True),
    Column("krcc", _F, "Kendall rank-order correlation, tau-b", nullable=True),
    Column("rmse", _F, "root mean square error after the mapping", "MOS", nullable=True),
    Column("main_score", _F, "(|srcc| + |plcc|) / 2, NTIRE's main score", nullable=True),
)

INTERVALS = (
    Column("srcc_low", _F, "lower end of its 95 % interval", nullable=True),
    Column("srcc_high", _F, "upper end of its 95 % interval", nullable=True),
    Column("plcc_low", _F, "lower end of its 95 % interval, the mapping held", nullable=True),
    Column("plcc_high", _F, "upper end of its 95 % interval, the mapping held", nullable=True),
    Column("krcc_low", _F, "lower end of its 95 % interval", nullable=True),
    Column("krcc_high", _F, "upper end of its 95 % interval", nullable=True),
    Column("interval", _S, "how the interval of srcc was made, or why there is none"),
)

CORRELATION = Table(
    "correlation",
    "one metric in one dimension, under one protocol, at one level",
    (
        Column("metric", _S, "name of the metric"),
        Column("group", _S, "model type the metric is listed under"),
        Column("kind", _S, "control, zero_shot, regressor or imported"),
        Column("dimension", _S, "what was rated; 'overall' is the mean over dimensions"),
        Column("protocol", _S, "how train and test were split"),
        Column("level", _S, "video: samples; model: means of the methods"),
        Column("pooling", _S, "pooled: all test rows at once; mean, median: over trials"),
        Column("trials", _I, "number of trials"),
        Column("n", _I, "number of test rows (mean over trials, rounded down)"),
        *STATISTICS,
        Column("srcc_sd", _F, "its standard deviation over trials (ddof 1)", nullable=True),
        Column("plcc_sd", _F, "its standard deviation over trials (ddof 1)", nullable=True),
        Column("krcc_sd", _F, "its standard deviation over trials (ddof 1)", nullable=True),
        Column("rmse_sd", _F, "its standard deviation over trials (ddof 1)", "MOS", nullable=True),
        *INTERVALS,
        Column("mapping", _S, "what maps scores to MOS before PLCC and RMSE"),
        Column("weights", _S, "weights behind the features: official, random, none"),
        Column("synthetic_mos", _B, "true: the MOS come from simulated raters"),
        *STATUS,
    ),
    key=("metric", "dimension", "protocol", "level", "pooling"),
)

CORRELATION_BY_METHOD = Table(
    "correlation_by_method",
    "one metric on the videos of one method, in one dimension, under one protocol",
    (
        Column("metric", _S, "name of the metric"),
        Column("group", _S, "model type the metric is listed under"),
        Column("kind", _S, "control, zero_shot, regressor or imported"),
        Column("dimension", _S, "what was rated"),
        Column("protocol", _S, "how train and test were split"),
        Column("method", _S, "label of the generation method"),
        Column("n", _I, "number of its test samples"),
        *STATISTICS,
        *INTERVALS,
        Column("mapping", _S, "what maps scores to MOS before PLCC and RMSE, fitted per method"),
        Column("weights", _S, "weights behind the features: official, random, none"),
        Column("synthetic_mos", _B, "true: the MOS come from simulated raters"),
        *STATUS,
    ),
    key=("metric", "dimension", "protocol", "method"),
)

SIGNIFICANCE = Table(
    "significance",
    "two metrics against each other in one statistic, dimension and protocol",
    (
        Column("dimension", _S, "what was rated; 'overall' is the mean over dimensions"),
        Column("protocol", _S, "how train and test were split"),
        Column("statistic", _S, "srcc, plcc or krcc; video level, pooled"),
        Column("metric_a", _S, "the first metric"),
        Column("metric_b", _S, "the second metric"),
        Column("n", _I, "samples that both have a score of"),
        Column("value_a", _F, "the first metric's statistic on these samples", nullable=True),
        Column("value_b", _F, "the second metric's statistic on these samples", nullable=True),
        Column("difference", _F, "first minus second", nullable=True),
        Column("ci95_low", _F, "lower end of its 95 % interval, paired bootstrap", nullable=True),
        Column("ci95_high", _F, "upper end of its 95 % interval, paired bootstrap", nullable=True),
        Column("p_bootstrap", _F, "two-sided p, paired bootstrap", nullable=True),
        Column("z_steiger", _F, "Steiger's Z for correlated correlations (1980)", nullable=True),
        Column("p_steiger", _F, "its two-sided p, as if samples were independent", nullable=True),
        Column("p_meng", _F, "p of Meng, Rosenthal and Rubin's Z (1992), likewise", nullable=True),
        Column(
            "p_holm", _F, "p_bootstrap after Holm, over the pairs of a statistic", nullable=True
        ),
        Column("significant", _B, "p_holm is below .05"),
        Column("resampled", _S, "what the paired bootstrap drew"),
        Column("synthetic_mos", _B, "true: the MOS come from simulated raters"),
        *STATUS,
    ),
    key=("dimension", "protocol", "statistic", "metric_a", "metric_b"),
)
