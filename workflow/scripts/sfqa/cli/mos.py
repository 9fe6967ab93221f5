"""``sfqa mos``: mean opinion scores, rater statistics and reliability from a table of ratings."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa.cli import FAILURE, SUCCESS, _rating_tables
from sfqa.cli._tables import check_out, format_table, write_table
from sfqa.errors import UserError, hint
from sfqa.user_tables import UserTable, read_table

if TYPE_CHECKING:
    import pandas as pd

SUMMARY = "mean opinion scores from a table of ratings, with raters, reliability and figures"
EXAMPLES = """
sfqa mos scores.csv
sfqa mos ratings.csv --wide --sample video --name visual_quality --method p913 --out mos.csv
sfqa mos nflx_public_79x26.csv --matrix --method bt500 --figures figures/
sfqa mos scores.csv --scale 0,100 --labels samples.csv --out mos.parquet --figures figures/
"""

_METHODS = {
    "zscore": "z-scores per rater, BT.500 screening of these, 100 (z + 3) / 6 (also: sfqa)",
    "lgvq": "outlier ratings and raters with many outliers removed, z-scores, 100 (z + 3) / 6",
    "bt500": "BT.500 screening, means of the raw ratings (also: raw)",
    "mean": "means of all raw ratings",
    "p913": "rater bias subtracted (P.913 12.4), then BT.500 screening",
    "p910": "MOS, bias and inconsistency fitted jointly (P.910 Annex E; at least 8 raters)",
}
_MOS = ("sample_id", "dimension", "mos", "n", "sd", "ci95_low", "ci95_high", "status")
_RATERS = (
    "dimension", "rater", "n", "bias", "inconsistency", "agreement_srcc", "rejected", "status",
)  # fmt: skip
_RELIABILITY = (
    "dimension", "samples", "raters", "ratings", "least_ratings", "half_srcc", "reliability",
    "ci95_low", "ci95_high", "sos_a",
)  # fmt: skip
_LABELS = ("label_kind", "label", "dimension", "n", "mean", "sd", "ci95_low", "ci95_high")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("table", type=Path, metavar="TABLE", help=".csv, .tsv or .parquet of ratings")
    methods = "; ".join(f"{name}: {text}" for name, text in _METHODS.items())
    add("--method", default="zscore", metavar="NAME", help=f"{methods} (zscore)")
    add(
        "--screening", default="sureal", metavar="RULE",
        help="BT.500 with missing ratings: sureal: outliers as a share of all samples, as sureal "
        "0.9.0 counts them; own_ratings: as a share of the rater's ratings (sureal)",
    )  # fmt: skip
    add(
        "--skip-unanimous", action="store_true",
        help="BT.500: ignore samples that all raters score alike; by default they count on both "
        "sides",
    )  # fmt: skip
    add(
        "--without",
        action="append",
        default=[],
        metavar="RATER",
        help="exclude this rater; may be repeated",
    )
    add(
        "--labels", type=Path, metavar="TABLE",
        help="sample_id with method, pair_id, image_category, style, language: adds MOS by label "
        "and tests",
    )  # fmt: skip
    add("--tags", type=Path, metavar="TABLE", help="more labels by sample, pair, image or clip")
    add("--details", type=Path, metavar="TABLE", help="score_details of 'sfqa rate export'")
    add(
        "--answers", type=Path, metavar="TABLE",
        help="expected answers of gold and trap clips: sample_id, dimension, expected, tolerance",
    )  # fmt: skip
    add("--rows", type=int, default=30, metavar="N", help="rows to print (30; 0: all)")
    add(
        "--out", type=Path, metavar="FILE",
        help="write the MOS as .csv or .parquet, and FILE_raters, FILE_reliability, FILE_by_label "
        "and FILE_differences in the same folder",
    )  # fmt: skip
    add("--figures", type=Path, metavar="FOLDER", help="draw figures there, as .png and .svg")
    add("--seed", type=int, default=0, metavar="N", help="seed of the random halves (0)")
    _rating_tables.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Compute, print, write and draw. Returns 1 if any sample has no MOS."""
    import pandas as pd

    from sfqa import tables
    from sfqa.ratings.mos import METHOD_NAMES, compute_mos
    from sfqa.ratings.rater_report import report_raters
    from sfqa.ratings.reliability import compute_reliability
    from sfqa.ratings.screening import SHARES
    from sfqa.store import to_records
    from sfqa.tables import LABEL_DIFFERENCES, RATER_REPORT, RELIABILITY

    if args.method not in METHOD_NAMES:
        raise UserError(
            f"--method {args.method}: no such method; {hint(args.method, METHOD_NAMES)}"
        )
    if args.screening not in SHARES:
        raise UserError(
            f"--screening {args.screening}: no such rule; {hint(args.screening, SHARES)}"
        )
    if args.rows < 0:
        raise UserError(f"--rows {args.rows}: give 0 (all) or more")
    for option, needed in (("tags", "labels"), ("answers", "details")):
        if getattr(args, option) and not getattr(args, needed):
            raise UserError(f"--{option} needs --{needed}")
    check_out(args.out, "--out")
    check_out(args.figures, "--figures", ())
    scores = _rating_tables.drop_raters(_rating_tables.read_scores(args), args.without)
    samples, extra = _read_labels(args)
    scale = _rating_tables.find_scale(args, scores)
    rows, raters = compute_mos(scores, args.method, not args.skip_unanimous, args.screening)
    mos = pd.DataFrame(rows, columns=tables.MOS.names)
    report = report_raters(
        scores,
        pd.DataFrame(raters),
        _read_details(args.details),
        _read_answers(args.answers),
        scale,
    )
    reliability = compute_reliability(scores, scale, args.seed)
    # Suffix of the file, schema, rows, columns to print.
    results: list[tuple[str, Any, Any, tuple[str, ...]]] = [
        ("", tables.MOS, mos, _MOS),
        ("raters", RATER_REPORT, report, _RATERS),
        ("reliability", RELIABILITY, reliability, _RELIABILITY),
    ]
    differences = None
    if samples is not None:
        from sfqa.ratings.by_label import average_by_label
        from sfqa.ratings.significance import compare_labels

        differences = compare_labels(mos, samples, extra)
        by_label = average_by_label(mos, samples, extra)
        results.append(("by_label", tables.MOS_BY_LABEL, by_label, _LABELS))
        results.append(("differences", LABEL_DIFFERENCES, differences, ()))
    if args.out:
        for suffix, schema, frame, _ in results:
            write_table(_add_suffix(args.out, suffix), frame, schema)
    if args.figures:
        from sfqa.cli._mos_figures import draw_figures

        draw_figures(args.figures, scores, mos, report, scale, samples, extra, differences)
    print(_format_title(args.method, scores, scale))
    for _, _, frame, columns in results:
        if columns:
            rows = to_records(frame)
            print("\n" + format_table(rows, columns, args.rows))
            for line in _format_details(rows, columns[:2], args.rows):
                print(line)
    if differences is not None:
        print("\n" + _count_significant(differences))
    for path in (args.out, args.figures):
        if path:
            print(f"sfqa: wrote {path}", file=sys.stderr)
    return FAILURE if (mos["status"] == tables.FAILED).any() else SUCCESS


