"""Feature rows as Arrow record batches: one row as the cache holds it, and a shard's table of them.

A row in the cache has the columns of the feature table and two more, both JSON: ``shapes``, the
shape of each tensor, which the table keeps flat; and ``costs``, what the row cost.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from sfqa import tables
from sfqa.features import base
from sfqa.features.costs import read_device_kind

_EXTRA_COLUMNS = ("shapes", "costs")


def get_row_schema(features: Sequence[base.Feature]) -> pa.Schema:
    """Return the schema of a row in the cache."""
    schema = base.build_schema(features)
    for name in _EXTRA_COLUMNS:
        schema = schema.append(pa.field(name, pa.string()))
    return schema.remove_metadata()


def make_row(
    features: Sequence[base.Feature], cells: Mapping[str, Any], cost: Mapping[str, Any]
) -> pa.RecordBatch:
    """Return a row for the cache; ``cells`` holds the table's cells, tensors as arrays.

    Raises as :func:`sfqa.features.base.build_table`.
    """
    shapes = {
        feature.name: list(np.shape(cells[feature.name]))
        for feature in features
        if feature.axes and cells.get(feature.name) is not None
    }
    (batch,) = base.build_table(features, [cells]).to_batches()
    extra = [pa.array([json.dumps(content)]) for content in (shapes, cost)]
    return pa.RecordBatch.from_arrays([*batch.columns, *extra], schema=get_row_schema(features))


def make_failed_row(features: Sequence[base.Feature], detail: str) -> pa.RecordBatch:
    """Return a row without numbers, of a video that failed before any extractor saw it."""
    cells = {"status": tables.FAILED, "detail": detail, "shapes": "{}"}
    return pa.RecordBatch.from_pylist([cells], schema=get_row_schema(features))


@dataclass(frozen=True)
class RowSummary:
    """What a job keeps of a row in memory; its tensors stay in the cache."""

    status: str
    detail: str
    cost: dict[str, Any]
    shapes: dict[str, list[int]]


def summarise_row(row: pa.RecordBatch) -> RowSummary:
    """Return status, detail, cost and the shapes of the tensors of a row."""
    return RowSummary(*read_status(row), read_cost(row), _read_shapes(row))


def _read_shapes(row: pa.RecordBatch) -> dict[str, list[int]]:
    return dict(json.loads(row.column("shapes")[0].as_py()))


def read_status(row: pa.RecordBatch) -> tuple[str, str]:
    """Return the status and the detail of a row."""
    return row.column("status")[0].as_py(), row.column("detail")[0].as_py()


def read_cost(row: pa.RecordBatch) -> dict[str, Any]:
    """Return what a row cost to compute, empty if it was never computed."""
    cost = dict(json.loads(row.column("costs")[0].as_py() or "{}"))
    device_kind = read_device_kind(cost)
    return cost | {"device_kind": device_kind} if device_kind else cost


def build_schema(
    features: Sequence[base.Feature], shapes: Iterable[Mapping[str, Sequence[int]]]
) -> pa.Schema:
    """Return the schema of the table of rows with these shapes of tensors.

    Raises ``ValueError`` if the rows of a feature disagree on all but their first axis.
    """
    inner_shapes: dict[str, set[tuple[int, ...]]] = {f.name: set() for f in features if f.axes}
    for row_shapes in shapes:
        for name, shape in row_shapes.items():
            inner_shapes[name].add(tuple(shape[1:]))
    schema = base.build_schema(features)
    for name, distinct_shapes in inner_shapes.items():
        schema = base.set_inner_shape(schema, name, distinct_shapes)
    return schema


def join_rows(
    features: Sequence[base.Feature],
    rows: Sequence[pa.RecordBatch],
    samples: Sequence[Mapping[str, Any]],
    schema: pa.Schema | None = None,
) -> pa.Table:
    """Return the feature table of rows; ``samples`` gives each row its sample id and its method.

    The cache finds a row by its content, so that a row may carry the name of another sample.
    ``schema`` is that of a larger table that the rows belong to, by default theirs. Raises
    ``ValueError`` as :func:`build_schema`.
    """
    if not rows:
        return base.build_table(features, [])
    joined = pa.Table.from_batches(rows).combine_chunks()
    if schema is None:
        schema = build_schema(features, [_read_shapes(row) for row in rows])
    columns = {name: joined[name] for name in schema.names}
    for name in ("sample_id", "method"):
        columns[name] = pa.array([sample[name] for sample in samples], schema.field(name).type)
    return pa.table(columns, schema=schema)
