"""Feature rows as Arrow record batches: one row as the cache holds it, and a shard's table of them.

A row in the cache has the columns of the feature table and two more, both JSON: ``shapes``, the
shape of each tensor, which the table keeps flat; and ``costs``, what the row cost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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


def read_status(row: pa.RecordBatch) -> tuple[str, str]:
    """Return the status and the detail of a row."""
    return row.column("status")[0].as_py(), row.column("detail")[0].as_py()


def read_cost(row: pa.RecordBatch) -> dict[str, Any]:
    """Return what a row cost to compute, empty if it was never computed."""
    cost = dict(json.loads(row.column("costs")[0].as_py() or "{}"))
    kind = read_device_kind(cost)
    return cost | {"device_kind": kind} if kind else cost


def join_rows(
    features: Sequence[base.Feature],
    rows: Sequence[pa.RecordBatch],
    samples: Sequence[Mapping[str, Any]],
) -> pa.Table:
    """Return the feature table of rows; ``samples`` gives each row its sample id and its method.

    The cache finds a row by its content, so that a row may carry the name of another sample.
    Raises ``ValueError`` if the rows of a feature disagree on all but their first axis.
    """
    if not rows:
        return base.build_table(features, [])
    joined = pa.Table.from_batches(rows).combine_chunks()
    shapes: list[dict[str, list[int]]] = [json.loads(s) for s in joined["shapes"].to_pylist()]
    schema = base.build_schema(features)
    for feature in features:
        if feature.axes:
            inner_shapes = {tuple(s[feature.name][1:]) for s in shapes if feature.name in s}
            schema = base.set_inner_shape(schema, feature.name, inner_shapes)
    columns = {name: joined[name] for name in schema.names}
    for name in ("sample_id", "method"):
        columns[name] = pa.array([sample[name] for sample in samples], schema.field(name).type)
    return pa.table(columns, schema=schema)
