"""Rows kept by content in one append-only file per writer, safe against kill -9 at any byte.

A file is a sequence of records: magic, key, length, sha256 of the payload, payload. The payload is
an Arrow IPC stream of one row. A record that is torn, cut or altered is skipped: it is a miss,
never a crash and never an answer.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from sfqa.errors import explain_write_errors
from sfqa.private_files import refuse_links

_MAGIC = b"SFQArow1"
#: What precedes a payload: magic, key, length and sha256 of the payload.
RECORD_HEADER = struct.Struct("<8s32sQ32s")
_LARGEST_PAYLOAD = 1 << 31
#: Bytes that are read at once from a file.
_CHUNK = 1 << 20


class RowCache:
    """Rows of one schema by key; reads all files of a folder, appends to one.

    A row is a record batch of length 1. Every job has its own file, so that two jobs never write
    one file, and rows are found again when samples move to other shards. Keys are sha256 hex
    digests.

    >>> import tempfile; folder = Path(tempfile.mkdtemp())
    >>> cache = RowCache(folder, "0", pa.schema([("x", pa.float32())]))
    >>> key = "ab" * 32
    >>> cache.get(key) is None
    True
    >>> cache.put(key, pa.RecordBatch.from_pylist([{"x": 1.5}], cache.schema))
    >>> RowCache(folder, "1", cache.schema).get(key).to_pylist()
    [{'x': 1.5}]
    """

    def __init__(self, folder: Path | str, writer: str, schema: pa.Schema) -> None:
        self.folder, self.schema = Path(folder), schema
        self.path = self.folder / f"{writer}.rows"
        while self.path.is_dir():  # rows need a file, and it must be found again
            self.path = self.path.with_name(f"{self.path.stem}_.rows")
        #: Where the records of a key are; the last one is the newest.
        self._positions: dict[str, list[tuple[Path, int, int]]] = {}
        if self.folder.is_dir():
            others = sorted(self.folder.rglob("*.rows"))
            for path in [p for p in others if p != self.path] + [self.path]:
                if path.is_file():
                    with suppress(OSError):  # a file that cannot be read holds no rows
                        for key, offset, size in find_records(path, verify=False):
                            self._positions.setdefault(key, []).append((path, offset, size))

    def __len__(self) -> int:
        return len(self._positions)

    def get(self, key: str) -> pa.RecordBatch | None:
        """Return the row stored under a key, or None if there is no sound one."""
        for path, offset, size in reversed(self._positions.get(key, ())):
            row = self._read_row(key, path, offset, size)
            if row is not None:
                return row
        return None

    def _read_row(self, key: str, path: Path, offset: int, size: int) -> pa.RecordBatch | None:
        """Return the row of a record if it is sound and of this schema."""
        try:
            with open(path, "rb") as handle:
                handle.seek(offset - RECORD_HEADER.size)
                header = handle.read(RECORD_HEADER.size)
                _, stored_key, _, checksum = RECORD_HEADER.unpack(header)
                payload = handle.read(size)
            if stored_key.hex() != key or hashlib.sha256(payload).digest() != checksum:
                return None
            with pa.ipc.open_stream(payload) as reader:
                table = reader.read_all()
        except (OSError, struct.error, pa.ArrowInvalid):
            return None
        if table.num_rows != 1 or not table.schema.equals(self.schema, check_metadata=False):
            return None
        return pa.RecordBatch.from_arrays(
            [column.chunk(0) for column in table.columns], schema=self.schema
        )

    def put(self, key: str, row: pa.RecordBatch) -> None:
        """Append a row and force it to the disk before returning.

        Raises ``ValueError`` for a row of another schema, and :class:`sfqa.errors.UserError` if the
        disk does not take it.
        """
        if row.num_rows != 1 or not row.schema.equals(self.schema, check_metadata=False):
            raise ValueError(f"{row.num_rows} rows with the columns {row.schema.names}")
        sink = pa.BufferOutputStream()
        # Pixels, of which a row holds many megabytes, become a quarter to a half smaller.
        options = pa.ipc.IpcWriteOptions(compression="zstd" if _has_pixels(row.schema) else None)
        with pa.ipc.new_stream(sink, row.schema, options=options) as writer:
            writer.write_batch(row)
        payload = sink.getvalue()  # not copied, since it may hold many megabytes
        header = RECORD_HEADER.pack(
            _MAGIC, bytes.fromhex(key), len(payload), hashlib.sha256(payload).digest()
        )
        with explain_write_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "ab", opener=refuse_links) as handle:
                # A job that a cluster failed to end may append too: each waits for the other.
                fcntl.flock(handle, fcntl.LOCK_EX)
                offset = handle.seek(0, os.SEEK_END) + RECORD_HEADER.size
                handle.write(header)
                handle.write(payload)
                handle.flush()
                os.fsync(handle.fileno())
        self._positions.setdefault(key, []).append((self.path, offset, len(payload)))


def _has_pixels(schema: pa.Schema) -> bool:
    """Return whether rows hold lists of bytes, as views are."""
    types = (field.type for field in schema)
    return any(pa.types.is_list(t) and pa.types.is_uint8(t.value_type) for t in types)


def find_records(path: Path, verify: bool = True) -> Iterator[tuple[str, int, int]]:
    """Yield key, offset of the payload and size of the payload of every sound record of a file.

    After a damaged record the search resumes at the next byte. With ``verify`` every payload is
    read and its sha256 compared. Without, only headers are read, so that a cache of many gigabytes
    opens at once: a payload is then read only if no record follows it, and a record that is yielded
    may be damaged.
    """
    with open(path, "rb") as handle:
        end = os.fstat(handle.fileno()).st_size
        position = 0
        while (position := _find_magic(handle, position)) != -1:
            header = _read_at(handle, position, RECORD_HEADER.size)
            if len(header) < RECORD_HEADER.size:
                return
            _, key, size, checksum = RECORD_HEADER.unpack(header)
            start = position + RECORD_HEADER.size
            is_sound = size < _LARGEST_PAYLOAD and start + size <= end
            # A torn record is followed by the rest of another one.
            is_followed = is_sound and _read_at(handle, start + size, len(_MAGIC)) == _MAGIC
            if is_sound and (verify or not is_followed):
                is_sound = _hash_at(handle, start, size) == checksum
            if is_sound:
                yield key.hex(), start, size
            position = start + size if is_sound else position + 1


def _find_magic(handle: BinaryIO, position: int) -> int:
    """Return where the next record begins, at or after a position; -1 if there is none."""
    overlap = len(_MAGIC) - 1
    size = RECORD_HEADER.size  # usually it begins right here
    while len(chunk := _read_at(handle, position, size)) > overlap:
        index = chunk.find(_MAGIC)
        if index != -1:
            return position + index
        position, size = position + len(chunk) - overlap, _CHUNK
    return -1


def _read_at(handle: BinaryIO, position: int, size: int) -> bytes:
    handle.seek(position)
    return handle.read(size)


def _hash_at(handle: BinaryIO, position: int, size: int) -> bytes:
    """Return the sha256 of bytes of a file, which are read in pieces."""
    digest = hashlib.sha256()
    handle.seek(position)
    while size > 0 and (piece := handle.read(min(size, _CHUNK))):
        digest.update(piece)
        size -= len(piece)
    return digest.digest()
