"""``sfqa plan``: the table in, the proof on the screen, the plan in the folder; growing it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sfqa import cli, store, tables
from sfqa.ratings.plan import make_plan
from sfqa.ratings.plan_check import describe_plan, verify_plan
from sfqa.ratings.screen.study_tables import read_plan
from sfqa.ratings.study_design import StudyDesign
from sfqa.tables import PLAN
from sfqa.user_tables import read_table


def samples(pairs: int = 12, methods: int = 3) -> pd.DataFrame:
    rows = [(f"p{p}_m{m}", f"m{m}", f"p{p}", "None" if p % 2 else "pop", 6.0 + p)
            for p in range(pairs) for m in range(methods)]  # fmt: skip
    rows += [(f"x{n}", "m0", "", "", 5.0) for n in range(4)]
    return pd.DataFrame(rows, columns=["sample_id", "method", "pair_id", "style", "seconds"])


def call(*words: Any) -> int:
    return cli.main(["plan", *map(str, words)])


@pytest.fixture
def table(tmp_path: Path) -> Path:
    samples().to_csv(tmp_path / "samples.csv", index=False)
    return tmp_path / "samples.csv"


def test_the_proof_is_printed_and_the_plan_written(
    table: Path, tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "study"
    words = ["--raters", 6, "--per-sample", 4, "--seed", 3, "--minutes", 8, "--training", "x0,x1",
             "--gold", "x2", "--traps", "x3", "--repeats", 0.1, "--warm-up", 1]  # fmt: skip
    assert call(table, *words, "--out", out) == 0
    said = capsys.readouterr()
    plan = store.read(PLAN, out / "plan.parquet")
    options: dict[str, Any] = {"training": ["x0", "x1"], "gold": ["x2"], "traps": ["x3"], "repeats_share": 0.1, "warm_up": 1, "minutes": 8}  # fmt: skip
    pd.testing.assert_frame_equal(
        plan, make_plan(samples(), 6, StudyDesign(4, **options), seed=3), check_dtype=False
    )
    assert said.out == describe_plan(plan, samples(), StudyDesign(4, minutes=8)) + "\n"
    assert (out / "plan.txt").read_text() == said.out
    assert "36 videos x 4 ratings = 144 presentations" in said.out
    assert "style (2)" in said.out
    assert "sfqa: wrote" in said.err
    assert str(out / "plan.parquet") in said.err
    assert len(read_plan(out / "plan.parquet")) == len(plan)  # the rating screen reads it


def test_cells_are_text(table: Path) -> None:
    frame = read_table(table, "samples").to_frame()
    assert set(frame["style"].dropna()) == {"None", "pop"}  # a style may be called so
    assert frame["style"].isna().sum() == 4
    assert frame["seconds"].iloc[0] == "6.0"


def test_a_look_without_a_folder(table: Path, tmp_path: Path, capsys: Any) -> None:
    before = sorted(tmp_path.iterdir())
    assert call(table, "--raters", "ann, ben", "--per-sample", 2, "--sd", 0.5) == 0
    said = capsys.readouterr()
    assert "plan of 2 raters" in said.out
    assert "standard deviation 0.50: given" in said.out
    assert said.err == ""
    assert sorted(tmp_path.iterdir()) == before


def test_a_study_grows_only_by_append(table: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "study"
    words = ["--raters", 4, "--per-sample", 2, "--training", "x0", "--out", out]
    assert call(table, *words) == 0
    old = store.read(PLAN, out / "plan.parquet")
    more = samples(12, 4)
    more.to_parquet(tmp_path / "more.parquet")
    assert call(tmp_path / "more.parquet", *words) == 2
    assert "--append adds the new videos to it" in capsys.readouterr().err
    pd.testing.assert_frame_equal(store.read(PLAN, out / "plan.parquet"), old)
    assert call(tmp_path / "more.parquet", *words, "--append") == 0
    assert f"added: 12 videos in 24 presentations, {len(old)} kept" in capsys.readouterr().out
    new = store.read(PLAN, out / "plan.parquet")
    kept = new.merge(old[["rater", "session", "position"]])
    pd.testing.assert_frame_equal(kept, old)
    assert verify_plan(new, more, StudyDesign(2), existing=old).problems == ()
    # Nothing new: nothing changes.
    content = (out / "plan.parquet").read_bytes()
    assert call(tmp_path / "more.parquet", *words, "--append") == 0
    assert (out / "plan.parquet").read_bytes() == content


def test_a_dataset_folder(tmp_path: Path, capsys: Any) -> None:
    rows = store.to_records(samples().drop(columns="seconds"))
    row: dict[str, Any] = {**dict.fromkeys(tables.SAMPLES.names), "shard": 0}
    store.write(tables.SAMPLES, [{**row, **r, "pair_id": r["pair_id"] or None, "style": r["style"] or None} for r in rows], tmp_path / "samples.parquet")  # fmt: skip
    assert call(tmp_path, "--raters", 2, "--per-sample", 1) == 2
    assert "videos.parquet: no such file; give a dataset whose videos" in capsys.readouterr().err
    video: dict[str, Any] = {**dict.fromkeys(tables.CONFORMED.names), "shard": 0, "duration_sec": 7.0, "status": "ok", "detail": ""}  # fmt: skip
    videos = [{**video, "sample_id": r["sample_id"], "method": r["method"]} for r in rows]
    videos[0] |= {"status": "failed", "detail": "broken: no frames", "duration_sec": None}
    store.write(tables.CONFORMED, videos, tmp_path / "conform" / "videos.parquet")
    assert call(tmp_path, "--raters", 2, "--per-sample", 1) == 0
    assert "39 videos x 1 ratings" in capsys.readouterr().out


def test_groups(table: Path, capsys: Any) -> None:
    assert call(table, "--raters", 6, "--per-sample", 2, "--groups", 3) == 0
    said = capsys.readouterr().out
    assert "groups: 3 without shared videos" in said
    assert "same pair: no rater sees two videos of a pair" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--raters", "4"], "the following arguments are required: --per-sample"),
        (["--raters", "4", "--per-sample", "5"], "5 ratings per sample cannot come from 4 raters"),
        (["--raters", "0", "--per-sample", "1"], "no rater"),
        (["--raters", "a b", "--per-sample", "1"], "'a b' is not a valid name"),
        (["--raters", "4", "--per-sample", "2", "--gold", "nobody"], "gold: no sample 'nobody'"),
        (["--raters", "4", "--per-sample", "2", "--append"], "--append needs --out"),
        (["--raters", "4", "--per-sample", "2", "--append", "--out", "."], "drop --append for a new study"),
        (["--raters", "4", "--per-sample", "2", "--out", "no/where"], "there is no folder"),
        (["--raters", "4", "--per-sample", "2", "--scale", "5"], "--scale 5: give its two ends"),
        (["--raters", "4", "--per-sample", "2", "--sd", "0"], "--sd 0: give a number above 0"),
        (["--raters", "4", "--per-sample", "2", "--warmup", "1"], "did you mean '--warm-up'?"),
    ],
)  # fmt: skip
def test_wrong_calls(
    table: Path, words: list[str], sentence: str, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.chdir(table.parent)
    assert call(table, *words) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.out == ""


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", "sample_id,method\na,m\n", "the samples have no column 'seconds'"),
        ("a.csv", "sample_id,method,duration_sec\na,m,long\n", "row 2, column duration_sec: 'long' is not a number"),
        ("a.csv", "sample_id,method,seconds\na,m,3\na,n,3\n", "the sample 'a' has two rows"),
        ("a.csv", "", "the file is empty"),
        ("a.parquet", "no parquet", "not a Parquet file"),
        ("a.xlsx", "x", "must be .csv, .tsv or .parquet"),
    ],
)  # fmt: skip
def test_bad_tables(tmp_path: Path, name: str, content: str, sentence: str, capsys: Any) -> None:
    (tmp_path / name).write_text(content)
    assert call(tmp_path / name, "--raters", 2, "--per-sample", 1) == 2
    assert sentence in capsys.readouterr().err
    assert call(tmp_path / "absent.csv", "--raters", 2, "--per-sample", 1) == 2
    assert "there is no such table of samples" in capsys.readouterr().err


def test_a_table_of_own_videos_makes_all_that_the_screen_needs(tmp_path: Path, capsys: Any) -> None:
    import cv2
    import numpy as np

    from sfqa import media
    from sfqa.ratings.screen.server import Server

    videos = tmp_path / "my" / "videos"
    videos.mkdir(parents=True)
    for n in range(3):
        media.write_video(
            videos / f"v{n}.mp4", [np.full((64, 64, 3), 60 * n, np.uint8)] * (5 + 5 * n), 25.0
        )
    cv2.imwrite(str(videos / "a.png"), np.zeros((8, 8, 3), np.uint8))
    table, out = tmp_path / "my" / "own.csv", tmp_path / "study"
    rows = "videos/v0.mp4,A song,videos/a.png\nvideos/v1.mp4,,\nvideos/v2.mp4,,\n"
    table.write_text("video,title,image\n" + rows)
    assert call(table, "--raters", 2, "--per-sample", 2, "--out", out) == 0
    assert {p.name for p in out.iterdir()} == {"plan.parquet", "plan.txt", "media.parquet", "study.yaml"}  # fmt: skip
    plan = store.read(PLAN, out / "plan.parquet")
    seconds = dict(zip(plan["sample_id"], plan["seconds"], strict=True))
    assert seconds == pytest.approx({"v0": 0.2, "v1": 0.4, "v2": 0.6}, abs=0.02)
    server = Server(out)
    assert server.state.media["v0"].title == "A song"
    assert server.state.media["v0"].files["image"].is_file()
    assert set(server.state.media["v1"].files) == {"video"}
    server.reader.close()
    # A larger table later: earlier videos keep their rows, own changes of study.yaml stay.
    (out / "study.yaml").write_text("dimensions: [{name: mine}]\n")
    table.write_text("video,seconds\nvideos/v2.mp4,9\nvideos/v0.mp4,0.2\nvideos/v1.mp4,\n")
    assert call(table, "--raters", 2, "--per-sample", 2, "--out", out, "--append") == 0
    assert (out / "study.yaml").read_text() == "dimensions: [{name: mine}]\n"
    capsys.readouterr()
    for content, sentence in (
        ("video\nvideos/v9.mp4\n", "row 2, column video: no file 'videos/v9.mp4'"),
        ("video\nown.csv\n", "row 2, column video: 'own.csv' cannot be read as a video"),
        ("video,image\nvideos/v0.mp4,none.png\n", "row 2, column image: no file 'none.png'"),
    ):
        table.write_text(content)
        assert call(table, "--raters", 2, "--per-sample", 2) == 2
        assert sentence in capsys.readouterr().err


def test_a_table_without_videos_says_what_is_missing(table: Path, tmp_path: Path, capsys: Any) -> None:  # fmt: skip
    assert call(table, "--raters", 2, "--per-sample", 2, "--out", tmp_path / "study") == 0
    assert "has no column video" in capsys.readouterr().err
    assert call(table, "--raters", 2, "--per-sample", 2, "--study", "sfqb") == 2
    assert "did you mean 'sfqa'?" in capsys.readouterr().err


def test_a_dataset_makes_all_that_the_screen_needs(tmp_path: Path) -> None:
    from sfqa.ratings.screen.server import Server

    dataset = tmp_path / "results" / "small"
    names = ("a__sharp", "b__sharp")
    row: dict[str, Any] = {**dict.fromkeys(tables.SAMPLES.names), "shard": 0, "method": "sharp"}
    rows = [{**row, "sample_id": n, "style": "pop", "language": "zh"} for n in names]
    store.write(tables.SAMPLES, rows, dataset / tables.SAMPLES.path)
    video: dict[str, Any] = {**dict.fromkeys(tables.CONFORMED.names), "shard": 0, "method": "sharp", "duration_sec": 7.0, "status": "ok", "detail": ""}  # fmt: skip
    videos = [{**video, "sample_id": n, "path": f"results/small/{n}.mp4"} for n in names]
    store.write(tables.CONFORMED, videos, dataset / tables.CONFORMED.merged_path)
    for name in names:
        (dataset / f"{name}.mp4").write_bytes(b"x")
    out = dataset / "ratings" / "study"
    assert call(dataset, "--raters", 2, "--per-sample", 2, "--out", out) == 0
    server = Server(out)
    assert server.study.dimensions == ("visual_quality", "audio_visual_consistency")
    media = server.state.media["a__sharp"]
    assert (media.style, media.language, set(media.files)) == ("pop", "zh", {"video"})
    server.reader.close()
