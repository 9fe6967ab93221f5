"""Screening, z-scores and MOS: hand-computed, against scipy, against published numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sfqa import store, tables
from sfqa.errors import UserError
from sfqa.ratings.mos import METHOD_NAMES, compute_mos, pivot_scores
from sfqa.ratings.screening import compute_zscores, rescale_zscores, screen_raters

SHARED = Path(__file__).parents[3] / "shared" / "data" / "ratings"
needs_shared = [
    pytest.mark.shared,
    pytest.mark.skipif(not SHARED.is_dir(), reason=f"the real ratings are not at {SHARED}"),
]


def frame(matrix: Any, dimension: str = "quality", synthetic: bool = False) -> pd.DataFrame:
    """A matrix of samples by raters, NaN for no rating, as a frame of ``tables.SCORES``."""
    rows = [
        (f"r{k:02d}", f"s{n:02d}", dimension, score, synthetic)
        for n, row in enumerate(matrix)
        for k, score in enumerate(row)
        if not np.isnan(score)
    ]
    return pd.DataFrame(rows, columns=tables.SCORES.names)


def by_name(rows: list[dict[str, Any]], key: str) -> dict[str, dict[str, Any]]:
    return {row[key]: row for row in rows}


# Two raters, worked on paper: r00 gave 1 2 3 (mean 2, sd 1), r01 gave 2 4 3 (mean 3, sd 1).
HAND = np.array([[1.0, 2.0], [2.0, 4.0], [3.0, 3.0]])


def test_hand_computed_zscore_mos() -> None:
    mos, raters = compute_mos(frame(HAND))
    # z: (-1, -1), (0, 1), (1, 0); rescaled by 100 (z + 3) / 6.
    rows = by_name(mos, "sample_id")
    assert rows["s00"]["mos"] == pytest.approx(100 / 3, abs=1e-12)
    assert rows["s00"]["sd"] == pytest.approx(0, abs=1e-12)
    assert rows["s01"]["mos"] == pytest.approx((50 + 200 / 3) / 2, abs=1e-12)
    # sd of two values is their distance over sqrt 2; t(.975) of one degree of freedom
    # (Cauchy) is tan(.475 pi).
    sd = (200 / 3 - 50) / 2**0.5
    assert rows["s01"]["sd"] == pytest.approx(sd, abs=1e-12)
    half = math.tan(0.475 * math.pi) * sd / 2**0.5
    assert rows["s01"]["ci95_low"] == pytest.approx(rows["s01"]["mos"] - half, abs=1e-9)
    assert rows["s01"]["ci95_high"] == pytest.approx(rows["s01"]["mos"] + half, abs=1e-9)
    assert {row["n"] for row in mos} == {2}
    assert [(r["rater"], r["mean"], r["sd"], r["n"]) for r in raters] == [
        ("r00", 2.0, 1.0, 3),
        ("r01", 3.0, 1.0, 3),
    ]


def test_hand_computed_raw_mos() -> None:
    mos, _ = compute_mos(frame(HAND), "raw")
    assert [row["mos"] for row in mos] == [1.5, 3.0, 3.0]
    assert [row["sd"] for row in mos] == pytest.approx([0.5**0.5, 2**0.5, 0.0], abs=1e-15)


def test_bt500_by_hand() -> None:
    """One of five dissenting lies exactly 2 sigma off (b2 = 3.25), for any two scores."""
    for low, high in [(1.0, 5.0), (0.1, 0.3), (1.1, 4.7), (-3.7, 1e3)]:
        up, down = [low] * 4 + [high], [high] * 4 + [low]
        found = screen_raters([up, down, up, down])
        assert found.p.tolist() == [0, 0, 0, 0, 2]
        assert found.q.tolist() == [0, 0, 0, 0, 2]
        assert found.rejected.tolist() == [False] * 4 + [True]


def test_bt500_wide_bounds() -> None:
    """One of 21 lies exactly sqrt(20) sigma off and counts, one of 20 less and does not."""
    assert screen_raters([[1.0] * 20 + [4.3]]).p.tolist() == [0] * 20 + [1]
    assert screen_raters([[1.0] * 19 + [4.3]]).p.tolist() == [0] * 20


def test_bt500_one_sided_rater_stays() -> None:
    up = [1.0, 1.0, 1.0, 1.0, 5.0]
    found = screen_raters([up] * 10)
    assert found.p.tolist() == [0, 0, 0, 0, 10]
    assert not found.rejected.any()
    # 7 up and 4 down: |7 - 4| / 11 = .27 rejects; 8 up and 4 down: .33 does not.
    down = [5.0, 5.0, 5.0, 5.0, 1.0]
    assert screen_raters([up] * 7 + [down] * 4).rejected[4]
    assert not screen_raters([up] * 8 + [down] * 4).rejected[4]


def test_bt500_share_of_all_samples_or_of_the_raters_own_ratings() -> None:
    """2 strays of 40 ratings are 5 % and not above; of 39 they are."""
    stray = [[1.0, 1, 1, 1, 5], [5.0, 5, 5, 5, 1]]
    calm = [[2.0, 3.0, 2.0, 3.0, 2.0]]
    assert not screen_raters(stray + calm * 38).rejected.any()
    assert screen_raters(stray + calm * 37).rejected.tolist() == [False] * 4 + [True]
    unrated = [[2.0, 3.0, 2.0, 3.0, np.nan]]
    missing = stray + calm * 37 + unrated * 9
    assert screen_raters(missing, share="own_ratings").rejected.tolist() == [False] * 4 + [True]
    # 2 of 48 samples, as sureal counts.
    assert not screen_raters(missing).rejected.any()
    _, raters = compute_mos(frame(missing), "bt500", screening="own_ratings")
    assert raters[4]["detail"] == (
        "screened_out: 2 of 39 ratings stray, 1 up and 1 down, left out (BT.500)"
    )
    _, raters = compute_mos(frame(missing), "bt500")
    assert (raters[4]["rejected"], raters[4]["status"]) == (False, "flawed")
    assert raters[4]["detail"] == (
        "strays: 2 of 39 ratings stray, 1 up and 1 down, kept because these are no more than 5 % "
        "of all 48 samples, with screening: own_ratings the rater is left out"
    )


def test_a_screening_that_does_not_exist() -> None:
    with pytest.raises(UserError, match="no screening 'own'; .*own_ratings"):
        compute_mos(frame(HAND), "bt500", screening="own")


def test_bt500_all_would_go_so_none_goes() -> None:
    matrix = [np.roll(row, k) for k in range(5) for row in ([1.0, 1, 1, 1, 5], [5.0, 5, 5, 5, 1])]
    found = screen_raters(matrix)
    assert found.p.tolist() == found.q.tolist() == [1] * 5
    assert not found.rejected.any()


def test_bt500_agreement_counts_on_both_sides_or_not_at_all() -> None:
    matrix = [[3.3] * 7, [np.nan] * 7, [np.nan, 2.1, *[np.nan] * 5], [1.1, 1.1, *[np.nan] * 5]]
    found = screen_raters(matrix, share="own_ratings")
    assert found.p.tolist() == found.q.tolist() == [2, 2, 1, 1, 1, 1, 1]
    # The only rating of a sample counts on both sides in sureal.
    found = screen_raters(matrix)
    assert found.p.tolist() == found.q.tolist() == [2, 3, 1, 1, 1, 1, 1]
    found = screen_raters(matrix, unanimous=False)
    assert not found.p.any()
    assert not found.q.any()


def literal(matrix: Any) -> tuple[Any, Any, Any]:
    """BT.500 written down again with scipy's kurtosis, for complete matrices without ties."""
    p = np.zeros(matrix.shape[1])
    q = np.zeros(matrix.shape[1])
    for row in matrix:
        b2 = float(stats.kurtosis(row, fisher=False))
        reach = (2 if 2 <= b2 <= 4 else 20**0.5) * row.std()
        p += row >= row.mean() + reach
        q += row <= row.mean() - reach
    reject = ((p + q) / len(matrix) > 0.05) & (np.abs(p - q) / np.maximum(p + q, 1) < 0.3)
    return p, q, reject & ~reject.all()


