"""``sfqa manifest``: whether two runs are the same run, by their manifests."""

from __future__ import annotations

import argparse
from pathlib import Path

from sfqa.cli import BAD, FINE

SUMMARY = "compare the manifests of two runs"
EXAMPLES = """
sfqa manifest results/demo other/results/demo
sfqa manifest results/demo/report/manifest.json theirs.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    what = "a manifest, or results/<dataset>"
    parser.add_argument("first", type=Path, metavar="RUN", help=what)
    parser.add_argument("second", type=Path, metavar="RUN", help=f"{what}, to compare with")


def run(args: argparse.Namespace) -> int:
    """Print a sentence for each difference that is not time or hardware; 1 where there is one."""
    from sfqa.report import manifest

    first, second = (
        manifest.read_manifest(path / "report" / "manifest.json" if path.is_dir() else path)
        for path in (args.first, args.second)
    )
    differences = manifest.compare_manifests(first, second)
    print("\n".join(differences) or "the same run")
    return BAD if differences else FINE
