"""The least-squares fits of the logistic functions, against scipy and against whole grids."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from scipy.optimize import curve_fit
from scipy.special import expit

from sfqa.correlation.fits import fit_mapping
from sfqa.correlation.sigmoid_error import expand_error, sort_points
from sfqa.correlation.sigmoid_search import fit_sigmoid
from thinned import mark_others_thorough


def written4(x: np.ndarray, b1: float, b2: float, b3: float, b4: float) -> np.ndarray:
    return b2 + (b1 - b2) / (1 + np.exp(-(x - b3) / abs(b4)))


def written5(x: np.ndarray, b1: float, b2: float, b3: float, b4: float, b5: float) -> np.ndarray:
    return b1 * (0.5 - 1 / (1 + np.exp(b2 * (x - b3)))) + b4 * x + b5


def fit_as_papers_do(x: np.ndarray, y: np.ndarray, word: str) -> float:
    """The sum of squared errors of curve_fit from the single start of the field, inf if it fails."""
    start = [y.max(), y.min(), x.mean(), *([0.5] if word == "logistic4" else [0.1, 0.1])]
    formula = written4 if word == "logistic4" else written5
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            b, _ = curve_fit(formula, x, y, start, maxfev=20_000)
        except RuntimeError:
            return float("inf")
        error = float(np.sum((formula(x, *b) - y) ** 2))
    return error if np.isfinite(error) else float("inf")


def sum_squares(x: np.ndarray, y: np.ndarray, word: str) -> float:
    mapping = fit_mapping(x, y, word)
    assert "no_convergence" not in mapping.detail
    return float(np.sum((mapping(x) - y) ** 2))


@pytest.mark.parametrize("seed", range(6))
def test_a_relation_that_bends_one_way_is_fitted_with_a_free_middle(seed: int) -> None:
    """As scores of real metrics do: a search that stops early is .0001 worse in RMSE."""
    draw = np.random.default_rng(seed)
    x = draw.normal(2.5, 0.8, 1700)
    y = 5 - 3.2 * np.exp(-0.45 * x) + draw.normal(0, 0.5, 1700)
    got = sum_squares(x, y, "logistic4")
    assert got <= fit_as_papers_do(x, y, "logistic4") * (1 + 1e-9)
    # The exponential, which the curve reaches when its middle is far away, by a fine grid.
    rates = np.linspace(0.05, 1.5, 1500)
    exponentials = [np.stack([np.exp(-rate * x), np.ones_like(x)], axis=1) for rate in rates]
    best = min(float(np.linalg.lstsq(e, y, rcond=None)[1][0]) for e in exponentials)
    assert got <= best * (1 + 1e-6)
    assert sum_squares(x, y, "logistic5") <= got * (1 + 1e-9)


def draw_examples() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Relations from none to strong, few points and many, heavy tails, ties, odd scales."""
    for seed in range(24):
        draw = np.random.default_rng(seed)
        n = int(draw.choice([12, 40, 160, 500]))
        x = draw.normal(size=n) if seed % 3 else draw.standard_t(2, n)
        strength = draw.choice([0.0, 0.3, 1.0])
        y = strength * np.tanh(2 * x - 1) + 0.5 * draw.normal(size=n)
        if seed % 4 == 0:
            x = np.round(x, 1)
        yield x * 10.0 ** draw.integers(-4, 4) + draw.normal(), 3 + y


@pytest.mark.parametrize("word", ["logistic4", "logistic5"])
def test_never_worse_than_the_fit_that_papers_use(word: str) -> None:
    for x, y in draw_examples():
        assert sum_squares(x, y, word) <= fit_as_papers_do(x, y, word) * (1 + 1e-9)


@pytest.mark.thorough
@pytest.mark.parametrize("word", ["logistic4", "logistic5"])
def test_no_middle_and_width_of_a_fine_grid_is_better(word: str) -> None:
    for x, y in draw_examples():
        u = (x - x.mean()) / x.std()
        got = sum_squares(x, y, word)
        columns = [np.ones_like(u), u] if word == "logistic5" else [np.ones_like(u)]
        basis = np.linalg.qr(np.stack(columns, axis=1))[0]
        rest = y - basis @ (basis.T @ y)
        for width in np.geomspace(1e-4, 30, 60):
            middles = np.linspace(u.min() - 5 * width, u.max() + 5 * width, 400)
            curves = expit((u - middles[:, None]) / width)
            curves -= (curves @ basis) @ basis.T
            power = (curves**2).sum(axis=1)
            falls = np.where(power > 1e-9, (curves @ rest) ** 2 / np.maximum(power, 1e-9), 0)
            assert got <= (float(rest @ rest) - float(falls.max())) * (1 + 1e-7)


@pytest.mark.parametrize("n", mark_others_thorough([2001, 2500, 10_001], 3))
@pytest.mark.parametrize("relation", ["line", "weak", "exponential"])
@pytest.mark.parametrize("word", ["logistic4", "logistic5"])
def test_many_points_are_fitted_as_well_as_by_papers(n: int, relation: str, word: str) -> None:
    """The starts are chosen on a part of the points, which may bend to the other side."""
    for seed in range(4 if n < 10_000 else 1):
        draw = np.random.default_rng(seed)
        x, noise = draw.normal(3, 0.8, n), draw.normal(size=n)
        y = {
            "line": x + 0.4 * noise,
            "weak": 0.1 * x + noise,
            "exponential": 5 - 3.2 * np.exp(-0.45 * x) + 0.5 * noise,
        }[relation]
        assert sum_squares(x, y, word) <= fit_as_papers_do(x, y, word) * (1 + 1e-7)


