"""Control metrics: lower and upper bounds for the results of the other metrics.

``random`` is uniform in 0..1, seeded by the sample's name. ``constant`` is 0. (The mean of the
train MOS would rank the trials of a pooled table backwards.) ``oracle`` is the MOS itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from sfqa import identity, tables
from sfqa.regression import _rows
from sfqa.regression.control_names import check_control
from sfqa.splits.protocols import make_splits

VERSION = 1


def score_control(
    metric: Mapping[str, Any],
    samples: pd.DataFrame,
    mos: pd.DataFrame,
    protocols: Sequence[Mapping[str, Any]],
    seed: int,
) -> list[dict[str, Any]]:
    """Return rows of tables.PREDICTIONS for the test part of every trial of a control.

    ``metric['head']`` names the control: random, constant or oracle. The oracle's row of a sample
    without MOS is failed, with the reason. Raises :class:`UserError` for another head.
    """
    control = check_control(str(metric["head"]), str(metric["name"]))
    rows = []
    for protocol in protocols:
        for split in make_splits(samples, protocol, seed):
            for dimension in _rows.select_dimensions(metric, mos):
                mos_of = _rows.select_mos(mos, dimension)
                reasons = _read_failure_reasons(mos, dimension)
                for sample in _rows.list_test_samples(split, mos_of):
                    note, value = "", None
                    if control == "random":
                        value = float(
                            identity.random_generator(seed, "random control", sample).random()
                        )
                    elif control == "constant":
                        value = 0.0
                    elif sample in mos_of:
                        value = mos_of[sample]
                    else:
                        note = reasons.get(sample, "no_mos: the sample was not rated")
                    rows.append(_rows.make_row(metric, dimension, split, sample, value, note))
    return rows


def _read_failure_reasons(mos: pd.DataFrame, dimension: str) -> dict[str, str]:
    """Return the detail of each failed MOS of a dimension by sample."""
    failed = mos[(mos["dimension"] == dimension) & (mos["status"] == tables.FAILED)]
    return dict(zip(failed["sample_id"], failed["detail"], strict=True))
