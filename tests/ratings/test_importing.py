"""Scores from the user's tables: long and wide, CSV and Parquet, and every mistake by its place."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from sfqa import store, tables
from sfqa.errors import UserError
from sfqa.ratings.importing import import_scores

LONG = {"rater": "who", "sample_id": "video", "score": "mark"}


def long_csv(folder: Path, text: str) -> dict[str, str]:
    path = folder / "long.csv"
    path.write_text(text, encoding="utf-8")
    return {"table": str(path), **LONG}


def test_long_with_a_dimension_column(tmp_path: Path) -> None:
    source = long_csv(tmp_path, "\ufeffvideo,who,mark,what\nv1,anna,4.5,q\nv1,anna, 2 ,s\n\n\n")
    rows = import_scores({**source, "dimension": "what"})
    assert rows == [
        {"rater": "anna", "sample_id": "v1", "dimension": "q", "score": 4.5, "synthetic": False},
        {"rater": "anna", "sample_id": "v1", "dimension": "s", "score": 2.0, "synthetic": False},
    ]
    store.to_arrow(tables.SCORES, rows)


def test_parquet_and_tsv_are_as_csv(tmp_path: Path) -> None:
    frame = pd.DataFrame({"who": [7, 8], "video": ["v1", "v2"], "mark": [1.5, 3.0]})
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    frame.to_csv(tmp_path / "a.csv", index=False)
    found = [
        import_scores({"table": str(tmp_path / f"a.{end}"), **LONG, "dimension_name": "q"})
        for end in ("parquet", "tsv", "csv")
    ]
    assert found[0] == found[1] == found[2]
    assert [(row["rater"], row["score"]) for row in found[0]] == [("7", 1.5), ("8", 3.0)]


def test_wide_is_the_same_as_long(tmp_path: Path) -> None:
    wide = tmp_path / "wide.csv"
    wide.write_text("anna,video,ben\n4,v1,5\n,v2,2.5\n")
    rows = import_scores({"wide": str(wide), "sample_id": "video", "dimension_name": "q"})
    source = long_csv(tmp_path, "who,video,mark\nanna,v1,4\nben,v1,5\nben,v2,2.5\n")
    assert rows == import_scores({**source, "dimension_name": "q"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "who,video,mark\na,v1,3\nb,v1,good\n",
            r"long.csv, row 3, column mark: 'good' is no number",
        ),
        ("who,video,mark\na,v1,nan\n", r"row 2, column mark: 'nan' is no number"),
        ("who,video,mark\na,v1,inf\n", r"row 2, column mark: 'inf' is no number"),
        ("who,video,mark\na,v1,1_0\n", r"row 2, column mark: '1_0' is no number"),
        ("who,video,mark\na,v1,\n", r"row 2, column mark: empty"),
        ("who,video,mark\na,  ,3\n", r"row 2, column video: empty"),
        ("who,video,mark\n,v1,3\n", r"row 2, column who: empty"),
        ("who,video,mark\na,v1,3\nb,v1,3\na,v1,4\n", r"row 4, column mark: .* in row 2 already"),
        ("who,video,mark\na,v1\n", r"row 2: 2 cells under 3 columns"),
        ("who,video,score\na,v1,3\n", r"no column 'mark'; the columns are who, video, score"),
        ("who,who,mark\n", r"row 1: the column 'who' is there twice"),
        ("who,,mark\n", r"row 1: a column has no name"),
        ("who,video,mark\n", r"holds no rating"),
        ("", r"the file is empty"),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        import_scores({**long_csv(tmp_path, text), "dimension_name": "q"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video,anna\nv1,3\n,4\n", r"wide.csv, row 3, column video: empty"),
        ("video,anna\nv1,x\n", r"wide.csv, row 2, column anna: 'x' is no number"),
        ("video,anna\nv1,3\nv1,4\n", r"row 3, column anna: .* in row 2 already"),
        ("video\nv1\n", r"no column besides 'video'"),
    ],
)
def test_bad_wide_tables(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "wide.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        import_scores({"wide": str(path), "sample_id": "video", "dimension_name": "q"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "give 'dimension' .* or 'dimension_name'"),
        ({"dimension": "q", "dimension_name": "q"}, "one of the two"),
        ({"wide": "b.csv"}, "either 'table' .* or 'wide'"),
        ({"colour": "red"}, "unknown entry 'colour'"),
        ({"dimension_name": "q", "rater": ""}, "the entry 'rater' is missing"),
        ({"dimension_name": "q", "table": "/nowhere/a.csv"}, "there is no such table"),
    ],
)
def test_bad_sources(tmp_path: Path, change: dict[str, str], message: str) -> None:
    source = {**long_csv(tmp_path, "who,video,mark\na,v1,3\n"), **change}
    with pytest.raises(UserError, match=message):
        import_scores(source)


def test_files_that_are_not_tables(tmp_path: Path) -> None:
    for name, message in [
        ("a.xlsx", "from .csv, .tsv or .parquet"),
        ("a.parquet", "not a Parquet file"),
        ("a.csv", "not a UTF-8 text table"),
    ]:
        (tmp_path / name).write_bytes(b"\xff\xfe\x00bad")
        with pytest.raises(UserError, match=message):
            import_scores({"table": str(tmp_path / name), **LONG, "dimension_name": "q"})
