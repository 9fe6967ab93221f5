"""``sfqa features``: run feature extractors on single videos, without the workflow."""

from __future__ import annotations

import argparse
import io
import logging
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING

from sfqa.cli import FAILURE, SUCCESS, _extract, _feature_tables, _video_files
from sfqa.cli._tables import check_out
from sfqa.errors import UserError, hint
from sfqa.features.extractors import EXTRACTORS
from sfqa.shown_text import ShownFormatter

if TYPE_CHECKING:
    import pandas as pd

SUMMARY = "measure videos: print a table, write CSV or Parquet with --out"
EXAMPLES = """
sfqa features talk.mp4 --extractor lse --weights resources/weights/syncnet_v2.model
sfqa features videos/ 'more/*.webm' --extractor signal --extractor audio --out table.csv
sfqa features talk.mp4 --extractor clip --weights random --set model=ViT-B-16 --set frames=4
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    names = ", ".join(_extract.list_extractors())
    add(
        "videos",
        nargs="+",
        metavar="VIDEO",
        help="files, folders (searched recursively), quoted globs",
    )
    add(
        "--extractor", action="append", default=[], metavar="NAME",
        help=f"the extractor to run; may be repeated: {names}",
    )  # fmt: skip
    add(
        "--weights", action="append", default=[], metavar="PATH|random|none",
        help="the weights file; random: an untrained network (marked in every table); NAME=PATH "
        "for one of several extractors",
    )  # fmt: skip
    add("--weights-seed", type=int, metavar="N", help="seed of random weights (0)")
    add(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="settings",
        help="set an option of all extractors that have it, or NAME.KEY=VALUE of one extractor",
    )  # fmt: skip
    add("--prompt", metavar="TEXT", help="text prompt of the videos, for clip")
    add(
        "--out",
        type=Path,
        metavar="FILE",
        help="also write a table: .csv (scalars only) or .parquet",
    )
    add("--short-side", type=int, metavar="PIXELS", help="short side of the conformed videos (512)")
    add("--fps", type=float, metavar="RATE", help="frame rate of the conformed videos (25)")
    add("--no-conform", action="store_true", help="measure the original files")
    _extract.add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Measure the videos. Returns 1 if any of them failed."""
    check_out(args.out, "--out")
    files, rows, extracted = measure_videos(args)
    if args.out:
        _feature_tables.write_features(args.out, files, rows, extracted)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    texts = [_feature_tables.format_features(rows, item, width) for item in extracted]
    print("\n\n".join(texts))
    if args.out:
        print(f"sfqa: wrote {args.out}", file=sys.stderr)
    statuses = {*rows["status"]}
    for item in extracted:
        statuses |= {*item.table["status"].to_pylist()}
    return FAILURE if "failed" in statuses else SUCCESS


def measure_videos(
    args: argparse.Namespace,
) -> tuple[list[Path], pd.DataFrame, list[_extract.Extracted]]:
    """Return the video files, their conformed rows, and the feature table of each extractor."""
    names = _choose_extractors(args.extractor)
    if args.threads < 1:
        raise UserError(f"--threads {args.threads}: give 1 or more")
    if args.no_conform and (args.short_side is not None or args.fps is not None):
        raise UserError("--no-conform keeps size and rate; drop --short-side and --fps")
    specs = _extract.make_specs(names, args.weights, args.weights_seed, args.settings)
    form = _extract.make_form(args.short_side, args.fps, encode=not args.no_conform)
    with ExitStack() as stack:
        stack.enter_context(show_progress(args.quiet))
        files = _video_files.find_videos(args.videos)
        work = stack.enter_context(open_cache(args.cache))
        sample_ids = _video_files.name_files(files)
        rows = _extract.conform_files(files, sample_ids, args.prompt, work, form)
        extracted = []
        for name in names:
            try:
                extracted.append(_extract.extract(rows, name, specs[name], work, args.threads))
            except UserError as error:
                raise UserError(name_arguments(str(error))) from error
    return files, rows, extracted


def name_arguments(message: str) -> str:
    """Replace configuration keys in an error message by the arguments of the command line.

    >>> name_arguments("config, features.lse.options.min_track: -1; give a whole number")
    '--set lse.min_track: -1; give a whole number'
    """
    message = re.sub(r"config, features\.([\w-]+)\.options\.", r"--set \1.", message)
    network = r"config, features\.([\w-]+)(?:\.parts(\.\w+))?(?:\.weights)?(?=[:,])"
    return re.sub(network, r"--weights of \1\2", message)


def _choose_extractors(arguments: Sequence[str]) -> list[str]:
    """Return the extractors of all --extractor arguments, each a name or a comma-separated list."""
    available = _extract.list_extractors()
    names = list(dict.fromkeys(name for argument in arguments for name in argument.split(",")))
    if not names:
        raise UserError(f"--extractor: name at least one: {', '.join(available)}")
    for name in names:
        if name not in EXTRACTORS:
            raise UserError(f"--extractor {name}: no such extractor; {hint(name, available)}")
    return names


@contextmanager
def open_cache(cache: Path | None) -> Iterator[Path]:
    """Lock and yield the cache folder; a temporary folder if ``cache`` is None."""
    if cache is None:
        with tempfile.TemporaryDirectory(prefix="sfqa-") as folder:
            yield Path(folder)
        return
    from sfqa.cache_tools import lock_folder

    if cache.exists() and not cache.is_dir():
        raise UserError(f"--cache {cache}: this is a file; give a folder")
    cache.mkdir(parents=True, exist_ok=True)
    with lock_folder(cache):
        yield cache.resolve()


@contextmanager
def show_progress(quiet: bool) -> Iterator[None]:
    """Print the package's log on stderr while the block runs; with ``quiet`` only warnings."""
    logger = logging.getLogger("sfqa")
    level, propagate = logger.level, logger.propagate
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ShownFormatter("%(message)s"))
    handler.setLevel(logging.WARNING if quiet else logging.INFO)
    if sys.stderr.isatty():  # extractors show a progress bar there
        handler.addFilter(lambda record: record.module != "progress")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # libraries add their own handlers to the root logger
    try:
        with redirect_stderr(io.StringIO()) if quiet else nullcontext():
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
