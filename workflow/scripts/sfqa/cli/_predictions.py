"""What the arguments of ``sfqa correlate`` say: scores, MOS and labels from anyone's tables."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa.cli import _sheet
from sfqa.errors import UserError, hint

if TYPE_CHECKING:
    import pandas as pd

#: Looked for where the arguments name no column; small and capital letters are one.
IDS = ("sample_id", "id", "video", "name", "filename", "file", "image")
GOALS = ("mos", "score", "dmos")
DIMENSION = "dimension"
#: The dimension of a MOS table that has none.
ONE = "quality"
#: Never a score, whatever they hold.
_LABELS = ("n", "sd", "ci95_low", "ci95_high", "synthetic", "status", "detail", "shard", "method")
_EMPTY = ("", "nan", "na", "n/a", "none", "null", "-")


@dataclass
class Given:
    """The tables that the package correlates, and what must be said of the files."""

    predictions: pd.DataFrame
    mos: pd.DataFrame
    samples: pd.DataFrame
    metrics: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that describe the tables."""
    add = parser.add_argument
    add(
        "tables", type=Path, nargs="+", metavar="PRED",
        help=".csv, .tsv or .parquet: a row per sample, its id and one or several scores",
    )  # fmt: skip
    add("--mos", type=Path, metavar="FILE", help="table of the MOS (the first PRED by default)")
    group = parser.add_argument_group("columns")
    add = group.add_argument
    add("--id", metavar="COLUMN", help=f"names of the samples (the first of {', '.join(IDS)})")
    add("--mos-id", metavar="COLUMN", help="the same in the table of the MOS (--id)")
    add(
        "--score", action="append", default=[], metavar="COLUMN",
        help="a metric's score; several times for several (all columns of numbers)",
    )  # fmt: skip
    add(
        "--lower", action="append", default=[], metavar="COLUMN",
        help="a score where low is good: its sign is turned",
    )  # fmt: skip
    add("--mos-column", metavar="COLUMN", help=f"the MOS (the first of {', '.join(GOALS)})")
    add("--dimension", metavar="NAME", help="use this value of the MOS table's column 'dimension'")
    add(
        "--method", metavar="COLUMN",
        help="what made the sample: adds the level of method means, and a table by method",
    )  # fmt: skip
    add(
        "--group", action="append", default=[], metavar="COLUMN",
        help="samples that share it are drawn together (portrait, song, prompt); up to two",
    )  # fmt: skip


def read(args: argparse.Namespace) -> Given:
    """Return the tables; raises :class:`UserError` naming file, row and column."""
    import pandas as pd

    if len(args.group) > 2 or len(set(args.group)) != len(args.group):
        raise UserError("--group: name one or two different columns")
    frames = [(path, _read(path, "scores")) for path in args.tables]
    if args.mos is None:
        goal_path, goal = frames[0]
    else:
        goal_path, goal = args.mos, _read(args.mos, "MOS")
    goal_id = _column(goal_path, goal, args.mos_id or args.id, IDS, "--mos-id")
    goal_name = _column(goal_path, goal, args.mos_column, GOALS, "--mos-column")
    mos = _mos(goal_path, goal, goal_id, goal_name, args.dimension)
    rated = set(mos["sample_id"])
    notes = []
    parts = []
    for path, frame in frames:
        own = _column(path, frame, args.id, IDS, "--id")
        names = _names(path, frame, own)
        keep_out = {own, *args.group, args.method, *_LABELS}
        if path == goal_path:
            keep_out.add(goal_name)
        columns = _scores(path, frame, args.score, keep_out, len(frames) > 1)
        shared = sum(name in rated for name in names)
        if not shared:
            raise UserError(
                f"{path}: none of its {len(names)} samples ({names[0]!r}, ...) is in {goal_path} "
                f"({min(rated)!r}, ...); check --id and --mos-id"
            )
        if shared < len(names):
            notes.append(f"{path}: {len(names) - shared} of {len(names)} samples have no MOS row")
        missing = len(rated - set(names))
        if missing:
            notes.append(f"{path}: has no row for {missing} of {len(rated)} samples with a MOS")
        parts += [(path, column, names, _numbers(path, frame, column)) for column in columns]
    _check_scores(args, parts)
    titles = _titles(parts)
    samples = _samples(args, frames, goal_path, goal, goal_id)
    predictions = []
    for title, (_, _, names, values) in zip(titles, parts, strict=True):
        known = dict(zip(names, values, strict=True))
        for dimension, own_mos in mos.groupby("dimension", sort=True):
            ids = own_mos["sample_id"]
            score = ids.map(known).astype(float)
            fine = score.abs() < float("inf")
            predictions.append(
                pd.DataFrame(
                    {
                        "metric": title,
                        "dimension": dimension,
                        "protocol": "all",
                        "trial": 0,
                        "sample_id": ids,
                        "part": "test",
                        "prediction": score.where(fine),
                        "status": fine.map({True: "ok", False: "failed"}),
                        "detail": fine.map({True: "", False: "no_score: empty or infinite"}),
                    }
                )
            )
    metrics = [
        {
            "name": title, "group": str(path), "kind": "imported", "weights": "none",
            "direction": -1 if column in args.lower else 1,
        }
        for title, (path, column, _, _) in zip(titles, parts, strict=True)
    ]  # fmt: skip
    return Given(pd.concat(predictions, ignore_index=True), mos, samples, metrics, notes)


