"""``sfqa results``: the tables of a run on the terminal."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from sfqa.cli import SUCCESS
from sfqa.cli._grid_text import format_grid, measure_terminal
from sfqa.errors import UserError, hint
from sfqa.shown_text import print_styled

SUMMARY = "show the tables of a run, as aligned columns that fit the terminal"
EXAMPLES = """
sfqa results show results/demo
sfqa results show results/demo --table leakage
sfqa results list results/demo
"""

_ACTIONS = ("show", "list")
#: What the tables are, for the list. Others of the folder are listed by name.
_MEANINGS = {
    "metrics": "metrics against MOS: the main protocol, then zero-shot metrics over all videos",
    "metrics_pooled": "the same with the test samples of all trials at once",
    "metrics_model_level": "the same for the means of the methods",
    "paper": "the main table as papers print it, with published figures",
    "leakage": "SRCC of the regressors under every protocol",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("action", metavar="ACTION", help=", ".join(_ACTIONS))
    add("results", type=Path, metavar="FOLDER", help="the folder of a dataset, results/DATASET")
    add("--table", default="metrics", metavar="NAME", help=f"{', '.join(_MEANINGS)} (metrics)")
    add("--width", type=int, metavar="N", help="columns of a line (that of the terminal)")


def run(args: argparse.Namespace) -> int:
    """Show one table, or list the tables that exist."""
    if args.action not in _ACTIONS:
        raise UserError(f"results: no action {args.action!r}; {hint(args.action, _ACTIONS)}")
    if args.width is not None and args.width < 1:
        raise UserError(f"--width {args.width}: write the number of columns, such as 100")
    tables = _list_tables(args.results)
    if args.action == "list":
        for name, path in tables.items():
            print(f"{name:<20}  {_MEANINGS.get(name, '')}".rstrip())
            print(f"{'':<20}  {path}")
        return SUCCESS
    if args.table not in tables:
        raise UserError(
            f"--table {args.table}: there is no {args.results / 'correlation'}/{args.table}.md; "
            f"{hint(args.table, tables)}"
        )
    _show_table(tables[args.table], args.width)
    return SUCCESS


def _list_tables(folder: Path) -> dict[str, Path]:
    """Return the tables of a results folder by name, the main one first."""
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder; name that of a dataset, results/demo")
    paths = {path.stem: path for path in sorted((folder / "correlation").glob("*.md"))}
    if not paths:
        raise UserError(
            f"{folder}: it has no table correlation/*.md; run the workflow to its end, with ratings"
        )
    order = [
        *(name for name in _MEANINGS if name in paths),
        *(n for n in paths if n not in _MEANINGS),
    ]
    return {name: paths[name] for name in order}


def _show_table(path: Path, width: int | None) -> None:
    from sfqa.correlation.grid_reading import read_markdown

    is_styled = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    shown_width = measure_terminal() if width is None else width
    grids = read_markdown(path.read_text(encoding="utf-8"))
    print_styled("\n\n".join(format_grid(grid, shown_width, is_styled) for grid in grids))
    files = [path.with_suffix(ending) for ending in (".csv", ".tex", ".html")]
    print("\nAll digits: " + ", ".join(str(file) for file in files if file.is_file()))
