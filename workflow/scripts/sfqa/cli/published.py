"""``sfqa published``: show, check and compare the result tables of the papers."""

from __future__ import annotations

import argparse
import csv
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sfqa.cli import SUCCESS
from sfqa.cli._grid_text import format_grid, measure_terminal
from sfqa.cli._tables import check_out, format_table
from sfqa.csv_text import format_frame
from sfqa.errors import UserError, hint
from sfqa.shown_text import print_styled

if TYPE_CHECKING:
    import pandas as pd

    from sfqa.correlation.grid import Grid
    from sfqa.papers.published import Published

SUMMARY = "the papers' result tables: show them, check them, compare ours with them"
EXAMPLES = """
sfqa published list
sfqa published show sfqa_table2 --format tex --page --out table2.tex
sfqa published check
sfqa published check sfqa_table2 lgvq_table6
sfqa published compare sfqa_table2 --ours results/sfqa --protocol disjoint
sfqa published compare lgvq_table5 --ours results/lgvq --config config/tables/ugvq_table5.yaml
"""

_ACTIONS = ("list", "show", "check", "compare")
_FORMATS = ("text", "md", "tex", "html", "csv")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("action", metavar="ACTION", help=f"{', '.join(_ACTIONS)}")
    add(
        "tables", nargs="*", metavar="TABLE", help="names as printed by 'list' (check: default all)"
    )
    add(
        "--format",
        metavar="NAME",
        help=f"{', '.join(_FORMATS)} (text on a terminal, else md)",
    )
    add("--width", type=int, metavar="N", help="text: columns of a line (that of the terminal)")
    add("--all", action="store_true", help="compare: also the lines that have no figure of ours")
    add("--page", action="store_true", help="tex: a complete document that can be compiled")
    add(
        "--out", type=Path, metavar="FILE",
        help="write to this file instead of printing, and a CSV file beside it",
    )  # fmt: skip
    add(
        "--ours", type=Path, metavar="PATH",
        help="compare: results/DATASET, or its correlation.parquet",
    )  # fmt: skip
    add(
        "--protocol",
        metavar="NAME",
        help="compare: protocol of our results (disjoint if available)",
    )
    add(
        "--config", type=Path, metavar="FILE",
        help="compare: match rows as the configuration's records of published figures name them",
    )  # fmt: skip
    add(
        "--metric", action="append", default=[], metavar="PAPER=OURS",
        help="compare: match a row of the paper with a metric that has another name",
    )  # fmt: skip
    add(
        "--dimension", action="append", default=[], metavar="TABLE=OURS",
        help="compare: match a dimension of the paper with one that has another name",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """List, show, check or compare. Returns 0 even if a paper has errors."""
    if args.action not in _ACTIONS:
        raise UserError(f"published: no action {args.action!r}; {hint(args.action, _ACTIONS)}")
    if args.format is None:
        args.format = _choose_format(args)
    if args.format not in _FORMATS:
        raise UserError(f"--format {args.format}: no such format; {hint(args.format, _FORMATS)}")
    if args.width is not None and args.width < 1:
        raise UserError(f"--width {args.width}: write the number of columns, such as 100")
    if args.page and args.format != "tex":
        raise UserError("--page needs --format tex; add it or drop --page")
    for option in ("ours", "config"):
        if getattr(args, option) and args.action != "compare":
            raise UserError(f"--{option} is an argument of 'compare', not of {args.action!r}")
    suffix = ".txt" if args.format == "text" else f".{args.format}"
    check_out(args.out, "--out", [suffix] if args.out else ())
    if args.action in ("show", "compare") and not args.tables:
        raise UserError(f"published {args.action}: name a table; 'sfqa published list' lists them")
    _write_text(args, _make_text(args))
    if args.out is not None and args.action in ("show", "compare") and args.format != "csv":
        # The figures as data, beside the table for readers.
        changes = {"format": "csv", "out": args.out.with_suffix(".csv")}
        csv_args = argparse.Namespace(**{**vars(args), **changes})
        _write_text(csv_args, _make_text(csv_args))
    return SUCCESS


def _choose_format(args: argparse.Namespace) -> str:
    """Return the format of the output's name, else text on a terminal and Markdown in a pipe."""
    if args.out is not None:
        suffix = args.out.suffix.lower().removeprefix(".")
        return {"txt": "text"}.get(suffix, suffix if suffix in _FORMATS else "md")
    return "md" if measure_terminal() is None and args.width is None else "text"


def _write_text(args: argparse.Namespace, text: str) -> None:
    from sfqa.store import replacing

    if args.out is None:
        print_styled(text.rstrip("\n"))
        return
    with replacing(args.out) as part:
        part.write_text(text, encoding="utf-8")


def _make_text(args: argparse.Namespace) -> str:
    from sfqa.papers import layout, published
    from sfqa.papers.checks import check_tables

    if args.action == "list":
        rows = published.read_index()
        return format_table(list(rows), ["table", "paper", "number", "title", "source"])
    if args.action == "check":
        return _format_checks(args)
    if args.action == "compare":
        return _format_grids(args, [_compare_table(args, name) for name in args.tables])
    papers_tables = [published.load_published(name) for name in args.tables]
    if args.format == "csv":
        return "".join(layout.render_table(table)["csv"] for table in papers_tables[:1]) + "".join(
            layout.render_table(table)["csv"].split("\n", 1)[1] for table in papers_tables[1:]
        )
    findings = check_tables()
    grids: list[tuple[str, Grid, pd.DataFrame | None]] = []
    for table in papers_tables:
        notes = [f.sentence for f in findings if f.table == table.name and f.check != "marks_lost"]
        grids.append((table.label, layout.to_grid(table, notes), None))
    return _format_grids(args, grids)


def _format_grids(
    args: argparse.Namespace, grids: list[tuple[str, Grid, pd.DataFrame | None]]
) -> str:
    from sfqa.correlation.grid import latex_page, to_html, to_latex, to_markdown

    if args.format == "csv":
        frames = [frame for _, _, frame in grids if frame is not None]
        texts = [format_frame(frame) for frame in frames]
        return texts[0] + "".join(text.split("\n", 1)[1] for text in texts[1:])
    if args.format == "text":
        is_styled = args.out is None and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        width = args.width or (measure_terminal() if args.out is None else None)
        return "\n\n\n".join(format_grid(grid, width, is_styled) for _, grid, _ in grids)
    if args.format == "md":
        return "\n".join(to_markdown(grid) for _, grid, _ in grids)
    if args.format == "tex":
        text = "\n".join(to_latex(grid) for _, grid, _ in grids)
        return latex_page(text) if args.page else text
    if len(grids) > 1:
        raise UserError("--format html: one table per page; name one table")
    return to_html(grids[0][1], grids[0][0])


def _format_checks(args: argparse.Namespace) -> str:
    from sfqa.papers import published
    from sfqa.papers.checks import check_tables, findings_frame

    available = [row["table"] for row in published.read_index()]
    for name in args.tables:
        if name not in available:
            raise UserError(f"published: there is no table {name!r}; {hint(name, available)}")
    names = args.tables or available
    findings = [finding for finding in check_tables() if finding.table in names]
    if args.format == "csv":
        return format_frame(findings_frame(findings))
    lines = []
    for name in names:
        table = published.load_published(name)
        notes = [f"- {f.check}: {f.sentence}" for f in findings if f.table == name]
        notes += [f"- note: {note}" for note in table.notes]
        lines += [f"{name} ({table.label})", *(notes or ["- consistent"]), ""]
    return "\n".join(lines)


def _compare_table(args: argparse.Namespace, name: str) -> tuple[str, Grid, pd.DataFrame]:
    from sfqa import store, tables
    from sfqa.correlation.captions import describe_pooling
    from sfqa.correlation.summarise import POOLED, VIDEO
    from sfqa.papers import comparison, published

    if args.ours is None:
        raise UserError("published compare: --ours is needed: results/DATASET")
    path = args.ours
    if path.is_dir():
        path = path / tables.CORRELATION.path
    if not path.is_file():
        raise UserError(f"--ours {args.ours}: there is no {path}; run the workflow up to this file")
    rows, protocol = comparison.select_protocol(
        store.read(tables.CORRELATION, path), args.protocol, _read_main_pooling(path)
    )
    is_video = rows["level"] == VIDEO
    pooling = str(rows.loc[is_video, "pooling"].iloc[0]) if is_video.any() else POOLED
    table = published.load_published(name)
    metrics = {**_match_rows(args.config, table), **_parse_pairs(args.metric)}
    frame = comparison.compare_with_ours(table, rows, metrics, _parse_pairs(args.dimension))
    caption = (
        f"{table.label} against {args.ours}, protocol {protocol} (video level: "
        f"{describe_pooling(pooling)}). The sign of our figures is flipped if a lower score means "
        "better quality. Difference: ours minus published. Other data, weights or splits give "
        "other figures, so a difference is not necessarily an error."
    )
    matched, sentence = (frame, "") if args.all else comparison.split_matched(frame)
    if matched.empty:
        sentence += (
            f" Our metrics are {', '.join(sorted(rows['metric'].unique()))}; match two with "
            "--metric PAPER=OURS."
        )
    caption = f"{caption} {sentence}".strip()
    return f"{table.label} and ours", comparison.build_comparison_grid(matched, caption), frame


def _match_rows(path: Path | None, table: Published) -> dict[str, str]:
    """Return our name of each row of a table, by the published figures of a configuration.

    Of several rows with the figures of one row the first counts. Tables of one paper share their
    labels, so a record of another table stands in for a missing one.
    """
    if path is None:
        return {}
    from sfqa.cli._config import read_config
    from sfqa.regression.model_metrics import list_names

    regression = read_config(path)["regression"]
    matched: dict[bool, dict[str, str]] = {True: {}, False: {}}
    for name, row in {**list_names(regression["models"]), **regression["metrics"]}.items():
        published = row.get("published") or []
        for record in published if isinstance(published, list) else [published]:
            label = str(record.get("row", name))
            if "table" in record and label in set(table.figures["row"]):
                matched[record["table"] == table.name].setdefault(label, name)
    return {**matched[False], **matched[True]}


def _read_main_pooling(correlation: Path) -> str:
    """Return the pooling of the main table beside a table of correlations, mean without one."""
    path = correlation.with_name("metrics.csv")
    if not path.is_file():
        return "mean"
    with open(path, newline="", encoding="utf-8") as handle:
        first_line = next(csv.DictReader(handle), {})
    return first_line.get("pooling") or "mean"


def _parse_pairs(arguments: list[str]) -> dict[str, str]:
    pairs = {}
    for argument in arguments:
        paper, equals, ours = argument.rpartition("=")
        if not (equals and paper and ours):
            raise UserError(f"{argument!r}: write PAPER=OURS")
        pairs[paper] = ours
    return pairs
