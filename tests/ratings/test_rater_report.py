"""The rater report: every number by hand, every limit broken once, nothing known without data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sfqa import store, tables
from sfqa.errors import UserError
from sfqa.ratings.mos import compute_mos
from sfqa.ratings.rater_report import COLUMNS, LIMITS, report_raters
from sfqa.tables import RATER_REPORT, SCORE_DETAILS

DETAILS = ["rater", "session", "position", "role", "sample_id", "dimension", "score", "video_sec", "play_sec", "answer_sec"]  # fmt: skip


def scores(matrix: Any, dimension: str = "q") -> pd.DataFrame:
    rows = [
        (f"r{k}", f"s{n}", dimension, float(score), False)
        for n, row in enumerate(matrix)
        for k, score in enumerate(row)
        if not np.isnan(score)
    ]
    return pd.DataFrame(rows, columns=tables.SCORES.names)


def shown(given: list[tuple[Any, ...]]) -> pd.DataFrame:
    """Presentations of one rater as (session, role, sample, score[, play seconds])."""
    rows = [
        ("r0", session, place, role, sample, "q", score, 10.0, *(play or [10.0]), 4.0)
        for place, (session, role, sample, score, *play) in enumerate(given, 1)
    ]
    return pd.DataFrame(rows, columns=DETAILS)


def first(report: pd.DataFrame) -> dict[str, Any]:
    return store.to_records(report)[0]


def words(row: dict[str, Any]) -> list[str]:
    return [part.split(":")[0] for part in row["detail"].split("; ")] if row["detail"] else []


# Nine videos that three raters see alike, r0 one step higher.
EVEN = np.array([[v + 1.0, v, v] for v in (1, 2, 3, 1, 2, 3, 1, 2, 3)])


def test_bias_inconsistency_and_agreement() -> None:
    draw = np.random.default_rng(1)
    matrix = np.where(draw.random((40, 5)) < 0.8, draw.integers(1, 6, (40, 5)), np.nan)
    rows = store.to_records(report_raters(scores(matrix)))
    mos = np.nanmean(matrix, axis=1)
    for k, row in enumerate(rows):
        step = matrix[:, k] - mos
        assert row["n"] == np.sum(~np.isnan(matrix[:, k]))
        assert row["bias"] == pytest.approx(np.nanmean(step), abs=1e-12)
        assert row["inconsistency"] == pytest.approx(np.nanstd(step), abs=1e-12)
        others = np.nanmean(np.delete(matrix, k, axis=1), axis=1)
        both = ~np.isnan(matrix[:, k]) & ~np.isnan(others)
        wanted = stats.spearmanr(matrix[both, k], others[both]).statistic
        assert row["agreement_srcc"] == pytest.approx(wanted, abs=1e-9)
    assert rows[0]["entropy_bits"] == pytest.approx(
        stats.entropy(np.unique(matrix[~np.isnan(matrix[:, 0]), 0], return_counts=True)[1], base=2)
    )


def test_what_cannot_be_known_is_empty() -> None:
    matrix = np.hstack([EVEN, np.full((9, 1), 3.0), np.full((9, 1), np.nan)])
    matrix[0, 4] = 2.0
    report = report_raters(scores(matrix))
    assert tuple(report.columns) == COLUMNS
    rows = store.to_records(report)
    assert rows[3]["agreement_srcc"] is None  # a constant rater has no rank
    assert rows[3]["entropy_bits"] == 0
    assert (rows[4]["n"], rows[4]["inconsistency"], rows[4]["agreement_srcc"]) == (1, None, None)
    unknown = ("repeats", "gold", "traps", "longest_run", "videos_timed", "over_played")
    assert all(row[name] is None for row in rows for name in unknown)
    assert not any(row["rejected"] for row in rows)
    store.to_arrow(RATER_REPORT, report)
    assert report_raters(scores(EVEN[:0])).empty


def test_rejected_raters_and_why() -> None:
    matrix = np.array([[2.0, 2, 2, 2, 4], [4.0, 4, 4, 4, 2]] * 6)
    given = scores(matrix)
    _, raters = compute_mos(given, "bt500")
    rows = store.to_records(report_raters(given, pd.DataFrame(raters)))
    assert [row["rejected"] for row in rows] == [False] * 4 + [True]
    assert rows[4]["status"] == "flawed"
    assert words(rows[4]) == ["screened_out", "disagrees"]
    assert "SRCC with the mean of the others is -1.00" in rows[4]["detail"]


def test_repeats_run_and_sessions_by_hand() -> None:
    given = [(1, "training", "t", 5), (1, "test", "s0", 2), (1, "test", "s1", 3), (1, "test", "s2", 3),
             (1, "repeat", "s0", 3), (2, "test", "s3", 3), (2, "gold", "g", 1), (2, "test", "s4", 3),
             (2, "repeat", "s1", 1.5), (2, "test", "s5", 4)]  # fmt: skip
    row = first(report_raters(scores(EVEN), details=shown(given)))
    assert (row["repeats"], row["repeat_difference"]) == (2, (1 + 1.5) / 2)
    assert row["longest_run"] == 5  # s1 s2 s0 s3 s4: clips and training are not in it
    assert row["least_session_variance"] is None  # no session with ten
    assert "not_repeatable" in words(row)  # 1.25 of a scale of 4, the limit is 1
    calm = first(
        report_raters(scores(EVEN), details=shown(given), limits={"repeat_difference": 0.4})
    )
    assert "not_repeatable" not in words(calm)
    # The same in the other order: the rows' order says nothing, position does.
    other = first(report_raters(scores(EVEN), details=shown(given).iloc[::-1]))
    assert other == row


def test_straight_lines_and_flat_sessions() -> None:
    flat = [(1, "test", f"s{n}", 3.0) for n in range(16)]
    row = first(report_raters(scores(EVEN), details=shown(flat)))
    assert (row["longest_run"], row["least_session_variance"]) == (16, 0.0)
    assert words(row)[-2:] == ["straight_line", "flat_session"]
    nearly = [(1, "test", f"s{n}", 3.0 + 0.4 * (n % 2)) for n in range(12)]
    row = first(report_raters(scores(EVEN), details=shown(nearly)))
    variance = np.var([3.0, 3.4] * 6, ddof=1)
    assert row["least_session_variance"] == pytest.approx(variance)
    assert variance < LIMITS["session_variance"]
    assert words(row) == ["flat_session"]
    # On a scale of 0 to 1 the same spread is a lot.
    row = first(report_raters(scores(EVEN), details=shown(nearly), scale=(0.0, 1.0)))
    assert words(row) == []


def test_gold_and_traps() -> None:
    answers = pd.DataFrame(
        {"sample_id": ["g", "h", "t"], "dimension": "q", "expected": [5.0, 1.0, 2.0], "tolerance": [1.0, 1.0, 0.0]}
    )  # fmt: skip
    given = [(1, "gold", "g", 4.0), (1, "gold", "h", 3.0), (1, "gold", "unknown", 1.0),
             (2, "trap", "t", 2.0), (2, "trap", "t", 2.1)]  # fmt: skip
    row = first(report_raters(scores(EVEN), details=shown(given), answers=answers))
    assert (row["gold"], row["gold_passed"], row["traps"], row["traps_passed"]) == (2, 1, 2, 1)
    assert words(row) == ["gold_failed", "traps_failed"]
    other = first(report_raters(scores(EVEN), details=shown(given), answers=answers.assign(dimension="x")))  # fmt: skip
    assert (other["gold"], other["gold_passed"]) == (0, None)
    assert words(other) == []
    assert first(report_raters(scores(EVEN), details=shown(given)))["gold"] is None


def test_play_time() -> None:
    play = [10.0, 11.5, 11.6, 9.5, 9.4, 10.0, 10.0, 10.0, np.nan, 25.0]
    given = [(1, "test", f"s{n}", 1.0 + n % 5, p) for n, p in enumerate(play)]
    given += [(1, "training", "t", 3.0, 99.0)]
    row = first(report_raters(scores(EVEN), details=shown(given)))
    # Over 115 %: 11.6 and 25 of nine; under 95 %: 9.4. On a bound is neither.
    assert (row["videos_timed"], row["over_played"], row["under_played"]) == (9, 2 / 9, 1 / 9)
    assert row["video_seconds"] == 14.0
    assert words(row) == ["slow_player", "not_watched"]
    assert "22 % of the videos played over 115 % of their length" in row["detail"]
    lax = first(report_raters(scores(EVEN), details=shown(given), limits={"timed_out": 0.25}))
    assert words(lax) == []
    bare = shown(given).drop(columns=["play_sec", "answer_sec"])
    assert first(report_raters(scores(EVEN), details=bare))["videos_timed"] is None


def test_dimensions_are_apart() -> None:
    both = pd.concat([scores(EVEN), scores(EVEN[:, ::-1], "sync")])
    details = shown([(1, "test", "s0", 2.0), (1, "test", "s1", 2.0)])
    rows = store.to_records(report_raters(both, details=details))
    assert [row["dimension"] for row in rows] == ["q"] * 3 + ["sync"] * 3
    assert [row["longest_run"] for row in rows] == [2, None, None, None, None, None]
    assert rows[0]["bias"] == rows[5]["bias"] == pytest.approx(2 / 3)


def test_the_details_of_the_screen_fit(tmp_path: Path) -> None:
    """What 'sfqa rate export' writes is what the report reads."""
    assert set(DETAILS) <= set(SCORE_DETAILS.names)
    row: dict[str, Any] = dict.fromkeys(SCORE_DETAILS.names)
    row |= {"block": 1, "answered_at": "2026-01-01T00:00:00Z", "since_served_sec": 15.0}
    given = shown([(1, "test", "s0", 2.0), (1, "repeat", "s0", 3.0)])
    rows = [{**row, **one} for one in store.to_records(given)]
    store.write(SCORE_DETAILS, rows, tmp_path / "d.parquet")
    found = first(report_raters(scores(EVEN), details=store.read(SCORE_DETAILS, tmp_path / "d.parquet")))  # fmt: skip
    assert (found["repeats"], found["repeat_difference"], found["videos_timed"]) == (1, 1.0, 2)


def test_mistakes() -> None:
    with pytest.raises(UserError, match="no limit 'overr'; did you mean 'over'?"):
        report_raters(scores(EVEN), limits={"overr": 2})
    with pytest.raises(UserError, match="the details have no column 'role'"):
        report_raters(scores(EVEN), details=shown([(1, "test", "s0", 2.0)]).drop(columns="role"))
