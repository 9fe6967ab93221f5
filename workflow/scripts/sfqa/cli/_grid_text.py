"""A table for readers (:class:`sfqa.correlation.grid.Grid`) as text that fits a terminal."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from sfqa.cli._tables import count_columns

if TYPE_CHECKING:
    from sfqa.correlation.grid import Cell, Grid

_GAP = "  "
#: Narrower terminals get lines of this width.
_MIN_WIDTH = 40
#: In place of a long badge such as ``(random weights)`` if the names would leave no room.
_SHORT_BADGE = "†"
_RAISED = str.maketrans("0123456789,", "⁰¹²³⁴⁵⁶⁷⁸⁹·")
#: Escape sequences of the best and second-best numbers and of titles.
_STYLES = {"best": "\x1b[1m", "second": "\x1b[4m"}
_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"


def measure_terminal() -> int | None:
    """Return the width of the terminal that output goes to, None if it goes to a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def format_grid(grid: Grid, width: int | None = None, is_styled: bool = False) -> str:
    """Return a table as text: warnings, title and caption, aligned columns, notes.

    The numbers of all notes of a line are behind its name. No line is wider than ``width`` (None:
    no limit). If the columns do not fit side by side, the first column of words becomes lines
    between the rows, and columns of numbers continue in further tables below. ``is_styled``: the
    best number is bold and the second underlined, by escape sequences.
    """
    limit = None if width is None else max(width, _MIN_WIDTH)
    title = f"{_BOLD}{grid.title}{_PLAIN}" if is_styled and grid.title else grid.title
    notes = [_wrap(f"{_raise(n)} {note}", limit, "  ") for n, note in enumerate(grid.notes, 1)]
    parts = [
        *(_wrap(warning, limit) for warning in grid.warnings),
        title,
        _wrap(grid.caption, limit),
        *(_format_columns(grid, limit, is_styled) if grid.rows else ()),
        "\n".join(notes),
    ]
    return "\n\n".join(part for part in parts if part)


def _wrap(text: str, width: int | None, indent: str = "") -> str:
    return text if width is None else textwrap.fill(text, width, subsequent_indent=indent)


def _raise(number: object) -> str:
    return str(number).translate(_RAISED)


def _format_columns(grid: Grid, width: int | None, is_styled: bool) -> Iterator[str]:
    """Yield the columns as one table, or as several that each fit the width."""
    words, numbers = list(range(grid.text_columns)), list(range(grid.text_columns, len(grid.heads)))
    columns = _Columns(grid, is_styled, has_short_badges=False)
    if width is None or columns.measure(words + numbers) <= width:
        yield columns.draw(words + numbers)
        return
    has_groups = len(words) > 1 and any(row[0].repeats for row in grid.rows)
    group = 0 if has_groups else None
    # Below the lines of the groups, all others are indented.
    width -= len(_GAP) if has_groups else 0
    names = words[1:] if has_groups else words
    widest = max((columns.measure([n]) for n in numbers), default=0)
    if columns.measure(names) + len(_GAP) + widest > width or _count_fitting(
        columns, names, numbers, width
    ) < len(numbers):
        columns = _Columns(grid, is_styled, has_short_badges=True)
    columns.shorten(names, width - widest - len(_GAP))
    parts = list(_split_columns(columns, names, numbers, width))
    for part in parts:
        yield columns.draw(names + part, group)
    if columns.used_short_badges:
        yield f"{_SHORT_BADGE} {', '.join(columns.used_short_badges)}"


def _count_fitting(
    columns: _Columns, names: Sequence[int], numbers: Sequence[int], width: int
) -> int:
    count = 0
    while count < len(numbers) and columns.measure([*names, *numbers[: count + 1]]) <= width:
        count += 1
    return count


def _split_columns(
    columns: _Columns, names: Sequence[int], numbers: Sequence[int], width: int
) -> Iterator[list[int]]:
    """Yield the columns of numbers in parts that fit beside the names.

    Columns of one heading stay together if they fit.
    """
    part: list[int] = []
    for _, members in groupby(numbers, key=lambda n: columns.tops[n]):
        block = list(members)
        if part and columns.measure([*names, *part, *block]) > width:
            yield part
            part = []
        for number in block:
            if part and columns.measure([*names, *part, number]) > width:
                yield part
                part = []
            part.append(number)
    if part or not numbers:
        yield part


