"""Which metric is better than which: paired bootstrap, Steiger's and Meng's tests, Holm."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from sfqa.correlation.agreement import Correlation
from sfqa.correlation.bootstrap import LEAST_UNITS, Replicates, Resampling, interval
from sfqa.correlation.fits import fitted
from sfqa.correlation.intervals import Cloud, averaged, video_replicates
from sfqa.correlation.points import checked, joined, videos
from sfqa.correlation.summarise import OVERALL, Settings
from sfqa.statistics import resampled
from sfqa.statistics.registry import RESAMPLED, Array, Statistic, find_statistic
from sfqa.tables import FAILED, OK, flaw

#: Raised whenever the rows change, also by the statistics, the mapping or the bootstrap.
VERSION = 1

LEVEL = 0.05

#: Controls bracket the table; a test against them says nothing that the intervals do not.
_LEFT_OUT = ("control",)

Row = dict[str, Any]


def steiger(
    r_a: float, r_b: float, r_ab: float, n: int, ranks: bool = False
) -> tuple[float, float]:
    """Return Steiger's Z (1980, eq. 14) and its two-sided p for two correlations with one variable.

    ``r_a`` and ``r_b``: of two metrics with the MOS; ``r_ab``: of the metrics with each other;
    ``n``: rows, which the test takes to be independent. ``ranks``: they are SRCC, whose Fisher z
    has a variance larger by ``1 + r^2 / 2`` (Bonett and Wright, 2000): without that, 7 to 8 % of
    equally good metrics differ at 5 %. NaN for n < 4 and for perfect correlations.

    >>> z, p = steiger(0.63, -0.03, -0.19, 15)
    >>> round(z, 2), round(p, 3)
    (1.7, 0.089)
    """
    mean = (r_a + r_b) / 2
    rest = 1 - mean**2
    if n < 4 or max(abs(r_a), abs(r_b)) >= 1 or rest <= 0:
        return math.nan, math.nan
    shared = r_ab * (1 - 2 * mean**2) - mean**2 * (1 - 2 * mean**2 - r_ab**2) / 2
    return _z(r_a, r_b, n, (2 - 2 * shared / rest**2) * (1 + mean**2 / 2 if ranks else 1))


def meng(r_a: float, r_b: float, r_ab: float, n: int, ranks: bool = False) -> tuple[float, float]:
    """Return the Z of Meng, Rosenthal and Rubin (1992) and its two-sided p; as :func:`steiger`.

    >>> z, p = meng(0.63, -0.03, -0.19, 15)  # their example: Z = 1.68
    >>> round(z, 2), round(p, 3)
    (1.68, 0.093)
    """
    square = (r_a**2 + r_b**2) / 2
    if n < 4 or max(abs(r_a), abs(r_b)) >= 1 or square >= 1:
        return math.nan, math.nan
    f = min((1 - r_ab) / (2 * (1 - square)), 1.0)
    variance = 2 * (1 - r_ab) * (1 - f * square) / (1 - square)
    return _z(r_a, r_b, n, variance * (1 + square / 2 if ranks else 1))


def _z(r_a: float, r_b: float, n: int, variance: float) -> tuple[float, float]:
    if variance <= 1e-12:
        return math.nan, math.nan
    z = (math.atanh(r_a) - math.atanh(r_b)) * math.sqrt((n - 3) / variance)
    return z, 2 * float(stats.norm.sf(abs(z)))


def bootstrap_p(differences: Array, point: float, units: int) -> float:
    """Return the two-sided p of a difference from its replicates: a t-test with their spread.

    ``differences``: replicates, NaN left out; ``units``: groups or samples drawn, for the degrees
    of freedom. A share of replicates beyond 0 could not get below 1 in their number, too coarse
    for Holm. NaN where the replicates do not differ.

    >>> round(bootstrap_p(np.array([0.9, 1.0, 1.1]), 1.0, 10**6) * 1e23)
    2
    """
    good = differences[np.isfinite(differences)]
    if len(good) < 2 or units < 2:
        return math.nan
    spread = float(good.std(ddof=1))
    if spread <= 1e-12:
        return math.nan
    return 2 * float(stats.t.sf(abs(point) / spread, units - 1))


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values after Holm (1979); NaN stays NaN and does not count.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03, float("nan")])]
    [0.03, 0.06, 0.06, nan]
    """
    found = [math.nan] * len(values)
    tested = sorted((k for k, p in enumerate(values) if p == p), key=lambda k: values[k])
    highest = 0.0
    for place, k in enumerate(tested):
        highest = max(highest, min(1.0, (len(tested) - place) * values[k]))
        found[k] = highest
    return found


