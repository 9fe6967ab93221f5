"""From predictions and MOS to the rows of the correlation table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from sfqa.correlation.fits import NONE, correlate
from sfqa.correlation.statistics import Correlation
from sfqa.errors import UserError
from sfqa.tables import FAILED

#: Raised whenever the rows change, also by the statistics or the mapping.
VERSION = 2

#: Decimals that the stored table keeps.
DIGITS = 8

OVERALL = "overall"
VIDEO, MODEL = "video", "model"
POOLED, MEAN = "pooled", "mean"
KINDS = ("control", "zero_shot", "regressor", "imported")
WEIGHTS = ("official", "random", "none")
NEEDED = ("name", "group", "kind", "direction", "weights")

#: The statistics that "overall" averages and that tables show.
SHOWN = ("srcc", "plcc", "krcc")

_Key = tuple[str, str]


def correlation_rows(
    predictions: pd.DataFrame,
    mos: pd.DataFrame,
    samples: pd.DataFrame,
    metrics: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Return the rows of the correlation table for all metrics, dimensions and protocols.

    Only rows of part ``test`` count. Level ``video`` comes with two poolings: ``pooled`` (all test
    rows of all trials at once; a sample tested in several trials counts once, with its mean
    prediction) and ``mean`` (mean over the trials of each trial's statistics, the mapping fitted
    per trial). Level ``model`` correlates the means of the methods, pooled. With two dimensions or
    more, ``overall`` is the plain mean over the dimensions (SFQA, Table 2).

    ``metrics``: mappings of name, group, kind, direction (+1, or -1 where lower is better: the sign
    is flipped first) and weights, in the order of the result. Raises :class:`UserError` for metrics
    that predictions and list do not share, samples without a row, and no test row at all.
    """
    listed = _checked(metrics)
    table = _joined(predictions, mos, samples, listed)
    dimensions = sorted(table["dimension"].unique())
    groups = dict(iter(table.groupby(["metric", "protocol", "dimension"])))
    protocols = sorted(table["protocol"].unique())
    synthetic = mos.groupby("dimension")["synthetic"].any().to_dict()
    rows = []
    for name, metric in listed.items():
        own = [p for p in protocols if any((name, p, d) in groups for d in dimensions)] or protocols
        for protocol in own:
            found: dict[_Key, dict[str, Correlation]] = {}
            trials: dict[str, int] = {}
            for dimension in dimensions:
                part = groups.get((name, protocol, dimension), table.iloc[:0])
                trials[dimension] = int(part["trial"].nunique())
                for key, value in _summaries(part).items():
                    found.setdefault(key, {})[dimension] = value
            for (level, pooling), by_dimension in found.items():
                shared = {
                    "metric": name,
                    "group": metric["group"],
                    "kind": metric["kind"],
                    "protocol": protocol,
                    "level": level,
                    "pooling": pooling,
                    "weights": metric["weights"],
                }
                for dimension, value in by_dimension.items():
                    made = bool(synthetic.get(dimension, False))
                    rows.append(_row(shared, dimension, trials[dimension], made, value))
                if len(dimensions) > 1:
                    made = any(bool(synthetic.get(d, False)) for d in dimensions)
                    most = max(trials.values())
                    rows.append(_row(shared, OVERALL, most, made, _overall(by_dimension)))
    return rows


