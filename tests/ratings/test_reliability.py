"""Split halves and the SOS hypothesis against theory, by hand, and in odd cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sfqa import store, tables
from sfqa.errors import UserError
from sfqa.ratings.reliability import compute_reliability, fit_sos, split_half
from sfqa.tables import RELIABILITY


def noisy(samples: int, raters: int, noise: float, seed: int = 1) -> Any:
    draw = np.random.default_rng(seed)
    return draw.normal(size=(samples, 1)) + noise * draw.normal(size=(samples, raters))


def test_the_reliability_is_that_of_the_whole_study() -> None:
    """Two studies of k raters with noise s agree to 1 / (1 + s^2 / k)."""
    for raters, noise in ((8, 1.0), (16, 2.0), (5, 1.5)):
        found = split_half(noisy(20000, raters, noise), seed=1, halves=40)
        assert found.unit == "raters"
        # An odd number gives halves of different size, which agree a bit less.
        assert found.reliability == pytest.approx(1 / (1 + noise**2 / raters), abs=0.02)
        assert found.interval[0] < found.reliability < found.interval[1]


def test_ratings_are_split_where_some_are_missing() -> None:
    whole = noisy(20000, 18, 1.5)
    order = np.random.default_rng(2).random(whole.shape).argsort(axis=1)
    found = split_half(np.where(order < 6, whole, np.nan), seed=1, halves=20)
    assert found.unit == "ratings"
    assert found.reliability == pytest.approx(1 / (1 + 1.5**2 / 6), abs=0.01)


def test_the_interval_is_that_of_drawing_samples() -> None:
    """Its width is about that of the reliability over new samples of the same study."""
    many = [split_half(noisy(100, 8, 1.0, seed), seed=1, halves=60) for seed in range(40)]
    covered = [one.interval[0] < 8 / 9 < one.interval[1] for one in many]
    assert np.mean(covered) > 0.85


def test_halves_are_the_same_for_the_same_seed() -> None:
    matrix = noisy(30, 6, 1.0)
    assert split_half(matrix, 1, 20) == split_half(matrix, 1, 20)
    assert split_half(matrix, 1, 20) != split_half(matrix, 2, 20)
    # Neither does a rater without ratings, nor a sample with one, change a bit.
    wider = np.hstack([matrix, np.full((30, 1), np.nan)])
    lone = np.full((1, 7), np.nan)
    lone[0, 2] = 3.0
    assert split_half(np.vstack([wider, lone]), 1, 20) == split_half(matrix, 1, 20)


def test_agreement_without_noise_is_one() -> None:
    found = split_half(np.arange(10.0)[:, None] + np.zeros(4), seed=1, halves=10)
    assert (found.srcc, found.plcc, found.reliability) == pytest.approx((1, 1, 1))


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[1.0, 2.0], [2.0, 3.0], [3.0, np.nan]], "2 samples have two ratings or more"),
        ([[3.0] * 4] * 5, "gives every sample the same MOS"),
        (np.zeros((0, 0)), "0 samples"),
    ],
)
def test_halves_that_cannot_be(matrix: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        split_half(matrix, 1)


def test_sos_by_hand() -> None:
    # Means 2 and 3, variances (ddof 1) 2 and 8; (mos - 1)(5 - mos) = 3 and 4.
    found = fit_sos([[1, 3], [1, 5]], 1, 5)
    assert found.a == pytest.approx((3 * 2 + 4 * 8) / (9 + 16))
    assert found.a_unbiased == pytest.approx((2 + 8) / (4 + 8))
    rest = (2 - 3 * found.a) ** 2 + (8 - 4 * found.a) ** 2
    assert found.r2 == pytest.approx(1 - rest / 18)


def test_sos_finds_what_was_put_in_however_few_the_ratings() -> None:
    """A rating is an end of the scale with probability c, else the mean of the sample: a = c."""
    draw = np.random.default_rng(1)
    for raters in (4, 40):
        mos = draw.uniform(1.2, 4.8, (20000, 1))
        top = draw.random((20000, raters)) < (mos - 1) / 4
        ends = draw.random((20000, raters)) < 0.3
        found = fit_sos(np.where(ends, np.where(top, 5.0, 1.0), mos), 1, 5)
        assert found.a_unbiased == pytest.approx(0.3, abs=0.01)
        if raters == 4:
            assert found.a > 0.35


@pytest.mark.parametrize(
    ("matrix", "low", "high", "message"),
    [
        ([[1, 6]], 1, 5, "ratings from 1 to 6 are outside the scale from 1 to 5"),
        ([[1, 5]], 5, 1, "from 5 to 1 is none"),
        ([[5, 5], [1, 1]], 1, 5, "away from the ends"),
        ([[3, np.nan]], 1, 5, "no sample has two ratings"),
    ],
)
def test_sos_that_cannot_be(matrix: Any, low: float, high: float, message: str) -> None:
    with pytest.raises(UserError, match=message):
        fit_sos(matrix, low, high)


def scores(matrix: Any, dimension: str) -> pd.DataFrame:
    rows = [
        (f"r{k:02d}", f"s{n:03d}", dimension, float(v), False)
        for n, row in enumerate(matrix)
        for k, v in enumerate(row)
        if not np.isnan(v)
    ]
    return pd.DataFrame(rows, columns=tables.SCORES.names)


def test_table() -> None:
    draw = np.random.default_rng(1)
    full = np.clip(np.round(3 + noisy(40, 6, 0.7)), 1, 5)
    thin = np.where(draw.random((2, 3)) < 2, [[1.0, 2.0, np.nan], [9.0, np.nan, np.nan]], 0)
    frame = compute_reliability(pd.concat([scores(full, "q"), scores(thin, "thin")]), (1, 5), 3, 20)
    store.to_arrow(RELIABILITY, frame)
    one, other = store.to_records(frame)
    half, sos = split_half(full, 3, 20), fit_sos(full, 1, 5)
    assert (one["samples"], one["raters"], one["ratings"], one["least_ratings"]) == (40, 6, 240, 6)
    assert (one["half_srcc"], one["reliability"], one["ci95_low"]) == (half.srcc, half.reliability, half.interval[0])  # fmt: skip
    assert (one["sos_a"], one["sos_r2"], one["status"]) == (sos.a, sos.r2, "ok")
    assert (other["samples"], other["ratings"], other["least_ratings"]) == (2, 3, 1)
    assert other["status"] == "flawed"
    assert [part.split(":")[0] for part in other["detail"].split("; ")] == ["no_halves", "no_sos_fit"]  # fmt: skip


@pytest.mark.shared
def test_real_studies(shared_data: Path) -> None:
    path = shared_data / "ratings" / "nflx_public_79x26.csv"
    netflix = pd.read_csv(path, header=None).to_numpy(float)
    mos, variance = netflix.mean(axis=1), netflix.var(axis=1, ddof=1)
    reach = (mos - 1) * (5 - mos)
    assert fit_sos(netflix, 1, 5).a == pytest.approx(np.linalg.lstsq(reach[:, None], variance)[0][0])  # fmt: skip
    assert fit_sos(netflix, 1, 5).a == pytest.approx(0.198, abs=1e-3)
    assert split_half(netflix, 1).reliability > 0.98