@pytest.mark.parametrize("raters", [6, 18, 30])
def test_bt500_against_the_rule_written_with_scipy(raters: int) -> None:
    draw = np.random.default_rng(raters)
    matrix = draw.normal(3, 1, (60, 1)) + draw.standard_t(3, (60, raters))
    matrix[:, 2] += draw.normal(0, 3, 60)
    found, expected = screen_raters(matrix), literal(matrix)
    np.testing.assert_array_equal(found.p, expected[0])
    np.testing.assert_array_equal(found.q, expected[1])
    np.testing.assert_array_equal(found.rejected, expected[2])
    assert found.p.sum() > 0
    assert found.q.sum() > 0
    assert np.flatnonzero(found.rejected).tolist() == ([2] if raters < 30 else [])


def test_zscores_against_scipy() -> None:
    matrix = np.random.default_rng(1).normal(3, 1, (20, 4))
    matrix[3, 1] = np.nan
    expected = stats.zscore(matrix, axis=0, ddof=1, nan_policy="omit")
    np.testing.assert_allclose(compute_zscores(matrix), expected, rtol=1e-12)


def test_rescaled() -> None:
    assert [rescale_zscores(z) for z in (-3.0, 0.0, 3.0, 4.5)] == [0.0, 50.0, 100.0, 125.0]


