"""The statistics of single trials, of which the table of correlations holds the mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from sfqa.correlation.fits import DEFAULT, fitted
from sfqa.correlation.points import by_trial, checked, joined
from sfqa.correlation.summarise import statistics_row


def compute_trial_statistics(
    predictions: pd.DataFrame,
    mos: pd.DataFrame,
    samples: pd.DataFrame,
    metrics: Sequence[Mapping[str, Any]],
) -> pd.DataFrame:
    """Return a row of statistics for each metric, protocol, dimension and trial."""
    table = joined(predictions, mos, samples, checked(metrics))
    rows = [
        {
            **dict(zip(("metric", "protocol", "dimension"), key, strict=True)),
            "trial": trial,
            **statistics_row(fitted(points["prediction"], points["mos"], DEFAULT)[0]),
        }
        for key, part in table.groupby(["metric", "protocol", "dimension"])
        for trial, points in by_trial(part)
    ]
    return pd.DataFrame(rows)
