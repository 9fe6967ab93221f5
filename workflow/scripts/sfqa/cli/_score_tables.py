"""The tables that ``sfqa correlate`` reads: scores, MOS and labels, and their arguments."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa.errors import UserError, hint
from sfqa.ratings.sample_ids import describe_unrated
from sfqa.user_tables import UserTable, read_table
from sfqa.user_tables.columns import describe_left_out, find_row_numbers
from sfqa.user_tables.numbers import is_empty
from sfqa.user_tables.summaries import leave_out_summary_rows

if TYPE_CHECKING:
    import pandas as pd

#: Columns that are tried if the arguments name none; case is ignored.
ID_COLUMNS = ("sample_id", "id", "video", "name", "filename", "file", "image")
MOS_COLUMNS = ("mos", "score", "dmos")
DIMENSION = "dimension"
#: Name of the dimension if the MOS table has no such column.
DEFAULT_DIMENSION = "quality"
#: Columns that are never scores, even if they hold numbers.
_NON_SCORES = (
    "n",
    "sd",
    "ci95_low",
    "ci95_high",
    "synthetic",
    "status",
    "detail",
    "shard",
    "method",
)


@dataclass
class ScoreTables:
    """The tables to correlate, in the package's columns, and notes on missing samples."""

    predictions: pd.DataFrame
    mos: pd.DataFrame
    samples: pd.DataFrame
    metrics: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that name the tables and their columns."""
    add = parser.add_argument
    add(
        "tables", type=Path, nargs="+", metavar="PRED",
        help=".csv, .tsv or .parquet: a row per sample with its id and one or more scores",
    )  # fmt: skip
    add("--mos", type=Path, metavar="FILE", help="table of the MOS (by default the first PRED)")
    group = parser.add_argument_group("columns")
    add = group.add_argument
    add("--id", metavar="COLUMN", help=f"ids of the samples (the first of {', '.join(ID_COLUMNS)})")
    add("--mos-id", metavar="COLUMN", help="ids in the MOS table (as --id)")
    add(
        "--score", action="append", default=[], metavar="COLUMN",
        help="a metric's score; may be repeated (by default all columns of numbers)",
    )  # fmt: skip
    add(
        "--lower", action="append", default=[], metavar="COLUMN",
        help="a score that is lower for better quality: its sign is flipped",
    )  # fmt: skip
    add("--mos-column", metavar="COLUMN", help=f"the MOS (the first of {', '.join(MOS_COLUMNS)})")
    add("--dimension", metavar="NAME", help="use this value of the MOS table's column 'dimension'")
    add(
        "--method", metavar="COLUMN",
        help="the generation method: adds the level of method means, and a table by method",
    )  # fmt: skip
    add(
        "--group", action="append", default=[], metavar="COLUMN",
        help="resample groups of samples that share this value (portrait, song); up to two",
    )  # fmt: skip


@dataclass(frozen=True)
class _ScoreColumn:
    """One metric's scores: their table and column, and the score of each sample."""

    path: Path
    column: str
    scores: dict[str, float]


