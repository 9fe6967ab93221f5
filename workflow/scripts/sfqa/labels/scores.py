"""Rows of mean opinion scores from label files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from scipy import stats

from sfqa.labels.files import Score
from sfqa.labels.joining import join_labels
from sfqa.tables import FAILED, OK, flaw

VERSION = 1


def read_mos(source: Mapping[str, Any], sample_ids: Iterable[str]) -> list[dict[str, Any]]:
    """Return rows for ``tables.MOS`` from the label files of the section ``import``.

    A sample has one row per dimension. A published score is taken as it is, on its own scale. With
    its standard deviation and number of ratings it gets the interval mos -+ t(.975, n - 1) sd /
    sqrt(n). A sample without a score, such as one of a hidden test part, has a failed row that says
    so. Only ``sample_ids`` get rows. Raises :class:`UserError` as
    :func:`sfqa.labels.joining.join_labels`.
    """
    wanted_ids = set(sample_ids)
    videos = [v for v in join_labels(source) if v.columns["sample_id"] in wanted_ids]
    dimensions = list(dict.fromkeys(name for video in videos for name in video.scores))
    rows = []
    for video in videos:
        for dimension in dimensions:
            row: dict[str, Any] = {
                "sample_id": video.columns["sample_id"],
                "dimension": dimension,
                "synthetic": False,
            }
            rows.append(row | _fill_row(video.scores.get(dimension)))
    return sorted(rows, key=lambda row: (row["dimension"], row["sample_id"]))


def read_ratings(source: Mapping[str, Any], sample_ids: Iterable[str]) -> list[dict[str, Any]]:
    """Return rows for ``tables.SCORES`` from label files with the ratings of single raters.

    A missing rating has no row. Only ``sample_ids`` get rows. Raises :class:`UserError` as
    :func:`sfqa.labels.joining.join_labels`.
    """
    wanted_ids = set(sample_ids)
    rows = [
        {
            "rater": rater,
            "sample_id": video.columns["sample_id"],
            "dimension": dimension,
            "score": score.mos,
            "synthetic": False,
        }
        for video in join_labels(source)
        if video.columns["sample_id"] in wanted_ids
        for (rater, dimension), score in video.ratings.items()
        if score.mos is not None
    ]
    return sorted(rows, key=lambda row: (row["dimension"], row["rater"], row["sample_id"]))


def _fill_row(score: Score | None) -> dict[str, Any]:
    """Return the columns of a row that come from its score."""
    if score is None or score.mos is None:
        reason = "no label file has it" if score is None else f"it is empty in {score.where}"
        detail = flaw("no_mos", f"the score is hidden or was not given, {reason}")
        return {"mos": None, "status": FAILED, "detail": detail}
    columns: dict[str, Any] = {"mos": score.mos, "sd": score.sd, "n": score.n}
    if score.sd is not None and score.n is not None and score.n > 1:
        half_width = float(stats.t.ppf(0.975, score.n - 1)) * score.sd / math.sqrt(score.n)
        columns |= {"ci95_low": score.mos - half_width, "ci95_high": score.mos + half_width}
    return {**columns, "status": OK, "detail": ""}
