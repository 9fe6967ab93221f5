"""Markdown, LaTeX and HTML of a table: what stands in a cell, and that LaTeX makes a page of it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sfqa.correlation.grid import (
    BEST,
    PACKAGES,
    SECOND,
    Cell,
    ColumnHeading,
    Grid,
    latex_page,
    to_html,
    to_latex,
    to_markdown,
)
from sfqa.papers.layout import to_grid
from sfqa.papers.published import load_published, read_index

HEADS = [
    ColumnHeading("Type"),
    ColumnHeading("Metric"),
    ColumnHeading("SRCC", "Visual & more"),
    ColumnHeading("RMSE", "Visual & more"),
]


def grid() -> Grid:
    rows = [
        [Cell("A_1"), Cell("50% [x]"), Cell("0.7", 0.7, BEST, spread="[0.61, 0.79]"), Cell("9", 9.0)],
        [Cell("A_1", repeats=True), Cell("b~^\\", badge="random weights"), Cell("0.6", 0.6, SECOND), Cell("–", notes=(1,))],
        [Cell("[B]"), Cell("ü → é"), Cell("0.5", 0.5, spread="±0.04"), Cell("8", 8.0, BEST)],
    ]  # fmt: skip
    return Grid("C#1 {50 %} $x$", HEADS, rows, 2, ["undefined: a < b"], ["Loud & clear"])


def test_an_interval_stands_behind_the_marked_figure() -> None:
    assert "| **0.7** \\[0.61, 0.79\\] |" in to_markdown(grid())
    assert r"\textbf{0.7} {\scriptsize {[}0.61, 0.79]}" in to_latex(grid())
    assert r"0.5 {\scriptsize $\pm$0.04}" in to_latex(grid())
    assert '<td class="number" data-value="0.7"><b>0.7</b> <small>[0.61, 0.79]</small></td>' in (
        to_html(grid(), "t")
    )


def test_a_name_of_any_kind_is_no_markup() -> None:
    evil = "</td><script>evil()</script>\"'&"
    cells = [Cell(evil), Cell(evil, badge=evil, spread=evil), Cell("1", 1.0), Cell("2", 2.0)]
    text = to_html(
        Grid(evil, [ColumnHeading(evil, evil), *HEADS[1:]], [cells], 2, [evil], [evil]), evil
    )
    assert "evil()" in text
    assert "<script>evil" not in text
    assert text.count("<script>") == text.count("</script>") == 1
    assert text.count("</td>") == len(cells)


def test_no_row_of_latex_starts_with_a_bracket() -> None:
    """After a line break TeX takes '[' for the break's option."""
    lines = to_latex(grid()).splitlines()
    assert not [line for line in lines if line.startswith("[")]
    assert any(line.startswith("{[}B]") for line in lines)


def test_a_minus_is_no_hyphen_and_a_hyphen_no_minus() -> None:
    row = [Cell("A-1"), Cell("x-2"), Cell("-0.5", -0.5, spread="[-0.6, -0.4]"), Cell("1")]
    line = next(x for x in to_latex(Grid("C", HEADS, [row], 2)).splitlines() if "A-1" in x)
    assert line == r"A-1 & x-2 & $-$0.5 {\scriptsize {[}$-$0.6, $-$0.4]} & 1 \\"


def test_the_names_stay_in_sight() -> None:
    text = to_html(grid(), "t")
    assert text.count('<td class="name"') == len(grid().rows)
    assert '<th class="name" scope="col" data-column="1"' in text
    narrow = to_html(Grid("C", HEADS[:1] + HEADS[2:3], [[Cell("a"), Cell("1")]], 1), "t")
    assert '<td class="name" data-value="a">' in narrow


def test_the_packages_are_named_where_the_table_begins() -> None:
    first = to_latex(grid()).splitlines()[0]
    assert re.findall(r"\\usepackage\{(\w+)\}", first) == list(PACKAGES)
    page = latex_page(to_latex(grid()))
    for name in PACKAGES:
        assert page.index(rf"\usepackage{{{name}}}") < page.index(r"\begin{document}")


def compiled(text: str, folder: Path) -> str:
    """Compile a document and return the words on its pages."""
    for program in ("pdflatex", "pdftotext"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: the LaTeX is not compiled")
    (folder / "t.tex").write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"],
        cwd=folder, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    log = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, log[-2000:]
    assert "Overfull \\hbox" not in log
    assert "Overfull \\vbox" not in log
    out = subprocess.run(
        ["pdftotext", "-layout", "t.pdf", "-"], cwd=folder, capture_output=True, check=True
    )
    return out.stdout.decode()


def test_latex_makes_a_page_of_any_letters(tmp_path: Path) -> None:
    words = compiled(latex_page(to_latex(grid())), tmp_path)
    for text in ("50% [x]", "[0.61, 0.79]", "±0.04", "b~^\\", "(random weights)", "[B]", "a < b", "C#1 {50 %} $x$"):  # fmt: skip
        assert text in words, words


@pytest.mark.parametrize("row", read_index(), ids=lambda row: row["table"])
def test_every_published_table_compiles_and_fits_its_page(
    row: dict[str, str], tmp_path: Path
) -> None:
    table = load_published(row["table"])
    words = compiled(latex_page(to_latex(to_grid(table))), tmp_path)
    assert words.count("\f") == 1
    for value in table.figures["value"]:
        assert value in words
