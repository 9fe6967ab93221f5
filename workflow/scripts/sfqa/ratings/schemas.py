"""The tables that a study adds to those of :mod:`sfqa.tables`: plan, rater report, reliability."""

from __future__ import annotations

import pyarrow as pa

from sfqa.schema import STATUS, Column, Table

_S, _F, _I, _B = pa.string(), pa.float64(), pa.int64(), pa.bool_()

PLAN = Table(
    "plan",
    "one presentation of one sample to one rater",
    (
        Column("rater", _S, "name of the rater"),
        Column("session", _I, "number of the session, from 1"),
        Column("position", _I, "place inside the session, from 1"),
        Column("sample_id", _S, "name of the sample"),
        Column("role", _S, "training, test, repeat, gold or trap"),
        Column("block", _I, "part of the session between two breaks, from 1"),
        Column("seconds", _F, "length of the video", "second"),
    ),
    key=("rater", "session", "position"),
)

RATER_REPORT = Table(
    "rater_report",
    "one rater in one dimension: habits, agreement, checks, and what is odd",
    (
        Column("dimension", _S, "what was rated"),
        Column("rater", _S, "name of the rater"),
        Column("n", _I, "number of ratings that count"),
        Column("bias", _F, "mean distance from the mean opinion (P.913)", "raw scale", True),
        Column("inconsistency", _F, "sd of what is left of it (P.910)", "raw scale", True),
        Column("agreement_srcc", _F, "SRCC with the mean of the others", nullable=True),
        Column("repeats", _I, "videos rated a second time", nullable=True),
        Column(
            "repeat_difference", _F, "mean absolute difference of their scores", "raw scale", True
        ),
        Column("gold", _I, "gold clips with a known answer", nullable=True),
        Column("gold_passed", _I, "of these, answered as expected", nullable=True),
        Column("traps", _I, "trap clips with a known answer", nullable=True),
        Column("traps_passed", _I, "of these, answered as expected", nullable=True),
        Column("longest_run", _I, "most equal scores in a row, as shown", nullable=True),
        Column("entropy_bits", _F, "entropy of the distribution of scores", "bit", True),
        Column("least_session_variance", _F, "least variance of a session of 10 or more", "", True),
        Column("videos_timed", _I, "videos with a measured play time", nullable=True),
        Column("over_played", _F, "share played over 115 % of their length", "0..1", True),
        Column("under_played", _F, "share played under 95 % of their length", "0..1", True),
        Column("video_seconds", _F, "median of play and answer time", "second", True),
        Column("rejected", _B, "true: left out of the MOS"),
        *STATUS,
    ),
    key=("dimension", "rater"),
)

LABEL_DIFFERENCES = Table(
    "label_differences",
    "two labels of one kind in one dimension",
    (
        Column("label_kind", _S, "what the label is: method, image_category, style, language, ..."),
        Column("dimension", _S, "what was rated"),
        Column("label_a", _S, "the first label"),
        Column("label_b", _S, "the second label"),
        Column("test", _S, "paired t or Welch t"),
        Column("unit", _S, "what was compared: pair or sample"),
        Column("n_a", _I, "units of the first label"),
        Column("n_b", _I, "units of the second label"),
        Column("difference", _F, "mean MOS of the first minus the second", nullable=True),
        Column("ci95_low", _F, "lower end of its 95 % interval", nullable=True),
        Column("ci95_high", _F, "upper end of its 95 % interval", nullable=True),
        Column("p", _F, "two-sided p-value", nullable=True),
        Column("p_holm", _F, "p after Holm, over one kind and dimension", nullable=True),
        Column("significant", _B, "p_holm is below .05"),
        *STATUS,
    ),
    key=("label_kind", "dimension", "label_a", "label_b"),
)

RELIABILITY = Table(
    "reliability",
    "one dimension of a study: how far its MOS can be trusted",
    (
        Column("dimension", _S, "what was rated"),
        Column("samples", _I, "samples with a rating"),
        Column("raters", _I, "raters with a rating"),
        Column("ratings", _I, "ratings"),
        Column("least_ratings", _I, "least ratings of a sample"),
        Column("unit", _S, "what was split in halves: raters or ratings", nullable=True),
        Column("half_srcc", _F, "mean SRCC of two random halves", nullable=True),
        Column("half_plcc", _F, "mean PLCC of two random halves", nullable=True),
        Column("reliability", _F, "2 r / (1 + r) of the PLCC (Spearman-Brown)", nullable=True),
        Column("ci95_low", _F, "lower end of its 95 % interval, over samples", nullable=True),
        Column("ci95_high", _F, "upper end of its 95 % interval, over samples", nullable=True),
        Column("sos_a", _F, "a of sd^2 = a (mos - low)(high - mos)", nullable=True),
        Column("sos_a_unbiased", _F, "a without the bias of few ratings", nullable=True),
        Column("sos_r2", _F, "share of the variance of sd^2 that it explains", nullable=True),
        *STATUS,
    ),
    key=("dimension",),
)
