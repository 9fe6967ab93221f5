"""The table of ratings that ``sfqa mos`` reads, and the arguments that describe it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa.errors import UserError, hint

if TYPE_CHECKING:
    import pandas as pd

#: Default columns of a long table, as in ``tables.SCORES``.
RATER, SAMPLE, SCORE, DIMENSION = "rater", "sample_id", "score", "dimension"
#: Default name of the only dimension.
NAME = "quality"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that describe the table."""
    group = parser.add_argument_group("format of the table")
    add = group.add_argument
    add("--wide", action="store_true", help="one column per rater, not one row per rating")
    add("--matrix", action="store_true", help="numbers only: a row per sample, a column per rater")
    add(
        "--rater", metavar="COLUMN",
        help=f"long: the rater ({RATER}); wide: the rater, if each row is a rater and each column "
        "a sample, as forms export it",
    )  # fmt: skip
    add(
        "--sample", action="append", default=[], metavar="COLUMN",
        help=f"the sample ({SAMPLE}); repeat it if several columns identify the sample",
    )  # fmt: skip
    add(
        "--score", action="append", default=[], metavar="COLUMN|DIMENSION=COLUMN",
        help=f"long: the rating ({SCORE}); repeat it with DIMENSION= for one column per dimension",
    )  # fmt: skip
    add("--dimension", metavar="COLUMN", help=f"the rated dimension ({DIMENSION}, if it exists)")
    add("--name", metavar="NAME", help=f"name of the only dimension ({NAME})")
    add(
        "--columns-are",
        metavar="PATTERN",
        help="wide: pattern of the column names, such as '{rater}_{dimension}' or, with --rater, "
        "'{sample} [{dimension}]'",
    )
    add("--dimensions", metavar="NAMES", help="wide: the dimensions in the column names: a,b,...")
    add(
        "--ignore",
        action="append",
        default=[],
        metavar="COLUMN",
        help="wide: a column that is not a rater",
    )
    add(
        "--scale", action="append", default=[], metavar="WORST,BEST|DIMENSION=WORST,BEST",
        help="scale of the scores in the table; they are mapped to --to",
    )  # fmt: skip
    add("--to", metavar="WORST,BEST", help="the scale to map to (1,5)")
    add(
        "--missing-code", action="append", default=[], metavar="CODE",
        help="a cell that means that there is no rating, such as -1; may be repeated",
    )  # fmt: skip


def read_scores(args: argparse.Namespace) -> pd.DataFrame:
    """Return the ratings as rows of ``tables.SCORES``; a Parquet file may be such a table."""
    import pandas as pd
    import pyarrow as pa

    from sfqa import store, tables
    from sfqa.ratings.importing import import_scores
    from sfqa.ratings.scales import describe_odd_scales
    from sfqa.untrusted.parquet import open_parquet

    path: Path = args.table
    if path.suffix.lower() == ".parquet" and path.is_file() and not _has_format(args):
        try:
            columns = open_parquet(path).schema_arrow.names
        except (pa.ArrowException, ValueError, OSError):
            columns = []  # import_scores reports what is wrong with the file
        if columns == tables.SCORES.names:
            scores = store.read(tables.SCORES, path)
            _print_notes(describe_odd_scales(store.to_records(scores)))
            return scores
    notes: list[str] = []
    rows = import_scores(make_source(args), notes)
    if not args.scale:
        notes += describe_odd_scales(rows)
    _print_notes(notes)
    return pd.DataFrame(rows, columns=tables.SCORES.names)


def _print_notes(notes: Iterable[str]) -> None:
    for note in notes:
        print(f"sfqa: {note}", file=sys.stderr)


def _has_format(args: argparse.Namespace) -> bool:
    """Whether any argument describes the format of the table."""
    names = (
        "rater", "sample", "score", "dimension", "name", "scale", "wide", "matrix", "missing_code",
    )  # fmt: skip
    return any(getattr(args, name) for name in names)


