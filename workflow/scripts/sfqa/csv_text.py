"""CSV text that a spreadsheet program opens without running formulas in it.

A text that such a program may take for a formula is written with an apostrophe in front.
:func:`restore_cell` takes it off again, so that a table that is written and read by this package
keeps its texts.

- A formula begins with ``=``, ``+``, ``-`` or ``@``, or a full-width or small form of them. Spaces
  and invisible characters before it do not count, because programs remove them or do not show them.
- A tab, a line feed or a carriage return at the beginning of a cell counts, too.
- So does a formula after a semicolon, a tab or a line end inside of a cell: a program that splits
  columns at semicolons, as in much of Europe, makes a cell of it, whatever quotes are around.

Source: OWASP, CSV Injection.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sfqa.shown_text import INVISIBLE

if TYPE_CHECKING:
    import pandas as pd

_SIGNS = r"=+\-@\u2212\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b"
#: What a spreadsheet program may split a text at, other than the comma, which is always quoted.
_SPLITS = r";\t\r\n"
#: Spaces, control characters and characters without a glyph, but not those of ``_SPLITS``.
_UNSEEN = rf"(?:(?![{_SPLITS}])[\s\x00-\x1f\x7f-\x9f{INVISIBLE}])*"
#: Numbers of any notation, and the signs that stand for a missing or a yes-no value.
_NUMBER = r"[-+]|[-+]?(?i:(?:\d[\d.,']*|\.\d+)(?:e[-+]?\d+)?(?: *%)?)|[-+]?(?i:inf|infinity|nan)"
_CELL_OF_NUMBERS = rf" *(?:{_NUMBER}) *(?:[{_SPLITS}] *(?:{_NUMBER}) *)*\Z"
_PART_OF_NUMBER = rf" *(?:{_NUMBER}) *(?=[{_SPLITS}]|\Z)"
#: Apostrophes in front of a formula are counted, so that they are restored, too.
_FORMULA, _LINE_END = rf"(?='*{_UNSEEN}[{_SIGNS}])", r"(?='*[\t\r\n])"
_TO_DEFUSE = re.compile(
    rf"\A(?:{_LINE_END}|{_FORMULA}(?!{_CELL_OF_NUMBERS}))"
    rf"|(?<=[{_SPLITS}]){_FORMULA}(?!{_PART_OF_NUMBER})"
)
_TO_RESTORE = re.compile(rf"\A'{_LINE_END}|(?:\A|(?<=[{_SPLITS}]))'{_FORMULA}")


def defuse_cell(value: Any) -> Any:
    """Return a value for a CSV cell: text that a spreadsheet would run gets an apostrophe.

    >>> [defuse_cell(v) for v in ("=1+1", "-1.5", " @x", "a;=1", -2.5, None, "'=x")]
    ["'=1+1", '-1.5', "' @x", "a;'=1", -2.5, None, "''=x"]
    """
    return _TO_DEFUSE.sub("'", value) if isinstance(value, str) else value


def restore_cell(text: str) -> str:
    """Return the text that :func:`defuse_cell` made a cell of.

    >>> restore_cell("'=1+1"), restore_cell("''=x"), restore_cell("'a'")
    ('=1+1', "'=x", "'a'")
    """
    return _TO_RESTORE.sub("", text) if "'" in text else text


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