def _read(path: Path, what: str) -> pd.DataFrame:
    """Return a table whose index counts its rows from 0."""
    return _sheet.read_sheet(path, what).reset_index(drop=True)


def _column(
    path: Path, frame: pd.DataFrame, name: str | None, usual: Iterable[str], option: str
) -> str:
    columns = [str(column) for column in frame.columns]
    if name is not None:
        if name not in columns:
            told = hint(name, columns, "it has")
            raise UserError(f"{path}: no column {name!r} ({option}); {told}")
        return name
    lower = {column.lower(): column for column in reversed(columns)}
    for word in usual:
        if word in lower:
            return lower[word]
    raise UserError(
        f"{path}: none of its columns ({', '.join(columns)}) is called {', '.join(usual)}; "
        f"name one with {option}"
    )


def _names(path: Path, frame: pd.DataFrame, column: str) -> list[str]:
    names = []
    seen: dict[str, int] = {}
    for row, cell in zip(frame.index + 2, frame[column], strict=True):
        if cell is None or cell != cell or not str(cell).strip():
            raise UserError(f"{path}, row {row}, column {column}: empty; name the sample")
        name = str(cell)
        if name in seen:
            raise UserError(
                f"{path}, row {row}, column {column}: {name!r} is in row {seen[name]} too; keep one"
            )
        seen[name] = row
        names.append(name)
    if not names:
        raise UserError(f"{path}: the table has no rows")
    return names


def _numbers(path: Path, frame: pd.DataFrame, column: str) -> list[float]:
    """The column's numbers, NaN for empty cells."""
    found = []
    for row, cell in enumerate(frame[column], 2):
        number = _number(cell)
        if number is None:
            raise UserError(f"{path}, row {row}, column {column}: {cell!r} is not a number")
        found.append(number)
    return found


def _number(cell: Any) -> float | None:
    if cell is None or (isinstance(cell, str) and cell.strip().lower() in _EMPTY):
        return float("nan")
    if isinstance(cell, bool):
        return None
    try:
        return float(cell)
    except (TypeError, ValueError):
        return None


def _scores(
    path: Path, frame: pd.DataFrame, asked: list[str], keep_out: set[Any], several: bool
) -> list[str]:
    columns = [str(column) for column in frame.columns]
    if asked:
        there = [name for name in asked if name in columns]
        if not there or (len(there) < len(asked) and not several):
            lost = next(name for name in asked if name not in columns)
            told = hint(lost, columns, "it has")
            raise UserError(f"{path}: no column {lost!r} (--score); {told}")
        return there
    found = [
        name
        for name in columns
        if name not in keep_out
        and all(_number(cell) is not None for cell in frame[name])
        and any(_number(cell) == _number(cell) for cell in frame[name])
    ]
    if not found:
        own = ", ".join(sorted(str(name) for name in keep_out & set(columns)))
        raise UserError(
            f"{path}: no column of numbers beside {own}; name one with --score, to see which of "
            "its cells is no number"
        )
    return found


