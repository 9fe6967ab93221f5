"""Read tables back from the Markdown files that :func:`sfqa.correlation.grid.to_markdown` wrote."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from sfqa.correlation.grid import BEST, SECOND, Cell, ColumnHeading, Grid
from sfqa.statistics.registry import STATISTICS

_ESCAPED = re.compile(r"\\([\\|*_<>`\[\]])")
_CELL = re.compile(
    r"(?:\*\*(?P<best>.*?)\*\*|<u>(?P<second>.*?)</u>|(?P<plain>.*?))"
    r"(?P<spread> .*?)?(?: ?\*\*\((?P<badge>.*?)\)\*\*)?(?P<notes>(?:<sup>[\d,]+</sup>)*)"
)
_LABELS = tuple(statistic.label for statistic in STATISTICS)


@dataclass
class _Draft:
    """The lines of one table, as far as they were read."""

    title: str = ""
    caption: str = ""
    warnings: list[str] = field(default_factory=list)
    lines: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_markdown(text: str) -> list[Grid]:
    """Return the tables of a Markdown file, in order.

    Numbers are read from the displayed digits. A heading that ends with a statistic's label is the
    label below a shared heading.

    >>> read_markdown("C.\\n\\n| m | A SRCC |\\n|:--|--:|\\n| x | **0.5** |\\n")[0].rows[0][1]
    Cell(text='0.5', value=0.5, rank='best', notes=(), badge='', repeats=False, spread='')
    """
    return [_build_grid(draft) for draft in _split_tables(text)]


def _split_tables(text: str) -> Iterator[_Draft]:
    draft = _Draft()
    for line in text.splitlines():
        is_next_table = line.startswith("### ") and bool(draft.caption)
        if is_next_table or (draft.lines and line and not line.startswith(("|", "<sup>"))):
            yield draft
            draft = _Draft()
        if line.startswith("|"):
            draft.lines.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif line.startswith("<sup>"):
            draft.notes.append(_unescape(line.partition("</sup> ")[2].rstrip()))
        elif line.startswith("> **"):
            draft.warnings.append(_unescape(line.removeprefix("> **").removesuffix("**")))
        elif line.startswith("### "):
            draft.title = _unescape(line.removeprefix("### "))
        elif line:
            draft.caption = f"{draft.caption} {_unescape(line)}".strip()
    if draft.caption:
        yield draft


def _build_grid(draft: _Draft) -> Grid:
    names, alignments, *body = draft.lines or [[], []]
    text_columns = sum(not alignment.endswith(":") for alignment in alignments)
    heads = []
    for number, name in enumerate(map(_unescape, names)):
        top, _, last = name.rpartition(" ")
        is_statistic = number >= text_columns and last in _LABELS
        heads.append(ColumnHeading(last, top) if is_statistic else ColumnHeading(name))
    rows: list[list[Cell]] = []
    for line in body:
        cells = [_read_cell(text, number >= text_columns) for number, text in enumerate(line)]
        if not line[0] and rows:
            cells[0] = Cell(rows[-1][0].text, repeats=True)
        rows.append(cells)
    return Grid(draft.caption, heads, rows, text_columns, draft.notes, draft.warnings, draft.title)


def _read_cell(text: str, is_number: bool) -> Cell:
    match = _CELL.fullmatch(text)
    if match is None:  # cannot happen in a file of to_markdown; a cell by hand stays as it is
        return Cell(_unescape(text))
    rank = BEST if match["best"] is not None else SECOND if match["second"] is not None else ""
    words = _unescape(match["best"] or match["second"] or match["plain"] or "")
    spread = _unescape((match["spread"] or "").strip())
    if not is_number:
        words, spread = f"{words} {spread}".strip(), ""
    notes = tuple(int(n) for n in re.findall(r"\d+", match["notes"]))
    value = None
    if is_number:
        try:
            value = float(words)
        except ValueError:  # a dash, or n/a
            value = None
    return Cell(words, value, rank, notes, _unescape(match["badge"] or ""), spread=spread)


def _unescape(text: str) -> str:
    return _ESCAPED.sub(r"\1", text)
