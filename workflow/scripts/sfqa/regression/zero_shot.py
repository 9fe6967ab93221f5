"""Scores of a metric without training: the unchanged values of one scalar feature column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from sfqa.regression import _rows
from sfqa.regression.design import Design, read_scalar_input
from sfqa.splits.protocols import make_splits

VERSION = 1


def score_metric(
    metric: Mapping[str, Any],
    design: Design,
    samples: pd.DataFrame,
    mos: pd.DataFrame,
    protocols: Sequence[Mapping[str, Any]],
    seed: int,
) -> list[dict[str, Any]]:
    """Return rows of tables.PREDICTIONS for the test part of every trial.

    Under the protocol ``all`` (:data:`sfqa.splits.protocols.ALL_SAMPLES`) these are the rated
    samples.
    ``metric`` has ``name``, ``inputs`` (the scalar column that ``design`` was loaded for) and
    optionally ``dimensions``. The prediction is the unchanged value of the column; the correlation
    with the MOS takes ``direction`` into account. Raises :class:`UserError` if the inputs are not
    exactly one scalar.
    """
    values = read_scalar_input(list(metric["inputs"]), design, str(metric["name"]))
    score = dict(zip(design.sample_ids, values, strict=True))
    missing = "no_features: the sample has no feature row"
    rows = []
    for protocol in protocols:
        for split in make_splits(samples, protocol, seed):
            for dimension in _rows.select_dimensions(metric, mos):
                mos_of = _rows.select_mos(mos, dimension)
                for sample in _rows.list_test_samples(split, mos_of):
                    value = float(score[sample]) if sample in score else None
                    notes = design.dropped if value is None else design.flawed
                    note = notes.get(sample, missing if value is None else "")
                    rows.append(_rows.make_row(metric, dimension, split, sample, value, note))
    return rows