def _check_scores(args: argparse.Namespace, parts: list[Any]) -> None:
    used = {column for _, column, _, _ in parts}
    for option, names in (("--score", args.score), ("--lower", args.lower)):
        for name in names:
            if name not in used:
                raise UserError(f"{option} {name}: no such score; {hint(name, sorted(used))}")


def _titles(parts: list[Any]) -> list[str]:
    """The column's name; with the file's where two files have it; the whole path where that too."""
    columns = [column for _, column, _, _ in parts]
    single = {path: sum(p == path for p, *_ in parts) == 1 for path, *_ in parts}
    titles = []
    for path, column, *_ in parts:
        if columns.count(column) == 1:
            titles.append(column)
        else:
            titles.append(path.stem if single[path] else f"{path.stem}:{column}")
    if len(set(titles)) == len(titles):
        return titles
    titles = [f"{path}:{column}" for path, column, *_ in parts]
    if len(set(titles)) < len(titles):
        twice = next(title for title in titles if titles.count(title) > 1)
        raise UserError(f"{twice}: this score is given twice; name each table once")
    return titles


def _mos(
    path: Path, frame: pd.DataFrame, id_column: str, name: str, dimension: str | None
) -> pd.DataFrame:
    import pandas as pd

    rows = frame
    label = pd.Series([ONE] * len(frame), index=frame.index)
    if DIMENSION in frame:
        label = frame[DIMENSION].astype(str)
    if dimension is not None:
        known = sorted(set(label))
        if dimension not in known:
            raise UserError(f"--dimension {dimension}: {path} {hint(dimension, known, 'has')}")
        rows, label = frame[label == dimension], label[label == dimension]
    values = _numbers(path, frame, name)
    parts = []
    for word, own in rows.groupby(label, sort=True):
        names = _names(path, own, id_column)
        made = pd.Series([values[k] for k in own.index])
        fine = made.abs() < float("inf")
        synthetic = own["synthetic"] if "synthetic" in own else pd.Series([False] * len(own))
        parts.append(
            pd.DataFrame(
                {
                    "sample_id": names,
                    "dimension": str(word),
                    "mos": made.where(fine),
                    "synthetic": [str(cell).lower() in ("true", "1") for cell in synthetic],
                    "status": fine.map({True: "ok", False: "failed"}),
                    "detail": fine.map({True: "", False: "no_mos: empty or infinite"}),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _samples(
    args: argparse.Namespace,
    frames: list[tuple[Path, pd.DataFrame]],
    goal_path: Path,
    goal: pd.DataFrame,
    goal_id: str,
) -> pd.DataFrame:
    """The samples with method and groups, from the table of the MOS or the first that has them."""
    import pandas as pd

    names = list(dict.fromkeys(str(cell) for cell in goal[goal_id]))
    found = pd.DataFrame({"sample_id": names, "method": "all"})
    for column, title in [(args.method, "method"), *((g, g) for g in args.group)]:
        if column is None:
            continue
        places = [(goal_path, goal, goal_id)]
        places += [(p, f, _column(p, f, args.id, IDS, "--id")) for p, f in frames]
        place = next((place for place in places if column in place[1].columns), None)
        if place is None:
            option = "--method" if title == "method" else "--group"
            known = [str(name) for _, frame, _ in places for name in frame.columns]
            raise UserError(f"{option} {column}: no table has it; {hint(column, known)}")
        path, frame, own = place
        label = dict(zip(map(str, frame[own]), frame[column], strict=True))
        cells = [label.get(name) for name in names]
        for name, cell in zip(names, cells, strict=True):
            if cell is None or cell != cell:
                raise UserError(f"{path}, column {column}: the sample {name!r} has none; fill it")
        found[title] = [str(cell) for cell in cells]
    return found
