"""Recognise columns and rows of a table that summarise it: means, deviations, counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from statistics import mean, median, stdev, variance

from sfqa.user_tables.summary_words import (
    has_strong_name,
    is_doubtful_name,
    is_summary_name,
    list_statistics,
    names_quantile,
)
from sfqa.user_tables.table import UserTable

#: Rows that a column without such a name must match to be taken for a mean or deviation.
_MIN_ROWS = 3
#: 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom; above, that of the normal.
_T_QUANTILES = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
)  # fmt: skip

#: Percentages of the quantiles that are looked for.
_PERCENTS = (1, 2.5, 5, 10, 20, 25, 75, 80, 90, 95, 97.5, 99)

#: Statistics that are not rounded.
_EXACT = frozenset(("number", "minimum", "maximum", "range"))
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


def _quantile(percent: float, values: Sequence[float]) -> float:
    """Return a quantile with linear interpolation, as pandas and spreadsheets compute it."""
    ordered = sorted(values)
    position = percent / 100 * (len(ordered) - 1)
    lower = int(position)
    upper = min(lower + 1, len(ordered) - 1)
    return ordered[lower] + (position - lower) * (ordered[upper] - ordered[lower])


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
_QUANTILES: dict[str, _Compute] = {
    "median": median,
    "interquartile range": lambda values: _quantile(75, values) - _quantile(25, values),
    **{f"{percent} % quantile": partial(_quantile, percent) for percent in _PERCENTS},
}


def find_summaries(
    names: Sequence[str], lines: Sequence[Scores], only_named: bool = False
) -> tuple[dict[int, str], list[int]]:
    """Return the lines that summarise the others, with their statistic, and the unclear ones.

    A line is a column of a table with its ``names`` across, or a row with its names down. It is a
    summary if its name says so and its cells are a statistic of the others, or if three cells or
    more are their mean or standard deviation. It is unclear if only its name says so. With
    ``only_named`` a line without a name of a summary is none.

    >>> find_summaries(["a", "b", "mean"], [[1, 2], [2, 5], [1.5, 3.5]])
    ({2: 'mean'}, [])
    >>> find_summaries(["a", "b", "mean"], [[1, 2], [2, 5], [4, 4]])
    ({}, [2])
    """
    strong = {k for k, name in enumerate(names) if has_strong_name(name)}
    weak = {k: statistics for k, name in enumerate(names) if (statistics := list_statistics(name))}
    if len(names) - len(strong) < 2:
        return {}, []
    summaries: dict[int, str] = {}
    count = -1
    # A summary that is recognised is no longer among the others of the next one.
    while count < len(summaries):
        count = len(summaries)
        for k in range(len(names)):
            if k in summaries or (only_named and k not in strong and k not in weak):
                continue
            others = [i for i in range(len(names)) if not (i in strong or i in summaries or i == k)]
            statistics = _list_possible(names[k]) if k in strong else weak.get(k, [])
            # Summaries without such a name mostly follow what they summarise.
            parts = ([i for i in others if i not in weak], others, [i for i in others if i < k])
            for part in parts:
                statistic = _match_statistic(
                    lines[k], [lines[i] for i in part], statistics, 1 if k in strong else _MIN_ROWS
                )
                if statistic:
                    summaries.setdefault(k, statistic)
    return summaries, sorted(strong - set(summaries))


def list_doubtful_names(names: Sequence[str], lines: Sequence[Scores]) -> list[int]:
    """Return the lines with scores that are called as a summary is, whatever they hold.

    There are none if most lines are called so.
    """
    indices = [k for k, name in enumerate(names) if is_doubtful_name(name)]
    if len(names) - len(indices) < 2:
        return []
    return [k for k in indices if any(value is not None for value in lines[k])]


def leave_out_summary_rows(table: UserTable, id_column: str) -> None:
    """Remove the rows that hold a statistic of the other rows and are called so, and note them.

    A row that is only called so stays, with a note.

    >>> from pathlib import Path
    >>> cells = {"video": ["a", "b", "Mean"], "mos": ["1", "2", "1.5"]}
    >>> table = UserTable(Path("t.csv"), cells, [2, 3, 4])
    >>> leave_out_summary_rows(table, "video"); table.columns["mos"]
    ['1', '2']
    >>> table.notes
    ["t.csv, row 4: 'Mean' is left out: it holds the mean of the other rows"]
    """
    ids = [str(cell) for cell in table.columns.get(id_column, ())]
    named = [index for index, name in enumerate(ids) if is_summary_name(name)]
    if not named or len(ids) - len(named) < 2:
        return
    numbers = [table.read_numbers(name) for name in table.columns if name != id_column]
    columns = [column.values for column in numbers if column.has_numbers]
    lines: list[Scores] = [
        [None if math.isnan(column[index]) else column[index] for column in columns]
        for index in range(len(ids))
    ]
    others = [line for index, line in enumerate(lines) if index not in named]
    doubtful = list_doubtful_names(ids, lines)
    for index in reversed(named):
        statistics = _list_possible(ids[index])
        statistic = _match_statistic(lines[index], others, statistics, least=1)
        if statistic:
            note = f"{ids[index]!r} is left out: it holds the {statistic} of the other rows"
            table.leave_out_row(index, note)
        elif index in doubtful:
            table.row_notes.append(
                f"{table.path}, row {table.rows[index]}: {describe_doubt(ids[index], 'row')}"
            )


def describe_doubt(name: str, line: str) -> str:
    """Return a note on a row or column that is called as a summary but is read as all others.

    >>> describe_doubt("Max", "row").partition(";")[0]
    "'Max' is read as the others are, although it is called as a summary is"
    """
    return (
        f"{name!r} is read as the others are, although it is called as a summary is; its cells are "
        f"no statistic of the others, delete the {line} if it is a summary"
    )


def _list_possible(name: str) -> list[str]:
    """Return the statistics that a line may hold whose name is one of a summary."""
    if set(list_statistics(name)) & set(_QUANTILES):
        return [*_STATISTICS, *_QUANTILES]
    return list(_QUANTILES if names_quantile(name) else _STATISTICS)


def _match_statistic(
    line: Scores, others: Sequence[Scores], statistics: Sequence[str], least: int
) -> str:
    """Return the statistic of the other lines that a line holds, '' if none.

    ``statistics``: those that its name may mean; without any, mean and standard deviation.
    ``least``: number of cells that it needs.
    """
    positions = [i for i, value in enumerate(line) if value is not None]
    values = [value for value in line if value is not None]
    if len(values) < least or len(others) < 2:
        return ""
    are_integers = all(v == int(v) for v in values)
    if not statistics and are_integers:
        return ""
    rounding = 0.5001 * 10.0 ** -max(_count_decimals(value) for value in values) + 1e-9

    @cache
    def list_sample(position: int) -> list[float]:
        return [value for other in others if (value := other[position]) is not None]

    # Whole numbers near the mean may be the scores of a rater; only a name such as "mean" tells.
    tolerances = (1e-9,) if are_integers and least > 1 else (1e-9, rounding)
    for tolerance in tolerances:
        for name in statistics or _MEANS:
            compute = (_STATISTICS | _QUANTILES)[name]
            limit = 1e-9 if name in _EXACT else tolerance
            if all(
                _is_near(compute, list_sample(position), value, limit)
                for position, value in zip(positions, values, strict=True)
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