def read_tables(args: argparse.Namespace) -> ScoreTables:
    """Return the tables. Raises :class:`UserError` naming file, row and column."""
    import pandas as pd

    if len(args.group) > 2 or len(set(args.group)) != len(args.group):
        raise UserError("--group: name one or two different columns")
    score_tables = [_read_file(path, "scores", args) for path in args.tables]
    mos_table = score_tables[0] if args.mos is None else _read_file(args.mos, "MOS", args)
    mos_path = mos_table.path
    mos_id = _find_column(mos_table, args.mos_id or args.id, ID_COLUMNS, "--mos-id")
    for table in score_tables:
        leave_out_summary_rows(table, _find_column(table, args.id, ID_COLUMNS, "--id"))
    leave_out_summary_rows(mos_table, mos_id)
    mos_column = _find_column(mos_table, args.mos_column, MOS_COLUMNS, "--mos-column")
    mos = _make_mos(mos_table, mos_id, mos_column, args.dimension)
    rated = set(mos["sample_id"])
    notes = [note for table in score_tables for note in table.notes]
    notes += [] if args.mos is None else mos_table.notes
    columns: list[_ScoreColumn] = []
    for table in score_tables:
        path = table.path
        id_column = _find_column(table, args.id, ID_COLUMNS, "--id")
        names = _read_names(table, id_column)
        excluded = {id_column, *args.group, args.method, *_NON_SCORES}
        if path == mos_path:
            excluded.add(mos_column)
        score_columns = _find_score_columns(
            table, args.score, excluded, len(score_tables) > 1, notes
        )
        shared = sum(name in rated for name in names)
        if not shared:
            raise UserError(
                f"{path}: none of its {len(names)} samples ({names[0]!r}, ...) is in {mos_path} "
                f"({min(rated)!r}, ...); check --id and --mos-id"
            )
        if shared < len(names):
            notes.append(describe_unrated(path, names, rated))
        if unscored := sorted(rated - set(names)):
            count = f"{len(unscored)} of {len(rated)} samples with a MOS"
            notes.append(f"{path}: has no row for {count}, the first is {unscored[0]!r}")
        for column in score_columns:
            scores = dict(zip(names, _read_numbers(table, column, notes), strict=True))
            columns.append(_ScoreColumn(path, column, scores))
    _check_options(args, columns)
    titles = _make_titles(columns)
    usable = _find_usable(columns, mos)
    samples = _make_samples(args, score_tables, mos_table, mos_id, usable)
    mos = _leave_out_unlabelled(mos, samples, notes)
    predictions = [
        _make_predictions(title, column.scores, str(dimension), group["sample_id"])
        for title, column in zip(titles, columns, strict=True)
        for dimension, group in mos.groupby("dimension", sort=True)
    ]
    metrics = [
        {
            "name": title, "group": str(column.path), "kind": "imported", "weights": "none",
            "direction": -1 if column.column in args.lower else 1,
        }
        for title, column in zip(titles, columns, strict=True)
    ]  # fmt: skip
    return ScoreTables(pd.concat(predictions, ignore_index=True), mos, samples, metrics, notes)


def _make_predictions(
    metric: str, scores: dict[str, float], dimension: str, sample_ids: pd.Series[str]
) -> pd.DataFrame:
    import pandas as pd

    values = sample_ids.map(scores).astype(float)
    finite = values.abs() < float("inf")
    return pd.DataFrame(
        {
            "metric": metric,
            "dimension": dimension,
            "protocol": "all",
            "trial": 0,
            "sample_id": sample_ids,
            "part": "test",
            "prediction": values.where(finite),
            "status": finite.map({True: "ok", False: "failed"}),
            "detail": finite.map({True: "", False: "no_score: empty or infinite"}),
        }
    )


def _read_file(path: Path, what: str, args: argparse.Namespace) -> UserTable:
    options = (args.id, args.mos_id, args.mos_column, args.method, *args.score, *args.group)
    return read_table(path, what, named=[name for name in options if name is not None])


def _find_column(table: UserTable, name: str | None, candidates: Iterable[str], option: str) -> str:
    """Return the column ``name``, or if it is None the first of ``candidates`` that exists."""
    if name is not None:
        table.get_column(name, option)
        return name
    lower = {column.lower(): column for column in reversed(table.columns)}
    for candidate in candidates:
        if candidate in lower:
            return lower[candidate]
    raise UserError(
        f"{table.path}: none of its columns ({', '.join(table.columns)}) is called "
        f"{', '.join(candidates)}; name one with {option}"
    )


def _read_names(table: UserTable, column: str, indices: Collection[int] | None = None) -> list[str]:
    """Return the ids of the samples, of some rows or of all; they must be present and unique."""
    row_by_name: dict[str, int] = {}
    for index in range(len(table.rows)) if indices is None else indices:
        cell, where = table.columns[column][index], table.describe_cell(column, index)
        if cell is None or cell != cell or not str(cell).strip():
            raise UserError(f"{where}: empty; name the sample")
        name = str(cell)
        if name in row_by_name:
            raise UserError(f"{where}: {name!r} is also in row {row_by_name[name]}; keep one")
        row_by_name[name] = table.rows[index]
    if not row_by_name:
        raise UserError(f"{table.path}: the table has no rows")
    return list(row_by_name)


