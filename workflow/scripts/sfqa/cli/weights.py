"""``sfqa weights``: which official weights files are on this machine, and how to get the others."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sfqa.cli import FAILURE, SUCCESS
from sfqa.errors import UserError, hint

if TYPE_CHECKING:
    from sfqa.models.locating import WeightsStatus
    from sfqa.models.lock import WeightsLock
    from sfqa.models.weights_files import WeightsFile

SUMMARY = "official weights files: there, missing or wrong; --fetch downloads the missing ones"
EXAMPLES = """\
sfqa weights --config config/sfqa.yaml
sfqa weights --fetch slowfast_r50 syncnet_v2
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="entries of config/weights.yaml (default: all)")
    add(
        "--config", type=Path, metavar="FILE",
        help="only the files that a configuration of the workflow needs; its folder, mirrors and "
        "lock file are used",
    )  # fmt: skip
    add("--fetch", action="store_true", help="download the missing files")
    add("--folder", type=Path, metavar="FOLDER", help="folder of the files (resources/weights)")
    add(
        "--mirror", action="append", default=[], metavar="URL",
        help="folder or https address that has the files; may be repeated",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Print the state of each file. Returns 1 if a file is missing or wrong."""
    from sfqa.features import official
    from sfqa.models.fetching import fetch_weights
    from sfqa.models.locating import MISSING, find_weights, open_digests, save_digests

    folder, mirrors, lock = official.FOLDER, list(args.mirror), None
    if args.config is not None:
        entries, folder, config_mirrors, lock = _read_plan(args.config)
        mirrors += config_mirrors
    else:
        entries = official.load_registry()
    folder = args.folder or folder
    for name in args.names:
        if name not in entries:
            raise UserError(f"weights: no entry {name!r}; {hint(name, entries)}")
    selected = [entries[name] for name in args.names or entries]
    status_counts: dict[str, int] = {}
    for entry in selected:
        pinned = lock.get_pin(entry.name) if lock else ""
        digests = open_digests(folder)
        status = find_weights(entry, folder, digests, mirrors, pinned)
        save_digests(digests)
        if args.fetch and status.state == MISSING:
            try:
                fetch_weights(entry, folder, mirrors, lock, log=_log)
            except UserError as error:
                _log(str(error))
            status = find_weights(entry, folder, open_digests(folder), mirrors, pinned)
        status_counts[status.state] = status_counts.get(status.state, 0) + 1
        print(_describe(entry, status, folder))
    if not selected:
        print("no extractor of this configuration has official weights")
    return FAILURE if set(status_counts) - {"there"} else SUCCESS


def _read_plan(
    path: Path,
) -> tuple[dict[str, WeightsFile], Path, list[str], WeightsLock]:
    """Return the files that a configuration needs, their folder, mirrors and lock file."""
    from sfqa.cli._config import read_config
    from sfqa.features.weights_plan import WeightsPlan
    from sfqa.models.lock import WeightsLock
    from sfqa.regression.model_metrics import expand_models

    config = expand_models(read_config(path))
    plan = WeightsPlan(config, Path("results") / config["dataset"])
    return plan.list_files(), plan.folder, plan.mirrors, WeightsLock(plan.lock_path)


def _describe(entry: WeightsFile, status: WeightsStatus, folder: Path) -> str:
    """Return the lines on one file: its state, what it is, where it is or how to get it."""
    from sfqa.models.locating import THERE, WRONG, describe_missing

    if status.state == THERE:
        detail = f"{status.path}, sha256 {status.sha256}"
    elif status.state == WRONG:
        detail = f"{status.reason}; put the right file there, or delete it and fetch it"
    else:
        detail = describe_missing(entry, folder)
    size = f", {entry.size / 1e6:.0f} MB" if entry.size else ""
    return (
        f"{entry.name}: {status.state}\n"
        f"  {entry.publisher}{size}\n"
        f"  for {entry.extractor}; licence: {entry.licence}\n"
        f"  {detail}"
    )


def _log(line: str) -> None:
    print(f"sfqa: {line}", file=sys.stderr)
