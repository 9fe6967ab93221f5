"""A job that makes the files of many items: each is cached, reported and may fail by itself."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sfqa.errors import UserError, explain_machine_error
from sfqa.file_cache import FileCache
from sfqa.parallel import run_forked
from sfqa.progress import Progress

LOG = logging.getLogger("sfqa")


@dataclass(frozen=True)
class Item:
    """One item of a joint job.

    ``key``: the digest of everything that its files depend on. ``paths``: its declared outputs.
    ``cache``: the folder of their copies. ``content``: what the function of the job needs.
    """

    name: str
    key: str
    paths: Sequence[Path]
    cache: Path
    content: Any = None


def make_items(
    job_name: str,
    unit: str,
    items: Sequence[Item],
    write_files: Callable[[Item], None],
    processes: int = 1,
) -> None:
    """Write the files of all items: those of finished items from their copies, the others anew.

    ``write_files`` writes the ``paths`` of an item. ``unit`` names the items in the plural. When an
    item fails, the others are finished first, and their copies stay for the next run. Then
    :class:`UserError` is raised; it names each item that failed, with its error.
    """
    missing = [
        item for item in items if not FileCache(item.cache).restore_files(item.key, item.paths)
    ]
    errors: dict[str, str] = {}

    def make_item(item: Item) -> tuple[str, str]:
        try:
            write_files(item)
            FileCache(item.cache).keep_files(item.key, item.paths)
        except Exception as error:
            return _describe_error(error), traceback.format_exc()
        return "", ""

    with Progress(job_name, len(items), len(missing), unit, LOG.info) as progress:
        progress.skip(len(items) - len(missing))
        for index, (error, trace) in run_forked(make_item, missing, processes):
            name = missing[index].name
            if error:
                errors[name] = error
                LOG.info("%s: %s", name, trace)
            progress.report(name, f"failed {error}" if error else "done", failed=bool(error))
    LOG.info(
        "%d %s, %d computed, %d failed",
        len(items), unit, len(missing) - len(errors), len(errors),
    )  # fmt: skip
    if errors:
        names_by_error: dict[str, list[str]] = {}
        for name in sorted(errors):
            names_by_error.setdefault(errors[name], []).append(name)
        listed = "; ".join(f"{', '.join(names)}: {e}" for e, names in names_by_error.items())
        raise UserError(
            f"{len(errors)} of {len(items)} {unit} failed: {listed}. The others are finished, and "
            "the next run computes only those that failed"
        )


def _describe_error(error: Exception) -> str:
    user_error = error if isinstance(error, UserError) else explain_machine_error(error)
    return str(user_error) if user_error else f"unexpected {type(error).__name__}: {error}"
