"""Counting pairs through bins is counting all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfqa.identity import random_generator
from sfqa.statistics import kendall


def all_pairs(mine: np.ndarray, goal: np.ndarray, weights: np.ndarray) -> list[float]:
    signs = np.sign(mine[:, None] - mine) * np.sign(goal[:, None] - goal)
    return [float(w @ signs @ w) for w in weights.T]


def ranked(values: list[int]) -> np.ndarray:
    return np.unique(values, return_inverse=True)[1]


rows = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 3)), min_size=1, max_size=80
)


@settings(max_examples=150, deadline=None)
@given(rows, st.integers(1, 9))
def test_all_pairs_are_counted_once_whatever_the_bins(points, side) -> None:
    x, y, times = (list(v) for v in zip(*points, strict=True))
    mine, goal, weights = ranked(x), ranked(y), np.array([times, times[::-1]], float).T
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kendall, "SIDE", side)
        found = kendall.sum_pair_agreement(mine, goal, weights)
    assert found.tolist() == all_pairs(mine, goal, weights)


@pytest.mark.parametrize("decimals", [9, 1, -1])
def test_more_rows_than_a_bin_holds(decimals: int) -> None:
    draw = random_generator("pairs")
    y = np.round(draw.normal(50, 10, 900), decimals)
    x = np.round(y + draw.normal(0, 10, 900), 1)
    weights = draw.multinomial(900, np.full(900, 1 / 900), 3).T.astype(float)
    mine, goal = ranked(x.tolist()), ranked(y.tolist())
    assert kendall.sum_pair_agreement(mine, goal, weights).tolist() == all_pairs(
        mine, goal, weights
    )


def test_no_bin_is_large_but_that_of_one_value() -> None:
    codes = ranked([5] * 1000 + list(range(6, 900)))
    bins = kendall._Bins(codes)
    assert bins.alike[0]
    assert len(bins.rows[0]) == 1000
    assert max(map(len, bins.rows[1:])) <= 2 * kendall.SIDE
    assert sorted(np.concatenate(bins.rows).tolist()) == list(range(len(codes)))


def test_large_weights_stay_exact() -> None:
    mine, goal = np.array([0, 1, 2]), np.array([0, 2, 1])
    weights = np.array([[2.0**20 + 1], [2.0**20], [2.0**20 - 1]])
    assert kendall.sum_pair_agreement(mine, goal, weights).tolist() == all_pairs(
        mine, goal, weights
    )
