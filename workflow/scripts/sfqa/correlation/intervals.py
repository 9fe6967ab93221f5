"""Replicates of the statistics behind every row of the correlation table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from sfqa.correlation.bootstrap import (
    Interval,
    Replicates,
    Resampling,
    interval,
    model_replicates,
    replicates,
)
from sfqa.correlation.fits import Mapping
from sfqa.statistics.registry import RESAMPLED, RESAMPLED_NAMES, Array

#: What :func:`intervals` says where none was asked for.
NOT_ASKED = "none: not asked for"


@dataclass(frozen=True)
class Cloud:
    """One metric's points (prediction, mos, method by sample) and its mapping; None: undefined."""

    points: pd.DataFrame
    mapping: Mapping | None


def video_replicates(clouds: Sequence[Cloud], drawn: Resampling) -> list[Replicates]:
    """Return the replicates of each cloud's statistics; none for one that is undefined.

    Clouds of the same samples are done together.
    """
    found: list[Replicates] = [{} for _ in clouds]
    alike: dict[bytes, list[int]] = {}
    codes, goals = [], []
    for number, cloud in enumerate(clouds):
        codes.append(drawn.codes(cloud.points.index.tolist()))
        goals.append(cloud.points["mos"].to_numpy(np.float64))
        if cloud.mapping is not None:
            names = "\0".join(map(str, cloud.points.index.tolist()))
            alike.setdefault(names.encode() + goals[-1].tobytes(), []).append(number)
    weights = drawn.weights
    for own in alike.values():
        scores = [clouds[k].points["prediction"].to_numpy(np.float64) for k in own]
        brought = [_mapped(clouds[k].mapping, x) for k, x in zip(own, scores, strict=True)]
        made = replicates(
            np.stack(scores, axis=1),
            np.stack(brought, axis=1),
            goals[own[0]],
            codes[own[0]],
            weights,
        )
        for place, k in enumerate(own):
            found[k] = {name: values[place] for name, values in made.items()}
    return found


def level_replicates(cloud: Cloud, drawn: Resampling) -> Replicates:
    """Return the replicates of the statistics of the methods' means; ``points`` are samples.

    The methods are held: their samples, or groups, are drawn anew. The mapping is that of the
    means.
    """
    if cloud.mapping is None:
        return {}
    methods = np.unique(cloud.points["method"].to_numpy(str), return_inverse=True)[1]
    weights = drawn.weights[drawn.codes(cloud.points.index.tolist())]
    scores, goals = model_replicates(
        cloud.points["prediction"].to_numpy(np.float64),
        cloud.points["mos"].to_numpy(np.float64),
        methods.astype(np.int64),
        weights,
    )
    whole = np.isfinite(scores).all(axis=0) & np.isfinite(goals).all(axis=0)
    made = {statistic.name: np.full(weights.shape[1], np.nan) for statistic in RESAMPLED}
    scores, goals = scores[:, whole], goals[:, whole]
    mapped = cloud.mapping(scores)
    for statistic in RESAMPLED:
        values = statistic.compute_each(mapped if statistic.is_mapped else scores, goals)
        made[statistic.name][whole] = values
    return made


def pooled(trials: Sequence[Replicates], median: bool) -> Replicates:
    """Return the mean or the median over the trials that define a replicate."""
    some = [trial for trial in trials if trial]
    if not some:
        return {}
    made = {}
    for name in RESAMPLED_NAMES:
        table = np.stack([trial[name] for trial in some])
        known = np.isfinite(table)
        values = np.full(table.shape[1], np.nan)
        there = known.any(axis=0)
        if median:
            values[there] = np.nanmedian(table[:, there], axis=0)
        else:
            sums = np.where(known, table, 0.0).sum(axis=0)
            values[there] = sums[there] / known.sum(axis=0)[there]
        made[name] = values
    return made


def averaged(dimensions: Sequence[Replicates]) -> Replicates:
    """Return the mean over all dimensions, of the same resamples; none where one has none."""
    if not all(dimensions):
        return {}
    return {
        name: np.mean([own[name] for own in dimensions], axis=0, dtype=np.float64)
        for name in RESAMPLED_NAMES
    }


def intervals(
    values: Replicates,
    points: dict[str, float | None],
    drawn: Resampling | None,
    kind: str,
    cells: int | None = None,
) -> dict[str, float | str | None]:
    """Return the cells ``<statistic>_low``, ``<statistic>_high`` and ``interval`` of a row.

    ``points``: the statistics themselves. ``interval`` says how that of SRCC was made, or why not.
    """
    row: dict[str, float | str | None] = {}
    told = ""
    for name in RESAMPLED_NAMES:
        made = Interval(None, None, NOT_ASKED)
        if drawn is not None:
            nothing: npt.NDArray[np.float64] = np.empty(0)
            point = points[name] if name in values else None
            made = interval(values.get(name, nothing), point, drawn, kind, cells)
        row |= {f"{name}_low": made.low, f"{name}_high": made.high}
        told = told or made.how
    return {**row, "interval": told}


def _mapped(mapping: Mapping | None, scores: Array) -> Array:
    return scores if mapping is None else mapping(scores)
