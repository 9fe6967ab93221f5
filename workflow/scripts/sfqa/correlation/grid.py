"""A table as readers see it, and its Markdown, LaTeX and HTML."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

BEST, SECOND = "best", "second"
UNDEFINED = "–"


@dataclass(frozen=True)
class Head:
    """A column's name, and the heading it shares with its neighbours ('' for none)."""

    name: str
    top: str = ""


@dataclass(frozen=True)
class Cell:
    """One cell: its text, the number to sort by, how it ranks, its footnotes (from 1), a badge.

    ``spread`` stands small behind the text: an interval such as ``[0.61, 0.74]``.
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
    """A whole table: ``text_columns`` columns of words, then numbers; warnings are shown loudly."""

    caption: str
    heads: list[Head]
    rows: list[list[Cell]]
    text_columns: int
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def _spans(grid: Grid) -> Iterator[tuple[str, int, int]]:
    """Yield shared headings with their first and last column, counted from 0."""
    numbered = enumerate(grid.heads)
    for top, members in groupby(numbered, key=lambda pair: pair[1].top):
        columns = [number for number, _ in members]
        yield top, columns[0], columns[-1]


# --- Markdown -------------------------------------------------------------------------------


def to_markdown(grid: Grid) -> str:
    """Return the table as Markdown: best bold, second underlined (``<u>``), notes below.

    >>> heads = [Head("m"), Head("SRCC", "A")]
    >>> print(to_markdown(Grid("Cap.", heads, [[Cell("x"), Cell("1")]], 1)))
    Cap.
    <BLANKLINE>
    | m | A SRCC |
    |:--|--:|
    | x | 1 |
    <BLANKLINE>
    """
    lines = [*(f"> **{_md(w)}**\n" for w in grid.warnings), _md(grid.caption), ""]
    names = [_md(f"{head.top} {head.name}".strip()) for head in grid.heads]
    lines.append(f"| {' | '.join(names)} |")
    aligned = [":--" if n < grid.text_columns else "--:" for n in range(len(names))]
    lines.append(f"|{'|'.join(aligned)}|")
    lines += [f"| {' | '.join(_md_cell(cell) for cell in row)} |" for row in grid.rows]
    lines.append("")
    lines += [f"<sup>{n}</sup> {_md(note)}  " for n, note in enumerate(grid.notes, 1)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _md(text: str) -> str:
    return re.sub(r"([\\|*_<>`\[\]])", r"\\\1", text)


def _md_cell(cell: Cell) -> str:
    text = "" if cell.repeats else _md(cell.text)
    if cell.rank:
        text = f"**{text}**" if cell.rank == BEST else f"<u>{text}</u>"
    if cell.spread:
        text += f" {_md(cell.spread)}"
    if cell.badge:
        text += f" **({_md(cell.badge)})**"
    return text + "".join(f"<sup>{note}</sup>" for note in cell.notes)


# --- LaTeX ----------------------------------------------------------------------------------

_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "–": "--", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "[": "{[}",  # a row that starts with one is no option of the line break
    "±": r"$\pm$", "×": r"$\times$", "→": r"$\rightarrow$", "≥": r"$\geq$", "≤": r"$\leq$",
}  # fmt: skip

#: What the preamble of a paper needs, so that :func:`to_latex` compiles.
PACKAGES = ("booktabs", "adjustbox")


def to_latex(grid: Grid) -> str:
    """Return the table as LaTeX: a floating ``table*`` with its notes below, rules of booktabs.

    Needs :data:`PACKAGES`. A table larger than the page is scaled down to it, never up.
    """
    numbers = len(grid.heads) - grid.text_columns
    warned = "".join(rf"\textbf{{{_tex(w)}}} " for w in grid.warnings)
    lines = [
        "% needs " + " ".join(rf"\usepackage{{{name}}}" for name in PACKAGES),
        r"\begin{table*}[t]",
        r"\centering",
        rf"\caption{{{warned}{_tex(grid.caption)}}}",
        r"\par\smallskip",
        r"\begin{adjustbox}{max width=\textwidth, max totalheight=0.9\textheight}",
        rf"\begin{{tabular}}{{{'l' * grid.text_columns}{'r' * numbers}}}",
        r"\toprule",
    ]
    if any(head.top for head in grid.heads):
        tops, rules = [], []
        for top, first, last in _spans(grid):
            if top:
                tops.append(rf"\multicolumn{{{last - first + 1}}}{{c}}{{{_tex(top)}}}")
                rules.append(rf"\cmidrule(lr){{{first + 1}-{last + 1}}}")
            else:
                tops += [""] * (last - first + 1)
        lines += [" & ".join(tops) + r" \\", " ".join(rules)]
    lines += [" & ".join(_tex(head.name) for head in grid.heads) + r" \\", r"\midrule"]
    for number, row in enumerate(grid.rows):
        if number and not row[0].repeats:
            lines.append(r"\midrule")
        lines.append(" & ".join(_tex_cell(cell) for cell in row) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{adjustbox}"]
    if grid.notes:
        lines.append(r"\par\smallskip\raggedright\footnotesize")
        lines += [
            rf"\textsuperscript{{{n}}} {_tex(note)}\par" for n, note in enumerate(grid.notes, 1)
        ]
    lines.append(r"\end{table*}")
    return "\n".join(lines) + "\n"


def latex_page(table: str) -> str:
    """Return a document of :func:`to_latex`'s tables alone, to compile as it is and look at.

    >>> latex_page("x").splitlines()[0]
    '\\\\documentclass[10pt]{article}'
    """
    packages = "".join(rf"\usepackage{{{name}}}" + "\n" for name in PACKAGES)
    return (
        r"\documentclass[10pt]{article}" + "\n"
        r"\usepackage[T1]{fontenc}" + "\n"
        r"\usepackage[a4paper,landscape,margin=15mm]{geometry}" + "\n"
        f"{packages}" + r"\pagestyle{empty}" + "\n"
        r"\begin{document}" + "\n"
        f"{table}" + r"\end{document}" + "\n"
    )


def _tex(text: str) -> str:
    return "".join(_TEX.get(letter, letter) for letter in text)


def _tex_number(text: str) -> str:
    """A hyphen before a number is a minus sign; '-' inside a name stays."""
    return re.sub(r"(?<![\w.)-])-(?=\d)", "$-$", _tex(text))


def _tex_cell(cell: Cell) -> str:
    text = "" if cell.repeats else _tex_number(cell.text)
    if cell.rank:
        text = rf"\textbf{{{text}}}" if cell.rank == BEST else rf"\underline{{{text}}}"
    if cell.spread:
        text += rf" {{\scriptsize {_tex_number(cell.spread)}}}"
    if cell.badge:
        text += rf" \textbf{{({_tex(cell.badge)})}}"
    if cell.notes:
        text += rf"\textsuperscript{{{','.join(map(str, cell.notes))}}}"
    return text


# --- HTML -----------------------------------------------------------------------------------

_CSS = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #6a737d; --line: #d0d7de;
        --paper: #fff; --hover: #f2f6fa; --loud: #8a2500; --loud-paper: #fff1e8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --soft: #9aa4ae; --line: #3a424a; --paper: #14181c; --hover: #1e252b;
          --loud: #ffb38a; --loud-paper: #3a2014; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper);
       margin: 2rem auto; padding: 0 1rem; max-width: 100rem; }
p.caption { max-width: 60rem; }
p, ol.notes { overflow-wrap: anywhere; }
p.warning { border-left: 5px solid var(--loud); background: var(--loud-paper); color: var(--loud);
            padding: .6rem .9rem; font-weight: 600; }
div.wide { overflow-x: auto; }
table { border-collapse: collapse; border-top: 2px solid; border-bottom: 2px solid; }
th, td { padding: .28rem .7rem; text-align: left; white-space: nowrap; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
thead tr:last-child th { border-bottom: 1px solid; }
th.shared { text-align: center; border-bottom: 1px solid var(--line); }
tbody tr.first td { border-top: 1px solid var(--line); }
tbody tr:hover td { background: var(--hover); }
tbody td.repeats { color: transparent; }
th.name, td.name { position: sticky; left: 0; background: var(--paper); }
tbody tr:hover td.name { background: var(--hover); }
table.sorted td.repeats { color: inherit; }
table.sorted tr.first td { border-top: 0; }
th button { all: unset; cursor: pointer; }
th button:focus-visible { outline: 2px solid; }
th[aria-sort=descending] button::after { content: " \\25BE"; }
th[aria-sort=ascending] button::after { content: " \\25B4"; }
.badge { color: var(--loud); background: var(--loud-paper); border: 1px solid; border-radius: 4px;
         padding: 0 .35em; font-size: .8em; font-weight: 600; }
ol.notes { color: var(--soft); font-size: .88em; }
sup { font-size: .7em; line-height: 0; }
td small { color: var(--soft); }
"""

