"""The tables that ``sfqa correlate`` reads: scores, MOS and labels, and their arguments."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa.errors import UserError, hint
from sfqa.sheets import read_table

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
_EMPTY = ("", "nan", "na", "n/a", "none", "null", "-")


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
    frames = [(path, _read_frame(path, "scores")) for path in args.tables]
    if args.mos is None:
        mos_path, mos_frame = frames[0]
    else:
        mos_path, mos_frame = args.mos, _read_frame(args.mos, "MOS")
    mos_id = _find_column(mos_path, mos_frame, args.mos_id or args.id, ID_COLUMNS, "--mos-id")
    mos_column = _find_column(mos_path, mos_frame, args.mos_column, MOS_COLUMNS, "--mos-column")
    mos = _make_mos(mos_path, mos_frame, mos_id, mos_column, args.dimension)
    rated = set(mos["sample_id"])
    notes = []
    columns: list[_ScoreColumn] = []
    for path, frame in frames:
        id_column = _find_column(path, frame, args.id, ID_COLUMNS, "--id")
        names = _read_names(path, frame, id_column)
        excluded = {id_column, *args.group, args.method, *_NON_SCORES}
        if path == mos_path:
            excluded.add(mos_column)
        score_columns = _find_score_columns(path, frame, args.score, excluded, len(frames) > 1)
        shared = sum(name in rated for name in names)
        if not shared:
            raise UserError(
                f"{path}: none of its {len(names)} samples ({names[0]!r}, ...) is in {mos_path} "
                f"({min(rated)!r}, ...); check --id and --mos-id"
            )
        if shared < len(names):
            notes.append(f"{path}: {len(names) - shared} of {len(names)} samples have no MOS row")
        missing = len(rated - set(names))
        if missing:
            notes.append(f"{path}: has no row for {missing} of {len(rated)} samples with a MOS")
        for column in score_columns:
            scores = dict(zip(names, _read_numbers(path, frame, column), strict=True))
            columns.append(_ScoreColumn(path, column, scores))
    _check_options(args, columns)
    titles = _make_titles(columns)
    samples = _make_samples(args, frames, (mos_path, mos_frame, mos_id))
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


def _read_frame(path: Path, what: str) -> pd.DataFrame:
    """Return a table whose index counts its rows from 0."""
    return read_table(path, what).reset_index(drop=True)


def _find_column(
    path: Path, frame: pd.DataFrame, name: str | None, candidates: Iterable[str], option: str
) -> str:
    """Return the column ``name``, or if it is None the first of ``candidates`` that exists."""
    columns = [str(column) for column in frame.columns]
    if name is not None:
        if name not in columns:
            raise UserError(
                f"{path}: no column {name!r} ({option}); {hint(name, columns, 'it has')}"
            )
        return name
    lower = {column.lower(): column for column in reversed(columns)}
    for candidate in candidates:
        if candidate in lower:
            return lower[candidate]
    raise UserError(
        f"{path}: none of its columns ({', '.join(columns)}) is called {', '.join(candidates)}; "
        f"name one with {option}"
    )


def _read_names(path: Path, frame: pd.DataFrame, column: str) -> list[str]:
    """Return the ids of the samples, which must be present and unique."""
    names = []
    row_by_name: dict[str, int] = {}
    for row, cell in zip(frame.index + 2, frame[column], strict=True):
        if cell is None or cell != cell or not str(cell).strip():
            raise UserError(f"{path}, row {row}, column {column}: empty; name the sample")
        name = str(cell)
        if name in row_by_name:
            raise UserError(
                f"{path}, row {row}, column {column}: {name!r} is also in row {row_by_name[name]}; "
                "keep one"
            )
        row_by_name[name] = row
        names.append(name)
    if not names:
        raise UserError(f"{path}: the table has no rows")
    return names


def _read_numbers(path: Path, frame: pd.DataFrame, column: str) -> list[float]:
    """Return the column's numbers, NaN for empty cells."""
    numbers = []
    for row, cell in enumerate(frame[column], 2):
        number = _parse_number(cell)
        if number is None:
            raise UserError(f"{path}, row {row}, column {column}: {cell!r} is not a number")
        numbers.append(number)
    return numbers


