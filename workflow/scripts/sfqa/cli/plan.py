"""``sfqa plan``: which rater rates which videos in which order, and a report on the balance."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sfqa.cli import FAILURE, SUCCESS
from sfqa.cli._tables import check_out
from sfqa.errors import UserError
from sfqa.untrusted.parquet import load_table
from sfqa.user_tables import read_table

if TYPE_CHECKING:
    import pandas as pd

SUMMARY = "plan a rating study: balanced sessions for every rater, with a report on the balance"
EXAMPLES = """
sfqa plan samples.csv --raters 18 --per-sample 6 --out study/
sfqa plan my_videos.csv --raters 12 --per-sample 12 --study sfqa --out study/
sfqa plan results/demo --raters 18 --per-sample 6 --out results/demo/ratings/study
sfqa plan results/demo --raters 60 --per-sample 10 --groups 6 --study lgvq --out lgvq_study/
sfqa plan samples.csv --raters 18 --per-sample 6 --training t1,t2,t3 --gold g1,g2 --traps x1 --out study/
sfqa plan more_samples.csv --raters 18 --per-sample 6 --append --out study/
"""  # noqa: E501

_PLAN, _REPORT = "plan.parquet", "plan.txt"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add(
        "samples", type=Path, metavar="SAMPLES",
        help=".csv, .tsv or .parquet with sample_id, method, seconds and optionally pair_id, "
        "image_category, style, language; with a column video (paths seen from the table's "
        "folder) and optionally image, clip, title, prompt, sample_id, method and seconds may be "
        "missing; or the folder of a dataset (results/demo)",
    )  # fmt: skip
    add(
        "--raters", required=True, metavar="N|NAMES", help="number of raters, or names: ann,ben,..."
    )
    add("--per-sample", type=int, required=True, metavar="K", help="raters per video")
    add("--seed", type=int, default=0, metavar="N", help="seed of the plan (0)")
    add("--minutes", type=float, default=30.0, metavar="M", help="maximum length of a session (30)")
    add(
        "--block-minutes",
        type=float,
        default=10.0,
        metavar="M",
        help="maximum time without a break (10)",
    )
    add(
        "--scoring-sec", type=float, default=6.0, metavar="S",
        help="time to score a video after it has played (6)",
    )  # fmt: skip
    for name, description in (
        ("training", "samples for training, shown first and not rated in the test"),
        ("gold", "samples of obvious quality, one in every session"),
        ("traps", "samples that ask for a certain answer, one in every session"),
    ):
        add(f"--{name}", action="append", default=[], metavar="IDS", help=description)
    add(
        "--warm-up",
        type=int,
        default=0,
        metavar="N",
        help="number of training clips before each later session",
    )
    add(
        "--repeats", type=float, default=0.0, metavar="SHARE",
        help="share of a rater's videos that is shown twice, to measure consistency (0; try 0.05)",
    )  # fmt: skip
    add(
        "--groups",
        type=int,
        metavar="G",
        help="number of groups of raters that share no video (LGVQ: 6)",
    )
    add(
        "--append", action="store_true",
        help=f"keep the rows of OUT/{_PLAN} and add sessions for new samples",
    )  # fmt: skip
    add(
        "--sd",
        type=float,
        metavar="SD",
        help="expected standard deviation of a video's ratings, for the interval",
    )
    add("--scale", default="1,5", metavar="LOW,HIGH", help="scale of the ratings (1,5)")
    add(
        "--study", default="sfqa", metavar="NAME|FILE",
        help="dimensions and criteria shown to raters: sfqa, lgvq, or your own study.yaml",
    )  # fmt: skip
    add(
        "--out", type=Path, metavar="FOLDER",
        help=f"write {_PLAN} and {_REPORT} there; for a dataset and for a table with the column "
        "video also media.parquet and study.yaml, which sfqa rate serve needs",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Make the plan, print its report, write both. Returns 1 if a guarantee is broken."""
    from sfqa import store
    from sfqa.ratings.plan import make_plan
    from sfqa.ratings.plan_check import describe_plan
    from sfqa.ratings.study_design import StudyDesign
    from sfqa.ratings.study_folder import find_study_file
    from sfqa.tables import PLAN

    if args.out and args.samples.is_dir():  # ratings/ of a dataset may not exist yet
        args.out.parent.mkdir(parents=True, exist_ok=True)
    check_out(args.out, "--out", ())
    low, high = parse_scale(args.scale, "--scale")
    if args.sd is not None and args.sd <= 0:
        raise UserError(f"--sd {args.sd:g}: give a number above 0")
    find_study_file(args.study)
    samples = _read_samples(args.samples)
    existing = _read_existing_plan(args)
    design = StudyDesign(
        per_sample=args.per_sample,
        minutes=args.minutes,
        scoring_sec=args.scoring_sec,
        block_minutes=args.block_minutes,
        training=_split_names(args.training),
        gold=_split_names(args.gold),
        traps=_split_names(args.traps),
        repeats_share=args.repeats,
        warm_up=args.warm_up,
        groups=args.groups,
    )
    plan = make_plan(samples, _parse_raters(args.raters), design, args.seed, existing)
    report = describe_plan(plan, samples, design, existing, sd=args.sd, scale=(low, high))
    if existing is not None:
        new = plan.iloc[len(existing) :]
        count = new.loc[new["role"] == "test", "sample_id"].nunique()
        report += f"\nadded: {count} videos in {len(new)} presentations, {len(existing)} kept"
    print(report)
    if args.out:
        args.out.mkdir(exist_ok=True)
        written = [args.out / _REPORT, args.out / _PLAN, *_write_media(args, samples, plan)]
        with store.replacing(args.out / _REPORT) as part:
            part.write_text(report + "\n", encoding="utf-8")
        store.write(PLAN, plan, args.out / _PLAN)
        print(f"sfqa: wrote {', '.join(map(str, written))}", file=sys.stderr)
        if (args.out / "study.yaml").is_file():
            print(
                f"sfqa: next, edit {args.out / 'study.yaml'} (docs/study_yaml.md), then: "
                f"sfqa rate links {args.out}; sfqa rate serve {args.out}",
                file=sys.stderr,
            )
    return FAILURE if "\nBROKEN" in report else SUCCESS


