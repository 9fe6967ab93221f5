"""Who rated how: bias, noise, agreement, self-consistency, checks, habits, and what is odd."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from sfqa.errors import UserError, hint
from sfqa.ratings.mos import matrix_of
from sfqa.ratings.screening import Matrix, row_statistics
from sfqa.ratings.subjective_models import remove_bias
from sfqa.tables import FLAWED, OK, RATER_REPORT, flaw

VERSION = 1
COLUMNS = tuple(RATER_REPORT.names)

#: What makes a row flawed, with where the number comes from.
LIMITS: dict[str, float] = {
    "agreement": 0.5,  # least SRCC with the mean of the others
    "repeat_difference": 0.25,  # most mean difference of repeats, as a share of the scale
    "gold_passed": 0.8,  # least share of gold answers within their tolerance
    "traps_passed": 0.8,  # least share of trap answers
    "run": 15,  # most equal scores in a row
    "session_variance": 0.15,  # microsoft/P.910: least variance in a session, scale of 1 to 5
    "over": 1.15,  # microsoft/P.910: most play time over video length
    "under": 0.95,  # least play time over video length
    "timed_out": 0.1,  # most share of videos played too long or too short
}

Row = dict[str, Any]


def rater_report(
    scores: pd.DataFrame,
    raters: pd.DataFrame | None = None,
    details: pd.DataFrame | None = None,
    answers: pd.DataFrame | None = None,
    scale: tuple[float, float] = (1.0, 5.0),
    limits: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Return one row per dimension and rater, with the columns ``COLUMNS``.

    ``scores`` has the columns of ``tables.SCORES``; ``raters`` those of ``tables.RATERS`` (who was
    left out of the MOS, and why). ``details`` is what the rating screen kept of every answer:
    rater, session, position, role, sample_id, dimension, score, and where measured video_sec,
    play_sec, answer_sec. ``answers`` holds what gold and trap clips should get: sample_id,
    dimension, expected, tolerance. ``limits`` replaces some of :data:`LIMITS`.

    ``bias``: mean distance from the mean opinion (P.913, 12.4); ``inconsistency``: population sd
    of what is left of that distance (P.910 Annex E, first step); ``agreement_srcc``: with the mean
    of the others, over samples that others rated. ``repeat_difference``: mean absolute difference
    of the scores of the same video. ``longest_run``: most equal scores in a row, in the order of
    showing; ``entropy_bits`` of the distribution of scores; ``least_session_variance``: the least
    variance (ddof 1) of the scores of a session with 10 or more. ``over_played``,
    ``under_played``: shares of videos whose play time is over 115 % or under 95 % of their length;
    ``video_seconds``: median of play and answer time together.

    What cannot be known is empty: without ``details`` all but the scores' own columns. A row is
    flawed where the rater was rejected or a limit is broken; ``detail`` says which. Only
    ``rejected`` raters are left out of the MOS; the rest is for people to judge.

    >>> rows = [(r, s, "q", float(v + (r == "c")), False)
    ...         for r in "abc" for v, s in enumerate("xyz")]
    >>> names = ["rater", "sample_id", "dimension", "score", "synthetic"]
    >>> rater_report(pd.DataFrame(rows, columns=names))[["bias", "agreement_srcc"]].round(2).values
    array([[-0.33,  1.  ],
           [-0.33,  1.  ],
           [ 0.67,  1.  ]])
    """
    limit = {**LIMITS, **(limits or {})}
    for name in limit:
        if name not in LIMITS:
            raise UserError(f"rater report: no limit {name!r}; {hint(name, LIMITS)}")
    rows: list[Row] = []
    for dimension, part in scores.groupby("dimension", sort=True):
        raw = matrix_of(part)
        matrix = raw.to_numpy(float)
        bias, spread = _bias(matrix)
        agreement = _agreement(matrix)
        for k, name in enumerate(raw.columns):
            row: Row = dict.fromkeys(COLUMNS)
            row |= {"dimension": str(dimension), "rater": str(name), "rejected": False}
            row |= {"n": int(np.sum(~np.isnan(matrix[:, k]))), "bias": _known(bias[k])}
            row |= {"inconsistency": _known(spread[k]), "agreement_srcc": _known(agreement[k])}
            row["entropy_bits"] = _entropy(matrix[:, k])
            rows.append(row)
    found = {(row["dimension"], row["rater"]): row for row in rows}
    if details is not None:
        _add_details(found, details, answers, limit)
    why = _reasons(raters, found)
    width = abs(scale[1] - scale[0])
    for key, row in found.items():
        parts = why.get(key, []) + _oddities(row, limit, width)
        row["status"], row["detail"] = (FLAWED, "; ".join(parts)) if parts else (OK, "")
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _bias(matrix: Matrix) -> tuple[Matrix, Matrix]:
    """Bias and inconsistency per rater; NaN for a rater without ratings."""
    found = remove_bias(matrix)
    mos = row_statistics(matrix)[1]
    left = np.ascontiguousarray((found.ratings - mos[:, None]).T)
    n, _, sd = row_statistics(left)
    spread = np.where(n > 1, sd * np.sqrt((n - 1) / np.maximum(n, 1)), np.nan)
    return found.bias, spread


