"""``sfqa challenge``: phases with hidden MOS, submissions scored, a leaderboard; all offline."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa.cli import BAD, FINE, _sheet
from sfqa.errors import UserError, hint

if TYPE_CHECKING:
    import pandas as pd

    from sfqa.challenge.phases import Phase
    from sfqa.challenge.submission import Submission

SUMMARY = "run a challenge as NTIRE does: make its phases, score submissions, lay out the ranks"
EXAMPLES = """
sfqa challenge make mos.csv --name video --group image_id --out challenge/
sfqa challenge score team.zip --phase challenge/hidden/development.csv
sfqa challenge score team.zip --phase challenge/hidden/test.csv --out scores.json
sfqa challenge leaderboard submissions/ --phase challenge/hidden/test.csv --format html --out l.html
"""

_ACTIONS = ("make", "score", "leaderboard")
_FORMATS = ("md", "tex", "html", "csv")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("action", metavar="ACTION", help=", ".join(_ACTIONS))
    add(
        "paths", nargs="+", type=Path, metavar="PATH",
        help="make: a table of names and MOS; score: a zip; leaderboard: zips, or folders of them",
    )  # fmt: skip
    add("--out", type=Path, metavar="PATH", help="make: a new folder; else a file")
    add("--name", metavar="COLUMN", help="of the videos' names (name, Video, video, sample_id)")
    add("--mos", metavar="COLUMN", help="of the MOS (mos, Score, score, MOS)")
    group = parser.add_argument_group("score, leaderboard")
    group.add_argument("--phase", type=Path, metavar="TABLE", help="the hidden names and MOS")
    group.add_argument(
        "--mapping", default="cubic", metavar="NAME",
        help="before PLCC and RMSE: cubic, none, rescale, logistic4, logistic5 (cubic, as NTIRE)",
    )  # fmt: skip
    group.add_argument("--team", metavar="NAME", help="score: the team (the file's name)")
    group.add_argument(
        "--baseline", action="append", default=[], type=Path, metavar="ZIP",
        help="leaderboard: shown without a rank",
    )  # fmt: skip
    group.add_argument("--format", default="md", metavar="NAME", help=f"{', '.join(_FORMATS)} (md)")
    group = parser.add_argument_group("make")
    group.add_argument("--dimension", metavar="NAME", help="of a table with several")
    group.add_argument(
        "--group", metavar="COLUMN", help="videos that share its value stay in one part"
    )
    group.add_argument("--part", metavar="COLUMN", help="your own split: train, development, test")
    group.add_argument(
        "--ungrouped", action="store_true", help="split videos one by one, whatever they share"
    )
    group.add_argument("--development", type=float, default=0.15, metavar="SHARE", help="(0.15)")
    group.add_argument("--test", type=float, default=0.15, metavar="SHARE", help="(0.15)")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="of the split (0)")


def run(args: argparse.Namespace) -> int:
    """Carry out the action; 1 where a submission is not valid."""
    if args.action not in _ACTIONS:
        raise UserError(f"challenge: no action {args.action!r}; {hint(args.action, _ACTIONS)}")
    if args.action != "leaderboard" and len(args.paths) > 1:
        raise UserError(f"challenge {args.action}: one file, not {len(args.paths)}")
    if args.action == "make":
        return _make(args)
    if args.phase is None:
        raise UserError(f"challenge {args.action}: --phase is needed: the hidden names and MOS")
    if args.format not in _FORMATS:
        raise UserError(f"--format {args.format}: there is none; {hint(args.format, _FORMATS)}")
    from sfqa.challenge.phases import read_phase

    phase = read_phase(args.phase, args.name, args.mos)
    return (_score if args.action == "score" else _leaderboard)(args, phase)


def _score(args: argparse.Namespace, phase: Phase) -> int:
    from sfqa.challenge.scoring import RESAMPLES, describe_formula
    from sfqa.store import replacing

    _sheet.check_out(args.out, "--out", [".json"])
    path = args.paths[0]
    submission, row = _row(args, path, phase, False)
    print(f"{row['team']}, phase {phase.name} ({len(phase.mos)} videos, {phase.sha256[:12]})")
    for note in submission.notes:
        print(f"note: {note}")
    for error in submission.errors:
        print(f"error: {error}")
    if submission.errors:
        print("not valid: not scored; mend what is named above")
    elif row["main_score"] is None:
        print(f"not scored: {row['detail']}")
    else:
        srcc, plcc = abs(row["srcc"]), abs(row["plcc"])
        print(f"main score {row['main_score']:.4f} = ({srcc:.4f} + {plcc:.4f}) / 2")
        low, high = row["main_score_low"], row["main_score_high"]
        print(f"95 % interval [{low:.4f}, {high:.4f}], {RESAMPLES} bootstrap samples of the videos")
        shown = {name: row[name] for name in ("srcc", "plcc", "krcc", "rmse")}
        figures = ", ".join(f"{k.upper()} {v:.4f}" for k, v in shown.items() if v is not None)
        print(f"{figures}, n {row['n']}")
        if row["detail"]:
            print(f"note: {row['detail']}")
        if row["srcc"] < 0:
            print("note: SRCC is negative and its sign ignored: high scores go with low MOS")
    print(describe_formula(args.mapping))
    if args.out:
        told = {**row, "formula": describe_formula(args.mapping), "errors": submission.errors}
        with replacing(args.out) as part:
            part.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return FINE if row["main_score"] is not None else BAD


def _row(
    args: argparse.Namespace, path: Path, phase: Phase, baseline: bool
) -> tuple[Submission, dict[str, Any]]:
    from sfqa.challenge import scoring, submission
    from sfqa.identity import sha256_file

    if not path.is_file():
        raise UserError(f"{path}: there is no such file; give a zip with output.txt, readme.txt")
    read = submission.read_zip(path, phase.mos)
    team = args.team or path.stem
    found = scoring.score_submission(read, phase, team, args.mapping, sha256_file(path), baseline)
    return read, found


def _leaderboard(args: argparse.Namespace, phase: Phase) -> int:
    from sfqa.challenge import leaderboard
    from sfqa.store import replacing, to_arrow
    from sfqa.tables import LEADERBOARD

    if args.team:
        raise UserError("--team goes with 'score': on a leaderboard a file's name is its team")
    _sheet.check_out(args.out, "--out", [f".{args.format}"])
    zips = _zips(args.paths)
    marked = {path.resolve() for path in args.baseline}
    zips += [path for path in args.baseline if path.resolve() not in {z.resolve() for z in zips}]
    teams = [path.stem for path in zips]
    twice = sorted({team for team in teams if teams.count(team) > 1})
    if twice:
        raise UserError(f"two submissions are called {twice[0]!r}; rename one, it is the team")
    rows = [_row(args, path, phase, path.resolve() in marked)[1] for path in zips]
    rows = leaderboard.rank_teams(rows)
    text = _laid_out(args, to_arrow(LEADERBOARD, rows).to_pandas(), rows, phase)
    if args.out is None:
        print(text.rstrip("\n"))
    else:
        with replacing(args.out) as part:
            part.write_text(text, encoding="utf-8")
    return FINE if all(row["main_score"] is not None for row in rows) else BAD


def _laid_out(
    args: argparse.Namespace, frame: pd.DataFrame, rows: Sequence[dict[str, Any]], phase: Phase
) -> str:
    from sfqa.challenge.leaderboard import build_leaderboard
    from sfqa.correlation.grid import to_html, to_latex, to_markdown

    if args.format == "csv":
        frame["rank"] = frame["rank"].astype("Int64")
        return str(frame.to_csv(index=False, float_format="%.6f", lineterminator="\n"))
    grid = build_leaderboard(rows, phase, args.mapping)
    if args.format == "html":
        return to_html(grid, f"Leaderboard, phase {phase.name}")
    return to_latex(grid) if args.format == "tex" else to_markdown(grid)


def _zips(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(path.glob("*.zip"))
        else:
            found.append(path)
    if not found:
        raise UserError(f"{', '.join(map(str, paths))}: no zip; put the submissions there")
    return found


# --- make -----------------------------------------------------------------------------------


def _make(args: argparse.Namespace) -> int:
    from sfqa.challenge import phases
    from sfqa.challenge.scoring import describe_formula
    from sfqa.sheets import read_table
    from sfqa.store import replacing

    if args.out is None:
        raise UserError("challenge make: --out is needed: a new folder")
    if args.out.exists() and (not args.out.is_dir() or any(args.out.iterdir())):
        raise UserError(f"--out {args.out}: is there already; give a new folder")
    if sum(bool(value) for value in (args.group, args.part, args.ungrouped)) != 1:
        raise UserError(
            "challenge make: give one of --group COLUMN (what videos share, so that no two parts "
            "do), --part COLUMN (your own split) and --ungrouped (nothing is shared)"
        )
    path = args.paths[0]
    frame = read_table(path, "names and MOS")
    frame = _of_dimension(path, frame, args.dimension)
    # Rows without a MOS (a failed video) cannot be scored and take no part.
    column = phases.find_column(path, frame, args.mos, phases.SCORES, "the MOS")
    kept = frame[frame[column].notna()]
    mos = phases.read_mos(path, kept, args.name, column)
    parts = _parts(args, path, kept, list(mos))
    chosen = {
        wanted: {n: mos[n] for n, part in zip(mos, parts, strict=True) if part == wanted}
        for wanted in phases.PHASES
    }
    for wanted in phases.PHASES[1:]:
        if not chosen[wanted]:
            raise UserError(f"challenge make: no video is in {wanted}; change the split")
    for wanted, own in chosen.items():
        _write_part(args, wanted, own)
        print(f"{wanted}: {len(own)} videos")
    if len(kept) < len(frame):
        print(f"left out: {len(frame) - len(kept)} rows without a MOS")
    with replacing(args.out / "public" / "README.md") as part:
        part.write_text(_README.format(formula=describe_formula(args.mapping)), encoding="utf-8")
    print(f"give away {args.out / 'public'}, keep {args.out / 'hidden'}")
    return FINE


def _of_dimension(path: Path, frame: pd.DataFrame, wanted: str | None) -> pd.DataFrame:
    if "dimension" not in frame:
        if wanted:
            raise UserError(f"--dimension {wanted}: {path} has no column 'dimension'; drop it")
        return frame
    there = sorted(set(frame["dimension"]))
    if wanted is None and len(there) > 1:
        raise UserError(f"{path}: which dimension? Add --dimension, one of {', '.join(there)}")
    if wanted is not None and wanted not in there:
        raise UserError(f"--dimension {wanted}: {path} has none; {hint(wanted, there)}")
    return frame[frame["dimension"] == (wanted or there[0])]


def _parts(
    args: argparse.Namespace, path: Path, frame: pd.DataFrame, names: Sequence[str]
) -> list[str]:
    from sfqa.challenge import phases

    column = args.part or args.group
    if column is not None and column not in frame:
        raise UserError(f"{path}: no column {column!r}; {hint(column, map(str, frame.columns))}")
    if args.part:
        for number, value in frame[args.part].items():
            if value not in phases.PHASES:
                known, row = ", ".join(phases.PHASES), int(str(number)) + 2
                raise UserError(f"{path}, row {row}: part {value!r}; write one of {known}")
        return list(frame[args.part])
    shares = (1 - args.development - args.test, args.development, args.test)
    if min(shares[1:]) <= 0 or shares[0] < -1e-9:
        raise UserError("--development and --test are shares above 0 that together are at most 1")
    groups = None if args.group is None else list(frame[args.group])
    return phases.split_phases(names, groups, (max(shares[0], 0.0), *shares[1:]), args.seed)


def _write_part(args: argparse.Namespace, wanted: str, mos: dict[str, float]) -> None:
    import pandas as pd

    from sfqa.challenge.example_submission import make_example_zip
    from sfqa.store import replacing

    whole = pd.DataFrame({"name": list(mos), "mos": list(mos.values())})
    files = {f"public/{wanted}.csv": whole}
    if wanted != "train":
        files = {f"hidden/{wanted}.csv": whole, f"public/{wanted}_names.csv": whole[["name"]]}
        with replacing(args.out / "public" / f"example_{wanted}.zip") as part:
            part.write_bytes(make_example_zip(list(mos), args.seed))
    for name, frame in files.items():
        with replacing(args.out / name) as part:
            frame.to_csv(part, index=False, lineterminator="\n")


_README = """# How to take part

`train.csv` has videos with their MOS, to learn from; `development_names.csv` and `test_names.csv`
have the videos to score. Send one zip per phase with two files and no folder:

- `output.txt`: a line per video of the phase, `name,score`, no heading, the names as in the list;
- `readme.txt`: what you used, in lines such as

      runtime per video [s] : 1.00
      CPU[1] / GPU[0] : 0
      Extra Data [1] / No Extra Data [0] : 0
      LLM [1] / No LLM [0] : 0
      Other description : ...

`example_development.zip` and `example_test.zip` are such submissions, of random scores.

{formula}. Signs are ignored. A submission that is not in form is not ranked; the scorer names each
line and what to write instead. To try it, put aside a part of `train.csv` (columns name, mos):

    sfqa challenge score my.zip --phase mine.csv
"""
