"""Every statistic of the list, in all its forms, gives the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sfqa.identity import random_generator
from sfqa.regression.selection import score_selection
from sfqa.statistics import functions
from sfqa.statistics.registry import (
    NAMES,
    STATISTICS,
    RowResamples,
    Statistic,
    find_statistic,
    join_words,
)
from sfqa.training.trainer import compute_mean_srcc

each = pytest.mark.parametrize("statistic", STATISTICS, ids=NAMES)
points = st.lists(
    st.tuples(st.integers(-9, 9), st.integers(-9, 9), st.integers(0, 3)), min_size=5, max_size=30
)


def or_nan(value: float | None) -> float:
    return np.nan if value is None else value


@each
@settings(max_examples=40, deadline=None)
@given(points)
def test_a_resample_is_the_statistic_of_the_drawn_rows(
    statistic: Statistic, points: list[tuple[int, int, int]]
) -> None:
    x, y, times = np.array(points, float).T
    weights = np.stack([times, times[::-1], np.ones_like(times)], axis=1)
    resamples = RowResamples(np.arange(len(x)), weights, weights)
    got = statistic.compute_resamples(x[:, None], y, resamples)
    assert got.shape == (1, 3)
    for column, w in enumerate(weights.T.astype(int)):
        want = statistic.compute(np.repeat(x, w), np.repeat(y, w))
        if want is not None:
            assert got[0, column] == pytest.approx(want, abs=1e-9)


@each
@settings(max_examples=40, deadline=None)
@given(points)
def test_columns_are_the_statistic_one_by_one(
    statistic: Statistic, points: list[tuple[int, int, int]]
) -> None:
    x, y, z = np.array(points, float).T
    a, b = np.stack([x, z, x], axis=1), np.stack([y, y, z], axis=1)
    got = statistic.compute_each(a, b)
    for column in range(3):
        want = statistic.compute(a[:, column], b[:, column])
        if want is not None:
            assert got[column] == pytest.approx(want, abs=1e-9)


def test_without_batched_functions_the_single_one_is_called() -> None:
    plain = Statistic("mae", "MAE", "mean absolute error", lambda x, y: float(np.abs(x - y).mean()))
    draw = random_generator("loop")
    x, y = draw.normal(size=(20, 2)), draw.normal(size=20)
    weights = draw.integers(0, 3, (20, 4)).astype(float)
    got = plain.compute_resamples(x, y, RowResamples(np.arange(20), weights, weights))
    want = np.abs(x[:, 1] - y) @ weights[:, 2] / weights[:, 2].sum()
    assert got.shape == (2, 4)
    assert got[1, 2] == pytest.approx(want)
    assert plain.compute_each(x, x + 1).tolist() == pytest.approx([1, 1])


@each
def test_entries_are_whole(statistic: Statistic) -> None:
    value = statistic.compute(np.array([1.0, 2, 3, 4, 5]), np.array([1.0, 3, 2, 4, 5]))
    assert value is not None
    assert statistic.is_possible(value)
    assert not statistic.is_possible(float("nan"))
    assert find_statistic(statistic.name) is statistic
    # Steiger's and Meng's tests are of Pearson's correlation, of a statistic that is resampled.
    assert not statistic.pearson_of or (statistic.has_interval and statistic.is_correlation)
    constant = statistic.compute(np.ones(5), np.arange(5.0))
    assert (constant is None) == statistic.is_correlation


def test_the_criterion_of_heads_and_of_networks_is_the_same_srcc() -> None:
    draw = random_generator("criteria")
    for n in (4, 17, 300):
        x, y = np.round(draw.normal(size=n), 1), np.round(draw.normal(size=n), 1)
        want = functions.srcc(x, y)
        assert score_selection(x, y) == pytest.approx(want, abs=1e-12)
        rated = torch.ones(n, 1, dtype=torch.bool)
        score = compute_mean_srcc(torch.tensor(x)[:, None], torch.tensor(y)[:, None], rated)
        assert score == pytest.approx(want, abs=1e-12)


def test_words_are_joined_as_in_a_sentence() -> None:
    assert [join_words(names, "or") for names in ([], ["a"], ["a", "b"], "abc")] == [
        "", "a", "a or b", "a, b or c",
    ]  # fmt: skip
