"""List, verify and prune the row caches of a dataset.

The caches are those of :mod:`sfqa.cache`: ``features/{extractor}/cache/**/*.rows``. Rows are
classified by the feature tables next to the cache:

- *used*: a feature table has the row's key.
- *unfinished*: no table has the key, and the table of the row's own file is missing, as after a
  job that was killed. ``{method}/{shard}.rows`` belongs to ``{method}/{shard}.parquet``.
- *unused*: no table has the key, and the table of the row's own file exists.
- *repeated*: another record of the same key is preferred.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sfqa import results_lock, store
from sfqa.cache_records import Damage, Record, scan_file
from sfqa.errors import UserError
from sfqa.features.batches import CPU_KIND, GPU_KIND

USED, UNFINISHED, UNUSED, REPEATED = "used", "unfinished", "unused", "repeated"

#: The kinds of devices that compute rows, in the order in which they are listed.
DEVICE_KINDS = (CPU_KIND, GPU_KIND)

#: The kinds of rows that ``prune_cache`` keeps, by the value of its argument ``keep``.
KEEP = {
    "sound": (USED, UNFINISHED, UNUSED),
    "unfinished": (USED, UNFINISHED),
    "used": (USED,),
}


@dataclass(frozen=True)
class CacheFolders:
    """The folders of one extractor's cache.

    ``folder``: the cache; ``tables``: the feature tables, if there are any; ``dataset``: the folder
    of the dataset.
    """

    name: str
    folder: Path
    tables: Path | None
    dataset: Path


@dataclass
class CacheContent:
    """All files of one cache, and each row with its kind (:data:`USED`, ...).

    ``owners``: for every key of a feature table, the cache file of that table's own job.
    """

    cache: CacheFolders
    files: list[Path] = field(default_factory=list)
    rows: list[tuple[Record, str]] = field(default_factory=list)
    damages: list[Damage] = field(default_factory=list)
    owners: dict[str, Path] = field(default_factory=dict)
    size: int = 0

    @property
    def counts(self) -> Counter[str]:
        """The number of rows of each kind."""
        return Counter(row_kind for _, row_kind in self.rows)

    @property
    def device_kinds(self) -> Counter[str]:
        """The number of rows that each kind of device (:data:`DEVICE_KINDS`) computed."""
        return Counter(record.device_kind for record, _ in self.rows)

    @property
    def damaged_bytes(self) -> int:
        """The number of bytes that do not belong to a sound row."""
        return sum(d.end - d.start for d in self.damages)


@dataclass(frozen=True)
class PruneResult:
    """Numbers of files, rows and bytes of a cache before and after pruning."""

    cache: CacheFolders
    files: tuple[int, int]
    rows: tuple[int, int]
    size: tuple[int, int]


def find_caches(folder: Path | str, extractors: Sequence[str] = ()) -> list[CacheFolders]:
    """Return the caches in a dataset's folder, in its ``features``, in one extractor's or a cache.

    ``extractors`` restricts them to some extractors. Raises :class:`UserError` if there is no
    cache, or none of an extractor in ``extractors``.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UserError(f"{folder}: there is no such folder; give results/<dataset> or a cache")
    root = root.resolve()
    caches = []
    for pattern in ("features/*/cache", "*/cache", "cache"):
        for path in sorted(p for p in root.glob(pattern) if p.is_dir()):
            if _dataset_folder(path) != path or next(path.rglob("*.rows"), None) is not None:
                caches.append(_describe_folder(path))
    if not caches and next(root.rglob("*.rows"), None) is not None:
        caches = [_describe_folder(root)]
    if not caches:
        raise UserError(
            f"{folder}: no row cache in it; give the folder of one dataset (results/<dataset>) "
            "or of one cache"
        )
    missing = sorted(set(extractors) - {cache.name for cache in caches})
    if missing:
        raise UserError(
            f"{folder}: no cache of {missing[0]!r}; there are {', '.join(c.name for c in caches)}"
        )
    return [cache for cache in caches if not extractors or cache.name in extractors]


