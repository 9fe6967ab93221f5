"""Mean opinion scores by method, image and music labels (Fig. 4 of the SFQA paper)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from sfqa.errors import UserError

VERSION = 1
LABEL_KINDS = ("method", "image_source", "image_category", "style", "language")
COLUMNS = ("label_kind", "label", "dimension", "n", "mean", "sd", "ci95_low", "ci95_high")


def mos_by_label(mos: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """Return the mean MOS of every label of every kind, by dimension.

    ``mos`` has the columns of ``tables.MOS``; ``samples`` has ``sample_id`` and any of the columns
    ``LABEL_KINDS`` (a kind that is not there, and samples without a label of it, give no row).
    ``n`` counts samples with a MOS, ``sd`` is over samples (ddof 1), the interval is the t-interval
    of the mean with the samples taken as independent; both are empty exactly where n is 1.
    The rows are sorted by kind in the order above, label and dimension. Raises
    :class:`UserError` for a MOS whose sample is unknown.

    >>> mos = pd.DataFrame({"sample_id": ["a", "b"], "dimension": "q", "mos": [40.0, 60.0]})
    >>> samples = pd.DataFrame({"sample_id": ["a", "b"], "method": "sharp"})
    >>> mos_by_label(mos, samples)[["label", "n", "mean"]].to_dict("records")
    [{'label': 'sharp', 'n': 2, 'mean': 50.0}]
    """
    unknown = sorted(set(mos["sample_id"]) - set(samples["sample_id"]))
    if unknown:
        raise UserError(
            f"ratings: {len(unknown)} samples have a MOS but are not in the table of samples, "
            f"{unknown[0]!r} first; correct the names in the scores"
        )
    known = mos[mos["mos"].notna()].merge(samples, on="sample_id", suffixes=("", "_sample"))
    known = known.sort_values(["sample_id", "dimension"])
    rows: list[dict[str, Any]] = []
    for kind in LABEL_KINDS:
        if kind not in known:
            continue
        for (label, dimension), part in known.groupby([kind, "dimension"], sort=True):
            values = part["mos"].to_numpy(float)
            head = {"label_kind": kind, "label": label, "dimension": dimension}
            rows.append({**head, **_summary(values)})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _summary(values: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, Any]:
    n, mean = len(values), float(values.mean())
    sd = float(values.std(ddof=1)) if n > 1 else np.nan
    half = float(stats.t.ppf(0.975, n - 1)) * sd / n**0.5 if n > 1 else np.nan
    return {"n": n, "mean": mean, "sd": sd, "ci95_low": mean - half, "ci95_high": mean + half}
