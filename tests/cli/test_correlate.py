"""``sfqa correlate``: the package's numbers for anyone's tables, and mistakes told as sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sfqa import cli, store, tables
from sfqa.correlation.significance import compute_steiger
from sfqa.identity import random_generator


def call(*words: Any) -> int:
    return cli.main(["correlate", *map(str, words)])


def scores(n: int = 60) -> pd.DataFrame:
    draw = random_generator("cli correlate")
    mos = np.round(draw.normal(50, 15, n), 2)
    return pd.DataFrame(
        {
            "video": [f"v{k:02d}.mp4" for k in range(n)],
            "MOS": mos,
            "good": np.round(mos + draw.normal(0, 5, n), 3),
            "fair": np.round(mos + draw.normal(0, 30, n), 1),
            "low": np.round(-mos + draw.normal(0, 15, n), 1),
            "portrait": [f"p{k % 12}" for k in range(n)],
            "made_by": [f"m{k % 5}" for k in range(n)],
        }
    )


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    frame = scores()
    frame[["video", "good", "fair", "low"]].to_csv(tmp_path / "pred.csv", index=False)
    frame[["video", "MOS", "portrait", "made_by"]].sample(frac=1, random_state=1).to_csv(
        tmp_path / "mos.csv", index=False
    )
    return tmp_path / "pred.csv", tmp_path / "mos.csv"


def test_the_numbers_are_scipys(files: Any, tmp_path: Path, capsys: Any) -> None:
    pred, mos = files
    out = tmp_path / "table.parquet"
    words = (pred, "--mos", mos, "--lower", "low", "--mapping", "none", "--out", out)
    assert call(*words, "--bootstrap", 200) == 0
    said = capsys.readouterr().out
    made = store.read(tables.CORRELATION, out).set_index("metric")
    frame = scores()
    assert set(made.index) == {"good", "fair", "low"}
    for name, sign in (("good", 1), ("fair", 1), ("low", -1)):
        x = sign * frame[name]
        assert made.loc[name, "srcc"] == pytest.approx(
            stats.spearmanr(x, frame["MOS"])[0], abs=1e-8
        )
        assert made.loc[name, "plcc"] == pytest.approx(stats.pearsonr(x, frame["MOS"])[0], abs=1e-8)
        assert made.loc[name, "krcc"] == pytest.approx(
            stats.kendalltau(x, frame["MOS"])[0], abs=1e-8
        )
        assert f"{made.loc[name, 'srcc']:.4f}".rstrip("0") in said
        assert made.loc[name, "srcc_low"] < made.loc[name, "srcc"] < made.loc[name, "srcc_high"]
    assert "percentile of 200 resamples of 60 samples" in said
    assert "PLCC and RMSE after none" in said
    # From high to low SRCC.
    assert said.index("\ngood") < said.index("\nlow") < said.index("\nfair")


def test_metrics_are_compared_with_each_other(files: Any, tmp_path: Path, capsys: Any) -> None:
    pred, mos = files
    out = tmp_path / "table.csv"
    assert call(pred, "--mos", mos, "--lower", "low", "--out", out, "--bootstrap", 300) == 0
    made = pd.read_csv(tmp_path / "table_significance.csv")
    own = made[made["statistic"] == "srcc"].set_index(["metric_a", "metric_b"])
    assert set(own.index) == {("good", "fair"), ("good", "low"), ("fair", "low")}
    row = own.loc[("good", "fair")]
    frame = scores()
    a, b = (stats.spearmanr(frame[name], frame["MOS"])[0] for name in ("good", "fair"))
    between = stats.spearmanr(frame["good"], frame["fair"])[0]
    assert row["z_steiger"] == pytest.approx(
        compute_steiger(a, b, between, 60, ranks=True)[0], abs=1e-6
    )
    assert bool(row["significant"])
    assert "SRCC differs significantly in 3 of 3 pairs" in capsys.readouterr().out


def test_files_with_one_score_each_are_named_after_themselves(tmp_path: Path) -> None:
    frame = scores()
    for name in ("good", "fair"):
        frame[["video", name]].rename(columns={name: "score"}).to_parquet(
            tmp_path / f"{name}.parquet"
        )
    frame[["video", "MOS"]].to_csv(tmp_path / "mos.csv", index=False)
    out = tmp_path / "t.csv"
    words = (tmp_path / "good.parquet", tmp_path / "fair.parquet", "--mos", tmp_path / "mos.csv")
    assert call(*words, "--out", out, "--bootstrap", 0) == 0
    made = pd.read_csv(out)
    assert list(made["metric"]) == ["fair", "good"]
    assert set(made["interval"]) == {"none: not asked for"}
    assert not (tmp_path / "t_significance.csv").exists()


def test_one_table_with_everything_groups_and_levels(tmp_path: Path, capsys: Any) -> None:
    scores().to_csv(tmp_path / "all.csv", index=False)
    out = tmp_path / "t.csv"
    words = ("--group", "portrait", "--method", "made_by", "--bootstrap", 200, "--out", out)
    assert call(tmp_path / "all.csv", *words) == 0
    made = pd.read_csv(out)
    assert set(made["metric"]) == {"good", "fair", "low"}
    assert set(made["level"]) == {"video", "model"}
    assert set(made.loc[made["level"] == "video", "interval"]) == {
        "percentile of 200 resamples of 12 portrait groups"
    }
    by_method = pd.read_csv(tmp_path / "t_by_method.csv")
    assert len(by_method) == 3 * 5
    frame = scores()
    own = frame[frame["made_by"] == "m2"]
    got = by_method[(by_method["metric"] == "good") & (by_method["method"] == "m2")].iloc[0]
    assert got["srcc"] == pytest.approx(stats.spearmanr(own["good"], own["MOS"])[0], abs=1e-8)
    assert "means of the column made_by" in capsys.readouterr().out


@pytest.mark.parametrize("label", ["--method", "--group"])
@pytest.mark.parametrize("missing", ["row", "score", "mos"])
def test_a_sample_that_does_not_count_needs_no_label(
    label: str, missing: str, tmp_path: Path, capsys: Any
) -> None:
    """Labels in the table of scores: a MOS row that nobody scored has none."""
    frame = scores()
    frame[["video", "MOS"]].to_csv(tmp_path / "mos.csv", index=False)
    kept = frame.iloc[:-4]
    kept[["video", "good", "made_by"]].to_csv(tmp_path / "kept.csv", index=False)
    pred = frame[["video", "good", "made_by"]].copy()
    if missing == "row":
        pred = pred.iloc[:-4]
    else:
        pred.loc[pred.index[-4:], "made_by"] = None
        rated = frame[["video", "MOS"]].copy()
        (pred if missing == "score" else rated).loc[
            frame.index[-4:], "good" if missing == "score" else "MOS"
        ] = np.nan
        rated.to_csv(tmp_path / "mos.csv", index=False)
    pred.to_csv(tmp_path / "pred.csv", index=False)
    frame.iloc[:-4][["video", "MOS"]].to_csv(tmp_path / "mos_kept.csv", index=False)
    tables_by_name = {}
    for name, mos in (("pred", "mos"), ("kept", "mos_kept")):
        words = (tmp_path / f"{name}.csv", "--mos", tmp_path / f"{mos}.csv", label, "made_by")
        assert call(*words, "--bootstrap", 100, "--out", tmp_path / f"{name}_t.csv") == 0
        tables_by_name[name] = pd.read_csv(tmp_path / f"{name}_t.csv")
        if label == "--method":
            by_method = pd.read_csv(tmp_path / f"{name}_t_by_method.csv")
            assert sorted(by_method["method"]) == [f"m{k}" for k in range(5)]
    columns = ["n", "srcc", "plcc", "krcc", "rmse", "srcc_low", "srcc_high"]
    pd.testing.assert_frame_equal(*(t[columns] for t in tables_by_name.values()))
    assert "4 samples without a score or without a MOS have no label" in capsys.readouterr().err


@pytest.mark.parametrize("label", ["--method", "--group"])
def test_a_sample_that_counts_needs_its_label(label: str, tmp_path: Path, capsys: Any) -> None:
    frame = scores()
    frame.loc[7, "made_by"] = None
    frame.to_csv(tmp_path / "all.csv", index=False)
    assert call(tmp_path / "all.csv", label, "made_by", "--bootstrap", 0) != 0
    assert "column made_by: the sample 'v07.mp4' has none; fill it" in capsys.readouterr().err


def test_a_mos_table_of_the_workflow_gives_its_dimensions(tmp_path: Path) -> None:
    frame = scores()
    rows = [
        {"sample_id": name, "dimension": d, "mos": m + 3 * (d == "b"), "synthetic": True, "status": "ok", "detail": ""}
        for d in ("a", "b")
        for name, m in zip(frame["video"], frame["MOS"], strict=True)
    ]  # fmt: skip
    store.write(tables.MOS, rows, tmp_path / "mos.parquet")
    frame[["video", "good"]].to_csv(tmp_path / "p.csv", index=False)
    out = tmp_path / "t.csv"
    words = (tmp_path / "p.csv", "--mos", tmp_path / "mos.parquet", "--bootstrap", 0, "--out", out)
    assert call(*words) == 0
    made = pd.read_csv(out)
    assert set(made["dimension"]) == {"a", "b", "overall"}
    assert made["synthetic_mos"].all()
    assert call(*words, "--dimension", "b") == 0
    assert set(pd.read_csv(out)["dimension"]) == {"b"}


def test_lost_samples_are_counted(tmp_path: Path, capsys: Any) -> None:
    frame = scores()
    frame.loc[3, "good"] = np.nan
    frame.loc[5:, ["video", "good"]].to_csv(tmp_path / "p.csv", index=False)
    frame.loc[:50, ["video", "MOS"]].to_csv(tmp_path / "m.csv", index=False)
    out = tmp_path / "t.csv"
    words = ("--mos", tmp_path / "m.csv", "--bootstrap", 0, "--out", out)
    assert call(tmp_path / "p.csv", *words) == 0
    said = capsys.readouterr().err
    assert "9 of 55 samples have no MOS row" in said
    assert "has no row for 5 of 51 samples with a MOS" in said
    row = pd.read_csv(out).iloc[0]
    assert row["n"] == 46
    assert row["detail"].startswith("dropped: 5 of 51 test rows have no score")


def test_a_constant_score_is_a_row_with_a_reason_and_a_status(tmp_path: Path, capsys: Any) -> None:
    frame = scores().assign(same=1.0)
    frame.to_csv(tmp_path / "p.csv", index=False)
    assert call(tmp_path / "p.csv", "--score", "same", "--score", "good", "--bootstrap", 100) == 1
    said = capsys.readouterr().out
    assert "same: failed, constant_scores: all 60 scores are equal" in said
    assert "same and good: undefined: same has no SRCC" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--mos-column", "MSO"], "mos.csv: no column 'MSO' (--mos-column); did you mean 'MOS'?"),
        (["--id", "vidoe"], "no column 'vidoe' (--mos-id); did you mean 'video'?"),
        (["--score", "god"], "pred.csv: no column 'god' (--score); did you mean 'good'?"),
        (["--lower", "lo"], "--lower lo: no such score; did you mean 'low'?"),
        (["--group", "portait"], "--group portait: no table has it; did you mean 'portrait'?"),
        (["--mapping", "logistic"], "no mapping 'logistic'; did you mean 'logistic"),
        (["--interval", "bc"], "no interval 'bc'; did you mean 'bca'?"),
        (["--bootstrap", "-1"], "--bootstrap -1: give 0 or more"),
        (["--dimension", "q"], "--dimension q: "),
        (["--out", "t.xlsx"], "--out t.xlsx: give a name that ends with .csv or .parquet"),
        (["--group", "a", "--group", "a"], "--group: name one or two different columns"),
    ],
)
def test_a_wrong_word_is_a_sentence(
    words: list[str], sentence: str, files: Any, capsys: Any
) -> None:
    pred, mos = files
    assert call(pred, "--mos", mos, *words) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert "\n" not in said.strip()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("video,good\nv00.mp4,1\nv01.mp4,x\n", "row 3, column good: 'x' is not a number"),
        ("video,good\nv00.mp4,1\nv00.mp4,2\n", "row 3, column video: 'v00.mp4' is also in row 2"),
        ("video,good\nv00.mp4,1\n,2\n", "row 3, column video: empty; name the sample"),
        ("video,good\nw.mp4,1\n", "none of its 1 samples ('w.mp4', ...) is in "),
        ("video,good\n", "the table has no rows"),
        (
            "clip,good\nv00.mp4,1\n",
            "none of its columns (clip, good) is called sample_id, id, video",
        ),
    ],
)
def test_a_wrong_cell_is_named(text: str, sentence: str, files: Any, capsys: Any) -> None:
    pred, mos = files
    pred.write_text(text)
    assert call(pred, "--mos", mos, "--score", "good") == 2
    assert sentence in capsys.readouterr().err


def test_a_column_of_words_alone_is_no_score(files: Any, capsys: Any) -> None:
    pred, mos = files
    pred.write_text("video,good\nv00.mp4,fine\n")
    assert call(pred, "--mos", mos) == 2
    assert "no column of numbers except video; name one with --score" in capsys.readouterr().err


@pytest.mark.shared
def test_thqa_known_numbers(shared_data: Path, tmp_path: Path) -> None:
    """algorithms.md, section 7."""
    known = {"clipiqa+": 0.512, "musiq-koniq": 0.493, "qalign": 0.432, "distance": -0.137}
    out = tmp_path / "t.csv"
    words = [word for name in known for word in ("--score", name)]
    table = shared_data / "thqa" / "features_and_mos.csv"
    assert call(table, "--id", "Image", "--mos-column", "Score", *words, "--out", out) == 0
    made = pd.read_csv(out).set_index("metric")
    for name, want in known.items():
        assert made.loc[name, "srcc"] == pytest.approx(want, abs=1e-3)
        assert made.loc[name, "srcc_low"] < want < made.loc[name, "srcc_high"]
