"""Report on each rater: bias, noise, agreement, consistency, control answers and timing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sfqa.arrays import Floats
from sfqa.errors import UserError, hint
from sfqa.ratings.mos import pivot_scores
from sfqa.ratings.screening import row_statistics
from sfqa.ratings.subjective_models import remove_bias
from sfqa.statistics.functions import correlate_ranks
from sfqa.tables import FLAWED, OK, RATER_REPORT, flaw
from sfqa.user_tables import read_table

VERSION = 1
COLUMNS = tuple(RATER_REPORT.names)

#: Limits that make a row flawed, some from the toolkit microsoft/P.910.
LIMITS: dict[str, float] = {
    "agreement": 0.5,  # minimum SRCC with the mean of the others
    "repeat_difference": 0.25,  # maximum mean difference of repeats, as a share of the scale
    "gold_passed": 0.8,  # minimum share of gold answers within their tolerance
    "traps_passed": 0.8,  # minimum share of correct trap answers
    "run": 15,  # maximum number of equal scores in a row
    "session_variance": 0.15,  # microsoft/P.910: minimum variance in a session, scale of 1 to 5
    "over": 1.15,  # microsoft/P.910: maximum of play time / video length
    "under": 0.95,  # minimum of play time / video length
    "timed_out": 0.1,  # maximum share of videos played too long or too short
}

TableRow = dict[str, Any]
_ANSWER_COLUMNS = ("sample_id", "dimension", "expected", "tolerance")


def read_answers(path: Path | str) -> pd.DataFrame:
    """Return a table of expected answers of gold and trap clips, for :func:`report_raters`.

    Raises :class:`UserError` for a missing column, an empty cell and an answer that occurs twice.
    """
    table = read_table(path, "answers")
    for name in _ANSWER_COLUMNS:
        if name not in table.columns:
            raise UserError(f"{path}: no column {name!r}; add it")
    frame = table.to_frame(("expected", "tolerance"))
    for name in _ANSWER_COLUMNS:
        empty = frame.index[frame[name].isna()]
        if len(empty):
            raise UserError(f"{path}, row {empty[0]}, column {name}: empty; fill it")
    repeated = frame.index[frame.duplicated(["sample_id", "dimension"])]
    if len(repeated):
        sample = frame["sample_id"][repeated[0]]
        raise UserError(
            f"{path}, row {repeated[0]}, column sample_id: {sample!r} has two answers for one "
            "dimension; keep one"
        )
    return frame.reset_index(drop=True)


def report_raters(
    scores: pd.DataFrame,
    raters: pd.DataFrame | None = None,
    details: pd.DataFrame | None = None,
    answers: pd.DataFrame | None = None,
    scale: tuple[float, float] = (1.0, 5.0),
    limits: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Return one row per dimension and rater, with the columns ``COLUMNS``.

    ``scores`` has the columns of ``tables.SCORES``; ``raters`` those of ``tables.RATERS`` (who was
    excluded from the MOS, and why). ``details``: the rating screen's record of every answer, with
    rater, session, position, role, sample_id, dimension, score, and optionally video_sec, play_sec
    and answer_sec. ``answers``: the expected answers of gold and trap clips, with sample_id,
    dimension, expected, tolerance. ``limits`` overrides some of :data:`LIMITS`.

    ``bias``: mean difference from the MOS (P.913, 12.4). ``inconsistency``: population sd of the
    remaining difference (P.910 Annex E, first step). ``agreement_srcc``: SRCC with the mean of the
    others, over samples that others rated. ``repeat_difference``: mean absolute difference of the
    scores of the same video. ``longest_run``: largest number of equal scores in a row, in
    presentation order. ``entropy_bits``: entropy of the distribution of scores.
    ``least_session_variance``: smallest variance (ddof 1) of the scores of a session with at least
    10. ``over_played``, ``under_played``: shares of videos whose play time is over 115 % or under
    95 % of their length. ``video_seconds``: median of play time plus answer time.

    Unknown values are empty: without ``details``, everything that is not computed from the scores.
    A row is flawed if the rater was rejected or a limit is exceeded; ``detail`` has the reasons.
    Only ``rejected`` raters are excluded from the MOS; the other remarks are for human judgement.

    >>> rows = [(r, s, "q", float(v + (r == "c")), False)
    ...         for r in "abc" for v, s in enumerate("xyz")]
    >>> names = ["rater", "sample_id", "dimension", "score", "synthetic"]
    >>> report_raters(pd.DataFrame(rows, columns=names))[["bias", "agreement_srcc"]].round(2).values
    array([[-0.33,  1.  ],
           [-0.33,  1.  ],
           [ 0.67,  1.  ]])
    """
    limits = {**LIMITS, **(limits or {})}
    for name in limits:
        if name not in LIMITS:
            raise UserError(f"rater report: no limit {name!r}; {hint(name, LIMITS)}")
    rows: list[TableRow] = []
    for dimension, part in scores.groupby("dimension", sort=True):
        raw = pivot_scores(part)
        matrix = raw.to_numpy(float)
        bias, inconsistency = _compute_bias(matrix)
        agreement = _compute_agreement(matrix)
        for k, name in enumerate(raw.columns):
            row: TableRow = dict.fromkeys(COLUMNS)
            row |= {"dimension": str(dimension), "rater": str(name), "rejected": False}
            row |= {"n": int(np.sum(~np.isnan(matrix[:, k]))), "bias": _to_number(bias[k])}
            row |= {"inconsistency": _to_number(inconsistency[k])}
            row |= {"agreement_srcc": _to_number(agreement[k])}
            row["entropy_bits"] = _compute_entropy(matrix[:, k])
            rows.append(row)
    row_by_key = {(row["dimension"], row["rater"]): row for row in rows}
    if details is not None:
        _add_details(row_by_key, details, answers, limits)
    rejections = _add_rejections(raters, row_by_key)
    width = abs(scale[1] - scale[0])
    for key, row in row_by_key.items():
        reasons = rejections.get(key, []) + _check_limits(row, limits, width)
        row["status"], row["detail"] = (FLAWED, "; ".join(reasons)) if reasons else (OK, "")
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _to_number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _compute_bias(matrix: Floats) -> tuple[Floats, Floats]:
    """Return bias and inconsistency per rater; NaN for a rater without ratings."""
    unbiased = remove_bias(matrix)
    mos = row_statistics(matrix)[1]
    residuals = np.ascontiguousarray((unbiased.ratings - mos[:, None]).T)
    n, _, sd = row_statistics(residuals)
    inconsistency = np.where(n > 1, sd * np.sqrt((n - 1) / np.maximum(n, 1)), np.nan)
    return unbiased.bias, inconsistency


