"""Metrics with a column of their own for each rated dimension, such as a language model's answers.

In a configuration their ``inputs`` are keys with values, ``{visual_quality: m.visual_quality}``,
where other metrics have a list. A completed metric holds them as ``dimension_inputs``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sfqa.errors import UserError, hint

#: Kinds of metrics that may have a column for each dimension.
_KINDS = ("zero_shot", "imported")


def read_dimension_inputs(where: str, entry: Mapping[str, Any]) -> dict[str, str]:
    """Return the column of each dimension; empty if the inputs of a metric are a list.

    ``entry`` is the metric in a configuration, ``where`` its name in messages. Raises
    :class:`UserError` for a trained metric, for a column that is not a text, and for a dimension of
    ``dimensions`` without a column.
    """
    columns = entry.get("inputs")
    if not isinstance(columns, Mapping):
        return {}
    if entry["kind"] == "regressor":
        raise UserError(
            f"{where}.inputs: a column for each dimension goes with the kinds "
            f"{' and '.join(_KINDS)}; a regressor predicts every dimension from the same inputs: "
            "write a list, such as [slowfast, lse.lse_c]"
        )
    for dimension, column in columns.items():
        if not isinstance(dimension, str) or not isinstance(column, str):
            raise UserError(
                f"{where}.inputs: {dimension!r}: {column!r}; write the name of a dimension and of "
                "its column, such as visual_quality: qwen_omni.visual_quality"
            )
    _check_columns(where, columns, read_dimensions(where, entry) or ())
    return dict(columns)


def read_dimensions(where: str, entry: Mapping[str, Any]) -> list[str] | None:
    """Return the dimensions that a metric scores, None if it scores all.

    Raises :class:`UserError` for anything but a list of different names.

    >>> read_dimensions("config, regression.metrics.A", {"dimensions": ["visual_quality"]})
    ['visual_quality']
    """
    names = entry.get("dimensions")
    if not names:
        return None
    is_list = isinstance(names, Sequence) and not isinstance(names, str)
    if not is_list or not all(isinstance(name, str) for name in names):
        raise UserError(
            f"{where}.dimensions: {names!r}; write a list of names, such as [visual_quality]"
        )
    if len(set(names)) < len(names):
        raise UserError(f"{where}.dimensions: {names!r} names a dimension twice; name each once")
    return list(names)


def check_rated_dimensions(metrics: Sequence[Mapping[str, Any]], rated: Collection[str]) -> None:
    """Raise :class:`UserError` if a metric scores a dimension that is not rated, or lacks a column.

    ``metrics`` are completed ones, ``rated`` the rated dimensions; if it is empty, they are not
    known yet. A metric with a column for each dimension needs one for each dimension that it
    scores: those of its ``dimensions``, by default all that are rated.
    """
    for metric in metrics:
        where, names = f"config, regression.metrics.{metric['name']}", metric.get("dimensions")
        for name in names or ():
            if rated and name not in rated:
                raise UserError(
                    f"{where}.dimensions: no dimension {name!r} was rated; {hint(name, rated)}"
                )
        if columns := metric.get("dimension_inputs"):
            _check_columns(where, columns, names or rated)


def split_dimensions(
    metric: Mapping[str, Any], dimensions: Sequence[str]
) -> list[Mapping[str, Any]]:
    """Return a metric of one column for each dimension; the metric itself if it has one for all.

    >>> columns = {"visual": "m.v", "audio": "m.a"}
    >>> metric = {"name": "M", "inputs": ["m.v", "m.a"], "dimension_inputs": columns}
    >>> [(m["inputs"], m["dimensions"]) for m in split_dimensions(metric, ["audio"])]
    [(['m.a'], ['audio'])]
    """
    columns = metric.get("dimension_inputs")
    if not columns:
        return [metric]
    return [{**metric, "inputs": [columns[d]], "dimensions": [d]} for d in dimensions]


def _check_columns(where: str, columns: Mapping[str, str], dimensions: Collection[str]) -> None:
    for dimension in dimensions:
        if dimension not in columns:
            raise UserError(
                f"{where}.inputs: no column for the dimension {dimension!r} "
                f"({hint(dimension, columns, 'there are columns for')}); add it, or name in "
                "'dimensions' those that the metric scores"
            )