def _parse_number(cell: Any) -> float | None:
    """Return a cell as a number, NaN if it is empty, None if it is not a number."""
    if cell is None or (isinstance(cell, str) and cell.strip().lower() in _EMPTY):
        return float("nan")
    if isinstance(cell, bool):
        return None
    try:
        return float(cell)
    except (TypeError, ValueError):
        return None


def _find_score_columns(
    path: Path, frame: pd.DataFrame, requested: list[str], excluded: set[Any], several: bool
) -> list[str]:
    """Return the ``requested`` columns of a table, or if there are none its columns of numbers.

    With ``several`` tables, each needs only one of the requested columns.
    """
    columns = [str(column) for column in frame.columns]
    if requested:
        present = [name for name in requested if name in columns]
        if not present or (len(present) < len(requested) and not several):
            missing = next(name for name in requested if name not in columns)
            raise UserError(
                f"{path}: no column {missing!r} (--score); {hint(missing, columns, 'it has')}"
            )
        return present
    numeric = [
        name
        for name in columns
        if name not in excluded
        and all(_parse_number(cell) is not None for cell in frame[name])
        and any(_parse_number(cell) == _parse_number(cell) for cell in frame[name])
    ]
    if not numeric:
        others = ", ".join(sorted(str(name) for name in excluded & set(columns)))
        raise UserError(
            f"{path}: no column of numbers except {others}; name one with --score, to see which of "
            "its cells is not a number"
        )
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
    path: Path, frame: pd.DataFrame, id_column: str, mos_column: str, dimension: str | None
) -> pd.DataFrame:
    """Return the rows of ``tables.MOS``, of one ``dimension`` or of all."""
    import pandas as pd

    rows = frame
    label = pd.Series([DEFAULT_DIMENSION] * len(frame), index=frame.index)
    if DIMENSION in frame:
        label = frame[DIMENSION].astype(str)
    if dimension is not None:
        dimensions = sorted(set(label))
        if dimension not in dimensions:
            raise UserError(f"--dimension {dimension}: {path} {hint(dimension, dimensions, 'has')}")
        rows, label = frame[label == dimension], label[label == dimension]
    values = _read_numbers(path, frame, mos_column)
    parts = []
    for name, group in rows.groupby(label, sort=True):
        sample_ids = _read_names(path, group, id_column)
        mos = pd.Series([values[row] for row in group.index])
        finite = mos.abs() < float("inf")
        synthetic = group["synthetic"] if "synthetic" in group else pd.Series([False] * len(group))
        parts.append(
            pd.DataFrame(
                {
                    "sample_id": sample_ids,
                    "dimension": str(name),
                    "mos": mos.where(finite),
                    "synthetic": [str(cell).lower() in ("true", "1") for cell in synthetic],
                    "status": finite.map({True: "ok", False: "failed"}),
                    "detail": finite.map({True: "", False: "no_mos: empty or infinite"}),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _make_samples(
    args: argparse.Namespace,
    frames: list[tuple[Path, pd.DataFrame]],
    mos_table: tuple[Path, pd.DataFrame, str],
) -> pd.DataFrame:
    """Return the samples with method and groups, each from the first table that has the column.

    The MOS table is searched first.
    """
    import pandas as pd

    sample_ids = list(dict.fromkeys(str(cell) for cell in mos_table[1][mos_table[2]]))
    samples = pd.DataFrame({"sample_id": sample_ids, "method": "all"})
    tables = [mos_table]
    for column, title in [(args.method, "method"), *((g, g) for g in args.group)]:
        if column is None:
            continue
        if len(tables) == 1:
            tables += [(p, f, _find_column(p, f, args.id, ID_COLUMNS, "--id")) for p, f in frames]
        table = next((table for table in tables if column in table[1].columns), None)
        if table is None:
            option = "--method" if title == "method" else "--group"
            columns = [str(name) for _, frame, _ in tables for name in frame.columns]
            raise UserError(f"{option} {column}: no table has it; {hint(column, columns)}")
        path, frame, id_column = table
        labels = dict(zip(map(str, frame[id_column]), frame[column], strict=True))
        cells = [labels.get(sample_id) for sample_id in sample_ids]
        for sample_id, cell in zip(sample_ids, cells, strict=True):
            if cell is None or cell != cell:
                raise UserError(
                    f"{path}, column {column}: the sample {sample_id!r} has none; fill it"
                )
        samples[title] = [str(cell) for cell in cells]
    return samples
