"""The feature columns of an imported table, told from its head, so that planning stays cheap."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_LOOKED_AT = 100


def feature_columns(source: Mapping[str, Any]) -> list[str]:
    """Return the feature columns that ``import`` of the configuration names or stands for.

    ``features: all`` stands for the columns that are neither id, role nor MOS and hold a number in
    one of the first 100 rows (CSV) or are of a number type (Parquet).

    >>> import tempfile; path = Path(tempfile.mkdtemp()) / "t.csv"
    >>> _ = path.write_text("name,niqe,note,score\\na,1.5,x,3\\n")
    >>> feature_columns({"table": path, "id": "name", "mos": {"quality": "score"}})
    ['niqe']
    """
    wanted = source.get("features", "all")
    if wanted != "all":
        return list(wanted)
    used = {
        source["id"],
        *(source.get("mos") or {}).values(),
        *(source.get("columns") or {}).values(),
    }
    path = Path(source["table"])
    if path.suffix == ".parquet":
        found = [
            f.name
            for f in pq.read_schema(path)
            if pa.types.is_integer(f.type) or pa.types.is_floating(f.type)
        ]
    else:
        with open(path, newline="", encoding="utf-8-sig") as handle:
            reader = csv.reader(handle)
            header = next(reader, [])
            rows = list(islice(reader, _LOOKED_AT))
        found = [
            name
            for place, name in enumerate(header)
            if any(_is_number(row[place]) for row in rows if place < len(row))
        ]
    return [name for name in found if name not in used]


def _is_number(cell: str) -> bool:
    try:
        return abs(float(cell)) != float("inf") and float(cell) == float(cell)
    except ValueError:
        return False
