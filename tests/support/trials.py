"""The statistics of single trials, of which the table of correlations holds the mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from sfqa.correlation.fits import DEFAULT, correlate_with_mapping
from sfqa.correlation.points import check_metrics, iterate_trials, join_test_rows
from sfqa.correlation.summarise import statistics_row


def compute_trial_statistics(
    predictions: pd.DataFrame,
    mos: pd.DataFrame,
    samples: pd.DataFrame,
    metrics: Sequence[Mapping[str, Any]],
) -> pd.DataFrame:
    """Return a row of statistics for each metric, protocol, dimension and trial."""
    table = join_test_rows(predictions, mos, samples, check_metrics(metrics))
    rows = [
        {
            **dict(zip(("metric", "protocol", "dimension"), key, strict=True)),
            "trial": trial,
            **statistics_row(
                correlate_with_mapping(points["prediction"], points["mos"], DEFAULT)[0]
            ),
        }
        for key, part in table.groupby(["metric", "protocol", "dimension"])
        for trial, points in iterate_trials(part)
    ]
    return pd.DataFrame(rows)
