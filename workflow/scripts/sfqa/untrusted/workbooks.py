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
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from sfqa.shown_text import quote_value
from sfqa.untrusted import limits
from sfqa.untrusted.archives import check_members, open_archive
from sfqa.untrusted.limits import RefusedError
from sfqa.untrusted.xml_parts import EndHandler, StartHandler, parse_xml

#: The vocabularies of the transitional and of the strict form of the standard.
_MAIN = (
    "http://schemas.openxmlformats.org/spreadsheetml/2006/main",
    "http://purl.oclc.org/ooxml/spreadsheetml/main",
)
_RELATIONS = ("http://schemas.openxmlformats.org/package/2006/relationships",)
_ROW = "worksheet/sheetData/row"
_CELL = f"{_ROW}/c"
_VALUE, _FORMULA = f"{_CELL}/v", f"{_CELL}/f"
_INLINE = (f"{_CELL}/is/t", f"{_CELL}/is/r/t")
_MERGED = "worksheet/mergeCells/mergeCell"
_STRING, _STRING_TEXTS = "sst/si", ("sst/si/t", "sst/si/r/t")
_BOOK_SHEET, _BOOK_OPTIONS = "workbook/sheets/sheet", "workbook/workbookPr"
_BOOK_FORMULAS = "workbook/calcPr"
_NUMBER_FORMAT, _CELL_FORMAT = "styleSheet/numFmts/numFmt", "styleSheet/cellXfs/xf"
_RELATION = "Relationships/Relationship"
_COORDINATE = re.compile(r"\$?([A-Za-z]{1,3})\$?([0-9]{1,7})")
_WHOLE = re.compile(r"[0-9]{1,9}(?:\.0*)?")
_INTEGER, _DECIMAL = (
    re.compile(r"[-+]?[0-9]{1,300}"),
    re.compile(r"[-+]?[0-9.]{1,300}(?:[eE][-+]?[0-9]{1,5})?"),
)
#: Rows and columns of a sheet, and characters of a number format, in Excel.
_LAST_ROW, _LAST_COLUMN, _FORMAT_CHARS = 1_048_576, 16_384, 255


@dataclass
class Sheet:
    """A sheet: its filled rows by number, in order; each ends with its last filled cell.

    ``merged``: the first range of merged cells over several rows, '' if there is none.
    ``missing_value``: the first cell with a formula whose value is not stored, or whose stored
    value is to be computed anew, '' if there is none.
    """

    title: str
    rows: dict[int, list[Any]] = field(default_factory=dict)
    merged: str = ""
    missing_value: str = ""


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
        parser = _SheetParser(Sheet(title), strings, dates, self._has_computed)
        _parse_part(
            self._archive, self._parts[title], _MAIN,
            (_ROW, _CELL, _VALUE, _FORMULA, *_INLINE, _MERGED), parser.start, parser.end,
            (_VALUE, *_INLINE),
        )  # fmt: skip
        return parser.finish()


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

        def start(path: str, attributes: dict[str, str]) -> None:
            nonlocal epoch, has_computed
            if path == _BOOK_OPTIONS and _is_true(attributes.get("date1904", "0")):
                epoch = MAC_EPOCH
            # Libraries that do not compute write 0 as the value of each formula, and this.
            if path == _BOOK_FORMULAS and _is_true(attributes.get("fullCalcOnLoad", "0")):
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

        _parse_part(archive, books[0], _MAIN, (_BOOK_SHEET, _BOOK_OPTIONS, _BOOK_FORMULAS), start)
        others = dict(relations.values())
        yield Workbook(
            archive, parts, others.get("sharedStrings", ""), others.get("styles", ""), epoch,
            has_computed,
        )  # fmt: skip


def _parse_part(
    archive: zipfile.ZipFile, part: str, namespaces: tuple[str, ...],
    reported: tuple[str, ...], start: StartHandler,
    end: EndHandler = lambda path, text: None, texts: tuple[str, ...] = (),
) -> None:  # fmt: skip
    """Parse a part of the archive; each error names it."""
    try:
        with archive.open(part) as stream:
            parse_xml(stream, namespaces, frozenset(reported), start, end, frozenset(texts))
    except KeyError as error:
        raise RefusedError(f"its part {quote_value(part)} is missing") from error
    except RefusedError as error:
        raise RefusedError(f"in {quote_value(part)}: {error}") from error


