"""Notice files that changed behind the workflow's back, without making them inputs of jobs.

The tables of a dataset say the sha256 of every file they speak of. Once per run (never in the
jobs), each file's size and times are compared with what was last seen; a file that differs is
hashed, and one whose bytes differ is written down as edited. ``edited`` gives rules a parameter
that changes with the files of one shard and with nothing else: touching a file changes no
parameter, changing one byte of it changes that of one shard.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from sfqa import store
from sfqa.identity import digest, sha256_file

log = logging.getLogger("sfqa")

#: glob of the tables; the columns that hold (path, sha256)
_WATCHED = (
    ("materials/images.parquet", (("original", "original_sha256"), ("path", "sha256"))),
    (
        "materials/clips.parquet",
        (("original", "original_sha256"), ("path", "sha256"), ("stereo_path", "stereo_sha256")),
    ),
    ("generation/*/*.parquet", (("path", "sha256"),)),
    (
        "conform/*/*.parquet",
        (("path", "sha256"), ("audio_path", "audio_sha256"), ("viewing_path", "viewing_sha256")),
    ),
)


class Watch:
    """What was last seen of the files of one dataset, kept in ``results/<dataset>/.watch.json``.

    >>> import tempfile; watch = Watch(Path(tempfile.mkdtemp()))
    >>> watch.sweep(), watch.edited("generation/sharp/0.parquet")
    ([], '')
    """

    def __init__(self, results: Path | str) -> None:
        self.results = Path(results)
        self.index = self.results / ".watch.json"
        try:
            stored = json.loads(self.index.read_text())
            self._tables: dict[str, list[Any]] = stored["tables"]
            self._edited: dict[str, dict[str, str]] = stored["edited"]
        except (OSError, ValueError, KeyError, TypeError):
            self._tables, self._edited = {}, {}

    def edited(self, table: str) -> str:
        """Return '' or a digest of all that was noticed about the files of a table.

        ``table`` is the path of the table below the dataset's folder.
        """
        noticed = self._edited.get(table)
        return digest(noticed) if noticed else ""

    def sweep(self) -> list[str]:
        """Look at every file once; return and remember the paths whose content has changed."""
        before = json.dumps([self._tables, self._edited])
        changed = []
        current: dict[str, list[Any]] = {}
        for table, columns in self._find():
            name = table.relative_to(self.results).as_posix()
            stamp = _stamp(table)
            known = self._tables.get(name)
            if stamp is None:
                continue
            if known is None or known[0] != stamp:
                known = [stamp, _files(table, columns, known)]
            current[name] = known
            for path, entry in known[1].items():
                if self._differs(path, entry, stamp):
                    changed.append(path)
                    notices = self._edited.setdefault(name, {})
                    count = int(notices.get(path, "0:").split(":")[0]) + 1
                    notices[path] = f"{count}:{entry[0]}"
        self._tables = current
        if json.dumps([self._tables, self._edited]) != before:
            self._save()
        for path in changed:
            log.warning("%s has changed since the workflow last saw it", path)
        return changed

    def _find(self) -> Iterator[tuple[Path, tuple[tuple[str, str], ...]]]:
        for pattern, columns in _WATCHED:
            for table in sorted(self.results.glob(pattern)):
                if not table.name.startswith("."):
                    yield table, columns

    @staticmethod
    def _differs(path: str, entry: list[Any], table_stamp: list[int]) -> bool:
        """Compare one file with its entry [sha256, stamp or None]; bring the entry up to date."""
        stamp = _stamp(Path(path))
        if stamp is None:
            gone = entry[0] != "missing"
            entry[:] = ["missing", None]
            return gone
        # A table that is younger than its file's last change has seen the file as it is now.
        fresh = entry[1] is None and entry[0] != "missing" and stamp[2] <= table_stamp[1]
        if entry[1] == stamp or fresh:
            entry[1] = stamp
            return False
        sha256 = sha256_file(path)
        differs = sha256 != entry[0]
        entry[:] = [sha256, stamp]
        return differs

    def _save(self) -> None:
        with store.replacing(self.index) as temporary:
            temporary.write_text(json.dumps({"tables": self._tables, "edited": self._edited}))


def _stamp(path: Path) -> list[int] | None:
    """Size, time of content change and of any change; None for a file that is not there."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns]


def _files(
    table: Path, columns: tuple[tuple[str, str], ...], known: list[Any] | None
) -> dict[str, list[Any]]:
    """Entries [sha256, stamp] of a table's files; stamps are kept where the sha256 is the same."""
    seen: dict[str, list[Any]] = known[1] if known else {}
    frame = pq.read_table(table, columns=sorted({c for pair in columns for c in pair}))
    files: dict[str, list[Any]] = {}
    for path_column, sha_column in columns:
        pairs = zip(
            frame.column(path_column).to_pylist(),
            frame.column(sha_column).to_pylist(),
            strict=True,
        )
        for path, sha256 in pairs:
            if path and sha256:
                old = seen.get(path)
                files[path] = old if old and old[0] == sha256 else [sha256, None]
    return files
