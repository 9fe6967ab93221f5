"""The statistics inside each method: whether a metric tells one method's videos apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from sfqa.correlation.bootstrap import Resampling
from sfqa.correlation.fits import fitted
from sfqa.correlation.intervals import Cloud, intervals, video_replicates
from sfqa.correlation.points import checked, joined, videos
from sfqa.correlation.summarise import Settings, statistics_row
from sfqa.statistics.registry import RESAMPLED

#: Raised whenever the rows change, also by the statistics, the mapping or the bootstrap.
VERSION = 1


def method_rows(
    predictions: pd.DataFrame,
    mos: pd.DataFrame,
    samples: pd.DataFrame,
    metrics: Sequence[Mapping[str, Any]],
    settings: Settings = Settings(),  # noqa: B008 - frozen
) -> list[dict[str, Any]]:
    """Return a row per metric, dimension, protocol and method: the statistics of its videos alone.

    Arguments, errors and points (all trials pooled) as in
    :func:`sfqa.correlation.summarise.correlation_rows`; rows of tables.CORRELATION_BY_METHOD. A
    metric that only knows which method made a video has SRCC near 0 here and near 1 at level model.
    The mapping is fitted per method.
    """
    listed = checked(metrics)
    table = joined(predictions, mos, samples, listed)
    synthetic = mos.groupby("dimension")["synthetic"].any().to_dict()
    rows: list[dict[str, Any]] = []
    for protocol, tested in table.groupby("protocol", sort=True):
        drawn = settings.draw(samples, str(protocol), set(tested["sample_id"]))
        for dimension, rated in tested.groupby("dimension", sort=True):
            heads, clouds, values = [], [], []
            for name, part in rated.groupby("metric", sort=True):
                points = videos(part)
                for method in sorted(set(part["method"])):
                    own = points[points["method"] == method]
                    value, mapping = fitted(own["prediction"], own["mos"], settings.mapping)
                    heads.append((str(name), str(method)))
                    clouds.append(Cloud(own, mapping))
                    values.append(value)
            made = video_replicates(clouds, drawn) if drawn else [{} for _ in clouds]
            for (name, method), cloud, value, own_made in zip(
                heads, clouds, values, made, strict=True
            ):
                ends = intervals(
                    own_made,
                    {statistic.name: value[statistic.name] for statistic in RESAMPLED},
                    drawn,
                    settings.interval,
                    _cells(cloud, drawn),
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


def _cells(cloud: Cloud, drawn: Resampling | None) -> int | None:
    return len(set(drawn.codes(cloud.points.index.tolist()).tolist())) if drawn else None
