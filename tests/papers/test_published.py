"""The papers' tables as data: every figure is the paper's, and what does not fit together is told."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sfqa import cli, store, tables
from sfqa.correlation.grid import BEST, SECOND
from sfqa.errors import UserError
from sfqa.papers.checks import (
    Finding,
    check_table,
    check_tables,
    find_wrong_main_score,
    find_wrong_overall,
    is_rounded_mean,
)
from sfqa.papers.layout import to_grid
from sfqa.papers.published import FOLDER, Published, load_published, rank_figures, read_index

NAMES = [row["table"] for row in read_index()]
SEEDS = {
    "sfqa": "sfqa.txt", "lgvq": "lgvq_ugvq.md", "aigc": "aigc_vqa.md", "ntire2025": "ntire2025_xgc.txt",
}  # fmt: skip
#: A figure: no year, no number of a reference, no arXiv number.
FIGURE = re.compile(r"(?<![\d.])\d{1,2}\.\d{3,4}(?![\d.])")
#: Names that the stored text of NTIRE 2025 tore apart.
TORN = {
    "FastVQA": "FastVQ", "DOVER": "DOVE", "T2VQA": "T2VQ", "SimpleVQA": "SimpleVQ",
    "Q-Eval-Score": "Q-Eval-So",
}  # fmt: skip
#: How many figures with digits each table has, counted in the papers by rows and columns.
COUNTS = {
    "sfqa_table2": 14 * 9,
    "lgvq_table2": 39 * 6,
    "lgvq_table3": 6 * 6 + 15 * 9,
    "lgvq_table4": 6 * 6 + 15 * 9,
    "lgvq_table5": 8 * 9,
    "lgvq_table6": 21 * 12,
    "aigc_vqa_table1": 12 * 4,
    "aigc_vqa_table2": 6 * 3,
    "aigc_vqa_table3": 13,
    "aigc_vqa_table4": 5 * 3,
    "aigc_vqa_table5": 2 * 3,
    "aigc_vqa_table6": 4 * 3,
    "ntire2025_table1": 6 * 9,
    "ntire2025_table2": 9 * 3,
    "ntire2025_table3": 9 * 3,
}


def figures_of(table: Published) -> pd.DataFrame:
    return table.figures[(table.figures["better"] != "") & (table.figures["value"] != "")]


def value(table: Published, row: str, column: str, statistic: str) -> str:
    own = table.figures
    own = own[(own["row"] == row) & (own["column"] == column) & (own["statistic"] == statistic)]
    assert len(own) == 1
    return str(own["value"].iloc[0])


def paper_text(name: str, shared_data: Path) -> str:
    """The text of a paper from a table's caption on."""
    paper, number = name.split("_table")
    text = (shared_data.parent / "seeds" / SEEDS[paper.partition("_")[0]]).read_text("utf-8")
    return text.split(f"\nTable {number}. ", 1)[1].partition("\n")[2]


def changed(table: Published, row: int, text: str) -> Published:
    figures = table.figures.copy()
    figures.loc[row, "value"] = text
    return replace(table, figures=figures)


# --- the figures ----------------------------------------------------------------------------


def test_every_table_of_the_papers_is_there() -> None:
    assert set(NAMES) == set(COUNTS)
    for name in NAMES:
        assert len(figures_of(load_published(name))) == COUNTS[name], name


