"""Build the table of samples, which has the same columns in every mode."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from sfqa.identity import sample_id, shard_of

_LABELS = ("image_source", "image_category", "style", "language", "split")


def build_samples(
    pairs: pd.DataFrame,
    images: pd.DataFrame,
    clips: pd.DataFrame,
    methods: Iterable[str],
    shards: int,
) -> list[dict[str, Any]]:
    """Return the rows of the samples table: every pair animated by every method.

    ``pairs``, ``images`` and ``clips`` are the tables of those names.
    """
    image_of = images.set_index("image_id")[["path", "sha256"]].to_dict("index")
    clip_of = clips.set_index("clip_id")[["path", "sha256"]].to_dict("index")
    rows = []
    for pair in pairs.to_dict("records"):
        image, clip = image_of[pair["image_id"]], clip_of[pair["clip_id"]]
        for method in methods:
            name = sample_id(pair["pair_id"], method)
            rows.append(
                {
                    "sample_id": name, "method": method, "pair_id": pair["pair_id"],
                    "image_id": pair["image_id"], "clip_id": pair["clip_id"],
                    **{label: pair[label] for label in _LABELS},
                    "shard": shard_of(name, shards),
                    "image_path": image["path"], "image_sha256": image["sha256"],
                    "clip_path": clip["path"], "clip_sha256": clip["sha256"],
                }
            )  # fmt: skip
    return rows
