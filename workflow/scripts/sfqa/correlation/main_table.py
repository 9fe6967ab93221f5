"""The main tables, each format for its reader: the test rows, and all rated videos.

VERSION of layout.py covers this file too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from sfqa.correlation.captions import describe_all_samples, describe_rows
from sfqa.correlation.grid import Grid, to_html, to_latex, to_markdown
from sfqa.correlation.layout import TableLines, arrange_rows, build_csv, build_grid
from sfqa.correlation.main_view import MainView, choose_view, has_numbers, select_view
from sfqa.correlation.metric_grid import to_number
from sfqa.correlation.points import KINDS
from sfqa.correlation.summarise import VIDEO
from sfqa.errors import UserError
from sfqa.splits.protocol_options import ALL
from sfqa.statistics.registry import NAMES

#: Columns of numbers that fit a page of GitHub: two statistics of two dimensions and of their mean.
MAX_NUMBER_COLUMNS = 6
#: The statistics of the papers' tables, in their order.
PAPER_STATISTICS = ("srcc", "plcc", "krcc")

_TITLE = "Correlation with MOS"
#: The heading of the table of protocol ``all`` if it is not the first.
_ALL_TITLE = "All rated videos, zero-shot metrics only"


@dataclass(frozen=True)
class _Block:
    """The lines of one protocol."""

    view: MainView
    rows: pd.DataFrame
    lines: TableLines


def render_main_table(
    rows: pd.DataFrame,
    configured: MainView,
    caption: str,
    level: str = VIDEO,
    order: Sequence[str] = (),
    dimensions: Sequence[str] = (),
    leaks: str = "",
) -> dict[str, str]:
    """Return a main table as ``csv``, ``md``, ``tex`` and ``html``.

    ``rows``: the correlation table. The table of the ``configured`` protocol and pooling comes
    first, or else one with numbers (:func:`sfqa.correlation.main_view.choose_view`). Below it is a
    table of the zero-shot metrics over all rated videos, unless the figures are the same. A
    protocol without a number is a sentence of the caption instead of a table of dashes. ``leaks``:
    what the parts of the configured protocol share.

    Markdown has at most :data:`MAX_NUMBER_COLUMNS` columns of numbers (at least SRCC and PLCC of
    every dimension), LaTeX the columns of the papers; HTML and CSV have all statistics with their
    intervals. The CSV has the rows of both protocols. Raises :class:`UserError` if the table has no
    row of the protocol.
    """
    blocks = _list_blocks(rows, configured, level, order, dimensions)
    first = blocks[0]
    further = [b for b in blocks[1:] if has_numbers(b.rows) and not _has_same_figures(b, first)]
    leaks = leaks if first.view.protocol == configured.protocol else ""
    opening = " ".join(filter(None, [caption, leaks]))
    notes = "".join(f" {note}" for note in _list_notes(blocks, further, configured) if note)

    def build_grids(statistics: Sequence[str], intervals: str, closing: str = "") -> list[Grid]:
        described = f"{opening} {describe_rows(first.rows, intervals)}{notes}{closing}"
        grids = [build_grid(first.lines, described, statistics, intervals)]
        if not has_numbers(first.rows):
            grids = [replace(grids[0], rows=[], notes=[])]
        for block in further:
            described = describe_all_samples(block.rows, intervals)
            grid = build_grid(block.lines, described, statistics, intervals)
            grids.append(replace(grid, title=_ALL_TITLE))
        return grids

    # A page has its warnings once, at its top; in LaTeX each table floats by itself.
    html_grids = _drop_repeated_warnings(build_grids(NAMES, "brackets"))
    md_statistics = _fit_statistics(len(first.lines.dimensions))
    others = "" if len(md_statistics) == len(NAMES) else "Other statistics and the "
    closing = f" {others or 'The '}95 % intervals are in the CSV and the HTML file."
    md_grids = _drop_repeated_warnings(build_grids(md_statistics, "none", closing))
    tex_grids = build_grids(PAPER_STATISTICS, "none")
    return {
        "csv": build_csv(*(block.lines for block in blocks)),
        "md": "\n".join(to_markdown(grid) for grid in md_grids),
        "tex": "\n".join(to_latex(grid) for grid in tex_grids),
        "html": to_html(html_grids[0], _TITLE, html_grids[1:]),
    }


def _fit_statistics(dimension_count: int) -> Sequence[str]:
    """Return the statistics that fit a page, SRCC and PLCC in any case.

    >>> list(_fit_statistics(3))
    ['srcc', 'plcc']
    """
    return NAMES[: max(2, MAX_NUMBER_COLUMNS // dimension_count)]


def _drop_repeated_warnings(grids: list[Grid]) -> list[Grid]:
    at_top = grids[0].warnings
    further = [
        replace(grid, warnings=[warning for warning in grid.warnings if warning not in at_top])
        for grid in grids[1:]
    ]
    return [grids[0], *further]


def _list_blocks(
    rows: pd.DataFrame,
    configured: MainView,
    level: str,
    order: Sequence[str],
    dimensions: Sequence[str],
) -> list[_Block]:
    """Return the block that is shown first, then those of the other protocols that have rows."""
    first = choose_view(rows, configured, level)
    protocols = dict.fromkeys([first.protocol, configured.protocol, ALL])
    blocks = []
    for view in (replace(first, protocol=protocol) for protocol in protocols):
        frame = select_view(rows, view, level)
        if not frame.empty:
            blocks.append(_Block(view, frame, arrange_rows(frame, order, dimensions)))
    if not blocks or blocks[0].view != first:
        raise UserError(
            f"correlation: no row of protocol {first.protocol!r} at level {level!r}; there are "
            f"{', '.join(sorted(set(rows['protocol'])))}"
        )
    return blocks


def _list_notes(
    blocks: Sequence[_Block], further: Sequence[_Block], configured: MainView
) -> list[str]:
    """Return sentences on what is shown in place of something else, and on what is not shown."""
    first = blocks[0]
    notes = []
    if first.view.protocol == configured.protocol and first.view.pooling != configured.pooling:
        notes.append(
            "All test samples at once, because single trials test too few samples for a number."
        )
    for block in blocks:
        if not has_numbers(block.rows):
            notes.append(_describe_without_numbers(block.rows))
        elif block is not first and block not in further:
            notes.append(
                "Every rated video is a test sample, so zero-shot metrics have the same figures "
                "over all rated videos."
            )
    return notes


def _describe_without_numbers(rows: pd.DataFrame) -> str:
    """Return the sentence in place of a table without numbers, empty if it has only controls."""
    scored = rows[rows["kind"] != KINDS[0]]
    if scored.empty:
        return ""
    reasons = scored.loc[scored["detail"] != "", "detail"]
    reason = f": {reasons.mode().iloc[0]}" if len(reasons) else ""
    return f"No metric has a number under protocol {rows['protocol'].iloc[0]}{reason}."


def _has_same_figures(block: _Block, first: _Block) -> bool:
    """Return whether another block has all figures of a block."""
    for key, record in block.lines.records.items():
        other = first.lines.records.get(key)
        if other is None or record["n"] != other["n"]:
            return False
        if any(to_number(record[name]) != to_number(other[name]) for name in NAMES):
            return False
    return True
