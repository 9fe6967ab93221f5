"""Columns of tables as JSON values for the site's data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

#: Significant digits of predictions and features on the page. The tables have all digits.
DIGITS = 6

Parts = dict[str, Any]


def encode_columns(frame: pd.DataFrame, names: Sequence[str]) -> Parts:
    """Return the named columns of a frame as lists of JSON values."""
    columns: Parts = {}
    for name in names:
        values = frame[name]
        if pd.api.types.is_bool_dtype(values):
            columns[name] = [bool(v) for v in values]
        elif pd.api.types.is_numeric_dtype(values):
            columns[name] = to_numbers(values, None)
        else:
            columns[name] = [v if isinstance(v, bool) else to_text(v) for v in values]
    return columns


def encode_column(values: Iterable[Any]) -> Parts:
    """Return a column as its distinct values and one index per row, -1 for an empty cell."""
    texts = [to_text(value) for value in values]
    distinct = sorted({text for text in texts if text is not None})
    numbers = {text: number for number, text in enumerate(distinct)}
    return {"values": distinct, "codes": [-1 if t is None else numbers[t] for t in texts]}


def to_text(value: Any) -> str | None:
    """Return a cell as text, None if it is empty."""
    if value is None or (isinstance(value, float) and math.isnan(value)) or value is pd.NA:
        return None
    return str(value)


def to_numbers(values: Iterable[Any], digits: int | None = DIGITS) -> list[float | int | None]:
    """Return numbers as JSON values: NaN and infinity as None, whole numbers as integers."""
    return [to_number(value, digits) for value in values]


def to_number(value: Any, digits: int | None) -> float | int | None:
    """Return a number as a JSON value, rounded to significant digits if ``digits`` is given."""
    if value is None or pd.isna(value) or not math.isfinite(value):
        return None
    number = float(value) if digits is None else float(f"{float(value):.{digits}g}")
    return int(number) if number.is_integer() and abs(number) < 2**53 else number
