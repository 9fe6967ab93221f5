"""``sfqa check``: check a configuration without running it, and list everything that is missing."""

from __future__ import annotations

import argparse
from pathlib import Path

from sfqa.cli import FAILURE, SUCCESS

SUMMARY = "check a configuration: what it plans, and every file, weight and generator it lacks"
EXAMPLES = """\
sfqa check --config config/sfqa.yaml
sfqa check --config config/t2vqa.yaml
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE",
        help="a configuration of the workflow; its paths start at the working directory",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Print plan and missing things. Returns 1 if anything is missing.

    A mistake in the configuration itself is an error, which says what to write instead.
    """
    from sfqa.cli._config import SCHEMA, load_config
    from sfqa.missing import describe_items, describe_missing_prompts, list_missing
    from sfqa.plan import Plan
    from sfqa.regression.feature_columns import check_feature_columns

    plan = Plan(load_config(args.config), SCHEMA, check_files=False, needs_data=False)
    items = list_missing(plan)
    print(f"dataset {plan.dataset} ({plan.mode}), results in {plan.results}")
    if plan.mode != "import_features":  # the columns of a missing table are not known
        print(f"extractors: {', '.join(plan.extractors) or 'none'}")
        check_feature_columns(plan.configured_metrics, plan.config.get("features"))
        names = [metric["name"] for metric in plan.scored_metrics]
        print(f"metrics: {', '.join(names) or 'none'}")
        if plan.config["regression"]["metrics"] and not plan.has_mos:
            print(
                "  no metric is computed, since the dataset has no MOS (ratings.source: none); the "
                "features are extracted"
            )
    if note := describe_missing_prompts(plan):
        print(f"  {note}")
    protocols = [protocol["name"] for protocol in plan.config["regression"]["protocols"]]
    print(f"protocols: {', '.join(protocols) or 'none'}\n")
    print(describe_items(items))
    if items:
        print(f"\n{len(items)} missing")
        return FAILURE
    complete_plan = Plan(load_config(args.config), SCHEMA, check_files=True)  # reads the files
    for sentence in complete_plan.notes:
        print(f"\n{sentence}")
    print(f"\nReady: snakemake --cores 2 --configfile {args.config}")
    return SUCCESS
