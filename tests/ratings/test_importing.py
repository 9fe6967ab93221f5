"""Scores from the user's tables: long and wide, CSV and Parquet, and every mistake by its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
            r"long.csv, row 3, column mark: 'good' is not a number",
        ),
        ("who,video,mark\na,v1,nan\n", r"row 2, column mark: 'nan' is not a number"),
        ("who,video,mark\na,v1,inf\n", r"row 2, column mark: 'inf' is not a number"),
        ("who,video,mark\na,v1,1_0\n", r"row 2, column mark: '1_0' is not a number"),
        ("who,video,mark\na,v1,\n", r"row 2, column mark: empty"),
        ("who,video,mark\na,  ,3\n", r"row 2, column video: empty"),
        ("who,video,mark\n,v1,3\n", r"row 2, column who: empty"),
        ("who,video,mark\na,v1,3\nb,v1,3\na,v1,4\n", r"row 4, column mark: .* in row 2 already"),
        ("who,video,mark\na,v1\n", r"row 2: 2 cells where the header has 3"),
        ("who,video,score\na,v1,3\n", r"no column 'mark'; the columns are who, video, score"),
        ("who,who,mark\n", r"row 1: the column 'who' is there twice"),
        ("who,,mark\na,v1,3\n", r"row 1: column 2 has no name"),
        ("who,video,mark\n", r"has no ratings"),
        ("", r"the file is empty"),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        import_scores({**long_csv(tmp_path, text), "dimension_name": "q"})


def test_of_several_dimensions_none_is_called_as_their_mean(tmp_path: Path) -> None:
    source = long_csv(tmp_path, "who,video,mark,what\na,v1,3,overall\na,v1,4,sound\n")
    with pytest.raises(UserError, match="a dimension is called 'overall', as the tables call"):
        import_scores({**source, "dimension": "what"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video,anna\nv1,3\n,4\n", r"wide.csv, row 3, column video: empty"),
        ("video,anna\nv1,x\n", r"wide.csv, row 2, column anna: 'x' is not a number"),
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
        ({}, "give one of 'dimension' .*, 'dimension_name'"),
        ({"dimension": "q", "dimension_name": "q"}, "in 'score' a column per dimension"),
        ({"wide": "b.csv"}, "give one of 'table' .*, 'wide' and 'matrix'"),
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
        ("a.xlsx", "must be .csv, .tsv or .parquet"),
        ("a.parquet", "not a Parquet file"),
        ("a.csv", "not UTF-8 text"),
    ]:
        (tmp_path / name).write_bytes(b"\xff\xfbad")
        with pytest.raises(UserError, match=message):
            import_scores({"table": str(tmp_path / name), **LONG, "dimension_name": "q"})


def test_several_dimensions_as_columns_or_rows_are_the_same(tmp_path: Path) -> None:
    columns = tmp_path / "columns.csv"
    columns.write_text("who,set,id,vq,sync\nanna,a,1,4,2\nben,a,1,,3\nben,b,1,5,\n")
    rows = tmp_path / "rows.csv"
    rows.write_text("who,video,what,mark\nanna,a/1,q,4\nanna,a/1,s,2\nben,a/1,s,3\nben,b/1,q,5\n")
    wide = tmp_path / "wide.csv"
    wide.write_text("video,what,note,anna,ben\na/1,q,x,4,\na/1,s,x,2,3\nb/1,q,x,,5\nb/1,s,x,,\n")
    both = tmp_path / "both.tsv"
    both.write_text("video\tanna-q\tanna-s\tben-q\tben-s\na/1\t4\t2\t\t3\nb/1\t\t\t5\t\n")
    wanted = sorted(
        [
            ("anna", "a/1", "q", 4.0),
            ("anna", "a/1", "s", 2.0),
            ("ben", "a/1", "s", 3.0),
            ("ben", "b/1", "q", 5.0),
        ]
    )
    sources: list[dict[str, Any]] = [
        {
            "table": columns,
            "rater": "who",
            "sample_id": ["set", "id"],
            "score": {"q": "vq", "s": "sync"},
        },
        {"table": rows, "rater": "who", "sample_id": "video", "score": "mark", "dimension": "what"},
        {"wide": wide, "sample_id": "video", "dimension": "what", "ignore": ["note"]},
        {"wide": both, "sample_id": "video", "columns_are": "{rater}-{dimension}"},
    ]
    for source in sources:
        found = import_scores({k: str(v) if isinstance(v, Path) else v for k, v in source.items()})
        got = sorted((r["rater"], r["sample_id"], r["dimension"], r["score"]) for r in found)
        assert got == wanted


@pytest.mark.parametrize(
    ("scale", "to", "marks", "wanted"),
    [
        ([0, 10], None, (0, 5, 10), (1, 3, 5)),
        ([0, 100], None, (0, 25, 100), (1, 2, 5)),
        ([5, 1], None, (5, 4, 1), (1, 2, 5)),
        ([1, 5], [0, 100], (1, 2, 5), (0, 25, 100)),
        ({"q": [0, 10]}, [1, 5], (0, 5, 10), (1, 3, 5)),
        (None, None, (7, 8, 9), (7, 8, 9)),
    ],
)
def test_scales_are_mapped_linearly(
    tmp_path: Path, scale: Any, to: Any, marks: tuple[int, ...], wanted: tuple[int, ...]
) -> None:
    source = long_csv(tmp_path, "who,video,mark\n" + "".join(f"a,v{m},{m}\n" for m in marks))
    given = {"dimension_name": "q"} | ({} if scale is None else {"scale": scale})
    rows = import_scores({**source, **given, **({} if to is None else {"to": to})})
    assert [row["score"] for row in rows] == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": [0, 2]}, r"long.csv, row 2, column mark: 3 is outside the scale of 0 to 2"),
        ({"scale": [5, 5]}, r"scale: \[5, 5\] is not a scale"),
        ({"scale": [1]}, r"scale: \[1\] is not a scale"),
        ({"scale": [1, "5"]}, "is not a scale"),
        ({"scale": [1, 5], "to": True}, "to: True is not a scale"),
        ({"scale": {"other": [1, 5]}}, "no scale for 'q'"),
        ({"to": [0, 100]}, "'to' needs the 'scale'"),
    ],
)
def test_bad_scales(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    source = long_csv(tmp_path, "who,video,mark\na,v1,3\n")
    with pytest.raises(UserError, match=message):
        import_scores({**source, "dimension_name": "q", **change})


def test_matrix_without_names(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("5,4,\n1,2,3\n")
    rows = import_scores({"matrix": str(path), "dimension_name": "q"})
    assert [(r["rater"], r["sample_id"], r["score"]) for r in rows] == [
        ("r001", "s0001", 5.0),
        ("r002", "s0001", 4.0),
        ("r001", "s0002", 1.0),
        ("r002", "s0002", 2.0),
        ("r003", "s0002", 3.0),
    ]
    for text, message in (
        ("5,4\n1\n", "m.csv, row 2: 1 cells where the first row has 2"),
        ("a,b\n1,2\n", "m.csv, row 1, column 1: 'a' is not a number"),
        ("", "the file is empty"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            import_scores({"matrix": str(path), "dimension_name": "q"})


def test_wide_columns_that_are_no_raters(tmp_path: Path) -> None:
    path = tmp_path / "w.csv"
    path.write_text("video,note,anna_visual_quality\nv1,good,3\n")
    source = {"wide": str(path), "sample_id": "video", "columns_are": "{rater}_{dimension}"}
    with pytest.raises(UserError, match="row 1: the column 'note' does not match"):
        import_scores(source)
    rows = import_scores({**source, "ignore": ["note"]})
    assert [(r["rater"], r["dimension"]) for r in rows] == [("anna", "visual_quality")]
    with pytest.raises(UserError, match="needs {rater} and {dimension} once"):
        import_scores({**source, "columns_are": "{rater}"})
    with pytest.raises(UserError, match="give only one of dimension_name, columns_are"):
        import_scores({**source, "dimension_name": "q"})


@pytest.mark.parametrize("code", [99, "99", "99,0", "99.0"])
@pytest.mark.parametrize("cell", ["99", "99,0", "99,00", " 99 "])
def test_a_missing_code_is_compared_as_a_number(tmp_path: Path, code: object, cell: str) -> None:
    text = f"video;anna;ben\nv1;3,5;4,0\nv2;{cell};2,5\n"
    (tmp_path / "w.csv").write_text(text)
    wide = {"wide": str(tmp_path / "w.csv"), "sample_id": "video", "dimension_name": "q"}
    source = long_csv(tmp_path, f"who;video;mark\nanna;v1;3,5\nanna;v2;{cell}\nben;v1;4,0\n")
    for described, scores in ((wide, [2.5, 3.5, 4]), (source, [3.5, 4])):
        notes: list[str] = []
        rows = import_scores({**described, "dimension_name": "q", "missing_codes": [code]}, notes)
        assert sorted(row["score"] for row in rows) == scores
        assert "1 ratings are missing" in notes[-1]


def test_a_negative_missing_code_with_a_decimal_comma(tmp_path: Path) -> None:
    source = long_csv(tmp_path, "who;video;mark\nanna;v1;3,5\nanna;v2;\u22121,0\n")
    rows = import_scores({**source, "dimension_name": "q", "missing_codes": [-1]})
    assert [row["score"] for row in rows] == [3.5]


@pytest.mark.parametrize("name", ["mean", "Mittelwert", "Summe", "count"])
@pytest.mark.parametrize("column", [0, 1])
def test_a_long_table_with_rows_of_a_summary(tmp_path: Path, name: str, column: int) -> None:
    marks = {("anna", "v1"): 4, ("ben", "v1"): 3, ("anna", "v2"): 1, ("ben", "v2"): 2}
    statistic = {"mean": 2, "Mittelwert": 2, "Summe": 1, "count": None}[name]
    lines = [f"{rater},{video},{mark}" for (rater, video), mark in marks.items()]
    for other in ("v1", "v2") if column == 0 else ("anna", "ben"):
        cells = [mark for key, mark in marks.items() if key[1 - column] == other]
        value = 2 if statistic is None else sum(cells) / statistic
        lines.append(f"{name},{other},{value}" if column == 0 else f"{other},{name},{value}")
    notes: list[str] = []
    source = long_csv(tmp_path, "who,video,mark\n" + "\n".join(lines) + "\n")
    rows = import_scores({**source, "dimension_name": "q"}, notes)
    assert len(rows) == 4
    assert f"{name!r} is left out (q): it holds the" in notes[0]


def test_a_rater_called_mean_that_holds_no_mean_is_a_question(tmp_path: Path) -> None:
    text = "who,video,mark\nanna,v1,4\nben,v1,3\nmean,v1,1\nanna,v2,2\nben,v2,1\nmean,v2,5\n"
    with pytest.raises(UserError, match="is 'mean' a summary of the other raters"):
        import_scores({**long_csv(tmp_path, text), "dimension_name": "q"})


@pytest.mark.parametrize(
    ("text", "scores"),
    [
        ("4 5 3\n3 2 1\n", [4, 5, 3, 3, 2, 1]),
        ("40.5  500 300\n3 200 100\n", [40.5, 500, 300, 3, 200, 100]),
        ("  4 500\n35 20\n", [4, 500, 35, 20]),
        ("1\u202f234\n999\n", [1234, 999]),
    ],
)
def test_a_matrix_that_is_separated_by_blanks(
    tmp_path: Path, text: str, scores: list[float]
) -> None:
    (tmp_path / "m.txt").write_text(text, encoding="utf-8")
    source = {"matrix": str(tmp_path / "m.txt"), "dimension_name": "q"}
    assert [row["score"] for row in import_scores(source)] == scores


@pytest.mark.parametrize(
    "text", ["100 150 200\n110 120 130\n", "4 500\n3 200\n", "1 234\n999\n", "1\n4 500\n4 5 3\n"]
)
def test_blanks_between_numbers_that_may_be_one_number_are_a_question(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "m.txt").write_text(text)
    source = {"matrix": str(tmp_path / "m.txt"), "dimension_name": "q"}
    with pytest.raises(
        UserError, match=r"row \d, column 1: '.* can be read as one number or as \d"
    ):
        import_scores(source)


def test_a_first_column_of_a_matrix_that_counts_the_rows_is_noted(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("1,4,5\n2,2,1\n3,2,2\n")
    notes: list[str] = []
    source = {"matrix": str(tmp_path / "m.csv"), "dimension_name": "q"}
    assert len(import_scores(source, notes)) == 9
    assert notes == [
        f"{tmp_path}/m.csv: column 1 counts the rows; if it holds no ratings, delete it"
    ]
