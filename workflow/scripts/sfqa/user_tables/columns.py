"""Columns that are no data of their own: row numbers, text, and how messages describe them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from sfqa.user_tables.numbers import is_empty, parse_number
from sfqa.user_tables.reader import is_numbering
from sfqa.user_tables.table import UserTable

#: Names of columns that count the rows, in lower case without other signs than letters.
_NUMBERING_NAMES = frozenset(
    ("index", "idx", "row", "rows", "rowid", "rownumber", "rownum", "rowno", "no", "nr", "num",
     "number", "", "id", "lfdnr", "sno", "srno", "serial", "lfd", "laufendenummer", "nummer",
     "zeile", "zeilennr", "zeilennummer", "ligne", "fila", "riga", "linha", "regel")
)  # fmt: skip
#: Names that programs give to row numbers, which may have gaps and any order.
_INDEX_NAMES = frozenset(("index", "level0", "rowname", "rownames"))
#: Names that count the rows if the column is the first one: X of R, Column1 of spreadsheets.
_FIRST_NAME = re.compile(
    r"x(\.\d+)?|(column|spalte|colonne|columna|colonna|coluna)1|pos\.?|position|numero|item|case"
    r"|obs\.?|observation|record|(.*[^a-z])?(nr|no|num|number|nummer|id|idx|index)\.?"
)
#: The name that readr gives to a first column without a name.
_READR_NAME = re.compile(r"\.\.\.\d+")
_MAX_SHOWN = 40


def find_row_numbers(table: UserTable, names: Iterable[str]) -> list[str]:
    """Return the columns out of ``names`` that count the rows, by their names and cells.

    The cells are 0, 1, 2, ... or 1, 2, 3, ... in any order; in a column called index, level_0 or
    rownames, any different whole numbers. Some names, such as X, count only as the first column.
    """
    row_numbers = set()
    is_first = True
    for name, cells in table.columns.items():
        if _counts_rows(name, cells, is_first):
            row_numbers.add(name)
        else:
            is_first = False
    return [name for name in names if name in row_numbers]


def counts_from_start(cells: Sequence[Any]) -> bool:
    """Return whether cells are 0, 1, 2, ... or 1, 2, 3, ... in any order.

    >>> counts_from_start(["2", "1", "3"]), counts_from_start(["1", "3"])
    (True, False)
    """
    if len(cells) < 2 or not is_numbering(cells):
        return False
    numbers = sorted(float(str(parse_number(cell))) for cell in cells)
    return numbers[0] in (0, 1) and numbers[-1] - numbers[0] == len(cells) - 1


def _counts_rows(name: str, cells: Sequence[Any], is_first: bool) -> bool:
    lower = unicodedata.normalize("NFKD", name.strip().replace("°", "o"))
    lower = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", lower).lower()
    letters = re.sub(r"[^a-z0-9]", "", lower)
    filled = [cell for cell in cells if not is_empty(cell)]
    if 2 * len(filled) < len(cells):
        return False
    # Rows of means below the table have no number.
    cells = filled
    if letters in _INDEX_NAMES or (is_first and _READR_NAME.fullmatch(lower)):
        return len(cells) > 1 and is_numbering(cells)
    is_called_so = letters in _NUMBERING_NAMES or (is_first and _FIRST_NAME.fullmatch(lower))
    return bool(is_called_so) and counts_from_start(cells)


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