def rounded(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows with their statistics at the digits that the stored table keeps.

    A fit's last digits differ from run to run, since memory alignment changes the order of sums;
    the stored table is to have the same bytes each time.

    >>> rounded([{"metric": "oracle", "srcc": 1.0, "rmse": 2.1e-10}])
    [{'metric': 'oracle', 'srcc': 1.0, 'rmse': 0.0}]
    """
    kept = ("srcc", "plcc", "krcc", "rmse")
    return [
        {k: round(v, DIGITS) + 0.0 if k in kept and v is not None else v for k, v in row.items()}
        for row in rows
    ]


def trial_table(
    predictions: pd.DataFrame,
    mos: pd.DataFrame,
    samples: pd.DataFrame,
    metrics: Sequence[Mapping[str, Any]],
) -> pd.DataFrame:
    """Return the statistics of every single trial: what level video, pooling mean averages.

    Columns: metric, protocol, dimension, trial, n, srcc, plcc, krcc, rmse, mapping, status, detail.
    """
    table = _joined(predictions, mos, samples, _checked(metrics))
    rows = [
        {
            **dict(zip(("metric", "protocol", "dimension"), key, strict=True)),
            "trial": trial,
            **_statistics(value),
        }
        for key, part in table.groupby(["metric", "protocol", "dimension"])
        for trial, value in _by_trial(part)
    ]
    return pd.DataFrame(rows)


def pooled_points(
    predictions: pd.DataFrame,
    mos: pd.DataFrame,
    samples: pd.DataFrame,
    metric: Mapping[str, Any],
    dimension: str,
    protocol: str,
) -> pd.DataFrame:
    """Return the points behind level video, pooling pooled, one per sample, by sample.

    Columns: prediction (its sign flipped where the metric's direction is -1), mos, method; the
    index is ``sample_id``. Empty where the metric has no usable test row there.
    """
    own = predictions[
        (predictions["metric"] == metric["name"])
        & (predictions["dimension"] == dimension)
        & (predictions["protocol"] == protocol)
    ]
    if not (own["part"] == "test").any():
        return pd.DataFrame(columns=["prediction", "mos", "method"])
    return _videos(_joined(own, mos, samples, _checked([metric])))


def _checked(metrics: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    listed: dict[str, Mapping[str, Any]] = {}
    for number, metric in enumerate(metrics):
        for key in NEEDED:
            if key not in metric:
                raise UserError(f"metrics, entry {number}: {key!r} is missing; add it")
        for key, allowed in (("kind", KINDS), ("weights", WEIGHTS), ("direction", (1, -1))):
            if metric[key] not in allowed:
                raise UserError(
                    f"metrics, entry {metric['name']!r}: {key} is {metric[key]!r}; "
                    f"write one of {', '.join(map(str, allowed))}"
                )
        if metric["name"] in listed:
            raise UserError(f"metrics: {metric['name']!r} is there twice; keep one")
        listed[metric["name"]] = metric
    return listed


def _joined(
    predictions: pd.DataFrame,
    mos: pd.DataFrame,
    samples: pd.DataFrame,
    listed: Mapping[str, Mapping[str, Any]],
) -> pd.DataFrame:
    """Return the test rows with MOS, method, the sign put right, and whether they are usable."""
    test = predictions[predictions["part"] == "test"]
    if test.empty:
        raise UserError(
            f"predictions: none of {len(predictions)} rows has part 'test'; check the splits"
        )
    unknown = sorted(set(test["metric"]) - set(listed))
    if unknown:
        raise UserError(
            f"predictions: the metric {unknown[0]!r} is not in the list of metrics "
            f"({', '.join(listed)}); add it there or delete its predictions"
        )
    rated = mos[mos["status"] != FAILED][["sample_id", "dimension", "mos"]]
    table = test.merge(rated, on=["sample_id", "dimension"], how="left", validate="many_to_one")
    table["method"] = table["sample_id"].map(samples.set_index("sample_id")["method"])
    if table["method"].isna().any():
        lost = table.loc[table["method"].isna(), "sample_id"].iloc[0]
        raise UserError(
            f"predictions: the sample {lost!r} is not in the table of samples; "
            "delete these predictions, so that they are made again"
        )
    signs = table["metric"].map({name: metric["direction"] for name, metric in listed.items()})
    table["prediction"] = table["prediction"].astype(float) * signs.astype(float)
    table["scored"] = table["prediction"].notna() & (table["status"] != FAILED)
    return table.sort_values(["trial", "sample_id"], kind="stable")


def _summaries(part: pd.DataFrame) -> dict[_Key, Correlation]:
    if part.empty:
        missing = "no_predictions: this metric has no test row in this dimension"
        nothing = Correlation(0, None, None, None, None, NONE, missing)
        return dict.fromkeys(((VIDEO, POOLED), (VIDEO, MEAN), (MODEL, POOLED)), nothing)
    notes = _dropped(part)
    videos = _videos(part)
    return {
        (VIDEO, POOLED): _noted(correlate(videos["prediction"], videos["mos"]), notes),
        (VIDEO, MEAN): _noted(_mean([value for _, value in _by_trial(part)]), notes),
        (MODEL, POOLED): _noted(
            correlate(_means(videos, "method", "prediction"), _means(videos, "method", "mos")),
            notes,
        ),
    }


def _videos(part: pd.DataFrame) -> pd.DataFrame:
    """Return one row per tested sample: its mean prediction over the trials, MOS and method."""
    usable = part[part["scored"] & part["mos"].notna()]
    samples = usable.groupby("sample_id")
    return pd.DataFrame(
        {
            "prediction": _means(usable, "sample_id", "prediction"),
            "mos": samples["mos"].first(),
            "method": samples["method"].first(),
        }
    )


def _by_trial(part: pd.DataFrame) -> Iterator[tuple[int, Correlation]]:
    for trial, rows in part.groupby("trial"):
        usable = rows[rows["scored"] & rows["mos"].notna()]
        yield int(str(trial)), correlate(usable["prediction"], usable["mos"])


def _means(frame: pd.DataFrame, by: str, column: str) -> pd.Series[float]:
    """Return the means by group, exact where all values of a group are equal.

    The plain mean of equal values may differ from them in the last bit, and that would break ties.
    """
    first = frame.groupby(by)[column].transform("first")
    rest = (frame[column] - first).groupby(frame[by]).mean()
    return frame.groupby(by)[column].first() + rest


def _dropped(part: pd.DataFrame) -> list[str]:
    notes = []
    lost = part[~part["scored"]]
    if len(lost):
        words = Counter(detail.split(":")[0] for detail in lost["detail"] if detail)
        reasons = ", ".join(f"{word} {count}" for word, count in _ranked(words))
        notes.append(
            f"dropped: {len(lost)} of {len(part)} test rows have no score"
            + (f" ({reasons})" if reasons else "")
        )
    unrated = int((part["scored"] & part["mos"].isna()).sum())
    if unrated:
        notes.append(f"no_mos: {unrated} of {len(part)} test rows have no MOS")
    return notes


def _ranked(words: Counter[str]) -> list[tuple[str, int]]:
    return sorted(words.items(), key=lambda pair: (-pair[1], pair[0]))


def _noted(value: Correlation, notes: list[str]) -> Correlation:
    detail = "; ".join([*notes, value.detail] if value.detail else notes)
    return replace(value, detail=detail)


def _mean(values: Sequence[Correlation]) -> Correlation:
    """Average the trials' statistics; a trial in which one is undefined is left out and counted."""
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
            f"{name} in {count} of {len(values)} trials" for name, count in _ranked(names)
        )
    )
    return Correlation(
        sum(value.n for value in values) // len(values),
        _average([value.srcc for value in values]),
        _average([value.plcc for value in values]),
        _average([value.krcc for value in values]),
        _average([value.rmse for value in values]),
        mapping,
        "; ".join(notes),
    )


