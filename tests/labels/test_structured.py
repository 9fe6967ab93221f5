"""Label files that are JSON, workbooks and MATLAB files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pytest
from scipy import io

from sfqa.errors import UserError
from sfqa.user_tables.structured import read_structured


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ('[{"v": "a", "m": 1}, {"v": "b", "m": "2"}]', {"v": ["a", "b"], "m": [1, "2"]}, [1, 2]),
        ('{"v": "a", "m": 1}\n\n{"v": "b"}\n', {"v": ["a", "b"], "m": [1, None]}, [1, 3]),
        ('{"a": 1, "b": 2}', {"key": ["a", "b"], "value": [1, 2]}, [1, 2]),
        ('{"a": {"m": 1}, "b": {"m": 2}}', {"key": ["a", "b"], "m": [1, 2]}, [1, 2]),
        ('{"3": {"m": 1}}\n{"0": {"m": 2}}\n', {"key": ["3", "0"], "m": [1, 2]}, [1, 2]),
        ('{"data": [{"v": "a", "f": {"x": 1}}], "length": 1}', {"v": ["a"], "f.x": [1]}, [1]),
        ('\ufeff[{"v": "ü"}]', {"v": ["ü"]}, [1]),
    ],
)
def test_forms_of_json(
    tmp_path: Path, text: str, columns: dict[str, list[object]], rows: list[int]
) -> None:
    table = read_structured(write(tmp_path, "a.json", text))
    assert (table.columns, table.rows) == (columns, rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "a.json, row 1: 1 is no object"),
        ('{"a": 1,\n "b" 2}', "a.json, row 2, column 6: not valid JSON"),
        ('{"a": 1}\n{"a": }\n', "a.json, row 2: not valid JSON"),
        ('[{"a": 1, "a": 2}]', "a.json: the key 'a' is there twice"),
        ('{"a": {"m": 1}, "a": {"m": 2}}', "a.json: the key 'a' is there twice"),
        ("[]", "a.json: no rows in it"),
        ("3", "a.json: neither a list nor an object"),
        ('{"a": [1, 2], "b": [3, 4]}', "a.json: an object with lists in it"),
    ],
)
def test_json_that_is_no_table(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_structured(write(tmp_path, "a.json", text))


def test_workbooks(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    workbook = openpyxl.Workbook()
    workbook.active.append(["vid", "MOS full"])
    workbook.active.append([4542323058, 3.5])
    workbook.active.append([None, None])
    workbook.active.append(["b", None])
    workbook.create_sheet("other").append(["x", 1])
    workbook.save(path)
    table = read_structured(path)
    assert table.columns == {"vid": [4542323058, "b"], "MOS full": [3.5, None]}
    assert table.rows == [2, 4]
    assert read_structured(path, "other", ["v", "m"]).columns == {"v": ["x"], "m": [1]}
    with pytest.raises(UserError, match="no sheet 'MOS'; it has Sheet, other"):
        read_structured(path, "MOS")
    (tmp_path / "b.xlsx").write_text("vid,mos\n")
    with pytest.raises(UserError, match="b.xlsx: not an Excel workbook"):
        read_structured(tmp_path / "b.xlsx")


def test_matlab_files(tmp_path: Path) -> None:
    names = np.array([["A001.mp4"], ["A02.mp4"], ["B.mp4"]], dtype=object)
    content = {
        "names": names,
        "mos": np.array([1.0, 2.5, 3.0]),
        "size": np.ones((3, 2)),
        "fps": 25.0,
    }
    io.savemat(tmp_path / "a.mat", content)
    table = read_structured(tmp_path / "a.mat")
    assert table.columns["names"] == ["A001.mp4", "A02.mp4", "B.mp4"]
    assert table.columns["mos"] == [1.0, 2.5, 3.0]
    assert table.columns["size_2"] == [1.0, 1.0, 1.0]
    assert "fps" not in table.columns
    (tmp_path / "b.mat").write_bytes(b"no MATLAB file at all, but long enough to have a header" * 9)
    with pytest.raises(UserError, match="b.mat: not a MATLAB file"):
        read_structured(tmp_path / "b.mat")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"s.mos": 1, "s": {"mos": 5}}]', "the key 's.mos' is there twice"),
        ('[{"mos": 3, "mos ": 5}]', "the key 'mos' is there twice"),
        ('{"a.mp4": {"key": "z", "mos": 3}, "b.mp4": {"mos": 2}}', "the key 'key' is there twice"),
        ('{"a.mp4": {"mos": 3}, "b.mp4": 2}', "the value of 'b.mp4' is no object"),
    ],
)
def test_json_names_that_meet_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_structured(write(tmp_path, "a.json", text))


def test_cells_of_a_workbook_that_would_be_lost(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    workbook = openpyxl.Workbook()
    for row in (["vid", "method", "mos"], ["a.mp4", "sora", 1], ["b.mp4", None, 2]):
        workbook.active.append(row)
    workbook.active.merge_cells("B2:B3")
    workbook.save(path)
    with pytest.raises(UserError, match="the cells B2:B3 are merged"):
        read_structured(path)
    workbook.active.unmerge_cells("B2:B3")
    workbook.active["B3"] = "pika"
    workbook.active["C3"] = "=C2+1"
    workbook.save(path)
    with pytest.raises(UserError, match="cell C3: a formula without a stored value"):
        read_structured(path)
    workbook.active["C3"] = 2
    workbook.save(path)
    with pytest.raises(UserError, match="3 columns where 'header' has 4 names"):
        read_structured(path, columns=["a", "b", "c", "d"])


def test_row_numbers_of_a_workbook_are_left_out(tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    for row in ([None, "vid", "mos"], [0, "a.mp4", 1], [1, "\ufeffb.mp4", 2]):
        workbook.active.append(row)
    workbook.save(tmp_path / "a.xlsx")
    table = read_structured(tmp_path / "a.xlsx")
    assert table.columns == {"vid": ["a.mp4", "b.mp4"], "mos": [1, 2]}
    assert "it holds the row numbers" in table.notes[0]


def test_matlab_variables_that_give_one_column(tmp_path: Path) -> None:
    io.savemat(tmp_path / "a.mat", {"s": np.ones((3, 2)), "s_1": np.array([1.0, 2.0, 3.0])})
    with pytest.raises(UserError, match="two variables give the column 's_1'"):
        read_structured(tmp_path / "a.mat")


FRAME = pd.DataFrame({"video": ["a.mp4", "b.mp4"], "mos": [1.5, 2.0]})
COLUMNS = {"video": ["a.mp4", "b.mp4"], "mos": [1.5, 2.0]}


@pytest.mark.parametrize("orient", ["split", "records", "index", "columns", "table", "values"])
def test_every_form_of_json_that_pandas_writes(tmp_path: Path, orient: Any) -> None:
    path = tmp_path / "a.json"
    FRAME.to_json(path, orient=orient)
    table = read_structured(path, columns=["video", "mos"] if orient == "values" else None)
    for name in ("key", "index"):  # row numbers that pandas adds
        table.columns.pop(name, None)
    assert table.columns == COLUMNS
    # With the videos as the index, their column is called key; as a table, it keeps its name.
    if orient not in ("records", "values"):
        FRAME.set_index("video").to_json(path, orient=orient)
        columns = read_structured(path).columns
        assert (columns.get("key") or columns["video"], columns["mos"]) == tuple(COLUMNS.values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[["a.mp4", 1]]', "row 1: a list of values without names; name them with 'header'"),
        ('{"columns": ["v", "m"], "index": [0], "data": [["a"]]}', "row 1: 1 cells where there"),
        ('{"columns": ["v", "v"], "data": [["a", 1]]}', "the column 'v' is there twice"),
        ('{"columns": ["v"], "index": ["x"], "data": [["a"], ["b"]]}', "1 keys in index, but 2"),
    ],
)
def test_forms_of_pandas_that_are_not_whole(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_structured(write(tmp_path, "a.json", text))


def test_numbers_of_raters_are_no_rows(tmp_path: Path) -> None:
    text = '{"a": {"0": 3, "1": 4}, "b": {"0": 2, "1": 5}}'
    assert read_structured(write(tmp_path, "a.json", text)).columns["key"] == ["a", "b"]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_names_for_columns_that_have_names_are_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, '{"v": "a", "m": 1}\n{"v": "b", "m": 2}\n')
    with pytest.raises(UserError, match="its columns have names; leave 'header' out"):
        read_structured(path, columns=["video", "mos"])


def test_line_ends_of_unicode_inside_of_json_text(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"v": "a\u2028b\x85"}\r\n{"v": "c"}\r\n')
    assert read_structured(path).columns == {"v": ["a\u2028b\x85", "c"]}
    # Old programs of Macs end lines with a carriage return alone.
    path.write_bytes(b'{"v": "a"}\r{"v": "b"}\r\r')
    assert read_structured(path).columns == {"v": ["a", "b"]}


def test_structs_of_matlab(tmp_path: Path) -> None:
    videos = np.zeros((1, 3), dtype=[("name", object), ("mos", object), ("form", object)])
    for k, element in enumerate(videos.flat):
        element["name"], element["mos"] = f"v{k}.mp4", float(k)
        element["form"] = {"fps": 25.0 + k, "scene": "city"}
    names = np.array([["a.mp4", "bb.mp4", "c.mp4"]], dtype=object)
    scores = {"name": names, "mos": np.array([1.0, 2.0, 3.0]), "sub": {"sd": np.ones((3, 1))}}
    content = {"videos": videos, "d": scores, "rate": np.array([1.0, 2.0])}
    io.savemat(tmp_path / "a.mat", content)
    table = read_structured(tmp_path / "a.mat")
    assert table.columns == {
        "videos.name": ["v0.mp4", "v1.mp4", "v2.mp4"],
        "videos.mos": [0.0, 1.0, 2.0],
        "videos.form.fps": [25.0, 26.0, 27.0],
        "videos.form.scene": ["city"] * 3,
        "d.name": ["a.mp4", "bb.mp4", "c.mp4"],
        "d.mos": [1.0, 2.0, 3.0],
        "d.sub.sd": [1.0, 1.0, 1.0],
    }
    assert "'rate' is left out: it has 2 rows where others have 3" in table.notes[0]
