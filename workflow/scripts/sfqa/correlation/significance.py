"""Significance of the differences between metrics: paired bootstrap, Steiger, Meng, Holm."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from sfqa.arrays import Floats
from sfqa.correlation.agreement import Correlation
from sfqa.correlation.bootstrap import LEAST_UNITS, Replicates, Resampling, compute_interval
from sfqa.correlation.fit_cache import FitCache
from sfqa.correlation.intervals import MetricPoints, average_replicates, compute_video_replicates
from sfqa.correlation.metric_statistics import get_scores
from sfqa.correlation.points import average_trials, check_metrics, join_test_rows
from sfqa.correlation.summarise import OVERALL, Settings
from sfqa.splits.protocol_options import ALL
from sfqa.statistics import resampled
from sfqa.statistics.registry import RESAMPLED, Statistic, find_statistic
from sfqa.tables import FAILED, OK, flaw

#: Raised whenever the rows change, also by the statistics, the mapping or the bootstrap.
VERSION = 3

LEVEL = 0.05

#: Controls are reference points; a test against them adds nothing to the intervals.
_LEFT_OUT = ("control",)

Row = dict[str, Any]


def compute_steiger(
    r_a: float, r_b: float, r_ab: float, n: int, ranks: bool = False
) -> tuple[float, float]:
    """Return Steiger's Z (1980, eq. 14) and its two-sided p for two dependent correlations.

    ``r_a`` and ``r_b``: correlations of two metrics with the MOS. ``r_ab``: correlation of the two
    metrics. ``n``: number of rows, which are assumed to be independent. ``ranks``: the correlations
    are SRCC; the variance of their Fisher z is larger by ``1 + r^2 / 2`` (Bonett and Wright, 2000),
    and without this factor 7 to 8 % of equally good metrics differ at the 5 % level. Returns NaN
    for n < 4 and for perfect correlations.

    >>> z, p = compute_steiger(0.63, -0.03, -0.19, 15)
    >>> round(z, 2), round(p, 3)
    (1.7, 0.089)
    """
    mean = (r_a + r_b) / 2
    rest = 1 - mean**2
    if n < 4 or max(abs(r_a), abs(r_b)) >= 1 or rest <= 0:
        return math.nan, math.nan
    shared = r_ab * (1 - 2 * mean**2) - mean**2 * (1 - 2 * mean**2 - r_ab**2) / 2
    return _compute_z(r_a, r_b, n, (2 - 2 * shared / rest**2) * (1 + mean**2 / 2 if ranks else 1))


def compute_meng(
    r_a: float, r_b: float, r_ab: float, n: int, ranks: bool = False
) -> tuple[float, float]:
    """Return the Z of Meng, Rosenthal and Rubin (1992) and its two-sided p.

    Arguments as for :func:`compute_steiger`.

    >>> z, p = compute_meng(0.63, -0.03, -0.19, 15)  # their example: Z = 1.68
    >>> round(z, 2), round(p, 3)
    (1.68, 0.093)
    """
    square = (r_a**2 + r_b**2) / 2
    if n < 4 or max(abs(r_a), abs(r_b)) >= 1 or square >= 1:
        return math.nan, math.nan
    f = min((1 - r_ab) / (2 * (1 - square)), 1.0)
    variance = 2 * (1 - r_ab) * (1 - f * square) / (1 - square)
    return _compute_z(r_a, r_b, n, variance * (1 + square / 2 if ranks else 1))


def _compute_z(r_a: float, r_b: float, n: int, variance: float) -> tuple[float, float]:
    if variance <= 1e-12:
        return math.nan, math.nan
    z = (math.atanh(r_a) - math.atanh(r_b)) * math.sqrt((n - 3) / variance)
    return z, 2 * float(stats.norm.sf(abs(z)))


def compute_bootstrap_p(differences: Floats, point: float, units: int) -> float:
    """Return the two-sided p of a difference: a t-test with the spread of its replicates.

    ``differences``: the replicates; NaN is ignored. ``units``: number of groups or samples drawn,
    for the degrees of freedom. The share of replicates below 0 is not used as p, because its
    smallest value, one over their number, is too coarse for Holm. Returns NaN if all replicates are
    equal.

    >>> round(compute_bootstrap_p(np.array([0.9, 1.0, 1.1]), 1.0, 10**6) * 1e23)
    2
    """
    defined_values = differences[np.isfinite(differences)]
    if len(defined_values) < 2 or units < 2:
        return math.nan
    spread = float(defined_values.std(ddof=1))
    if spread <= 1e-12:
        return math.nan
    return 2 * float(stats.t.sf(abs(point) / spread, units - 1))


def adjust_holm(values: Sequence[float]) -> list[float]:
    """Return p-values after the correction of Holm (1979); NaN stays NaN and is not counted.

    >>> [round(p, 3) for p in adjust_holm([0.01, 0.04, 0.03, float("nan")])]
    [0.03, 0.06, 0.06, nan]
    """
    adjusted = [math.nan] * len(values)
    tested = sorted((k for k, p in enumerate(values) if p == p), key=lambda k: values[k])
    highest = 0.0
    for rank, k in enumerate(tested):
        highest = max(highest, min(1.0, (len(tested) - rank) * values[k]))
        adjusted[k] = highest
    return adjusted


@dataclass(frozen=True)
class _ComparedMetric:
    """One metric on the samples that a pair of metrics has in common."""

    value: Correlation
    replicates: Replicates
    ranks: Floats
    mapped: Floats


@dataclass(frozen=True)
class _MetricPair:
    n: int
    a: _ComparedMetric
    b: _ComparedMetric


def significance_rows(
    predictions: pd.DataFrame,
    mos: pd.DataFrame,
    samples: pd.DataFrame,
    metrics: Sequence[Mapping[str, Any]],
    settings: Settings,
    fits: FitCache | None = None,
) -> list[Row]:
    """Compare every two metrics in every dimension and protocol; rows of tables.SIGNIFICANCE.

    Arguments, errors and points (level video, all trials pooled, signs put right) as in
    :func:`sfqa.correlation.summarise.correlation_rows`; two metrics are compared on the samples
    that both have a score of. The test is the paired bootstrap, which holds for groups too:
    ``p_holm`` is its p after Holm, over the pairs of one statistic, dimension and protocol.
    Steiger's and Meng's tests (on the ranks for SRCC) stand beside it; they take samples for
    independent. Controls are left out. Without resamples (``settings.bootstrap`` 0): no row.
    """
    metrics_by_name = check_metrics(metrics)
    table = join_test_rows(predictions, mos, samples, metrics_by_name)
    synthetic = mos.groupby("dimension")["synthetic"].any().to_dict()
    compared = [name for name, metric in metrics_by_name.items() if metric["kind"] not in _LEFT_OUT]
    rows: list[Row] = []
    for protocol, tested in table.groupby("protocol", sort=True):
        drawn = settings.draw_resampling(samples, str(protocol), set(tested["sample_id"]))
        if drawn is None:
            continue
        # Regressors have no rows of the protocol of all samples.
        scored = set(tested["metric"])
        names = [name for name in compared if protocol != ALL or name in scored]
        pairs_by_dimension: dict[str, dict[tuple[str, str], _MetricPair]] = {}
        for dimension, rated in tested.groupby("dimension", sort=True):
            pairs_by_dimension[str(dimension)] = _build_pairs(
                rated, names, drawn, settings, fits or FitCache()
            )
        for dimension, pairs in pairs_by_dimension.items():
            is_synthetic = bool(synthetic.get(dimension, False))
            shared_cells = {
                "dimension": dimension,
                "protocol": str(protocol),
                "synthetic_mos": is_synthetic,
            }
            rows += _test_pairs(shared_cells, {key: [pair] for key, pair in pairs.items()}, drawn)
        if len(pairs_by_dimension) > 1:
            all_pairs = {
                key: [pairs[key] for pairs in pairs_by_dimension.values()]
                for key in combinations(names, 2)
            }
            is_synthetic = any(bool(synthetic.get(d, False)) for d in pairs_by_dimension)
            shared_cells = {
                "dimension": OVERALL,
                "protocol": str(protocol),
                "synthetic_mos": is_synthetic,
            }
            rows += _test_pairs(shared_cells, all_pairs, drawn)
    return rows


def significance_matrix(
    rows: pd.DataFrame, dimension: str, protocol: str, statistic: str = "srcc"
) -> pd.DataFrame:
    """Return the matrix of significant differences, metric by metric, the best metric first.

    ``rows``: tables.SIGNIFICANCE. Cells: 1 if the metric of the row is significantly better than
    that of the column, -1 if it is worse, 0 if the difference is not significant, NaN if it was not
    tested and on the diagonal.

    >>> row = {"dimension": "q", "protocol": "p", "statistic": "srcc", "metric_a": "a",
    ...     "metric_b": "b", "value_a": 0.1, "value_b": 0.9, "difference": -0.8, "p_holm": 0.01,
    ...     "significant": True}
    >>> significance_matrix(pd.DataFrame([row]), "q", "p").to_dict("index")
    {'b': {'b': nan, 'a': 1.0}, 'a': {'b': -1.0, 'a': nan}}
    """
    selected_rows = rows[
        (rows["dimension"] == dimension)
        & (rows["protocol"] == protocol)
        & (rows["statistic"] == statistic)
    ]
    records = [
        {str(key): value for key, value in r.items()} for r in selected_rows.to_dict("records")
    ]
    sign = 1.0 if find_statistic(statistic).higher_is_better else -1.0
    values: dict[str, float] = {}
    for row in records:
        for side in ("a", "b"):
            name, value = row[f"metric_{side}"], _signed_value(row[f"value_{side}"], sign)
            values[name] = max(values.get(name, -math.inf), value)
    order = sorted(values, key=lambda name: (-values[name], name))
    matrix = pd.DataFrame(math.nan, index=order, columns=order)
    for row in records:
        if pd.notna(row["p_holm"]):
            better = sign * float(np.sign(row["difference"])) if row["significant"] else 0.0
            matrix.loc[row["metric_a"], row["metric_b"]] = better
            matrix.loc[row["metric_b"], row["metric_a"]] = 0.0 - better
    return matrix


def _signed_value(value: Any, sign: float) -> float:
    return -math.inf if value is None or value != value else sign * float(value)


def _build_pairs(
    rated: pd.DataFrame,
    names: Sequence[str],
    drawn: Resampling,
    settings: Settings,
    fits: FitCache,
) -> dict[tuple[str, str], _MetricPair]:
    """Return every pair on its common samples; pairs with the same samples share computations."""
    points = {name: average_trials(rated[rated["metric"] == name]) for name in names}
    ids_of = {name: tuple(map(str, frame.index.tolist())) for name, frame in points.items()}
    common_ids: dict[tuple[tuple[str, ...], tuple[str, ...]], tuple[str, ...]] = {}
    for pair in {(ids_of[a], ids_of[b]) for a, b in combinations(names, 2)}:
        common_ids[pair] = tuple(sorted(set(pair[0]) & set(pair[1])))
    shared = {(a, b): common_ids[ids_of[a], ids_of[b]] for a, b in combinations(names, 2)}
    metrics_by_samples: dict[tuple[str, ...], set[str]] = {}
    for (a, b), ids in shared.items():
        metrics_by_samples.setdefault(ids, set()).update((a, b))
    sides: dict[tuple[tuple[str, ...], str], _ComparedMetric] = {}
    for sample_ids, members in metrics_by_samples.items():
        order = sorted(members)
        frames = [points[name].loc[list(sample_ids)] for name in order]
        fits.prepare_fits(map(get_scores, frames), settings.mapping)
        results = [fits.correlate(*get_scores(f), settings.mapping) for f in frames]
        all_points = [
            MetricPoints(f, mapping) for f, (_, mapping) in zip(frames, results, strict=True)
        ]
        all_replicates = compute_video_replicates(all_points, drawn, fits.processes)
        for name, metric_points, (value, mapping), replicates in zip(
            order, all_points, results, all_replicates, strict=True
        ):
            scores = metric_points.points["prediction"].to_numpy(np.float64)
            mapped = scores if mapping is None else mapping(scores)
            sides[sample_ids, name] = _ComparedMetric(
                value, replicates, resampled.compute_ranks(scores), mapped
            )
    return {
        (a, b): _MetricPair(len(ids), sides[ids, a], sides[ids, b])
        for (a, b), ids in shared.items()
    }


def _test_pairs(
    shared_cells: Row, pairs: Mapping[tuple[str, str], Sequence[_MetricPair]], drawn: Resampling
) -> Iterator[Row]:
    for statistic in RESAMPLED:
        rows = [
            {
                **shared_cells,
                "statistic": statistic.name,
                **_compare_pair(statistic, a, b, dimension_pairs, drawn),
            }
            for (a, b), dimension_pairs in pairs.items()
        ]
        for row, p in zip(rows, adjust_holm([row["p_bootstrap"] for row in rows]), strict=True):
            row["p_holm"] = p
            row["significant"] = bool(p < LEVEL)
            row["status"] = FAILED if row["detail"] else OK
            yield row


def _compare_pair(
    statistic: Statistic, a: str, b: str, pairs: Sequence[_MetricPair], drawn: Resampling
) -> Row:
    """One statistic of two metrics, averaged over the dimensions of ``pairs``."""
    nan = math.nan
    row: Row = {
        "metric_a": a, "metric_b": b, "n": sum(pair.n for pair in pairs) // len(pairs),
        "value_a": nan, "value_b": nan, "difference": nan, "ci95_low": nan, "ci95_high": nan,
        "p_bootstrap": nan, "z_steiger": nan, "p_steiger": nan, "p_meng": nan,
        "resampled": f"{drawn.resamples} resamples of {drawn.units}", "detail": "",
    }  # fmt: skip
    for name, sides in ((a, [pair.a for pair in pairs]), (b, [pair.b for pair in pairs])):
        values = [side.value[statistic.name] for side in sides]
        defined = [value for value in values if value is not None]
        if len(defined) < len(values):
            why = sides[values.index(None)].value.detail
            row["detail"] = flaw("undefined", f"{name} has no {statistic.label} ({why})")
            return row
        row["value_a" if name == a else "value_b"] = sum(defined) / len(values)
    row["difference"] = row["value_a"] - row["value_b"]
    mean_replicates = [
        average_replicates([side.replicates for side in sides])[statistic.name]
        for sides in ([pair.a for pair in pairs], [pair.b for pair in pairs])
    ]
    steps = (mean_replicates[0] - mean_replicates[1])[: drawn.resamples]
    if len(pairs) == 1 and statistic.pearson_of:
        pair = pairs[0]
        of_ranks = statistic.pearson_of == "ranks"
        columns = [s.ranks if of_ranks else s.mapped for s in (pair.a, pair.b)]
        between = float(resampled.pearson(*columns))
        test_arguments = (row["value_a"], row["value_b"], between, pair.n, of_ranks)
        row["z_steiger"], row["p_steiger"] = compute_steiger(*test_arguments)
        row["p_meng"] = compute_meng(*test_arguments)[1]
    if drawn.drawn < LEAST_UNITS:
        row["detail"] = flaw("too_few", f"{drawn.units} where a test needs {LEAST_UNITS}")
        return row
    defined_steps = steps[np.isfinite(steps)]
    row["p_bootstrap"] = compute_bootstrap_p(defined_steps, row["difference"], drawn.drawn)
    if row["p_bootstrap"] != row["p_bootstrap"]:
        row["detail"] = flaw("no_spread", "the two metrics do not differ from sample to sample")
    else:
        ends = compute_interval(steps, row["difference"], drawn)
        row["ci95_low"], row["ci95_high"] = ends.low, ends.high
    return row
