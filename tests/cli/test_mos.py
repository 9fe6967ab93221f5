"""``sfqa mos``: the numbers of the package for anyone's table, on the screen and in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from csv_files import read_csv
from sfqa import cli, store, tables
from sfqa.cli import mos as command
from sfqa.ratings.mos import METHOD_NAMES, compute_mos
from sfqa.ratings.rater_report import report_raters
from sfqa.ratings.reliability import compute_reliability
from sfqa.tables import LABEL_DIFFERENCES, RATER_REPORT, RELIABILITY


def call(*words: Any) -> int:
    return cli.main(["mos", *map(str, words)])


def scores(synthetic: bool = False) -> pd.DataFrame:
    draw = np.random.default_rng(1)
    rows = [
        (f"r{k}", f"p{p}_{m}", d, float(np.clip(lead + draw.integers(-1, 2), 1, 5)), synthetic)
        for k in range(9)
        for p in range(6)
        for m, lead in (("low", 2), ("high", 4))
        for d in ("sync", "visual")
    ]
    return pd.DataFrame(rows, columns=tables.SCORES.names)


def labels() -> pd.DataFrame:
    rows = [(f"p{p}_{m}", f"p{p}", m, "pop" if p % 2 else "rap") for p in range(6) for m in ("low", "high")]  # fmt: skip
    return pd.DataFrame(rows, columns=["sample_id", "pair_id", "method", "style"])


@pytest.fixture
def table(tmp_path: Path) -> Path:
    scores().drop(columns="synthetic").to_csv(tmp_path / "scores.csv", index=False)
    return tmp_path / "scores.csv"


def test_every_method_has_its_line() -> None:
    assert set(command._METHODS) | {"sfqa", "raw"} == set(METHOD_NAMES)


@pytest.mark.thorough
@pytest.mark.parametrize("method", METHOD_NAMES)
def test_the_numbers_are_those_of_the_package(
    method: str, table: Path, tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "mos.parquet"
    assert call(table, "--method", method, "--out", out) == 0
    said = capsys.readouterr().out
    rows, raters = compute_mos(scores(), method)
    assert store.to_records(store.read(tables.MOS, out)) == sorted(rows, key=lambda r: (r["sample_id"], r["dimension"]))  # fmt: skip
    report = store.to_arrow(RATER_REPORT, report_raters(scores(), pd.DataFrame(raters)))
    assert store.to_arrow(RATER_REPORT, store.read(RATER_REPORT, tmp_path / "mos_raters.parquet")).equals(report)  # fmt: skip
    trust = store.to_arrow(RELIABILITY, compute_reliability(scores(), (1.0, 5.0)))
    assert store.to_arrow(RELIABILITY, store.read(RELIABILITY, tmp_path / "mos_reliability.parquet")).equals(trust)  # fmt: skip
    line = f"{rows[0]['sample_id']}   sync       {rows[0]['mos']:.6g}"
    assert line.split() == next(one for one in said.splitlines() if one.startswith(rows[0]["sample_id"])).split()[:3]  # fmt: skip


def test_wide_matrix_and_long_tables_give_the_same(
    table: Path, tmp_path: Path, capsys: Any
) -> None:
    one = scores()[scores()["dimension"] == "sync"]
    wide = one.pivot(index="sample_id", columns="rater", values="score")
    wide.to_csv(tmp_path / "wide.csv")
    wide.to_csv(tmp_path / "matrix.csv", header=False, index=False)
    side = scores().pivot(index=["rater", "sample_id"], columns="dimension", values="score")
    side.reset_index().rename(columns={"rater": "who"}).to_csv(tmp_path / "side.csv", index=False)
    found = {}
    for name, words in {
        "scores": (),
        "wide": ("--wide", "--name", "sync"),
        "matrix": ("--matrix", "--name", "sync"),
        "side": ("--rater", "who", "--score", "sync=sync", "--score", "visual=visual"),
    }.items():
        out = tmp_path / "out" / f"{name}.csv"
        out.parent.mkdir(exist_ok=True)
        assert call(tmp_path / f"{name}.csv", *words, "--out", out) == 0
        rows = [row for row in read_csv(out) if row["dimension"] == "sync"]
        found[name] = [(row["mos"], row["n"], row["ci95_low"]) for row in rows]
    assert found["wide"] == found["matrix"] == found["scores"] == found["side"]
    capsys.readouterr()


def test_screening_is_an_option(table: Path, tmp_path: Path, capsys: Any) -> None:
    """Two of 39 ratings stray, which are less than 5 % of all 48 samples."""
    rows = ["1,1,1,1,5", "5,5,5,5,1", *["2,3,2,3,2"] * 37, *["2,3,2,3,"] * 9]
    (tmp_path / "m.csv").write_text("\n".join(rows) + "\n")
    words = [tmp_path / "m.csv", "--matrix", "--method", "bt500"]
    assert call(*words) == 0
    assert "quality, r005: flawed, strays: 2 of 39 ratings stray" in capsys.readouterr().out
    assert call(*words, "--screening", "own_ratings") == 0
    assert "quality, r005: flawed, screened_out: 2 of 39" in capsys.readouterr().out
    assert call(*words, "--screening", "own") != 0
    assert "--screening own: no such rule" in capsys.readouterr().err


def test_labels_tags_and_figures(table: Path, tmp_path: Path, capsys: Any) -> None:
    labels().to_csv(tmp_path / "labels.csv", index=False)
    (tmp_path / "tags.csv").write_text("pair_id,profile\n" + "".join(f"p{p},{'yes' if p < 3 else 'no'}\n" for p in range(6)))  # fmt: skip
    words = ["--labels", tmp_path / "labels.csv", "--tags", tmp_path / "tags.csv"]
    assert call(table, *words, "--out", tmp_path / "m.csv", "--figures", tmp_path / "f") == 0
    said = capsys.readouterr()
    assert "method, sync: 1 of 1" in said.out
    assert "profile, sync: 0 of 1" in said.out
    assert "SYNTHETIC" not in said.out
    kinds = {row["label_kind"] for row in read_csv(tmp_path / "m_by_label.csv")}
    assert kinds == {"method", "style", "profile"}
    rows = read_csv(tmp_path / "m_differences.csv")
    assert list(rows[0]) == LABEL_DIFFERENCES.names
    assert len(rows) == 6
    names = {path.name for path in (tmp_path / "f").iterdir()}
    drawn = ("mos", "raters", "sos", "mos_by_label", "distributions", "differences_method", "differences_style", "differences_profile")  # fmt: skip
    assert names == {f"{name}.{end}" for name in drawn for end in ("png", "svg")}
    assert said.err.count("sfqa: wrote") == 2


def test_simulated_ratings_say_so(tmp_path: Path, capsys: Any) -> None:
    store.write(tables.SCORES, scores(synthetic=True), tmp_path / "scores.parquet")
    out = tmp_path / "mos.csv"
    assert call(tmp_path / "scores.parquet", "--out", out, "--figures", tmp_path / "f") == 0
    assert "SYNTHETIC: ratings of simulated raters, not of people" in capsys.readouterr().out
    assert {row["synthetic"] for row in read_csv(out)} == {"True"}
    assert "synthetic ratings" in (tmp_path / "f" / "mos.svg").read_text()


def test_what_is_odd_is_told(tmp_path: Path, capsys: Any) -> None:
    rows = [f"{s},{1 + n % 5},{1 + n % 5},3" for n, s in enumerate("abcdefghij")] + ["lone,,,3"]
    (tmp_path / "w.csv").write_text("video,ann,ben,cat\n" + "\n".join(rows) + "\n")
    words = [tmp_path / "w.csv", "--wide", "--sample", "video", "--rows", 2]
    assert call(*words, "--method", "zscore") == 1  # the lone sample has no MOS
    said = capsys.readouterr().out
    assert "... and 9 more" in said
    assert "lone, quality: failed, no_ratings: of 1 ratings all of them were left out" in said
    assert "quality, cat: flawed, constant: gave 3 to all of 11 samples, so has no z-score" in said
    assert call(*words, "--method", "mean") == 0
    assert "lone, quality: flawed, one_rating" in capsys.readouterr().out
    assert call(*words, "--method", "mean", "--without", "cat", "--rows", 0) == 0
    said = capsys.readouterr().out
    assert "cat" not in said
    assert "more" not in said


def test_details_of_the_screen(table: Path, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "d.csv").write_text(
        "rater,session,position,role,sample_id,dimension,score,video_sec,play_sec\n"
        "r0,1,1,test,p0_low,sync,2,10,10\nr0,1,2,repeat,p0_low,sync,5,10,20\n"
        "r0,1,3,gold,g,sync,5,10,10\n"
    )
    (tmp_path / "a.csv").write_text("sample_id,dimension,expected,tolerance\ng,sync,1,1\n")
    words = ["--details", tmp_path / "d.csv", "--answers", tmp_path / "a.csv"]
    assert call(table, *words, "--out", tmp_path / "m.csv") == 0
    row = read_csv(tmp_path / "m_raters.csv")[0]
    assert (row["repeat_difference"], row["gold"], row["gold_passed"]) == ("3.0", "1", "0")
    assert row["over_played"] == str(1 / 3)
    assert "gold_failed" in capsys.readouterr().out
    (tmp_path / "a.csv").write_text("sample_id,dimension,expected,tolerance\ng,sync,one,1\n")
    assert call(table, *words) == 2
    assert "a.csv, row 2, column expected: 'one'" in capsys.readouterr().err


def test_scales(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "s.csv"
    path.write_text("rater,sample_id,score\n" + "".join(f"r{k},s{n},{20 * n + k}\n" for k in range(3) for n in range(5)))  # fmt: skip
    for words, told in (
        ((), "raw scale 0 to 82"),
        (("--scale", "0,100"), "raw scale 1 to 5"),
        (("--scale", "0,100", "--to", "0,10"), "raw scale 0 to 10"),
    ):
        assert call(path, "--method", "mean", "--out", tmp_path / "m.csv", *words) == 0
        assert told in capsys.readouterr().out
    assert [float(row["mos"]) for row in read_csv(tmp_path / "m.csv")] == pytest.approx([0.1, 2.1, 4.1, 6.1, 8.1])  # fmt: skip


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--method", "p91"], "--method p91: no such method; did you mean 'p913'?"),
        (["--rows", "-1"], "--rows -1: give 0 (all) or more"),
        (["--out", "mos.xlsx"], "give a name that ends with .csv or .parquet"),
        (["--out", "no/where.csv"], "there is no folder"),
        (["--figures", "scores.csv"], "this is a file; give a folder"),
        (["--without", "r99"], "--without r99: no such rater"),
        (["--tags", "t.csv"], "--tags needs --labels"),
        (["--answers", "a.csv"], "--answers needs --details"),
        (["--labels", "scores.csv"], "the sample 'p0_low' has two rows"),
        (["--wide", "--matrix"], "--wide and --matrix: choose one of the two"),
        (
            ["--wide", "--rater", "x", "--sample", "y"],
            "--wide --rater (one row per rater) does not use",
        ),
        (["--wide", "--sample", "x", "--score", "y"], "--wide does not use --score"),
        (["--ignore", "x"], "a long table does not use --ignore"),
        (["--score", "a", "--score", "b=c"], "each must be DIMENSION=COLUMN"),
        (["--score", "a=b", "--score", "a=c"], "the dimension 'a' has a column already"),
        (["--scale", "a=1,5", "--scale", "1,5"], "each must be DIMENSION=WORST,BEST"),
        (["--scale", "x"], "--scale x: give WORST,BEST"),
        (["--score", "mark"], "no column 'mark'; the columns are rater, sample_id"),
        (["--to", "0,100"], "'to' needs the 'scale' of the scores"),
    ],
)
def test_wrong_calls(
    table: Path, words: list[str], sentence: str, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.chdir(table.parent)
    assert call(table, *words) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.out == ""


@pytest.mark.shared
def test_published_numbers(shared_data: Path, tmp_path: Path, capsys: Any) -> None:
    folder, out = shared_data / "ratings", tmp_path / "m.csv"
    wanted = {"mean": 1.401222020, "bt500": 1.4215819259734015, "p913": 1.471343859, "p910": 1.435548566}  # fmt: skip
    for method, variance in wanted.items():
        words = [folder / "nflx_public_79x26.csv", "--matrix", "--method", method, "--out", out]
        assert call(*words) == 0
        values = [float(row["mos"]) for row in read_csv(out)]
        assert np.var(values) == pytest.approx(variance, abs=1e-9)
    words = ["--rater", "worker_id", "--sample", "model_type", "--sample", "item_id"]
    assert call(folder / "dsg_tifa160_anns.csv", *words, "--score", "answer", "--method", "bt500", "--out", out) == 0  # fmt: skip
    frame = pd.read_csv(out)
    assert frame["mos"].mean() == pytest.approx(3.8627, abs=5e-5)
    models = frame.groupby(frame["sample_id"].str.split("/").str[0])["mos"].mean()
    assert models["sd2dot1"] == pytest.approx(4.1456, abs=5e-5)
    assert not pd.read_csv(tmp_path / "m_raters.csv")["rejected"].any()
    capsys.readouterr()
