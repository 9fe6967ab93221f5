"""Detect files that were changed by hand, without making them inputs of jobs.

The tables of a dataset list the sha256 of every file that they name. Once per run, and never in a
job, the size and the times of each file are compared with those stored in ``.watch.json``. A file
that differs is hashed, and if its bytes differ, it is recorded as edited. ``Watch.edit_digest``
gives a rule a parameter that depends on the edited files of one shard: touching a file changes no
parameter, and changing one byte of it changes the parameter of its shard only.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from sfqa import tables
from sfqa.errors import UserError
from sfqa.identity import digest, read_stamp, sha256_file
from sfqa.untrusted import limits
from sfqa.untrusted.documents import read_json

log = logging.getLogger("sfqa")

#: How far the clocks of two machines that share a disk may differ, in nanoseconds.
_CLOCK_TOLERANCE_NS = 10 * 10**9

#: Pattern of a table's files, and its pairs of columns (path, sha256).
_WATCHED = (
    (tables.IMAGES.path, (("original", "original_sha256"), ("path", "sha256"))),
    (
        tables.CLIPS.path,
        (("original", "original_sha256"), ("path", "sha256"), ("stereo_path", "stereo_sha256")),
    ),
    # A raw video's sha256 covers two files and its form: that of its file is in raw_sha256.
    (
        tables.VIDEOS.glob(),
        (("path", "sha256"), ("path", "raw_sha256"), ("sound_path", "sound_sha256")),
    ),
    (
        tables.CONFORMED.glob(),
        (("path", "sha256"), ("audio_path", "audio_sha256"), ("viewing_path", "viewing_sha256")),
    ),
)


class Watch:
    """The last known state of the files of one dataset, stored in its ``.watch.json``.

    >>> import tempfile; watch = Watch(Path(tempfile.mkdtemp()))
    >>> watch.check_files(), watch.edit_digest("generation/sharp/0.parquet")
    ([], '')
    """

    def __init__(self, results: Path | str) -> None:
        self.results = Path(results)
        self.index = self.results / ".watch.json"
        try:
            stored = read_json(
                self.index, limits.FILE_LIST_BYTES, max_values=limits.FILE_LIST_VALUES
            )
            self._tables: dict[str, list[Any]] = stored["tables"]
            self._edits: dict[str, dict[str, str]] = stored["edited"]
        except (OSError, ValueError, KeyError, TypeError):
            self._tables, self._edits = {}, {}

    def edit_digest(self, table: str) -> str:
        """Return a digest of the recorded edits of a table's files, '' if there are none.

        ``table`` is the path of the table below the dataset's folder.
        """
        edits = self._edits.get(table)
        return digest(edits) if edits else ""

    def check_files(self) -> list[str]:
        """Check every file once, record those whose content has changed, and return their paths."""
        changed_paths, must_save = [], False
        tables_now: dict[str, list[Any]] = {}
        for table, columns in self._list_tables():
            name = table.relative_to(self.results).as_posix()
            stamp = read_stamp(table)
            entry = self._tables.get(name)
            if stamp is None:
                continue
            if entry is None or entry[0] != stamp:
                entry, must_save = [stamp, _list_files(table, columns, entry)], True
            tables_now[name] = entry
            for path, file_entry in entry[1].items():
                old_file_entry = tuple(file_entry)
                has_changed = self._update_entry(path, file_entry, stamp)
                must_save |= old_file_entry != tuple(file_entry)
                if has_changed:
                    changed_paths.append(path)
                    edits = self._edits.setdefault(name, {})
                    count = int(edits.get(path, "0:").split(":")[0]) + 1
                    edits[path] = f"{count}:{file_entry[0]}"
        must_save |= tables_now.keys() != self._tables.keys()
        self._tables = tables_now
        if must_save:
            self._save()
        for path in changed_paths:
            log.warning("%s has changed since the workflow last saw it", path)
        if warning := self._warn_of_future_tables(list(tables_now.values())):
            log.warning("%s", warning)
        return changed_paths

    def _warn_of_future_tables(self, entries: list[list[Any]]) -> str:
        """Return a warning if any table has a time in the future, else ''."""
        stamps = [s for p in self.results.glob("*.parquet") if (s := read_stamp(p))]
        stamps += [entry[0] for entry in entries]
        latest = max((stamp[1] for stamp in stamps), default=0)
        if latest <= time.time_ns() + _CLOCK_TOLERANCE_NS:
            return ""
        return (
            f"{self.results}: holds tables of the future (up to {time.ctime(latest / 1e9)}): the "
            "clock was set back. Jobs that read them may be refused; give them today's time, after "
            f"which nothing re-runs: find {self.results} -newermt now -exec touch {{}} +"
        )

    def _list_tables(self) -> Iterator[tuple[Path, tuple[tuple[str, str], ...]]]:
        for pattern, columns in _WATCHED:
            for table in sorted(self.results.glob(pattern)):
                if not table.name.startswith("."):
                    yield table, columns

    @staticmethod
    def _update_entry(path: str, entry: list[Any], table_stamp: list[int]) -> bool:
        """Update a file's entry [sha256, stamp or None] and return whether its content changed."""
        stamp = read_stamp(Path(path))
        if stamp is None:
            was_present = entry[0] != "missing"
            entry[:] = ["missing", None]
            return was_present
        # A table that is newer than the last change of a file holds the sha256 of its present
        # content. A table with a time in the future was written before the clock was set back, so
        # its time proves nothing.
        written = table_stamp[1] if table_stamp[1] <= time.time_ns() else 0
        table_is_newer = entry[1] is None and entry[0] != "missing" and stamp[2] <= written
        if entry[1] == stamp or table_is_newer:
            entry[1] = stamp
            return False
        sha256 = sha256_file(path)
        has_changed = sha256 != entry[0]
        entry[:] = [sha256, stamp]
        return has_changed

    def _save(self) -> None:
        from sfqa import store

        # Results that can only be read can still be planned: no job can run there.
        with suppress(UserError), store.replacing(self.index) as temporary:
            temporary.write_text(json.dumps({"tables": self._tables, "edited": self._edits}))


def _list_files(
    table: Path, columns: tuple[tuple[str, str], ...], old_entry: list[Any] | None
) -> dict[str, list[Any]]:
    """Return the entries [sha256, stamp] of a table's files by path.

    The stamp of ``old_entry`` is kept if the sha256 is the same, else it is None.
    """
    old_files: dict[str, list[Any]] = old_entry[1] if old_entry else {}
    from sfqa import store  # loads Arrow, which a plan of unchanged files does not need

    present_columns = set(store.open_parquet(table).schema_arrow.names)
    pairs_of_columns = [pair for pair in columns if present_columns.issuperset(pair)]
    frame = store.load(table, sorted({c for pair in pairs_of_columns for c in pair}))
    files: dict[str, list[Any]] = {}
    for path_column, sha_column in pairs_of_columns:
        pairs = zip(
            frame.column(path_column).to_pylist(),
            frame.column(sha_column).to_pylist(),
            strict=True,
        )
        for path, sha256 in pairs:
            if path and sha256:
                old = old_files.get(path)
                files[path] = old if old and old[0] == sha256 else [sha256, None]
    return files
