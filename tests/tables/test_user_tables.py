"""One reader for every table of users: what can be read without doubt is, all else is a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sfqa.errors import UserError
from sfqa.user_tables import UserTable, read_table
from sfqa.user_tables.columns import describe_left_out, find_row_numbers
from sfqa.user_tables.summaries import leave_out_summary_rows

TEXT = "video,mos,note\nv1,3.5,a\nv2,-4,b\nv3,2.25,\n"
CELLS = {"video": ["v1", "v2", "v3"], "mos": ["3.5", "-4", "2.25"], "note": ["a", "b", ""]}


def write(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        TEXT,
        "\ufeff" + TEXT,
        TEXT.encode("utf-16"),
        b"\xfe\xff" + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
        TEXT.replace(",", ";"),
        TEXT.replace(",", "\t"),
        TEXT.replace(",", "|"),
        "sep=;\r\n" + TEXT.replace(",", ";"),
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("\n", "\r"),
        TEXT.replace("\n", ",\n"),  # a separator at the end of every row
        TEXT.rstrip("\n").replace("\n", ",,\n") + ",,",
        TEXT.replace("note\n", "note,\n"),  # of the header only
        TEXT.replace(",", " , "),
        TEXT.replace("v1,", '"v1", '),
        TEXT + "\n\n,,\n",
        TEXT.replace("v2", "\ufeffv2\u200b"),
        TEXT.rstrip("\n"),
    ],
)
def test_what_can_be_read_without_doubt_is_read(tmp_path: Path, content: str | bytes) -> None:
    table = read_table(write(tmp_path, content))
    assert table.columns == CELLS
    assert table.notes == []
    assert table.read_numbers("mos").values == [3.5, -4, 2.25]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (TEXT.replace("v2", "vü").encode("cp1252"), "t.csv: not UTF-8 text (byte 25, row 3)"),
        (TEXT.encode("utf-16")[:-1], "not UTF-16 text (byte "),
        (b"PK\x03\x04xl", "it is an Excel workbook or a zip; save it as 'CSV UTF-8'"),
        ("", "t.csv: the file is empty"),
        ("\n\n", "t.csv: the file is empty"),
        (TEXT.replace("v2", "v2,"), "row 3: 4 cells where the header has 3 (the first cell too"),
        (TEXT.replace("-4,b", "-4,b,"), "row 3: 4 cells where the header has 3"),
        ("mos,note\n1,3.5,a\n2,4,b\n", "every row has one more: if the first column holds names"),
        (TEXT.replace("-4,b", "-4"), "row 3: 2 cells where the header has 3 (none for the column"),
        (TEXT.replace("note", "mos"), "row 1: the column 'mos' is there twice"),
        (TEXT.replace("\nv", ",,,\nv"), "row 4: 3 cells where the header has"),
        (TEXT.replace("mos", ""), "row 1: column 2 has no name"),
        (TEXT.replace("video", ""), "row 1: column 1 has no name"),
        (TEXT.replace("mos", "Unnamed: 1"), "the column 'Unnamed: 1' had no name when pandas"),
        (TEXT.replace("v2", '"v2'), "row 3, column video: holds a line break (a quote that is"),
        (TEXT.replace("v2", '"v2"x'), "row 3: text follows a closed quote"),
        (TEXT.replace("v2", "v\0002"), "row 3, column video: holds the invisible character U+0000"),
        ("a,b;c\n1,2;3\n", "row 1: the columns may be separated by comma or semicolon"),
    ],
)
def test_all_else_is_a_sentence(tmp_path: Path, content: str | bytes, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        read_table(write(tmp_path, content))
    assert sentence in str(caught.value)


def test_the_header_decides_the_separator_and_the_rows_confirm_it(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "video;mos, overall\nv1;3,5\nv2;4\n"))
    assert list(table.columns) == ["video", "mos, overall"]
    assert table.read_numbers("mos, overall").values == [3.5, 4]
    table = read_table(write(tmp_path, 'video,"a;b",x\nv1,"1;2",3\n'))
    assert list(table.columns) == ["video", "a;b", "x"]
    table = read_table(write(tmp_path, "a\tb,c\n1,2\t3\n", "t.tsv"))
    assert list(table.columns) == ["a", "b,c"]


def test_rows_are_counted_as_a_spreadsheet_counts_them(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, 'a,b\n"two\nlines",1\n\n,\nx,2\n'))
    assert (table.rows, table.describe_cell("b", 1)) == (
        [2, 5],
        f"{tmp_path}/t.csv, row 5, column b",
    )


def test_a_cell_may_be_long(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, f"a,b\n{'x' * 300_000},1\n"))
    assert len(table.columns["a"][0]) == 300_000


NAN = float("nan")


@pytest.mark.parametrize(
    ("separator", "cells", "values"),
    [
        (",", ["\u22123.5", "2"], [-3.5, 2]),
        (",", ["\u20133.5", "+2"], [-3.5, 2]),
        (",", ["1e3", "1E-02", ".5"], [1000, 0.01, 0.5]),
        (",", ["3,5", "0,123", "1,234"], [3.5, 0.123, 1.234]),
        (",", ["1,234.5", "1,234"], [1234.5, 1234]),
        (",", ["1,234,567", "1,234"], [1234567, 1234]),
        (",", ["1.234,5", "2,25"], [1234.5, 2.25]),
        (",", ["1\u202f234,5", "12 345"], [1234.5, 12345]),
        (",", ["1'234.5", "1\u2019234"], [1234.5, 1234]),
        (";", ["1,234", "3,125"], [1.234, 3.125]),
        (";", ["1,234", "3,5", "4"], [1.234, 3.5, 4]),
        (",", ["12%", "5 %"], [0.12, 0.05]),
        (",", ["\u00a03.5 ", "-"], [3.5, NAN]),
        (",", ["NA", "", "n/a", "#N/A", "2"], [NAN, NAN, NAN, NAN, 2]),
    ],
)
def test_forms_of_numbers(
    tmp_path: Path, separator: str, cells: list[str], values: list[float]
) -> None:
    rows = "".join(f'v{k}{separator}"{cell}"\n' for k, cell in enumerate(cells))
    numbers = read_table(write(tmp_path, f"v{separator}x\n{rows}")).read_numbers("x")
    assert numbers.values == pytest.approx(values, nan_ok=True)
    assert (numbers.bad, numbers.is_percent) == ([], cells[0].endswith("%"))


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1.234", "999", "12.345"], [1234, 999, 12345]),
        (["1.234", "-", "1.234.567"], [1234, NAN, 1234567]),
        (["1.234", "0.5", "12"], [1.234, 0.5, 12]),
        (["1.234", "12.0", "999"], [1.234, 12, 999]),
        (["0.123", "0", "999"], [0.123, 0, 999]),
    ],
)
def test_points_of_thousands_beside_a_column_with_decimal_commas(
    tmp_path: Path, cells: list[str], values: list[float]
) -> None:
    rows = "".join(f"v{k};3,5;{cell}\n" for k, cell in enumerate(cells))
    table = read_table(write(tmp_path, f"v;mos;x\n{rows}"))
    assert table.read_numbers("x").values == pytest.approx(values, nan_ok=True)
    assert table.read_numbers("mos").values == [3.5] * 3


@pytest.mark.parametrize(
    "cells", [["true", "false"], ["[1, 2]", "[3]"], ["1_0", "0x1"], ["x", "(3)"]]
)
def test_what_is_no_number(tmp_path: Path, cells: list[str]) -> None:
    rows = "".join(f'v{k},"{cell}"\n' for k, cell in enumerate(cells))
    table = read_table(write(tmp_path, f"v,x\n{rows}"))
    assert table.read_numbers("x").bad == [0, 1]
    (note,) = describe_left_out(table, ["x"])
    assert f"the column 'x' is left out: row 2 holds '{cells[0]}', not a number" in note


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('v,x\na,"1,234"\nb,"3,125"\n', "row 2, column x: '1,234' can be read as two numbers"),
        ("v;x\na;1,234\nb;999\n", "row 2, column x: '1,234' can be read as two numbers"),
        ("v;x;y\na;1,234;.5\n", "row 2, column x: '1,234' can be read as two numbers"),
        ('v,x\na,"3,5"\nb,1.234\n', "row 3, column x: '1.234' can be read as two numbers"),
        ('v,x\na,"3,5"\nb,"1,234.5"\n', "row 2, column x: '3,5' can be read as two numbers"),
        ("v;x;y\na;1.234;3,5\nb;2.345;2\n", "row 2, column x: '1.234' can be read as two numbers"),
        ("v;x;y\na;1;3,5\nb;2.345;2\n", "row 3, column x: '2.345' can be read as two numbers"),
        ("v;x;y\na;1.234;3,5\nb;999;2.5\n", "row 2, column x: '1.234' can be read as two numbers"),
        ("v;x\na;955\nb;1.591\n", "row 3, column x: '1.591' can be read as two numbers"),
    ],
)
def test_a_number_that_may_be_two_numbers_is_a_question(
    tmp_path: Path, text: str, where: str
) -> None:
    with pytest.raises(UserError, match=where):
        read_table(write(tmp_path, text)).read_numbers("x")


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "Unnamed: 0.1"])
def test_row_numbers_of_pandas_are_left_out_with_a_note(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, f"{name},v,x\n2,a,1\n0,b,2\n7,c,3\n")
    table = read_table(path)
    assert list(table.columns) == ["v", "x"]
    assert f"the column {name!r} is left out: it holds the row numbers" in table.notes[0]
    assert list(read_table(path, named=[name]).columns) == [name, "v", "x"]


def test_row_numbers_in_parquet_are_left_out_with_a_note(tmp_path: Path) -> None:
    frame = pd.DataFrame({"v": list("abcd"), "x": [1.0, None, 3.0, 4.0]})
    frame[frame["v"] != "b"].to_parquet(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    assert table.columns == {"v": ["a", "c", "d"], "x": [1.0, 3.0, 4.0]}
    assert "'__index_level_0__' is left out" in table.notes[0]
    frame.set_index("v").to_parquet(tmp_path / "t.parquet")
    assert list(read_table(tmp_path / "t.parquet").columns) == ["x", "v"]
    (tmp_path / "t.parquet").rename(tmp_path / "renamed.csv")
    assert list(read_table(tmp_path / "renamed.csv").columns) == ["x", "v"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(TEXT.encode(), "not a Parquet file"), (b"PAR1" + TEXT.encode(), "not a whole Parquet file")],
)
def test_parquet_that_is_none(tmp_path: Path, content: bytes, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        read_table(write(tmp_path, content, "t.parquet"))


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    for path, sentence in (
        (tmp_path / "none.csv", "there is no such table of votes"),
        (tmp_path, "there is no such table of votes"),
        (write(tmp_path, "a,b\n", "a.xlsx"), "votes must be .csv, .tsv or .parquet"),
    ):
        with pytest.raises(UserError, match=sentence):
            read_table(path, "votes")


@pytest.mark.parametrize(
    ("name", "cells", "is_numbering"),
    [
        ("index", ["7", "0", "3"], True),
        ("Row No.", ["3", "1", "2"], True),
        ("nr", ["0", "1", "2"], True),
        ("nr", ["1", "2", "4"], False),
        ("niqe", ["1", "2", "3"], False),
        ("r1", ["1", "2", "3"], False),
    ],
)
def test_columns_that_count_the_rows(name: str, cells: list[Any], is_numbering: bool) -> None:
    table = UserTable(Path("t.csv"), {name: cells}, [2, 3, 4])
    assert bool(find_row_numbers(table, [name])) == is_numbering


@pytest.mark.parametrize(
    "name", ["X", "...1", "Pos.", "Column1", "Spalte1", "video_nr", "videoNr", "clip.no", "Item"]
)
def test_a_first_column_that_counts_the_rows(name: str) -> None:
    for cells in (["1", "2", "3"], ["2", "0", "1"]):
        table = UserTable(Path("t.csv"), {name: cells, "v": ["a", "b", "c"]}, [2, 3, 4])
        assert find_row_numbers(table, table.columns) == [name]
        # Elsewhere it may be a feature, and so may other numbers.
        table = UserTable(Path("t.csv"), {"v": ["a", "b", "c"], name: cells}, [2, 3, 4])
        assert find_row_numbers(table, table.columns) == []
    table = UserTable(Path("t.csv"), {name: ["1.5", "2", "3"], "v": ["a", "b", "c"]}, [2, 3, 4])
    assert find_row_numbers(table, table.columns) == []


@pytest.mark.parametrize("name", ["rownames", "row.names", "Zeile", "N°", "Nº", "№", "lfd. Nr."])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_name_that_says_row_number(name: str, is_first: bool) -> None:
    columns: dict[str, list[Any]] = {"v": ["a", "b", "c"], name: ["1", "2", "3"]}
    if is_first:
        columns = dict(reversed(columns.items()))
    table = UserTable(Path("t.csv"), {**columns, "X": ["1", "2", "3"]}, [2, 3, 4])
    assert find_row_numbers(table, table.columns) == [name]


def test_a_frame_has_the_row_numbers_and_none_for_empty_cells(tmp_path: Path) -> None:
    frame = read_table(write(tmp_path, "v,x,y\na,007,\n\nb,NA,2\n")).to_frame(("y", "z"))
    assert frame.index.tolist() == [2, 4]
    assert frame["x"].tolist() == ["007", "NA"]
    assert frame["y"].isna().tolist() == [True, False]
    with pytest.raises(UserError, match="row 4, column x: 'b' is not a number"):
        read_table(write(tmp_path, "v,x\na,1\n\nb,b\n")).require_numbers("x")


def test_a_repeated_header_is_left_out_with_a_note(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, TEXT + TEXT.replace("v", "w").replace("wideo", "video")))
    assert table.columns["video"] == ["v1", "v2", "v3", "w1", "w2", "w3"]
    assert table.rows == [2, 3, 4, 6, 7, 8]
    assert "row 5: it is left out: it repeats the header" in table.notes[0]


@pytest.mark.parametrize(
    ("name", "cells", "statistic"),
    [
        ("Mean", "3.5,20", "mean"),
        ("std.", "1.29,8.16", "standard deviation"),
        ("SD", "1.29,8.16", "standard deviation"),
        ("Mittelwert", "3.5,20", "mean"),
        ("sum", "14,80", "sum"),
        ("average", "3.5,", "mean"),
        ("average_face", "3.5,20", ""),
        ("mean", "1,20", ""),
    ],
)
def test_rows_that_summarise_the_others(
    tmp_path: Path, name: str, cells: str, statistic: str
) -> None:
    table = read_table(write(tmp_path, f"v,x,y\na,2,10\nb,3,20\nc,4,20\nd,5,30\n{name},{cells}\n"))
    leave_out_summary_rows(table, "v")
    assert (name in table.columns["v"]) == (not statistic)
    expected = f"row 6: {name!r} is left out: it holds the {statistic} of the other rows"
    assert statistic == "" or table.notes == [f"{tmp_path}/t.csv, {expected}"]


VIDEO_ROWS = {"a": [3.55, 955], "b": [2.08, 788], "c": [1.16, 215], "d": [4.25, 1591]}


@pytest.mark.parametrize("with_index", [True, False])
def test_the_rows_of_describe_are_no_samples(tmp_path: Path, with_index: bool) -> None:
    frame = pd.DataFrame.from_dict(VIDEO_ROWS, orient="index", columns=["mos", "x"])
    if with_index:
        both = pd.concat([frame, frame.describe([0.05, 0.25, 0.5, 0.75, 0.95])])
    else:
        both = pd.concat([frame, frame.agg(["sum", "median", "var", "sem"])])
    both.rename_axis("v").to_csv(tmp_path / "t.csv")
    table = read_table(tmp_path / "t.csv")
    leave_out_summary_rows(table, "v")
    assert table.columns["v"] == list(VIDEO_ROWS)
    assert len(table.notes) == len(both) - 4
    assert "'25%' is left out: it holds the 25 % quantile" in "".join(table.notes) or not with_index


@pytest.mark.parametrize(
    "names",
    [
        ("Durchschnitt", "Summe"),
        ("Moyenne", "Somme"),
        ("Promedio", "Suma"),
        ("Media", "Somma"),
        ("平均", "合计"),
        ("Gesamt", "Anzahl"),
        ("Ø", "Grand total"),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_rows_of_means_and_sums_in_other_languages(
    tmp_path: Path, names: tuple[str, str], order: int
) -> None:
    rows = [["video", "mos", "x"], *([v, *cells] for v, cells in VIDEO_ROWS.items())]
    sums = "4,4" if names[1] == "Anzahl" else "11.04,3549"
    lines = [",".join(map(str, row)) for row in rows]
    lines += [f"{names[0]},2.76,887.25", f"{names[1]},{sums}"][::order]
    for count in (6, 7):
        table = read_table(write(tmp_path, "\n".join(lines[:count]) + "\n"))
        leave_out_summary_rows(table, "video")
        assert table.columns["video"] == list(VIDEO_ROWS)
        assert len(table.notes) == count - 5


@pytest.mark.parametrize("name", ["Mean", "Summe", "Gesamt", "25%", "max"])
def test_a_row_that_is_only_called_as_a_summary_stays_with_a_note(
    tmp_path: Path, name: str
) -> None:
    table = read_table(write(tmp_path, f"v,x,y\na,1,2\nb,3,4\nc,5,7\n{name},1.5,6\n"))
    leave_out_summary_rows(table, "v")
    assert table.columns["v"][-1] == name
    (note,) = table.notes
    assert f"row 5: '{name}' is read as the others are" in note
    assert "delete the row if it is a summary" in note
