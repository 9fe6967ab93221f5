"""From predictions and MOS to the rows of the correlation table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median, stdev
from typing import Any

import pandas as pd

from sfqa.correlation.agreement import UNDEFINED, Correlation
from sfqa.correlation.bootstrap import Replicates, Resampling, interval_kind, resampling
from sfqa.correlation.fits import DEFAULT, NONE, fitted, mapping_word
from sfqa.correlation.intervals import (
    Cloud,
    averaged,
    intervals,
    level_replicates,
    pooled,
    video_replicates,
)
from sfqa.correlation.points import (
    KINDS,
    WEIGHTS,
    by_trial,
    checked,
    dropped,
    joined,
    models,
    pooled_points,
    ranked,
    videos,
)
from sfqa.statistics.registry import RESAMPLED, STATISTICS

__all__ = ["KINDS", "WEIGHTS", "Settings", "correlation_rows", "pooled_points", "rounded"]

#: Raised whenever the rows change, also by the statistics, the mapping or the bootstrap.
VERSION = 3

#: Decimals that the stored table keeps.
DIGITS = 8

OVERALL = "overall"
VIDEO, MODEL = "video", "model"
POOLED, MEAN, MEDIAN = "pooled", "mean", "median"

_Key = tuple[str, str]
_KEYS: tuple[_Key, ...] = ((VIDEO, POOLED), (VIDEO, MEAN), (VIDEO, MEDIAN), (MODEL, POOLED))


@dataclass(frozen=True)
class Settings:
    """How rows are made: the mapping, and the intervals.

    ``mapping``: a word of :data:`sfqa.correlation.fits.MAPPINGS`. ``bootstrap``: resamples, 0 for
    no interval; ``interval``: percentile or bca; ``groups``: of each grouped protocol
    (:func:`sfqa.correlation.bootstrap.protocol_groups`). Raises ``UserError`` for unknown words.
    """

    mapping: str = DEFAULT
    bootstrap: int = 0
    interval: str = "percentile"
    seed: int = 0
    groups: Mapping[str, list[str] | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mapping", mapping_word(self.mapping, "correlation.mapping"))
        interval_kind(self.interval, "correlation.interval")

    def draw(self, samples: pd.DataFrame, protocol: str, ids: set[str]) -> Resampling | None:
        """Return the resamples of the samples that a protocol tests, None for no interval."""
        if not self.bootstrap:
            return None
        own = samples[samples["sample_id"].isin(ids)]
        groups, grouped = self.groups.get(protocol), protocol in self.groups
        return resampling(own, groups, self.bootstrap, self.seed, self.interval, grouped)


@dataclass
class _Found:
    """One metric in one dimension under one protocol: statistics, and the points behind them."""

    values: dict[_Key, Correlation]
    trials: dict[int, Correlation]
    clouds: dict[str, Cloud]
    parts: list[Cloud]
    replicates: dict[_Key, Replicates] = field(default_factory=dict)


def correlation_rows(
    predictions: pd.DataFrame,
    mos: pd.DataFrame,
    samples: pd.DataFrame,
    metrics: Sequence[Mapping[str, Any]],
    settings: Settings = Settings(),
) -> list[dict[str, Any]]:
    """Return the rows of the correlation table for all metrics, dimensions and protocols.

    Only rows of part ``test`` count. Level ``video`` comes with three poolings: ``pooled`` (all
    test rows of all trials at once; a sample tested in several trials counts once, with its mean
    prediction), ``mean`` and ``median`` (over the trials of each trial's statistics, the mapping
    fitted per trial; ``*_sd`` is their standard deviation over trials, ddof 1). Level ``model``
    correlates the means of the methods, pooled. With two dimensions or more, ``overall`` is the
    plain mean over the dimensions (SFQA, Table 2), its interval that of the mean.

    ``metrics``: mappings of name, group, kind, direction (+1, or -1 where lower is better: the sign
    is flipped first) and weights, in the order of the result. Raises :class:`UserError` for metrics
    that predictions and list do not share, samples without a row, and no test row at all.
    """
    listed = checked(metrics)
    table = joined(predictions, mos, samples, listed)
    dimensions = sorted(table["dimension"].unique())
    groups = dict(iter(table.groupby(["metric", "protocol", "dimension"])))
    protocols = sorted(table["protocol"].unique())
    synthetic = mos.groupby("dimension")["synthetic"].any().to_dict()
    made = {
        (name, protocol, d): _summaries(groups.get((name, protocol, d), table.iloc[:0]), settings)
        for name in listed
        for protocol in protocols
        for d in dimensions
    }
    drawn: dict[str, Resampling | None] = {}
    for protocol in protocols:
        ids = set(table.loc[table["protocol"] == protocol, "sample_id"])
        drawn[protocol] = settings.draw(samples, protocol, ids)
        for d in dimensions:
            _replicate([made[name, protocol, d] for name in listed], drawn[protocol])
    rows = []
    for name, metric in listed.items():
        own = [p for p in protocols if any((name, p, d) in groups for d in dimensions)] or protocols
        for protocol in own:
            by_dimension = {d: made[name, protocol, d] for d in dimensions}
            for level, pooling in _KEYS:
                key = (level, pooling)
                shared = {
                    "metric": name,
                    "group": metric["group"],
                    "kind": metric["kind"],
                    "protocol": protocol,
                    "level": level,
                    "pooling": pooling,
                    "weights": metric["weights"],
                }
                for d, found in by_dimension.items():
                    trials = list(found.trials.values()) if pooling in (MEAN, MEDIAN) else []
                    cells = _cells(found, level, drawn[protocol])
                    rows.append(
                        {
                            **shared,
                            "dimension": d,
                            "trials": len(found.trials),
                            "synthetic_mos": bool(synthetic.get(d, False)),
                            **statistics_row(found.values[key]),
                            **_spread(trials),
                            **_ends(found.values[key], found.replicates.get(key, {}),
                                    drawn[protocol], settings, cells),
                        }
                    )  # fmt: skip
                if len(dimensions) > 1:
                    overall = _overall({d: found.values[key] for d, found in by_dimension.items()})
                    both = averaged([f.replicates.get(key, {}) for f in by_dimension.values()])
                    rows.append(
                        {
                            **shared,
                            "dimension": OVERALL,
                            "trials": max(len(f.trials) for f in by_dimension.values()),
                            "synthetic_mos": any(synthetic.get(d, False) for d in dimensions),
                            **statistics_row(overall),
                            **_spread(_overall_trials(by_dimension, pooling)),
                            **_ends(overall, both, drawn[protocol], settings),
                        }
                    )
    return rows


def rounded(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows with their numbers at the digits that the stored table keeps.

    A fit's last digits differ from run to run, since memory alignment changes the order of sums;
    the stored table is to have the same bytes each time. p-values (``p_...``) keep six significant
    digits, since they may be tiny.

    >>> rounded([{"metric": "oracle", "srcc": 1.0, "rmse": 2.1e-10, "p_holm": 1.23456789e-20}])
    [{'metric': 'oracle', 'srcc': 1.0, 'rmse': 0.0, 'p_holm': 1.23457e-20}]
    """
    return [{name: _rounded(name, value) for name, value in row.items()} for row in rows]


