"""``sfqa cache``: list, verify and prune the feature rows that are kept by content."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sfqa.cli import BAD, FINE
from sfqa.errors import UserError, hint

if TYPE_CHECKING:
    from sfqa.cache_tools import Place

SUMMARY = "list, verify or prune the cached feature rows of a dataset"
EXAMPLES = """
sfqa cache list results/demo
sfqa cache verify results/demo --extractor lse
sfqa cache prune results/demo --dry-run
"""

_DAMAGES_SHOWN = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add(
        "action", metavar="list|verify|prune",
        help="list: what lies there; verify: look at every byte, exit status 1 where one is wrong; "
        "prune: rewrite the files without what is damaged, repeated or unused",
    )  # fmt: skip
    add("folder", type=Path, metavar="FOLDER", help="results/<dataset>, or one cache in it")
    add("--extractor", action="append", default=[], metavar="NAME", help="only this one's cache")
    add(
        "--older-than-version", action="store_true",
        help="count rows that only tables of an older VERSION of the extractor use as not used",
    )  # fmt: skip
    add(
        "--keep", default="unfinished", metavar="unfinished|used|sound",
        help="what prune keeps: used: rows that a feature table has; unfinished (as it is without "
        "this): those, and the rows of jobs that have no table yet; sound: all but damage and "
        "repetition",
    )  # fmt: skip
    add("--dry-run", action="store_true", help="prune: only say what it would save")


def run(args: argparse.Namespace) -> int:
    """List, verify or prune; 1 where verify finds damage."""
    from sfqa import cache_tools

    actions = {"list": _list, "verify": _verify, "prune": _prune}
    if args.action not in actions:
        raise UserError(f"cache: no action {args.action!r}; {hint(args.action, actions)}")
    if args.keep not in cache_tools.KEEP:
        raise UserError(
            f"cache: --keep {args.keep!r}; {hint(args.keep, cache_tools.KEEP, 'it takes')}"
        )
    return actions[args.action](cache_tools.find(args.folder, args.extractor), args)


def _list(places: Sequence[Place], args: argparse.Namespace) -> int:
    from sfqa import cache_tools as tools

    kinds = (tools.USED, tools.UNFINISHED, tools.UNUSED, tools.REPEATED)
    rows: list[Sequence[object]] = []
    for place in places:
        found = tools.content(place, args.older_than_version)
        counts = found.counts
        rows.append(
            (place.name, len(found.files), len(found.rows), *(counts[kind] for kind in kinds),
             found.size, found.damaged_bytes)
        )  # fmt: skip
    head = ("extractor", "files", "rows", *kinds, "bytes", "damaged bytes")
    _print_table(head, rows, total=len(rows) > 1)
    return FINE


def _verify(places: Sequence[Place], args: argparse.Namespace) -> int:
    from sfqa import cache_tools as tools

    files = rows = 0
    damages = []
    for place in places:
        for path in sorted(place.folder.rglob("*.rows")):
            sound, found = tools.scan(path)
            files, rows = files + 1, rows + len(sound)
            damages += found
    for damage in damages[:_DAMAGES_SHOWN]:
        print(
            f"{damage.path}, byte {damage.start}: {damage.reason} "
            f"({damage.end - damage.start} bytes)"
        )
    if len(damages) > _DAMAGES_SHOWN:
        print(f"... and {len(damages) - _DAMAGES_SHOWN} more")
    said = f"{rows} sound rows in {files} files"
    if not damages:
        print(f"{said}, nothing damaged")
        return FINE
    print(
        f"{said}, {len(damages)} damaged places; their rows are computed again when they are "
        f"needed. 'sfqa cache prune {args.folder} --keep sound' removes them"
    )
    return BAD


def _prune(places: Sequence[Place], args: argparse.Namespace) -> int:
    from sfqa import cache_tools as tools

    with tools.alone(places):
        found = [tools.content(place, args.older_than_version) for place in places]
        done = [tools.prune(one, args.keep, args.dry_run) for one in found]
    rows = [
        (one.place.name, *(n for pair in (one.files, one.rows, one.size) for n in pair))
        for one in done
    ]
    head = ("extractor", "files", "after", "rows", "after", "bytes", "after")
    _print_table(head, rows, total=len(rows) > 1)
    saved = sum(one.size[0] - one.size[1] for one in done)
    dropped = sum(one.rows[0] - one.rows[1] for one in done)
    word = "would save" if args.dry_run else "saved"
    print(f"{word} {_bytes(saved)} ({dropped} rows dropped)")
    left = sum(one.counts[tools.UNFINISHED] for one in found)
    if left and args.keep != "used":
        print(f"kept {left} rows of jobs that have no feature table yet; --keep used drops them")
    return FINE


def _print_table(head: Sequence[str], rows: Iterable[Sequence[object]], total: bool) -> None:
    lines = [list(head), *([str(cell) for cell in row] for row in rows)]
    if total:
        sums = [sum(int(line[n]) for line in lines[1:]) for n in range(1, len(head))]
        lines.append(["all", *map(str, sums)])
    widths = [max(len(line[n]) for line in lines) for n in range(len(head))]
    for line in lines:
        first = line[0].ljust(widths[0])
        print("  ".join([first, *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]))


def _bytes(count: int) -> str:
    """A size for people.

    >>> _bytes(1234567)
    '1.2 MB'
    """
    size, unit = float(count), "bytes"
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if abs(size) < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{count} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