class _Columns:
    """The cells of a grid as text, and how wide its columns are."""

    def __init__(self, grid: Grid, is_styled: bool, has_short_badges: bool) -> None:
        self.rows = grid.rows
        self.text_columns = grid.text_columns
        self.is_styled = is_styled
        self.tops = [head.top for head in grid.heads]
        self.names = [head.name for head in grid.heads]
        self.used_short_badges: list[str] = []
        self.texts = [[self._format_text(cell, has_short_badges) for cell in r] for r in grid.rows]
        for texts, row in zip(self.texts, grid.rows, strict=True):
            notes = sorted({note for cell in row for note in cell.notes})
            texts[max(0, grid.text_columns - 1)] += _raise(",".join(map(str, notes)))
        self.limits: dict[int, int] = {}

    def _format_text(self, cell: Cell, has_short_badges: bool) -> str:
        if cell.repeats:
            return ""
        badge = f"({cell.badge})" if cell.badge else ""
        if badge and has_short_badges:
            if cell.badge not in self.used_short_badges:
                self.used_short_badges.append(cell.badge)
            badge = _SHORT_BADGE
        return " ".join(filter(None, [cell.text, cell.spread, badge]))

    def shorten(self, names: Sequence[int], width: int) -> None:
        """Limit columns of names to a width in all, the widest first."""
        while self.measure(names) > max(width, 4 * len(names)):
            widest = max(names, key=self._measure_column)
            self.limits[widest] = self._measure_column(widest) - 1

    def measure(self, numbers: Sequence[int]) -> int:
        """Return the width of some columns side by side."""
        widths = [self._measure_column(n) for n in numbers]
        return sum(widths) + len(_GAP) * max(0, len(widths) - 1)

    def _measure_column(self, number: int) -> int:
        text = max([count_columns(row[number]) for row in self.texts], default=0)
        # A heading over one column or over several needs room for its longest word.
        same = [n for n, top in enumerate(self.tops) if top == self.tops[number]]
        longest = max(map(count_columns, self.tops[number].split()), default=0)
        share = -(-(longest - len(_GAP) * (len(same) - 1)) // len(same)) if longest else 0
        # Names above numbers are wrapped.
        words = self.names[number].split() if number >= self.text_columns else [self.names[number]]
        width = max([text, share, *map(count_columns, words)])
        return min(width, self.limits.get(number, width))

    def draw(self, numbers: Sequence[int], group: int | None = None) -> str:
        """Return some columns as lines; the cells of ``group`` are lines between the rows."""
        indent = "" if group is None else _GAP
        lines = [f"{indent}{line}" for line in self._draw_tops(numbers)]
        lines += [f"{indent}{line}" for line in self._draw_names(numbers)]
        for index, row in enumerate(self.rows):
            if group is not None and not row[group].repeats:
                lines.append(self._bold(_cut(self.texts[index][group], self.measure(numbers))))
            cells = [self._draw_cell(index, number) for number in numbers]
            lines.append(indent + _GAP.join(cells).rstrip())
        return "\n".join(lines)

    def _draw_tops(self, numbers: Sequence[int]) -> Iterator[str]:
        """Yield the lines of the headings over several columns, wrapped to their width."""
        spans = []
        for top, members in groupby(numbers, key=lambda n: self.tops[n]):
            width = self.measure(list(members))
            spans.append((width, textwrap.wrap(top, width) if top else []))
        height = max(len(words) for _, words in spans)
        for number in range(height):
            cells = []
            for width, words in spans:
                index = number - (height - len(words))
                cells.append((words[index] if index >= 0 else "").center(width))
            yield _GAP.join(cells).rstrip()

    def _draw_names(self, numbers: Sequence[int]) -> Iterator[str]:
        """Yield the lines of the names; those above numbers are wrapped to their column."""
        wrapped = []
        for number in numbers:
            name = self.names[number]
            width = self._measure_column(number)
            is_word = number < self.text_columns
            wrapped.append([name] if is_word else textwrap.wrap(name, width) or [""])
        height = max(map(len, wrapped))
        for line in range(-height, 0):
            texts = [words[line] if -line <= len(words) else "" for words in wrapped]
            cells = [self._align(text, n) for text, n in zip(texts, numbers, strict=True)]
            yield _GAP.join(cells).rstrip()

    def _draw_cell(self, index: int, number: int) -> str:
        rank = self.rows[index][number].rank if self.is_styled else ""
        return self._align(self.texts[index][number], number, _STYLES.get(rank, ""))

    def _align(self, text: str, number: int, style: str = "") -> str:
        """Return a text padded to the width of its column: words on the left, numbers right."""
        width = self._measure_column(number)
        text = _cut(text, width, _SHORT_BADGE)
        padding = " " * (width - count_columns(text))
        shown = f"{style}{text}{_PLAIN}" if style else text
        return shown + padding if number < self.text_columns else padding + shown

    def _bold(self, text: str) -> str:
        return f"{_BOLD}{text}{_PLAIN}" if self.is_styled else text


def _cut(text: str, width: int, mark: str = "") -> str:
    """Return a text of at most ``width`` columns, with an ellipsis if it was longer.

    What follows ``mark`` is kept: a name that is cut keeps its warning.

    >>> _cut("abcdef", 4), _cut("abcdef †1", 7, "†")
    ('abc…', 'abc… †1')
    """
    if count_columns(text) <= width:
        return text
    name, sign, notes = text.rpartition(f" {mark}") if mark and mark in text else (text, "", "")
    end = f"…{sign}{notes}"
    while name and count_columns(name + end) > width:
        name = name[:-1]
    return f"{name}{end}"
