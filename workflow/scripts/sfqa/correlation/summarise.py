"""Compute the rows of the correlation table from predictions and MOS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import stdev
from typing import Any

import pandas as pd

from sfqa.correlation.agreement import Correlation
from sfqa.correlation.bootstrap import Replicates, Resampling, check_interval_kind, draw_resampling
from sfqa.correlation.fit_cache import FitCache
from sfqa.correlation.fits import DEFAULT, mapping_word
from sfqa.correlation.intervals import average_replicates, build_interval_columns
from sfqa.correlation.marks import combine_marks
from sfqa.correlation.metric_statistics import (
    KEYS,
    MEAN,
    MEDIAN,
    MODEL,
    POOLED,
    VIDEO,
    MetricStatistics,
    add_replicates,
    collect_points,
    compute_mean,
    compute_statistics,
    count_cells,
)
from sfqa.correlation.points import (
    KINDS,
    WEIGHTS,
    check_metrics,
    join_test_rows,
    pool_points,
)
from sfqa.sample_fields import MEAN_DIMENSION, check_dimensions
from sfqa.statistics.registry import RESAMPLED, STATISTICS

__all__ = [
    "KINDS", "MEAN", "MEDIAN", "MODEL", "OVERALL", "POOLED", "VIDEO", "WEIGHTS", "Settings",
    "correlation_rows", "pool_points", "round_rows",
]  # fmt: skip

#: Raised whenever the rows change, also by the statistics, the mapping or the bootstrap.
VERSION = 4

#: Decimals that the stored table keeps.
DIGITS = 8

OVERALL = MEAN_DIMENSION


@dataclass(frozen=True)
class Settings:
    """Settings of the mapping and of the intervals.

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
        check_interval_kind(self.interval, "correlation.interval")

    def draw_resampling(
        self, samples: pd.DataFrame, protocol: str, ids: set[str]
    ) -> Resampling | None:
        """Draw resamples of the samples that a protocol tests; None if no interval is requested."""
        if not self.bootstrap:
            return None
        tested_samples = samples[samples["sample_id"].isin(ids)]
        groups, grouped = self.groups.get(protocol), protocol in self.groups
        return draw_resampling(
            tested_samples, groups, self.bootstrap, self.seed, self.interval, grouped
        )


