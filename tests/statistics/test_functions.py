from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sfqa.identity import random_generator
from sfqa.statistics.functions import krcc, plcc, rmse, srcc, why_undefined

STATISTICS = (srcc, plcc, krcc)


def ranks(values: np.ndarray) -> np.ndarray:
    """Mean ranks by counting: how many are smaller, and half of the equal ones."""
    return np.array([(values < v).sum() + ((values == v).sum() + 1) / 2 for v in values])


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - math.fsum(x) / len(x), y - math.fsum(y) / len(y)
    return math.fsum(x * y) / math.sqrt(math.fsum(x * x) * math.fsum(y * y))


def tau_b(x: np.ndarray, y: np.ndarray) -> float:
    """Kendall's tau-b by its definition, over all pairs."""
    pairs = [
        (np.sign(x[i] - x[j]), np.sign(y[i] - y[j]))
        for i, j in itertools.combinations(range(len(x)), 2)
    ]
    both = sum(a * b for a, b in pairs)
    return both / math.sqrt(sum(a != 0 for a, _ in pairs) * sum(b != 0 for _, b in pairs))


def tied(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    draw = random_generator("statistics", seed)
    x = draw.integers(0, 12, n).astype(float)
    return x, np.round(x / 3 + draw.normal(0, 2, n))


@pytest.mark.parametrize("seed", range(5))
def test_agree_with_definitions_on_ties(seed: int) -> None:
    x, y = tied(seed)
    assert len(set(x)) < len(x)
    assert len(set(y)) < len(y)
    assert srcc(x, y) == pytest.approx(pearson(ranks(x), ranks(y)), abs=1e-12)
    assert plcc(x, y) == pytest.approx(pearson(x, y), abs=1e-12)
    assert krcc(x, y) == pytest.approx(tau_b(x, y), abs=1e-12)
    assert rmse(x, y) == pytest.approx(math.sqrt(math.fsum((x - y) ** 2) / len(x)), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_agree_with_scipy_on_ties(seed: int) -> None:
    x, y = tied(seed)
    assert srcc(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert plcc(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
    assert krcc(x, y) == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)


def test_known_numbers() -> None:
    # Kendall's own example (1938): two judges' rankings of ten boys, S = 23 of 45.
    a = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    b = [4, 7, 2, 10, 3, 6, 8, 1, 5, 9]
    signs = [np.sign(b[j] - b[i]) for i, j in itertools.combinations(range(10), 2)]
    assert krcc(a, b) == pytest.approx(sum(signs) / 45, abs=1e-15)
    assert srcc(a, b) == pytest.approx(
        1 - 6 * sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) / 990
    )


@pytest.mark.parametrize(
    ("x", "y", "word"),
    [
        ([1, 1, 1, 1, 1], [1, 2, 3, 4, 5], "constant_scores"),
        ([0.1 + 0.2, 0.3, 0.3, 0.3, 0.3], [1, 2, 3, 4, 5], "constant_scores"),
        ([1, 2, 3, 4, 5], [2, 2, 2, 2, 2], "constant_mos"),
        ([1, 2, 3], [1, 2, 3], "too_few"),
        ([], [], "too_few"),
        ([1, 2, 3, np.nan], [1, 2, 3, 4], "not_finite"),
        ([1, 2, 3, 4], [1, 2, 3, np.inf], "not_finite"),
    ],
)
def test_undefined_is_none_with_a_reason(x: list[float], y: list[float], word: str) -> None:
    assert why_undefined(x, y).startswith(f"{word}: ")
    assert [statistic(x, y) for statistic in STATISTICS] == [None, None, None]


def test_reason_says_whose_values_are_bad() -> None:
    assert "1 of 4 scores" in why_undefined([1, 2, 3, np.nan], [1, 2, 3, 4])
    assert "2 of 4 MOS" in why_undefined([1, 2, 3, 4], [np.nan, 2, 3, np.nan])


def test_rmse_is_defined_for_constants_and_not_for_nan() -> None:
    assert rmse([2, 2], [1, 3]) == 1.0
    assert rmse([], []) is None
    assert rmse([1, np.nan], [1, 2]) is None


@pytest.mark.parametrize("statistic", [*STATISTICS, rmse, why_undefined])
def test_lengths_must_match(statistic: object) -> None:
    with pytest.raises(ValueError, match="one length"):
        statistic([1, 2, 3, 4], [1, 2, 3])  # type: ignore[operator]


# Whole numbers, so that a transform keeps ties and order exactly.
pairs = st.lists(
    st.tuples(st.integers(-30, 30), st.integers(-30, 30)), min_size=4, max_size=40
).filter(lambda p: len({a for a, _ in p}) > 1 and len({b for _, b in p}) > 1)


@settings(max_examples=60, deadline=None)
@given(pairs)
def test_monotone_transforms_leave_ranks(points: list[tuple[int, int]]) -> None:
    x, y = np.array(points, float).T
    for moved in (x**3, np.exp(x / 10), np.arctan(x), 7 * x - 3):
        assert srcc(moved, y) == pytest.approx(srcc(x, y), abs=1e-12)
        assert krcc(moved, y) == pytest.approx(krcc(x, y), abs=1e-12)
    assert srcc(-x, y) == pytest.approx(-srcc(x, y), abs=1e-12)  # type: ignore[operator]
    assert krcc(-x, y) == pytest.approx(-krcc(x, y), abs=1e-12)  # type: ignore[operator]


@settings(max_examples=60, deadline=None)
@given(pairs, st.floats(0.01, 100), st.floats(-100, 100))
def test_affine_transforms_leave_plcc(
    points: list[tuple[int, int]], scale: float, shift: float
) -> None:
    x, y = np.array(points, float).T
    plain = plcc(x, y)
    assert plain is not None
    assert plcc(scale * x + shift, y) == pytest.approx(plain, abs=1e-9)
    assert plcc(-scale * x + shift, y) == pytest.approx(-plain, abs=1e-9)
    assert -1 - 1e-12 <= plain <= 1 + 1e-12