def _agreement(matrix: Matrix) -> npt.NDArray[np.float64]:
    """SRCC of each rater with the mean of the others; NaN where it is not defined."""
    known, filled = ~np.isnan(matrix), np.nan_to_num(matrix)
    number, total = known.sum(axis=1), filled.sum(axis=1)
    found = np.full(matrix.shape[1], np.nan)
    for k in range(matrix.shape[1]):
        own = known[:, k] & (number > 1)
        others = np.round((total[own] - filled[own, k]) / (number[own] - 1), 9)  # ties stay ties
        if own.sum() > 2 and np.ptp(others) > 0 and np.ptp(filled[own, k]) > 0:
            found[k] = stats.spearmanr(filled[own, k], others).statistic
    return found


def _entropy(column: Matrix) -> float | None:
    values = column[~np.isnan(column)]
    if not len(values):
        return None
    share = np.unique(values, return_counts=True)[1] / len(values)
    return abs(float(-(share * np.log2(share)).sum()))


def _add_details(
    found: Mapping[tuple[str, str], Row],
    details: pd.DataFrame,
    answers: pd.DataFrame | None,
    limit: Mapping[str, float],
) -> None:
    for column in ("rater", "session", "position", "role", "sample_id", "dimension", "score"):
        if column not in details:
            raise UserError(
                f"rater report: the details have no column {column!r}; export them again"
            )
    ordered = details.sort_values(["rater", "dimension", "session", "position"])
    for (dimension, name), own in ordered.groupby(["dimension", "rater"], sort=True):
        row = found.get((str(dimension), str(name)))
        if row is None:
            continue
        rated = own[own["role"].isin(["test", "repeat"])]
        values = rated["score"].to_numpy(float)
        row["longest_run"] = _run(values)
        by_session = rated.groupby("session")["score"].agg(["size", "var"])
        long = by_session.loc[by_session["size"] >= 10, "var"]
        row["least_session_variance"] = float(long.min()) if len(long) else None
        _add_repeats(row, own)
        _add_checks(row, own, answers)
        _add_times(row, own[own["role"] != "training"], limit)


def _run(values: Matrix) -> int:
    if not len(values):
        return 0
    edges = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1], [True]]))
    return int(np.diff(edges).max())


def _add_repeats(row: Row, own: pd.DataFrame) -> None:
    first = own[own["role"] == "test"].drop_duplicates("sample_id").set_index("sample_id")["score"]
    again = own[own["role"] == "repeat"]
    step = (again["score"].to_numpy(float) - again["sample_id"].map(first).to_numpy(float)).tolist()
    known = [abs(s) for s in step if s == s]
    row["repeats"] = len(known)
    row["repeat_difference"] = float(np.mean(known)) if known else None