def correlation_rows(
    predictions: pd.DataFrame,
    mos: pd.DataFrame,
    samples: pd.DataFrame,
    metrics: Sequence[Mapping[str, Any]],
    settings: Settings = Settings(),
    fits: FitCache | None = None,
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
    that predictions and list do not share, samples without a row, and no test row at all. ``fits``
    keeps fits for other tables of the same predictions and says how many processes compute.
    """
    metrics_by_name = check_metrics(metrics)
    table = join_test_rows(predictions, mos, samples, metrics_by_name)
    dimensions = sorted(table["dimension"].unique())
    check_dimensions(dimensions, "mos")
    groups = dict(iter(table.groupby(["metric", "protocol", "dimension"])))
    protocols = sorted(table["protocol"].unique())
    synthetic = mos.groupby("dimension")["synthetic"].any().to_dict()
    fits = fits or FitCache()
    points = {
        (name, protocol, d): collect_points(groups.get((name, protocol, d), table.iloc[:0]))
        for name in metrics_by_name
        for protocol in protocols
        for d in dimensions
    }
    all_fits = (fit for p in points.values() if p is not None for fit in p.list_fits())
    fits.prepare_fits(all_fits, settings.mapping)
    all_statistics = {
        key: compute_statistics(metric_points, settings.mapping, fits)
        for key, metric_points in points.items()
    }
    drawn: dict[str, Resampling | None] = {}
    for protocol in protocols:
        ids = set(table.loc[table["protocol"] == protocol, "sample_id"])
        drawn[protocol] = settings.draw_resampling(samples, protocol, ids)
        for d in dimensions:
            statistics_of_metrics = [all_statistics[name, protocol, d] for name in metrics_by_name]
            add_replicates(statistics_of_metrics, drawn[protocol], fits.processes)
    rows = []
    for name, metric in metrics_by_name.items():
        metric_protocols = [
            p for p in protocols if any((name, p, d) in groups for d in dimensions)
        ] or protocols
        for protocol in metric_protocols:
            by_dimension = {d: all_statistics[name, protocol, d] for d in dimensions}
            for level, pooling in KEYS:
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
                for d, statistics in by_dimension.items():
                    trials = list(statistics.trials.values()) if pooling in (MEAN, MEDIAN) else []
                    cells = count_cells(statistics, level, drawn[protocol])
                    rows.append(
                        {
                            **shared,
                            "dimension": d,
                            "trials": len(statistics.trials),
                            "synthetic_mos": bool(synthetic.get(d, False)),
                            **statistics_row(statistics.values[key]),
                            **_compute_trial_sd(trials),
                            **_build_row_intervals(
                                statistics.values[key],
                                statistics.replicates.get(key, {}),
                                drawn[protocol],
                                settings,
                                cells,
                            ),
                        }
                    )
                if len(dimensions) > 1:
                    overall = _average_dimensions(
                        {d: statistics.values[key] for d, statistics in by_dimension.items()}
                    )
                    mean_replicates = average_replicates(
                        [f.replicates.get(key, {}) for f in by_dimension.values()]
                    )
                    rows.append(
                        {
                            **shared,
                            "dimension": OVERALL,
                            "trials": max(len(f.trials) for f in by_dimension.values()),
                            "synthetic_mos": any(synthetic.get(d, False) for d in dimensions),
                            **statistics_row(overall),
                            **_compute_trial_sd(
                                _average_dimensions_by_trial(by_dimension, pooling)
                            ),
                            **_build_row_intervals(
                                overall, mean_replicates, drawn[protocol], settings
                            ),
                        }
                    )
    return rows


def round_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows with their numbers rounded to the precision of the stored table.

    The last digits of a fit differ between runs, because memory alignment changes the order of
    sums; rounding makes the stored table identical in every run. p-values (``p_...``) keep six
    significant digits, because they can be very small.

    >>> round_rows([{"metric": "oracle", "srcc": 1.0, "rmse": 2.1e-10, "p_holm": 1.23456789e-20}])
    [{'metric': 'oracle', 'srcc': 1.0, 'rmse': 0.0, 'p_holm': 1.23457e-20}]
    """
    return [{name: _round_value(name, value) for name, value in row.items()} for row in rows]


def _round_value(name: str, value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if name.startswith("p_") else round(value, DIGITS) + 0.0


def _build_row_intervals(
    value: Correlation,
    replicates: Replicates,
    drawn: Resampling | None,
    settings: Settings,
    cells: int | None = None,
) -> dict[str, Any]:
    """Return the interval columns of a row: the ends for each statistic that is resampled."""
    points = {statistic.name: value[statistic.name] for statistic in RESAMPLED}
    return build_interval_columns(replicates, points, drawn, settings.interval, cells)


def _compute_trial_sd(trials: Sequence[Correlation]) -> dict[str, float | None]:
    """Return the standard deviation over the trials that define a statistic, ddof 1."""
    row: dict[str, float | None] = {}
    for statistic in STATISTICS:
        values = [value for t in trials if (value := t[statistic.name]) is not None]
        row[f"{statistic.name}_sd"] = stdev(values) if len(values) > 1 else None
    return row


def _average_dimensions_by_trial(
    by_dimension: Mapping[str, MetricStatistics], pooling: str
) -> list[Correlation]:
    """Return the mean over the dimensions of each trial that all of them have."""
    if pooling == POOLED:
        return []
    common = set.intersection(*(set(statistics.trials) for statistics in by_dimension.values()))
    return [
        _average_dimensions({d: statistics.trials[trial] for d, statistics in by_dimension.items()})
        for trial in sorted(common)
    ]


def _average_dimensions(by_dimension: Mapping[str, Correlation]) -> Correlation:
    """Average over the dimensions; undefined if it is undefined in any of them."""
    values = list(by_dimension.values())
    means: dict[str, float | None] = {}
    missing: dict[str, list[str]] = {}
    for statistic in STATISTICS:
        each = [value[statistic.name] for value in values]
        without = [d for d, number in zip(by_dimension, each, strict=True) if number is None]
        means[statistic.name] = None if without else compute_mean(each)
        if without and statistic.is_correlation:
            missing.setdefault(", ".join(without), []).append(statistic.label)
    notes = [f"undefined: no {', '.join(names)} in {where}" for where, names in missing.items()]
    flawed = [d for d, v in by_dimension.items() if v.status != "ok"]
    if flawed and not notes:
        notes.append(f"flawed_dimension: see {', '.join(flawed)}")
    notes += combine_marks({d: value.detail for d, value in by_dimension.items()})
    mappings = sorted({value.mapping for value in values})
    return Correlation(
        sum(value.n for value in values) // len(values),
        means,
        "; ".join(mappings),
        "; ".join(notes),
    )


def statistics_row(value: Correlation) -> dict[str, Any]:
    """Return the columns of one metric's statistics, with the mapping, status and detail."""
    return {
        "n": value.n,
        **value.values,
        "main_score": value.main_score,
        "mapping": value.mapping,
        "status": value.status,
        "detail": value.detail,
    }
