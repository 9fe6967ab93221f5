"""The tables of regression: predictions and learning curves."""

from __future__ import annotations

from sfqa.tables.schema import BOOLEAN, FLOAT, INTEGER, STATUS, STRING, Column, Table

PREDICTIONS = Table(
    "predictions",
    "one metric's score of one sample in one dimension, under one protocol and trial",
    (
        Column("metric", STRING, "name of the metric"),
        Column("dimension", STRING, "what is predicted"),
        Column("protocol", STRING, "how train and test were split"),
        Column("trial", INTEGER, "number of the split"),
        Column("sample_id", STRING, "name of the sample"),
        Column("part", STRING, "train, validation or test"),
        Column("prediction", FLOAT, "the metric's score", nullable=True),
        *STATUS,
    ),
    key=("metric", "dimension", "protocol", "trial", "sample_id"),
    path="regression/{metric}/predictions.parquet",
)

LEARNING = Table(
    "learning",
    "one regressor in one dimension, trained on a share of the training groups",
    (
        Column("metric", STRING, "name of the regressor"),
        Column("dimension", STRING, "what is predicted"),
        Column("protocol", STRING, "how train and test were split"),
        Column("share", FLOAT, "share of the training groups that were learnt from", "0..1"),
        Column("groups", FLOAT, "groups learnt from (mean over the fits)"),
        Column("rows", FLOAT, "rows learnt from, with features and a MOS (mean over the fits)"),
        Column(
            "trials", INTEGER, "number of fits: trials of the protocol, times the subsets of each"
        ),
        Column("n", INTEGER, "number of test rows (mean over the fits, rounded down)"),
        Column(
            "srcc", FLOAT, "Spearman rank-order correlation on the test rows, mean", nullable=True
        ),
        Column("srcc_sd", FLOAT, "its standard deviation over the fits (ddof 1)", nullable=True),
        Column("plcc", FLOAT, "Pearson correlation after the mapping, mean", nullable=True),
        Column("plcc_sd", FLOAT, "its standard deviation over the fits (ddof 1)", nullable=True),
        Column("mapping", STRING, "what maps scores to MOS before PLCC"),
        Column("weights", STRING, "weights behind the features: official, random, none"),
        Column("synthetic_mos", BOOLEAN, "true: the MOS come from simulated raters"),
        *STATUS,
    ),
    key=("metric", "dimension", "protocol", "share"),
    path="regression/{metric}/learning.parquet",
)
