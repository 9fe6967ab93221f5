"""Workbooks of strangers: what a sheet may hold is decided by an XML parser, whatever it looks like."""

from __future__ import annotations

import datetime
import io
import time
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hostile_workbooks import (
    BOOK,
    MAIN,
    PARTS,
    SCORES,
    SHEET,
    STRINGS,
    STYLES,
    make_sheet,
    set_version,
    write_workbook,
)
from openpyxl.chart import BarChart

from sfqa.errors import UserError
from sfqa.untrusted.limits import RefusedError
from sfqa.untrusted.workbooks import open_workbook
from sfqa.untrusted.xml_parts import parse_xml
from sfqa.user_tables.structured import read_structured

ROW = '<row r="1"><c r="A1" t="str"><v>video</v></c></row>'

#: A cell with a format and no value, as programs write for a format of whole rows and columns.
FAR = '<row r="1048576"><c r="XFD1048576" s="0"/></row>'


def merge(text: str) -> str:
    return make_sheet(ROW, f"<mergeCells>{text}</mergeCells>")


def name_prefix(sheet: str) -> str:
    """Return a sheet whose names have a prefix of their namespace."""
    return (
        sheet.replace("</", "</x:").replace("<", "<x:").replace("<x:/x:", "</x:")
        .replace("xmlns=", "xmlns:x=")
    )  # fmt: skip


