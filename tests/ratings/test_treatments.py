"""The published methods: numbers of sureal 0.9.0, the rules written again, what never changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfqa import store, tables
from sfqa.errors import UserError
from sfqa.ratings.mos import METHOD_NAMES, compute_mos
from sfqa.ratings.screening import compute_zscores, find_outliers, screen_raters
from sfqa.ratings.subjective_models import connected_groups, fit_annex_e, remove_bias


def frame(matrix: Any) -> pd.DataFrame:
    rows = [
        (f"r{k:02d}", f"s{n:02d}", "quality", score, False)
        for n, row in enumerate(matrix)
        for k, score in enumerate(row)
        if not np.isnan(score)
    ]
    return pd.DataFrame(rows, columns=tables.SCORES.names)


def values(rows: list[dict[str, Any]], name: str = "mos") -> Any:
    return np.array([row[name] for row in rows], float)


def study(stimuli: int = 60, raters: int = 16, share: float = 0.8, seed: int = 1) -> Any:
    """Ratings with bias and noise on 1 to 5, some missing; raters alike enough for Annex E."""
    draw = np.random.default_rng(seed)
    true = draw.uniform(1.5, 4.5, (stimuli, 1))
    noise = draw.uniform(0.6, 0.8, raters) * draw.normal(size=(stimuli, raters))
    matrix = np.clip(np.round(true + draw.normal(0, 0.4, raters) + noise, 1), 1, 5)
    return np.where(draw.random(matrix.shape) < share, matrix, np.nan)


@pytest.fixture(scope="module")
def netflix(shared_data: Path) -> Any:
    path = shared_data / "ratings" / "nflx_public_79x26.csv"
    return pd.read_csv(path, header=None).to_numpy(float)


def with_gaps(matrix: Any) -> Any:
    at = np.add.outer(7 * np.arange(matrix.shape[0]), 3 * np.arange(matrix.shape[1])) % 5
    return np.where(at == 0, np.nan, matrix)


@pytest.mark.shared
class TestSureal:
    """Mean, variance, first and last MOS of the Netflix public data, as sureal 0.9.0 gives them."""

    @pytest.mark.parametrize(
        ("method", "gaps", "wanted", "rejected"),
        [
            ("mean", False, (3.54479065238559, 1.4012220200639218, 4.884615384615385, 4.538461538461538), []),
            ("bt500", False, (3.535189873417722, 1.4215819259734015, 4.88, 4.56), [2]),
            ("p913", False, (3.5447906523855885, 1.4713438591240797, 4.9406479596353, 4.622466141453483), [3, 4, 9, 12]),
            ("mean", True, (3.5569318866787225, 1.4065514495067906, 4.85, 4.714285714285714), []),
            ("bt500", True, (3.5494474272053926, 1.4825974106499422, 4.9375, 4.7894736842105265), [2, 3, 6, 13]),
            ("p913", True, (3.5558008739393654, 1.4566112217628235, 4.881563628537835, 4.694585919162987), [9, 12]),
            ("p910", True, (3.5559520897583776, 1.4437323441371832, 4.875977939075516, 4.686982665209272), []),
        ],
    )  # fmt: skip
    def test_mos(
        self, netflix: Any, method: str, gaps: bool, wanted: tuple[float, ...], rejected: list[int]
    ) -> None:
        rows, raters = compute_mos(frame(with_gaps(netflix) if gaps else netflix), method)
        mos = values(rows)
        assert (mos.mean(), mos.var(), mos[0], mos[78]) == pytest.approx(wanted, abs=1e-9)
        assert [k for k, row in enumerate(raters) if row["rejected"]] == rejected

    @pytest.mark.parametrize(
        ("gaps", "wanted", "rejected"),
        [
            (False, (0.0, 0.7974967438083357, 1.0034125746407405, 0.8098135572103261), [2, 3, 12]),
            (True, (-0.0007813748718425798, 0.7965229379920125, 0.9718161181555308, 0.8662177132899075), [2, 3, 9, 12]),
        ],
    )  # fmt: skip
    def test_zscores(
        self, netflix: Any, gaps: bool, wanted: tuple[float, ...], rejected: list[int]
    ) -> None:
        rows, raters = compute_mos(frame(with_gaps(netflix) if gaps else netflix))
        z = values(rows) * 6 / 100 - 3
        assert (z.mean(), z.var(), z[0], z[78]) == pytest.approx(wanted, abs=1e-9)
        assert [k for k, row in enumerate(raters) if row["rejected"]] == rejected

    def test_annex_e(self, netflix: Any) -> None:
        assert fit_annex_e(netflix).mos.var() == pytest.approx(1.435548566, abs=1e-9)
        found = fit_annex_e(with_gaps(netflix))
        assert found.standard_error[:2] == pytest.approx(
            [0.12865733583278777, 0.1291870187642219], abs=1e-9
        )
        assert found.bias[:2] == pytest.approx([-0.1919217096519179, -0.18997709391286008], abs=1e-9)  # fmt: skip
        assert found.inconsistency[:2] == pytest.approx([0.5508384657143207, 0.5350128423485874], abs=1e-9)  # fmt: skip
        rows, _ = compute_mos(frame(with_gaps(netflix)), "p910")
        half = (rows[0]["ci95_high"] - rows[0]["ci95_low"]) / 2
        assert half == pytest.approx(1.959963984540054 * 0.12865733583278777, abs=1e-9)


def sparse_study(share: float, seed: int) -> Any:
    """60 samples, 26 raters, every fifth of them careless; a share of the ratings is there."""
    draw = np.random.default_rng(seed)
    true = draw.uniform(1.5, 4.5, (60, 1))
    noise = np.where(np.arange(26) % 5 == 0, 1.6, 0.7) * draw.normal(size=(60, 26))
    matrix = np.clip(np.round(true + draw.normal(0, 0.4, 26) + noise, 1), 1, 5)
    matrix = np.where(draw.random(matrix.shape) < share, matrix, np.nan)
    return matrix[(~np.isnan(matrix)).any(axis=1)]


def literal_sureal(matrix: Any, method: str) -> tuple[Any, list[int]]:
    """SubjectiveModel of sureal 0.9.0 written again, for ratings without repetitions."""
    if method == "zscore":
        matrix = (matrix - np.nanmean(matrix, axis=0)) / np.nanstd(matrix, axis=0, ddof=1)
    if method == "p913":
        matrix = matrix - np.nanmean(matrix - np.nanmean(matrix, axis=1)[:, None], axis=0)
    samples, raters = matrix.shape
    p, q = np.zeros(raters), np.zeros(raters)
    for row in matrix:
        present = row[~np.isnan(row)]
        with np.errstate(all="ignore"):
            moment = present - present.mean()
            kurtosis = np.mean(moment**4) / np.mean(moment**2) ** 2
        reach = (2 if 2 <= kurtosis <= 4 else 20**0.5) * present.std()
        p += row >= present.mean() + reach
        q += row <= present.mean() - reach
    with np.errstate(all="ignore"):
        rejected = ((p + q) / samples > 0.05) & (np.abs((p - q) / (p + q)) < 0.3)
    if rejected.all():
        rejected[:] = False
    kept = matrix[:, ~rejected]
    rated = (~np.isnan(kept)).any(axis=1)
    mos = np.full(samples, np.nan)
    mos[rated] = np.nanmean(kept[rated], axis=1)
    return mos, np.flatnonzero(rejected).tolist()


class TestSurealWithMissingRatings:
    """Rejected raters, mean and variance of the MOS, as sureal 0.9.0 itself gives them."""

    CASES = (
        (0.8, 1, "bt500", [0, 10, 20, 25], (3.0630438202721484, 0.6468192274614047), []),
        (0.8, 1, "p913", [0, 10, 15, 20], (3.0686184287998057, 0.6405957319953726), []),
        (0.8, 1, "zscore", [0, 20, 25], (-0.009091635897274143, 0.5432345688989546), []),
        (0.5, 2, "bt500", [], (3.062804110105581, 0.6086370688586964), [0, 15, 22, 25]),
        (0.5, 2, "p913", [5, 15], (3.068270436546418, 0.6719941488323912), [10, 20]),
        (0.5, 2, "zscore", [15], (0.028051676960622263, 0.5256771204743514), [0]),
        # Four samples have one rating, which counts on both sides; three of these lose it.
        (0.12, 3, "bt500", [11, 16], (3.1914243943191316, 0.6600530084958985), [4, 10, 18, 19]),
        (0.12, 3, "p913", [], (3.182145239101124, 0.7327371780773564), []),
        (0.12, 3, "zscore", [], (0.01979560342316823, 0.5030394295984019), []),
    )

    @pytest.mark.parametrize(("share", "seed", "method", "rejected", "wanted", "more"), CASES)
    def test_mos(
        self, share: float, seed: int, method: str, rejected: list[int], wanted: Any, more: Any
    ) -> None:
        matrix = sparse_study(share, seed)
        rows, raters = compute_mos(frame(matrix), method)
        mos = values(rows) * 6 / 100 - 3 if method == "zscore" else values(rows)
        assert (np.nanmean(mos), np.nanvar(mos)) == pytest.approx(wanted, abs=1e-9)
        assert [k for k, row in enumerate(raters) if row["rejected"]] == rejected
        other, other_rejected = literal_sureal(matrix, method)
        np.testing.assert_allclose(mos, other, atol=1e-9)
        assert other_rejected == rejected
        # As a share of the own ratings more raters go, and these are named in the first run.
        _, own = compute_mos(frame(matrix), method, screening="own_ratings")
        assert [k for k, row in enumerate(own) if row["rejected"]] == sorted({*rejected, *more})
        assert [k for k, row in enumerate(raters) if "strays: " in row["detail"]] == more

    @settings(max_examples=40, deadline=None)
    @given(st.floats(0.08, 1), st.integers(0, 10**6))
    def test_any_share_of_ratings(self, share: float, seed: int) -> None:
        matrix = sparse_study(share, seed) + np.random.default_rng(seed).uniform(0, 0.01, 26)
        matrix = matrix[:, (~np.isnan(matrix)).sum(axis=0) > 2]
        matrix = matrix[(~np.isnan(matrix)).any(axis=1)]
        for method in ("bt500", "p913", "zscore"):
            rows, raters = compute_mos(frame(matrix), method)
            mos = values(rows) * 6 / 100 - 3 if method == "zscore" else values(rows)
            wanted, rejected = literal_sureal(matrix, method)
            np.testing.assert_allclose(mos, wanted, atol=1e-9)
            assert [k for k, row in enumerate(raters) if row["rejected"]] == rejected

    def test_the_only_rating_of_a_sample_is_named(self) -> None:
        _, raters = compute_mos(frame(sparse_study(0.12, 3)), "bt500")
        assert (
            "on both sides as the only ratings of their samples), left out" in raters[11]["detail"]
        )
        _, raters = compute_mos(frame(sparse_study(0.12, 3)), "bt500", screening="own_ratings")
        assert "on both sides" not in raters[11]["detail"]


def literal_annex_e(matrix: Any) -> tuple[Any, Any, Any]:
    """The alternation again, rater by rater and stimulus by stimulus, until nothing moves."""
    stimuli, raters = matrix.shape
    mos = np.nanmean(matrix, axis=1)
    bias = np.array([np.nanmean(matrix[:, i] - mos) for i in range(raters)])
    for _ in range(500):
        spread = np.array([np.nanstd(matrix[:, i] - mos - bias[i]) for i in range(raters)])
        for j in range(stimuli):
            own = [i for i in range(raters) if not np.isnan(matrix[j, i])]
            weights = np.array([1 / (spread[i] ** 2 + 1e-8) for i in own])
            mos[j] = weights @ [matrix[j, i] - bias[i] for i in own] / weights.sum()
        bias = np.array([np.nanmean(matrix[:, i] - mos) for i in range(raters)])
    return mos + bias.mean(), bias - bias.mean(), spread


def test_annex_e_against_the_text_of_the_method() -> None:
    matrix = study()
    found, wanted = fit_annex_e(matrix), literal_annex_e(matrix)
    for one, other in zip((found.mos, found.bias, found.inconsistency), wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)
    assert found.bias.mean() == pytest.approx(0, abs=1e-12)


def test_annex_e_finds_what_was_put_in() -> None:
    draw = np.random.default_rng(2)
    bias, spread = np.linspace(-1, 1, 16), np.linspace(0.5, 1.1, 16)
    true = draw.uniform(1, 5, (4000, 1))
    found = fit_annex_e(true + bias + spread * draw.normal(size=(4000, 16)))
    np.testing.assert_allclose(found.bias, bias, atol=0.06)
    np.testing.assert_allclose(found.inconsistency, spread, atol=0.05)
    # The interval covers the truth about as often as it says.
    inside = np.abs(found.mos - true[:, 0]) < found.half_width
    assert 0.93 < inside.mean() < 0.97


def test_annex_e_refuses_what_it_cannot_fit() -> None:
    with pytest.raises(UserError, match="needs 8 raters or more, these are 7"):
        fit_annex_e(study(raters=7))
    lonely = np.full((60, 9), np.nan)
    lonely[:, :8] = study(raters=8, share=1)
    lonely[0, 8] = 3.0
    with pytest.raises(UserError, match="converged to the scores of rater 'lisa' alone"):
        fit_annex_e(lonely, [*"abcdefgh", "lisa"])
    empty = np.hstack([study(raters=8, share=1), np.full((60, 1), np.nan)])
    assert np.isnan(fit_annex_e(empty).bias[8])
    assert np.isnan(fit_annex_e(np.vstack([empty[:, :8], np.full((1, 8), np.nan)])).mos[60])


def test_bias_by_hand() -> None:
    found = remove_bias([[1.0, 3.0, np.nan], [2.0, 4.0, 6.0]])
    # Means 2 and 4: distances -1 1, -2 0 2.
    np.testing.assert_array_equal(found.bias, [-1.5, 0.5, 2.0])
    np.testing.assert_array_equal(found.ratings, [[2.5, 2.5, np.nan], [3.5, 3.5, 4.0]])


def test_unconnected_raters_are_told() -> None:
    matrix = np.full((80, 32), np.nan)
    matrix[:40, :16], matrix[40:, 16:] = study(40, 16), study(40, 16, seed=4)
    assert connected_groups(matrix).tolist() == [0] * 16 + [1] * 16
    for method in ("p913", "p910"):
        _, raters = compute_mos(frame(matrix), method)
        assert all("unconnected: the raters fall into 2 groups" in row["detail"] for row in raters)
    _, raters = compute_mos(frame(matrix), "zscore")
    assert not any("unconnected" in row["detail"] for row in raters)


def literal_lgvq(matrix: Any) -> tuple[Any, Any]:
    """LGVQ's section 3.3 with loops: outlier ratings, raters with more than 5 % of them, z."""
    clean, count = matrix.copy(), np.zeros(matrix.shape[1])
    for j, row in enumerate(matrix):
        own = row[~np.isnan(row)]
        moment = own - own.mean()
        if not moment.any():
            continue
        b2 = np.mean(moment**4) / np.mean(moment**2) ** 2
        reach = (2 if 2 <= b2 <= 4 else 20**0.5) * own.std()
        far = np.abs(row - own.mean()) > reach
        clean[j, far], count = np.nan, count + far
    bad = count > 0.05 * np.sum(~np.isnan(matrix), axis=0)
    z = (clean - np.nanmean(clean, axis=0)) / np.nanstd(clean, axis=0, ddof=1)
    return 100 * (np.nanmean(z[:, ~bad], axis=1) + 3) / 6, bad


