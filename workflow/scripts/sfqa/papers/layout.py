"""Write a published table as Markdown, LaTeX, HTML and CSV in the layout of its paper."""

from __future__ import annotations

from collections.abc import Sequence

from sfqa.correlation.grid import (
    BEST,
    SECOND,
    UNDEFINED,
    Cell,
    ColumnHeading,
    Grid,
    to_html,
    to_latex,
    to_markdown,
)
from sfqa.csv_text import format_frame
from sfqa.papers.published import Published, columns_of, rank_figures, unique_rows
from sfqa.store import to_records

_MARKS = {BEST: "bold", SECOND: "underline"}


def to_grid(table: Published, findings: Sequence[str] = ()) -> Grid:
    """Return the table in the paper's layout, with computed bold (best) and underline (second).

    Text columns (names, and statistics without an order) come first; a missing value is an en dash.
    ``findings`` (sentences of checks.py) are listed below the table with the notes.
    """
    cells = {
        (r["group"], r["row"], r["column"], r["statistic"]): r["value"]
        for r in to_records(table.figures)
    }
    plain = table.figures[table.figures["better"] == ""]
    words = [(top, name) for top, name in unique_rows(plain, "column", "statistic")]
    numbers = columns_of(table)
    ranks = {key: r for key, r in rank_figures(table).items() if _MARKS[r] in table.marks}
    body, before = [], None
    for group, row in unique_rows(table.figures, "group", "row"):
        line = [Cell(group, repeats=group == before), Cell(row)][-len(table.heads) :]
        line += [Cell(cells.get((group, row, *word)) or UNDEFINED) for word in words]
        for column in numbers:
            text = cells.get((group, row, *column))
            mark = ranks.get((group, row, *column), "")
            line.append(Cell(text, float(text), mark) if text else Cell(UNDEFINED))
        body.append(line)
        before = group
    heads = [ColumnHeading(name) for name in table.heads]
    heads += [ColumnHeading(statistic, top) for top, statistic in words + numbers]
    return Grid(
        f"{table.label}: {table.title}. {_format_caption(table)}",
        heads,
        body,
        len(table.heads) + len(words),
        [*findings, *table.notes],
    )


def _format_caption(table: Published) -> str:
    text = f"Figures as printed; source: {table.source}."
    if (table.figures["better"] == "lower").any():
        low = unique_rows(table.figures[table.figures["better"] == "lower"], "statistic")
        text += f" Less is better for {', '.join(name for (name,) in low)}, more for the rest."
    else:
        text += " More is better in every column of figures."
    if any("distance" in note for note in table.notes):
        text += " Signs as the paper prints them."
    if table.marks:
        bold = "Best in bold" + (", second underlined" if "underline" in table.marks else "")
        where = " within each block" if table.ranked == "group" else ""
        text += f" {bold}{where}, computed from the figures."
        if not table.seen:
            text += " The source of the figures shows none of the paper's own marks."
    return text


def render_table(table: Published) -> dict[str, str]:
    """Return the table as ``csv`` (one row per value), ``md``, ``tex`` and ``html``."""
    grid = to_grid(table)
    return {
        "csv": format_frame(table.figures),
        "md": to_markdown(grid),
        "tex": to_latex(grid),
        "html": to_html(grid, table.label),
    }