def _format_title(method: str, scores: pd.DataFrame, scale: tuple[float, float]) -> str:
    from sfqa.ratings.mos import VERSION

    name = {"sfqa": "zscore", "raw": "bt500"}.get(method, method)
    lines = [
        f"{name} (VERSION {VERSION}): {_METHODS[name]}; raw scale {scale[0]:g} to {scale[1]:g}"
    ]
    if scores["synthetic"].any():
        lines.append("SYNTHETIC: ratings of simulated raters, not of people")
    return "\n".join(lines)


def _format_details(rows: list[dict[str, Any]], key: tuple[str, ...], limit: int) -> list[str]:
    """Return a line for each row with a detail, at most ``limit`` (0: all)."""
    rows = [row for row in rows if row.get("detail")]
    visible = rows[:limit] if limit else rows
    lines = [
        f"{', '.join(str(row[name]) for name in key)}: {row['status']}, {row['detail']}"
        for row in visible
    ]
    more = len(rows) - len(visible)
    return lines + ([f"... and {more} more"] if more else [])


def _count_significant(differences: pd.DataFrame) -> str:
    """Return a line per kind of label and dimension with its number of significant differences."""
    lines = ["significant differences (p < .05 after Holm), of those tested:"]
    for (label_kind, dimension), rows in differences.groupby(
        ["label_kind", "dimension"], sort=False
    ):
        tested = int(rows["p"].notna().sum())
        lines.append(f"  {label_kind}, {dimension}: {int(rows['significant'].sum())} of {tested}")
    return "\n".join(lines if len(differences) else ["no two labels to compare"])


def _add_suffix(out: Path, suffix: str) -> Path:
    return out.with_name(f"{out.stem}_{suffix}{out.suffix}") if suffix else out


def _read_labels(args: argparse.Namespace) -> tuple[pd.DataFrame | None, list[str]]:
    if args.labels is None:
        return None, []
    from sfqa.ratings.by_label import add_tags

    samples = _read_noted(args.labels, "labels").to_frame()
    if "sample_id" not in samples:
        raise UserError(f"{args.labels}: no column 'sample_id'; add the samples' names")
    repeated = samples.loc[samples["sample_id"].duplicated(), "sample_id"]
    if len(repeated):
        raise UserError(
            f"{args.labels}, row {repeated.index[0]}, column sample_id: the sample "
            f"{repeated.iloc[0]!r} has two rows; keep one"
        )
    if args.tags is None:
        return samples, []
    return add_tags(samples, _read_noted(args.tags, "tags").to_frame())


def _read_noted(path: Path, what: str) -> UserTable:
    """Return a table; what was left out of it is printed."""
    table = read_table(path, what)
    for note in table.notes:
        print(f"sfqa: {note}", file=sys.stderr)
    return table


def _read_details(path: Path | None) -> pd.DataFrame | None:
    if path is None:
        return None
    number_columns = ("session", "position", "score", "video_sec", "play_sec", "answer_sec")
    return _read_noted(path, "score details").to_frame(number_columns)


def _read_answers(path: Path | None) -> pd.DataFrame | None:
    if path is None:
        return None
    from sfqa.ratings.rater_report import read_answers

    return read_answers(path)
