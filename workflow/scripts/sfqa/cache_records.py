"""Read the records of a row cache file: sound rows, and bytes that are not one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from sfqa import cache as row_cache
from sfqa.features.costs import read_device_kind

#: All that this module knows about the format of a file of sfqa.cache.
HEADER_BYTES: int = row_cache.RECORD_HEADER.size


@dataclass(frozen=True)
class Record:
    """One sound row: its file, its key, its first and last byte (exclusive), its kind of device.

    ``device_kind`` is cpu or gpu, '' if the row does not say what computed it.
    """

    path: Path
    key: str
    start: int
    end: int
    device_kind: str = ""


@dataclass(frozen=True)
class Damage:
    """Bytes of a file that are not a sound row, and the reason."""

    path: Path
    start: int
    end: int
    reason: str


def scan_file(path: Path) -> tuple[list[Record], list[Damage]]:
    """Return the sound rows of a file and the bytes that do not belong to one.

    A row is sound if its payload has the stored sha256 and can be read as one row that has the key
    of its record.
    """
    size = path.stat().st_size
    records, damages, position = [], [], 0
    with open(path, "rb") as handle:
        for key, start, end in _find_records(path):
            if start > position:
                reason = "damaged: no sound row in these bytes"
                damages.append(Damage(path, position, start, reason))
            handle.seek(start + HEADER_BYTES)
            row, problem = _read_payload(key, handle.read(end - start - HEADER_BYTES))
            if row is None:
                damages.append(Damage(path, start, end, problem))
            else:
                records.append(Record(path, key, start, end, _read_device_kind(row)))
            position = end
    if size > position:
        damages.append(Damage(path, position, size, "torn: the file ends before a row does"))
    return records, damages


def _find_records(path: Path) -> Iterator[tuple[str, int, int]]:
    """Yield key, first byte and end of every record whose sha256 is right."""
    for key, payload, size in row_cache.find_records(path):
        yield key, payload - HEADER_BYTES, payload + size


def _read_payload(key: str, payload: bytes) -> tuple[pa.Table | None, str]:
    """Return the row of a payload and ''; or None and why it is not a row with this key."""
    try:
        with pa.ipc.open_stream(payload) as reader:
            table = reader.read_all()
    except (OSError, pa.ArrowInvalid):
        return None, "damaged: the row cannot be read"
    if table.num_rows != 1:
        return None, f"damaged: {table.num_rows} rows where there should be one"
    if "key" in table.schema.names and table.column("key")[0].as_py() != key:
        return None, "damaged: the row lies under another key than its own"
    return table, ""


def _read_device_kind(row: pa.Table) -> str:
    if "costs" in row.schema.names:
        with suppress(ValueError, TypeError, AttributeError):
            return read_device_kind(json.loads(row.column("costs")[0].as_py() or "{}"))
    return ""
