"""``sfqa features``: the extractors' numbers for a few videos, without a workflow."""

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

from sfqa.cli import BAD, FINE, _extract, _show, _videos
from sfqa.errors import UserError, hint

SUMMARY = "measure videos: a table on the screen, CSV or Parquet with --out"
EXAMPLES = """
sfqa features talk.mp4 --extractor lse --weights resources/weights/syncnet_v2.model
sfqa features videos/ 'more/*.webm' --extractor signal --extractor audio --out table.csv
sfqa features talk.mp4 --extractor clip --weights random --set model=ViT-B-16 --set frames=4
"""

_SUFFIXES = (".csv", ".parquet")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    known = ", ".join(_extract.extractors())
    add("videos", nargs="+", metavar="VIDEO", help="files, folders (all below them), quoted globs")
    add(
        "--extractor", action="append", default=[], metavar="NAME",
        help=f"what to measure; may be given several times: {known}",
    )  # fmt: skip
    add(
        "--weights", action="append", default=[], metavar="PATH|random|none",
        help="the weights file; random: the untrained network (every table says so); for one of "
        "several extractors NAME=PATH",
    )  # fmt: skip
    add("--weights-seed", type=int, metavar="N", help="seed of random weights (0)")
    add(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="settings",
        help="an option of the extractors that have it, or NAME.KEY=VALUE of one",
    )  # fmt: skip
    add("--prompt", metavar="TEXT", help="the text prompt of the videos, for clip")
    add("--out", type=Path, metavar="FILE", help="also write a table: .csv (scalars) or .parquet")
    add("--short-side", type=int, metavar="PIXELS", help="size that videos are brought to (512)")
    add("--fps", type=float, metavar="RATE", help="frame rate that they are brought to (25)")
    add("--no-conform", action="store_true", help="measure the files as they are")
    _extract.add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Measure the videos; 1 where any of them failed."""
    chosen = _chosen(args.extractor)
    check_out(args.out)
    if args.threads < 1:
        raise UserError(f"--threads {args.threads}: give 1 or more")
    if args.no_conform and (args.short_side is not None or args.fps is not None):
        raise UserError("--no-conform leaves size and rate as they are; drop --short-side, --fps")
    files = _videos.find_videos(args.videos)
    names = _videos.names_of(files)
    specs = _extract.specs(chosen, args.weights, args.weights_seed, args.settings)
    form = _extract.form(args.short_side, args.fps, encode=not args.no_conform)
    with ExitStack() as stack:
        stack.enter_context(_progress(args.quiet))
        work = stack.enter_context(_work(args.cache))
        rows = _extract.conformed(files, names, args.prompt, work, form)
        made = []
        for name in chosen:
            try:
                made.append(_extract.extract(rows, name, specs[name], work, args.threads))
            except UserError as error:
                raise UserError(as_arguments(str(error))) from error
        if args.out:
            _show.write(args.out, files, rows, made)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print("\n\n".join(_show.screen(rows, one, width) for one in made))
    if args.out:
        print(f"sfqa: wrote {args.out}", file=sys.stderr)
    statuses = [*rows["status"], *(s for one in made for s in one.table["status"].to_pylist())]
    return BAD if "failed" in statuses else FINE


def as_arguments(sentence: str) -> str:
    """Return a sentence about the configuration in the words of the command line.

    >>> as_arguments("config, features.lse.options.min_track: -1; give a whole number")
    '--set lse.min_track: -1; give a whole number'
    """
    sentence = re.sub(r"config, features\.(\w+)\.options\.", r"--set \1.", sentence)
    return re.sub(r"config, features\.(\w+)(\.weights)?(?=[:,])", r"--weights of \1", sentence)


def _chosen(words: Sequence[str]) -> list[str]:
    known = _extract.extractors()
    chosen = list(dict.fromkeys(name for word in words for name in word.split(",")))
    if not chosen:
        raise UserError(f"--extractor: say what to measure: {', '.join(known)}")
    for name in chosen:
        if name not in known:
            raise UserError(f"--extractor {name}: no extractor is called so; {hint(name, known)}")
    return chosen


def check_out(out: Path | None) -> None:
    """Before the work, not after it."""
    if out is None:
        return
    if out.suffix.lower() not in _SUFFIXES:
        raise UserError(f"--out {out}: give a name that ends with {' or '.join(_SUFFIXES)}")
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.absolute().parent}; make it first")


@contextmanager
def _work(cache: Path | None) -> Iterator[Path]:
    """The cache folder, held alone, or a temporary one."""
    if cache is None:
        with tempfile.TemporaryDirectory(prefix="sfqa-") as folder:
            yield Path(folder)
        return
    from sfqa.cache_tools import held

    if cache.exists() and not cache.is_dir():
        raise UserError(f"--cache {cache}: this is a file; give a folder")
    cache.mkdir(parents=True, exist_ok=True)
    with held(cache):
        yield cache.resolve()


@contextmanager
def _progress(quiet: bool) -> Iterator[None]:
    """Show what the package logs on stderr while the block runs, or only its warnings."""
    logger = logging.getLogger("sfqa")
    before = logger.level, logger.propagate
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.setLevel(logging.WARNING if quiet else logging.INFO)
    if sys.stderr.isatty():  # there the progress of extractors is one line that changes
        handler.addFilter(lambda record: record.module != "progress")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # libraries put handlers of their own on the root logger
    try:
        with redirect_stderr(io.StringIO()) if quiet else nullcontext():
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]
