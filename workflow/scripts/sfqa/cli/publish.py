"""``sfqa publish``: a folder that others can load, from the results of a dataset."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from sfqa.cli import SUCCESS
from sfqa.errors import UserError, format_count

SUMMARY = "a dataset's results as a folder that others can load and import"
EXAMPLES = """
sfqa publish results/demo --out published/demo --licence CC-BY-4.0
sfqa publish results/mine --out mine --licence CC-BY-4.0 --creator "A. Author" --cite mine.bib
sfqa publish results/mine --out mine --licence CC-BY-4.0 --features
sfqa publish results/mine --out mine --licence CC-BY-4.0 --video-url https://example.org/mine
"""
_MAX_SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("results", type=Path, metavar="RESULTS", help="folder of a dataset: results/demo")
    add("--out", type=Path, required=True, metavar="FOLDER", help="the folder to write")
    add(
        "--licence", required=True, metavar="LICENCE",
        help="licence of ratings, tables and generated videos, such as CC-BY-4.0",
    )  # fmt: skip
    add("--title", metavar="TEXT", help="title of the dataset; by default its name")
    add("--description", metavar="TEXT", help="what the dataset is, in a few sentences")
    add("--creator", action="append", default=[], metavar="NAME", help="an author; repeatable")
    add("--homepage", default="", metavar="URL", help="address of the dataset")
    add("--cite", type=Path, metavar="FILE", help="BibTeX entry of the dataset")
    add("--features", action="store_true", help="add the features of every extractor")
    add(
        "--video-url", default="", metavar="URL",
        help="address where the videos are: they are linked instead of copied",
    )  # fmt: skip
    add("--no-videos", action="store_true", help="leave the videos out")
    add(
        "--video-licence", default="", metavar="LICENCE",
        help="licence of imported videos, if their sheet has no column licence",
    )  # fmt: skip
    add(
        "--allow", action="append", default=[], metavar="LICENCE",
        help="a licence of images, clips or imported videos that permits sharing; repeatable",
    )  # fmt: skip
    add(
        "--media", type=Path, action="append", default=[], metavar="FOLDER",
        help="files in this folder, outside of the dataset, are copied, too; repeatable",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Write the folder; print what is in it, and what is left out with its reason."""
    from sfqa.publishing.content import Terms
    from sfqa.publishing.croissant import About
    from sfqa.publishing.folder import Request, list_left_out, publish_dataset

    if not args.results.is_dir():
        raise UserError(f"{args.results}: no such folder; name one like results/demo")
    if args.cite and not args.cite.is_file():
        raise UserError(f"--cite {args.cite}: there is no such file")
    title = args.title or args.results.resolve().name
    about = About(
        title=title,
        description=args.description
        or f"{title}: videos with mean opinion scores, made with the SFQA workflow.",
        licence=args.licence,
        creators=tuple(args.creator),
        homepage=args.homepage,
        citation=args.cite.read_text(encoding="utf-8") if args.cite else "",
    )
    terms = Terms(
        args.licence, args.video_licence, tuple(args.allow),
        copy_videos=not (args.no_videos or args.video_url), video_address=args.video_url,
        media_folders=tuple(args.media),
    )  # fmt: skip
    content = publish_dataset(Request(args.results, about, terms, args.features), args.out)
    counts = Counter(item.kind for item in content.items if not item.reason)
    shared = ", ".join(f"{count} {kind}s" for kind, count in counts.items()) or "tables"
    print(f"{args.out}: {len(content.samples)} samples; {shared}", file=sys.stderr)
    left_out = Counter((item.kind, item.reason) for item in list_left_out(content))
    for (kind, reason), count in left_out.most_common(_MAX_SHOWN):
        print(f"left out: {format_count(count, kind)}: {reason}", file=sys.stderr)
    if left_out:
        print(f"All of them: {args.out / 'left_out.csv'}", file=sys.stderr)
    print(
        f"Check it there with sha256sum -c SHA256SUMS, import it with: sfqa import {args.out}",
        file=sys.stderr,
    )
    return SUCCESS
