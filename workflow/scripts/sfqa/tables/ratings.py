"""The tables of ratings: raw scores, raters, MOS."""

from __future__ import annotations

from sfqa.tables.schema import BOOLEAN, FLOAT, INTEGER, STATUS, STRING, Column, Table

SCORES = Table(
    "scores",
    "one raw rating",
    (
        Column("rater", STRING, "name of the rater"),
        Column("sample_id", STRING, "name of the sample"),
        Column("dimension", STRING, "what was rated"),
        Column("score", FLOAT, "the rating on its raw scale"),
        Column("synthetic", BOOLEAN, "true: a simulated rater, not a person"),
    ),
    key=("rater", "sample_id", "dimension"),
    path="ratings/scores.parquet",
)

RATING_NOTES = Table(
    "rating_notes",
    "one remark on an imported table of ratings: a column or row that is left out, missing codes",
    (Column("table", STRING, "path of the user's table"), *STATUS),
    key=("table", "detail"),
    path="ratings/rating_notes.parquet",
)

RATERS = Table(
    "raters",
    "one rater in one dimension, after screening",
    (
        Column("dimension", STRING, "what was rated"),
        Column("rater", STRING, "name of the rater"),
        Column("n", INTEGER, "number of ratings"),
        Column("mean", FLOAT, "mean raw rating", nullable=True),
        Column("sd", FLOAT, "standard deviation of the raw ratings (ddof 1)", nullable=True),
        Column("p", INTEGER, "ratings at or above the upper bound (BT.500)"),
        Column("q", INTEGER, "ratings at or below the lower bound (BT.500)"),
        Column("rejected", BOOLEAN, "true: left out of the MOS"),
        *STATUS,
    ),
    key=("dimension", "rater"),
    path="ratings/raters.parquet",
)

RATER_REPORT = Table(
    "rater_report",
    "one rater in one dimension: habits, agreement, checks, and what is odd",
    (
        Column("dimension", STRING, "what was rated"),
        Column("rater", STRING, "name of the rater"),
        Column("n", INTEGER, "number of ratings that count"),
        Column("bias", FLOAT, "mean distance from the mean opinion (P.913)", "raw scale", True),
        Column("inconsistency", FLOAT, "sd of what is left of it (P.910)", "raw scale", True),
        Column("agreement_srcc", FLOAT, "SRCC with the mean of the others", nullable=True),
        Column("repeats", INTEGER, "videos rated a second time", nullable=True),
        Column(
            "repeat_difference",
            FLOAT,
            "mean absolute difference of their scores",
            "raw scale",
            True,
        ),
        Column("gold", INTEGER, "gold clips with a known answer", nullable=True),
        Column("gold_passed", INTEGER, "of these, answered as expected", nullable=True),
        Column("traps", INTEGER, "trap clips with a known answer", nullable=True),
        Column("traps_passed", INTEGER, "of these, answered as expected", nullable=True),
        Column("longest_run", INTEGER, "most equal scores in a row, as shown", nullable=True),
        Column("entropy_bits", FLOAT, "entropy of the distribution of scores", "bit", True),
        Column(
            "least_session_variance", FLOAT, "least variance of a session of 10 or more", "", True
        ),
        Column("videos_timed", INTEGER, "videos with a measured play time", nullable=True),
        Column("over_played", FLOAT, "share played over 115 % of their length", "0..1", True),
        Column("under_played", FLOAT, "share played under 95 % of their length", "0..1", True),
        Column("video_seconds", FLOAT, "median of play and answer time", "second", True),
        Column("rejected", BOOLEAN, "true: left out of the MOS"),
        *STATUS,
    ),
    key=("dimension", "rater"),
    path="ratings/rater_report.parquet",
)

