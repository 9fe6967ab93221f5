"""A small metric's features with their MOS, shared by tests of fits."""

from __future__ import annotations

import numpy as np

from rated_samples import make_crossed_samples, make_mos
from sfqa.regression.design import Design
from sfqa.regression.train import RatedFeatures


def make_rated_features() -> RatedFeatures:
    """Return four drawn features of crossed samples, the first of which makes most of the MOS."""
    samples = make_crossed_samples(6, 3, 2)
    ids = sorted(samples["sample_id"])
    numbers = np.random.default_rng(0)
    x = numbers.normal(size=(len(ids), 4)).astype(np.float32)
    y = dict(zip(ids, 50 + 10 * x[:, 0] + numbers.normal(size=len(ids)), strict=True))
    return RatedFeatures(Design(ids, x, list("abcd"), {}), samples, make_mos(y))
