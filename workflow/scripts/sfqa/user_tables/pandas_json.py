"""The forms of JSON that ``pandas.DataFrame.to_json`` writes, as a list of objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sfqa.errors import UserError
from sfqa.media_files import VIDEO_SUFFIXES, has_suffix


def convert_pandas_json(
    path: Path, content: Any, names: Sequence[str] | None, key_name: str
) -> Any:
    """Return the rows of a JSON document that pandas wrote, any other document as it is.

    The forms by their ``orient``:

    - ``split``: an object with the lists columns and data, and maybe index;
    - ``columns``: an object that maps each column to an object of its cells by row number or file;
    - ``values``: a list of lists, whose columns are called ``names``;
    - ``records``, ``index`` and ``table`` are lists or mappings of objects: returned as they are.

    An index other than 0, 1, 2, ... becomes the field ``key_name``. Raises :class:`UserError` for
    rows of another length, and for ``names`` where the document has names of its own.
    """
    is_list_of_lists = isinstance(content, list) and all(isinstance(row, list) for row in content)
    if names is not None and not (is_list_of_lists and content):
        raise UserError(f"{path}: its columns have names; leave 'header' out")
    if is_list_of_lists and content:
        if names is None:
            raise UserError(
                f"{path}, row 1: a list of values without names; name them with 'header'"
            )
        return _name_cells(path, list(names), content)
    if not isinstance(content, Mapping):
        return content
    if {"columns", "data"} <= content.keys() <= {"columns", "data", "index"}:
        columns, rows, index = content["columns"], content["data"], content.get("index")
        if not all(isinstance(part, list) for part in (columns, rows, index or [])):
            return content
        records = _name_cells(path, [_join_name(name) for name in columns], rows)
        return _add_index(path, records, index or [], key_name)
    if _has_cells_by_row(content):
        keys = list(next(iter(content.values())))
        records = [{name: cells[key] for name, cells in content.items()} for key in keys]
        return _add_index(path, records, keys, key_name)
    return content


def _has_cells_by_row(content: Mapping[str, Any]) -> bool:
    """Return whether an object maps columns to cells by row, and not rows to their fields.

    Fields are not called by row numbers or files. An object of videos with scores by numbers of
    raters looks alike, but holds no text.
    """
    values = list(content.values())
    if not values or not all(isinstance(cells, Mapping) and cells for cells in values):
        return False
    keys = list(values[0])
    if any(list(cells) != keys for cells in values):
        return False
    if all(has_suffix(key, VIDEO_SUFFIXES) for key in keys):
        return not any(has_suffix(name, VIDEO_SUFFIXES) for name in content)
    is_numbered = keys == [str(number) for number in range(len(keys))]
    return is_numbered and any(isinstance(cell, str) for cells in values for cell in cells.values())


def _name_cells(path: Path, names: list[str], rows: Sequence[Any]) -> list[dict[str, Any]]:
    for number, row in enumerate(rows, 1):
        if not isinstance(row, list) or len(row) != len(names):
            count = f"{len(row)} cells" if isinstance(row, list) else "no list of cells"
            raise UserError(f"{path}, row {number}: {count} where there are {len(names)} columns")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise UserError(f"{path}: the column {repeated[0]!r} is there twice; rename one")
    return [dict(zip(names, row, strict=True)) for row in rows]


def _join_name(name: Any) -> str:
    """Return the name of a column; that of a column with two levels is ``outer.inner``."""
    return ".".join(map(str, name)) if isinstance(name, list) else str(name)


def _add_index(
    path: Path, records: list[dict[str, Any]], index: Sequence[Any], key_name: str
) -> list[dict[str, Any]]:
    """Add the index as a field, unless it counts the rows."""
    if not index or [str(key) for key in index] == [str(k) for k in range(len(index))]:
        return records
    if len(index) != len(records):
        raise UserError(f"{path}: {len(index)} keys in index, but {len(records)} rows in data")
    if any(key_name in record for record in records):
        raise UserError(f"{path}: the column {key_name!r} is the index, too; rename it")
    return [
        {key_name: _join_name(key), **record} for key, record in zip(index, records, strict=True)
    ]