@pytest.mark.parametrize(
    ("name", "row", "column", "statistic", "printed"),
    [
        ("sfqa_table2", "VideoLLaMA2.1-7B-AV", "Overall Average", "KRCC", "0.2484"),
        ("sfqa_table2", "GeneralAVQA", "Audio-Visual Consistency", "PLCC", "0.7201"),
        ("lgvq_table2", "MA-AGIQA", "Model-level", "PLCC", "0.797"),
        ("lgvq_table2", "Temporal Flickering", "Video-level", "KRCC", "0.256"),
        ("lgvq_table3", "HPSv2", "MQT", "SRCC", "0.819"),
        ("lgvq_table4", "RAPIQUE", "MQT", "KRCC", "0.732"),
        ("lgvq_table5", "No. 3", "Temporal", "KRCC", "0.151"),
        ("lgvq_table6", "LIQE", "FETV to LGVQ, model", "PLCC", "0.477"),
        ("aigc_vqa_table1", "DOVER", "", "RMSE", "9.8072"),
        ("aigc_vqa_table2", "alignment", "", "Main Score", "0.814"),
        ("aigc_vqa_table3", "UBC DSL Team", "", "Main Score", "0.7531"),
        ("aigc_vqa_table4", "60%", "", "PLCC", "0.8232"),
        ("ntire2025_table1", "XGC-Go", "Main score of", "Blur", "0.8575"),
        ("ntire2025_table2", "Q-Eval-Score", "", "PLCC", "0.4642"),
        ("ntire2025_table3", "NJUST-KMG", "", "SRCC", "0.7599"),
    ],
)
def test_figures_typed_from_the_papers_by_hand(
    name: str, row: str, column: str, statistic: str, printed: str
) -> None:
    assert value(load_published(name), row, column, statistic) == printed


def named(row: str, line: str) -> bool:
    """Whether a line of a paper's text is that of a row; ticks and torn words as the text has them."""
    if "✓" in line:
        return line.count("✓") == row.count("+") + 1
    if row.startswith("No. "):
        return line.startswith(f"{row[4:]}✔")
    return TORN.get(row, row) in line


@pytest.mark.shared
@pytest.mark.parametrize("name", NAMES)
def test_every_figure_stands_in_its_line_of_the_paper(name: str, shared_data: Path) -> None:
    """Line by line, in order, none left out and none added; digits as printed."""
    lines = iter(paper_text(name, shared_data).split("\n"))
    wanted = (
        figures_of(load_published(name)).groupby(["group", "row"], sort=False)["value"].apply(list)
    )
    for (_, row), printed in wanted.items():
        line = re.sub(r"</?[bu]>", "", next(line for line in lines if FIGURE.search(line)))
        assert named(row, line), (row, line)
        assert FIGURE.findall(line) == printed, (row, line)


@pytest.mark.shared
def test_the_marks_of_aigc_vqa_are_the_paper_s(shared_data: Path) -> None:
    for tag, word in (("b", "bold"), ("u", "underline")):
        for name in [name for name in NAMES if name.startswith("aigc")]:
            part = paper_text(name, shared_data).strip().split("\n\n")[0]
            seen = re.findall(rf"<{tag}>(\d+\.\d+)</{tag}>", part)
            own = load_published(name).figures
            assert list(own.loc[own["mark"] == word, "value"]) == seen, (name, word)


# --- our marks ------------------------------------------------------------------------------


def test_sfqa_best_and_second_are_where_a_reader_finds_them() -> None:
    found = rank_figures(load_published("sfqa_table2"))
    best = {(row, column) for (_, row, column, _), rank in found.items() if rank == BEST}
    second = {(row, column) for (_, row, column, _), rank in found.items() if rank == SECOND}
    visual, sound, overall = (
        "Visual Perceptual Quality",
        "Audio-Visual Consistency",
        "Overall Average",
    )
    assert best == {("VALOR", visual), ("VALOR", sound), ("VALOR", overall)}
    assert second == {("DOVER", visual), ("FAST-VQA", sound), ("FAST-VQA", overall)}
    assert len(found) == 18


def test_lgvq_ranks_within_each_aspect_and_less_error_is_better() -> None:
    found = rank_figures(load_published("lgvq_table3"))
    assert found["Spatial", "LIQE", "LGVQ", "SRCC"] == SECOND
    assert found["Spatial", "UNIQUE", "LGVQ", "PLCC"] == SECOND
    assert found["Temporal", "DOVER", "MQT", "KRCC"] == SECOND
    errors = {
        row: rank
        for (_, row, _, name), rank in rank_figures(load_published("aigc_vqa_table1")).items()
        if name == "RMSE"
    }
    assert errors == {"T2VQA": BEST, "AIGC-VQA": SECOND}