def _rounded(name: str, value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if name.startswith("p_") else round(value, DIGITS) + 0.0


def _summaries(part: pd.DataFrame, settings: Settings) -> _Found:
    if part.empty:
        missing = "no_predictions: this metric has no test row in this dimension"
        nothing = Correlation(0, UNDEFINED, NONE, missing)
        return _Found(dict.fromkeys(_KEYS, nothing), {}, {}, [])
    notes = dropped(part)
    points = videos(part)
    values: dict[_Key, Correlation] = {}
    trials: dict[int, Correlation] = {}
    parts = []
    clouds = {}
    for level, own in ((VIDEO, points), (MODEL, models(points))):
        found, mapping = fitted(own["prediction"], own["mos"], settings.mapping)
        values[level, POOLED] = _noted(found, notes)
        clouds[level] = Cloud(points, mapping)
    for trial, own in by_trial(part):
        found, mapping = fitted(own["prediction"], own["mos"], settings.mapping)
        trials[trial] = found
        parts.append(Cloud(own, mapping))
    for pooling in (MEAN, MEDIAN):
        values[VIDEO, pooling] = _noted(_over_trials(list(trials.values()), pooling), notes)
    return _Found(values, trials, clouds, parts)


def _replicate(found: Sequence[_Found], drawn: Resampling | None) -> None:
    """Fill in the replicates of all metrics in one dimension under one protocol."""
    there = [own for own in found if own.clouds]
    if drawn is None or not there:
        return
    for own, made in zip(
        there, video_replicates([f.clouds[VIDEO] for f in there], drawn), strict=True
    ):
        own.replicates[VIDEO, POOLED] = made
        own.replicates[MODEL, POOLED] = level_replicates(own.clouds[MODEL], drawn)
    every = [(own, cloud) for own in there for cloud in own.parts]
    single = iter(video_replicates([cloud for _, cloud in every], drawn))
    for own in there:
        trials = [next(single) for _ in own.parts]
        own.replicates[VIDEO, MEAN] = pooled(trials, median=False)
        own.replicates[VIDEO, MEDIAN] = pooled(trials, median=True)


def _cells(found: _Found, level: str, drawn: Resampling | None) -> int | None:
    """How many different groups or samples are behind a row, at most as many as were drawn."""
    if drawn is None or level not in found.clouds:
        return None
    return len(set(drawn.codes(found.clouds[level].points.index.tolist()).tolist()))


def _ends(
    value: Correlation,
    replicates: Replicates,
    drawn: Resampling | None,
    settings: Settings,
    cells: int | None = None,
) -> dict[str, Any]:
    points = {statistic.name: value[statistic.name] for statistic in RESAMPLED}
    return intervals(replicates, points, drawn, settings.interval, cells)


def _noted(value: Correlation, notes: list[str]) -> Correlation:
    detail = "; ".join([*notes, value.detail] if value.detail else notes)
    return replace(value, detail=detail)


def _over_trials(values: Sequence[Correlation], pooling: str) -> Correlation:
    """Pool the trials' statistics; a trial in which one is undefined is left out and counted."""
    pool = _average if pooling == MEAN else _middle
    if len(values) == 1:
        return values[0]
    reasons: dict[str, list[str]] = {}
    for value in values:
        if value.detail:
            word, _, sentence = value.detail.partition(": ")
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
            f"{name} in {count} of {len(values)} trials" for name, count in ranked(names)
        )
    )
    return Correlation(
        sum(value.n for value in values) // len(values),
        {s.name: pool([value[s.name] for value in values]) for s in STATISTICS},
        mapping,
        "; ".join(notes),
    )


