"""The number of rows and the digest of every shard of the table of samples, for the plan.

To compute them from the table takes Arrow and a digest for each row: half a second and 50 MB at
34,000 rows, and on a cluster every job plans again. They are therefore stored next to the table in
``.shards.json``, and computed again if the table is another file than the stored one.
"""

from __future__ import annotations

import json
from contextlib import suppress
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from sfqa.errors import UserError
from sfqa.untrusted.documents import read_json

#: The columns of a sample that determine its video: a new label or split re-runs no generation.
VIDEO_COLUMNS = (
    "sample_id", "image_sha256", "clip_sha256", "clip_path", "image_path", "source_path", "prompt",
)  # fmt: skip
#: Further ones that count if they are filled, so that they change no digest of other samples.
_OPTIONAL_COLUMNS = ("raw",)
_FILE = ".shards.json"


class Shard(NamedTuple):
    """The number of samples of a shard, and the digest of what determines their videos."""

    rows: int
    digest: str


def read_shards(samples: Path | str) -> dict[tuple[str, str], Shard]:
    """Return all shards of a table of samples, by (method, shard), sorted.

    Raises ``FileNotFoundError`` if there is no such table.
    """
    status = Path(samples).stat()
    return _load_shards(str(samples), (status.st_size, status.st_mtime_ns, status.st_ctime_ns))


@lru_cache(maxsize=2)
def _load_shards(samples: str, stamp: tuple[int, ...]) -> dict[tuple[str, str], Shard]:
    index_file = Path(samples).with_name(_FILE)
    identity = {"table": list(stamp), "columns": [*VIDEO_COLUMNS, *_OPTIONAL_COLUMNS]}
    try:
        return _read_index(read_json(index_file), identity)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        shards = _compute_shards(samples)
    by_method: dict[str, dict[str, Shard]] = {}
    for (method, number), shard in shards.items():
        by_method.setdefault(method, {})[number] = shard
    from sfqa import store

    # The folder may be read-only.
    with suppress(OSError, UserError), store.replacing(index_file) as temporary:
        temporary.write_text(json.dumps(identity | {"shards": by_method}))
    return shards


def _read_index(stored: Any, identity: dict[str, Any]) -> dict[tuple[str, str], Shard]:
    """Return the shards of an index. Raises ``ValueError`` for the index of another table."""
    if {key: stored[key] for key in identity} != identity:
        raise ValueError("index of another table")
    return {
        (method, number): Shard(int(rows), str(digest))
        for method, shards in stored["shards"].items()
        for number, (rows, digest) in shards.items()
    }


def _compute_shards(samples: str) -> dict[tuple[str, str], Shard]:
    """Compute the shards from slices of the sorted table, which takes less memory than all rows."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from sfqa import store
    from sfqa.identity import digest_rows

    key = ["method", "shard"]
    # read_table and sort_by would load Arrow's query engine, which takes 50 % more memory.
    with store.explain_read_errors(samples):
        columns = [*VIDEO_COLUMNS, *_OPTIONAL_COLUMNS]
        table = pq.ParquetFile(samples).read([*key, *columns], use_threads=False)
    table = table.take(pc.sort_indices(table, sort_keys=[(name, "ascending") for name in key]))
    # A table of an earlier version has no optional columns.
    rows = table.select([name for name in columns if name in table.column_names])
    start, shards = 0, {}
    pairs = zip(*(table[name].to_pylist() for name in key), strict=True)
    for (method, number), group in groupby(pairs):
        count = sum(1 for _ in group)
        shard_rows = rows.slice(start, count).to_pylist()
        for row in shard_rows:
            for name in _OPTIONAL_COLUMNS:
                if row.get(name) is None:
                    row.pop(name, None)
        shards[method, str(number)] = Shard(count, digest_rows(shard_rows))
        start += count
    return dict(sorted(shards.items()))
