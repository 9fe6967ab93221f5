"""The rows of a shard in order, read from the cache one at a time: maps take megabytes a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from sfqa import store
from sfqa.cache import RowCache
from sfqa.errors import UserError
from sfqa.features import base, rows

#: Bytes of the rows that are written, or held, at once. A list column of Arrow holds at most 2^31
#: numbers, which 891 rows of DOVER's maps exceed.
_GROUP_BYTES = 16 << 20


@dataclass(frozen=True)
class ShardRow:
    """One sample of the shard, and where its row is.

    ``key`` finds the row in the cache. Without a key, ``row`` is the row itself: one without
    tensors, of a video that failed before, or that the next run tries again.
    """

    sample: Mapping[str, Any]
    key: str | None = None
    row: pa.RecordBatch | None = None


@dataclass(frozen=True)
class ShardRows:
    """The feature rows of a shard."""

    features: Sequence[base.Feature]
    cache: RowCache
    entries: Sequence[ShardRow]
    schema: pa.Schema

    def write(self, path: Path | str, metadata: Mapping[str, Any]) -> None:
        """Write the feature table with some 16 MB of rows in memory at a time."""
        store.write_groups(self.schema, self._iterate_groups(), path, metadata)

    def read_table(self) -> pa.Table:
        """Return the whole table; for shards of a few videos."""
        tables = list(self._iterate_groups())
        return pa.concat_tables(tables).combine_chunks() if len(tables) > 1 else tables[0]

    def _iterate_groups(self) -> Iterator[pa.Table]:
        """Yield the table in parts, at least one."""
        group: list[pa.RecordBatch] = []
        samples: list[Mapping[str, Any]] = []
        size = 0
        for entry in self.entries:
            row = self._read_row(entry)
            if group and size + row.nbytes > _GROUP_BYTES:
                yield rows.join_rows(self.features, group, samples, self.schema)
                group, samples, size = [], [], 0
            group.append(row)
            samples.append(entry.sample)
            size += row.nbytes
        if group or not self.entries:
            yield rows.join_rows(self.features, group, samples, self.schema)

    def _read_row(self, entry: ShardRow) -> pa.RecordBatch:
        row = entry.row if entry.key is None else self.cache.get(entry.key)
        if row is None:
            raise UserError(
                f"{self.cache.path}: the row of {entry.sample['sample_id']} can no longer be read; "
                "run again, and it is computed again"
            )
        return row
