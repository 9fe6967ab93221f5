"""The catalog of a dataset: a DuckDB file with a commented view of every table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from sfqa import tables
from sfqa.errors import UserError
from sfqa.store import replacing

VERSION = 2


@dataclass(frozen=True)
class _View:
    name: str
    files: str
    row: str
    columns: tuple[tables.Column, ...]


def build_catalog(dataset_folder: Path, out: Path) -> None:
    """Write ``out``, a DuckDB file with a commented view of each table that exists.

    Views: those of :data:`sfqa.tables.TABLES`, and ``features_<extractor>`` for every folder of
    ``features/`` (signs other than letters, digits and _ become _). Views read the Parquet files
    when they are queried and hold their paths exactly as ``dataset_folder`` is given: with a
    relative folder, open the catalog from the folder the workflow runs in; then project and catalog
    can be moved together.
    Comments of views and columns (``duckdb_views()``, ``duckdb_columns()``) give meaning and unit.
    Raises :class:`UserError` if the folder holds no table.
    """
    folder = Path(dataset_folder)
    views = [
        view for view in _list_views(folder) if next(folder.glob(view.files), None) is not None
    ]
    if not views:
        raise UserError(
            f"{folder}: no table found there; run the workflow for this dataset first, or name "
            "the folder results/<dataset>"
        )
    with replacing(out) as temporary:
        temporary.unlink()  # DuckDB creates the file itself and rejects an empty one
        with duckdb.connect(str(temporary)) as connection:
            for view in views:
                _create_view(connection, folder, view)


def _list_views(folder: Path) -> Iterator[_View]:
    for table in tables.TABLES.values():
        yield _View(table.name, table.glob(), table.row, table.columns)
    names: dict[str, str] = {}
    for path in sorted((folder / "features").glob("*/")):
        name = "features_" + re.sub(r"\W", "_", path.name)
        if name in names:
            raise UserError(
                f"{folder / 'features'}: {names[name]!r} and {path.name!r} would both be the view "
                f"{name}; rename one extractor"
            )
        names[name] = path.name
        row = f"the features of one sample by the extractor {path.name}"
        files = tables.FEATURES.glob(extractor=path.name)
        yield _View(name, files, row, tables.FEATURES.columns)


def _create_view(connection: duckdb.DuckDBPyConnection, folder: Path, view: _View) -> None:
    first = min(folder.glob(view.files))
    files = _quote((folder / view.files).as_posix())
    # Columns are matched by name, so a shard with more columns than the others is read too.
    source = f"read_parquet({files}, union_by_name = true)"
    connection.execute(f'CREATE VIEW "{view.name}" AS SELECT * FROM {source}')
    connection.execute(f'COMMENT ON VIEW "{view.name}" IS {_quote(f"one row: {view.row}")}')
    meanings = {column.name: (column.meaning, column.unit) for column in view.columns}
    for column in pq.read_schema(first):
        metadata = column.metadata or {}
        stored = metadata.get(b"meaning", b"").decode(), metadata.get(b"unit", b"").decode()
        meaning, unit = meanings.get(column.name, stored)
        if meaning:
            text = _quote(meaning + (f" [{unit}]" if unit else ""))
            name = column.name.replace('"', '""')
            connection.execute(f'COMMENT ON COLUMN "{view.name}"."{name}" IS {text}')


def _quote(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