def list_files(folder: Path) -> list[Path]:
    """Return the files of a cache, sorted. Folders named like one are skipped."""
    return sorted(path for path in folder.rglob("*.rows") if path.is_file())


def _describe_folder(folder: Path) -> CacheFolders:
    has_tables = folder.name == "cache"
    name = folder.parent.name if has_tables else folder.name
    return CacheFolders(
        name, folder, folder.parent if has_tables else None, _dataset_folder(folder)
    )


def read_content(cache: CacheFolders, current_only: bool = False) -> CacheContent:
    """Read all files of a cache and classify their rows.

    With ``current_only``, feature tables of an older VERSION of the extractor are ignored. Raises
    :class:`UserError` for a feature table that cannot be read.
    """
    content = CacheContent(cache, list_files(cache.folder))
    content.owners = _map_owners(cache, current_only)
    records: list[Record] = []
    for path in content.files:
        sound_records, damages = scan_file(path)
        records += sound_records
        content.damages += damages
        content.size += path.stat().st_size
    best: dict[str, tuple[int, Record]] = {}
    for record in records:
        # Of several records of a key, the one in the file of the table that uses it is preferred,
        # then one of an unfinished job. Among equals the last is, as RowCache reads it.
        is_in_own_file = record.path == content.owners.get(record.key)
        rank = 2 if is_in_own_file else _is_unfinished(cache, record.path)
        if record.key not in best or rank >= best[record.key][0]:
            best[record.key] = (rank, record)
    for record in records:
        row_kind = UNFINISHED if _is_unfinished(cache, record.path) else UNUSED
        row_kind = USED if record.key in content.owners else row_kind
        content.rows.append((record, row_kind if best[record.key][1] is record else REPEATED))
    return content


def _is_unfinished(cache: CacheFolders, rows: Path) -> bool:
    """Return whether the table that the job of this cache file writes is missing."""
    if cache.tables is None:
        return True
    return not (cache.tables / rows.relative_to(cache.folder)).with_suffix(".parquet").is_file()


def _map_owners(cache: CacheFolders, current_only: bool) -> dict[str, Path]:
    """Map every key of a feature table to the cache file of the first such table's own job."""
    owners: dict[str, Path] = {}
    if cache.tables is None:
        return owners
    current_version = _current_version(cache.name) if current_only else None
    for path in sorted(cache.tables.rglob("*.parquet")):
        has_costs = cache.tables / "costs" in path.parents  # tables of costs have no keys
        if cache.folder in path.parents or has_costs or path.name.startswith("."):
            continue
        try:
            keys = pq.read_table(path, columns=["key"]).column("key").to_pylist()
            if current_only and store.read_metadata(path).get("version") != current_version:
                continue
        except (OSError, pa.ArrowException, KeyError) as error:
            raise UserError(
                f"{path}: this feature table cannot be read ({str(error)[:150]}), so it is not "
                "known which rows are used; delete it, so that it is made again"
            ) from error
        own_file = cache.folder / path.relative_to(cache.tables).with_suffix(".rows")
        for key in keys:
            if key is not None:
                owners.setdefault(key, own_file)
    return owners


def _current_version(name: str) -> int | None:
    from sfqa.features.extractors import EXTRACTORS

    return EXTRACTORS.version(name) if name in EXTRACTORS else None


