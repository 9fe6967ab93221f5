"""What a plan needs of the table of samples: the rows and the digest of every shard.

To read the table takes Arrow and a digest for each row: half a second and 50 MB at 34,000 rows, and
every job of a cluster plans anew. So what was found is kept beside the table, in ``.shards.json``,
and believed as long as the table is the same file. Without it, all is read again.
"""

from __future__ import annotations

import json
from contextlib import suppress
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from sfqa.errors import UserError

#: What of a sample's row makes its video: a new label or split re-runs no generation.
MAKES_VIDEO = (
    "sample_id", "image_sha256", "clip_sha256", "clip_path", "image_path", "source_path", "prompt",
)  # fmt: skip
_FILE = ".shards.json"


class Shard(NamedTuple):
    """How many samples a shard has, and the digest of what makes their videos."""

    rows: int
    digest: str


def read_shards(samples: Path | str) -> dict[tuple[str, str], Shard]:
    """Return all shards of a table of samples, by (method, shard), sorted.

    Raises ``FileNotFoundError`` where there is no such table.
    """
    facts = Path(samples).stat()
    return _shards(str(samples), (facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns))


@lru_cache(maxsize=2)
def _shards(samples: str, stamp: tuple[int, ...]) -> dict[tuple[str, str], Shard]:
    kept = Path(samples).with_name(_FILE)
    head = {"table": list(stamp), "columns": list(MAKES_VIDEO)}
    try:
        return _from_json(json.loads(kept.read_text()), head)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        found = _from_table(samples)
    rows: dict[str, dict[str, Shard]] = {}
    for (method, shard), about in found.items():
        rows.setdefault(method, {})[shard] = about
    from sfqa import store

    # A folder may be read-only.
    with suppress(OSError, UserError), store.replacing(kept) as temporary:
        temporary.write_text(json.dumps(head | {"shards": rows}))
    return found


def _from_json(stored: Any, head: dict[str, Any]) -> dict[tuple[str, str], Shard]:
    if {key: stored[key] for key in head} != head:
        raise ValueError("of another table")
    return {
        (method, shard): Shard(int(rows), str(digest))
        for method, shards in stored["shards"].items()
        for shard, (rows, digest) in shards.items()
    }


def _from_table(samples: str) -> dict[tuple[str, str], Shard]:
    """Slices of one sorted table: a hundred thousand dictionaries at once would take more."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from sfqa import store
    from sfqa.identity import digest_rows

    key = ["method", "shard"]
    # read_table and sort_by would load Arrow's query engine: half as much memory again.
    with store.explain_read_errors(samples):
        table = pq.ParquetFile(samples).read([*key, *MAKES_VIDEO], use_threads=False)
    table = table.take(pc.sort_indices(table, sort_keys=[(name, "ascending") for name in key]))
    rows, start, found = table.select(MAKES_VIDEO), 0, {}
    pairs = zip(*(table[name].to_pylist() for name in key), strict=True)
    for (method, shard), same in groupby(pairs):
        count = sum(1 for _ in same)
        found[method, str(shard)] = Shard(count, digest_rows(rows.slice(start, count).to_pylist()))
        start += count
    return dict(sorted(found.items()))