scores = st.integers(10, 50).map(lambda n: n / 10)
matrices = st.tuples(st.integers(2, 6), st.integers(2, 7)).flatmap(
    lambda shape: st.lists(
        st.lists(st.one_of(scores, scores, st.just(np.nan)), min_size=shape[1], max_size=shape[1]),
        min_size=shape[0],
        max_size=shape[0],
    )
)


@settings(max_examples=40, deadline=None)
@given(matrices, st.randoms(use_true_random=False))
def test_order_changes_nothing(rows: list[list[float]], random: Any) -> None:
    matrix = np.array(rows)
    raters = random.sample(range(matrix.shape[1]), matrix.shape[1])
    stimuli = random.sample(range(matrix.shape[0]), matrix.shape[0])
    found, other = screen_raters(matrix), screen_raters(matrix[stimuli][:, raters])
    for before, after in zip(found, other, strict=True):
        np.testing.assert_array_equal(before[raters], after)
    given_rows = frame(matrix)
    shuffled = given_rows.iloc[random.sample(range(len(given_rows)), len(given_rows))]
    for scale in ("zscore", "raw"):
        assert compute_mos(given_rows, scale) == compute_mos(shuffled, scale)


@settings(max_examples=40, deadline=None)
@given(matrices, st.floats(0.1, 10), st.floats(-20, 20))
def test_a_raters_own_scale_changes_no_zscore_mos(
    rows: list[list[float]], factor: float, shift: float
) -> None:
    matrix = np.array(rows)
    other = matrix.copy()
    other[:, 0] = factor * other[:, 0] + shift
    before, _ = compute_mos(frame(matrix))
    after, _ = compute_mos(frame(other))
    for one, two in zip(before, after, strict=True):
        assert (one["n"], one["status"]) == (two["n"], two["status"])
        if one["mos"] is not None:
            assert one["mos"] == pytest.approx(two["mos"], abs=1e-7)


def test_constant_rater_is_left_out_of_zscores_and_says_so() -> None:
    # Three times .1 and 1.1 are not exact in floats: a sum would give this rater a spread.
    matrix = np.column_stack([HAND, [1.1, 1.1, 1.1]])
    mos, raters = compute_mos(frame(matrix))
    row = by_name(raters, "rater")["r02"]
    assert row["status"] == "flawed"
    assert row["rejected"]
    assert row["detail"] == "constant: gave 1.1 to all of 3 samples, so has no z-score, left out"
    without, _ = compute_mos(frame(HAND))
    assert mos == without
    raw, raw_raters = compute_mos(frame(matrix), "raw")
    assert {row["n"] for row in raw} == {3}
    assert not by_name(raw_raters, "rater")["r02"]["rejected"]


def test_rater_with_one_rating() -> None:
    matrix = np.column_stack([HAND, [4.0, np.nan, np.nan]])
    _, raters = compute_mos(frame(matrix))
    row = by_name(raters, "rater")["r02"]
    assert (row["n"], row["mean"], row["sd"], row["status"]) == (1, 4.0, None, "flawed")
    assert row["detail"].startswith("one_rating: ")


def test_thin_samples_have_reasons() -> None:
    matrix = np.array([[1.0, 5.0], [2.0, np.nan], [4.0, 4.0]])
    rows = frame(matrix)
    empty = pd.DataFrame([("r01", "s09", "quality", np.nan, False)], columns=tables.SCORES.names)
    mos, raters = compute_mos(pd.concat([rows, empty]), "raw")
    found = by_name(mos, "sample_id")
    assert (found["s01"]["mos"], found["s01"]["n"], found["s01"]["sd"]) == (2.0, 1, None)
    assert found["s01"]["status"] == "flawed"
    assert found["s01"]["detail"].startswith("one_rating: ")
    assert (found["s09"]["mos"], found["s09"]["n"]) == (None, 0)
    assert found["s09"]["status"] == "failed"
    assert found["s09"]["detail"].startswith("no_ratings: ")
    # Every NaN has a reason: both tables pass the schema.
    store.to_arrow(tables.MOS, mos)
    store.to_arrow(tables.RATERS, raters)


def test_screened_out_rater_is_not_in_the_mos() -> None:
    up, down = [2.0, 2.0, 2.0, 2.0, 4.0], [4.0, 4.0, 4.0, 4.0, 2.0]
    mos, raters = compute_mos(frame(np.array([up, down, up, down])), "raw")
    row = by_name(raters, "rater")["r04"]
    assert (row["p"], row["q"], row["rejected"], row["status"]) == (2, 2, True, "flawed")
    assert row["detail"].startswith("screened_out: 4 of 4 ratings stray, 2 up and 2 down")
    assert [(m["mos"], m["n"]) for m in mos] == [(2.0, 4), (4.0, 4), (2.0, 4), (4.0, 4)]


