"""``sfqa catalog``: write the catalogue of a results folder again for the place where it is."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sfqa.cli import SUCCESS
from sfqa.errors import UserError

SUMMARY = "a results folder's catalog.duckdb for the place where it is now"
EXAMPLES = """
sfqa catalog /data/handed_on/mine
sfqa catalog results/demo --out demo.duckdb
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("results", type=Path, metavar="RESULTS", help="folder of a dataset, wherever it lies")
    add("--out", type=Path, metavar="FILE", help="the file to write (RESULTS/catalog.duckdb)")


def run(args: argparse.Namespace) -> int:
    """Write the catalogue with absolute paths and print where it is."""
    from sfqa.report.catalog import build_catalog

    if not args.results.is_dir():
        raise UserError(f"{args.results}: no such folder; name one like results/demo")
    out = args.out or args.results / "catalog.duckdb"
    build_catalog(args.results.resolve(), out)
    print(f"sfqa: {out} reads {args.results.resolve()} from any folder", file=sys.stderr)
    return SUCCESS
