"""Read a column of text as numbers, in the forms in which programs and spreadsheets write them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

#: Words for a cell without a value, in lower case.
EMPTY_WORDS = frozenset(("", "nan", "na", "n/a", "none", "null", "-", "<na>", "#n/a", "#na"))
#: Signs that are printed for a minus: minus, small and full-width hyphen, en dash.
_MINUS = str.maketrans(dict.fromkeys("\u2212\ufe63\uff0d\u2013", "-"))
_EXPONENT = r"(?:[eE][+-]?\d+)?"
#: 1 234,5 and 1'234.5: no other meaning is possible.
_GROUPED_BY_SPACE = re.compile(r"[+-]?\d{1,3}(?:[ \u00a0\u202f\u2009'\u2019]\d{3})+(?:[.,]\d+)?")
_GROUP_SIGNS = re.compile(r"[ \u00a0\u202f\u2009'\u2019]")
_COMMA_NUMBER = re.compile(rf"[+-]?(?:\d+|\d{{1,3}}(?:\.\d{{3}})+)?,\d+{_EXPONENT}")
_GROUPED_BY_COMMA = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
#: 1,234 is 1.234 with a decimal comma and 1234 with a separator of thousands.
_UNCLEAR_COMMA = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_UNCLEAR_POINT = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}")
_POINT_NUMBER = re.compile(rf"[+-]?\d*\.\d+{_EXPONENT}")
#: 1.234.567 has separators of thousands beyond doubt.
_GROUPED_BY_POINTS = re.compile(r"[+-]?[1-9]\d{0,2}(?:\.\d{3}){2,}")


@dataclass
class ColumnNumbers:
    """The numbers of a column.

    ``values``: NaN for an empty cell and for one that is no number. ``bad``: indices of cells that
    are no number. ``unclear``: indices of cells that can be read as two numbers. ``is_percent``:
    whether every cell was a percentage; 12% is read as .12.
    """

    values: list[float]
    bad: list[int] = field(default_factory=list)
    unclear: list[int] = field(default_factory=list)
    is_percent: bool = False

    @property
    def has_numbers(self) -> bool:
        """Whether any cell is a finite number."""
        return any(math.isfinite(value) for value in self.values)


def is_empty(cell: Any) -> bool:
    """Return whether a cell has no value: empty, NaN, or a word such as NA.

    >>> is_empty("N/A"), is_empty(float("nan")), is_empty(0)
    (True, True, False)
    """
    if cell is None:
        return True
    if isinstance(cell, str):
        return cell.strip().lower().translate(_MINUS) in EMPTY_WORDS
    return isinstance(cell, float) and math.isnan(cell)


def parse_number(cell: Any) -> float | None:
    """Return a cell as a number, None if it is none in the plain form with a decimal point.

    Infinity is a number; NaN, truth values, ``1_0`` and words are not.

    >>> parse_number("\u22123.5"), parse_number("1 234"), parse_number("3,5"), parse_number(True)
    (-3.5, 1234.0, None, None)
    """
    if isinstance(cell, str):
        text = cell.strip().translate(_MINUS)
        if _GROUPED_BY_SPACE.fullmatch(text):
            text = _GROUP_SIGNS.sub("", text)
        if "_" in text:  # Python reads 1_0 as ten
            return None
    elif isinstance(cell, bool) or cell is None:
        return None
    else:
        text = cell
    try:
        value = float(text)
    except (TypeError, ValueError, OverflowError):
        return None
    return None if math.isnan(value) else value


def has_decimal_point(cell: Any) -> bool:
    """Return whether a cell is a number with a decimal point beyond doubt, such as 0.5.

    >>> has_decimal_point("-36.84"), has_decimal_point("1.234"), has_decimal_point(2.5)
    (True, False, False)
    """
    if not isinstance(cell, str):
        return False
    text = cell.strip().translate(_MINUS)
    return bool(_POINT_NUMBER.fullmatch(text)) and not _UNCLEAR_POINT.fullmatch(text)


def has_decimal_comma(cell: Any) -> bool:
    """Return whether a cell is a number with a decimal comma beyond doubt, such as 3,5.

    >>> has_decimal_comma("3,5"), has_decimal_comma("1,234"), has_decimal_comma("1,234,567")
    (True, False, False)
    """
    if not isinstance(cell, str) or "," not in cell:
        return False
    text = cell.strip().translate(_MINUS)
    return bool(_COMMA_NUMBER.fullmatch(text)) and not _UNCLEAR_COMMA.fullmatch(text)


def list_unclear_points(cells: Sequence[Any]) -> list[int]:
    """Return the indices of cells such as 1.234 and 1.234.567, whose points may group thousands.

    There are none if the column has a decimal point beyond doubt.

    >>> list_unclear_points(["1.234", "999"]), list_unclear_points(["1.234", "0.5"])
    ([0], [])
    """
    indices = []
    for index, cell in enumerate(cells):
        if not isinstance(cell, str) or "." not in cell:
            continue
        text = cell.strip().translate(_MINUS)
        if _UNCLEAR_POINT.fullmatch(text) or _GROUPED_BY_POINTS.fullmatch(text):
            indices.append(index)
        elif _POINT_NUMBER.fullmatch(text):
            return []
    return indices


def read_grouped_by_points(cells: Sequence[Any]) -> ColumnNumbers:
    """Return the numbers of a column in which points separate thousands.

    >>> read_grouped_by_points(["1.234", "999", "1.234.567"]).values
    [1234.0, 999.0, 1234567.0]
    """
    indices = set(list_unclear_points(cells))
    return read_numbers(
        [cell.replace(".", "") if index in indices else cell for index, cell in enumerate(cells)]
    )


def read_numbers(cells: Sequence[Any], decimal_comma: bool | None = None) -> ColumnNumbers:
    """Return the numbers of a column.

    The whole column decides what a comma is: with "3,5" or "0,123" in it, "1,234" is 1.234; with
    "1,234.5" or "1,234,567" in it, 1234. ``decimal_comma`` decides if the column does not; by
    default such cells are unclear.

    >>> read_numbers(["1,234", "3,5", "", "x"]).values[:2]
    [1.234, 3.5]
    >>> read_numbers(["1,234", "5"]).unclear
    [0]
    """
    plain_values = _read_plain_numbers(cells)
    if plain_values is not None:
        return ColumnNumbers(plain_values)
    values = [math.nan] * len(cells)
    numbers = ColumnNumbers(values)
    texts: dict[int, str] = {}
    percents: dict[int, float] = {}
    for index, cell in enumerate(cells):
        value = parse_number(cell)
        if value is not None:
            values[index] = value
        elif not is_empty(cell):
            text = str(cell).strip().translate(_MINUS) if isinstance(cell, str) else ""
            share = parse_number(text[:-1]) if text.endswith("%") else None
            if _GROUPED_BY_SPACE.fullmatch(text):
                text = _GROUP_SIGNS.sub("", text)
            if share is not None:
                percents[index] = share / 100
            elif _COMMA_NUMBER.fullmatch(text) or _GROUPED_BY_COMMA.fullmatch(text):
                texts[index] = text
            else:
                numbers.bad.append(index)
    if percents and not texts and not numbers.has_numbers:
        numbers.is_percent = True
        for index, share in percents.items():
            values[index] = share
    else:
        numbers.bad += percents
    _read_commas(numbers, cells, texts, decimal_comma)
    numbers.bad.sort()
    return numbers


def _read_plain_numbers(cells: Sequence[Any]) -> list[float] | None:
    """Return the numbers of a column in plain form, fast; None if a cell needs a closer look."""
    types = set(map(type, cells))
    if types <= {float, int, type(None)}:
        return [math.nan if cell is None else float(cell) for cell in cells]
    if types != {str}:
        return None
    try:
        values = [float(cell) if cell else math.nan for cell in cells]
    except ValueError:
        return None
    return None if any("_" in cell for cell in cells) else values


def _read_commas(
    numbers: ColumnNumbers, cells: Sequence[Any], texts: dict[int, str], decimal_comma: bool | None
) -> None:
    """Fill in the cells with a comma, or list them as unclear."""
    open_cells = {i for i, text in texts.items() if _UNCLEAR_COMMA.fullmatch(text)}
    grouped = {i for i, t in texts.items() if _GROUPED_BY_COMMA.fullmatch(t)} - open_cells
    grouped -= {i for i in grouped if _COMMA_NUMBER.fullmatch(texts[i])}  # 0,123
    decimal = texts.keys() - open_cells - grouped
    if grouped and decimal:
        numbers.unclear = sorted(grouped | decimal)
        return
    is_decimal = bool(decimal) or (not grouped and decimal_comma is True)
    if not decimal and not grouped and decimal_comma is None:
        numbers.unclear = sorted(open_cells)
        return
    if is_decimal and texts:
        # In a column with decimal commas, 1.234 may be 1234.
        numbers.unclear = [
            index
            for index, cell in enumerate(cells)
            if isinstance(cell, str) and _UNCLEAR_POINT.fullmatch(cell.strip().translate(_MINUS))
        ]
    for index, text in texts.items():
        plain = text.replace(".", "").replace(",", ".") if is_decimal else text.replace(",", "")
        numbers.values[index] = float(plain)