def _compute_agreement(matrix: Floats) -> npt.NDArray[np.float64]:
    """Return the SRCC of each rater with the mean of the others; NaN if it is undefined."""
    rated, filled = ~np.isnan(matrix), np.nan_to_num(matrix)
    count, total = rated.sum(axis=1), filled.sum(axis=1)
    agreement = np.full(matrix.shape[1], np.nan)
    for k in range(matrix.shape[1]):
        shared = rated[:, k] & (count > 1)
        scores = filled[shared, k]
        # Rounded, so that equal means remain ties.
        others = np.round((total[shared] - scores) / (count[shared] - 1), 9)
        if shared.sum() > 2 and np.ptp(others) > 0 and np.ptp(scores) > 0:
            agreement[k] = correlate_ranks(scores, others)
    return agreement


def _compute_entropy(column: Floats) -> float | None:
    values = column[~np.isnan(column)]
    if not len(values):
        return None
    share = np.unique(values, return_counts=True)[1] / len(values)
    return abs(float(-(share * np.log2(share)).sum()))


def _add_details(
    row_by_key: Mapping[tuple[str, str], TableRow],
    details: pd.DataFrame,
    answers: pd.DataFrame | None,
    limits: Mapping[str, float],
) -> None:
    for column in ("rater", "session", "position", "role", "sample_id", "dimension", "score"):
        if column not in details:
            raise UserError(
                f"rater report: the details have no column {column!r}; export them again"
            )
    ordered = details.sort_values(["rater", "dimension", "session", "position"])
    for (dimension, name), answered in ordered.groupby(["dimension", "rater"], sort=True):
        row = row_by_key.get((str(dimension), str(name)))
        if row is None:
            continue
        rated = answered[answered["role"].isin(["test", "repeat"])]
        values = rated["score"].to_numpy(float)
        row["longest_run"] = _find_longest_run(values)
        by_session = rated.groupby("session")["score"].agg(["size", "var"])
        long = by_session.loc[by_session["size"] >= 10, "var"]
        row["least_session_variance"] = float(long.min()) if len(long) else None
        _add_repeats(row, answered)
        _add_checks(row, answered, answers)
        _add_times(row, answered[answered["role"] != "training"], limits)


def _find_longest_run(values: Floats) -> int:
    """Return the length of the longest run of equal values (n,); 0 if empty."""
    if not len(values):
        return 0
    edges = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1], [True]]))
    return int(np.diff(edges).max())


