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
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from sfqa import tables
from sfqa.errors import UserError
from sfqa.identity import digest, sha256_file

log = logging.getLogger("sfqa")

#: What the clocks of two machines that share a disk may differ by.
_CLOCKS_NS = 10 * 10**9

#: glob of the tables; the columns that hold (path, sha256)
_WATCHED = (
    (tables.IMAGES.path, (("original", "original_sha256"), ("path", "sha256"))),
    (
        tables.CLIPS.path,
        (("original", "original_sha256"), ("path", "sha256"), ("stereo_path", "stereo_sha256")),
    ),
    (tables.VIDEOS.glob(), (("path", "sha256"),)),
    (
        tables.CONFORMED.glob(),
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
        changed, news = [], False
        current: dict[str, list[Any]] = {}
        for table, columns in self._find():
            name = table.relative_to(self.results).as_posix()
            stamp = _stamp(table)
            known = self._tables.get(name)
            if stamp is None:
                continue
            if known is None or known[0] != stamp:
                known, news = [stamp, _files(table, columns, known)], True
            current[name] = known
            for path, entry in known[1].items():
                before = tuple(entry)
                differs = self._differs(path, entry, stamp)
                news |= before != tuple(entry)
                if differs:
                    changed.append(path)
                    notices = self._edited.setdefault(name, {})
                    count = int(notices.get(path, "0:").split(":")[0]) + 1
                    notices[path] = f"{count}:{entry[0]}"
        news |= current.keys() != self._tables.keys()
        self._tables = current
        if news:
            self._save()
        for path in changed:
            log.warning("%s has changed since the workflow last saw it", path)
        if told := self._of_the_future(list(current.values())):
            log.warning("%s", told)
        return changed

    def _of_the_future(self, known: list[list[Any]]) -> str:
        """A sentence where tables are younger than the clock, '' where none is."""
        others = [s for p in self.results.glob("*.parquet") if (s := _stamp(p))]
        latest = max((stamp[1] for stamp in [*(entry[0] for entry in known), *others]), default=0)
        if latest <= time.time_ns() + _CLOCKS_NS:
            return ""
        return (
            f"{self.results}: holds tables of the future (up to {time.ctime(latest / 1e9)}): the "
            "clock was set back. Jobs that read them may be refused; give them today's time, after "
            f"which nothing re-runs: find {self.results} -newermt now -exec touch {{}} +"
        )

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
        # A table that is younger than its file's last change has seen the file as it is now. One
        # of the future was written by a clock that has been set back since, and tells nothing.
        written = table_stamp[1] if table_stamp[1] <= time.time_ns() else 0
        fresh = entry[1] is None and entry[0] != "missing" and stamp[2] <= written
        if entry[1] == stamp or fresh:
            entry[1] = stamp
            return False
        sha256 = sha256_file(path)
        differs = sha256 != entry[0]
        entry[:] = [sha256, stamp]
        return differs

    def _save(self) -> None:
        from sfqa import store

        # Who only reads somebody else's results gets answers too; where nothing can be written no
        # job can run.
        with suppress(UserError), store.replacing(self.index) as temporary:
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
    from sfqa import store  # Arrow: what a plan of unchanged files does without

    frame = store.load(table, sorted({c for pair in columns for c in pair}))
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
