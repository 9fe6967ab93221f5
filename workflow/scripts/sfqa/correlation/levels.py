"""Statistics within each method: how well a metric ranks the videos of a single method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from sfqa.correlation.bootstrap import Resampling
from sfqa.correlation.fit_cache import FitCache
from sfqa.correlation.intervals import (
    MetricPoints,
    build_interval_columns,
    compute_video_replicates,
)
from sfqa.correlation.metric_statistics import get_scores
from sfqa.correlation.points import average_trials, check_metrics, join_test_rows
from sfqa.correlation.summarise import Settings, statistics_row
from sfqa.statistics.registry import RESAMPLED

#: Raised whenever the rows change, also by the statistics, the mapping or the bootstrap.
VERSION = 2


def method_rows(
    predictions: pd.DataFrame,
    mos: pd.DataFrame,
    samples: pd.DataFrame,
    metrics: Sequence[Mapping[str, Any]],
    settings: Settings = Settings(),  # noqa: B008 - frozen
    fits: FitCache | None = None,
) -> list[dict[str, Any]]:
    """Return the statistics within each method, a row per metric, dimension, protocol and method.

    Arguments, errors and points (all trials pooled) as in
    :func:`sfqa.correlation.summarise.correlation_rows`; rows of tables.CORRELATION_BY_METHOD. A
    metric that only recognises the method has SRCC near 0 here and near 1 at level model. The
    mapping is fitted per method.
    """
    listed = check_metrics(metrics)
    table = join_test_rows(predictions, mos, samples, listed)
    synthetic = mos.groupby("dimension")["synthetic"].any().to_dict()
    fits = fits or FitCache()
    rows: list[dict[str, Any]] = []
    for protocol, tested in table.groupby("protocol", sort=True):
        drawn = settings.draw_resampling(samples, str(protocol), set(tested["sample_id"]))
        for dimension, rated in tested.groupby("dimension", sort=True):
            points_by_key: dict[tuple[str, str], pd.DataFrame] = {}
            for name, part in rated.groupby("metric", sort=True):
                points = average_trials(part)
                for method in sorted(set(part["method"])):
                    points_by_key[str(name), str(method)] = points[points["method"] == method]
            fits.prepare_fits(map(get_scores, points_by_key.values()), settings.mapping)
            results = [
                fits.correlate(*get_scores(points), settings.mapping)
                for points in points_by_key.values()
            ]
            values = [value for value, _ in results]
            all_points = [
                MetricPoints(points, mapping)
                for points, (_, mapping) in zip(points_by_key.values(), results, strict=True)
            ]
            all_replicates = (
                compute_video_replicates(all_points, drawn, fits.processes)
                if drawn
                else [{} for _ in all_points]
            )
            for (name, method), metric_points, value, method_replicates in zip(
                points_by_key, all_points, values, all_replicates, strict=True
            ):
                ends = build_interval_columns(
                    method_replicates,
                    {statistic.name: value[statistic.name] for statistic in RESAMPLED},
                    drawn,
                    settings.interval,
                    _count_cells(metric_points, drawn),
                )
                shared = {
                    "metric": name,
                    "group": listed[name]["group"],
                    "kind": listed[name]["kind"],
                    "weights": listed[name]["weights"],
                    "dimension": str(dimension),
                    "protocol": str(protocol),
                    "method": method,
                    "synthetic_mos": bool(synthetic.get(dimension, False)),
                }
                rows.append({**shared, **statistics_row(value), **ends})
    return rows


def _count_cells(metric_points: MetricPoints, drawn: Resampling | None) -> int | None:
    return (
        len(set(drawn.get_cells(metric_points.points.index.tolist()).tolist())) if drawn else None
    )