_SCRIPT = """
const table = document.querySelector("table"), body = table.tBodies[0], rows = [...body.rows];
const heads = [...table.querySelectorAll("th[data-column]")];
const value = (row, n) => row.cells[n].dataset.value;
for (const head of heads) head.querySelector("button").onclick = () => {
  const n = Number(head.dataset.column), number = head.classList.contains("number");
  const ways = number ? ["descending", "ascending"] : ["ascending", "descending"];
  const way = [...ways, "none"][ways.indexOf(head.getAttribute("aria-sort")) + 1];
  heads.forEach(other => other.setAttribute("aria-sort", "none"));
  head.setAttribute("aria-sort", way);
  const sign = way === "ascending" ? 1 : -1;
  const order = (a, b) => {
    const x = value(a, n), y = value(b, n);
    if (x === "" || y === "") return (x === "") - (y === "");
    return sign * (number ? x - y : x.localeCompare(y));
  };
  body.append(...(way === "none" ? rows : [...rows].sort(order)));
  table.classList.toggle("sorted", way !== "none");
};
"""


def to_html(grid: Grid, title: str) -> str:
    """Return the table as one page with nothing outside it; a click on a heading sorts.

    The first click sorts numbers downwards and words upwards, the third brings the first order
    back; undefined cells stay last.
    """
    warned = "".join(f'<p class="warning">{html.escape(w)}</p>\n' for w in grid.warnings)
    notes = "".join(f"<li>{html.escape(note)}</li>\n" for note in grid.notes)
    body = "\n".join(_html_row(row, grid.text_columns) for row in grid.rows)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n"
        f"<h1>{html.escape(title)}</h1>\n{warned}"
        f'<p class="caption">{html.escape(grid.caption)}</p>\n'
        f'<div class="wide">\n<table>\n<thead>\n{_html_heads(grid)}</thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table>\n</div>\n"
        + (f'<ol class="notes">\n{notes}</ol>\n' if notes else "")
        + f"<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )


def _html_heads(grid: Grid) -> str:
    shared = ""
    if any(head.top for head in grid.heads):
        for top, first, last in _spans(grid):
            kind = ' class="shared" scope="colgroup"' if top else ""
            shared += f'<th colspan="{last - first + 1}"{kind}>{html.escape(top)}</th>'
        shared = f"<tr>{shared}</tr>\n"
    names = ""
    for column, head in enumerate(grid.heads):
        kind = ' class="number"' if column >= grid.text_columns else ""
        kind = ' class="name"' if column == _name_column(grid.text_columns) else kind
        names += (
            f'<th{kind} scope="col" data-column="{column}" aria-sort="none">'
            f'<button type="button">{html.escape(head.name)}</button></th>'
        )
    return f"{shared}<tr>{names}</tr>\n"


def _name_column(text_columns: int) -> int:
    """The column after the type holds the names; it stays in sight where the page is narrow."""
    return min(1, text_columns - 1)


def _html_row(row: list[Cell], text_columns: int) -> str:
    cells = ""
    names = _name_column(text_columns)
    for column, cell in enumerate(row):
        text = html.escape(cell.text)
        if cell.rank:
            text = f"<b>{text}</b>" if cell.rank == BEST else f"<u>{text}</u>"
        if cell.spread:
            text += f" <small>{html.escape(cell.spread)}</small>"
        if cell.badge:
            text += f' <span class="badge">{html.escape(cell.badge)}</span>'
        if cell.notes:
            text += f"<sup>{','.join(map(str, cell.notes))}</sup>"
        number = column >= text_columns
        key = ("" if cell.value is None else repr(cell.value)) if number else cell.text
        kinds = " ".join(
            name
            for name, on in (
                ("number", number),
                ("name", column == names),
                ("repeats", cell.repeats),
            )
            if on
        )
        kind = f' class="{kinds}"' if kinds else ""
        cells += f'<td{kind} data-value="{html.escape(key)}">{text}</td>'
    first = "" if row[0].repeats else ' class="first"'
    return f"<tr{first}>{cells}</tr>"
