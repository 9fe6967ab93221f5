"""``sfqa mos``: mean opinion scores, raters and reliability of anyone's table of ratings."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa.cli import BAD, FINE, _scores, _sheet
from sfqa.errors import UserError, hint

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
    "lgvq": "outlier ratings and raters with many removed, z-scores, 100 (z + 3) / 6",
    "bt500": "BT.500 screening and means of the raw ratings (also: raw)",
    "mean": "means of all raw ratings",
    "p913": "the raters' biases taken off (P.913 12.4), then BT.500 screening",
    "p910": "MOS, bias and inconsistency fitted together (P.910 Annex E; 8 raters or more)",
}
_MOS = ("sample_id", "dimension", "mos", "n", "sd", "ci95_low", "ci95_high", "status")
_RATERS = ("dimension", "rater", "n", "bias", "inconsistency", "agreement_srcc", "rejected", "status")  # fmt: skip  # noqa: E501
_TRUST = ("dimension", "samples", "raters", "ratings", "least_ratings", "half_srcc", "reliability",
          "ci95_low", "ci95_high", "sos_a")  # fmt: skip
_LABELS = ("label_kind", "label", "dimension", "n", "mean", "sd", "ci95_low", "ci95_high")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("table", type=Path, metavar="TABLE", help=".csv, .tsv or .parquet of ratings")
    told = "; ".join(f"{name}: {what}" for name, what in _METHODS.items())
    add("--method", default="zscore", metavar="NAME", help=f"{told} (zscore)")
    add(
        "--skip-unanimous", action="store_true",
        help="BT.500: do not count samples that all rate alike, which else count on both sides",
    )  # fmt: skip
    add("--without", action="append", default=[], metavar="RATER", help="leave this rater out")
    add(
        "--labels", type=Path, metavar="TABLE",
        help="sample_id with method, pair_id, image_category, style, language: MOS by label, tests",
    )  # fmt: skip
    add("--tags", type=Path, metavar="TABLE", help="more labels, by sample, pair, image or clip")
    add("--details", type=Path, metavar="TABLE", help="score_details of 'sfqa rate export'")
    add(
        "--answers", type=Path, metavar="TABLE",
        help="of gold and trap clips: sample_id, dimension, expected, tolerance",
    )  # fmt: skip
    add("--rows", type=int, default=30, metavar="N", help="rows on the screen (30; 0: all)")
    add(
        "--out", type=Path, metavar="FILE",
        help="write the MOS as .csv or .parquet, and beside it FILE_raters, FILE_reliability, "
        "FILE_by_label, FILE_differences",
    )  # fmt: skip
    add("--figures", type=Path, metavar="FOLDER", help="draw there, .png and .svg")
    add("--seed", type=int, default=0, metavar="N", help="of the random halves (0)")
    _scores.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Compute, print, write and draw; 1 where a sample got no MOS."""
    import pandas as pd

    from sfqa import tables
    from sfqa.ratings.mos import SCALES, mean_opinion_scores
    from sfqa.ratings.rater_report import rater_report
    from sfqa.ratings.reliability import reliability_table
    from sfqa.store import to_records
    from sfqa.tables import LABEL_DIFFERENCES, RATER_REPORT, RELIABILITY

    if args.method not in SCALES:
        raise UserError(f"--method {args.method}: there is none; {hint(args.method, SCALES)}")
    if args.rows < 0:
        raise UserError(f"--rows {args.rows}: give 0 (all) or more")
    for option, needed in (("tags", "labels"), ("answers", "details")):
        if getattr(args, option) and not getattr(args, needed):
            raise UserError(f"--{option} needs --{needed}")
    _sheet.check_out(args.out, "--out")
    _sheet.check_out(args.figures, "--figures", ())
    scores = _scores.without(_scores.read_scores(args), args.without)
    samples, extra = _labels(args)
    scale = _scores.scale_of(args, scores)
    rows, raters = mean_opinion_scores(scores, args.method, not args.skip_unanimous)
    mos = pd.DataFrame(rows, columns=tables.MOS.names)
    report = rater_report(
        scores, pd.DataFrame(raters), _details(args.details), _answers(args.answers), scale
    )
    trust = reliability_table(scores, scale, args.seed)
    made: list[tuple[str, Any, Any, tuple[str, ...]]] = [
        ("", tables.MOS, mos, _MOS),
        ("raters", RATER_REPORT, report, _RATERS),
        ("reliability", RELIABILITY, trust, _TRUST),
    ]
    differences = None
    if samples is not None:
        from sfqa.ratings.by_label import mos_by_label
        from sfqa.ratings.significance import label_differences

        differences = label_differences(mos, samples, extra)
        by_label = mos_by_label(mos, samples, extra)
        made.append(("by_label", tables.MOS_BY_LABEL, by_label, _LABELS))
        made.append(("differences", LABEL_DIFFERENCES, differences, ()))
    if args.out:
        for name, kind, frame, _ in made:
            _sheet.write_table(_beside(args.out, name), frame, kind)
    if args.figures:
        from sfqa.cli._mos_figures import draw

        draw(args.figures, scores, mos, report, scale, samples, extra, differences)
    print(_title(args.method, scores, scale))
    for _, _, frame, columns in made:
        if columns:
            own = to_records(frame)
            print("\n" + _sheet.grid(own, columns, args.rows))
            for line in _reasons(own, columns[:2], args.rows):
                print(line)
    if differences is not None:
        print("\n" + _told(differences))
    for path in (args.out, args.figures):
        if path:
            print(f"sfqa: wrote {path}", file=sys.stderr)
    return BAD if (mos["status"] == tables.FAILED).any() else FINE