def _write_media(args: argparse.Namespace, samples: pd.DataFrame, plan: pd.DataFrame) -> list[Path]:
    """Write the media and the settings of the study, and return the written files."""
    from sfqa.ratings.own_videos import write_own_media
    from sfqa.ratings.study_folder import write_study_files, write_study_settings

    if args.samples.is_dir():
        return write_study_files(args.samples, args.out, plan["sample_id"], args.study)
    if "video" in samples:
        media = write_own_media(samples, args.samples, args.out)
        return [media, *write_study_settings(args.out, args.study)]
    print(
        f"sfqa: {args.samples} has no column video with the paths of the videos, so media.parquet "
        "and study.yaml, which sfqa rate serve needs, are not written; add the column, or write "
        "them by hand (docs/rating_screen.md)",
        file=sys.stderr,
    )
    return []


def parse_scale(text: str, option: str) -> tuple[float, float]:
    """Return the two ends of a scale such as "1,5".

    >>> parse_scale("0,100", "--scale")
    (0.0, 100.0)
    """
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = 0.0
    if not low < high < float("inf"):
        raise UserError(f"{option} {text}: give its two ends, such as 1,5")
    return low, high


def _split_names(arguments: list[str]) -> list[str]:
    names = [name.strip() for argument in arguments for name in argument.split(",")]
    return [name for name in names if name]


def _parse_raters(text: str) -> int | list[str]:
    if text.isdecimal():
        return int(text)
    return _split_names([text])


def _read_samples(path: Path) -> pd.DataFrame:
    from sfqa.ratings.own_videos import complete_samples
    from sfqa.user_tables.numbers import is_empty

    if path.is_dir():
        from sfqa import store, tables
        from sfqa.ratings.plan import select_ratable_samples

        files = path / tables.SAMPLES.path, path / tables.CONFORMED.merged_path
        for file in files:
            if not file.is_file():
                raise UserError(
                    f"{file}: no such file; give a dataset whose videos are conformed, or a table"
                )
        return select_ratable_samples(
            store.read(tables.SAMPLES, files[0]), store.read(tables.CONFORMED, files[1])
        )
    table = read_table(path, "samples")
    has_videos = "video" in table.columns
    numbers = [
        name
        for name in ("seconds", "duration_sec")
        if name in table.columns and not (has_videos and any(map(is_empty, table.columns[name])))
    ]
    frame = table.to_frame(numbers)
    if "seconds" not in frame and "duration_sec" in frame:
        frame = frame.rename(columns={"duration_sec": "seconds"})
    return complete_samples(frame, path) if has_videos else frame


def _read_existing_plan(args: argparse.Namespace) -> pd.DataFrame | None:
    """Return the plan in the output folder for --append; without --append there must be none."""

    if args.append and not args.out:
        raise UserError("--append needs --out, the folder of the study to extend")
    file = args.out / _PLAN if args.out else None
    if file is None or not file.is_file():
        if args.append:
            raise UserError(f"--append: there is no {file}; drop --append for a new study")
        return None
    if not args.append:
        raise UserError(
            f"{file} exists, and raters may have started; --append adds the new videos to it, "
            "another --out starts a new study"
        )
    return load_table(file).to_pandas()
