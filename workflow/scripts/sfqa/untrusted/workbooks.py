"""The reader of Excel workbooks: one sheet is read cell by cell, and nothing else is built.

Only six parts of the archive are read, each by :mod:`~sfqa.untrusted.xml_parts`: the two lists of
relations, the list of sheets, the styles, the shared strings and the sheet. What is not among them
(pictures, charts, links, comments, other sheets, macros) costs nothing. The values are those of
openpyxl, whose functions decide which number is a date.

openpyxl does not read the file: it takes over 60 s for 2 KB that merge or link a large range, and
8 GB for shared strings that unpack from 54 KB; a check before it would have to know every such
part.

Source: ECMA-376, Part 1 (SpreadsheetML) and Part 2 (packages).
"""

from __future__ import annotations

import datetime
import posixpath
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sfqa.shown_text import quote_value
from sfqa.untrusted import limits
from sfqa.untrusted.archives import check_members, open_archive
from sfqa.untrusted.limits import RefusedError
from sfqa.untrusted.worksheets import ELEMENTS, TEXTS, Sheet, SheetParser, is_true
from sfqa.untrusted.xml_parts import EndHandler, StartHandler, parse_xml

#: The vocabularies of the transitional and of the strict form of the standard.
_MAIN = (
    "http://schemas.openxmlformats.org/spreadsheetml/2006/main",
    "http://purl.oclc.org/ooxml/spreadsheetml/main",
)
_RELATIONS = ("http://schemas.openxmlformats.org/package/2006/relationships",)
_STRING, _STRING_TEXTS = "sst/si", ("sst/si/t", "sst/si/r/t")
_BOOK_SHEET, _BOOK_OPTIONS = "workbook/sheets/sheet", "workbook/workbookPr"
_BOOK_FORMULAS = "workbook/calcPr"
_NUMBER_FORMAT, _CELL_FORMAT = "styleSheet/numFmts/numFmt", "styleSheet/cellXfs/xf"
_RELATION = "Relationships/Relationship"
#: Characters of a number format in Excel.
_FORMAT_CHARS = 255


@dataclass
class Workbook:
    """An open workbook; ``titles`` are the names of its sheets with cells, in order."""

    _archive: zipfile.ZipFile
    _parts: dict[str, str]
    _strings_part: str
    _styles_part: str
    _epoch: datetime.datetime
    _has_computed: bool

    @property
    def titles(self) -> list[str]:
        """The names of the sheets, those of charts left out."""
        return list(self._parts)

    def read_sheet(self, title: str) -> Sheet:
        """Return a sheet; raises :class:`RefusedError` if it exceeds a limit or is damaged."""
        if not self._parts[title]:
            raise RefusedError(f"its sheet {quote_value(title)} has no part of the archive")
        strings = _read_strings(self._archive, self._strings_part) if self._strings_part else []
        dates = _read_dates(self._archive, self._styles_part, self._epoch)
        parser = SheetParser(Sheet(title), strings, dates, self._has_computed)
        _parse_part(
            self._archive,
            self._parts[title],
            _MAIN,
            ELEMENTS,
            parser.open_element,
            parser.close_element,
            TEXTS,
        )
        return parser.finish_sheet()


@contextmanager
def open_workbook(path: Path) -> Iterator[Workbook]:
    """Open an Excel workbook, whose archive is checked before anything is unpacked.

    Raises :class:`RefusedError` for content that is refused, ``OSError``, and the errors of
    ``zipfile`` for a damaged archive.
    """
    from openpyxl.utils.datetime import MAC_EPOCH, WINDOWS_EPOCH

    with open_archive(path) as archive:
        check_members(archive, limits.WORKBOOK_BYTES, limits.WORKBOOK_BYTES)
        books = [
            target
            for relation, target in _read_relations(archive, "").values()
            if relation == "officeDocument"
        ]
        if not books:
            raise RefusedError("it has no part that lists the sheets")
        relations = _read_relations(archive, books[0])
        parts: dict[str, str] = {}
        epoch, has_computed = WINDOWS_EPOCH, True

        def note_sheet(path: str, attributes: dict[str, str]) -> None:
            nonlocal epoch, has_computed
            if path == _BOOK_OPTIONS and is_true(attributes.get("date1904", "0")):
                epoch = MAC_EPOCH
            # Libraries that do not compute write 0 as the value of each formula, and this.
            if path == _BOOK_FORMULAS and is_true(attributes.get("fullCalcOnLoad", "0")):
                has_computed = False
            if path == _BOOK_SHEET:
                title = attributes.get("name", "")
                reference = next(
                    (v for k, v in attributes.items() if k.endswith("/relationships id")), ""
                )
                relation, target = relations.get(reference, ("worksheet", ""))
                if title in parts:
                    raise RefusedError(f"two of its sheets have the name {quote_value(title)}")
                if relation == "worksheet":
                    parts[title] = target

        _parse_part(
            archive, books[0], _MAIN, (_BOOK_SHEET, _BOOK_OPTIONS, _BOOK_FORMULAS), note_sheet
        )
        others = dict(relations.values())
        yield Workbook(
            archive, parts, others.get("sharedStrings", ""), others.get("styles", ""), epoch,
            has_computed,
        )  # fmt: skip


