"""What lies in the row caches of a dataset: list it, verify it, prune it.

The caches are those of :mod:`sfqa.cache`: ``features/{extractor}/cache/**/*.rows``. A row is
*used* where a feature table beside the cache has its key; *unfinished* where none has and the
table of its own file (``{method}/{shard}.rows`` belongs to ``{method}/{shard}.parquet``) is not
there, as after a job that was cut off; else *unused*. A second record of a key is *repeated*,
whichever of them is needed least.
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

from sfqa import cache, store
from sfqa.errors import UserError

USED, UNFINISHED, UNUSED, REPEATED = "used", "unfinished", "unused", "repeated"

#: What ``prune`` keeps, by the word that says so.
KEEP = {
    "sound": (USED, UNFINISHED, UNUSED),
    "unfinished": (USED, UNFINISHED),
    "used": (USED,),
}


@dataclass(frozen=True)
class Record:
    """One sound row: its key, and where it lies in its file (bytes)."""

    path: Path
    key: str
    start: int
    end: int


@dataclass(frozen=True)
class Damage:
    """Bytes of a file that are no sound row, and why."""

    path: Path
    start: int
    end: int
    reason: str


@dataclass(frozen=True)
class Place:
    """The cache of one extractor: its folder, that of its feature tables, that of the dataset."""

    name: str
    folder: Path
    tables: Path | None
    home: Path


@dataclass
class Content:
    """All files of one cache, each row with what it is (:data:`USED`, ...)."""

    place: Place
    files: list[Path] = field(default_factory=list)
    rows: list[tuple[Record, str]] = field(default_factory=list)
    damages: list[Damage] = field(default_factory=list)
    owners: dict[str, Path] = field(default_factory=dict)
    size: int = 0

    @property
    def counts(self) -> Counter[str]:
        """How many rows are used, unfinished, unused, repeated."""
        return Counter(kind for _, kind in self.rows)

    @property
    def damaged_bytes(self) -> int:
        """Bytes that belong to no sound row."""
        return sum(d.end - d.start for d in self.damages)


@dataclass(frozen=True)
class Pruned:
    """What pruning one cache did, or would do."""

    place: Place
    files: tuple[int, int]
    rows: tuple[int, int]
    size: tuple[int, int]


def find(folder: Path | str, extractors: Sequence[str] = ()) -> list[Place]:
    """Return the caches below a dataset's folder, its ``features``, one extractor's or a cache.

    Raises :class:`UserError` where there is none, or none of a wanted extractor.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UserError(f"{folder}: there is no such folder; give results/<dataset> or a cache")
    root = root.resolve()
    places = []
    for pattern in ("features/*/cache", "*/cache", "cache"):
        for cached in sorted(p for p in root.glob(pattern) if p.is_dir()):
            if _dataset(cached) != cached or next(cached.rglob("*.rows"), None) is not None:
                places.append(_place(cached))
    if not places and next(root.rglob("*.rows"), None) is not None:
        places = [_place(root)]
    if not places:
        raise UserError(
            f"{folder}: no row cache in it; give the folder of one dataset (results/<dataset>) "
            "or of one cache"
        )
    wanted = [place for place in places if not extractors or place.name in extractors]
    missing = sorted(set(extractors) - {place.name for place in places})
    if missing:
        raise UserError(
            f"{folder}: no cache of {missing[0]!r}; there are {', '.join(p.name for p in places)}"
        )
    return wanted


def _files(folder: Path) -> list[Path]:
    """The files of a cache; a folder of such a name holds no rows."""
    return sorted(path for path in folder.rglob("*.rows") if path.is_file())


def _place(folder: Path) -> Place:
    beside = folder.name == "cache"
    name = folder.parent.name if beside else folder.name
    return Place(name, folder, folder.parent if beside else None, _dataset(folder))


