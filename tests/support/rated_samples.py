"""Samples of images x clips x methods, their MOS, and the parts that a split puts them in."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pandas as pd

from sfqa.splits.protocols import Split


def make_crossed_samples(
    images: int, clips: int, methods: int = 2, digits: int = 1
) -> pd.DataFrame:
    """Every image with every clip by every method, without prompts or a split of their own.

    ``digits``: of the images' numbers, so that their names sort as the numbers do.
    """
    cells = itertools.product(range(images), range(clips), range(methods))
    return pd.DataFrame(
        [
            {"sample_id": f"i{i:0{digits}}__c{c}__m{m}", "image_id": f"i{i:0{digits}}", "clip_id": f"c{c}",
             "method": f"m{m}", "prompt": None, "split": None}
            for i, c, m in cells
        ]
    )  # fmt: skip


def make_mos(quality: Mapping[str, float]) -> pd.DataFrame:
    """The quality of each sample as MOS of the dimension visual, its negative as that of sync."""
    return pd.DataFrame(
        [
            {"sample_id": sample, "dimension": dimension, "mos": sign * value,
             "synthetic": dimension == "sync", "status": "ok", "detail": ""}
            for sample, value in quality.items()
            for dimension, sign in (("sync", -1.0), ("visual", 1.0))
        ]
    )  # fmt: skip


def select_parts(samples: pd.DataFrame, split: Split, *parts: str) -> pd.DataFrame:
    """The samples that a split puts in these parts."""
    return samples[samples["sample_id"].map(split.part).isin(parts)]


def group_trials(**changes: object) -> dict[str, object]:
    """A protocol of random trials over groups."""
    return {"name": "t", "kind": "group_trials"} | changes
