"""``sfqa cache``: list, verify and prune the cached feature rows of a dataset."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sfqa.cli import FAILURE, SUCCESS
from sfqa.cli._tables import align_columns
from sfqa.errors import UserError, hint

if TYPE_CHECKING:
    from sfqa.cache_tools import CacheFolders

SUMMARY = "list, verify or prune the cached feature rows of a dataset"
EXAMPLES = """
sfqa cache list results/demo
sfqa cache verify results/demo --extractor lse
sfqa cache prune results/demo --dry-run
"""

_MAX_DAMAGES = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add(
        "action", metavar="list|verify|prune",
        help="list: show the contents; verify: check every byte, exit status 1 for damage; "
        "prune: rewrite the files without damaged, repeated and unused rows",
    )  # fmt: skip
    add("folder", type=Path, metavar="FOLDER", help="results/<dataset>, or one cache in it")
    add(
        "--extractor",
        action="append",
        default=[],
        metavar="NAME",
        help="only the cache of this extractor",
    )
    add(
        "--older-than-version", action="store_true",
        help="treat rows as unused if only tables of an older VERSION of the extractor use them",
    )  # fmt: skip
    add(
        "--keep", default="unfinished", metavar="unfinished|used|sound",
        help="what prune keeps: used: rows that a feature table has; unfinished (the default): "
        "also the rows of jobs that have no table yet; sound: everything except damaged and "
        "repeated rows",
    )  # fmt: skip
    add("--dry-run", action="store_true", help="prune: only print what would be saved")


def run(args: argparse.Namespace) -> int:
    """List, verify or prune. Returns 1 if verify finds damage."""
    from sfqa import cache_tools

    actions = {"list": _list_contents, "verify": _verify, "prune": _prune}
    if args.action not in actions:
        raise UserError(f"cache: no action {args.action!r}; {hint(args.action, actions)}")
    if args.keep not in cache_tools.KEEP:
        raise UserError(
            f"cache: --keep {args.keep!r}; {hint(args.keep, cache_tools.KEEP, 'it takes')}"
        )
    return actions[args.action](cache_tools.find_caches(args.folder, args.extractor), args)


def _list_contents(caches: Sequence[CacheFolders], args: argparse.Namespace) -> int:
    from sfqa import cache_tools as tools

    states = (tools.USED, tools.UNFINISHED, tools.UNUSED, tools.REPEATED)
    rows: list[Sequence[object]] = []
    for cache in caches:
        content = tools.read_content(cache, args.older_than_version)
        counts = content.counts
        rows.append(
            (cache.name, len(content.files), len(content.rows), *(counts[s] for s in states),
             content.size, content.damaged_bytes,
             *(content.device_kinds[name] for name in tools.DEVICE_KINDS))
        )  # fmt: skip
    _print_table(
        ("extractor", "files", "rows", *states, "bytes", "damaged bytes", *tools.DEVICE_KINDS), rows
    )
    return SUCCESS


def _verify(caches: Sequence[CacheFolders], args: argparse.Namespace) -> int:
    from sfqa.cache_records import scan_file

    files = rows = 0
    damages = []
    for cache in caches:
        for path in sorted(cache.folder.rglob("*.rows")):
            sound_rows, damages_in_file = scan_file(path)
            files, rows = files + 1, rows + len(sound_rows)
            damages += damages_in_file
    for damage in damages[:_MAX_DAMAGES]:
        print(
            f"{damage.path}, byte {damage.start}: {damage.reason} "
            f"({damage.end - damage.start} bytes)"
        )
    if len(damages) > _MAX_DAMAGES:
        print(f"... and {len(damages) - _MAX_DAMAGES} more")
    counts = f"{rows} sound rows in {files} files"
    if not damages:
        print(f"{counts}, nothing damaged")
        return SUCCESS
    print(
        f"{counts}, {len(damages)} damaged regions; their rows are computed again when they are "
        f"needed. 'sfqa cache prune {args.folder} --keep sound' removes them"
    )
    return FAILURE


def _prune(caches: Sequence[CacheFolders], args: argparse.Namespace) -> int:
    from sfqa import cache_tools as tools
    from sfqa.estimate import format_bytes

    with tools.lock_caches(caches):
        contents = [tools.read_content(cache, args.older_than_version) for cache in caches]
        results = [tools.prune_cache(content, args.keep, args.dry_run) for content in contents]
    rows = [
        (result.cache.name, *(n for pair in (result.files, result.rows, result.size) for n in pair))
        for result in results
    ]
    _print_table(("extractor", "files", "after", "rows", "after", "bytes", "after"), rows)
    saved = sum(result.size[0] - result.size[1] for result in results)
    dropped = sum(result.rows[0] - result.rows[1] for result in results)
    verb = "would save" if args.dry_run else "saved"
    print(f"{verb} {format_bytes(saved)} ({dropped} rows dropped)")
    unfinished = sum(content.counts[tools.UNFINISHED] for content in contents)
    if unfinished and args.keep != "used":
        print(
            f"kept {unfinished} rows of jobs that have no feature table yet; --keep used drops them"
        )
    return SUCCESS


def _print_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print the rows, and their sums if there are several."""
    lines = [list(headings), *([str(cell) for cell in row] for row in rows)]
    if len(rows) > 1:
        sums = [sum(int(line[n]) for line in lines[1:]) for n in range(1, len(headings))]
        lines.append(["all", *map(str, sums)])
    print("\n".join(align_columns(lines)))