def scan(path: Path) -> tuple[list[Record], list[Damage]]:
    """Return the sound rows of a file, and all bytes between, before and after them.

    Every payload's sha256 is compared, read as one row, and its key with that of the record.
    """
    size = path.stat().st_size
    records, damages, place = [], [], 0
    with open(path, "rb") as handle:
        for key, start, end in _sound(path):
            if start > place:
                damages.append(Damage(path, place, start, "damaged: no sound row in these bytes"))
            handle.seek(start + _HEAD)
            wrong = _wrong(key, handle.read(end - start - _HEAD))
            if wrong:
                damages.append(Damage(path, start, end, wrong))
            else:
                records.append(Record(path, key, start, end))
            place = end
    if size > place:
        damages.append(Damage(path, place, size, "torn: the file ends before a row does"))
    return records, damages


# All that this module knows of how sfqa.cache lays out a file.
_HEAD: int = cache.RECORD_HEADER.size


def _sound(path: Path) -> Iterator[tuple[str, int, int]]:
    """Key, first byte and end of every record whose sha256 is right."""
    for key, payload, size in cache.find_records(path):
        yield key, payload - _HEAD, payload + size


def _wrong(key: str, payload: bytes) -> str:
    """Why a payload is no row of this key, '' where it is one."""
    try:
        with pa.ipc.open_stream(payload) as reader:
            table = reader.read_all()
    except (OSError, pa.ArrowInvalid):
        return "damaged: the row cannot be read"
    if table.num_rows != 1:
        return f"damaged: {table.num_rows} rows where there should be one"
    if "key" in table.schema.names and table.column("key")[0].as_py() != key:
        return "damaged: the row lies under another key than its own"
    return ""


def content(place: Place, current_only: bool = False) -> Content:
    """Return what lies in a cache.

    ``current_only`` counts a feature table of an older VERSION of the extractor as none. Raises
    :class:`UserError` for a feature table that cannot be read.
    """
    found = Content(place, _files(place.folder))
    found.owners = _owners(place, current_only)
    records: list[Record] = []
    for path in found.files:
        sound, damages = scan(path)
        records += sound
        found.damages += damages
        found.size += path.stat().st_size
    best: dict[str, tuple[int, Record]] = {}
    for record in records:
        # The file of the table that uses the row is best, then that of a job that was cut off;
        # among equals the last, as the cache itself reads.
        rank = 2 if record.path == found.owners.get(record.key) else _waits(place, record.path)
        if record.key not in best or rank >= best[record.key][0]:
            best[record.key] = (rank, record)
    for record in records:
        kind = UNFINISHED if _waits(place, record.path) else UNUSED
        kind = USED if record.key in found.owners else kind
        found.rows.append((record, kind if best[record.key][1] is record else REPEATED))
    return found


def _waits(place: Place, rows: Path) -> bool:
    """Whether the table that the job of this cache file writes is not there (yet)."""
    if place.tables is None:
        return True
    return not (place.tables / rows.relative_to(place.folder)).with_suffix(".parquet").is_file()


def _owners(place: Place, current_only: bool) -> dict[str, Path]:
    """For every key of a feature table the cache file of the (first) table's own job."""
    owners: dict[str, Path] = {}
    if place.tables is None:
        return owners
    for path in sorted(place.tables.rglob("*.parquet")):
        # Costs have no keys.
        costs = place.tables / "costs" in path.parents
        if place.folder in path.parents or costs or path.name.startswith("."):
            continue
        try:
            keys = pq.read_table(path, columns=["key"]).column("key").to_pylist()
            if current_only and store.read_metadata(path).get("version") != _version(place.name):
                continue
        except (OSError, pa.ArrowException, KeyError) as error:
            raise UserError(
                f"{path}: this feature table cannot be read ({str(error)[:150]}), so it is not "
                "known which rows are used; delete it, so that it is made again"
            ) from error
        own = place.folder / path.relative_to(place.tables).with_suffix(".rows")
        for key in keys:
            if key is not None:
                owners.setdefault(key, own)
    return owners


def _version(name: str) -> int | None:
    from sfqa.features import base

    return base.extractor_version(name) if name in base.extractor_names() else None