def test_equal_figures_share_a_mark() -> None:
    table = load_published("sfqa_table2")
    row = table.figures.index[
        (table.figures["row"] == "DOVER") & (table.figures["statistic"] == "SRCC")
    ][0]
    found = rank_figures(changed(table, row, "0.8064"))
    column = "Visual Perceptual Quality"
    assert found["VQA", "DOVER", column, "SRCC"] == BEST
    assert found["Multi-modal Alignment", "VALOR", column, "SRCC"] == BEST
    assert found["VQA", "FAST-VQA", column, "SRCC"] == SECOND


def test_the_layout_is_the_paper_s() -> None:
    grid = to_grid(load_published("sfqa_table2"))
    assert [row[0].text for row in grid.rows if not row[0].repeats] == [
        "Audio-Visual LMMs", "Syncnet", "VQA", "Multi-modal Alignment", "AVQA",
    ]  # fmt: skip
    assert [(h.top, h.name) for h in grid.heads[2:5]] == [
        ("Visual Perceptual Quality", name) for name in ("SRCC", "PLCC", "KRCC")
    ]
    assert grid.rows[0][-1].text == "0.2484"
    spatial = to_grid(load_published("lgvq_table3")).rows[0]
    assert [cell.text for cell in spatial[-3:]] == ["–", "–", "–"]
    ranks = to_grid(load_published("ntire2025_table3"))
    assert [head.name for head in ranks.heads] == ["", "Team", "Rank", "Main Score", "SRCC", "PLCC"]
    assert [row[2].text for row in ranks.rows] == ["1", "2", "3", "4", "5", "6", "7", "8", "–"]


# --- consistency ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def everything() -> list[Finding]:
    return check_tables()


def test_what_the_papers_print_that_does_not_fit(everything: list[Finding]) -> None:
    """All of it: a new finding or a lost one is looked at by a person."""
    found = [(f.table, f.check, f.sentence) for f in everything if "marks" not in f.check]
    assert [(table, name) for table, name, _ in found] == [
        ("sfqa_table2", "overall"),
        ("sfqa_table2", "repeated_row"),
        ("lgvq_table2", "granular"),
        ("lgvq_table2", "granular"),
        ("lgvq_table4", "granular"),
        ("lgvq_table4", "granular"),
        ("lgvq_table4", "granular"),
        ("lgvq_table4", "granular"),
        ("lgvq_table6", "repeated_column"),
        ("lgvq_table6", "ahead"),
        ("aigc_vqa_table1", "one_fit"),
        ("aigc_vqa_table2", "main_score"),
        ("aigc_vqa_table4", "main_score"),
        ("aigc_vqa_table5", "main_score"),
        ("aigc_vqa_table6", "main_score"),
        ("ntire2025_table2", "main_score"),
    ]
    told = [sentence for _, _, sentence in found]
    assert "0.3258 for 0.3528 (two digits swapped)" in told[0]
    assert "Qwen2.5-Omni-3B and LSE-D have 8 of 9 figures in common" in told[1]
    assert "0.0999 and 0.1000" in told[1]
    assert "11 of 21" in told[8]
    assert "CLIP-IQA (0.735) is ahead of Ours (0.733)" in told[9]
    assert "is 0.4741, the mean of 0.4861 and 0.4642 is 0.47515" in told[-1]


def test_marks_that_the_paper_sets_otherwise_are_told(everything: list[Finding]) -> None:
    seen = [f for f in everything if f.check == "marks"]
    assert [f.table for f in seen] == ["aigc_vqa_table1"]
    assert "AIGC-VQA, RMSE 9.6617 is the second and printed plain" in seen[0].sentence
    lost = {f.table for f in everything if f.check == "marks_lost"}
    assert lost == {"sfqa_table2", "lgvq_table2", "lgvq_table3", "lgvq_table4", "lgvq_table6"}


@pytest.mark.parametrize("name", ["sfqa_table2", "aigc_vqa_table2", "ntire2025_table1"])
def test_a_wrong_digit_in_a_mean_is_found(name: str) -> None:
    table = load_published(name)
    wanted = {"sfqa_table2": table.figures["dimension"] == "overall"}.get(
        name, table.figures["statistic"] == "Main Score"
    )
    find = find_wrong_overall if name == "sfqa_table2" else find_wrong_main_score
    before = set(find(table))
    for row in table.figures.index[wanted]:
        text = table.figures.loc[row, "value"]
        digit = (int(text[4]) + 5) % 10
        wrong = changed(table, row, f"{text[:4]}{digit}{text[5:]}")
        assert set(find(wrong)) - before, (row, text)