def test_lgvq_against_its_section() -> None:
    matrix = study(raters=16, share=0.9, seed=5)
    matrix[:, 3] = np.random.default_rng(6).uniform(1, 5, len(matrix))
    wanted, bad = literal_lgvq(matrix)
    rows, raters = compute_mos(frame(matrix), "lgvq")
    np.testing.assert_allclose(values(rows), wanted, atol=1e-9)
    assert [row["rejected"] for row in raters] == bad.tolist()
    assert bad[3]
    assert find_outliers(matrix)[:, ~bad].any()  # single ratings go while their rater stays
    assert "are outliers, more than 5 %, left out (LGVQ)" in raters[3]["detail"]


def test_methods_are_named_once_or_twice() -> None:
    matrix = study()
    for one, other in (("zscore", "sfqa"), ("raw", "bt500")):
        assert compute_mos(frame(matrix), one) == compute_mos(frame(matrix), other)
    plain, _ = compute_mos(frame(matrix), "mean")
    np.testing.assert_allclose(values(plain), np.nanmean(matrix, axis=1), atol=1e-12)


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_thin_and_odd_data_have_reasons(method: str) -> None:
    """A constant rater, one with a single rating, a sample with one rating and one with none."""
    matrix = np.hstack([study(30, 10, 1.0), np.full((30, 2), np.nan)])
    matrix[:, 10], matrix[0, 11] = 3.0, 4.0
    matrix[5, 1:] = np.nan
    none = pd.DataFrame([("r00", "s99", "quality", np.nan, False)], columns=tables.SCORES.names)
    scores = pd.concat([frame(matrix), none])
    if method == "p910":
        with pytest.raises(UserError, match="rater 'r11' alone"):
            compute_mos(scores, method)
        scores = scores[scores["rater"] != "r11"]
    rows, raters = compute_mos(scores, method, screening="own_ratings")
    store.to_arrow(tables.MOS, rows)
    store.to_arrow(tables.RATERS, raters)
    by = {row["sample_id"]: row for row in rows}
    assert (by["s05"]["n"], by["s05"]["status"], by["s05"]["sd"]) == (1, "flawed", None)
    assert (by["s99"]["n"], by["s99"]["status"], by["s99"]["mos"]) == (0, "failed", None)
    given = 28 if method == "lgvq" else 29  # one of them is an outlier
    assert f"constant: gave 3 to all of {given} samples" in raters[10]["detail"]
    zscored = method in ("zscore", "sfqa", "lgvq")
    assert raters[10]["rejected"] == zscored
    if method == "lgvq":
        wanted = "screened_out: 1 of 1 ratings are outliers, more than 5 %, left out (LGVQ)"
        assert raters[11]["detail"] == wanted
    elif method != "p910":
        assert "one_rating: rated one sample only" in raters[11]["detail"]
    if method != "p910":
        assert raters[11]["rejected"] == zscored


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(METHOD_NAMES), st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_order_changes_nothing(method: str, seed: int, random: Any) -> None:
    scores = frame(study(40, 16, 0.8, seed))
    other = scores.iloc[random.sample(range(len(scores)), len(scores))]
    before, after = compute_mos(scores, method), compute_mos(other, method)
    assert before == after
    # Other names put the raters' columns in another order.
    names = [f"r{k:02d}" for k in range(16)]
    renamed = dict(zip(names, random.sample(names, 16), strict=True))
    rows, raters = compute_mos(scores.assign(rater=scores["rater"].map(renamed)), method)
    for name in ("mos", "sd", "ci95_low", "ci95_high"):
        np.testing.assert_allclose(values(rows, name), values(before[0], name), atol=1e-7)
    rejected = {row["rater"]: row["rejected"] for row in raters}
    assert {row["rater"]: rejected[renamed[row["rater"]]] for row in before[1]} == {
        row["rater"]: row["rejected"] for row in before[1]
    }


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.05, 20), st.floats(-100, 100))
def test_a_raters_own_scale_changes_no_zscore(seed: int, factor: float, shift: float) -> None:
    matrix = study(40, 16, 0.8, seed)
    other = matrix.copy()
    other[:, 4] = factor * other[:, 4] + shift
    np.testing.assert_allclose(compute_zscores(other), compute_zscores(matrix), atol=1e-7)
    for method in ("zscore", "sfqa"):
        before, after = (compute_mos(frame(m), method)[0] for m in (matrix, other))
        np.testing.assert_allclose(values(after), values(before), atol=1e-6)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 10), st.floats(-5, 5))
def test_one_new_scale_for_all_moves_the_mos_with_it(
    seed: int, factor: float, shift: float
) -> None:
    matrix = study(40, 16, 0.8, seed)
    for method in ("mean", "bt500", "p913", "p910"):
        before, _ = compute_mos(frame(matrix), method)
        after, _ = compute_mos(frame(factor * matrix + shift), method)
        np.testing.assert_allclose(values(after), factor * values(before) + shift, atol=1e-4)


def test_a_bias_changes_no_p913_difference() -> None:
    matrix = study(share=1.0)
    other = matrix.copy()
    other[:, 2] += 1.5
    before, after = remove_bias(matrix).ratings, remove_bias(other).ratings
    assert np.ptp(after - before) == pytest.approx(0, abs=1e-12)
    assert screen_raters(before).rejected.tolist() == screen_raters(after).rejected.tolist()