RELIABILITY = Table(
    "reliability",
    "one dimension of a study: how far its MOS can be trusted",
    (
        Column("dimension", STRING, "what was rated"),
        Column("samples", INTEGER, "samples with a rating"),
        Column("raters", INTEGER, "raters with a rating"),
        Column("ratings", INTEGER, "ratings"),
        Column("least_ratings", INTEGER, "least ratings of a sample"),
        Column("unit", STRING, "what was split in halves: raters or ratings", nullable=True),
        Column("half_srcc", FLOAT, "mean SRCC of two random halves", nullable=True),
        Column("half_plcc", FLOAT, "mean PLCC of two random halves", nullable=True),
        Column("reliability", FLOAT, "2 r / (1 + r) of the PLCC (Spearman-Brown)", nullable=True),
        Column("ci95_low", FLOAT, "lower end of its 95 % interval, over samples", nullable=True),
        Column("ci95_high", FLOAT, "upper end of its 95 % interval, over samples", nullable=True),
        Column("sos_a", FLOAT, "a of sd^2 = a (mos - low)(high - mos)", nullable=True),
        Column("sos_a_unbiased", FLOAT, "a without the bias of few ratings", nullable=True),
        Column("sos_r2", FLOAT, "share of the variance of sd^2 that it explains", nullable=True),
        *STATUS,
    ),
    key=("dimension",),
    path="ratings/reliability.parquet",
)

MOS = Table(
    "mos",
    "one sample in one dimension",
    (
        Column("sample_id", STRING, "name of the sample"),
        Column("dimension", STRING, "what was rated"),
        Column("mos", FLOAT, "mean opinion score after screening", "0..100 or as imported", True),
        Column("n", INTEGER, "number of ratings behind it", nullable=True),
        Column("sd", FLOAT, "standard deviation over raters (ddof 1)", nullable=True),
        Column("ci95_low", FLOAT, "lower end of the 95 % t-interval", nullable=True),
        Column("ci95_high", FLOAT, "upper end of the 95 % t-interval", nullable=True),
        Column("synthetic", BOOLEAN, "true: from simulated raters"),
        *STATUS,
    ),
    key=("sample_id", "dimension"),
    path="ratings/mos.parquet",
)

MOS_BY_LABEL = Table(
    "mos_by_label",
    "the samples that share a label, in one dimension",
    (
        Column(
            "label_kind", STRING, "what the label is: method, image_category, style, language, ..."
        ),
        Column("label", STRING, "the label"),
        Column("dimension", STRING, "what was rated"),
        Column("n", INTEGER, "number of samples with a MOS"),
        Column("mean", FLOAT, "mean MOS"),
        Column("sd", FLOAT, "standard deviation over samples (ddof 1)", nullable=True),
        Column("ci95_low", FLOAT, "lower end of the 95 % t-interval", nullable=True),
        Column("ci95_high", FLOAT, "upper end of the 95 % t-interval", nullable=True),
    ),
    key=("label_kind", "label", "dimension"),
    path="ratings/mos_by_label.parquet",
)

LABEL_DIFFERENCES = Table(
    "label_differences",
    "two labels of one kind in one dimension",
    (
        Column(
            "label_kind", STRING, "what the label is: method, image_category, style, language, ..."
        ),
        Column("dimension", STRING, "what was rated"),
        Column("label_a", STRING, "the first label"),
        Column("label_b", STRING, "the second label"),
        Column("test", STRING, "paired t or Welch t"),
        Column("unit", STRING, "what was compared: pair or sample"),
        Column("n_a", INTEGER, "units of the first label"),
        Column("n_b", INTEGER, "units of the second label"),
        Column("difference", FLOAT, "mean MOS of the first minus the second", nullable=True),
        Column("ci95_low", FLOAT, "lower end of its 95 % interval", nullable=True),
        Column("ci95_high", FLOAT, "upper end of its 95 % interval", nullable=True),
        Column("p", FLOAT, "two-sided p-value", nullable=True),
        Column("p_holm", FLOAT, "p after Holm, over one kind and dimension", nullable=True),
        Column("significant", BOOLEAN, "p_holm is below .05"),
        *STATUS,
    ),
    key=("label_kind", "dimension", "label_a", "label_b"),
    path="ratings/label_differences.parquet",
)
