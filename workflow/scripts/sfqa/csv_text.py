"""CSV text that a spreadsheet program opens without running formulas in it.

A text cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return, and is not a
number, is written with an apostrophe in front. :func:`restore_cell` takes it off again, so that
a table that is written and read by this package keeps its texts.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

#: The beginning of a formula; apostrophes in front are counted, so that they are restored, too.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
#: Numbers of any notation, and the signs that stand for a missing or a yes-no value.
_HARMLESS = re.compile(
    r"[-+]|[-+]?(?:\d[\d.,']*|\.\d+)(?:e[-+]?\d+)?\s*%?|[-+]?(?:inf|infinity|nan)", re.IGNORECASE
)


def defuse_cell(value: Any) -> Any:
    """Return a value for a CSV cell: text that a spreadsheet would run gets an apostrophe.

    >>> [defuse_cell(v) for v in ("=1+1", "-1.5", "@x", "a", -2.5, None, "'=x")]
    ["'=1+1", '-1.5', "'@x", 'a', -2.5, None, "''=x"]
    """
    if not isinstance(value, str) or not _FORMULA.match(value) or _HARMLESS.fullmatch(value):
        return value
    return f"'{value}"


def restore_cell(text: str) -> str:
    """Return the text that :func:`defuse_cell` made a cell of.

    >>> restore_cell("'=1+1"), restore_cell("''=x"), restore_cell("'a'")
    ('=1+1', "'=x", "'a'")
    """
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def write_rows(
    file: IO[str], columns: Iterable[str], rows: Iterable[Iterable[Any]], null: str = ""
) -> None:
    """Write a header and rows as CSV with line feeds; None becomes the text ``null``."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([defuse_cell(name) for name in columns])
    writer.writerows([null if cell is None else defuse_cell(cell) for cell in row] for row in rows)


def format_frame(frame: pd.DataFrame, **options: Any) -> str:
    """Return a frame as CSV text without its index; ``options`` are those of ``to_csv``."""
    return str(_defuse_frame(frame).to_csv(index=False, lineterminator="\n", **options))


def write_frame(frame: pd.DataFrame, file: Path | IO[str], **options: Any) -> None:
    """Write a frame as CSV without its index; ``options`` are those of ``to_csv``."""
    _defuse_frame(frame).to_csv(file, index=False, lineterminator="\n", **options)


def _defuse_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose text cells and column names are those of :func:`defuse_cell`."""
    import pandas as pd

    safe = frame.copy(deep=False)
    for position, dtype in enumerate(frame.dtypes):
        if not pd.api.types.is_numeric_dtype(dtype):
            cells = [defuse_cell(cell) for cell in frame.iloc[:, position]]
            if any(isinstance(cell, str) for cell in cells):
                safe.isetitem(position, pd.Series(cells, dtype=object).to_numpy())
    safe.columns = pd.Index([defuse_cell(name) for name in frame.columns])
    return safe
