"""Our figures beside the published ones: paired by name, and what is missing said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sfqa import cli, store, tables
from sfqa.errors import UserError
from sfqa.papers.comparison import (
    build_comparison_grid,
    compare_with_ours,
    select_protocol,
    split_matched,
)
from sfqa.papers.published import load_published


def cli_call(*words: Any) -> int:
    return cli.main(["published", *map(str, words)])


def ours() -> pd.DataFrame:
    rows = []
    for metric, srcc, weights in (
        ("fast_vqa", 0.70, "random"),
        ("LSE-C", 0.2, "official"),
        ("mine", 0.5, "none"),
    ):
        for dimension, move in (
            ("visual_quality", 0.0),
            ("audio_visual_consistency", 0.1),
            ("overall", 0.05),
        ):
            for protocol, pooling, level in (("disjoint", "mean", "video"), ("random", "mean", "video"), ("disjoint", "pooled", "video"), ("disjoint", "pooled", "model")):  # fmt: skip
                good = metric != "LSE-C" or dimension != "overall"
                rows.append(
                    {
                        "metric": metric, "group": "g", "kind": "zero_shot", "dimension": dimension,
                        "protocol": protocol, "level": level, "pooling": pooling, "trials": 1, "n": 9,
                        "srcc": srcc + move + 0.01 * (protocol == "random") if good else None,
                        "plcc": srcc, "krcc": srcc - 0.1, "rmse": 9.0, "mapping": "logistic-4",
                        "weights": weights, "synthetic_mos": False,
                        "status": "ok" if good else "flawed", "detail": "" if good else "few: 3 of 9",
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


def cell(frame: pd.DataFrame, row: str, dimension: str, statistic: str = "SRCC") -> dict[str, Any]:
    own = frame[
        (frame["row"] == row)
        & (frame["dimension"] == dimension)
        & (frame["statistic"] == statistic)
    ]
    assert len(own) == 1
    return store.to_records(own)[0]


def test_same_named_metrics_stand_side_by_side() -> None:
    rows, protocol = select_protocol(ours())
    assert protocol == "disjoint"
    frame = compare_with_ours(load_published("sfqa_table2"), rows)
    found = cell(frame, "FAST-VQA", "visual_quality")
    assert (found["published"], found["ours"], found["metric"]) == (0.7165, 0.70, "fast_vqa")
    assert found["difference"] == pytest.approx(-0.0165)
    assert cell(frame, "VALOR", "overall")["detail"] == "no metric of that name"
    assert cell(frame, "LSE-C", "overall")["detail"] == "few: 3 of 9"
    assert frame["ours"].notna().sum() == 2 * 9 - 1
    assert len(frame) == 126


def test_names_and_dimensions_can_be_told() -> None:
    rows, _ = select_protocol(ours(), "random")
    renamed = rows.replace({"dimension": {"visual_quality": "looks"}})
    frame = compare_with_ours(
        load_published("sfqa_table2"), renamed, {"VALOR": "mine"}, {"visual_quality": "looks"}
    )
    assert cell(frame, "VALOR", "visual_quality")["ours"] == pytest.approx(0.51)
    lost = compare_with_ours(load_published("sfqa_table2"), renamed)
    assert (
        cell(lost, "FAST-VQA", "visual_quality")["detail"]
        == "fast_vqa: no row of visual_quality at video level"
    )
    with pytest.raises(UserError, match="no metric 'VALORR'; did you mean 'VALOR'"):
        compare_with_ours(load_published("sfqa_table2"), rows, {"VALORR": "mine"})


def test_the_view_says_what_is_missing_and_what_is_random() -> None:
    rows, _ = select_protocol(ours())
    grid = build_comparison_grid(compare_with_ours(load_published("sfqa_table2"), rows), "C.")
    assert len(grid.rows) == 14 * 3
    line = next(row for row in grid.rows if row[1].text == "FAST-VQA")
    assert line[1].badge == "random weights"
    assert [c.text for c in line[3:6]] == ["0.7165", "0.7000", "-0.0165"]
    assert any("Random weights" in text for text in grid.warnings)
    missing = next(row for row in grid.rows if row[1].text == "VALOR")
    assert [c.text for c in missing[3:6]] == ["0.8064", "n/a", "n/a"]
    assert "no metric of that name" in grid.notes


def test_compare_reads_the_results_of_the_workflow(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "demo" / "correlation" / "correlation.parquet"
    frame = ours().reindex(columns=tables.CORRELATION.names)
    for column in tables.CORRELATION.columns:
        if not column.nullable and frame[column.name].isna().any():
            frame[column.name] = "" if str(column.type) == "string" else 0
    store.write(tables.CORRELATION, frame, path)
    assert cli_call("compare", "sfqa_table2", "--ours", tmp_path / "demo") == 0
    out = capsys.readouterr().out
    assert (
        "| FAST-VQA **(random weights)** | Visual Perceptual Quality | 0.7165 | 0.7000 | -0.0165 |"
        in out
    )
    assert "protocol disjoint" in out
    args = ("compare", "sfqa_table2", "--ours", path, "--protocol", "random", "--format", "csv")
    assert cli_call(*args) == 0
    assert "FAST-VQA,fast_vqa,Visual Perceptual Quality" in capsys.readouterr().out
    # A configuration says which row of ours is which of the paper; the first one counts.
    published = {"published": [{"table": "sfqa_table2", "row": "DOVER"}]}
    rows = {"fast_vqa": {"model": "FAST-VQA", **published}, "DOVER": published, "UGVQ": {}}
    config = {"dataset": "d", "mode": "import_videos", "import": {"sheet": "v.csv"}}
    (tmp_path / "my.yaml").write_text(json.dumps({**config, "regression": {"models": rows}}))
    assert cli_call(*args, "--config", tmp_path / "my.yaml") == 0
    assert "DOVER,fast_vqa,Visual Perceptual Quality" in capsys.readouterr().out
    assert cli_call("show", "sfqa_table2", "--config", tmp_path / "my.yaml") != 0
    assert "--config is an argument of 'compare', not of 'show'" in capsys.readouterr().err


def test_the_main_score_of_a_challenge_is_that_of_our_srcc_and_plcc() -> None:
    row = {
        "metric": "FocusQ", "group": "g", "kind": "regressor", "dimension": "quality",
        "protocol": "official", "level": "video", "pooling": "mean", "trials": 1, "n": 90,
        "srcc": -0.7, "plcc": 0.8, "krcc": 0.5, "rmse": 9.0, "mapping": "cubic",
        "weights": "official", "synthetic_mos": False, "status": "ok", "detail": "",
    }  # fmt: skip
    frame = compare_with_ours(load_published("ntire2025_table3"), pd.DataFrame([row]))
    found = cell(frame, "FocusQ", "quality", "Main Score")
    assert (found["published"], found["ours"]) == (0.7921, pytest.approx(0.75))
    unknown = compare_with_ours(
        load_published("ntire2025_table3"), pd.DataFrame([row | {"plcc": None}])
    )
    assert cell(unknown, "FocusQ", "quality", "Main Score")["ours"] is None or pd.isna(
        cell(unknown, "FocusQ", "quality", "Main Score")["ours"]
    )


def test_lines_without_ours_are_one_sentence() -> None:
    rows, _ = select_protocol(ours())
    frame = compare_with_ours(load_published("sfqa_table2"), rows)
    matched, sentence = split_matched(frame)
    assert set(matched["row"]) == {"FAST-VQA", "LSE-C"}
    assert sentence.startswith("36 of 42 lines have no figure of ours (no metric of that name")
    assert "VALOR" in sentence
    assert split_matched(matched)[1] == ""


def test_the_protocol_of_all_videos_is_chosen_only_if_there_is_no_other() -> None:
    rows = ours().replace({"protocol": {"disjoint": "official", "random": "all"}})
    assert select_protocol(rows)[1] == "official"
    only = rows[rows["protocol"] == "all"]
    assert select_protocol(only)[1] == "all"


def test_trials_without_numbers_are_compared_at_once() -> None:
    rows = ours()
    rows.loc[rows["pooling"] == "mean", "srcc"] = None
    selected, _ = select_protocol(rows)
    assert set(selected["pooling"]) == {"pooled"}


def test_text_for_a_terminal_and_a_csv_beside_a_file(tmp_path: Path, capsys: Any) -> None:
    assert cli_call("show", "sfqa_table2", "--width", "80") == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "Syncnet" in lines
    out = tmp_path / "table.tex"
    assert cli_call("show", "sfqa_table2", "--out", out) == 0
    assert out.read_text().startswith("% needs")
    assert "VALOR" in (tmp_path / "table.csv").read_text()
    assert cli_call("show", "sfqa_table2") == 0  # a pipe gets Markdown
    assert "| Audio-Visual LMMs |" in capsys.readouterr().out


def test_ours_are_pooled_as_the_main_table(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "correlation" / "correlation.parquet"
    frame = ours().reindex(columns=tables.CORRELATION.names)
    for column in tables.CORRELATION.columns:
        if not column.nullable and frame[column.name].isna().any():
            frame[column.name] = "" if str(column.type) == "string" else 0
    store.write(tables.CORRELATION, frame, path)
    for pooling, words in (("pooled", "all test samples at once"), ("mean", "means over the")):
        path.with_name("metrics.csv").write_text(f"metric,pooling\nx,{pooling}\n")
        assert cli_call("compare", "sfqa_table2", "--ours", tmp_path) == 0
        assert f"video level: {words}" in capsys.readouterr().out
