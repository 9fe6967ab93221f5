"""The cells of a table by column, with the row numbers that messages name."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa.errors import UserError, hint
from sfqa.user_tables import numbers
from sfqa.user_tables.numbers import ColumnNumbers

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class UserTable:
    """The cells of a table by column.

    ``columns``: text from text files ('' if empty); Python values from Parquet, None if missing.
    ``rows``: the number of each row, as a spreadsheet counts it with the header as row 1, or from 1
    in Parquet. ``left_out``: the reason for each column that was left out. ``row_notes``: sentences
    on rows that were left out.

    >>> table = UserTable(Path("t.csv"), {"video": ["v1", "v2"], "mos": ["3,5", "4"]}, [2, 3], ";")
    >>> table.read_numbers("mos").values, table.describe_cell("mos", 1)
    ([3.5, 4.0], 't.csv, row 3, column mos')
    """

    path: Path
    columns: dict[str, list[Any]]
    rows: list[int]
    separator: str = ""
    left_out: dict[str, str] = field(default_factory=dict)
    row_notes: list[str] = field(default_factory=list)
    _numbers: dict[str, ColumnNumbers] = field(default_factory=dict, repr=False)

    @property
    def notes(self) -> list[str]:
        """A sentence on each column and row that was left out."""
        columns = [
            f"{self.path}: the column {name!r} is left out: {reason}"
            for name, reason in self.left_out.items()
        ]
        return columns + self.row_notes

    def leave_out_row(self, index: int, note: str) -> None:
        """Remove a row and note it."""
        self.row_notes.append(f"{self.path}, row {self.rows[index]}: {note}")
        del self.rows[index]
        self._numbers.clear()
        for cells in self.columns.values():
            del cells[index]

    def describe_cell(self, name: str, index: int) -> str:
        """Return where a cell is: file, row and column."""
        return f"{self.path}, row {self.rows[index]}, column {name}"

    def get_column(self, name: str, option: str = "") -> list[Any]:
        """Return the cells of a column; raises :class:`UserError` if there is none.

        ``option``: the option or key that named it, for the message.
        """
        if name not in self.columns:
            origin = f" ({option})" if option else ""
            raise UserError(
                f"{self.path}: no column {name!r}{origin}; {hint(name, self.columns, 'it has')}"
            )
        return self.columns[name]

    def read_numbers(self, name: str) -> ColumnNumbers:
        """Return the numbers of a column, see :func:`sfqa.user_tables.numbers.read_numbers`.

        In a table whose columns are separated by semicolons or tabs, a comma is decimal if no cell
        of the table has a decimal point. A point in 1.234 separates thousands if another column
        has decimal commas and the column has numbers such as 999. Raises :class:`UserError` for a
        cell that can be read as two numbers.
        """
        if name in self._numbers:
            return self._numbers[name]
        cells = self.columns[name]
        column = numbers.read_numbers(cells)
        if column.unclear:
            column = numbers.read_numbers(cells, self._find_decimal_comma(cells))
        else:
            column = self._read_points(cells, column)
        if column.unclear:
            index = column.unclear[0]
            raise UserError(
                f"{self.describe_cell(name, index)}: {cells[index]!r} can be read as two numbers "
                "(with decimals or with a separator of thousands); write the column with decimal "
                "points, such as 1.5, and without separators of thousands"
            )
        self._numbers[name] = column
        return column

    def has_numbers(self, name: str) -> bool:
        """Return whether any cell of a column is a finite number."""
        if any(
            math.isfinite(numbers.parse_number(cell) or math.nan) for cell in self.columns[name]
        ):
            return True
        return self.read_numbers(name).has_numbers

    def _find_decimal_comma(self, cells: Sequence[Any]) -> bool | None:
        """Return whether commas of a column are decimal, None if the table does not tell."""
        if self.has_decimal_points:
            return None
        if self.has_decimal_commas:
            return True
        # 999 and 1,234 in one column may be counts with a separator of thousands.
        has_plain = any(numbers.parse_number(cell) not in (None, 0.0) for cell in cells)
        return None if has_plain or self.separator in (",", "") else True

    def _read_points(self, cells: Sequence[Any], column: ColumnNumbers) -> ColumnNumbers:
        """Return the numbers of a column, with points as separators of thousands if they are.

        Cells that can be read as two numbers are listed as unclear.
        """
        indices = numbers.list_unclear_points(cells)
        if not indices:
            return column
        others = [cell for k, cell in enumerate(cells) if k not in set(indices)]
        values = map(numbers.parse_number, others)
        plain = [abs(value) for value in values if value]
        # 999 and 1.234 in one column are counts as a spreadsheet writes them.
        has_hundreds = bool(plain) and 100 <= max(plain) < 1000
        has_several_points = any(str(cells[index]).count(".") > 1 for index in indices)
        if has_several_points or (
            has_hundreds and self.has_decimal_commas and not self.has_decimal_points
        ):
            return numbers.read_grouped_by_points(cells)
        may_be_grouped = has_hundreds and self.separator not in (",", "")
        if self.has_decimal_commas or (may_be_grouped and not self.has_decimal_points):
            column.unclear = indices
        return column

    @cached_property
    def has_decimal_points(self) -> bool:
        """Whether any cell is a number with a decimal point beyond doubt."""
        return any(
            numbers.has_decimal_point(cell) for cells in self.columns.values() for cell in cells
        )

    @cached_property
    def has_decimal_commas(self) -> bool:
        """Whether any cell is a number with a decimal comma beyond doubt."""
        return any(
            numbers.has_decimal_comma(cell) for cells in self.columns.values() for cell in cells
        )

    def require_numbers(self, name: str) -> list[float]:
        """Return the numbers of a column, NaN for an empty cell.

        Raises :class:`UserError` for a cell that is not a finite number, and for a column in
        percent.
        """
        column, cells = self.read_numbers(name), self.columns[name]
        for index, cell in enumerate(cells):
            is_finite = math.isfinite(column.values[index])
            if (column.is_percent or not is_finite) and not numbers.is_empty(cell):
                raise UserError(
                    f"{self.describe_cell(name, index)}: {cell!r} is not a number; correct it"
                )
        return column.values

    def log_notes(self) -> None:
        """Write the notes to the log of the job, as warnings."""
        for note in self.notes:
            logging.getLogger("sfqa").warning("%s", note)

    def to_frame(self, number_columns: Collection[str] = ()) -> pd.DataFrame:
        """Return the cells as objects, None for an empty one; the index holds the row numbers.

        ``number_columns`` are numbers, see :meth:`require_numbers`; those that do not exist are
        ignored.
        """
        import pandas as pd

        columns = {}
        for name, cells in self.columns.items():
            objects = [None if _is_missing(cell) else cell for cell in cells]
            columns[name] = pd.Series(objects, index=self.rows, dtype=object)
            if name in number_columns:
                columns[name] = pd.Series(self.require_numbers(name), index=self.rows, dtype=float)
        return pd.DataFrame(columns, index=self.rows)


def _is_missing(cell: Any) -> bool:
    return cell is None or cell == "" or (isinstance(cell, float) and math.isnan(cell))