def _add_repeats(row: TableRow, answered: pd.DataFrame) -> None:
    """Add the number of repeated videos and the mean difference of their two scores."""
    tests = answered[answered["role"] == "test"].drop_duplicates("sample_id")
    first_scores = tests.set_index("sample_id")["score"]
    repeats = answered[answered["role"] == "repeat"]
    first = repeats["sample_id"].map(first_scores).to_numpy(float)
    steps = (repeats["score"].to_numpy(float) - first).tolist()
    differences = [abs(step) for step in steps if step == step]
    row["repeats"] = len(differences)
    row["repeat_difference"] = float(np.mean(differences)) if differences else None


def _add_checks(row: TableRow, answered: pd.DataFrame, answers: pd.DataFrame | None) -> None:
    """Add the number of gold and trap clips with an expected answer, and of correct answers."""
    for role, name in (("gold", "gold"), ("trap", "traps")):
        clips = answered[answered["role"] == role]
        if answers is None:
            row[name] = None
            continue
        expected = answers[answers["dimension"] == row["dimension"]].set_index("sample_id")
        clips = clips[clips["sample_id"].isin(expected.index)]
        value, tolerance = (
            clips["sample_id"].map(expected[c]).to_numpy(float) for c in ("expected", "tolerance")
        )
        passed = np.abs(clips["score"].to_numpy(float) - value) <= tolerance + 1e-9
        row[name] = len(clips)
        row[f"{name}_passed"] = int(passed.sum()) if len(clips) else None


def _add_times(row: TableRow, answered: pd.DataFrame, limits: Mapping[str, float]) -> None:
    if not {"play_sec", "video_sec"} <= set(answered.columns):
        return
    timed = answered[answered["play_sec"].notna() & (answered["video_sec"] > 0)]
    row["videos_timed"] = len(timed)
    if len(timed):
        ratio = (timed["play_sec"] / timed["video_sec"]).to_numpy(float)
        row["over_played"] = float((ratio > limits["over"]).mean())
        row["under_played"] = float((ratio < limits["under"]).mean())
        if "answer_sec" in timed:
            seconds = (timed["play_sec"] + timed["answer_sec"]).to_numpy(float)
            row["video_seconds"] = _to_number(float(np.nanmedian(seconds)))


def _add_rejections(
    raters: pd.DataFrame | None, row_by_key: Mapping[tuple[str, str], TableRow]
) -> dict[tuple[str, str], list[str]]:
    """Mark the rejected raters and return the reasons from the table of raters."""
    reasons: dict[tuple[str, str], list[str]] = {}
    if raters is None:
        return reasons
    for rater in raters.to_dict("records"):
        key = (str(rater["dimension"]), str(rater["rater"]))
        if key in row_by_key:
            row_by_key[key]["rejected"] = bool(rater["rejected"])
            reasons[key] = [rater["detail"]] if rater["detail"] else []
    return reasons


def _check_limits(row: TableRow, limits: Mapping[str, float], width: float) -> list[str]:
    """Return a reason for every limit that a rater exceeds; ``width``: that of the scale."""
    reasons = []

    def add_reason(applies: bool, word: str, sentence: str) -> None:
        if applies:
            reasons.append(flaw(word, sentence))

    agreement, difference = row["agreement_srcc"], row["repeat_difference"]
    add_reason(
        agreement is not None and agreement < limits["agreement"],
        "disagrees", f"SRCC with the mean of the others is {_format(agreement)}",
    )  # fmt: skip
    add_reason(
        difference is not None and difference > limits["repeat_difference"] * width,
        "not_repeatable", f"the same video is rated {_format(difference)} apart on average",
    )  # fmt: skip
    for name in ("gold", "traps"):
        passed, total = row[f"{name}_passed"], row[name]
        add_reason(
            bool(total) and passed < limits[f"{name}_passed"] * total,
            f"{name}_failed", f"{passed} of {total} answers are as expected",
        )  # fmt: skip
    run, variance = row["longest_run"], row["least_session_variance"]
    add_reason(
        run is not None and run > limits["run"],
        "straight_line", f"{run} equal scores in a row",
    )  # fmt: skip
    add_reason(
        variance is not None and variance < limits["session_variance"] * (width / 4) ** 2,
        "flat_session", f"a session's scores have the variance {_format(variance)}",
    )  # fmt: skip
    for name, word, side in (
        ("over_played", "slow_player", "over"),
        ("under_played", "not_watched", "under"),
    ):
        share, bound = row[name], limits[side]
        add_reason(
            share is not None and share > limits["timed_out"],
            word,
            f"{100 * (share or 0):.0f} % of the videos played {side} {100 * bound:.0f} % of "
            "their length",
        )  # fmt: skip
    return reasons


def _format(value: float | None) -> str:
    return f"{value or 0:.2f}"
