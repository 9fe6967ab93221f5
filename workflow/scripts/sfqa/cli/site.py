"""``sfqa site``: a dataset's results as a site that opens from a file, or a small one to mail."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sfqa.cli import FINE
from sfqa.errors import UserError, hint

SUMMARY = "the results of a dataset as a site that opens from a file, offline"
EXAMPLES = """
sfqa site results/demo --sample 12 --out demo.html
sfqa site results/demo --sample 40 --out demo.zip
sfqa site results/demo --out results/demo/report/site2
sfqa site results/demo --sample 12 --protocol random --out small/
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("results", type=Path, metavar="RESULTS", help="folder of a dataset: results/demo")
    add(
        "--out", type=Path, required=True, metavar="OUT",
        help="a folder; with --sample also NAME.zip, or NAME.html for one page that holds all",
    )  # fmt: skip
    add(
        "--sample", type=int, metavar="N",
        help="only N samples, whole pairs where it can be, their videos copied in",
    )  # fmt: skip
    add("--protocol", metavar="NAME", help="the protocol that it opens with")


def run(args: argparse.Namespace) -> int:
    """Write the site and say where."""
    from dataclasses import replace

    from sfqa.report.site import build_site, read_initial_view

    if not args.results.is_dir():
        raise UserError(f"{args.results}: no such folder; name one like results/demo")
    view = read_initial_view(args.results)
    if args.protocol:
        _check_protocol(args.results, args.protocol)
        view = replace(view, protocol=args.protocol)
    shown = build_site(args.results, args.out, view, sample=args.sample)
    start = args.out if args.out.suffix.lower() in (".html", ".zip") else args.out / "index.html"
    print(f"sfqa: {len(shown)} samples in {start}", file=sys.stderr)
    return FINE


def _check_protocol(results: Path, name: str) -> None:
    import pyarrow.parquet as pq

    from sfqa import tables

    table = results / tables.CORRELATION.path
    there: list[str] = []
    if table.is_file():
        there = sorted(set(pq.read_table(table, columns=["protocol"])["protocol"].to_pylist()))
    if name not in there:
        raise UserError(f"--protocol {name}: no such protocol in {table}; {hint(name, there)}")
