"""Design matrix: one row of numbers per sample, read from the feature tables of extractors.

A tensor is averaged over its first axis (clips, frames), unless that axis is ``channel``, and then
flattened; scalars are appended unchanged. Heads that need maps or sequences (a GELU does not
commute with pooling) use :mod:`sfqa.regression.blocks` instead.
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
from sfqa.regression.problems import Matrix

Files = Mapping[str, Sequence[Path | str]]

#: Version of how features become the matrix.
VERSION = 1

_BATCH_ROWS = 64


@dataclass(frozen=True)
class Design:
    """Features of the usable samples, and the reasons why others are not usable.

    ``X`` is float32 of shape (samples, names), rows in the order of ``sample_ids`` (sorted).
    ``dropped`` (samples without a row in ``X``) and ``flawed`` (samples with a row) give the reason
    as 'word: sentence' by sample.
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
    Raises :class:`UserError` for missing inputs, for shards with different columns or shapes, and
    for samples that occur twice.
    """
    columns_by_extractor: dict[str, list[str | None]] = {}
    for text in inputs:
        extractor, _, column = text.partition(".")
        if extractor not in files or not files[extractor]:
            raise UserError(
                f"input {text!r}: no features are called {extractor!r}; {hint(extractor, files)}"
            )
        columns_by_extractor.setdefault(extractor, []).append(column or None)
    if not columns_by_extractor:
        raise UserError("the metric has no inputs; name an extractor, or a column of one")
    parts = {e: _read_extractor(e, files[e], c) for e, c in columns_by_extractor.items()}
    all_samples = sorted(set().union(*(p.ids for p in parts.values())))
    dropped, flawed = {}, {}
    for sample in all_samples:
        reasons = [r for e, p in parts.items() if (r := _find_reason(e, p, sample))]
        notes = [p.flawed[sample] for p in parts.values() if sample in p.flawed]
        if reasons:
            dropped[sample] = "; ".join(dict.fromkeys(reasons))
        elif notes:
            flawed[sample] = "; ".join(dict.fromkeys(notes))
    usable = [s for s in all_samples if s not in dropped]
    blocks = [p.matrix[[p.usable[s] for s in usable]] for p in parts.values()]
    names = [n for p in parts.values() for n in p.names]
    matrix = np.hstack(blocks) if usable else np.zeros((0, len(names)), np.float32)
    return Design(usable, matrix, names, dropped, flawed)


@dataclass
class _ExtractorFeatures:
    """The features of one extractor.

    ``ids``: all samples read. ``usable``: row of ``matrix`` by sample. ``reasons`` why a sample is
    not usable, and the detail of ``flawed`` ones, by sample.
    """

    ids: set[str] = field(default_factory=set)
    usable: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    flawed: dict[str, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    matrix: Matrix = field(default_factory=lambda: np.zeros((0, 0), np.float32))


def _find_reason(extractor: str, part: _ExtractorFeatures, sample: str) -> str:
    """Return why the features of a sample cannot be used, '' if they can."""
    if sample in part.usable:
        return ""
    return part.reasons.get(sample, f"no_features: {extractor} has no row of this sample")


def _read_extractor(
    extractor: str, paths: Sequence[Path | str], inputs: Sequence[str | None]
) -> _ExtractorFeatures:
    """Read the columns ``inputs`` (None: all numeric ones) of an extractor's feature tables."""
    part, blocks, widths, rows = _ExtractorFeatures(), [], None, 0
    columns: list[str] | None = None
    for path in sorted(map(Path, paths)):
        file = store.open_parquet(path)
        file_columns = select_columns(path, file.schema_arrow, inputs)
        if columns is not None and file_columns != columns:
            raise UserError(
                f"{path}: the columns {', '.join(file_columns)} differ from those of the other "
                f"tables of {extractor} ({', '.join(columns)}); delete it, so that it is made again"
            )
        columns = file_columns
        leading = ["sample_id", "status", "detail"]
        for batch in store.read_batches(file, path, _BATCH_ROWS, leading + columns):
            block, names, shapes = _read_batch(part, extractor, path, batch, columns, rows)
            if not len(block):
                continue
            if widths is not None and shapes != widths:
                raise UserError(
                    f"{path}: the features have the shapes {shapes}, those of the other tables of "
                    f"{extractor} {widths}; delete the older tables, so that they are made again"
                )
            widths, part.names = shapes, names
            blocks.append(block)
            rows += len(block)
    if blocks:
        part.matrix = np.concatenate(blocks)
    return part


def select_columns(path: Path, schema: pa.Schema, inputs: Sequence[str | None]) -> list[str]:
    """Return the feature columns that inputs name, once each; None stands for every numeric one.

    Views are columns of bytes, which only their name selects. Raises :class:`UserError` for a table
    that lacks a column, or has no numeric column.
    """
    leading = {c.name for c in tables.FEATURES.columns}
    numeric = [f.name for f in schema if f.name not in leading and _is_numeric(f.type)]
    if not {"sample_id", "status", "detail"} <= set(schema.names):
        raise UserError(f"{path}: not a feature table; delete it, so that it is made again")
    for name in inputs:
        if name is not None and name not in numeric:
            raise UserError(f"{path}: no numeric column {name!r}; {hint(name, numeric, 'it has')}")
    if not numeric:
        raise UserError(f"{path}: no numeric column; leave this extractor out of the inputs")
    without_views = [n for n in numeric if not _is_view(schema.field(n).type)]
    columns = [n for name in inputs for n in (without_views if name is None else [name])]
    return list(dict.fromkeys(columns))


