"""The overview of a dataset on the first page of its site: size, ratings, licences, MOS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sfqa import store, tables
from sfqa.untrusted.documents import parse_json

#: Reads all rows of a table of the dataset.
ReadFrame = Callable[[tables.Table], pd.DataFrame]
_NOT_STATED = "not stated"


def describe_dataset(
    folder: Path, samples: pd.DataFrame, read_frame: ReadFrame, dimensions: Sequence[str]
) -> dict[str, Any]:
    """Return the numbers of a dataset as JSON values.

    ``seconds`` is the total length of the conformed videos and ``measured`` their number; without
    raw scores ``raters`` is None and ``ratings`` is the sum of the ratings behind the MOS.
    """
    conformed = read_frame(tables.CONFORMED)
    lengths = pd.to_numeric(conformed["duration_sec"]).dropna()
    scores, mos = read_frame(tables.SCORES), read_frame(tables.MOS)
    counts = pd.to_numeric(mos["n"]).dropna()
    return {
        "seconds": round(float(lengths.sum()), 1) if len(lengths) else None,
        "measured": len(lengths),
        "methods": int(samples["method"].nunique()),
        "images": _count_values(samples, "image_id"),
        "clips": _count_values(samples, "clip_id"),
        "raters": int(scores["rater"].nunique()) if len(scores) else None,
        "ratings": len(scores) if len(scores) else (int(counts.sum()) if len(counts) else None),
        "mos": {dimension: count_mos(_select_mos(mos, dimension)) for dimension in dimensions},
        "licences": _count_licences(folder, samples),
    }


def count_mos(values: Sequence[float]) -> dict[str, Any]:
    """Return a histogram of MOS: the bins' edges, the number of videos in each, and the mean.

    The bins cover the scale from 1 to 5 or from 0 to 100 if all values lie on it, otherwise the
    range of the values. A value on an edge counts in the bin that starts there.

    >>> count_mos([1.0, 1.2, 5.0])["counts"]
    [2, 0, 0, 0, 0, 0, 0, 1]
    >>> count_mos([20.0, 31.0])["edges"][:3]
    [0.0, 10.0, 20.0]
    """
    numbers = np.asarray(values, float)
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return {"edges": [], "counts": [], "mean": None}
    low, high = float(numbers.min()), float(numbers.max())
    if low >= 1 and high <= 5:
        bins, limits = 8, (1.0, 5.0)
    elif low >= 0 and high <= 100:
        bins, limits = 10, (0.0, 100.0)
    else:
        bins, limits = 10, (low, high if high > low else low + 1)
    counts, edges = np.histogram(numbers, bins, limits)
    return {
        "edges": [float(edge) for edge in np.round(edges, 6)],
        "counts": [int(count) for count in counts],
        "mean": round(float(numbers.mean()), 6),
    }


def _select_mos(mos: pd.DataFrame, dimension: str) -> list[float]:
    return [float(v) for v in mos.loc[mos["dimension"] == dimension, "mos"].dropna()]


def _count_values(samples: pd.DataFrame, column: str) -> int:
    return int(samples[column].nunique()) if column in samples else 0


def _count_licences(folder: Path, samples: pd.DataFrame) -> list[list[Any]]:
    """Return rows of kind, licence and number: of images and clips, or of imported videos."""
    counts: Counter[tuple[str, str]] = Counter()
    for material, table in (("images", tables.IMAGES), ("clips", tables.CLIPS)):
        path = folder / str(table.path)
        if path.is_file():
            licences = store.read(table, path).get("licence", pd.Series(dtype=object))
            counts.update((material, str(text) or _NOT_STATED) for text in licences.fillna(""))
    if not counts:
        counts.update(("videos", _read_licence(text)) for text in samples.get("keys", []))
        if set(counts) == {("videos", _NOT_STATED)}:
            counts.clear()
    return [[item, licence, number] for (item, licence), number in sorted(counts.items())]


def _read_licence(keys: Any) -> str:
    """Return the licence among a sample's further keys, which are JSON or a mapping."""
    try:
        entries = parse_json(keys) if isinstance(keys, str) else dict(keys)
    except (ValueError, TypeError):
        return _NOT_STATED
    return str(entries.get("licence") or _NOT_STATED) if isinstance(entries, dict) else _NOT_STATED