def test_the_curve_in_its_own_parameters_is_as_good_as_its_fit() -> None:
    """A parabola: a far middle gives b1 and b5 of 1e19, which cancel each other."""
    draw = np.random.default_rng(91)
    x = draw.uniform(-3, 3, 2500)
    y = x**2 + draw.choice([0.3, 1, 2]) * draw.normal(size=2500) + draw.choice([0, 0.2]) * x
    parabola = float(np.sum((np.polyval(np.polyfit(x, y, 2), x) - y) ** 2))
    assert sum_squares(x, y, "logistic5") <= parabola * (1 + 1e-5)


def test_scores_without_a_finite_slope_are_never_mapped_to_nan() -> None:
    draw = np.random.default_rng(2)
    x = draw.normal(size=60)
    y = np.tanh(x) + 0.1 * draw.normal(size=60)
    for power in (-290, -300, -304, -307):
        for word in ("logistic4", "logistic5"):
            mapping = fit_mapping(x * 10.0**power, y, word)
            error = float(np.mean((mapping(x * 10.0**power) - y) ** 2))
            assert error <= float(np.var(y)), (power, word)
            assert mapping.name.startswith("logistic") or "no_convergence" in mapping.detail


def test_limits_of_the_curves_are_reached() -> None:
    draw = np.random.default_rng(7)
    x = draw.normal(size=300)
    noise = 0.1 * draw.normal(size=300)
    bases = {
        "logistic4": [np.vander(x, 2), np.stack([np.exp(x), np.ones(300)], axis=1)],
        "logistic5": [np.vander(x, 4), np.stack([np.exp(x), x, np.ones(300)], axis=1)],
    }
    for word, limits in bases.items():
        for columns in limits:
            y = columns @ np.arange(1.0, columns.shape[1] + 1) + noise
            best = float(np.linalg.lstsq(columns, y, rcond=None)[1][0])
            assert sum_squares(x, y, word) <= best * (1 + 1e-5)


def test_the_best_step_is_exact() -> None:
    """Noise: the best step of all, with a level of its own at one score, is found by trying all."""
    draw = np.random.default_rng(3)
    x = np.arange(30.0)
    y = np.where(x > 17, 2.0, 1.0) + np.where(x == 17, 0.4, 0.0) + 1e-3 * draw.normal(size=30)
    best = min(
        float(sum(np.sum((part - part.mean()) ** 2) for part in np.split(y, cuts)))
        for k in range(1, 29)
        for cuts in ([k], [k, k + 1])
    )
    assert sum_squares(x, y, "logistic4") == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("is_tilted", [False, True])
@pytest.mark.parametrize(("middle", "width"), [(0.3, 0.7), (-4.0, 1.1), (6.0, 2.0), (0.0, 30.0)])
def test_derivatives_are_those_of_the_error(is_tilted: bool, middle: float, width: float) -> None:
    draw = np.random.default_rng(1)
    u = draw.normal(size=80)
    v = np.tanh(u - 0.2) + 0.2 * draw.normal(size=80)
    points = sort_points(u, v, is_tilted)

    def compute_error(along: float, across: float) -> float:
        at = np.array([middle + along * width]), np.array([width * np.exp(across)])
        return float(expand_error(points, *at).error[0])

    state = expand_error(points, np.array([middle]), np.array([width]))
    h = 1e-3
    slopes = [
        (compute_error(h, 0) - compute_error(-h, 0)) / (2 * h),
        (compute_error(0, h) - compute_error(0, -h)) / (2 * h),
    ]
    np.testing.assert_allclose(-2 * state.descent[0], slopes, rtol=1e-4, atol=1e-7)
    centre = compute_error(0, 0)
    bends = [
        (compute_error(h, 0) - 2 * centre + compute_error(-h, 0)) / h**2,
        (
            compute_error(h, h) - compute_error(h, -h) - compute_error(-h, h)
            + compute_error(-h, -h)
        ) / (4 * h**2),
        (compute_error(0, h) - 2 * centre + compute_error(0, -h)) / h**2,
    ]  # fmt: skip
    newton = np.array([[bends[0], bends[1]], [bends[1], bends[2]]]) / 2
    if np.linalg.eigvalsh(newton)[0] > 1e-6:
        np.testing.assert_allclose(state.hessian[0], newton, rtol=1e-3, atol=1e-6)
    assert np.linalg.eigvalsh(state.hessian[0])[0] >= -1e-12


def test_many_points_are_fitted_on_all() -> None:
    draw = np.random.default_rng(5)
    u = draw.normal(size=12_000)
    u = (u - u.mean()) / u.std()
    v = np.tanh(u) + 0.3 * draw.normal(size=12_000)
    v = (v - v.mean()) / v.std()
    fit = fit_sigmoid(u, v, False, (0.0, 1.0), 400)
    assert fit.has_converged
    state = expand_error(sort_points(u, v, False), np.array([fit.middle]), np.array([fit.width]))
    np.testing.assert_allclose(state.descent / state.error[:, None], 0, atol=1e-6)
