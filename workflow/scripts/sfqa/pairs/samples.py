"""Build the table of samples, which has the same columns in every mode."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa.identity import sample_id, shard_of
from sfqa.user_tables import read_table

if TYPE_CHECKING:
    import pandas as pd

_LABELS = ("image_source", "image_category", "style", "language", "split")


def build_samples(
    pairs: pd.DataFrame,
    images: pd.DataFrame,
    clips: pd.DataFrame,
    methods: Iterable[str],
    shards: int,
    prompts: Mapping[tuple[str, str], str] | None = None,
) -> list[dict[str, Any]]:
    """Return the rows of the samples table: every pair animated by every method.

    ``pairs``, ``images`` and ``clips`` are the tables of those names; ``prompts`` are those of
    :func:`read_prompts`.
    """
    prompts = prompts or {}
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
                    "prompt": prompts.get((pair["image_id"], pair["clip_id"])),
                }
            )  # fmt: skip
    return rows


def read_prompts(path: Path | str) -> dict[tuple[str, str], str]:
    """Return the prompts of an earlier table of pairs, by image and clip; empty cells are left out.

    The columns are image_id, clip_id and prompt. A table without prompts has none, nor has a
    missing file.
    """
    if not Path(path).is_file():
        return {}
    columns = read_table(path, "pairs", allow_short_rows=True).columns
    names = ("image_id", "clip_id", "prompt")
    cells = zip(*(columns.get(name, ()) for name in names), strict=False)
    return {(str(image), str(clip)): str(prompt) for image, clip, prompt in cells if prompt}
