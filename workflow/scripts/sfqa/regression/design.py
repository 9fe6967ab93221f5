"""One row of numbers per sample, gathered from the feature tables of several extractors.

A tensor is averaged over its first axis (clips, frames), unless that axis is ``channel``, and what
is left is flattened; scalars are appended as they are. Heads that need whole maps or sequences
(a GELU head does not commute with pooling) need another design than this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sfqa import store, tables
from sfqa.errors import UserError, hint

Files = Mapping[str, Sequence[Path | str]]
Matrix = npt.NDArray[np.float32]

#: Version of how features become numbers.
VERSION = 1

_BATCH_ROWS = 64


@dataclass(frozen=True)
class Design:
    """Features of the samples that can be used, and why the others cannot.

    ``X`` is float32 of shape (samples, names), rows in the order of ``sample_ids`` (sorted).
    ``dropped`` and ``flawed`` give 'word: sentence' by sample; flawed rows are used.
    """

    sample_ids: list[str]
    X: Matrix
    names: list[str]
    dropped: dict[str, str]
    flawed: dict[str, str] = field(default_factory=dict)


def load_design(files: Files, inputs: Sequence[str]) -> Design:
    """Return the design matrix of the inputs over all samples of the extractors' files.

    ``files`` maps an extractor to its feature tables (its shards, in any order). An input is an
    extractor ('slowfast': all its numeric columns in order) or one column of it ('lse.lse_c').
    Raises :class:`UserError` for inputs that are not there, shards that disagree, and samples
    that are there twice.
    """
    wanted: dict[str, list[str | None]] = {}
    for text in inputs:
        extractor, _, column = text.partition(".")
        if extractor not in files or not files[extractor]:
            raise UserError(
                f"input {text!r}: no features are called {extractor!r}; {hint(extractor, files)}"
            )
        wanted.setdefault(extractor, []).append(column or None)
    if not wanted:
        raise UserError("a metric without inputs; name an extractor or a column of one")
    parts = {e: _extractor(e, files[e], columns) for e, columns in wanted.items()}
    everyone = sorted(set().union(*(p.ids for p in parts.values())))
    dropped, flawed = {}, {}
    for sample in everyone:
        reasons = [r for e, p in parts.items() if (r := _why_not(e, p, sample))]
        notes = [p.flawed[sample] for p in parts.values() if sample in p.flawed]
        if reasons:
            dropped[sample] = "; ".join(dict.fromkeys(reasons))
        elif notes:
            flawed[sample] = "; ".join(dict.fromkeys(notes))
    kept = [s for s in everyone if s not in dropped]
    blocks = [p.matrix[[p.usable[s] for s in kept]] for p in parts.values()]
    names = [n for p in parts.values() for n in p.names]
    matrix = np.hstack(blocks) if kept else np.zeros((0, len(names)), np.float32)
    return Design(kept, matrix, names, dropped, flawed)


@dataclass
class _Part:
    """One extractor: ``usable`` maps a sample to its row of ``matrix``."""

    ids: set[str] = field(default_factory=set)
    usable: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    flawed: dict[str, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    matrix: Matrix = field(default_factory=lambda: np.zeros((0, 0), np.float32))


def _why_not(extractor: str, part: _Part, sample: str) -> str:
    if sample in part.usable:
        return ""
    return part.reasons.get(sample, f"no_features: {extractor} has no row of this sample")


def _extractor(extractor: str, paths: Sequence[Path | str], asked: Sequence[str | None]) -> _Part:
    part, blocks, widths, rows = _Part(), [], None, 0
    columns: list[str] | None = None
    for path in sorted(map(Path, paths)):
        file = store.open_parquet(path)
        here = columns_of(path, file.schema_arrow, asked)
        if columns is not None and here != columns:
            raise UserError(
                f"{path}: its columns {', '.join(here)} are not those of the other tables of "
                f"{extractor} ({', '.join(columns)}); delete it, so that it is made again"
            )
        columns = here
        head = ["sample_id", "status", "detail"]
        for batch in store.read_batches(file, path, _BATCH_ROWS, head + columns):
            block, names, shapes = _rows(part, extractor, path, batch, columns, rows)
            if not len(block):
                continue
            if widths is not None and shapes != widths:
                raise UserError(
                    f"{path}: its features have the shapes {shapes}, those of the other tables of "
                    f"{extractor} {widths}; delete the older ones, so that they are made again"
                )
            widths, part.names = shapes, names
            blocks.append(block)
            rows += len(block)
    if blocks:
        part.matrix = np.concatenate(blocks)
    return part


def columns_of(path: Path, schema: pa.Schema, asked: Sequence[str | None]) -> list[str]:
    """The columns asked for, once each; None asks for every numeric one."""
    head = {c.name for c in tables.FEATURES.columns}
    numeric = [f.name for f in schema if f.name not in head and _is_numeric(f.type)]
    if not {"sample_id", "status", "detail"} <= set(schema.names):
        raise UserError(f"{path}: not a feature table; delete it, so that it is made again")
    for name in asked:
        if name is not None and name not in numeric:
            raise UserError(f"{path}: no numeric column {name!r}; {hint(name, numeric, 'it has')}")
    if not numeric:
        raise UserError(f"{path}: no numeric column; leave this extractor out of the inputs")
    chosen = [n for name in asked for n in (numeric if name is None else [name])]
    return list(dict.fromkeys(chosen))


def _is_numeric(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind):
        kind = kind.value_type
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _rows(
    part: _Part, extractor: str, path: Path, batch: pa.RecordBatch, columns: list[str], start: int
) -> tuple[Matrix, list[str], list[int]]:
    """Note every row of a batch in the part; return the usable ones' numbers, names, widths."""
    ids, status, detail = (batch.column(n).to_pylist() for n in ("sample_id", "status", "detail"))
    for sample in ids:
        if sample in part.ids:
            raise UserError(
                f"{path}: the sample {sample!r} is in two rows of {extractor}; delete the table "
                "that is no longer made (an old shard?)"
            )
        part.ids.add(sample)
    failed = np.array([s == tables.FAILED for s in status], bool)
    missing = np.zeros((len(columns), len(ids)), bool)
    blocks = []
    for number, name in enumerate(columns):
        array, about = batch.column(name), batch.schema.field(name).metadata or {}
        values = _pooled(array, about) if pa.types.is_list(array.type) else _scalars(array)
        missing[number] = ~np.isfinite(values).all(axis=1)
        blocks.append(values)
    for row in np.flatnonzero(failed | missing.any(axis=0)):
        empty = [f"{extractor}.{columns[c]}" for c in np.flatnonzero(missing[:, row])]
        own = f"empty_feature: {', '.join(empty)}"
        part.reasons[ids[row]] = detail[row] if failed[row] else joined(detail[row], own)
    usable = np.flatnonzero(~(failed | missing.any(axis=0)))
    for place, row in enumerate(usable, start):
        part.usable[ids[row]] = place
        if status[row] == tables.FLAWED:
            part.flawed[ids[row]] = detail[row]
    widths = [b.shape[1] for b in blocks]
    names = list(_names(extractor, batch.schema, columns, widths))
    return np.hstack(blocks)[usable], names, widths


