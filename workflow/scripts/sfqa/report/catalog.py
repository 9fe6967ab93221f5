"""The catalog of a dataset: one DuckDB file with a view, explained, over every table."""

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

#: Views in order: name, files inside the dataset's folder, what a row is.
VIEWS = (
    ("images", "materials/images.parquet", tables.IMAGES.row),
    ("clips", "materials/clips.parquet", tables.CLIPS.row),
    ("pairs", "pairs.parquet", tables.PAIRS.row),
    ("samples", "samples.parquet", tables.SAMPLES.row),
    ("videos", "generation/*/*.parquet", tables.VIDEOS.row),
    ("conformed", "conform/*/*.parquet", tables.CONFORMED.row),
    ("costs", "features/*/costs/*/*.parquet", tables.COSTS.row),
    ("plan", "ratings/study/plan.parquet", tables.PLAN.row),
    ("study_media", "ratings/study/media.parquet", tables.STUDY_MEDIA.row),
    ("score_details", "ratings/study/score_details.parquet", tables.SCORE_DETAILS.row),
    ("scores", "ratings/scores.parquet", tables.SCORES.row),
    ("raters", "ratings/raters.parquet", tables.RATERS.row),
    ("rater_report", "ratings/rater_report.parquet", tables.RATER_REPORT.row),
    ("reliability", "ratings/reliability.parquet", tables.RELIABILITY.row),
    ("mos", "ratings/mos.parquet", tables.MOS.row),
    ("mos_by_label", "ratings/mos_by_label.parquet", tables.MOS_BY_LABEL.row),
    ("label_differences", "ratings/label_differences.parquet", tables.LABEL_DIFFERENCES.row),
    ("predictions", "regression/*/predictions.parquet", tables.PREDICTIONS.row),
    ("learning", "regression/*/learning.parquet", tables.LEARNING.row),
    ("correlation", "correlation/correlation.parquet", tables.CORRELATION.row),
    ("correlation_by_method", "correlation/by_method.parquet", tables.CORRELATION_BY_METHOD.row),
    ("significance", "correlation/significance.parquet", tables.SIGNIFICANCE.row),
    ("rejects", "rejects.parquet", tables.REJECTS.row),
)


@dataclass(frozen=True)
class _View:
    name: str
    files: str
    row: str
    columns: tuple[tables.Column, ...]


def build_catalog(dataset_folder: Path, out: Path) -> None:
    """Write ``out``, a DuckDB file with a view over each table that is there, commented.

    Views: :data:`VIEWS`, and ``features_<extractor>`` for every folder of ``features/`` (signs
    other than letters, digits and _ become _). Views read the Parquet files when they are queried
    and hold their paths exactly as ``dataset_folder`` is given: with a relative folder, open the
    catalog from the folder the workflow runs in; then project and catalog can be moved together.
    Comments of views and columns (``duckdb_views()``, ``duckdb_columns()``) give meaning and unit.
    Raises :class:`UserError` where the folder holds no table.
    """
    folder = Path(dataset_folder)
    views = [view for view in _views(folder) if next(folder.glob(view.files), None) is not None]
    if not views:
        raise UserError(
            f"{folder}: no table found there; run the workflow for this dataset first, or name "
            "the folder results/<dataset>"
        )
    with replacing(out) as temporary:
        temporary.unlink()  # DuckDB makes the file itself and refuses an empty one
        with duckdb.connect(str(temporary)) as connection:
            for view in views:
                _create(connection, folder, view)


def _views(folder: Path) -> Iterator[_View]:
    known = {name: table.columns for name, table in tables.TABLES.items()}
    for name, files, row in VIEWS:
        yield _View(name, files, row, known[name])
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
        yield _View(name, f"features/{path.name}/*/*.parquet", row, tables.FEATURE_HEAD)


def _create(connection: duckdb.DuckDBPyConnection, folder: Path, view: _View) -> None:
    first = min(folder.glob(view.files))
    files = _text((folder / view.files).as_posix())
    # Shards agree in their columns; by name, one with more is still read.
    source = f"read_parquet({files}, union_by_name = true)"
    connection.execute(f'CREATE VIEW "{view.name}" AS SELECT * FROM {source}')
    connection.execute(f'COMMENT ON VIEW "{view.name}" IS {_text(f"one row: {view.row}")}')
    meanings = {column.name: (column.meaning, column.unit) for column in view.columns}
    for column in pq.read_schema(first):
        own = column.metadata or {}
        meaning = own.get(b"meaning", b"").decode(), own.get(b"unit", b"").decode()
        meaning = meanings.get(column.name, meaning)
        if meaning[0]:
            text = _text(meaning[0] + (f" [{meaning[1]}]" if meaning[1] else ""))
            name = column.name.replace('"', '""')
            connection.execute(f'COMMENT ON COLUMN "{view.name}"."{name}" IS {text}')


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
