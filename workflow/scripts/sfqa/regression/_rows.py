"""Rows of tables.PREDICTIONS, built in the same way for metrics of all kinds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from sfqa import tables
from sfqa.regression.dimension_inputs import check_rated_dimensions
from sfqa.splits.protocols import ALL, TEST, Split

#: MOS of one dimension by sample.
MosBySample = dict[str, float]


def select_dimensions(metric: Mapping[str, Any], mos: pd.DataFrame) -> list[str]:
    """Return the ``dimensions`` of a metric, by default all dimensions of the MOS table.

    Raises :class:`UserError` for a dimension that the MOS table does not have, and for one without
    a column if the metric has a column for each.
    """
    rated = sorted(set(mos["dimension"]))
    check_rated_dimensions([metric], rated)
    return list(metric.get("dimensions") or rated)


def select_mos(mos: pd.DataFrame, dimension: str) -> MosBySample:
    """Return the MOS of one dimension by sample, without failed and empty rows."""
    good = mos[(mos["dimension"] == dimension) & (mos["status"] != tables.FAILED)]
    good = good[good["mos"].notna()]
    return dict(zip(good["sample_id"], good["mos"].astype(float), strict=True))


def make_row(
    metric: Mapping[str, Any],
    dimension: str,
    split: Split,
    sample: str,
    prediction: float | None,
    detail: str = "",
) -> dict[str, Any]:
    """Return one row: ok, flawed (a prediction and a detail) or failed (a detail only)."""
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


def list_test_samples(split: Split, mos_of: MosBySample) -> list[str]:
    """Return the test samples of a split, sorted; under the protocol ``all`` only rated ones."""
    tested = list_samples(split, [TEST])
    return [sample for sample in tested if sample in mos_of] if split.protocol == ALL else tested


def list_samples(split: Split, parts: Iterable[str]) -> list[str]:
    """Return the samples in the given parts of a split, sorted."""
    selected_parts = set(parts)
    return sorted(s for s, p in split.part.items() if p in selected_parts)