def _parse_part(
    archive: zipfile.ZipFile, part: str, namespaces: tuple[str, ...],
    reported: tuple[str, ...], on_start: StartHandler,
    on_end: EndHandler = lambda path, text: None, texts: tuple[str, ...] = (),
) -> None:  # fmt: skip
    """Parse a part of the archive; each error names it."""
    try:
        with archive.open(part) as stream:
            parse_xml(stream, namespaces, frozenset(reported), on_start, on_end, frozenset(texts))
    except KeyError as error:
        raise RefusedError(f"its part {quote_value(part)} is missing") from error
    except RefusedError as error:
        raise RefusedError(f"in {quote_value(part)}: {error}") from error


def _read_relations(archive: zipfile.ZipFile, part: str) -> dict[str, tuple[str, str]]:
    """Return the relations of a part ('' for the package): the type and target of each id."""
    folder, name = posixpath.split(part)
    relations: dict[str, tuple[str, str]] = {}

    def add_relation(path: str, attributes: dict[str, str]) -> None:
        if path == _RELATION and attributes.get("TargetMode") != "External":
            if len(relations) >= limits.ARCHIVE_MEMBERS:
                raise RefusedError(f"it has more than {limits.ARCHIVE_MEMBERS:,} relations")
            target = posixpath.normpath(posixpath.join("/", folder, attributes.get("Target", "")))
            relation = attributes.get("Type", "").rpartition("/")[2]
            relations[attributes.get("Id", "")] = (relation, target.lstrip("/"))

    relations_part = posixpath.join(folder, "_rels", f"{name}.rels")
    _parse_part(archive, relations_part, _RELATIONS, (_RELATION,), add_relation)
    return relations


def _read_strings(archive: zipfile.ZipFile, part: str) -> list[str]:
    """Return the shared strings, whose formatted pieces are joined; readings are left out."""
    strings: list[str] = []
    pieces: list[str] = []

    def add_text(path: str, text: str) -> None:
        if path in _STRING_TEXTS:
            pieces.append(text)
        elif path == _STRING:
            # _x005F_ stands for an underscore before what would be another such code.
            strings.append("".join(pieces).replace("x005F_", ""))
            pieces.clear()

    _parse_part(
        archive, part, _MAIN, (_STRING, *_STRING_TEXTS), lambda path, attributes: None, add_text,
        _STRING_TEXTS,
    )  # fmt: skip
    return strings


def _read_dates(
    archive: zipfile.ZipFile, part: str, epoch: datetime.datetime
) -> dict[int, Callable[[float], Any]]:
    """Return, for each cell format that shows dates or times, the function that makes one."""
    from openpyxl.styles.numbers import BUILTIN_FORMATS, is_date_format, is_timedelta_format
    from openpyxl.utils.datetime import from_excel

    codes: dict[str, str] = {str(number): code for number, code in BUILTIN_FORMATS.items()}
    formats: list[str] = []

    def note_format(path: str, attributes: dict[str, str]) -> None:
        if path == _NUMBER_FORMAT:
            codes[attributes.get("numFmtId", "")] = attributes.get("formatCode", "")
        elif path == _CELL_FORMAT:
            formats.append(attributes.get("numFmtId", "0"))
        if max(len(codes), len(formats)) > limits.WORKBOOK_FORMATS:
            raise RefusedError(f"it has more than {limits.WORKBOOK_FORMATS:,} formats of cells")

    if part:
        _parse_part(archive, part, _MAIN, (_NUMBER_FORMAT, _CELL_FORMAT), note_format)
    converters: dict[str, Callable[[float], Any]] = {}
    for number in set(formats):
        code = codes.get(number, "")[:_FORMAT_CHARS]
        if is_date_format(code):
            converters[number] = partial(
                from_excel, epoch=epoch, timedelta=is_timedelta_format(code)
            )
    return {n: converters[number] for n, number in enumerate(formats) if number in converters}