def _average(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _overall(by_dimension: Mapping[str, Correlation]) -> Correlation:
    """Average over the dimensions; undefined where it is undefined in one of them."""
    values = list(by_dimension.values())
    means: dict[str, float | None] = {}
    missing: dict[str, list[str]] = {}
    for name in (*SHOWN, "rmse"):
        each = [getattr(value, name) for value in values]
        without = [d for d, number in zip(by_dimension, each, strict=True) if number is None]
        means[name] = None if without else _average(each)
        if without and name in SHOWN:
            missing.setdefault(", ".join(without), []).append(name.upper())
    notes = [f"undefined: no {', '.join(names)} in {where}" for where, names in missing.items()]
    flawed = [d for d, v in by_dimension.items() if v.status != "ok"]
    if flawed and not notes:
        notes.append(f"flawed_dimension: see {', '.join(flawed)}")
    mappings = sorted({value.mapping for value in values})
    return Correlation(
        sum(value.n for value in values) // len(values),
        means["srcc"],
        means["plcc"],
        means["krcc"],
        means["rmse"],
        "; ".join(mappings),
        "; ".join(notes),
    )


def _statistics(value: Correlation) -> dict[str, Any]:
    return {
        "n": value.n,
        "srcc": value.srcc,
        "plcc": value.plcc,
        "krcc": value.krcc,
        "rmse": value.rmse,
        "mapping": value.mapping,
        "status": value.status,
        "detail": value.detail,
    }


def _row(
    shared: Mapping[str, Any], dimension: str, trials: int, synthetic: bool, value: Correlation
) -> dict[str, Any]:
    return {
        **shared,
        "dimension": dimension,
        "trials": trials,
        "synthetic_mos": synthetic,
        **_statistics(value),
    }