#: What a sheet holds, and what is said about it.
HOSTILE: dict[str, tuple[dict[str, str | bytes], str]] = {
    "single quotes": ({SHEET: merge("<mergeCell ref='A1:CV100000'/>")}, "reaches over 10,000,000"),
    "spaces": ({SHEET: merge('<mergeCell ref = "A1:CV100000"/>')}, "reaches over 10,000,000"),
    "reference": ({SHEET: merge('<mergeCell ref="A1:CV1&#48;0000"/>')}, "reaches over 10,000,000"),
    "many ranges": ({SHEET: merge('<mergeCell ref="A1:CV20000"/>' * 3)}, "reaches over 6,000,000"),
    "UTF-16": (
        {SHEET: merge('<mergeCell ref="A1:CV100000"/>').encode("utf-16")}, "reaches over 10,000,000"
    ),
    "prefix": ({SHEET: name_prefix(merge('<mergeCell ref="A1:CV100000"/>'))}, "reaches over 10,000"),
    "wide": ({SHEET: make_sheet('<row r="1"><c r="XFD1"><v>1</v></c></row>' + "<row><c><v>1</v></c></row>" * 400)}, "reaches over"),
    "cells of a row": ({SHEET: make_sheet("<row>" + "<c/>" * 16_385 + "</row>")}, "row 1 has more than 16,384 cells"),
    "rows": ({SHEET: make_sheet('<row r="1048576"/><row/>')}, "'1048577' is not the number"),
    "row beyond": ({SHEET: make_sheet('<row r="99999999"/>')}, "'99999999' is not the number"),
    "column beyond": ({SHEET: make_sheet('<row><c r="ZZZ1"/></row>')}, "column ZZZ is beyond"),
    "other row": ({SHEET: make_sheet('<row r="1"><c r="A2"/></row>')}, "cell A2 is in row 1"),
    "open tags": ({SHEET: "<c " * 20_000}, "not valid XML"),
    "depth": ({SHEET: make_sheet(ROW + "<a>" * 101)}, "nested deeper than 100"),
    "attributes": (
        {SHEET: make_sheet("<row " + " ".join(f'a{n}="1"' for n in range(130_000)) + "/>")}, "a tag has"
    ),
    "names": ({SHEET: make_sheet("".join(f"<a{n}/>" for n in range(10_001)))}, "different names or paths"),
    "entities": (
        {SHEET: '<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + SCORES}, "document type"
    ),
    "outside entity": (
        {STRINGS: '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]><sst>&a;</sst>'}, "document type"
    ),
    "encoding": ({SHEET: '<?xml version="1.0" encoding="x"?>' + SCORES}, "encoding that is not read"),
    "several bytes": ({SHEET: '<?xml version="1.0" encoding="big5"?>' + SCORES}, "encoding that is not read"),
    "text": ({
        STRINGS: f'<sst xmlns="{MAIN}"><si><t>{"x" * 70_000}</t></si></sst>',
        SHEET: make_sheet("<row>" + '<c t="s"><v>0</v></c>' * 1000 + "</row>"),
    }, "more than 67,108,864 characters"),
    "string": ({SHEET: make_sheet('<row><c t="s"><v>7</v></c></row>')}, "cell A1 holds '7'"),
    "digits": ({SHEET: make_sheet(f'<row><c><v>{"9" * 5000}</v></c></row>')}, "cell A1 holds '9999"),
    "no number": ({SHEET: make_sheet("<row><c><v>1_0</v></c></row>")}, "cell A1 holds '1_0'"),
    "yes or no": ({SHEET: make_sheet('<row><c t="b"><v>2</v></c></row>')}, "cell A1 holds '2'"),
    "date": ({SHEET: make_sheet('<row><c t="d"><v>2026-13-01</v></c></row>')}, "cell A1 holds '2026"),
    "style": ({SHEET: make_sheet('<row><c s="x"><v>1</v></c></row>')}, "'x' is not the number"),
    "formats": (
        {STYLES: f'<styleSheet xmlns="{MAIN}"><cellXfs>' + "<xf/>" * 70_001 + "</cellXfs></styleSheet>"},
        "more than 70,000 formats",
    ),
    "two names": (
        {BOOK: PARTS[BOOK].replace("<sheets>", '<sheets><sheet name="scores" r:id="s"/>')},
        "two of its sheets have the name 'scores'",
    ),
    "no part": ({"xl/_rels/workbook.xml.rels": PARTS["_rels/.rels"]}, "sheet 'scores' has no part of the archive"),
    "outside part": (
        {"_rels/.rels": PARTS["_rels/.rels"].replace(f"/{BOOK}", "../../etc/passwd")},
        "is missing",
    ),
    "no relations": ({"_rels/.rels": "<a/>"}, "no part that lists the sheets"),
    "cut": ({SHEET: SCORES[:-9]}, "not valid XML"),
    "not XML": ({STYLES: b"\x89PNG\r\n"}, "in 'xl/styles.xml': it is not valid XML"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_workbook_is_refused_at_once_by_a_sentence(tmp_path: Path, name: str) -> None:
    parts, sentence = HOSTILE[name]
    path = write_workbook(tmp_path / "a.xlsx", parts)
    started = time.process_time()
    with pytest.raises(UserError) as caught:
        read_structured(path)
    assert time.process_time() - started < 1
    message = str(caught.value)
    assert message.startswith(f"{path}: not an Excel workbook that can be read (")
    assert message.endswith("); save it again as .xlsx")
    assert sentence in message
    assert len(message) < len(str(path)) + 300


@pytest.mark.parametrize(
    "parts",
    [
        {SHEET: SCORES.encode("utf-16")},
        {SHEET: name_prefix(SCORES)},
        {SHEET: SCORES.replace("<v>3.5</v>", "<!-- 9 --><v><![CDATA[3]]>&#46;5<!-- 9 --></v>")},
        {SHEET: SCORES.replace('"', "'")},
        {SHEET: SCORES.replace(MAIN, "http://purl.oclc.org/ooxml/spreadsheetml/main")},
        {SHEET: SCORES.replace("</worksheet>", '<hyperlinks><hyperlink ref="A1:XFD1048576"/></hyperlinks></worksheet>')},
        {SHEET: SCORES.replace("</sheetData>", '<row r="1048576" hidden="1"/></sheetData>')},
        {STYLES: f'<styleSheet xmlns="{MAIN}"><cellStyles>' + "".join(f'<cellStyle name="{n}" xfId="0"/>' for n in range(5000)) + "</cellStyles></styleSheet>"},
        {SHEET: SCORES.replace("</sheetData>", f"<!-- > -->{FAR}</sheetData>")},
        {BOOK: PARTS[BOOK].replace("</sheets>", '<sheet name="module" r:id="x"/></sheets>')},
        {"xl/worksheets/sheet2.xml": make_sheet(FAR), "xl/media/a.png": b"\x89PNG", "a.xml": b"<a"},
    ],
)  # fmt: skip
def test_what_is_harmless_is_read(tmp_path: Path, parts: dict[str, str | bytes]) -> None:
    started = time.process_time()
    table = read_structured(write_workbook(tmp_path / "a.xlsx", parts))
    assert time.process_time() - started < 1
    assert table.columns == {"video": ["a.mp4"], "mos": [3.5]}


@pytest.mark.parametrize(
    ("version", "flags", "sentence"),
    [(99, 0, "another version of the zip"), (20, 1, "password"), (20, 0x20, "patch"), (20, 0x40, "password")],
)  # fmt: skip
def test_a_workbook_whose_archive_cannot_be_unpacked(
    tmp_path: Path, version: int, flags: int, sentence: str
) -> None:
    path = set_version(write_workbook(tmp_path / "a.xlsx"), version, flags)
    with pytest.raises(UserError, match=f"a.xlsx: not an Excel workbook .*{sentence}.*save it"):
        read_structured(path)


def test_every_damaged_byte_of_a_workbook_ends_in_a_sentence(tmp_path: Path) -> None:
    data = write_workbook(tmp_path / "a.xlsx").read_bytes()
    path = tmp_path / "b.xlsx"
    refused = 0
    for place in range(0, len(data), 7):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        try:
            read_structured(path)
        except UserError as error:
            assert str(error).startswith(f"{path}: ")
            refused += 1
    assert refused > len(data) / 7 / 2


def test_the_memory_of_the_parser_does_not_depend_on_the_size() -> None:
    stream = io.BytesIO(b"<a>" + (b"<b>" + b"text " * 300 + b"</b>") * 2000 + b"</a>")
    tracemalloc.start()
    parse_xml(stream, [""])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert stream.tell() > 3_000_000
    assert peak < 600_000


def test_too_many_elements_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sfqa.untrusted.limits.XML_ELEMENTS", 100)
    with pytest.raises(RefusedError, match="more than 100 elements"):
        parse_xml(io.BytesIO(b"<a>" + b"<b/>" * 100 + b"</a>"), [""])


def fill_workbook(epoch: datetime.datetime | None) -> openpyxl.Workbook:
    """Return a workbook of every type of cell that openpyxl writes."""
    workbook = openpyxl.Workbook()
    sheet: Any = workbook.active
    if epoch:
        workbook.epoch = epoch
    sheet.append(["text", " spaces ", "_x005F_x000D_", "歌 <&> \n", "", None, True, False])
    sheet.append([1, -2.5, 1e-7, 1e300, 2**53 + 1, 0, "1", "#N/A", "=1+1"])
    moments = [
        datetime.datetime(2026, 11, 30, 12, 30, 15), datetime.date(1999, 1, 1), datetime.time(23, 59),
        datetime.timedelta(hours=30, seconds=1.5), datetime.datetime(1904, 1, 2),
    ]  # fmt: skip
    sheet.append([])
    sheet.append(moments)
    sheet["Z9"] = 3
    sheet["A12"] = 1e12
    sheet["A12"].number_format = "yyyy-mm-dd"
    sheet["B12"] = 0.5
    sheet["B12"].number_format = '[Red]"day"0.0'
    sheet["C12"] = 0.5
    sheet["C12"].number_format = "[h]:mm"
    sheet["D12"], sheet["E12"] = "head", "lost"
    sheet.merge_cells("D12:F12")
    workbook.create_chartsheet("chart").add_chart(BarChart())
    workbook.create_sheet("other").append(["x"])
    return workbook


@pytest.mark.filterwarnings("ignore:Cell A12 is marked as a date")
@pytest.mark.parametrize("epoch", [None, datetime.datetime(1904, 1, 1)])
def test_the_values_are_those_of_openpyxl(tmp_path: Path, epoch: datetime.datetime | None) -> None:
    path = tmp_path / "a.xlsx"
    fill_workbook(epoch).save(path)
    reference = openpyxl.load_workbook(path, data_only=True)
    with open_workbook(path) as workbook:
        assert workbook.titles == ["Sheet", "other"]
        for title in workbook.titles:
            rows = workbook.read_sheet(title).rows
            values = {
                (number, column): value
                for number, cells in rows.items()
                for column, value in enumerate(cells, 1)
                if value is not None
            }
            expected = {
                (cell.row, cell.column): cell.value
                for row in reference[title].iter_rows()
                for cell in row
                if cell.value is not None
            }
            assert {k: repr(v) for k, v in values.items()} == {
                k: repr(v) for k, v in expected.items()
            }
            assert list(rows) == sorted(rows)


def test_rows_out_of_order_and_repeated_cells_are_read_as_by_openpyxl(tmp_path: Path) -> None:
    rows = '<row r="3"><c r="B3"><v>1</v></c><c r="A3"><v>2</v></c></row><row r="2"><c><v>4</v></c><c><v>5</v></c></row>'
    path = write_workbook(tmp_path / "a.xlsx", {SHEET: make_sheet(rows)})
    with open_workbook(path) as workbook:
        assert workbook.read_sheet("scores").rows == {2: [4, 5], 3: [2, 1]}
    values = openpyxl.load_workbook(path)["scores"].iter_rows(min_row=2, values_only=True)
    assert list(values) == [(4, 5), (2, 1)]


def test_only_the_sheet_that_is_read_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    open_member = zipfile.ZipFile.open

    def note_name(archive: zipfile.ZipFile, name: Any, *arguments: Any) -> Any:
        names.append(name)
        return open_member(archive, name, *arguments)

    path = write_workbook(tmp_path / "a.xlsx", {"xl/drawings/drawing1.xml": "<a/>"})
    monkeypatch.setattr(zipfile.ZipFile, "open", note_name)
    read_structured(path)
    assert sorted(names) == sorted([*set(PARTS) - {"[Content_Types].xml"}, SHEET])


FORMULAS = make_sheet(
    '<row><c t="str"><v>video</v></c><c t="str"><v>mos</v></c><c t="str"><v>note</v></c></row><row>'
    '<c t="str"><v>a</v></c><c><f>1+1</f><v>2</v></c><c t="str"><f>IF(1=1,"","x")</f><v></v></c></row>'
)


def test_a_formula_whose_value_is_an_empty_text_has_a_value(tmp_path: Path) -> None:
    table = read_structured(write_workbook(tmp_path / "a.xlsx", {SHEET: FORMULAS}))
    assert table.columns == {"video": ["a"], "mos": [2], "note": [None]}
    path = write_workbook(tmp_path / "a.xlsx", {SHEET: FORMULAS.replace("<v>2</v>", "<v></v>")})
    with pytest.raises(UserError, match="cell B2: a formula without a stored value"):
        read_structured(path)


def test_values_of_formulas_that_are_to_be_computed_are_not_read(tmp_path: Path) -> None:
    """XlsxWriter, among others, stores 0 as the value of each formula."""
    book = PARTS[BOOK].replace(
        "</workbook>", '<calcPr calcId="124519" fullCalcOnLoad="1"/></workbook>'
    )
    parts: dict[str, str | bytes] = {BOOK: book, SHEET: FORMULAS}
    with pytest.raises(UserError, match="cell B2: .* not computed; open the workbook"):
        read_structured(write_workbook(tmp_path / "a.xlsx", parts))
    table = read_structured(write_workbook(tmp_path / "a.xlsx", {BOOK: book}))
    assert table.columns["mos"] == [3.5]


def test_names_of_columns_that_begin_alike_take_no_time(tmp_path: Path) -> None:
    cells = "".join(f'<c t="str"><v>{"a" * 500}{n}</v></c>' for n in range(16_384))
    path = write_workbook(
        tmp_path / "a.xlsx", {SHEET: make_sheet(f"<row>{cells}</row><row><c><v>1</v></c></row>")}
    )
    started = time.process_time()
    assert len(read_structured(path).columns) == 16_384
    assert time.process_time() - started < 2