def _names(
    extractor: str, schema: pa.Schema, columns: Sequence[str], widths: Sequence[int]
) -> Iterator[str]:
    for name, width in zip(columns, widths, strict=True):
        if pa.types.is_list(schema.field(name).type):
            yield from (f"{extractor}.{name}[{n}]" for n in range(width))
        else:
            yield f"{extractor}.{name}"


def joined(*parts: str) -> str:
    return "; ".join(p for p in parts if p)


def _scalars(array: pa.Array) -> Matrix:
    values = array.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.asarray(values, np.float32)[:, None]


def _pooled(array: pa.ListArray, about: Mapping[bytes, bytes]) -> Matrix:
    """Mean over the first axis of every cell, (rows, width); NaN where a cell is empty."""
    inner = [int(n) for n in about.get(b"inner_shape", b"").decode().split(",") if n]
    width = int(np.prod(inner, dtype=np.int64))
    offsets = np.asarray(array.offsets.to_numpy(zero_copy_only=False), np.int64)
    sizes = np.where(array.is_valid().to_numpy(zero_copy_only=False), np.diff(offsets), 0)
    whole = about.get(b"axes", b"").split(b",")[0] == b"channel"
    filled = np.flatnonzero(sizes)
    flat = np.asarray(array.flatten().to_numpy(zero_copy_only=False), np.float32)
    if not len(filled):
        return np.full((len(array), width), np.nan, np.float32)
    if whole:
        width = int(sizes[filled[0]])
        if (sizes[filled] != width).any():
            raise UserError("a vector feature has rows of different lengths; make it again")
        pooled = flat.reshape(-1, width)
    else:
        counts = sizes[filled] // width
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        sums = np.add.reduceat(flat.reshape(-1, width), starts, axis=0, dtype=np.float64)
        pooled = sums / counts[:, None]
    out = np.full((len(array), width), np.nan, np.float32)
    out[filled] = pooled
    return out


def scalar_input(inputs: Sequence[str], design: Design, metric: str) -> npt.NDArray[Any]:
    """Return the one column that a zero-shot metric reads, (samples,) float64.

    Raises :class:`UserError` where the inputs are more than one scalar.
    """
    if len(design.names) != 1 and design.sample_ids:
        raise UserError(
            f"config, metrics.{metric}.inputs: {', '.join(inputs)} are {len(design.names)} "
            "numbers a sample, a zero_shot metric is one; name one scalar column, as 'lse.lse_c'"
        )
    return design.X.reshape(len(design.sample_ids)).astype(np.float64)
