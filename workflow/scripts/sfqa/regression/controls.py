"""Controls that bracket every table: what knows nothing, and what knows the answer.

``random`` is uniform in 0..1, seeded by the sample's name; ``constant`` is 0 (the mean of the train
MOS would rank the trials of a pooled table backwards); ``oracle`` is the MOS itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from sfqa import identity, tables
from sfqa.regression import _rows
from sfqa.regression.control_names import known
from sfqa.splits.protocols import TEST, make_splits

VERSION = 1


def control_metric(
    metric: Mapping[str, Any],
    samples: pd.DataFrame,
    mos: pd.DataFrame,
    protocols: Sequence[Mapping[str, Any]],
    seed: int,
) -> list[dict[str, Any]]:
    """Return rows of tables.PREDICTIONS for the test part of every trial of a control.

    ``metric['head']`` is which control: random, constant or oracle. The oracle fails where there
    is no MOS, with the reason. Raises :class:`UserError` for another head.
    """
    control = known(str(metric["head"]), str(metric["name"]))
    rows = []
    for protocol in protocols:
        for split in make_splits(samples, protocol, seed):
            for dimension in _rows.dimensions(metric, mos):
                truth, reasons = _rows.truth(mos, dimension), _reasons(mos, dimension)
                for sample in _rows.of_part(split, [TEST]):
                    note, value = "", None
                    if control == "random":
                        value = float(identity.generator(seed, "random control", sample).random())
                    elif control == "constant":
                        value = 0.0
                    elif sample in truth:
                        value = truth[sample]
                    else:
                        note = reasons.get(sample, "no_mos: the sample was not rated")
                    rows.append(_rows.row(metric, dimension, split, sample, value, note))
    return rows


def _reasons(mos: pd.DataFrame, dimension: str) -> dict[str, str]:
    bad = mos[(mos["dimension"] == dimension) & (mos["status"] == tables.FAILED)]
    return dict(zip(bad["sample_id"], bad["detail"], strict=True))
