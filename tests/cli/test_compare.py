"""sfqa models compare: the differences of two tables, video by video."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from sfqa.cli import main
from sfqa.cli._compare import Scores, list_differences, match_dimensions


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = main(["models", "compare", *arguments])
    printed = capsys.readouterr()
    return status, printed.out + printed.err


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Path, Path]:
    first = pd.DataFrame({"sample_id": list("abcde"), "score": [0.1, 0.2, 0.3, 0.4, 0.5]})
    second = pd.DataFrame(
        {"sample_id": list("abcde"), "score": [0.1, 0.25, 0.28, None, 0.5],
         "detail": ["", "", "", "exit_code: it ended with exit code 1", ""]}
    )  # fmt: skip
    first.to_parquet(tmp_path / "ours.parquet")
    second.to_csv(tmp_path / "theirs.csv", index=False)
    return tmp_path / "ours.parquet", tmp_path / "theirs.csv"


def test_two_tables_video_by_video(capsys, tables, tmp_path):
    first, second = tables
    out = tmp_path / "differences.csv"
    status, text = run(capsys, f"{first}:score", f"{second}:score", "--out", str(out))
    assert status == 0
    assert "scores of both: 4" in text
    assert "largest absolute difference: 0.05 (b)" in text
    assert "mean difference: 0.0075" in text
    assert "SRCC between both: 1.0000" in text
    assert "without a score of theirs:score: 1" in text
    assert "d: exit_code: it ended with exit code 1" in text
    written = pd.read_csv(out)
    assert list(written.columns) == ["sample_id", "ours:score", "theirs:score", "difference"]
    assert written["difference"].tolist() == pytest.approx([0, 0.05, -0.02, 0])


def test_predictions_are_compared_in_each_dimension(capsys, tmp_path):
    rows = [
        {"sample_id": s, "dimension": d, "protocol": "p", "part": part, "trial": t,
         "prediction": v + t, "detail": ""}
        for s, v in (("a", 1.0), ("b", 2.0)) for d in ("visual", "sync") for t in (0, 1)
        for part in ("test",)
    ]  # fmt: skip
    pd.DataFrame(rows).to_parquet(tmp_path / "first.parquet")
    changed = [
        row | {"prediction": row["prediction"] + (row["dimension"] == "sync")} for row in rows
    ]
    pd.DataFrame(changed).to_parquet(tmp_path / "second.parquet")
    out = tmp_path / "d.md"
    files = [str(tmp_path / f"{name}.parquet") for name in ("first", "second")]
    status, text = run(capsys, *files, "--out", str(out))
    assert status == 0
    assert "scores of both: 4" in text
    assert "| a | sync | 1.5 | 2.5 | 1 |" in out.read_text()
    assert "| a | visual | 1.5 | 1.5 | 0 |" in out.read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["DOVER", "x.csv:score"], "'DOVER' is a model of a configuration; add --config FILE"),
        (["no.csv:score", "no.csv:score"], "there is no table no.csv"),
    ],
)
def test_mistakes_are_sentences(capsys, arguments, sentence):
    status, text = run(capsys, *arguments)
    assert status != 0
    assert sentence in text


def test_a_column_that_is_not_there_and_no_video_in_common(capsys, tables, tmp_path):
    first, second = tables
    status, text = run(capsys, f"{first}:scor", f"{second}:score")
    assert (status != 0, "no column 'scor'; did you mean 'score'?" in text) == (True, True)
    pd.DataFrame({"sample_id": ["z"], "score": [1.0]}).to_csv(tmp_path / "other.csv", index=False)
    status, text = run(capsys, f"{first}:score", f"{tmp_path / 'other.csv'}:score")
    assert status != 0
    assert "have no video in common with a score (5 and 1 scores)" in text


def test_one_score_for_all_dimensions_is_compared_with_each():
    first = Scores("A", {("v", "picture"): 1.0, ("v", "sound"): 2.0})
    second = Scores("B", {("v", ""): 1.5}, {("w", ""): "silent"})
    match_dimensions(first, second)
    rows = list_differences(first, second)
    assert [(row["dimension"], row["difference"]) for row in rows] == [
        ("picture", 0.5), ("sound", -0.5)
    ]  # fmt: skip
    assert second.reasons == {("w", "picture"): "silent", ("w", "sound"): "silent"}
