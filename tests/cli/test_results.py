"""Tables on a terminal: they fit its width, and nothing of them is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfqa import cli
from sfqa.cli._grid_text import format_grid
from sfqa.cli._tables import count_columns
from sfqa.correlation.grid import Cell, ColumnHeading, Grid, to_markdown
from sfqa.correlation.grid_reading import read_markdown
from sfqa.papers.layout import to_grid
from sfqa.papers.published import load_published, read_index

TOPS = ("Visual quality", "Audio visual consistency", "Overall Average")
HEADS = [
    ColumnHeading("Model type"), ColumnHeading("Metric"),
    *(ColumnHeading(name, top) for top in TOPS for name in ("SRCC", "PLCC")),
]  # fmt: skip


def make_grid(**changes: Any) -> Grid:
    """A table of three metrics: a footnote, an undefined value, untrained weights."""
    lines = [
        [Cell("Controls"), Cell("oracle"), *[Cell("1.0000", 1.0)] * 6],
        [Cell("Regressors"), Cell("SlowFast-CLIP-MLP", badge="random weights", notes=(1,)),
         *[Cell("0.8182", 0.8182, "best")] * 5, Cell("–", notes=(2,))],
        [Cell("Regressors", repeats=True), Cell("ridge"), *[Cell("-0.1000", -0.1)] * 6],
    ]  # fmt: skip
    values: dict[str, Any] = {
        "caption": "Metrics against MOS on demo. Protocol disjoint; 48 test samples.",
        "heads": HEADS, "rows": lines, "text_columns": 2, "notes": ["few_points: 12", "constant_scores"],
        "warnings": ["MOS from simulated raters: these figures test the workflow."], "title": "",
    }  # fmt: skip
    return Grid(**{**values, **changes})


def squeeze(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("width", [None, 200, 100, 80, 60, 40])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_lost(width: int | None) -> None:
    text = format_grid(make_grid(), width)
    assert max(map(count_columns, text.splitlines())) <= (width or 10**6)
    assert text.count("1.0000") == 6
    assert text.count("0.8182") == 5
    assert text.count("-0.1000") == 6
    assert "–²" not in text
    assert "¹·²" in text  # behind the name: of the name and of the undefined number
    assert "random weights" in text
    for words in ("MOS from simulated raters", "48 test samples.", "¹ few_points: 12"):
        assert squeeze(words) in squeeze(text)


def test_columns_are_aligned_below_their_headings() -> None:
    lines = format_grid(make_grid(), 120).splitlines()
    head = next(n for n, line in enumerate(lines) if line.startswith("Model type"))
    assert lines[head].split() == ["Model", "type", "Metric", *["SRCC", "PLCC"] * 3]
    ends = [lines[head].index("SRCC") + 4, lines[head].index("PLCC") + 4]
    for line in lines[head + 1 : head + 4]:
        assert [line[:end][-1].isdigit() for end in ends] == [True, True]
    tops = " ".join(lines[head - 2 : head])
    for top in TOPS:
        for word in top.split():
            assert word in tops


def test_eighty_columns_take_groups_as_lines() -> None:
    lines = format_grid(make_grid(), 80).splitlines()
    assert "Controls" in lines
    assert "Regressors" in lines
    assert sum(line.startswith("  Metric ") for line in lines) == 1  # six columns side by side


def test_marks_are_escape_sequences_only_if_wanted() -> None:
    assert "\x1b" not in format_grid(make_grid(), 80)
    assert "\x1b[1m0.8182\x1b[0m" in format_grid(make_grid(), 80, is_styled=True)


def test_long_names_are_cut_on_a_narrow_terminal_and_keep_their_warning() -> None:
    name = Cell("歌" * 60, badge="random weights")
    text = format_grid(make_grid(rows=[[Cell("a"), name, *[Cell("0.5000", 0.5)] * 6]]), 50)
    assert max(map(count_columns, text.splitlines())) <= 50
    assert "歌… †" in text
    assert "† random weights" in text


def test_long_headings_of_numbers_are_wrapped() -> None:
    heads = [ColumnHeading("Metric"), ColumnHeading("SRCC leave one method out")]
    grid = make_grid(heads=heads, rows=[[Cell("a"), Cell("0.5000", 0.5)]], text_columns=1)
    lines = format_grid(grid, 60).splitlines()
    end = next(line for line in lines if line.startswith("Metric "))
    assert end.split() == ["Metric", "out"]
    assert len(end) == len("Metric") + 2 + len("method")


@pytest.mark.parametrize("name", [row["table"] for row in read_index()])
def test_every_published_table_fits(name: str) -> None:
    grid = to_grid(load_published(name))
    text = format_grid(grid, 80)
    assert max(map(count_columns, text.splitlines())) <= 80
    for row in grid.rows:
        for cell in row[grid.text_columns :]:
            assert cell.text in text


WORDS = st.text("ab|*_<>`[]\\歌-", min_size=1, max_size=8).map(str.strip).filter(bool)


@given(
    st.lists(
        st.tuples(WORDS, st.floats(-1, 1), st.sampled_from(["", "best", "second"])),
        min_size=1,
        max_size=4,
    )
)
def test_markdown_is_read_back(lines: list[tuple[str, float, str]]) -> None:
    rows = [
        [Cell("g", repeats=n > 0), Cell(name, badge="random weights" if n else ""),
         Cell(f"{value:.4f}", float(f"{value:.4f}"), rank, (1,), spread="[0.1, 0.2]")]
        for n, (name, value, rank) in enumerate(lines)
    ]  # fmt: skip
    heads = [ColumnHeading("Model type"), ColumnHeading("Metric"), ColumnHeading("SRCC", "A b")]
    grid = Grid("C.", heads, rows, 2, ["n: 1"], ["W."], "T")
    (read,) = read_markdown(to_markdown(grid))
    assert read == grid


def test_show_and_list_read_a_results_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "results/demo/correlation"
    folder.mkdir(parents=True)
    text = to_markdown(make_grid()) + "\n" + to_markdown(make_grid(title="All rated videos"))
    (folder / "metrics.md").write_text(text)
    (folder / "metrics.csv").write_text("metric\n")
    assert cli.main(["results", "show", str(folder.parent), "--width", "80"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("SlowFast-CLIP-MLP") == 2
    assert "All rated videos" in shown
    assert f"All digits: {folder / 'metrics.csv'}\n" in shown
    assert max(map(count_columns, shown.splitlines()[:-1])) <= 80
    assert cli.main(["results", "list", str(folder.parent)]) == 0
    assert str(folder / "metrics.md") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["shw", "x"], "no action 'shw'; did you mean 'show'"),
        (["show", "nowhere"], "nowhere: there is no such folder"),
        (["show", "EMPTY"], "it has no table correlation"),
        (["show", "FULL", "--table", "leakgae"], "did you mean 'leakage'"),
        (["show", "FULL", "--width", "0"], "--width 0: write the number of columns"),
    ],
)
def test_mistakes(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "FULL/correlation").mkdir(parents=True)
    (tmp_path / "FULL/correlation/leakage.md").write_text(to_markdown(make_grid()))
    named = [str(tmp_path / word) if word.isupper() else word for word in words]
    assert cli.main(["results", *named]) == 2
    assert message in capsys.readouterr().err