def _average(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _middle(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(median(known)) if known else None


def _spread(trials: Sequence[Correlation]) -> dict[str, float | None]:
    """Return the standard deviation over the trials that define a statistic, ddof 1."""
    row: dict[str, float | None] = {}
    for statistic in STATISTICS:
        values = [value for t in trials if (value := t[statistic.name]) is not None]
        row[f"{statistic.name}_sd"] = stdev(values) if len(values) > 1 else None
    return row


def _overall_trials(by_dimension: Mapping[str, _Found], pooling: str) -> list[Correlation]:
    """Return the mean over the dimensions of each trial that all of them have."""
    if pooling == POOLED:
        return []
    common = set.intersection(*(set(found.trials) for found in by_dimension.values()))
    return [
        _overall({d: found.trials[trial] for d, found in by_dimension.items()})
        for trial in sorted(common)
    ]


def _overall(by_dimension: Mapping[str, Correlation]) -> Correlation:
    """Average over the dimensions; undefined where it is undefined in one of them."""
    values = list(by_dimension.values())
    means: dict[str, float | None] = {}
    missing: dict[str, list[str]] = {}
    for statistic in STATISTICS:
        each = [value[statistic.name] for value in values]
        without = [d for d, number in zip(by_dimension, each, strict=True) if number is None]
        means[statistic.name] = None if without else _average(each)
        if without and statistic.is_correlation:
            missing.setdefault(", ".join(without), []).append(statistic.label)
    notes = [f"undefined: no {', '.join(names)} in {where}" for where, names in missing.items()]
    flawed = [d for d, v in by_dimension.items() if v.status != "ok"]
    if flawed and not notes:
        notes.append(f"flawed_dimension: see {', '.join(flawed)}")
    mappings = sorted({value.mapping for value in values})
    return Correlation(
        sum(value.n for value in values) // len(values),
        means,
        "; ".join(mappings),
        "; ".join(notes),
    )


def statistics_row(value: Correlation) -> dict[str, Any]:
    """Return the columns of a table that hold one metric's statistics, and how they came about."""
    return {
        "n": value.n,
        **value.values,
        "main_score": value.main_score,
        "mapping": value.mapping,
        "status": value.status,
        "detail": value.detail,
    }