def _is_view(column_type: pa.DataType) -> bool:
    return bool(pa.types.is_list(column_type) and pa.types.is_uint8(column_type.value_type))


def _is_numeric(column_type: pa.DataType) -> bool:
    if pa.types.is_list(column_type):
        column_type = column_type.value_type
    return bool(pa.types.is_floating(column_type) or pa.types.is_integer(column_type))


def _read_batch(
    part: _ExtractorFeatures,
    extractor: str,
    path: Path,
    batch: pa.RecordBatch,
    columns: list[str],
    start: int,
) -> tuple[Matrix, list[str], list[int]]:
    """Return the matrix of a batch's usable rows, its column names and the widths of ``columns``.

    Records every row in ``part``; the first usable row gets the number ``start``.
    """
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
        array, metadata = batch.column(name), batch.schema.field(name).metadata or {}
        is_list = pa.types.is_list(array.type)
        values = _pool_tensors(array, metadata) if is_list else _read_scalars(array)
        missing[number] = ~np.isfinite(values).all(axis=1)
        blocks.append(values)
    for row in np.flatnonzero(failed | missing.any(axis=0)):
        empty = [f"{extractor}.{columns[c]}" for c in np.flatnonzero(missing[:, row])]
        reason = f"empty_feature: {', '.join(empty)}"
        part.reasons[ids[row]] = detail[row] if failed[row] else join_reasons(detail[row], reason)
    usable = np.flatnonzero(~(failed | missing.any(axis=0)))
    for matrix_row, row in enumerate(usable, start):
        part.usable[ids[row]] = matrix_row
        if status[row] == tables.FLAWED:
            part.flawed[ids[row]] = detail[row]
    widths = [b.shape[1] for b in blocks]
    names = list(_name_columns(extractor, batch.schema, columns, widths))
    return np.hstack(blocks)[usable], names, widths


def _name_columns(
    extractor: str, schema: pa.Schema, columns: Sequence[str], widths: Sequence[int]
) -> Iterator[str]:
    """Yield a name per number: 'extractor.column', with '[n]' behind it if the cell is a list."""
    for name, width in zip(columns, widths, strict=True):
        if pa.types.is_list(schema.field(name).type):
            yield from (f"{extractor}.{name}[{n}]" for n in range(width))
        else:
            yield f"{extractor}.{name}"


def join_reasons(*parts: str) -> str:
    """Return reasons as one text, empty ones left out."""
    return "; ".join(p for p in parts if p)


def _read_scalars(array: pa.Array) -> Matrix:
    """Return a scalar column as (rows, 1)."""
    values = array.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.asarray(values, np.float32)[:, None]


def _pool_tensors(array: pa.ListArray, metadata: Mapping[bytes, bytes]) -> Matrix:
    """Return the mean over the first axis of every cell, (rows, width); NaN if a cell is empty."""
    inner = [int(n) for n in metadata.get(b"inner_shape", b"").decode().split(",") if n]
    width = int(np.prod(inner, dtype=np.int64))
    offsets = np.asarray(array.offsets.to_numpy(zero_copy_only=False), np.int64)
    sizes = np.where(array.is_valid().to_numpy(zero_copy_only=False), np.diff(offsets), 0)
    is_vector = metadata.get(b"axes", b"").split(b",")[0] == b"channel"
    filled = np.flatnonzero(sizes)
    flat = np.asarray(array.flatten().to_numpy(zero_copy_only=False), np.float32)
    if not len(filled):
        return np.full((len(array), width), np.nan, np.float32)
    if is_vector:
        width = int(sizes[filled[0]])
        if (sizes[filled] != width).any():
            raise UserError("a vector feature has rows of different lengths; extract it again")
        pooled = flat.reshape(-1, width)
    else:
        counts = sizes[filled] // width
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        sums = np.add.reduceat(flat.reshape(-1, width), starts, axis=0, dtype=np.float64)
        pooled = sums / counts[:, None]
    out = np.full((len(array), width), np.nan, np.float32)
    out[filled] = pooled
    return out


def read_scalar_input(inputs: Sequence[str], design: Design, metric: str) -> npt.NDArray[Any]:
    """Return the column that a zero-shot metric reads, float64 (samples,).

    Raises :class:`UserError` if the inputs are not exactly one scalar.
    """
    if len(design.names) != 1 and design.sample_ids:
        raise UserError(
            f"config, regression.metrics.{metric}.inputs: {', '.join(inputs)} have "
            f"{len(design.names)} numbers per sample, but a zero_shot metric reads one; "
            "name one scalar column, such as 'lse.lse_c'"
        )
    return design.X.reshape(len(design.sample_ids)).astype(np.float64)
