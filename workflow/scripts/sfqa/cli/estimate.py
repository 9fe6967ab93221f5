"""``sfqa estimate``: the disk space and processor time that a dataset will need."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from sfqa.cli import SUCCESS
from sfqa.cli._config import load_config
from sfqa.errors import UserError
from sfqa.project_files import PROJECT, SCHEMA

SUMMARY = "files, bytes, jobs and processor hours of a dataset, before it runs"
EXAMPLES = """\
sfqa estimate --config my.yaml
sfqa estimate --config config/sfqa.yaml --videos 1000000 --shards 700
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add(
        "--config", type=Path, default=PROJECT / "config" / "config.yaml", metavar="FILE",
        help="a configuration of the workflow; its paths start at the working directory (by "
        "default the demo's, config/config.yaml of the project)",
    )  # fmt: skip
    add("--videos", type=int, metavar="N", help="assume this number of videos")
    add("--seconds", type=float, metavar="S", help="assume this average length")
    add("--shards", type=int, metavar="N", help="assume this number of shards per method")


def run(args: argparse.Namespace) -> int:
    """Print the estimate of each stage."""
    from sfqa import estimate
    from sfqa.plan import Plan

    config = load_config(args.config)
    dataset = estimate.measure_dataset(Plan(config, SCHEMA, check_files=False))
    overrides = {"videos": args.videos, "seconds": args.seconds, "shards": args.shards}
    for name, value in overrides.items():
        if value is not None and value <= 0:
            raise UserError(f"--{name} {value:g}: give a number above 0")
    dataset = replace(
        dataset, **{name: value for name, value in overrides.items() if value is not None}
    )
    stages = estimate.estimate(dataset)
    print(
        f"{dataset.videos} videos of {dataset.methods} methods, {dataset.seconds:.1f} s on average"
    )
    print(f"\n{'stage':<12} {'files':>10} {'on disk':>10} {'jobs':>7} {'CPU hours':>10}")
    for stage in [*stages, estimate.sum_stages(stages)]:
        size, hours = estimate.format_bytes(stage.bytes), f"{stage.cpu_hours:.1f}"
        print(f"{stage.name:<12} {stage.files:>10} {size:>10} {stage.jobs:>7} {hours:>10}")
    print("\nA stage may need half or twice as much; times of other generators are not known.")
    return SUCCESS