def test_dimensions_are_apart_and_synthetic_is_kept() -> None:
    both = pd.concat([frame(HAND, "sync", synthetic=True), frame(HAND[:2], "quality")])
    mos, raters = compute_mos(both)
    assert [(m["dimension"], m["synthetic"]) for m in mos] == [
        *[("quality", False)] * 2,
        *[("sync", True)] * 3,
    ]
    assert len(raters) == 4


def test_mistakes() -> None:
    rows = frame(HAND)
    with pytest.raises(UserError, match="rater 'r00' rated sample 's00' twice"):
        compute_mos(pd.concat([rows, rows.iloc[:1]]))
    with pytest.raises(UserError, match="no method 'z'; there are zscore, raw, sfqa, lgvq, mean"):
        compute_mos(rows, "z")
    with pytest.raises(UserError, match="infinite"):
        compute_mos(rows.assign(score=np.inf))
    with pytest.raises(UserError, match="a row has no rater"):
        compute_mos(rows.assign(rater=None))


class TestPublishedNumbers:
    """Netflix public dataset as computed by sureal 0.9.0 (algorithms.md, section 6)."""

    pytestmark = needs_shared

    def matrix(self) -> Any:
        return pd.read_csv(SHARED / "nflx_public_79x26.csv", header=None).to_numpy(float)

    def test_mos(self) -> None:
        mos, _ = compute_mos(frame(self.matrix()), "raw")
        kept = screen_raters(self.matrix())
        assert np.flatnonzero(kept.rejected).tolist() == [2]
        values = np.array([row["mos"] for row in mos])
        assert values.mean() == pytest.approx(3.535189873417722, abs=1e-12)
        assert values.var() == pytest.approx(1.4215819259734015, abs=1e-12)
        plain = self.matrix().mean(axis=1)
        assert plain.mean() == pytest.approx(3.544790652, abs=1e-9)
        assert plain.var() == pytest.approx(1.401222020, abs=1e-9)

    def test_zscores(self) -> None:
        assert compute_zscores(self.matrix()).mean(axis=1).var() == pytest.approx(
            0.783215891, abs=1e-9
        )

    def test_dsg(self) -> None:
        table = pd.read_csv(SHARED / "dsg_tifa160_anns.csv", dtype={"worker_id": str})
        rows = pd.DataFrame(
            {
                "rater": table["worker_id"],
                "sample_id": table["model_type"] + "/" + table["item_id"],
                "dimension": "consistency",
                "score": table["answer"].astype(float),
                "synthetic": False,
            }
        )
        mos, raters = compute_mos(rows, "raw")
        assert [(row["p"], row["q"]) for row in raters] == [
            (195, 205),
            (194, 207),
            (206, 237),
            (234, 216),
            (215, 208),
        ]
        assert len(mos) == 800
        assert sum(row["n"] for row in mos) == 3995
        assert not any(row["rejected"] for row in raters)
        means = pd.Series({row["sample_id"]: row["mos"] for row in mos})
        assert means.mean() == pytest.approx(3.8627, abs=5e-5)
        assert means.groupby(lambda name: name.split("/")[0]).mean().to_dict() == pytest.approx(
            {
                "sd2dot1": 4.1456,
                "sd1dot5": 3.9897,
                "mini-dalle": 3.8388,
                "sd1dot1": 3.7313,
                "vq-diffusion": 3.6081,
            },
            abs=5.1e-5,
        )


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_what_raters_are_called_changes_no_digit(method):
    draw = np.random.default_rng(5)
    rows = [
        {"rater": f"r{rater:02d}", "sample_id": f"s{sample:02d}", "dimension": "q", "synthetic": False,
         "score": float(np.clip(np.round(sample / 6 + 1 + draw.normal()), 1, 5))}
        for rater in range(11) for sample in range(20) if draw.random() < 0.8
    ]  # fmt: skip
    scores = pd.DataFrame(rows)
    names = sorted(set(scores["rater"]))
    renamed = scores.assign(rater=scores["rater"].map(dict(zip(names, names[::-1], strict=True))))
    assert compute_mos(renamed, method)[0] == compute_mos(scores, method)[0]


def test_raters_who_share_no_sample_are_refused_before_the_table_is_made():
    names = [f"n{n}" for n in range(5_000)]
    scores = pd.DataFrame({"sample_id": names, "rater": names, "score": 3.0})
    with pytest.raises(UserError, match=r"5,000 samples by 5,000 raters: on average"):
        pivot_scores(scores)
    few = scores.assign(rater=[f"r{n % 500}" for n in range(5_000)])
    assert pivot_scores(few).shape == (5_000, 500)
