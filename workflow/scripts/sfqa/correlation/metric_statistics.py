"""The statistics of one metric in one dimension under one protocol."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

import numpy as np
import pandas as pd

from sfqa.arrays import Floats
from sfqa.correlation.agreement import UNDEFINED, Correlation
from sfqa.correlation.bootstrap import Replicates, Resampling
from sfqa.correlation.fit_cache import FitCache
from sfqa.correlation.fits import NONE
from sfqa.correlation.intervals import (
    MetricPoints,
    compute_method_replicates,
    compute_video_replicates,
    pool_replicates,
)
from sfqa.correlation.marks import split_notes
from sfqa.correlation.points import (
    average_methods,
    average_trials,
    describe_dropped_rows,
    iterate_trials,
    sort_by_count,
)
from sfqa.statistics.registry import STATISTICS

VIDEO, MODEL = "video", "model"
POOLED, MEAN, MEDIAN = "pooled", "mean", "median"

#: Level and pooling of the rows of the correlation table.
Key = tuple[str, str]
KEYS: tuple[Key, ...] = ((VIDEO, POOLED), (VIDEO, MEAN), (VIDEO, MEDIAN), (MODEL, POOLED))


@dataclass(frozen=True)
class TestPoints:
    """The points of one metric in one dimension under one protocol.

    Data frames with the columns prediction and mos. ``pooled``: by sample; ``methods``: means by
    method; ``trials``: by trial, then by sample. ``notes``: why test rows were dropped.
    """

    __test__ = False  # not a test of pytest

    pooled: pd.DataFrame
    methods: pd.DataFrame
    trials: dict[int, pd.DataFrame]
    notes: list[str]

    def list_fits(self) -> Iterable[tuple[Floats, Floats]]:
        """Yield the points of each fit."""
        for frame in (self.pooled, self.methods, *self.trials.values()):
            yield get_scores(frame)


@dataclass
class MetricStatistics:
    """One metric in one dimension under one protocol: statistics, and the points behind them."""

    values: dict[Key, Correlation]
    trials: dict[int, Correlation]
    points_by_level: dict[str, MetricPoints]
    parts: list[MetricPoints]
    replicates: dict[Key, Replicates] = field(default_factory=dict)


def get_scores(frame: pd.DataFrame) -> tuple[Floats, Floats]:
    """Return the columns prediction and mos."""
    return frame["prediction"].to_numpy(np.float64), frame["mos"].to_numpy(np.float64)


def collect_points(part: pd.DataFrame) -> TestPoints | None:
    """Return the points of joined test rows, None without a row."""
    if part.empty:
        return None
    pooled = average_trials(part)
    trials = dict(iterate_trials(part))
    return TestPoints(pooled, average_methods(pooled), trials, describe_dropped_rows(part))


def compute_statistics(
    points: TestPoints | None, mapping_name: str, fits: FitCache
) -> MetricStatistics:
    """Return the statistics of a metric's points, without replicates."""
    if points is None:
        missing = "no_predictions: this metric has no test row in this dimension"
        nothing = Correlation(0, UNDEFINED, NONE, missing)
        return MetricStatistics(dict.fromkeys(KEYS, nothing), {}, {}, [])
    values: dict[Key, Correlation] = {}
    trials: dict[int, Correlation] = {}
    parts = []
    points_by_level = {}
    for level, frame in ((VIDEO, points.pooled), (MODEL, points.methods)):
        correlation, mapping = fits.correlate(*get_scores(frame), mapping_name)
        values[level, POOLED] = _add_notes(correlation, points.notes)
        points_by_level[level] = MetricPoints(points.pooled, mapping)
    for trial, frame in points.trials.items():
        trials[trial], mapping = fits.correlate(*get_scores(frame), mapping_name)
        parts.append(MetricPoints(frame, mapping))
    for pooling in (MEAN, MEDIAN):
        pooled_trials = _pool_trials(list(trials.values()), pooling)
        values[VIDEO, pooling] = _add_notes(pooled_trials, points.notes)
    return MetricStatistics(values, trials, points_by_level, parts)


def add_replicates(
    statistics: Sequence[MetricStatistics], drawn: Resampling | None, processes: int = 1
) -> None:
    """Add the replicates of all metrics in one dimension under one protocol."""
    defined = [metric for metric in statistics if metric.points_by_level]
    if drawn is None or not defined:
        return
    pooled_points = [metric.points_by_level[VIDEO] for metric in defined]
    trial_points = [points for metric in defined for points in metric.parts]
    replicates = iter(compute_video_replicates([*pooled_points, *trial_points], drawn, processes))
    for metric in defined:
        metric.replicates[VIDEO, POOLED] = next(replicates)
        metric.replicates[MODEL, POOLED] = compute_method_replicates(
            metric.points_by_level[MODEL], drawn
        )
    for metric in defined:
        trials = [next(replicates) for _ in metric.parts]
        metric.replicates[VIDEO, MEAN] = pool_replicates(trials, median=False)
        metric.replicates[VIDEO, MEDIAN] = pool_replicates(trials, median=True)


def count_cells(statistics: MetricStatistics, level: str, drawn: Resampling | None) -> int | None:
    """Return how many different groups or samples contribute to a row."""
    if drawn is None or level not in statistics.points_by_level:
        return None
    return len(
        set(drawn.get_cells(statistics.points_by_level[level].points.index.tolist()).tolist())
    )


def compute_mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of the defined values, None without one."""
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None


def _compute_median(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(median(defined)) if defined else None


def _add_notes(value: Correlation, notes: list[str]) -> Correlation:
    detail = "; ".join([*notes, value.detail] if value.detail else notes)
    return replace(value, detail=detail)


def _pool_trials(values: Sequence[Correlation], pooling: str) -> Correlation:
    """Pool statistics over trials; undefined values are ignored and counted in ``detail``."""
    pool = compute_mean if pooling == MEAN else _compute_median
    if len(values) == 1:
        return values[0]
    reasons: dict[str, list[str]] = {}
    for word, sentence in (note for value in values for note in split_notes(value.detail)):
        reasons.setdefault(word, []).append(sentence)
    notes = [
        f"{word}: in {len(reasons[word])} of {len(values)} trials; the first: {reasons[word][0]}"
        for word in sorted(reasons)
    ]
    names = Counter(value.mapping for value in values)
    mapping = (
        values[0].mapping
        if len(names) == 1
        else "; ".join(
            f"{name} in {count} of {len(values)} trials" for name, count in sort_by_count(names)
        )
    )
    return Correlation(
        sum(value.n for value in values) // len(values),
        {s.name: pool([value[s.name] for value in values]) for s in STATISTICS},
        mapping,
        "; ".join(notes),
    )
