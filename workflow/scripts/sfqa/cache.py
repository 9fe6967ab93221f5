"""Rows kept by content in one append-only file per writer, safe against kill -9 at any byte.

A file is a sequence of records: magic, key, length, sha256 of the payload, payload (one Arrow row).
A record that is torn, cut or altered is skipped: a miss, never a crash and never an answer.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from sfqa.errors import writing

_MAGIC = b"SFQArow1"
_HEAD = struct.Struct("<8s32sQ32s")
_LARGEST = 1 << 31


class RowCache:
    """Rows of one schema by key; reads all files of a folder, appends to one.

    Every job has a file of its own, so that no two jobs ever write one file, and rows are found
    again when shards are cut differently. Keys are sha256 hex digests.

    >>> import tempfile; folder = Path(tempfile.mkdtemp())
    >>> cache = RowCache(folder, "0", pa.schema([("x", pa.float32())]))
    >>> key = "ab" * 32
    >>> cache.get(key) is None
    True
    >>> cache.put(key, {"x": 1.5}); RowCache(folder, "1", cache.schema).get(key)
    {'x': 1.5}
    """

    def __init__(self, folder: Path | str, writer: str, schema: pa.Schema) -> None:
        self.folder, self.schema = Path(folder), schema
        self.path = self.folder / f"{writer}.rows"
        while self.path.is_dir():  # whoever made it: rows must go somewhere, and be found again
            self.path = self.path.with_name(f"{self.path.stem}_.rows")
        self._places: dict[str, tuple[Path, int, int]] = {}
        if self.folder.is_dir():
            others = sorted(self.folder.rglob("*.rows"))
            for path in [p for p in others if p != self.path] + [self.path]:
                if path.is_file():
                    with suppress(OSError):  # a file that cannot be read holds no rows
                        self._places.update(
                            (key, (path, offset, size)) for key, offset, size in _records(path)
                        )

    def __len__(self) -> int:
        return len(self._places)

    def get(self, key: str) -> dict[str, Any] | None:
        """Return the row stored under a key, or None where there is no sound one."""
        place = self._places.get(key)
        if place is None:
            return None
        path, offset, size = place
        try:
            with open(path, "rb") as handle:
                handle.seek(offset - _HEAD.size)
                _, stored, _, check = _HEAD.unpack(handle.read(_HEAD.size))
                payload = handle.read(size)
            if stored.hex() != key or hashlib.sha256(payload).digest() != check:
                return None
            with pa.ipc.open_stream(payload) as reader:
                table = reader.read_all()
        except (OSError, struct.error, pa.ArrowInvalid):
            return None
        if table.num_rows != 1 or not table.schema.equals(self.schema, check_metadata=False):
            return None
        return {name: table.column(name)[0].as_py() for name in self.schema.names}

    def put(self, key: str, row: Mapping[str, Any]) -> None:
        """Append a row and force it to the disk before returning.

        Raises :class:`sfqa.errors.UserError` where the disk does not take it.
        """
        table = pa.Table.from_pylist([dict(row)], schema=self.schema.remove_metadata())
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        payload = sink.getvalue().to_pybytes()
        head = _HEAD.pack(
            _MAGIC, bytes.fromhex(key), len(payload), hashlib.sha256(payload).digest()
        )
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "ab") as handle:
                # A job that a cluster forgot to end may append too: each waits for the other.
                fcntl.flock(handle, fcntl.LOCK_EX)
                offset = handle.seek(0, os.SEEK_END) + _HEAD.size
                handle.write(head + payload)
                handle.flush()
                os.fsync(handle.fileno())
        self._places[key] = (self.path, offset, len(payload))


def _records(path: Path) -> Iterator[tuple[str, int, int]]:
    """Key, payload offset and size of every sound record; after a bad one, look for the next."""
    data = path.read_bytes()
    place = 0
    while (place := data.find(_MAGIC, place)) != -1:
        if place + _HEAD.size > len(data):
            return
        _, key, size, check = _HEAD.unpack_from(data, place)
        start = place + _HEAD.size
        whole = size < _LARGEST and start + size <= len(data)
        if whole and hashlib.sha256(memoryview(data)[start : start + size]).digest() == check:
            yield key.hex(), start, size
            place = start + size
        else:
            place += 1