def _read_relations(archive: zipfile.ZipFile, part: str) -> dict[str, tuple[str, str]]:
    """Return the relations of a part ('' for the package): the type and target of each id."""
    folder, name = posixpath.split(part)
    relations: dict[str, tuple[str, str]] = {}

    def start(path: str, attributes: dict[str, str]) -> None:
        if path == _RELATION and attributes.get("TargetMode") != "External":
            if len(relations) >= limits.ARCHIVE_MEMBERS:
                raise RefusedError(f"it has more than {limits.ARCHIVE_MEMBERS:,} relations")
            target = posixpath.normpath(posixpath.join("/", folder, attributes.get("Target", "")))
            relation = attributes.get("Type", "").rpartition("/")[2]
            relations[attributes.get("Id", "")] = (relation, target.lstrip("/"))

    relations_part = posixpath.join(folder, "_rels", f"{name}.rels")
    _parse_part(archive, relations_part, _RELATIONS, (_RELATION,), start)
    return relations


def _read_strings(archive: zipfile.ZipFile, part: str) -> list[str]:
    """Return the shared strings, whose formatted pieces are joined; readings are left out."""
    strings: list[str] = []
    pieces: list[str] = []

    def end(path: str, text: str) -> None:
        if path in _STRING_TEXTS:
            pieces.append(text)
        elif path == _STRING:
            # _x005F_ stands for an underscore before what would be another such code.
            strings.append("".join(pieces).replace("x005F_", ""))
            pieces.clear()

    _parse_part(
        archive, part, _MAIN, (_STRING, *_STRING_TEXTS), lambda path, attributes: None, end,
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

    def start(path: str, attributes: dict[str, str]) -> None:
        if path == _NUMBER_FORMAT:
            codes[attributes.get("numFmtId", "")] = attributes.get("formatCode", "")
        elif path == _CELL_FORMAT:
            formats.append(attributes.get("numFmtId", "0"))
        if max(len(codes), len(formats)) > limits.WORKBOOK_FORMATS:
            raise RefusedError(f"it has more than {limits.WORKBOOK_FORMATS:,} formats of cells")

    if part:
        _parse_part(archive, part, _MAIN, (_NUMBER_FORMAT, _CELL_FORMAT), start)
    converters: dict[str, Callable[[float], Any]] = {}
    for number in set(formats):
        code = codes.get(number, "")[:_FORMAT_CHARS]
        if is_date_format(code):
            converters[number] = partial(
                from_excel, epoch=epoch, timedelta=is_timedelta_format(code)
            )
    return {n: converters[number] for n, number in enumerate(formats) if number in converters}


class _SheetParser:
    """Builds a sheet from the elements of its part; raises :class:`RefusedError`."""

    def __init__(
        self, sheet: Sheet, strings: list[str], dates: dict[int, Callable[[float], Any]],
        has_computed: bool,
    ) -> None:  # fmt: skip
        self._sheet, self._strings, self._dates = sheet, strings, dates
        self._has_computed = has_computed
        self._row = self._column = self._last_column = 0
        self._chars = self._merged_cells = 0
        self._ranges: list[tuple[int, int, int]] = []
        self._type, self._style, self._value = "n", 0, ""
        self._inline: list[str] = []
        self._has_formula = self._has_value = False

    def start(self, path: str, attributes: dict[str, str]) -> None:
        """Take the position and type of a row, a cell or a range."""
        if path == _CELL:
            self._start_cell(attributes)
        elif path == _ROW:
            self._row = _parse_whole(attributes.get("r") or str(self._row + 1), _LAST_ROW)
            self._column = 0
        elif path == _FORMULA:
            self._has_formula = True
        elif path == _MERGED:
            self._add_range(attributes.get("ref", ""))

    def end(self, path: str, text: str) -> None:
        """Take the text of a value, and the value of a cell."""
        if path == _CELL:
            self._end_cell()
        elif path == _VALUE:
            self._value, self._has_value = text, True
        elif path in _INLINE:
            self._inline.append(text)

    def _start_cell(self, attributes: dict[str, str]) -> None:
        if reference := attributes.get("r", ""):
            column, row = _parse_coordinate(reference)
            if row != self._row:
                raise RefusedError(f"the cell {reference} is in row {self._row}")
            self._column = column
        else:
            self._column += 1
            if self._column > _LAST_COLUMN:
                raise RefusedError(f"the row {self._row} has more than {_LAST_COLUMN:,} cells")
        self._type, self._value, self._inline = attributes.get("t", "n"), "", []
        self._style = _parse_whole(attributes["s"]) if "s" in attributes else 0
        self._has_formula = self._has_value = False

    def _end_cell(self) -> None:
        value = self._convert()
        if self._has_formula and not self._sheet.missing_value:
            # A formula whose value is an empty text has an empty value of the type str.
            is_empty_text = self._type == "str" and self._has_value
            if not self._has_computed or (value is None and not is_empty_text):
                self._sheet.missing_value = self._describe_cell()
        if value is None:
            return
        if isinstance(value, str):
            self._chars += len(value)
            if self._chars > limits.WORKBOOK_BYTES:
                raise RefusedError(
                    f"its cells have more than {limits.WORKBOOK_BYTES:,} characters together"
                )
        cells = self._sheet.rows.setdefault(self._row, [])
        self._last_column = max(self._column, self._last_column)
        _check_cells(self._last_column * len(self._sheet.rows))
        if len(cells) < self._column:
            cells.extend([None] * (self._column - len(cells)))
        cells[self._column - 1] = value

    def _convert(self) -> Any:
        """Return the value of the cell that ends, None if it is empty."""
        text, cell_type = self._value, self._type
        if cell_type == "inlineStr":
            return "".join(self._inline) if self._inline else None
        if not text:
            return None
        try:
            if cell_type == "n":
                return self._convert_number(text)
            if cell_type == "s":
                return self._strings[_parse_whole(text)]
            if cell_type == "b":
                return _is_true(text)
            if cell_type == "d":
                from openpyxl.utils.datetime import from_ISO8601

                return from_ISO8601(text)
        except (RefusedError, IndexError, ValueError, OverflowError) as error:
            raise RefusedError(
                f"the cell {self._describe_cell()} holds {quote_value(text, 20)}, which cannot be "
                f"read as a value of its type {quote_value(cell_type, 20)}"
            ) from error
        return text

    def _convert_number(self, text: str) -> Any:
        text = text.strip()
        if _INTEGER.fullmatch(text):
            number: float = int(text)
        elif _DECIMAL.fullmatch(text):
            number = float(text)
        else:
            raise ValueError("not a number")
        if self._style not in self._dates:
            return number
        try:
            return self._dates[self._style](number)
        except (OverflowError, ValueError):
            return "#VALUE!"  # as spreadsheet programs show a number that is no date

    def _describe_cell(self) -> str:
        from openpyxl.utils import get_column_letter

        return f"{get_column_letter(self._column)}{self._row}"

    def _add_range(self, reference: str) -> None:
        first, _, last = reference.partition(":")
        first_column, first_row = _parse_coordinate(first)
        last_column, last_row = _parse_coordinate(last or first)
        if last_column < first_column or last_row < first_row:
            raise RefusedError(f"the merged cells {quote_value(reference)} end before they begin")
        self._merged_cells += (last_column - first_column + 1) * (last_row - first_row + 1)
        _check_cells(self._merged_cells)
        if last_row > first_row:
            self._sheet.merged = self._sheet.merged or reference
        self._ranges.append((first_row, first_column, last_column))

    def finish(self) -> Sheet:
        """Return the sheet in the order of its rows, without the cells that a range covers."""
        for row, first, last in self._ranges:
            cells = self._sheet.rows.get(row, [])
            for column in range(first, min(last, len(cells))):
                cells[column] = None
        self._sheet.rows = dict(sorted(self._sheet.rows.items()))
        return self._sheet


def _check_cells(count: int) -> None:
    if count > limits.WORKBOOK_CELLS:
        raise RefusedError(
            f"a sheet reaches over {count:,} cells; at most {limits.WORKBOOK_CELLS:,} are read"
        )


def _parse_coordinate(reference: str) -> tuple[int, int]:
    """Return the column and the row of a cell.

    >>> _parse_coordinate("A1"), _parse_coordinate("$AB$12")
    ((1, 1), (28, 12))
    """
    match = _COORDINATE.fullmatch(reference)
    row = int(match[2]) if match else 0
    if not match or not 1 <= row <= _LAST_ROW:
        raise RefusedError(f"{quote_value(reference)} is not the name of a cell")
    return _parse_column(match[1]), row


@lru_cache(1000)
def _parse_column(letters: str) -> int:
    column = 0
    for letter in letters.upper():
        column = 26 * column + ord(letter) - ord("A") + 1
    if column > _LAST_COLUMN:
        raise RefusedError(f"the column {letters} is beyond the last one of a sheet")
    return column


def _parse_whole(text: str, highest: int | None = None) -> int:
    """Return a whole number of a sheet; from 1 to ``highest`` if that is given.

    >>> _parse_whole("5"), _parse_whole("5.0", 9)
    (5, 5)
    """
    number = int(text.partition(".")[0]) if _WHOLE.fullmatch(text) else -1
    if number < 0 or (highest is not None and not 1 <= number <= highest):
        raise RefusedError(f"{quote_value(text)} is not the number of a row, string or format")
    return number


def _is_true(text: str) -> bool:
    """Return a yes-no value of XML; raises ``ValueError`` for any other text."""
    if text.strip() not in ("0", "1", "true", "false"):
        raise ValueError(f"{quote_value(text)} is not a yes-no value")
    return text.strip() in ("1", "true")