def make_source(args: argparse.Namespace) -> dict[str, Any]:
    """Return the description of the table for :func:`sfqa.ratings.importing.import_scores`."""
    from sfqa.ratings.importing import read_columns

    if args.wide and args.matrix:
        raise UserError("--wide and --matrix: choose one of the two")
    source: dict[str, Any] = {}
    if args.scale:
        source["scale"] = _parse_scales(args.scale)
    if args.to:
        source["to"] = _parse_pair(args.to, "--to")
    if args.missing_code:
        source["missing_codes"] = args.missing_code
    if args.matrix:
        _refuse_arguments(
            args, "--matrix", "rater", "sample", "score", "dimension", "columns_are", "ignore",
            "dimensions",
        )  # fmt: skip
        return {**source, "matrix": str(args.table), "dimension_name": args.name or NAME}
    if args.wide:
        _refuse_arguments(args, "--wide", "score")
        if args.rater:
            _refuse_arguments(args, "--wide --rater (one row per rater)", "sample")
        source |= {"wide": str(args.table), "ignore": args.ignore}
    else:
        _refuse_arguments(args, "a long table", "columns_are", "ignore", "dimensions")
        source |= {"table": str(args.table), "rater": args.rater or RATER}
        source["score"] = _parse_scores(args.score)
    if args.wide and args.rater:
        source["rater"] = args.rater
    else:
        samples = args.sample or [_find_default_sample(args)]
        source["sample_id"] = samples[0] if len(samples) == 1 else samples
    if args.columns_are:
        source["columns_are"] = args.columns_are
    if args.dimensions:
        source["dimensions"] = [name.strip() for name in args.dimensions.split(",")]
    if args.dimension:
        source["dimension"] = args.dimension
    if args.name:
        source["dimension_name"] = args.name
    if not {"dimension", "dimension_name", "columns_are"} & set(source):
        if isinstance(source.get("score"), dict):
            return source
        has_column = DIMENSION in read_columns(args.table)
        source |= {"dimension": DIMENSION} if has_column else {"dimension_name": NAME}
    return source


def _find_default_sample(args: argparse.Namespace) -> str:
    """Return the default column of the samples, which a wide table must have."""
    from sfqa.ratings.cells import describe_columns
    from sfqa.ratings.importing import read_columns

    if args.wide and SAMPLE not in (columns := read_columns(args.table)):
        raise UserError(
            f"{args.table}: no column {SAMPLE!r}; {describe_columns(SAMPLE, columns)}; name the "
            "column of the videos with --sample (one row per video, one column per rater), or "
            "that of the raters with --rater (one row per rater, one column per video)"
        )
    return SAMPLE


def _refuse_arguments(args: argparse.Namespace, table_format: str, *names: str) -> None:
    for name in names:
        if getattr(args, name):
            option = f"--{name.replace('_', '-')}"
            raise UserError(f"{table_format} does not use {option}; drop one of them")


def _parse_scores(arguments: list[str]) -> str | dict[str, str]:
    """Return the score column, or the score column of each dimension."""
    if not arguments:
        return SCORE
    if len(arguments) == 1 and "=" not in arguments[0]:
        return arguments[0]
    columns: dict[str, str] = {}
    for argument in arguments:
        dimension, equals, column = argument.partition("=")
        if not (equals and dimension and column):
            raise UserError(f"--score {argument}: if repeated, each must be DIMENSION=COLUMN")
        if dimension in columns:
            raise UserError(f"--score {argument}: the dimension {dimension!r} has a column already")
        columns[dimension] = column
    return columns


def _parse_scales(arguments: list[str]) -> list[float] | dict[str, list[float]]:
    """Return the scale, or the scale of each dimension."""
    if len(arguments) == 1 and "=" not in arguments[0]:
        return _parse_pair(arguments[0], "--scale")
    scales = {}
    for argument in arguments:
        dimension, equals, text = argument.partition("=")
        if not equals:
            raise UserError(f"--scale {argument}: if repeated, each must be DIMENSION=WORST,BEST")
        scales[dimension] = _parse_pair(text, "--scale")
    return scales


def _parse_pair(text: str, option: str) -> list[float]:
    try:
        worst, best = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(f"{option} {text}: give WORST,BEST, such as 0,100") from error
    return [worst, best]


def find_scale(args: argparse.Namespace, scores: pd.DataFrame) -> tuple[float, float]:
    """Return the lower and upper end of the scale of the imported scores.

    That of ``--to`` if the scores were mapped; otherwise 1 to 5 if all scores are in this range,
    else the smallest and the largest score.
    """
    if args.scale:
        first, last = _parse_pair(args.to, "--to") if args.to else (1.0, 5.0)
        return min(first, last), max(first, last)
    values = scores["score"].dropna()
    low, high = (float(values.min()), float(values.max())) if len(values) else (1.0, 5.0)
    return (1.0, 5.0) if low >= 1 and high <= 5 else (low, high)


def drop_raters(scores: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Return the scores without those of some raters, who must exist."""
    raters = sorted(set(scores["rater"]))
    for name in names:
        if name not in raters:
            raise UserError(f"--without {name}: no such rater; {hint(name, raters)}")
    return scores[~scores["rater"].isin(names)].reset_index(drop=True)