def test_a_mean_fits_when_rounded_or_cut_and_not_beyond() -> None:
    assert is_rounded_mean("0.7539", ["0.7465", "0.7614"])  # 0.75395 cut
    assert is_rounded_mean("0.7540", ["0.7465", "0.7614"])  # 0.75395 rounded
    assert not is_rounded_mean("0.7542", ["0.7465", "0.7614"])
    assert not is_rounded_mean("0.7537", ["0.7465", "0.7614"])


def test_wrong_ranks_and_impossible_figures_are_found() -> None:
    table = load_published("ntire2025_table3")
    row = table.figures.index[table.figures["statistic"] == "Rank"][2]
    assert any("AutoHome AIGC: rank 4" in f.sentence for f in check_table(changed(table, row, "4")))
    table = load_published("sfqa_table2")
    assert any(f.check == "bounds" for f in check_table(changed(table, 0, "1.4322")))


# --- files with mistakes, and the command line ----------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "published"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("0.4322,higher", "0.43x2,higher", "row 2: '0.43x2' is no number"),
        ("0.6322,higher", "0.6322,highre", "row 3: better is 'highre'; did you mean 'higher'"),
        ("Quality,PLCC,0.6322", "Quality,SRCC,0.6322", "row 3: 'VideoLLaMA2.1-7B-AV', 'SRCC' is there twice"),
        ("group,row,", "group,raw,", "no column 'row'"),
        ("Audio-Visual LMMs,Qwen2.5-Omni-3B,Visual Perceptual Quality,SRCC", "Audio-Visual LMMs,,Visual Perceptual Quality,SRCC", "row 11: column 'row' is empty"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_file_is_named_by_its_row(
    folder: Path, old: str, new: str, said: str
) -> None:
    path = folder / "sfqa_table2.csv"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(UserError, match=re.escape(said)):
        load_published("sfqa_table2", folder)


def test_an_unknown_table_gets_the_nearest_name() -> None:
    with pytest.raises(UserError, match="did you mean 'sfqa_table2'"):
        load_published("sfqa_tabel2")


def test_the_files_are_tables_of_one_schema() -> None:
    for name in NAMES:
        store.to_arrow(tables.PUBLISHED, load_published(name).figures)


def call(*words: Any) -> int:
    return cli.main(["published", *map(str, words)])


def test_list_and_check_on_the_screen(capsys: Any) -> None:
    assert call("list") == 0
    out = capsys.readouterr().out
    assert all(name in out for name in NAMES)
    assert call("check", "sfqa_table2", "ntire2025_table1") == 0
    out = capsys.readouterr().out
    assert "LSE-D have 8 of 9 figures in common" in out
    assert "AVID-CMA" in out
    assert "lgvq" not in out


@pytest.mark.parametrize("suffix", ["md", "tex", "html", "csv"])
def test_show_writes_every_format(suffix: str, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / f"t.{suffix}"
    assert call("show", "aigc_vqa_table1", "--format", suffix, "--out", out) == 0
    text = out.read_text("utf-8")
    assert all(word in text for word in ("9.0221", "0.8241", "ViCLIP"))
    assert (r"\underline{0.7965}" in text) == (suffix == "tex")
    assert ("printed plain" in text) == (suffix != "csv")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["shwo"], "did you mean 'show'"),
        (["show"], "name a table"),
        (["show", "sfqa_table2", "--format", "pdf"], "--format pdf"),
        (["show", "sfqa_table2", "--page"], "--format tex"),
        (["compare", "sfqa_table2"], "--ours is needed"),
        (["compare", "sfqa_table2", "--ours", "nowhere"], "run the workflow"),
        (["list", "--ours", "x"], "--ours is an argument of 'compare'"),
        (["show", "sfqa_table2", "--format", "md", "--out", "x.tex"], ".md"),
    ],
)  # fmt: skip
def test_wrong_calls_are_told(words: list[str], said: str, capsys: Any) -> None:
    assert call(*words) == 2
    assert said in capsys.readouterr().err
