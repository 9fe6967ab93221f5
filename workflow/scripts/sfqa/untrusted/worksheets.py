"""The cells of a sheet of an Excel workbook, from the elements of its part.

Only filled cells are kept. The values are those of openpyxl, whose functions make dates of numbers.

Source: ECMA-376, Part 1 (SpreadsheetML).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sfqa.shown_text import quote_value
from sfqa.untrusted import limits
from sfqa.untrusted.limits import RefusedError

_ROW = "worksheet/sheetData/row"
_CELL = f"{_ROW}/c"
_VALUE, _FORMULA = f"{_CELL}/v", f"{_CELL}/f"
_INLINE = (f"{_CELL}/is/t", f"{_CELL}/is/r/t")
_MERGED = "worksheet/mergeCells/mergeCell"
#: The elements that a parser of a sheet takes, and those of them whose text it takes.
ELEMENTS, TEXTS = (_ROW, _CELL, _VALUE, _FORMULA, *_INLINE, _MERGED), (_VALUE, *_INLINE)
_COORDINATE = re.compile(r"\$?([A-Za-z]{1,3})\$?([0-9]{1,7})")
_WHOLE = re.compile(r"[0-9]{1,9}(?:\.0*)?")
_INTEGER, _DECIMAL = (
    re.compile(r"[-+]?[0-9]{1,300}"),
    re.compile(r"[-+]?[0-9.]{1,300}(?:[eE][-+]?[0-9]{1,5})?"),
)
#: Rows and columns of a sheet in Excel.
_LAST_ROW, _LAST_COLUMN = 1_048_576, 16_384


@dataclass
class Sheet:
    """A sheet: its filled rows by number, in order; each ends with its last filled cell.

    ``merged``: the first range of merged cells over several rows, '' if there is none.
    ``missing_value``: the first cell with a formula whose value is not stored, or whose stored
    value is to be computed anew, '' if there is none.
    """

    title: str
    rows: dict[int, list[Any]] = field(default_factory=dict)
    merged: str = ""
    missing_value: str = ""


class SheetParser:
    """Builds a sheet from the elements of its part; raises :class:`RefusedError`."""

    def __init__(
        self, sheet: Sheet, strings: list[str], dates: dict[int, Callable[[float], Any]],
        has_computed: bool,
    ) -> None:  # fmt: skip
        self._sheet, self._strings, self._dates = sheet, strings, dates
        self._has_computed = has_computed
        self._row = self._column = self._last_column = 0
        self._chars = self._merged_cells = 0
        self._ranges: list[tuple[int, int, int]] = []
        self._type, self._style, self._value = "n", 0, ""
        self._inline: list[str] = []
        self._has_formula = self._has_value = False

    def open_element(self, path: str, attributes: dict[str, str]) -> None:
        """Take the position and type of a row, a cell or a range."""
        if path == _CELL:
            self._start_cell(attributes)
        elif path == _ROW:
            self._row = parse_whole(attributes.get("r") or str(self._row + 1), _LAST_ROW)
            self._column = 0
        elif path == _FORMULA:
            self._has_formula = True
        elif path == _MERGED:
            self._add_range(attributes.get("ref", ""))

    def close_element(self, path: str, text: str) -> None:
        """Take the text of a value, and the value of a cell."""
        if path == _CELL:
            self._end_cell()
        elif path == _VALUE:
            self._value, self._has_value = text, True
        elif path in _INLINE:
            self._inline.append(text)

    def _start_cell(self, attributes: dict[str, str]) -> None:
        if reference := attributes.get("r", ""):
            column, row = _parse_coordinate(reference)
            if row != self._row:
                raise RefusedError(f"the cell {reference} is in row {self._row}")
            self._column = column
        else:
            self._column += 1
            if self._column > _LAST_COLUMN:
                raise RefusedError(f"the row {self._row} has more than {_LAST_COLUMN:,} cells")
        self._type, self._value, self._inline = attributes.get("t", "n"), "", []
        self._style = parse_whole(attributes["s"]) if "s" in attributes else 0
        self._has_formula = self._has_value = False

    def _end_cell(self) -> None:
        value = self._convert_value()
        if self._has_formula and not self._sheet.missing_value:
            # A formula whose value is an empty text has an empty value of the type str.
            is_empty_text = self._type == "str" and self._has_value
            if not self._has_computed or (value is None and not is_empty_text):
                self._sheet.missing_value = self._describe_cell()
        if value is None:
            return
        if isinstance(value, str):
            self._chars += len(value)
            if self._chars > limits.WORKBOOK_BYTES:
                raise RefusedError(
                    f"its cells have more than {limits.WORKBOOK_BYTES:,} characters together"
                )
        cells = self._sheet.rows.setdefault(self._row, [])
        self._last_column = max(self._column, self._last_column)
        _check_cells(self._last_column * len(self._sheet.rows))
        if len(cells) < self._column:
            cells.extend([None] * (self._column - len(cells)))
        cells[self._column - 1] = value

    def _convert_value(self) -> Any:
        """Return the value of the cell that ends, None if it is empty."""
        text, cell_type = self._value, self._type
        if cell_type == "inlineStr":
            return "".join(self._inline) if self._inline else None
        if not text:
            return None
        try:
            if cell_type == "n":
                return self._convert_number(text)
            if cell_type == "s":
                return self._strings[parse_whole(text)]
            if cell_type == "b":
                return is_true(text)
            if cell_type == "d":
                from openpyxl.utils.datetime import from_ISO8601

                return from_ISO8601(text)
        except (RefusedError, IndexError, ValueError, OverflowError) as error:
            raise RefusedError(
                f"the cell {self._describe_cell()} holds {quote_value(text, 20)}, which cannot be "
                f"read as a value of its type {quote_value(cell_type, 20)}"
            ) from error
        return text

    def _convert_number(self, text: str) -> Any:
        text = text.strip()
        if _INTEGER.fullmatch(text):
            number: float = int(text)
        elif _DECIMAL.fullmatch(text):
            number = float(text)
        else:
            raise ValueError("not a number")
        if self._style not in self._dates:
            return number
        try:
            return self._dates[self._style](number)
        except (OverflowError, ValueError):
            return "#VALUE!"  # as spreadsheet programs show a number that is no date

    def _describe_cell(self) -> str:
        from openpyxl.utils import get_column_letter

        return f"{get_column_letter(self._column)}{self._row}"

    def _add_range(self, reference: str) -> None:
        first, _, last = reference.partition(":")
        first_column, first_row = _parse_coordinate(first)
        last_column, last_row = _parse_coordinate(last or first)
        if last_column < first_column or last_row < first_row:
            raise RefusedError(f"the merged cells {quote_value(reference)} end before they begin")
        self._merged_cells += (last_column - first_column + 1) * (last_row - first_row + 1)
        _check_cells(self._merged_cells)
        if last_row > first_row:
            self._sheet.merged = self._sheet.merged or reference
        self._ranges.append((first_row, first_column, last_column))

    def finish_sheet(self) -> Sheet:
        """Return the sheet in the order of its rows, without the cells that a range covers."""
        for row, first, last in self._ranges:
            cells = self._sheet.rows.get(row, [])
            for column in range(first, min(last, len(cells))):
                cells[column] = None
        self._sheet.rows = dict(sorted(self._sheet.rows.items()))
        return self._sheet


def _check_cells(count: int) -> None:
    if count > limits.WORKBOOK_CELLS:
        raise RefusedError(
            f"a sheet reaches over {count:,} cells; at most {limits.WORKBOOK_CELLS:,} are read"
        )


def _parse_coordinate(reference: str) -> tuple[int, int]:
    """Return the column and the row of a cell.

    >>> _parse_coordinate("A1"), _parse_coordinate("$AB$12")
    ((1, 1), (28, 12))
    """
    match = _COORDINATE.fullmatch(reference)
    row = int(match[2]) if match else 0
    if not match or not 1 <= row <= _LAST_ROW:
        raise RefusedError(f"{quote_value(reference)} is not the name of a cell")
    return _parse_column(match[1]), row


@lru_cache(1000)
def _parse_column(letters: str) -> int:
    column = 0
    for letter in letters.upper():
        column = 26 * column + ord(letter) - ord("A") + 1
    if column > _LAST_COLUMN:
        raise RefusedError(f"the column {letters} is beyond the last one of a sheet")
    return column


def parse_whole(text: str, highest: int | None = None) -> int:
    """Return a whole number of a sheet; from 1 to ``highest`` if that is given.

    >>> parse_whole("5"), parse_whole("5.0", 9)
    (5, 5)
    """
    number = int(text.partition(".")[0]) if _WHOLE.fullmatch(text) else -1
    if number < 0 or (highest is not None and not 1 <= number <= highest):
        raise RefusedError(f"{quote_value(text)} is not the number of a row, string or format")
    return number


def is_true(text: str) -> bool:
    """Return a yes-no value of XML; raises ``ValueError`` for any other text."""
    if text.strip() not in ("0", "1", "true", "false"):
        raise ValueError(f"{quote_value(text)} is not a yes-no value")
    return text.strip() in ("1", "true")
