"""Workbooks with chosen parts, as a stranger could write them."""

from __future__ import annotations

import zipfile
from pathlib import Path

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
SHEET, STRINGS, BOOK, STYLES = (
    "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml", "xl/workbook.xml", "xl/styles.xml",
)  # fmt: skip
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
PARTS = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/{BOOK}" ContentType="{_TYPE}.sheet.main+xml"/>'
    f'<Override PartName="/{SHEET}" ContentType="{_TYPE}.worksheet+xml"/>'
    f'<Override PartName="/{STRINGS}" ContentType="{_TYPE}.sharedStrings+xml"/>'
    f'<Override PartName="/{STYLES}" ContentType="{_TYPE}.styles+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="a" Type="{_OFFICE}/officeDocument" Target="/{BOOK}"/></Relationships>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="s" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="t" Type="{_OFFICE}/sharedStrings" Target="sharedStrings.xml"/>'
    f'<Relationship Id="u" Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>',
    BOOK: f'<workbook xmlns="{MAIN}" xmlns:r="{_OFFICE}"><sheets>'
    '<sheet name="scores" sheetId="1" r:id="s"/></sheets></workbook>',
    STRINGS: f'<sst xmlns="{MAIN}"><si><t>video</t></si></sst>',
    STYLES: f'<styleSheet xmlns="{MAIN}"/>',
}  # fmt: skip


def make_sheet(rows: str, rest: str = "") -> str:
    """Return the XML of a sheet of these rows, and what follows them."""
    return f'<worksheet xmlns="{MAIN}"><sheetData>{rows}</sheetData>{rest}</worksheet>'


#: A video and its score.
SCORES = make_sheet(
    '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="inlineStr"><is><t>mos</t></is></c></row>'
    '<row r="2"><c r="A2" t="str"><v>a.mp4</v></c><c r="B2"><v>3.5</v></c></row>'
)


def write_workbook(path: Path, parts: dict[str, str | bytes] | None = None) -> Path:
    """Write a workbook of one sheet; ``parts`` replace or add members of the archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**PARTS, SHEET: SCORES, **(parts or {})}.items():
            archive.writestr(name, content)
    return path


def set_version(path: Path, version: int = 20, flags: int = 0) -> Path:
    """Let the last member of an archive need a version of the zip format, and have flags."""
    data = bytearray(path.read_bytes())
    local, listed = data.rindex(b"PK\x03\x04"), data.rindex(b"PK\x01\x02")
    for place in (local + 4, listed + 6):
        data[place : place + 2] = version.to_bytes(2, "little")
        data[place + 2] |= flags
    path.write_bytes(bytes(data))
    return path
