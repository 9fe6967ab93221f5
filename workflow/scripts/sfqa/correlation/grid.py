"""A table for readers, and how it is written as Markdown, LaTeX and HTML."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from sfqa.templates import render_template

BEST, SECOND = "best", "second"
UNDEFINED = "–"


@dataclass(frozen=True)
class ColumnHeading:
    """A column's name, and the heading it shares with its neighbours ('' for none)."""

    name: str
    top: str = ""


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    ``text``: what readers see. ``value``: the number to sort by. ``rank``: :data:`BEST`,
    :data:`SECOND` or ''. ``notes``: numbers of its footnotes, from 1. ``badge``: a warning behind
    the text. ``repeats``: the text is that of the cell above. ``spread``: an interval such as
    ``[0.61, 0.74]``, in small print behind the text.
    """

    text: str
    value: float | None = None
    rank: str = ""
    notes: tuple[int, ...] = ()
    badge: str = ""
    repeats: bool = False
    spread: str = ""


@dataclass(frozen=True)
class Grid:
    """A table: ``text_columns`` columns of words, then numbers; warnings stand out.

    ``title``: the heading of a table that is not the first of its page.
    """

    caption: str
    heads: list[ColumnHeading]
    rows: list[list[Cell]]
    text_columns: int
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    title: str = ""


def _find_heading_spans(grid: Grid) -> Iterator[tuple[str, int, int]]:
    """Yield each shared heading with its first and last column, counted from 0."""
    numbered = enumerate(grid.heads)
    for top, members in groupby(numbered, key=lambda pair: pair[1].top):
        columns = [number for number, _ in members]
        yield top, columns[0], columns[-1]


# --- Markdown -------------------------------------------------------------------------------


def to_markdown(grid: Grid) -> str:
    """Return the table as Markdown: best bold, second underlined (``<u>``), notes below it.

    Without rows it is the warnings and the caption.

    >>> heads = [ColumnHeading("m"), ColumnHeading("SRCC", "A")]
    >>> print(to_markdown(Grid("Cap.", heads, [[Cell("x"), Cell("1")]], 1)))
    Cap.
    <BLANKLINE>
    | m | A SRCC |
    |:--|--:|
    | x | 1 |
    <BLANKLINE>
    """
    lines = [f"### {_escape_md(grid.title)}\n"] if grid.title else []
    lines += [f"> **{_escape_md(w)}**\n" for w in grid.warnings]
    lines += [_escape_md(grid.caption), ""]
    if not grid.rows:
        return "\n".join(lines)
    names = [_escape_md(f"{head.top} {head.name}".strip()) for head in grid.heads]
    lines.append(f"| {' | '.join(names)} |")
    aligned = [":--" if n < grid.text_columns else "--:" for n in range(len(names))]
    lines.append(f"|{'|'.join(aligned)}|")
    lines += [f"| {' | '.join(_format_md_cell(cell) for cell in row)} |" for row in grid.rows]
    lines.append("")
    lines += [f"<sup>{n}</sup> {_escape_md(note)}  " for n, note in enumerate(grid.notes, 1)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _escape_md(text: str) -> str:
    return re.sub(r"([\\|*_<>`\[\]])", r"\\\1", text)


def _format_md_cell(cell: Cell) -> str:
    """Format a cell as Markdown: text (blank if repeated), mark, spread, badge, notes."""
    text = "" if cell.repeats else _escape_md(cell.text)
    if cell.rank:
        text = f"**{text}**" if cell.rank == BEST else f"<u>{text}</u>"
    if cell.spread:
        text += f" {_escape_md(cell.spread)}"
    if cell.badge:
        text += f" **({_escape_md(cell.badge)})**"
    numbers = ",".join(map(str, cell.notes))
    return f"{text}<sup>{numbers}</sup>" if numbers else text


# --- LaTeX ----------------------------------------------------------------------------------

_TEX_ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "–": "--", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "[": "{[}",  # LaTeX reads a row that starts with [ as an option of the line break
    "±": r"$\pm$", "×": r"$\times$", "→": r"$\rightarrow$", "≥": r"$\geq$", "≤": r"$\leq$",
}  # fmt: skip

#: Packages that the output of :func:`to_latex` needs in the preamble.
PACKAGES = ("booktabs", "adjustbox")
#: The package that it needs as well with ``has_multirow``.
MULTIROW = "multirow"


def to_latex(grid: Grid, has_multirow: bool = False) -> str:
    """Return the table as LaTeX: a floating ``table*`` with booktabs rules and notes below it.

    Needs :data:`PACKAGES`. A table larger than the page is scaled down; tables are never enlarged.
    With ``has_multirow`` the text of the first column is centred beside the lines that repeat it.
    """
    numbers = len(grid.heads) - grid.text_columns
    warned = "".join(rf"\textbf{{{_escape_tex(w)}}} " for w in grid.warnings)
    packages = (*PACKAGES, MULTIROW) if has_multirow else PACKAGES
    line_counts = _count_repeated_lines(grid) if has_multirow else {}
    lines = [
        "% needs " + " ".join(rf"\usepackage{{{name}}}" for name in packages),
        r"\begin{table*}[t]",
        r"\centering",
        rf"\caption{{{warned}{_escape_tex(grid.caption)}}}",
        r"\par\smallskip",
        r"\begin{adjustbox}{max width=\textwidth, max totalheight=0.9\textheight}",
        rf"\begin{{tabular}}{{{'l' * grid.text_columns}{'r' * numbers}}}",
        r"\toprule",
    ]
    if any(head.top for head in grid.heads):
        tops, rules = [], []
        for top, first, last in _find_heading_spans(grid):
            if top:
                tops.append(rf"\multicolumn{{{last - first + 1}}}{{c}}{{{_escape_tex(top)}}}")
                rules.append(rf"\cmidrule(lr){{{first + 1}-{last + 1}}}")
            else:
                tops += [""] * (last - first + 1)
        lines += [" & ".join(tops) + r" \\", " ".join(rules)]
    lines += [" & ".join(_escape_tex(head.name) for head in grid.heads) + r" \\", r"\midrule"]
    for number, row in enumerate(grid.rows):
        if number and not row[0].repeats:
            lines.append(r"\midrule")
        texts = [_format_tex_cell(cell) for cell in row]
        if line_counts.get(number, 1) > 1:
            texts[0] = rf"\multirow{{{line_counts[number]}}}{{*}}{{{texts[0]}}}"
        lines.append(" & ".join(texts) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{adjustbox}"]
    if grid.notes:
        lines.append(r"\par\smallskip\raggedright\footnotesize")
        lines += [
            rf"\textsuperscript{{{n}}} {_escape_tex(note)}\par"
            for n, note in enumerate(grid.notes, 1)
        ]
    lines.append(r"\end{table*}")
    return "\n".join(lines) + "\n"


def _count_repeated_lines(grid: Grid) -> dict[int, int]:
    """Return how many lines share their first cell with each line that begins such a group."""
    counts: dict[int, int] = {}
    for number, row in enumerate(grid.rows):
        first_line = max(counts) if row[0].repeats else number
        counts[first_line] = counts.get(first_line, 0) + 1
    return counts


def latex_page(table: str) -> str:
    """Return a complete document that holds only tables of :func:`to_latex`, ready to compile.

    >>> latex_page("x").splitlines()[0]
    '\\\\documentclass[10pt]{article}'
    """
    packages = "".join(rf"\usepackage{{{name}}}" + "\n" for name in (*PACKAGES, MULTIROW))
    return (
        r"\documentclass[10pt]{article}" + "\n"
        r"\usepackage[T1]{fontenc}" + "\n"
        r"\usepackage[a4paper,landscape,margin=15mm]{geometry}" + "\n"
        f"{packages}" + r"\pagestyle{empty}" + "\n"
        r"\begin{document}" + "\n"
        f"{table}" + r"\end{document}" + "\n"
    )


def _escape_tex(text: str) -> str:
    return "".join(_TEX_ESCAPES.get(letter, letter) for letter in text)


def _escape_tex_number(text: str) -> str:
    """Escape text; a hyphen before a number becomes a minus sign, '-' inside a name stays."""
    return re.sub(r"(?<![\w.)-])-(?=\d)", "$-$", _escape_tex(text))


def _format_tex_cell(cell: Cell) -> str:
    text = "" if cell.repeats else _escape_tex_number(cell.text)
    if cell.rank:
        text = rf"\textbf{{{text}}}" if cell.rank == BEST else rf"\underline{{{text}}}"
    if cell.spread:
        text += rf" {{\scriptsize {_escape_tex_number(cell.spread)}}}"
    if cell.badge:
        text += rf" \textbf{{({_escape_tex(cell.badge)})}}"
    if cell.notes:
        text += rf"\textsuperscript{{{','.join(map(str, cell.notes))}}}"
    return text


# --- HTML -----------------------------------------------------------------------------------

_TEMPLATE = Path(__file__).with_name("templates") / "table.html"


def to_html(grid: Grid, title: str, further: Sequence[Grid] = ()) -> str:
    """Return the table as a self-contained page; a click on a heading sorts by that column.

    The first click sorts numbers in descending and words in ascending order, the second reverses
    the order and the third restores the original one. Undefined cells stay last. ``further``:
    tables below it on the same page, each with its own title.
    """
    tables = [
        {
            "grid": shown,
            # The column after the type holds the names. It stays visible while the table scrolls.
            "name_column": min(1, shown.text_columns - 1),
            "spans": [(top, last - first + 1) for top, first, last in _find_heading_spans(shown)],
        }
        for shown in (grid, *further)
    ]
    return render_template(_TEMPLATE, title=title, tables=tables)