def prune_cache(
    content: CacheContent, keep: str = "unfinished", dry_run: bool = False
) -> PruneResult:
    """Rewrite a cache without damage, repeated rows, and the kinds that ``keep`` does not list.

    A changed file is written to a temporary file and renamed. A used row in a file whose own table
    is missing (the number of shards has changed) moves to the file of the table that uses it, and
    files without rows are deleted, so a table has at most one cache file. No kept row is lost if
    pruning is killed. The caller holds the lock of the cache (:func:`lock_caches`).
    """
    plan: dict[Path, list[Record]] = {path: [] for path in content.files}
    for record, row_kind in content.rows:
        if row_kind in KEEP[keep]:
            target = record.path
            if row_kind == USED and _is_unfinished(content.cache, record.path):
                target = content.owners[record.key]
            plan.setdefault(target, []).append(record)
    kept_records = [record for records in plan.values() for record in records]
    kept_bytes = sum(record.end - record.start for record in kept_records)
    if not dry_run:
        # Files that gain rows are written first: until then, other files still hold these rows.
        gaining = [p for p, records in plan.items() if any(r.path != p for r in records)]
        for path in [*gaining, *(p for p in plan if p not in set(gaining))]:
            _rewrite_file(path, plan[path])
        _remove_empty_folders(content.cache.folder)
    return PruneResult(
        content.cache,
        (len(content.files), sum(bool(records) for records in plan.values())),
        (len(content.rows), len(kept_records)),
        (content.size, kept_bytes),
    )


def _rewrite_file(path: Path, records: Sequence[Record]) -> None:
    if not records:
        path.unlink()
        return
    size = sum(r.end - r.start for r in records)
    if all(r.path == path for r in records) and path.stat().st_size == size:
        return
    with store.replacing(path) as temporary, open(temporary, "wb") as out:
        for record in records:
            with open(record.path, "rb") as source:
                source.seek(record.start)
                out.write(source.read(record.end - record.start))


def _remove_empty_folders(folder: Path) -> None:
    for inside in sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True):
        if not any(inside.iterdir()):
            inside.rmdir()


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock a folder until the block ends. Raises :class:`UserError` if another process locks it.

    The lock is one of the operating system on the folder itself: it ends with the process.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        if not _try_lock(handle):
            raise UserError(f"{folder}: another sfqa works in this folder; wait until it ends")
        yield
    finally:
        os.close(handle)


@contextmanager
def lock_caches(caches: Iterable[CacheFolders]) -> Iterator[None]:
    """Lock caches until the block ends.

    Raises :class:`UserError` while a workflow or another command uses one of them: a job would
    compute a row again that is moved while it runs.
    """
    with ExitStack() as stack:
        for dataset in sorted({cache.dataset for cache in caches}):
            stack.enter_context(lock_folder(dataset))
        for cache in caches:
            run = results_lock.find_run(cache.dataset)
            if run:
                raise UserError(
                    f"{cache.folder}: a workflow is at work here ({run.describe()}); wait until it "
                    "ends"
                )
            lock = find_workflow_lock(cache.folder)
            if lock:
                raise UserError(
                    f"{cache.folder}: a workflow is at work here (its lock: {lock}); wait until it "
                    "ends, or unlock the folder if it was killed"
                )
            for path in list_files(cache.folder):
                handle = os.open(path, os.O_RDWR)
                stack.callback(os.close, handle)
                if not _try_lock(handle):
                    raise UserError(f"{path}: a job writes this file; wait until it ends")
        yield


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        # Some network file systems have no such locks. The lock of the workflow works there too.
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL):
            raise
    return True


def find_workflow_lock(folder: Path) -> Path | None:
    """Return the lock file of a running workflow that writes files of this cache's dataset.

    In the folder where a workflow was started, its files ``.<engine>/locks/*.lock`` list the paths
    it works on, relative to that folder.
    """
    for base in (folder, *folder.parents):
        for lock in sorted(base.glob(".*/locks/*.lock")):
            paths = [base / line for line in lock.read_text(errors="replace").splitlines() if line]
            dataset = _dataset_folder(folder)
            if not paths or any(dataset in path.parents for path in paths):
                return lock
    return None


def _dataset_folder(folder: Path) -> Path:
    """Return the folder above ``features/{extractor}/cache``, else the folder itself."""
    above = folder.parents
    is_in_dataset = folder.name == "cache" and len(above) > 2 and above[1].name == "features"
    return above[2] if is_in_dataset else folder
