"""Read the feature columns of an imported table from its first rows, which is fast."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_SAMPLED_ROWS = 100


def feature_columns(source: Mapping[str, Any]) -> list[str]:
    """Return the feature columns of ``import`` in the configuration.

    ``features: all`` means every column that is not an id, role or MOS and contains a number in one
    of the first 100 rows (CSV) or has a numeric type (Parquet).

    >>> import tempfile; path = Path(tempfile.mkdtemp()) / "t.csv"
    >>> _ = path.write_text("name,niqe,note,score\\na,1.5,x,3\\n")
    >>> feature_columns({"table": path, "id": "name", "mos": {"quality": "score"}})
    ['niqe']
    """
    features = source.get("features", "all")
    if features != "all":
        return list(features)
    used = {
        source["id"],
        *(source.get("mos") or {}).values(),
        *(source.get("columns") or {}).values(),
    }
    path = Path(source["table"])
    if path.suffix == ".parquet":
        numeric_columns = [
            f.name
            for f in pq.read_schema(path)
            if pa.types.is_integer(f.type) or pa.types.is_floating(f.type)
        ]
    else:
        with open(path, newline="", encoding="utf-8-sig") as handle:
            reader = csv.reader(handle)
            header = next(reader, [])
            rows = list(islice(reader, _SAMPLED_ROWS))
        numeric_columns = [
            name
            for column_index, name in enumerate(header)
            if any(_is_number(row[column_index]) for row in rows if column_index < len(row))
        ]
    return [name for name in numeric_columns if name not in used]


def _is_number(cell: str) -> bool:
    try:
        return abs(float(cell)) != float("inf") and float(cell) == float(cell)
    except ValueError:
        return False
