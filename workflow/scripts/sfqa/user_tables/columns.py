"""Columns that are no data of their own: row numbers, text, and how messages describe them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from sfqa.user_tables.numbers import is_empty, parse_number
from sfqa.user_tables.reader import is_numbering
from sfqa.user_tables.table import UserTable

#: Names of columns that count the rows, in lower case without other signs than letters.
_NUMBERING_NAMES = frozenset(
    ("index", "idx", "row", "rows", "rowid", "rownumber", "rownum", "rowno", "no", "nr", "num",
     "number", "", "id", "lfdnr", "sno", "srno", "serial")
)  # fmt: skip
#: Names that ``reset_index`` of pandas gives to row numbers, which may have gaps and any order.
_INDEX_NAMES = frozenset(("index", "level_0"))
_MAX_SHOWN = 40


def find_row_numbers(table: UserTable, names: Iterable[str]) -> list[str]:
    """Return the columns out of ``names`` that count the rows, by their names and cells.

    The cells are 0, 1, 2, ... or 1, 2, 3, ... in any order; in a column called index or level_0,
    any different whole numbers.
    """
    return [name for name in names if _counts_rows(name, table.columns[name])]


def _counts_rows(name: str, cells: Sequence[Any]) -> bool:
    lower = name.strip().lower()
    is_index = lower in _INDEX_NAMES
    letters = re.sub(r"[^a-z0-9]", "", lower)
    if not is_index and letters not in _NUMBERING_NAMES:
        return False
    if len(cells) < 2 or not is_numbering(cells):
        return False
    if is_index:
        return True
    numbers = sorted(float(str(parse_number(cell))) for cell in cells)
    return numbers[0] in (0, 1) and numbers[-1] - numbers[0] == len(cells) - 1


def describe_left_out(table: UserTable, names: Iterable[str]) -> list[str]:
    """Return a note on each column that is left out because not every cell is a number."""
    return [
        f"{table.path}: the column {name!r} is left out: {explain_no_numbers(table, name)}"
        for name in names
    ]


def explain_no_numbers(table: UserTable, name: str) -> str:
    """Return why a column is no column of numbers: its first cell that is none.

    >>> from pathlib import Path
    >>> explain_no_numbers(UserTable(Path("t.csv"), {"a": ["1", "x"]}, [2, 3]), "a")
    "row 3 holds 'x', not a number"
    """
    cells = table.columns[name]
    bad = table.read_numbers(name).bad
    if bad:
        return f"row {table.rows[bad[0]]} holds {shorten_cell(cells[bad[0]])}, not a number"
    return "it is empty" if all(map(is_empty, cells)) else "it holds no finite number"


def shorten_cell(cell: Any) -> str:
    """Return a cell as Python writes it, at most some 40 characters long."""
    written = repr(cell)
    return written if len(written) <= _MAX_SHOWN else f"{written[: _MAX_SHOWN - 4]}...{written[-1]}"
