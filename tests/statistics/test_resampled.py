"""Statistics of many resamples at once are those of the drawn rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sfqa.identity import random_generator
from sfqa.statistics import resampled


@pytest.mark.parametrize("seed", range(4))
def test_ranks_are_scipys(seed: int) -> None:
    values = random_generator("ranks", seed).integers(0, 9, (30, 5)).astype(float)
    np.testing.assert_array_equal(resampled.compute_ranks(values), stats.rankdata(values, axis=0))
    np.testing.assert_array_equal(
        resampled.compute_ranks(values[:, 0]), stats.rankdata(values[:, 0])
    )


def test_small_kendall_is_scipys() -> None:
    draw = random_generator("kendall")
    x, y = draw.integers(0, 4, (9, 20)).astype(float), draw.normal(size=(9, 20))
    want = [stats.kendalltau(x[:, k], y[:, k]).statistic for k in range(20)]
    np.testing.assert_allclose(resampled.kendall(x, y), want, atol=1e-12)


rows = st.lists(
    st.tuples(st.integers(-20, 20), st.integers(-20, 20), st.integers(0, 3)),
    min_size=5,
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(rows)
def test_a_weight_is_a_number_of_copies(points: list[tuple[int, int, int]]) -> None:
    x, y, times = np.array(points, float).T
    copies = np.repeat(np.arange(len(x)), times.astype(int))
    one = np.ones((len(copies), 1))
    for call in (resampled.srcc, resampled.plcc):
        got = call(x[:, None], y, times[:, None])
        want = call(x[copies, None], y[copies], one) if len(copies) else [[np.nan]]
        np.testing.assert_allclose(got, want, atol=1e-12)
    got = resampled.krcc(x[:, None], y, np.arange(len(x)), times[:, None])
    want = (
        resampled.krcc(x[copies, None], y[copies], np.arange(len(copies)), one)
        if len(copies)
        else [[np.nan]]
    )
    np.testing.assert_allclose(got, want, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(rows)
def test_monotone_transforms_leave_the_ranks_of_resamples(
    points: list[tuple[int, int, int]],
) -> None:
    x, y, times = np.array(points, float).T
    cells = np.arange(len(x))
    for moved in (x**3, np.exp(x / 9), 7 * x - 3):
        np.testing.assert_array_equal(
            resampled.srcc(moved[:, None], y, times[:, None]),
            resampled.srcc(x[:, None], y, times[:, None]),
        )
        np.testing.assert_array_equal(
            resampled.krcc(moved[:, None], y, cells, times[:, None]),
            resampled.krcc(x[:, None], y, cells, times[:, None]),
        )


@settings(max_examples=40, deadline=None)
@given(rows, st.floats(0.01, 100), st.floats(-100, 100))
def test_affine_transforms_leave_the_plcc_of_resamples(
    points: list[tuple[int, int, int]], scale: float, shift: float
) -> None:
    x, y, times = np.array(points, float).T
    plain = resampled.plcc(x[:, None], y, times[:, None])
    moved = resampled.plcc(scale * x[:, None] + shift, y, times[:, None])
    np.testing.assert_allclose(moved, plain, atol=1e-9)


def test_the_batched_statistics_agree_with_scipy_at_the_papers_size() -> None:
    draw = random_generator("papers size")
    x = np.round(draw.normal(50, 10, (5184, 3)), 1)
    y = np.round(x[:, 0] + draw.normal(0, 10, 5184))
    one = np.ones((5184, 1))
    for got, want in (
        (resampled.srcc(x, y, one), stats.spearmanr),
        (resampled.plcc(x, y, one), stats.pearsonr),
        (resampled.krcc(x, y, np.arange(5184), one), stats.kendalltau),
    ):
        for k in range(3):
            assert got[k, 0] == pytest.approx(want(x[:, k], y).statistic, abs=1e-12)
