"""``sfqa challenge``: create phases with hidden MOS, score submissions, rank them; offline."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa.cli import FAILURE, SUCCESS
from sfqa.cli._tables import check_out
from sfqa.csv_text import format_frame, write_frame
from sfqa.errors import UserError, hint

if TYPE_CHECKING:
    import pandas as pd

    from sfqa.challenge.phases import Phase
    from sfqa.challenge.submission import Submission
    from sfqa.user_tables import UserTable

SUMMARY = "run a challenge like NTIRE: make its phases, score submissions, print a leaderboard"
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
        help="make: a table of names and MOS; score: a zip file; leaderboard: zip files or folders",
    )  # fmt: skip
    add("--out", type=Path, metavar="PATH", help="make: a new folder; otherwise a file")
    add(
        "--name",
        metavar="COLUMN",
        help="column of the videos' names (name, Video, video, sample_id)",
    )
    add("--mos", metavar="COLUMN", help="column of the MOS (mos, Score, score, MOS)")
    group = parser.add_argument_group("score, leaderboard")
    group.add_argument(
        "--phase", type=Path, metavar="TABLE", help="table of the hidden names and MOS"
    )
    group.add_argument(
        "--mapping", default="cubic", metavar="NAME",
        help="mapping before PLCC and RMSE: cubic, none, rescale, logistic4, logistic5 (cubic)",
    )  # fmt: skip
    group.add_argument(
        "--team", metavar="NAME", help="score: name of the team (by default that of the file)"
    )
    group.add_argument(
        "--baseline", action="append", default=[], type=Path, metavar="ZIP",
        help="leaderboard: a submission that is listed without a rank",
    )  # fmt: skip
    group.add_argument("--format", default="md", metavar="NAME", help=f"{', '.join(_FORMATS)} (md)")
    group = parser.add_argument_group("make")
    group.add_argument(
        "--dimension", metavar="NAME", help="the dimension, if the table has several"
    )
    group.add_argument(
        "--group", metavar="COLUMN", help="videos with equal values stay in the same part"
    )
    group.add_argument("--part", metavar="COLUMN", help="use this split: train, development, test")
    group.add_argument(
        "--ungrouped", action="store_true", help="split single videos, without groups"
    )
    group.add_argument(
        "--development", type=float, default=0.15, metavar="SHARE", help="share (0.15)"
    )
    group.add_argument("--test", type=float, default=0.15, metavar="SHARE", help="share (0.15)")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the split (0)")


def run(args: argparse.Namespace) -> int:
    """Make, score or rank. Returns 1 if a submission is not valid."""
    if args.action not in _ACTIONS:
        raise UserError(f"challenge: no action {args.action!r}; {hint(args.action, _ACTIONS)}")
    if args.action != "leaderboard" and len(args.paths) > 1:
        raise UserError(f"challenge {args.action}: one file, not {len(args.paths)}")
    if args.action == "make":
        return _make_challenge(args)
    if args.phase is None:
        raise UserError(
            f"challenge {args.action}: --phase is needed, the table of hidden names and MOS"
        )
    if args.format not in _FORMATS:
        raise UserError(f"--format {args.format}: no such format; {hint(args.format, _FORMATS)}")
    from sfqa.challenge.phases import read_phase

    phase = read_phase(args.phase, args.name, args.mos)
    return (_print_score if args.action == "score" else _print_leaderboard)(args, phase)


def _print_score(args: argparse.Namespace, phase: Phase) -> int:
    from sfqa.challenge.scoring import RESAMPLES, describe_formula
    from sfqa.statistics.registry import STATISTICS
    from sfqa.store import replacing

    check_out(args.out, "--out", [".json"])
    path = args.paths[0]
    submission, row = _score_submission(args, path, phase, False)
    print(f"{row['team']}, phase {phase.name} ({len(phase.mos)} videos, {phase.sha256[:12]})")
    for note in submission.notes:
        print(f"note: {note}")
    for error in submission.errors:
        print(f"error: {error}")
    if submission.errors:
        print("not valid, not scored; correct the errors above")
    elif row["main_score"] is None:
        print(f"not scored: {row['detail']}")
    else:
        srcc, plcc = abs(row["srcc"]), abs(row["plcc"])
        print(f"main score {row['main_score']:.4f} = ({srcc:.4f} + {plcc:.4f}) / 2")
        low, high = row["main_score_low"], row["main_score_high"]
        print(f"95 % interval [{low:.4f}, {high:.4f}], {RESAMPLES} bootstrap samples of the videos")
        figures = ", ".join(
            f"{statistic.label} {row[statistic.name]:.4f}"
            for statistic in STATISTICS
            if row[statistic.name] is not None
        )
        print(f"{figures}, n {row['n']}")
        if row["detail"]:
            print(f"note: {row['detail']}")
        if row["srcc"] < 0:
            print("note: SRCC is negative (high scores mean low MOS); the sign is ignored")
    print(describe_formula(args.mapping))
    if args.out:
        result = {**row, "formula": describe_formula(args.mapping), "errors": submission.errors}
        with replacing(args.out) as part:
            part.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return SUCCESS if row["main_score"] is not None else FAILURE


def _score_submission(
    args: argparse.Namespace, path: Path, phase: Phase, baseline: bool
) -> tuple[Submission, dict[str, Any]]:
    from sfqa.challenge import scoring, submission
    from sfqa.identity import sha256_file

    if not path.is_file():
        raise UserError(f"{path}: there is no such file; give a zip with output.txt and readme.txt")
    content = submission.read_zip(path, phase.mos)
    team = args.team or path.stem
    row = scoring.score_submission(content, phase, team, args.mapping, sha256_file(path), baseline)
    return content, row


def _print_leaderboard(args: argparse.Namespace, phase: Phase) -> int:
    from sfqa.challenge import leaderboard
    from sfqa.store import replacing, to_arrow
    from sfqa.tables import LEADERBOARD

    if args.team:
        raise UserError(
            "--team is an argument of 'score': on a leaderboard the file's name is the team"
        )
    check_out(args.out, "--out", [f".{args.format}"])
    zips = _list_zips(args.paths)
    baselines = {path.resolve() for path in args.baseline}
    zips += [path for path in args.baseline if path.resolve() not in {z.resolve() for z in zips}]
    teams = [path.stem for path in zips]
    repeated = sorted({team for team in teams if teams.count(team) > 1})
    if repeated:
        raise UserError(f"two submissions are called {repeated[0]!r}; rename one, it is the team")
    rows = [_score_submission(args, path, phase, path.resolve() in baselines)[1] for path in zips]
    rows = leaderboard.rank_teams(rows)
    text = _format_leaderboard(args, to_arrow(LEADERBOARD, rows).to_pandas(), rows, phase)
    if args.out is None:
        print(text.rstrip("\n"))
    else:
        with replacing(args.out) as part:
            part.write_text(text, encoding="utf-8")
    return SUCCESS if all(row["main_score"] is not None for row in rows) else FAILURE


def _format_leaderboard(
    args: argparse.Namespace, frame: pd.DataFrame, rows: Sequence[dict[str, Any]], phase: Phase
) -> str:
    from sfqa.challenge.leaderboard import build_leaderboard
    from sfqa.correlation.grid import to_html, to_latex, to_markdown

    if args.format == "csv":
        frame["rank"] = frame["rank"].astype("Int64")
        return format_frame(frame, float_format="%.6f")
    grid = build_leaderboard(rows, phase, args.mapping)
    if args.format == "html":
        return to_html(grid, f"Leaderboard, phase {phase.name}")
    return to_latex(grid) if args.format == "tex" else to_markdown(grid)


def _list_zips(paths: Sequence[Path]) -> list[Path]:
    zips: list[Path] = []
    for path in paths:
        if path.is_dir():
            zips += sorted(path.glob("*.zip"))
        else:
            zips.append(path)
    if not zips:
        raise UserError(f"{', '.join(map(str, paths))}: no zip file; put the submissions there")
    return zips


# --- make -----------------------------------------------------------------------------------


def _make_challenge(args: argparse.Namespace) -> int:
    from sfqa.challenge import phases
    from sfqa.challenge.scoring import describe_formula
    from sfqa.store import replacing
    from sfqa.user_tables import read_table
    from sfqa.user_tables.numbers import is_empty
    from sfqa.user_tables.summaries import leave_out_summary_rows

    if args.out is None:
        raise UserError("challenge make: --out is needed, a new folder")
    if args.out.exists() and (not args.out.is_dir() or any(args.out.iterdir())):
        raise UserError(f"--out {args.out}: exists already; give a new folder")
    if sum(bool(value) for value in (args.group, args.part, args.ungrouped)) != 1:
        raise UserError(
            "challenge make: give one of --group COLUMN (videos with equal values stay in one "
            "part), --part COLUMN (your own split) and --ungrouped (videos share nothing)"
        )
    options = (args.name, args.mos, args.group, args.part)
    table = read_table(
        args.paths[0], "names and MOS", named=[name for name in options if name is not None]
    )
    leave_out_summary_rows(table, phases.find_column(table, args.name, phases.NAMES, "the names"))
    for note in table.notes:
        print(f"sfqa: {note}", file=sys.stderr)
    indices = _select_dimension(table, args.dimension)
    # Rows without a MOS (a failed video) cannot be scored and are left out.
    column = phases.find_column(table, args.mos, phases.SCORES, "the MOS")
    rated = [index for index in indices if not is_empty(table.columns[column][index])]
    mos = phases.read_mos(table, rated, args.name, column)
    parts = _assign_parts(args, table, rated, list(mos))
    mos_by_part = {
        part: {name: mos[name] for name, p in zip(mos, parts, strict=True) if p == part}
        for part in phases.PHASES
    }
    for part in phases.PHASES[1:]:
        if not mos_by_part[part]:
            raise UserError(f"challenge make: no video is in {part}; change the split")
    for part, part_mos in mos_by_part.items():
        _write_part(args, part, part_mos)
        print(f"{part}: {len(part_mos)} videos")
    if len(rated) < len(indices):
        print(f"left out: {len(indices) - len(rated)} rows without a MOS")
    with replacing(args.out / "public" / "README.md") as file:
        file.write_text(_README.format(formula=describe_formula(args.mapping)), encoding="utf-8")
    print(f"publish {args.out / 'public'}, keep {args.out / 'hidden'} secret")
    return SUCCESS


def _select_dimension(table: UserTable, dimension: str | None) -> list[int]:
    """Return the indices of the rows of a dimension, of all rows without a column of dimensions."""
    if "dimension" not in table.columns:
        if dimension:
            raise UserError(
                f"--dimension {dimension}: {table.path} has no column 'dimension'; drop it"
            )
        return list(range(len(table.rows)))
    labels = [str(cell or "") for cell in table.columns["dimension"]]
    dimensions = sorted(set(labels))
    if dimension is None and len(dimensions) > 1:
        names = ", ".join(dimensions)
        raise UserError(f"{table.path}: which dimension? Add --dimension, one of {names}")
    if dimension is not None and dimension not in dimensions:
        raise UserError(
            f"--dimension {dimension}: {table.path} does not have it; {hint(dimension, dimensions)}"
        )
    return [index for index, label in enumerate(labels) if dimension in (None, label)]


def _assign_parts(
    args: argparse.Namespace, table: UserTable, indices: Sequence[int], names: Sequence[str]
) -> list[str]:
    from sfqa.challenge import phases

    column = args.part or args.group
    if column is not None and column not in table.columns:
        raise UserError(f"{table.path}: no column {column!r}; {hint(column, table.columns)}")
    cells = [table.columns[column][index] for index in indices] if column is not None else []
    if args.part:
        for index, cell in zip(indices, cells, strict=True):
            if cell not in phases.PHASES:
                raise UserError(
                    f"{table.path}, row {table.rows[index]}: part {cell!r}; write one of "
                    f"{', '.join(phases.PHASES)}"
                )
        return cells
    shares = (1 - args.development - args.test, args.development, args.test)
    if min(shares[1:]) <= 0 or shares[0] < -1e-9:
        raise UserError("--development and --test must be above 0 and their sum at most 1")
    groups = None if args.group is None else [None if cell == "" else cell for cell in cells]
    return phases.split_phases(names, groups, (max(shares[0], 0.0), *shares[1:]), args.seed)


def _write_part(args: argparse.Namespace, part: str, mos: dict[str, float]) -> None:
    import pandas as pd

    from sfqa.challenge.example_submission import make_example_zip
    from sfqa.private_files import PRIVATE_FOLDER_MODE
    from sfqa.store import replacing

    table = pd.DataFrame({"name": list(mos), "mos": list(mos.values())})
    files = {f"public/{part}.csv": table}
    if part != "train":
        files = {f"hidden/{part}.csv": table, f"public/{part}_names.csv": table[["name"]]}
        with replacing(args.out / "public" / f"example_{part}.zip") as file:
            file.write_bytes(make_example_zip(list(mos), args.seed))
    for name, frame in files.items():
        is_hidden = name.startswith("hidden/")
        if is_hidden:
            (args.out / "hidden").mkdir(mode=PRIVATE_FOLDER_MODE, parents=True, exist_ok=True)
        with replacing(args.out / name, private=is_hidden) as file:
            write_frame(frame, file)


_README = """# How to take part

`train.csv` has videos with their MOS for training; `development_names.csv` and `test_names.csv`
list the videos to score. Submit one zip per phase with two files and no folder:

- `output.txt`: one line per video of the phase, `name,score`, without a heading, with the names of
  the list;
- `readme.txt`: a description of your method, in lines such as

      runtime per video [s] : 1.00
      CPU[1] / GPU[0] : 0
      Extra Data [1] / No Extra Data [0] : 0
      LLM [1] / No LLM [0] : 0
      Other description : ...

`example_development.zip` and `example_test.zip` are valid submissions with random scores.

{formula}. Signs are ignored. An invalid submission is not ranked; the scorer names each wrong line
and what to write instead. To test yours, hold out a part of `train.csv` (columns name, mos):

    sfqa challenge score my.zip --phase mine.csv
"""
