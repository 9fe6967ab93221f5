"""Recognise columns and rows of a table that summarise it: means, deviations, counts."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from statistics import mean, median, stdev, variance

from sfqa.user_tables.table import UserTable

#: Words in a name that only a summary has.
_STRONG_WORDS = frozenset(
    ("mean", "means", "average", "avg", "mos", "dmos", "median", "std", "sd", "stdev", "stddev",
     "variance", "sem", "stderr", "ci", "ci95", "quantile", "percentile", "mittelwert",
     "durchschnitt", "standardabweichung")
)  # fmt: skip
#: Words that may also be a rater's name, with the statistics that they name.
_WEAK_WORDS = {
    "n": ("number",), "count": ("number",), "num": ("number",), "number": ("number",),
    "anzahl": ("number",), "min": ("minimum",), "max": ("maximum",), "sum": ("sum",),
    "total": ("sum",), "range": ("range",), "med": ("median",), "ave": ("mean",),
    "se": ("standard error",), "var": ("variance", "population variance"),
}  # fmt: skip
#: Rows that a column without such a name must match to be taken for a mean or deviation.
_MIN_ROWS = 3
#: 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom; above, that of the normal.
_T_QUANTILES = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
)  # fmt: skip

#: The scores of one column or row, None where there is none.
Scores = Sequence[float | None]


def _sem(values: Sequence[float]) -> float:
    return stdev(values) / math.sqrt(len(values))


def _interval(values: Sequence[float]) -> float:
    """Return half the 95 % t-interval of the mean."""
    degrees = len(values) - 1
    return _sem(values) * (_T_QUANTILES[degrees - 1] if degrees <= len(_T_QUANTILES) else 1.96)


def _population_variance(values: Sequence[float]) -> float:
    return variance(values) * (len(values) - 1) / len(values)


_Compute = Callable[[Sequence[float]], float]

_MEANS: dict[str, _Compute] = {
    "mean": mean,
    "standard deviation": stdev,
    "population standard deviation": lambda values: math.sqrt(_population_variance(values)),
}
_STATISTICS: dict[str, _Compute] = {
    **_MEANS,
    "median": median,
    "variance": variance,
    "population variance": _population_variance,
    "number": len,
    "minimum": min,
    "maximum": max,
    "range": lambda values: max(values) - min(values),
    "sum": sum,
    "standard error": _sem,
    "half 95 % interval": _interval,
    "half 95 % interval (normal)": lambda values: 1.96 * _sem(values),
    "lower end of the 95 % interval": lambda values: mean(values) - _interval(values),
    "upper end of the 95 % interval": lambda values: mean(values) + _interval(values),
    "lower end of the 95 % interval (normal)": lambda values: mean(values) - 1.96 * _sem(values),
    "upper end of the 95 % interval (normal)": lambda values: mean(values) + 1.96 * _sem(values),
}


def find_summaries(
    names: Sequence[str], lines: Sequence[Scores]
) -> tuple[dict[int, str], list[int]]:
    """Return the lines that summarise the others, with their statistic, and the unclear ones.

    A line is a column of a table with its ``names`` across, or a row with its names down. It is a
    summary if its name says so and its cells are a statistic of the others, or if three cells or
    more are their mean or standard deviation. It is unclear if only its name says so.

    >>> find_summaries(["a", "b", "mean"], [[1, 2], [2, 5], [1.5, 3.5]])
    ({2: 'mean'}, [])
    >>> find_summaries(["a", "b", "mean"], [[1, 2], [2, 5], [4, 4]])
    ({}, [2])
    """
    strong = {k for k, name in enumerate(names) if _STRONG_WORDS & set(_split_words(name))}
    if len(names) < 3 or 2 * len(strong) > len(names):
        return {}, []
    summaries: dict[int, str] = {}
    for k, name in enumerate(names):
        others = [i for i in range(len(names)) if i not in strong and i not in summaries and i != k]
        statistics = list(_STATISTICS) if k in strong else _list_weak_statistics(name)
        # Summaries without such a name mostly follow what they summarise.
        for rest in (others, [i for i in others if i < k]):
            statistic = _match_statistic(
                lines[k], [lines[i] for i in rest], statistics, 1 if k in strong else _MIN_ROWS
            )
            if statistic:
                summaries.setdefault(k, statistic)
    return summaries, sorted(strong - set(summaries))


def leave_out_summary_rows(table: UserTable, id_column: str) -> None:
    """Remove the rows that hold a statistic of the other rows and are called so, and note them.

    >>> from pathlib import Path
    >>> cells = {"video": ["a", "b", "Mean"], "mos": ["1", "2", "1.5"]}
    >>> table = UserTable(Path("t.csv"), cells, [2, 3, 4])
    >>> leave_out_summary_rows(table, "video"); table.columns["mos"]
    ['1', '2']
    >>> table.notes
    ["t.csv, row 4: 'Mean' is left out: it holds the mean of the other rows"]
    """
    ids = [str(cell) for cell in table.columns.get(id_column, ())]
    named = [index for index, name in enumerate(ids) if _is_summary_name(name)]
    if not named or 2 * len(named) > len(ids) or len(ids) < 3:
        return
    numbers = [table.read_numbers(name) for name in table.columns if name != id_column]
    columns = [column.values for column in numbers if column.has_numbers]
    lines: list[Scores] = [
        [None if math.isnan(column[index]) else column[index] for column in columns]
        for index in range(len(ids))
    ]
    others = [line for index, line in enumerate(lines) if index not in named]
    for index in reversed(named):
        statistic = _match_statistic(lines[index], others, list(_STATISTICS), least=1)
        if statistic:
            note = f"{ids[index]!r} is left out: it holds the {statistic} of the other rows"
            table.leave_out_row(index, note)


def _is_summary_name(name: str) -> bool:
    """Return whether each word of a name is one for a summary, not only a part of it."""
    words = _split_words(name)[:-1]
    return bool(words) and all(word in _STRONG_WORDS or word in _WEAK_WORDS for word in words)


def _split_words(name: str) -> list[str]:
    parts = re.findall(r"[a-z]+\d*", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
    return [*parts, "".join(parts)]


def _list_weak_statistics(name: str) -> list[str]:
    words = [word for word in _split_words(name) if word in _WEAK_WORDS]
    return [statistic for word in words for statistic in _WEAK_WORDS[word]]


def _match_statistic(
    line: Scores, others: Sequence[Scores], statistics: Sequence[str], least: int
) -> str:
    """Return the statistic of the other lines that a line holds, '' if none.

    ``statistics``: those that its name may mean; without any, mean and standard deviation.
    ``least``: number of cells that it needs.
    """
    positions = [i for i, value in enumerate(line) if value is not None]
    samples = [[v for other in others if (v := other[i]) is not None] for i in positions]
    values = [value for value in line if value is not None]
    if len(values) < least or len(others) < 2:
        return ""
    are_integers = all(v == int(v) for v in values)
    if not statistics and are_integers:
        return ""
    rounding = 0.5001 * 10.0 ** -max(_count_decimals(value) for value in values) + 1e-9
    # Whole numbers near the mean may be the scores of a rater; only a name such as "mean" tells.
    tolerances = (1e-9,) if are_integers and least > 1 else (1e-9, rounding)
    for tolerance in tolerances:
        for name in statistics or _MEANS:
            compute = _STATISTICS[name]
            if all(
                _is_near(compute, s, v, tolerance) for s, v in zip(samples, values, strict=True)
            ):
                return name
    return ""


def _is_near(
    compute: _Compute,
    sample: Sequence[float],
    value: float,
    tolerance: float,
) -> bool:
    return len(sample) > 1 and abs(compute(sample) - value) <= tolerance


def _count_decimals(value: float) -> int:
    written = repr(value)
    return 12 if "e" in written else len(written.partition(".")[2].rstrip("0"))