@dataclass(frozen=True)
class _Side:
    """One metric on the samples that a pair shares."""

    value: Correlation
    replicates: Replicates
    ranks: Array
    mapped: Array


@dataclass(frozen=True)
class _Pair:
    n: int
    a: _Side
    b: _Side


def significance_rows(
    predictions: pd.DataFrame,
    mos: pd.DataFrame,
    samples: pd.DataFrame,
    metrics: Sequence[Mapping[str, Any]],
    settings: Settings,
) -> list[Row]:
    """Compare every two metrics in every dimension and protocol; rows of tables.SIGNIFICANCE.

    Arguments, errors and points (level video, all trials pooled, signs put right) as in
    :func:`sfqa.correlation.summarise.correlation_rows`; two metrics are compared on the samples
    that both have a score of. The test is the paired bootstrap, which holds for groups too:
    ``p_holm`` is its p after Holm, over the pairs of one statistic, dimension and protocol.
    Steiger's and Meng's tests (on the ranks for SRCC) stand beside it; they take samples for
    independent. Controls are left out. Without resamples (``settings.bootstrap`` 0): no row.
    """
    listed = checked(metrics)
    table = joined(predictions, mos, samples, listed)
    synthetic = mos.groupby("dimension")["synthetic"].any().to_dict()
    names = [name for name, metric in listed.items() if metric["kind"] not in _LEFT_OUT]
    rows: list[Row] = []
    for protocol, tested in table.groupby("protocol", sort=True):
        drawn = settings.draw(samples, str(protocol), set(tested["sample_id"]))
        if drawn is None:
            continue
        found: dict[str, dict[tuple[str, str], _Pair]] = {}
        for dimension, rated in tested.groupby("dimension", sort=True):
            found[str(dimension)] = _pairs(rated, names, drawn, settings)
        for dimension, pairs in found.items():
            made = bool(synthetic.get(dimension, False))
            head = {"dimension": dimension, "protocol": str(protocol), "synthetic_mos": made}
            rows += _tested(head, {key: [pair] for key, pair in pairs.items()}, drawn)
        if len(found) > 1:
            every = {
                key: [pairs[key] for pairs in found.values()] for key in combinations(names, 2)
            }
            made = any(bool(synthetic.get(d, False)) for d in found)
            head = {"dimension": OVERALL, "protocol": str(protocol), "synthetic_mos": made}
            rows += _tested(head, every, drawn)
    return rows


def significance_matrix(
    rows: pd.DataFrame, dimension: str, protocol: str, statistic: str = "srcc"
) -> pd.DataFrame:
    """Return who is significantly better than whom: metric by metric, the best first.

    ``rows``: tables.SIGNIFICANCE. Cells: 1 where the metric of the row is better than that of the
    column, -1 worse, 0 not shown to differ, NaN not tested and on the diagonal.

    >>> row = {"dimension": "q", "protocol": "p", "statistic": "srcc", "metric_a": "a",
    ...     "metric_b": "b", "value_a": 0.1, "value_b": 0.9, "difference": -0.8, "p_holm": 0.01,
    ...     "significant": True}
    >>> significance_matrix(pd.DataFrame([row]), "q", "p").to_dict("index")
    {'b': {'b': nan, 'a': 1.0}, 'a': {'b': -1.0, 'a': nan}}
    """
    own = rows[
        (rows["dimension"] == dimension)
        & (rows["protocol"] == protocol)
        & (rows["statistic"] == statistic)
    ]
    records = [{str(key): value for key, value in r.items()} for r in own.to_dict("records")]
    sign = 1.0 if find_statistic(statistic).higher_is_better else -1.0
    values: dict[str, float] = {}
    for row in records:
        for side in ("a", "b"):
            name, value = row[f"metric_{side}"], _known(row[f"value_{side}"], sign)
            values[name] = max(values.get(name, -math.inf), value)
    order = sorted(values, key=lambda name: (-values[name], name))
    made = pd.DataFrame(math.nan, index=order, columns=order)
    for row in records:
        if pd.notna(row["p_holm"]):
            better = sign * float(np.sign(row["difference"])) if row["significant"] else 0.0
            made.loc[row["metric_a"], row["metric_b"]] = better
            made.loc[row["metric_b"], row["metric_a"]] = 0.0 - better
    return made