def _add_checks(row: Row, own: pd.DataFrame, answers: pd.DataFrame | None) -> None:
    """Answers to gold and trap clips, those with a known answer."""
    for role, name in (("gold", "gold"), ("trap", "traps")):
        shown = own[own["role"] == role]
        if answers is None:
            row[name] = None
            continue
        right = answers[answers["dimension"] == row["dimension"]].set_index("sample_id")
        known = shown[shown["sample_id"].isin(right.index)]
        expected, tolerance = (
            known["sample_id"].map(right[c]).to_numpy(float) for c in ("expected", "tolerance")
        )
        passed = np.abs(known["score"].to_numpy(float) - expected) <= tolerance + 1e-9
        row[name] = len(known)
        row[f"{name}_passed"] = int(passed.sum()) if len(known) else None


def _add_times(row: Row, own: pd.DataFrame, limit: Mapping[str, float]) -> None:
    if not {"play_sec", "video_sec"} <= set(own.columns):
        return
    timed = own[own["play_sec"].notna() & (own["video_sec"] > 0)]
    row["videos_timed"] = len(timed)
    if len(timed):
        ratio = (timed["play_sec"] / timed["video_sec"]).to_numpy(float)
        row["over_played"] = float((ratio > limit["over"]).mean())
        row["under_played"] = float((ratio < limit["under"]).mean())
        if "answer_sec" in timed:
            whole = (timed["play_sec"] + timed["answer_sec"]).to_numpy(float)
            row["video_seconds"] = _known(float(np.nanmedian(whole))) if len(whole) else None


def _reasons(
    raters: pd.DataFrame | None, found: Mapping[tuple[str, str], Row]
) -> dict[tuple[str, str], list[str]]:
    why: dict[tuple[str, str], list[str]] = {}
    if raters is None:
        return why
    for one in raters.to_dict("records"):
        key = (str(one["dimension"]), str(one["rater"]))
        if key in found:
            found[key]["rejected"] = bool(one["rejected"])
            why[key] = [one["detail"]] if one["detail"] else []
    return why


def _oddities(row: Row, limit: Mapping[str, float], width: float) -> list[str]:
    parts = []

    def odd(broken: bool, word: str, sentence: str) -> None:
        if broken:
            parts.append(flaw(word, sentence))

    agreement, step = row["agreement_srcc"], row["repeat_difference"]
    odd(
        agreement is not None and agreement < limit["agreement"],
        "disagrees", f"SRCC with the mean of the others is {_2(agreement)}",
    )  # fmt: skip
    odd(
        step is not None and step > limit["repeat_difference"] * width,
        "not_repeatable", f"the same video is rated {_2(step)} apart on average",
    )  # fmt: skip
    for name in ("gold", "traps"):
        passed, shown = row[f"{name}_passed"], row[name]
        odd(
            bool(shown) and passed < limit[f"{name}_passed"] * shown,
            f"{name}_failed", f"{passed} of {shown} answers are as expected",
        )  # fmt: skip
    run, variance = row["longest_run"], row["least_session_variance"]
    odd(
        run is not None and run > limit["run"],
        "straight_line", f"{run} equal scores in a row",
    )  # fmt: skip
    odd(
        variance is not None and variance < limit["session_variance"] * (width / 4) ** 2,
        "flat_session", f"a session's scores have the variance {_2(variance)}",
    )  # fmt: skip
    for name, word, side in (
        ("over_played", "slow_player", "over"),
        ("under_played", "not_watched", "under"),
    ):
        share, bound = row[name], limit[side]
        odd(
            share is not None and share > limit["timed_out"],
            word,
            f"{100 * (share or 0):.0f} % of the videos played {side} {100 * bound:.0f} % of "
            "their length",
        )  # fmt: skip
    return parts


def _2(value: float | None) -> str:
    return f"{value or 0:.2f}"
