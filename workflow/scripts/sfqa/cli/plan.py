"""``sfqa plan``: who rates which videos, in which order, with the proof of its balance."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sfqa.cli import BAD, FINE, _sheet
from sfqa.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

SUMMARY = "plan a rating study: balanced sessions for every rater, with the proof of balance"
EXAMPLES = """
sfqa plan samples.csv --raters 18 --per-sample 6 --out study/
sfqa plan results/demo --raters 18 --per-sample 6 --out results/demo/ratings/study
sfqa plan results/demo --raters 60 --per-sample 10 --groups 6 --study lgvq --out lgvq_study/
sfqa plan samples.csv --raters 18 --per-sample 6 --training t1,t2,t3 --gold g1,g2 --traps x1 --out study/
sfqa plan more_samples.csv --raters 18 --per-sample 6 --append --out study/
"""  # noqa: E501

_PLAN, _PROOF = "plan.parquet", "plan.txt"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add(
        "samples", type=Path, metavar="SAMPLES",
        help=".csv, .tsv or .parquet with sample_id, method, seconds and, where there are some, "
        "pair_id, image_category, style, language; or the folder of a dataset (results/demo)",
    )  # fmt: skip
    add("--raters", required=True, metavar="N|NAMES", help="their number, or names: ann,ben,...")
    add("--per-sample", type=int, required=True, metavar="K", help="raters of every video")
    add("--seed", type=int, default=0, metavar="N", help="another seed, another plan (0)")
    add("--minutes", type=float, default=30.0, metavar="M", help="longest session (30)")
    add("--block-minutes", type=float, default=10.0, metavar="M", help="longest without break (10)")
    add(
        "--scoring-sec", type=float, default=6.0, metavar="S",
        help="time to score a video, after its own length (6)",
    )  # fmt: skip
    for name, what in (
        ("training", "shown first, never in the test"),
        ("gold", "of obvious quality, one in every session"),
        ("traps", "that ask for a certain answer, one in every session"),
    ):
        add(f"--{name}", action="append", default=[], metavar="IDS", help=f"samples {what}")
    add("--warm-up", type=int, default=0, metavar="N", help="training clips before later sessions")
    add(
        "--repeats", type=float, default=0.0, metavar="SHARE",
        help="share of a rater's videos that is shown twice, to see who repeats himself (0; 0.05)",
    )  # fmt: skip
    add("--groups", type=int, metavar="G", help="groups of raters that share no video (LGVQ: 6)")
    add(
        "--append", action="store_true",
        help=f"keep the rows of OUT/{_PLAN} and add sessions for the samples that it lacks",
    )  # fmt: skip
    add("--sd", type=float, metavar="SD", help="expected sd of a video's ratings, for the interval")
    add("--scale", default="1,5", metavar="LOW,HIGH", help="of the ratings (1,5)")
    add(
        "--study", default="sfqa", metavar="NAME|FILE",
        help="dimensions and criteria that raters read: sfqa, lgvq, or a study.yaml of your own",
    )  # fmt: skip
    add(
        "--out", type=Path, metavar="FOLDER",
        help=f"write {_PLAN} and {_PROOF} there; of a dataset also media.parquet and study.yaml, "
        "which sfqa rate serve needs",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Make the plan, print its proof, write both; 1 where a guarantee is broken."""
    from sfqa import store
    from sfqa.ratings.plan import make_plan
    from sfqa.ratings.plan_text import plan_report
    from sfqa.ratings.study_design import StudyDesign
    from sfqa.ratings.study_folder import fill_study
    from sfqa.tables import PLAN

    if args.out and args.samples.is_dir():  # ratings/ of a dataset may not be there yet
        args.out.parent.mkdir(parents=True, exist_ok=True)
    _sheet.check_out(args.out, "--out", ())
    low, high = ends(args.scale, "--scale")
    if args.sd is not None and args.sd <= 0:
        raise UserError(f"--sd {args.sd:g}: give a number above 0")
    samples = _samples(args.samples)
    existing = _existing(args)
    design = StudyDesign(
        per_sample=args.per_sample,
        minutes=args.minutes,
        scoring_sec=args.scoring_sec,
        block_minutes=args.block_minutes,
        training=_listed(args.training),
        gold=_listed(args.gold),
        traps=_listed(args.traps),
        repeats_share=args.repeats,
        warm_up=args.warm_up,
        groups=args.groups,
    )
    plan = make_plan(samples, _raters(args.raters), design, args.seed, existing)
    proof = plan_report(plan, samples, design, existing, sd=args.sd, scale=(low, high))
    if existing is not None:
        new = plan.iloc[len(existing) :]
        count = new.loc[new["role"] == "test", "sample_id"].nunique()
        proof += f"\nadded: {count} videos in {len(new)} presentations, {len(existing)} kept"
    print(proof)
    if args.out:
        args.out.mkdir(exist_ok=True)
        written = [args.out / _PROOF, args.out / _PLAN]
        if args.samples.is_dir():
            written += fill_study(args.samples, args.out, plan["sample_id"], args.study)
        with store.replacing(args.out / _PROOF) as part:
            part.write_text(proof + "\n", encoding="utf-8")
        store.write(PLAN, plan, args.out / _PLAN)
        print(f"sfqa: wrote {', '.join(map(str, written))}", file=sys.stderr)
    return BAD if "\nBROKEN" in proof else FINE


def ends(text: str, option: str) -> tuple[float, float]:
    """Return the two ends of a scale that was given as "1,5".

    >>> ends("0,100", "--scale")
    (0.0, 100.0)
    """
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = 0.0
    if not low < high < float("inf"):
        raise UserError(f"{option} {text}: give its two ends, such as 1,5")
    return low, high


def _listed(words: list[str]) -> list[str]:
    return [name.strip() for word in words for name in word.split(",") if name.strip()]


def _raters(text: str) -> int | list[str]:
    if text.isdecimal():
        return int(text)
    return _listed([text])


def _samples(path: Path) -> pd.DataFrame:
    if path.is_dir():
        from sfqa import store, tables
        from sfqa.ratings.plan import study_samples

        files = path / tables.SAMPLES.path, path / tables.CONFORMED.merged_path
        for file in files:
            if not file.is_file():
                raise UserError(
                    f"{file}: no such file; give a dataset whose videos are conformed, or a table"
                )
        return study_samples(
            store.read(tables.SAMPLES, files[0]), store.read(tables.CONFORMED, files[1])
        )
    frame = _sheet.read_sheet(path, "samples")
    if "seconds" not in frame and "duration_sec" in frame:
        frame = frame.rename(columns={"duration_sec": "seconds"})
    return frame


def _existing(args: argparse.Namespace) -> pd.DataFrame | None:
    """The plan in the folder, where it is to grow; else there must be none."""
    import pandas as pd

    if args.append and not args.out:
        raise UserError("--append needs --out, the folder of the study that is to grow")
    file = args.out / _PLAN if args.out else None
    if file is None or not file.is_file():
        if args.append:
            raise UserError(f"--append: there is no {file}; drop --append for a new study")
        return None
    if not args.append:
        raise UserError(
            f"{file} is there already, and raters may have begun; --append adds the new videos to "
            "it, another --out makes another study"
        )
    return pd.read_parquet(file)
