"""``sfqa site``: a dataset's results as an offline site, or some of its samples in one file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sfqa.cli import SUCCESS
from sfqa.errors import UserError, hint

SUMMARY = "the results of a dataset as a site that works offline"
EXAMPLES = """
sfqa site results/demo --sample 12 --out demo.html
sfqa site results/demo --sample 40 --out demo.zip
sfqa site results/demo --out results/demo/report/site2
sfqa site results/demo --sample 12 --protocol random --out small/
sfqa site results/demo --against other/results/demo --out comparison/
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("results", type=Path, metavar="RESULTS", help="folder of a dataset: results/demo")
    add(
        "--out", type=Path, required=True, metavar="OUT",
        help="a folder; with --sample also NAME.zip, or NAME.html for a single page",
    )  # fmt: skip
    add(
        "--sample", type=int, metavar="N",
        help="only N samples, in whole pairs if possible, with copies of their videos",
    )  # fmt: skip
    add(
        "--media", type=Path, action="append", default=[], metavar="FOLDER",
        help="with --sample: videos in this folder, outside of the dataset, are copied, too; may "
        "be repeated",
    )  # fmt: skip
    add("--protocol", metavar="NAME", help="the protocol that is shown first")
    add(
        "--against", type=Path, metavar="RESULTS",
        help="a second results folder: a page compares the correlations of both runs",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Write the site and print its path."""
    from dataclasses import replace

    from sfqa.report.site import build_site, read_initial_view

    if not args.results.is_dir():
        raise UserError(f"{args.results}: no such folder; name one like results/demo")
    view = read_initial_view(args.results)
    if args.protocol:
        _check_protocol(args.results, args.protocol)
        view = replace(view, protocol=args.protocol)
    sample_ids = build_site(
        args.results, args.out, view, sample=args.sample, other=args.against,
        media_folders=args.media,
    )  # fmt: skip
    page = args.out if args.out.suffix.lower() in (".html", ".zip") else args.out / "index.html"
    print(f"sfqa: {len(sample_ids)} samples in {page}", file=sys.stderr)
    return SUCCESS


def _check_protocol(results: Path, name: str) -> None:
    import pyarrow.parquet as pq

    from sfqa import tables

    table = results / tables.CORRELATION.path
    protocols: list[str] = []
    if table.is_file():
        protocols = sorted(set(pq.read_table(table, columns=["protocol"])["protocol"].to_pylist()))
    if name not in protocols:
        raise UserError(f"--protocol {name}: no such protocol in {table}; {hint(name, protocols)}")
