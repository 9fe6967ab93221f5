"""``sfqa manifest``: compare two runs by their manifests."""

from __future__ import annotations

import argparse
from pathlib import Path

from sfqa.cli import FAILURE, SUCCESS

SUMMARY = "compare the manifests of two runs"
EXAMPLES = """
sfqa manifest results/demo other/results/demo
sfqa manifest results/demo/report/manifest.json theirs.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    run_help = "a manifest, or results/<dataset>"
    parser.add_argument("first", type=Path, metavar="RUN", help=run_help)
    parser.add_argument("second", type=Path, metavar="RUN", help=f"{run_help}, to compare with")


def run(args: argparse.Namespace) -> int:
    """Print a sentence for each difference other than time and hardware; 1 if there is any."""
    from sfqa.report import manifest

    first, second = (
        manifest.read_manifest(path / "report" / "manifest.json" if path.is_dir() else path)
        for path in (args.first, args.second)
    )
    differences = manifest.compare_manifests(first, second)
    print("\n".join(differences) or "the same run")
    return FAILURE if differences else SUCCESS