def _title(method: str, scores: pd.DataFrame, scale: tuple[float, float]) -> str:
    from sfqa.ratings.mos import VERSION

    name = {"sfqa": "zscore", "raw": "bt500"}.get(method, method)
    lines = [
        f"{name} (VERSION {VERSION}): {_METHODS[name]}; raw scale {scale[0]:g} to {scale[1]:g}"
    ]
    if scores["synthetic"].any():
        lines.append("SYNTHETIC: ratings of simulated raters, not of people")
    return "\n".join(lines)


def _reasons(rows: list[dict[str, Any]], key: tuple[str, ...], most: int) -> list[str]:
    bad = [row for row in rows if row.get("detail")]
    shown = bad[:most] if most else bad
    lines = [
        f"{', '.join(str(row[name]) for name in key)}: {row['status']}, {row['detail']}"
        for row in shown
    ]
    return lines + ([f"... and {len(bad) - len(shown)} more"] if len(bad) > len(shown) else [])


def _told(differences: pd.DataFrame) -> str:
    """How many comparisons of each kind and dimension are significant."""
    lines = ["significant differences (p < .05 after Holm), of those tested:"]
    for (kind, dimension), own in differences.groupby(["label_kind", "dimension"], sort=False):
        tested = int(own["p"].notna().sum())
        lines.append(f"  {kind}, {dimension}: {int(own['significant'].sum())} of {tested}")
    return "\n".join(lines if len(differences) else ["no two labels to compare"])


def _beside(out: Path, name: str) -> Path:
    return out.with_name(f"{out.stem}_{name}{out.suffix}") if name else out


def _labels(args: argparse.Namespace) -> tuple[pd.DataFrame | None, list[str]]:
    if args.labels is None:
        return None, []
    from sfqa.ratings.by_label import with_tags

    samples = _sheet.read_sheet(args.labels, "labels")
    if "sample_id" not in samples:
        raise UserError(f"{args.labels}: no column 'sample_id'; add the samples' names")
    twice = samples.loc[samples["sample_id"].duplicated(), "sample_id"]
    if len(twice):
        raise UserError(f"{args.labels}: the sample {twice.iloc[0]!r} is there twice; keep one row")
    if args.tags is None:
        return samples, []
    return with_tags(samples, _sheet.read_sheet(args.tags, "tags"))


def _details(path: Path | None) -> pd.DataFrame | None:
    if path is None:
        return None
    frame = _sheet.read_sheet(path, "score details")
    numbers = ("session", "position", "score", "video_sec", "play_sec", "answer_sec")
    return _numeric(path, frame, [name for name in numbers if name in frame])


def _answers(path: Path | None) -> pd.DataFrame | None:
    if path is None:
        return None
    frame = _sheet.read_sheet(path, "answers")
    for name in ("sample_id", "dimension", "expected", "tolerance"):
        if name not in frame:
            raise UserError(f"{path}: no column {name!r}; add it")
    return _numeric(path, frame, ["expected", "tolerance"])


def _numeric(path: Path, frame: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    import pandas as pd

    for name in names:
        try:
            frame[name] = pd.to_numeric(frame[name])
        except (ValueError, TypeError) as error:
            raise UserError(f"{path}, column {name}: {error}; write numbers") from error
    return frame
