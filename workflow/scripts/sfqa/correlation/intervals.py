"""Bootstrap replicates and intervals of the statistics in the correlation table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from sfqa.arrays import Floats
from sfqa.correlation.bootstrap import (
    Interval,
    Replicates,
    Resampling,
    compute_interval,
    compute_replicates,
    resample_method_means,
)
from sfqa.correlation.fits import ScoreMapping
from sfqa.parallel import run_forked
from sfqa.statistics.registry import RESAMPLED, RESAMPLED_NAMES, find_statistic

#: Sets of points that one process resamples at once. Fixed, so that the last digits of a sum do not
#: depend on the number of processes.
COLUMNS_PER_TASK = 12

#: What :func:`build_interval_columns` says if no interval was requested.
NOT_ASKED = "none: not asked for"


@dataclass(frozen=True)
class MetricPoints:
    """One metric's points (prediction, mos, method by sample) and its mapping, if any."""

    points: pd.DataFrame
    mapping: ScoreMapping | None


def compute_video_replicates(
    all_points: Sequence[MetricPoints], drawn: Resampling, processes: int = 1
) -> list[Replicates]:
    """Return the replicates of the statistics of each set of points, {} if they are undefined.

    Sets of points with the same samples are resampled together. ``processes``: how many compute;
    the numbers do not depend on it.
    """
    all_replicates: list[Replicates] = [{} for _ in all_points]
    indices_by_samples: dict[bytes, list[int]] = {}
    codes, goals = [], []
    for number, metric_points in enumerate(all_points):
        names = metric_points.points.index.tolist()
        codes.append(drawn.get_cells(names))
        goals.append(metric_points.points["mos"].to_numpy(np.float64))
        if metric_points.mapping is not None:
            text = "\0".join(map(str, names))
            indices_by_samples.setdefault(text.encode() + goals[-1].tobytes(), []).append(number)
    weights = drawn.weights
    groups = list(indices_by_samples.values())

    def compute_group(task: tuple[str, list[int]]) -> Floats:
        statistic, indices = task
        scores = [all_points[k].points["prediction"].to_numpy(np.float64) for k in indices]
        if find_statistic(statistic).is_mapped:
            scores = [
                _apply_mapping(all_points[k].mapping, x)
                for k, x in zip(indices, scores, strict=True)
            ]
        first, table = indices[0], np.stack(scores, axis=1)
        replicates = compute_replicates(
            table, table, goals[first], codes[first], weights, [statistic]
        )
        return replicates[statistic]

    tasks = [
        (name, indices[start : start + COLUMNS_PER_TASK])
        for name in RESAMPLED_NAMES
        for indices in groups
        for start in range(0, len(indices), COLUMNS_PER_TASK)
    ]
    # The tasks that take longest are started first.
    tasks.sort(key=lambda task: -len(goals[task[1][0]]) * len(task[1]))
    for number, values in run_forked(compute_group, tasks, processes):
        statistic, indices = tasks[number]
        for column, k in enumerate(indices):
            all_replicates[k][statistic] = values[column]
    return all_replicates


def compute_method_replicates(metric_points: MetricPoints, drawn: Resampling) -> Replicates:
    """Return the replicates of the statistics of the methods' means.

    ``metric_points``: points of samples, with the mapping fitted to the means. All methods are in
    every resample; their samples or groups are drawn.
    """
    if metric_points.mapping is None:
        return {}
    methods = np.unique(metric_points.points["method"].to_numpy(str), return_inverse=True)[1]
    weights = drawn.weights[drawn.get_cells(metric_points.points.index.tolist())]
    scores, goals = resample_method_means(
        metric_points.points["prediction"].to_numpy(np.float64),
        metric_points.points["mos"].to_numpy(np.float64),
        methods.astype(np.int64),
        weights,
    )
    is_defined = np.isfinite(scores).all(axis=0) & np.isfinite(goals).all(axis=0)
    values_by_statistic = {
        statistic.name: np.full(weights.shape[1], np.nan) for statistic in RESAMPLED
    }
    scores, goals = scores[:, is_defined], goals[:, is_defined]
    mapped = metric_points.mapping(scores)
    for statistic in RESAMPLED:
        values = statistic.compute_each(mapped if statistic.is_mapped else scores, goals)
        values_by_statistic[statistic.name][is_defined] = values
    return values_by_statistic


def pool_replicates(trials: Sequence[Replicates], median: bool) -> Replicates:
    """Return the mean or the median of each replicate over the trials in which it is defined."""
    defined_trials = [trial for trial in trials if trial]
    if not defined_trials:
        return {}
    pooled_values = {}
    for name in RESAMPLED_NAMES:
        table = np.stack([trial[name] for trial in defined_trials])
        is_finite = np.isfinite(table)
        values = np.full(table.shape[1], np.nan)
        is_defined = is_finite.any(axis=0)
        if median:
            values[is_defined] = np.nanmedian(table[:, is_defined], axis=0)
        else:
            sums = np.where(is_finite, table, 0.0).sum(axis=0)
            values[is_defined] = sums[is_defined] / is_finite.sum(axis=0)[is_defined]
        pooled_values[name] = values
    return pooled_values


def average_replicates(dimensions: Sequence[Replicates]) -> Replicates:
    """Return the mean of each replicate over all dimensions; {} if a dimension has none."""
    if not all(dimensions):
        return {}
    return {
        name: np.mean(
            [dimension_replicates[name] for dimension_replicates in dimensions],
            axis=0,
            dtype=np.float64,
        )
        for name in RESAMPLED_NAMES
    }


def build_interval_columns(
    values: Replicates,
    points: dict[str, float | None],
    drawn: Resampling | None,
    kind: str,
    cells: int | None = None,
) -> dict[str, float | str | None]:
    """Return the cells ``<statistic>_low``, ``<statistic>_high`` and ``interval`` of a row.

    ``points``: the statistics themselves. ``interval`` says how the interval of SRCC was computed,
    or why there is none.
    """
    row: dict[str, float | str | None] = {}
    interval_text = ""
    for name in RESAMPLED_NAMES:
        ends = Interval(None, None, NOT_ASKED)
        if drawn is not None:
            no_values: npt.NDArray[np.float64] = np.empty(0)
            point = points[name] if name in values else None
            ends = compute_interval(values.get(name, no_values), point, drawn, kind, cells)
        row |= {f"{name}_low": ends.low, f"{name}_high": ends.high}
        interval_text = interval_text or ends.how
    return {**row, "interval": interval_text}


def _apply_mapping(mapping: ScoreMapping | None, scores: Floats) -> Floats:
    return scores if mapping is None else mapping(scores)
