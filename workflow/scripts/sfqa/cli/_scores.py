"""What the arguments of ``sfqa mos`` say about a table of ratings."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa.errors import UserError, hint

if TYPE_CHECKING:
    import pandas as pd

#: Of a long table, where the arguments say nothing else; as in ``tables.SCORES``.
RATER, SAMPLE, SCORE, DIMENSION = "rater", "sample_id", "score", "dimension"
NAME = "quality"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that describe the table."""
    group = parser.add_argument_group("the table")
    add = group.add_argument
    add("--wide", action="store_true", help="one column per rater, not one row per rating")
    add("--matrix", action="store_true", help="numbers alone: samples down, raters across")
    add("--rater", metavar="COLUMN", help=f"long: who rated ({RATER})")
    add(
        "--sample", action="append", default=[], metavar="COLUMN",
        help=f"the rated sample ({SAMPLE}); several times where several columns name it",
    )  # fmt: skip
    add(
        "--score", action="append", default=[], metavar="COLUMN|DIMENSION=COLUMN",
        help=f"long: the rating ({SCORE}); with DIMENSION= several times, for scores side by side",
    )  # fmt: skip
    add("--dimension", metavar="COLUMN", help=f"what was rated ({DIMENSION}, if there is one)")
    add("--name", metavar="NAME", help=f"the one dimension where no column says it ({NAME})")
    add("--columns-are", metavar="PATTERN", help="wide: such as '{rater}_{dimension}'")
    add("--ignore", action="append", default=[], metavar="COLUMN", help="wide: no rater's column")
    add(
        "--scale", action="append", default=[], metavar="WORST,BEST|DIMENSION=WORST,BEST",
        help="of the scores as given; they are then mapped to --to",
    )  # fmt: skip
    add("--to", metavar="WORST,BEST", help="the scale to map to (1,5)")


def read_scores(args: argparse.Namespace) -> pd.DataFrame:
    """Return the ratings as rows of ``tables.SCORES``; such a Parquet file is taken as it is."""
    import pandas as pd
    import pyarrow.parquet as pq

    from sfqa import store, tables
    from sfqa.ratings.importing import import_scores

    path: Path = args.table
    if path.suffix.lower() == ".parquet" and path.is_file() and not _described(args):
        try:
            names = pq.read_schema(path).names
        except (ValueError, OSError):
            names = []  # import_scores says what is wrong with it
        if names == tables.SCORES.names:
            return store.read(tables.SCORES, path)
    rows = import_scores(source(args))
    return pd.DataFrame(rows, columns=tables.SCORES.names)


def _described(args: argparse.Namespace) -> bool:
    given = ("rater", "sample", "score", "dimension", "name", "scale", "wide", "matrix")
    return any(getattr(args, name) for name in given)


def source(args: argparse.Namespace) -> dict[str, Any]:
    """Return what :func:`sfqa.ratings.importing.import_scores` takes."""
    from sfqa.ratings.importing import columns_of

    if args.wide and args.matrix:
        raise UserError("--wide and --matrix: a table is one of the two")
    found: dict[str, Any] = {}
    if args.scale:
        found["scale"] = _scales(args.scale)
    if args.to:
        found["to"] = _pair(args.to, "--to")
    if args.matrix:
        _refuse(args, "--matrix", "rater", "sample", "score", "dimension", "columns_are", "ignore")
        return {**found, "matrix": str(args.table), "dimension_name": args.name or NAME}
    if args.wide:
        _refuse(args, "--wide", "rater", "score")
        found |= {"wide": str(args.table), "ignore": args.ignore}
    else:
        _refuse(args, "a long table", "columns_are", "ignore")
        found |= {"table": str(args.table), "rater": args.rater or RATER}
        found["score"] = _score(args.score)
    sample = args.sample or [SAMPLE]
    found["sample_id"] = sample[0] if len(sample) == 1 else sample
    if args.columns_are:
        found["columns_are"] = args.columns_are
    if args.dimension:
        found["dimension"] = args.dimension
    if args.name:
        found["dimension_name"] = args.name
    if not {"dimension", "dimension_name", "columns_are"} & set(found):
        if isinstance(found.get("score"), dict):
            return found
        by_row = DIMENSION in columns_of(args.table)
        found |= {"dimension": DIMENSION} if by_row else {"dimension_name": NAME}
    return found


def _refuse(args: argparse.Namespace, what: str, *names: str) -> None:
    for name in names:
        if getattr(args, name):
            raise UserError(f"{what} has no use for --{name.replace('_', '-')}; drop one of them")


def _score(words: list[str]) -> str | dict[str, str]:
    if not words:
        return SCORE
    if len(words) == 1 and "=" not in words[0]:
        return words[0]
    found: dict[str, str] = {}
    for word in words:
        dimension, sign, column = word.partition("=")
        if not (sign and dimension and column):
            raise UserError(f"--score {word}: with several, each is DIMENSION=COLUMN")
        if dimension in found:
            raise UserError(f"--score {word}: the dimension {dimension!r} has a column already")
        found[dimension] = column
    return found


def _scales(words: list[str]) -> list[float] | dict[str, list[float]]:
    if len(words) == 1 and "=" not in words[0]:
        return _pair(words[0], "--scale")
    found = {}
    for word in words:
        dimension, sign, text = word.partition("=")
        if not sign:
            raise UserError(f"--scale {word}: with several, each is DIMENSION=WORST,BEST")
        found[dimension] = _pair(text, "--scale")
    return found


def _pair(text: str, option: str) -> list[float]:
    try:
        worst, best = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(f"{option} {text}: give WORST,BEST, such as 0,100") from error
    return [worst, best]


def scale_of(args: argparse.Namespace, scores: pd.DataFrame) -> tuple[float, float]:
    """Return the ends of the scale that the scores are on now.

    That of ``--to`` after a mapping; else 1 to 5 where all scores are inside, else the least and
    the largest score.
    """
    if args.scale:
        first, last = _pair(args.to, "--to") if args.to else (1.0, 5.0)
        return min(first, last), max(first, last)
    values = scores["score"].dropna()
    low, high = (float(values.min()), float(values.max())) if len(values) else (1.0, 5.0)
    return (1.0, 5.0) if low >= 1 and high <= 5 else (low, high)


def without(scores: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Return the scores but those of some raters, who must be there."""
    known = sorted(set(scores["rater"]))
    for name in names:
        if name not in known:
            raise UserError(f"--without {name}: nobody is called so; {hint(name, known)}")
    return scores[~scores["rater"].isin(names)].reset_index(drop=True)
