"""The points from which statistics are computed: test rows with MOS, per sample and per trial."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from sfqa.errors import UserError
from sfqa.splits.protocol_options import ALL
from sfqa.tables import FAILED

KINDS = ("control", "zero_shot", "regressor", "imported")
WEIGHTS = ("official", "random", "none")
REQUIRED_KEYS = ("name", "group", "kind", "direction", "weights")


def pool_points(
    predictions: pd.DataFrame,
    mos: pd.DataFrame,
    samples: pd.DataFrame,
    metric: Mapping[str, Any],
    dimension: str,
    protocol: str,
) -> pd.DataFrame:
    """Return the points of level video, pooling pooled: one row per sample.

    Columns: prediction (sign flipped if the metric's direction is -1), mos, method; the index is
    ``sample_id``. Empty if the metric has no usable test row.
    """
    metric_predictions = predictions[
        (predictions["metric"] == metric["name"])
        & (predictions["dimension"] == dimension)
        & (predictions["protocol"] == protocol)
    ]
    if not (metric_predictions["part"] == "test").any():
        return pd.DataFrame(columns=["prediction", "mos", "method"])
    return average_trials(join_test_rows(metric_predictions, mos, samples, check_metrics([metric])))


def check_metrics(metrics: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the metrics by name; raises :class:`UserError` for a wrong or repeated entry."""
    metrics_by_name: dict[str, Mapping[str, Any]] = {}
    for number, metric in enumerate(metrics):
        for key in REQUIRED_KEYS:
            if key not in metric:
                raise UserError(f"metrics, entry {number}: {key!r} is missing; add it")
        for key, allowed in (("kind", KINDS), ("weights", WEIGHTS), ("direction", (1, -1))):
            if metric[key] not in allowed:
                raise UserError(
                    f"metrics, entry {metric['name']!r}: {key} is {metric[key]!r}; "
                    f"write one of {', '.join(map(str, allowed))}"
                )
        if metric["name"] in metrics_by_name:
            raise UserError(f"metrics: {metric['name']!r} is there twice; keep one")
        metrics_by_name[metric["name"]] = metric
    return metrics_by_name


def join_test_rows(
    predictions: pd.DataFrame,
    mos: pd.DataFrame,
    samples: pd.DataFrame,
    listed: Mapping[str, Mapping[str, Any]],
) -> pd.DataFrame:
    """Join the test rows with MOS and method; flip signs so that higher is better.

    Adds the columns mos, method and scored (the row has a usable score). Raises :class:`UserError`
    if no row is a test row, for metrics or samples that are not listed, and for a regressor's rows
    under the protocol ``all``, which has no training rows.
    """
    test = predictions[predictions["part"] == "test"]
    if test.empty:
        raise UserError(
            f"predictions: none of {len(predictions)} rows has part 'test'; check the splits"
        )
    unknown = sorted(set(test["metric"]) - set(listed))
    if unknown:
        raise UserError(
            f"predictions: the metric {unknown[0]!r} is not in the list of metrics "
            f"({', '.join(listed)}); add it there or delete its predictions"
        )
    _check_regressors(test, listed)
    rated = mos[mos["status"] != FAILED][["sample_id", "dimension", "mos"]]
    table = test.merge(rated, on=["sample_id", "dimension"], how="left", validate="many_to_one")
    table["method"] = table["sample_id"].map(samples.set_index("sample_id")["method"])
    if table["method"].isna().any():
        lost = table.loc[table["method"].isna(), "sample_id"].iloc[0]
        raise UserError(
            f"predictions: the sample {lost!r} is not in the table of samples; "
            "delete these predictions, so that they are made again"
        )
    signs = table["metric"].map({name: metric["direction"] for name, metric in listed.items()})
    table["prediction"] = table["prediction"].astype(float) * signs.astype(float)
    table["scored"] = table["prediction"].notna() & (table["status"] != FAILED)
    return table.sort_values(["trial", "sample_id"], kind="stable")


def _check_regressors(test: pd.DataFrame, listed: Mapping[str, Mapping[str, Any]]) -> None:
    for name in sorted(set(test.loc[test["protocol"] == ALL, "metric"])):
        if listed[name]["kind"] == "regressor":
            raise UserError(
                f"predictions: the regressor {name!r} has rows of protocol {ALL!r}, which is that "
                "of metrics that learn nothing; delete these predictions, so that they are made "
                "again"
            )


def average_trials(part: pd.DataFrame) -> pd.DataFrame:
    """Return one row per tested sample: its mean prediction over the trials, MOS and method."""
    usable = part[part["scored"] & part["mos"].notna()]
    samples = usable.groupby("sample_id")
    return pd.DataFrame(
        {
            "prediction": compute_group_means(usable, "sample_id", "prediction"),
            "mos": samples["mos"].first(),
            "method": samples["method"].first(),
        }
    )


def iterate_trials(part: pd.DataFrame) -> Iterator[tuple[int, pd.DataFrame]]:
    """Yield each trial's number and usable rows: prediction, mos, method, by ``sample_id``."""
    for trial, rows in part.groupby("trial"):
        usable = rows[rows["scored"] & rows["mos"].notna()].set_index("sample_id")
        yield int(str(trial)), usable[["prediction", "mos", "method"]]


def average_methods(points: pd.DataFrame) -> pd.DataFrame:
    """Return one row per method: the means of its samples' predictions and MOS."""
    return pd.DataFrame(
        {name: compute_group_means(points, "method", name) for name in ("prediction", "mos")}
    )


def compute_group_means(frame: pd.DataFrame, by: str, column: str) -> pd.Series[float]:
    """Return the means by group, exact for groups of equal values.

    The usual mean of equal values can differ from them in the last bit, which would break ties.
    """
    first = frame.groupby(by)[column].transform("first")
    rest = (frame[column] - first).groupby(frame[by]).mean()
    return frame.groupby(by)[column].first() + rest


def describe_dropped_rows(part: pd.DataFrame) -> list[str]:
    """Return notes on the ignored test rows: 'dropped: ...' (no score) and 'no_mos: ...'."""
    notes = []
    lost = part[~part["scored"]]
    if len(lost):
        words = Counter(detail.split(":")[0] for detail in lost["detail"] if detail)
        reasons = ", ".join(f"{word} {count}" for word, count in sort_by_count(words))
        notes.append(
            f"dropped: {len(lost)} of {len(part)} test rows have no score"
            + (f" ({reasons})" if reasons else "")
        )
    unrated = int((part["scored"] & part["mos"].isna()).sum())
    if unrated:
        notes.append(f"no_mos: {unrated} of {len(part)} test rows have no MOS")
    return notes


def sort_by_count(words: Counter[str]) -> list[tuple[str, int]]:
    """Return words and counts, the most frequent first, then by word."""
    return sorted(words.items(), key=lambda pair: (-pair[1], pair[0]))