def _read_numbers(table: UserTable, column: str, notes: list[str] | None = None) -> list[float]:
    """Return the column's numbers, NaN for empty cells.

    Percentages are an error if ``notes`` is None, else they are noted there.
    """
    numbers = table.read_numbers(column)
    cells = table.columns[column]
    bad = numbers.bad
    if numbers.is_percent and notes is None:
        bad = [index for index, cell in enumerate(cells) if not is_empty(cell)]
    if bad:
        raise UserError(f"{table.describe_cell(column, bad[0])}: {cells[bad[0]]!r} is not a number")
    if numbers.is_percent and notes is not None:
        notes.append(f"{table.path}: the column {column!r} is in percent; 12% is read as .12")
    return numbers.values


def _find_score_columns(
    table: UserTable, requested: list[str], excluded: set[Any], several: bool, notes: list[str]
) -> list[str]:
    """Return the ``requested`` columns of a table, or if there are none its columns of numbers.

    With ``several`` tables, each needs only one of the requested columns. Columns that are left out
    are added to ``notes``.
    """
    if requested:
        present = [name for name in requested if name in table.columns]
        if not present or (len(present) < len(requested) and not several):
            missing = next(name for name in requested if name not in table.columns)
            table.get_column(missing, "--score")
        return present
    candidates = [name for name in table.columns if name not in excluded]
    row_numbers = find_row_numbers(table, candidates)
    numeric, others = [], []
    for name in candidates:
        numbers = table.read_numbers(name)
        if name in row_numbers:
            continue
        if numbers.bad or not numbers.has_numbers:
            others.append(name)
        else:
            numeric.append(name)
    if not numeric:
        names = ", ".join(sorted(str(name) for name in excluded & set(table.columns)))
        raise UserError(
            f"{table.path}: no column of numbers except {names}; name one with --score, to see "
            "which of its cells is not a number"
        )
    notes += [
        f"{table.path}: the column {name!r} is left out: it holds row numbers; name it with "
        "--score to use it"
        for name in row_numbers
    ]
    notes += describe_left_out(table, others)
    return numeric


def _check_options(args: argparse.Namespace, columns: list[_ScoreColumn]) -> None:
    """Raise :class:`UserError` if --score or --lower names a column that is not used."""
    used = {column.column for column in columns}
    for option, names in (("--score", args.score), ("--lower", args.lower)):
        for name in names:
            if name not in used:
                raise UserError(f"{option} {name}: no such score; {hint(name, sorted(used))}")


def _make_titles(columns: list[_ScoreColumn]) -> list[str]:
    """Return a unique title per column: its name, with that of the file if two files share it."""
    names = [column.column for column in columns]
    paths = [column.path for column in columns]
    titles = []
    for path, name in zip(paths, names, strict=True):
        if names.count(name) == 1:
            titles.append(name)
        else:
            titles.append(path.stem if paths.count(path) == 1 else f"{path.stem}:{name}")
    if len(set(titles)) == len(titles):
        return titles
    titles = [f"{path}:{name}" for path, name in zip(paths, names, strict=True)]
    if len(set(titles)) < len(titles):
        repeated = next(title for title in titles if titles.count(title) > 1)
        raise UserError(f"{repeated}: this score is given twice; name each table once")
    return titles


