"""Rows of tables.PREDICTIONS: one place that makes them, for all kinds of metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from sfqa import tables
from sfqa.errors import UserError
from sfqa.splits.protocols import Split

#: sample -> MOS of one dimension
Truth = dict[str, float]


def dimensions(metric: Mapping[str, Any], mos: pd.DataFrame) -> list[str]:
    """Return the dimensions a metric is for: those it names, else all of the MOS table.

    Raises :class:`UserError` for one that the MOS table does not have.
    """
    there = sorted(set(mos["dimension"]))
    asked = list(metric.get("dimensions") or there)
    for name in asked:
        if name not in there:
            raise UserError(
                f"config, metrics.{metric['name']}.dimensions: no dimension {name!r} was rated; "
                f"there are {', '.join(there)}"
            )
    return asked


def truth(mos: pd.DataFrame, dimension: str) -> Truth:
    """Return sample -> MOS of one dimension, rows that failed or are empty left out."""
    good = mos[(mos["dimension"] == dimension) & (mos["status"] != tables.FAILED)]
    good = good[good["mos"].notna()]
    return dict(zip(good["sample_id"], good["mos"].astype(float), strict=True))


def row(
    metric: Mapping[str, Any],
    dimension: str,
    split: Split,
    sample: str,
    prediction: float | None,
    detail: str = "",
) -> dict[str, Any]:
    """Return one row: ok, flawed (a prediction with a detail) or failed (none, with a detail)."""
    status = tables.FAILED if prediction is None else tables.FLAWED if detail else tables.OK
    return {
        "metric": metric["name"],
        "dimension": dimension,
        "protocol": split.protocol,
        "trial": split.trial,
        "sample_id": sample,
        "part": split.part[sample],
        "prediction": prediction,
        "status": status,
        "detail": detail,
    }


def of_part(split: Split, parts: Iterable[str]) -> list[str]:
    """Return the samples of some parts of a split, sorted."""
    wanted = set(parts)
    return sorted(s for s, p in split.part.items() if p in wanted)