def _known(value: Any, sign: float) -> float:
    return -math.inf if value is None or value != value else sign * float(value)


def _pairs(
    rated: pd.DataFrame, names: Sequence[str], drawn: Resampling, settings: Settings
) -> dict[tuple[str, str], _Pair]:
    """Return every pair on the samples that it shares; pairs of the same samples are done once."""
    points = {name: videos(rated[rated["metric"] == name]) for name in names}
    shared = {
        (a, b): points[a].index.intersection(points[b].index).sort_values()
        for a, b in combinations(names, 2)
    }
    alike: dict[tuple[str, ...], set[str]] = {}
    for (a, b), ids in shared.items():
        alike.setdefault(tuple(map(str, ids)), set()).update((a, b))
    sides: dict[tuple[tuple[str, ...], str], _Side] = {}
    for own, members in alike.items():
        order = sorted(members)
        frames = [points[name].loc[list(own)] for name in order]
        fits = [fitted(f["prediction"], f["mos"], settings.mapping) for f in frames]
        clouds = [Cloud(f, mapping) for f, (_, mapping) in zip(frames, fits, strict=True)]
        made = video_replicates(clouds, drawn)
        for name, cloud, (value, mapping), replicates in zip(
            order, clouds, fits, made, strict=True
        ):
            scores = cloud.points["prediction"].to_numpy(np.float64)
            mapped = scores if mapping is None else mapping(scores)
            sides[own, name] = _Side(value, replicates, resampled.ranks(scores), mapped)
    return {
        (a, b): _Pair(len(ids), sides[tuple(map(str, ids)), a], sides[tuple(map(str, ids)), b])
        for (a, b), ids in shared.items()
    }


def _tested(
    head: Row, pairs: Mapping[tuple[str, str], Sequence[_Pair]], drawn: Resampling
) -> Iterator[Row]:
    for statistic in RESAMPLED:
        rows = [
            {**head, "statistic": statistic.name, **_compared(statistic, a, b, own, drawn)}
            for (a, b), own in pairs.items()
        ]
        for row, p in zip(rows, holm([row["p_bootstrap"] for row in rows]), strict=True):
            row["p_holm"] = p
            row["significant"] = bool(p < LEVEL)
            row["status"] = FAILED if row["detail"] else OK
            yield row


def _compared(
    statistic: Statistic, a: str, b: str, pairs: Sequence[_Pair], drawn: Resampling
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
    both = [averaged([side.replicates for side in sides])[statistic.name] for sides in (
        [pair.a for pair in pairs], [pair.b for pair in pairs])]  # fmt: skip
    steps = (both[0] - both[1])[: drawn.resamples]
    if len(pairs) == 1 and statistic.pearson_of:
        pair = pairs[0]
        of_ranks = statistic.pearson_of == "ranks"
        columns = [s.ranks if of_ranks else s.mapped for s in (pair.a, pair.b)]
        between = float(resampled.pearson(*columns))
        given = (row["value_a"], row["value_b"], between, pair.n, of_ranks)
        row["z_steiger"], row["p_steiger"] = steiger(*given)
        row["p_meng"] = meng(*given)[1]
    if drawn.drawn < LEAST_UNITS:
        row["detail"] = flaw("too_few", f"{drawn.units} where a test needs {LEAST_UNITS}")
        return row
    good = steps[np.isfinite(steps)]
    row["p_bootstrap"] = bootstrap_p(good, row["difference"], drawn.drawn)
    if row["p_bootstrap"] != row["p_bootstrap"]:
        row["detail"] = flaw("no_spread", "the two metrics do not differ from sample to sample")
    else:
        ends = interval(steps, row["difference"], drawn)
        row["ci95_low"], row["ci95_high"] = ends.low, ends.high
    return row