def _make_mos(
    table: UserTable, id_column: str, mos_column: str, dimension: str | None
) -> pd.DataFrame:
    """Return the rows of ``tables.MOS``, of one ``dimension`` or of all."""
    import pandas as pd

    count = len(table.rows)
    labels = [str(cell) for cell in table.columns.get(DIMENSION, [DEFAULT_DIMENSION] * count)]
    if dimension is not None and dimension not in labels:
        dimensions = sorted(set(labels))
        raise UserError(
            f"--dimension {dimension}: {table.path} {hint(dimension, dimensions, 'has')}"
        )
    values = _read_numbers(table, mos_column)
    synthetic = table.columns.get("synthetic", [False] * count)
    parts = []
    for name in sorted(set(labels)) if dimension is None else [dimension]:
        indices = [index for index, label in enumerate(labels) if label == name]
        sample_ids = _read_names(table, id_column, indices)
        mos = pd.Series([values[index] for index in indices], dtype=float)
        finite = mos.abs() < float("inf")
        parts.append(
            pd.DataFrame(
                {
                    "sample_id": sample_ids,
                    "dimension": name,
                    "mos": mos.where(finite),
                    "synthetic": [
                        str(synthetic[index]).lower() in ("true", "1") for index in indices
                    ],
                    "status": finite.map({True: "ok", False: "failed"}),
                    "detail": finite.map({True: "", False: "no_mos: empty or infinite"}),
                }
            )
        )
    if not parts:
        raise UserError(f"{table.path}: the table has no rows")
    return pd.concat(parts, ignore_index=True)


def _find_usable(columns: list[_ScoreColumn], mos: pd.DataFrame) -> set[str]:
    """Return the samples with a MOS in some dimension and a score of some metric."""
    scored = {
        name for column in columns for name, value in column.scores.items() if isfinite(value)
    }
    return scored & set(mos.loc[mos["status"] == "ok", "sample_id"])


def _leave_out_unlabelled(
    mos: pd.DataFrame, samples: pd.DataFrame, notes: list[str]
) -> pd.DataFrame:
    """Return the rows of the MOS whose samples have all labels; the others are noted."""
    is_labelled = mos["sample_id"].isin(samples["sample_id"])
    if not is_labelled.all():
        names = sorted(set(mos.loc[~is_labelled, "sample_id"]))
        notes.append(
            f"{len(names)} samples without a score or without a MOS have no label of --method or "
            f"--group and are left out ({names[0]!r}, ...)"
        )
    return mos[is_labelled].reset_index(drop=True)


def _make_samples(
    args: argparse.Namespace,
    score_tables: list[UserTable],
    mos_table: UserTable,
    mos_id: str,
    usable: Collection[str],
) -> pd.DataFrame:
    """Return the samples with method and groups, each from the first table that has the column.

    The MOS table is searched first. ``usable`` samples need all labels; others without one are left
    out.
    """
    import pandas as pd

    sample_ids = list(dict.fromkeys(str(cell) for cell in mos_table.columns[mos_id]))
    samples = pd.DataFrame({"sample_id": sample_ids, "method": "all"})
    tables = [(mos_table, mos_id)]
    for column, title in [(args.method, "method"), *((g, g) for g in args.group)]:
        if column is None:
            continue
        if len(tables) == 1:
            tables += [(t, _find_column(t, args.id, ID_COLUMNS, "--id")) for t in score_tables]
        source = next((entry for entry in tables if column in entry[0].columns), None)
        if source is None:
            option = "--method" if title == "method" else "--group"
            columns = [name for table, _ in tables for name in table.columns]
            raise UserError(f"{option} {column}: no table has it; {hint(column, columns)}")
        table, id_column = source
        labels = dict(zip(map(str, table.columns[id_column]), table.columns[column], strict=True))
        cells = [labels.get(sample_id) for sample_id in sample_ids]
        # A label may be a word such as NA.
        has_label = [cell == cell and bool(str(cell or "").strip()) for cell in cells]
        for sample_id, is_labelled in zip(sample_ids, has_label, strict=True):
            if not is_labelled and sample_id in usable:
                raise UserError(
                    f"{table.path}, column {column}: the sample {sample_id!r} has none; fill it"
                )
        samples[title] = pd.Series([str(cell) for cell in cells]).where(pd.Series(has_label))
    return samples.dropna().reset_index(drop=True)
