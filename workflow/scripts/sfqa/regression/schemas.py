"""The tables of regression that are made on request."""

from __future__ import annotations

import pyarrow as pa

from sfqa.schema import STATUS, Column, Table

_S, _F, _I, _B = pa.string(), pa.float64(), pa.int64(), pa.bool_()

LEARNING = Table(
    "learning",
    "one regressor in one dimension, trained on a share of the training groups",
    (
        Column("metric", _S, "name of the regressor"),
        Column("dimension", _S, "what is predicted"),
        Column("protocol", _S, "how train and test were split"),
        Column("share", _F, "share of the training groups that were learnt from", "0..1"),
        Column("groups", _F, "groups learnt from (mean over the fits)"),
        Column("rows", _F, "rows learnt from, with features and a MOS (mean over the fits)"),
        Column("trials", _I, "number of fits: trials of the protocol, times the subsets of each"),
        Column("n", _I, "number of test rows (mean over the fits, rounded down)"),
        Column("srcc", _F, "Spearman rank-order correlation on the test rows, mean", nullable=True),
        Column("srcc_sd", _F, "its standard deviation over the fits (ddof 1)", nullable=True),
        Column("plcc", _F, "Pearson correlation after the mapping, mean", nullable=True),
        Column("plcc_sd", _F, "its standard deviation over the fits (ddof 1)", nullable=True),
        Column("mapping", _S, "what maps scores to MOS before PLCC"),
        Column("weights", _S, "weights behind the features: official, random, none"),
        Column("synthetic_mos", _B, "true: the MOS come from simulated raters"),
        *STATUS,
    ),
    key=("metric", "dimension", "protocol", "share"),
)