def prune(found: Content, keep: str = "unfinished", dry_run: bool = False) -> Pruned:
    """Rewrite a cache without damage, repetition and the rows that ``keep`` does not keep.

    Every changed file is written beside itself and renamed. A used row in a file whose own table is
    not there (the shards were cut otherwise) goes to the file of the table that uses it; files
    without rows are deleted. So a table has one cache file at most. Killed at any time, no kept row
    is lost. The caller holds the cache (:func:`alone`).
    """
    plan: dict[Path, list[Record]] = {path: [] for path in found.files}
    for record, kind in found.rows:
        if kind in KEEP[keep]:
            target = record.path
            if kind == USED and _waits(found.place, record.path):
                target = found.owners[record.key]
            plan.setdefault(target, []).append(record)
    kept = [record for records in plan.values() for record in records]
    after = sum(record.end - record.start for record in kept)
    if not dry_run:
        # Files that gain rows first: what they gain is still in the others should this be killed.
        gaining = [p for p, records in plan.items() if any(r.path != p for r in records)]
        for path in [*gaining, *(p for p in plan if p not in set(gaining))]:
            _rewrite(path, plan[path])
        _remove_empty(found.place.folder)
    return Pruned(
        found.place,
        (len(found.files), sum(bool(records) for records in plan.values())),
        (len(found.rows), len(kept)),
        (found.size, after),
    )


def _rewrite(path: Path, records: Sequence[Record]) -> None:
    if not records:
        path.unlink()
        return
    whole = sum(r.end - r.start for r in records)
    if all(r.path == path for r in records) and path.stat().st_size == whole:
        return
    with store.replacing(path) as part, open(part, "wb") as out:
        for record in records:
            with open(record.path, "rb") as source:
                source.seek(record.start)
                out.write(source.read(record.end - record.start))


def _remove_empty(folder: Path) -> None:
    for inside in sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True):
        if not any(inside.iterdir()):
            inside.rmdir()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder alone until the block ends; raises :class:`UserError` where another does.

    The lock is the operating system's, on the folder itself: it ends with the process.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        if not _locked(handle):
            raise UserError(f"{folder}: another sfqa works in this folder; wait until it ends")
        yield
    finally:
        os.close(handle)


@contextmanager
def alone(places: Iterable[Place]) -> Iterator[None]:
    """Hold caches alone until the block ends.

    Raises :class:`UserError` while a workflow or another command uses them: a row that moves under
    a job's hands would be computed again.
    """
    with ExitStack() as stack:
        for home in sorted({place.home for place in places}):
            stack.enter_context(held(home))
        for place in places:
            lock = workflow_lock(place.folder)
            if lock:
                raise UserError(
                    f"{place.folder}: a workflow is at work here (its lock: {lock}); wait until it "
                    "ends, or unlock the folder if it was killed"
                )
            for path in _files(place.folder):
                handle = os.open(path, os.O_RDWR)
                stack.callback(os.close, handle)
                if not _locked(handle):
                    raise UserError(f"{path}: a job writes this file; wait until it ends")
        yield


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        # Some network file systems have no such locks; the workflow's own still holds there.
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL):
            raise
    return True


def workflow_lock(folder: Path) -> Path | None:
    """Return the lock file of a running workflow that makes files of this cache's dataset.

    A workflow keeps ``.<engine>/locks/*.lock`` in the folder it was started in: lists of the paths
    it works on, relative to that folder.
    """
    for base in (folder, *folder.parents):
        for lock in sorted(base.glob(".*/locks/*.lock")):
            paths = [base / line for line in lock.read_text(errors="replace").splitlines() if line]
            dataset = _dataset(folder)
            if not paths or any(dataset in path.parents for path in paths):
                return lock
    return None


def _dataset(folder: Path) -> Path:
    """The folder above ``features/{extractor}/cache``, else the folder itself."""
    above = folder.parents
    shaped = folder.name == "cache" and len(above) > 2 and above[1].name == "features"
    return above[2] if shaped else folder
