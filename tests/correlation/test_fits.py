from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from scipy import optimize

from sfqa.correlation import fits, statistics
from sfqa.correlation.fits import LINEAR, LOGISTIC, MEAN, correlate, fit_mapping, logistic4
from sfqa.identity import generator


@pytest.fixture(autouse=True)
def _no_warnings() -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def written(x: np.ndarray, b1: float, b2: float, b3: float, b4: float) -> np.ndarray:
    """The formula as the field writes it."""
    return b2 + (b1 - b2) / (1 + np.exp(-(x - b3) / abs(b4)))


def test_logistic_is_the_written_formula() -> None:
    x = np.linspace(-5, 5, 41)
    for b in ((80, 20, 0.5, 0.7), (1, 5, -1, 2), (3, 1, 0, -0.4)):
        np.testing.assert_allclose(logistic4(x, *b), written(x, *b), rtol=0, atol=1e-12)


def test_slopes_are_the_derivatives() -> None:
    x = np.linspace(-3, 3, 13)
    for b in (np.array([80.0, 20.0, 0.5, 0.7]), np.array([1.0, 5.0, -1.0, -2.0])):
        got = fits._slopes(x, *b)
        for k in range(4):
            step = np.zeros(4)
            step[k] = 1e-6
            want = (logistic4(x, *(b + step)) - logistic4(x, *(b - step))) / 2e-6
            np.testing.assert_allclose(got[:, k], want, atol=1e-6)


@pytest.mark.parametrize(
    "known",
    [(80.0, 20.0, 0.5, 0.7), (20.0, 80.0, -0.3, 0.4), (5.0, 1.0, 1.0, 0.2)],
    ids=["rising", "falling", "steep"],
)
@pytest.mark.parametrize(("scale", "shift"), [(1, 0), (1e-5, 0), (1e4, 3e5), (40, 50)])
def test_recovers_known_parameters_on_every_scale(
    known: tuple[float, ...], scale: float, shift: float
) -> None:
    b1, b2, b3, b4 = known
    x = generator("recover").normal(size=200)
    y = written(x, *known)
    found = fit_mapping(scale * x + shift, y)
    assert found.name == LOGISTIC
    assert found.parameters == pytest.approx((b1, b2, scale * b3 + shift, scale * b4), rel=1e-6)
    assert found.detail == ""


def test_is_the_least_squares_fit_under_noise() -> None:
    draw = generator("noise")
    x = draw.uniform(0, 100, 300)
    y = written(x, 75, 30, 55, 9) + draw.normal(0, 4, 300)
    found = fit_mapping(x, y)
    # An independent search over the whole plane of middles and widths: b1, b2 follow linearly.
    best = np.inf
    for b3, b4 in itertools.product(np.linspace(0, 100, 101), np.geomspace(0.5, 60, 40)):
        s = 1 / (1 + np.exp(-(x - b3) / b4))
        design = np.column_stack([s, 1 - s])
        best = min(best, float(np.linalg.lstsq(design, y, rcond=None)[1][0]))
    error = float(np.sum((found(x) - y) ** 2))
    assert error <= best + 1e-6
    assert error >= 0.98 * best
    assert found.parameters == pytest.approx((75, 30, 55, 9), rel=0.15)


@pytest.mark.parametrize("seed", range(6))
def test_never_worse_than_a_line(seed: int) -> None:
    draw = generator("line", seed)
    n = int(draw.integers(4, 80))
    x = draw.normal(size=n) * 10.0 ** float(draw.integers(-6, 6))
    y = draw.normal() * x / np.std(x) + draw.normal(size=n)
    plain = statistics.plcc(x, y)
    found = correlate(x, y)
    assert plain is not None
    assert found.plcc is not None
    assert found.plcc >= abs(plain) - 1e-5


def test_a_negative_relation_fits_and_keeps_the_ranks_negative() -> None:
    x = generator("negative").normal(size=100)
    found = correlate(x, written(x, 20, 80, 0.1, 0.6))
    assert found.mapping == LOGISTIC
    assert found.plcc == pytest.approx(1, abs=1e-9)
    assert found.rmse == pytest.approx(0, abs=1e-6)
    assert found.srcc == pytest.approx(-1)
    assert found.krcc == pytest.approx(-1)


@pytest.mark.parametrize("factor", [1.0, -1.0, 1e3, 1e-3])
def test_a_straight_line_is_a_limit_of_the_logistic(factor: float) -> None:
    y = generator("oracle").uniform(0, 100, 60)
    found = correlate(factor * y, y)
    assert found.plcc == pytest.approx(1, abs=1e-7)
    assert found.status == "ok"


@pytest.mark.parametrize("bend", [np.exp, lambda x: np.exp(2 * x), lambda x: -np.exp(-2 * x)])
def test_data_that_bend_one_way_only(bend: object) -> None:
    x = generator("bend").normal(size=200)
    y = bend(x)  # type: ignore[operator]
    found = correlate(x, y)
    assert found.mapping == LOGISTIC
    assert found.plcc is not None
    assert found.plcc > 0.9999
    assert (statistics.plcc(x, y) or 0) < 0.95


def test_no_convergence_falls_back_to_the_line_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*_: object, **__: object) -> None:
        raise RuntimeError("Optimal parameters not found")

    monkeypatch.setattr(fits, "curve_fit", never)
    draw = generator("fallback")
    x = draw.normal(5, 2, 40)
    y = 3 * x + draw.normal(size=40)
    mapping = fit_mapping(x, y)
    assert mapping.name == LINEAR == "linear (logistic-4 did not converge)"
    np.testing.assert_allclose(mapping.parameters, np.polyfit(x, y, 1), rtol=1e-10)
    found = correlate(x, y)
    assert found.mapping == LINEAR
    assert found.status == "flawed"
    assert found.detail.startswith("no_convergence: ")
    assert found.plcc == pytest.approx(statistics.plcc(x, y), abs=1e-12)


def test_a_fit_worse_than_the_line_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = (np.array([1.0, -1.0, 0.0, 1e-9]), None)
    monkeypatch.setattr(fits, "curve_fit", lambda *_, p0=None, **__: (stuck[0][: len(_[3])], None))
    x = np.linspace(0, 1, 30)
    assert fit_mapping(x, x).name == LINEAR


def test_constant_scores_map_to_the_mean() -> None:
    found = correlate([2.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found.srcc, found.plcc, found.krcc) == (None, None, None)
    assert found.mapping == MEAN
    assert found.rmse == pytest.approx(np.sqrt(2))
    assert found.status == "failed"
    assert found.detail == "constant_scores: all 5 scores are equal"


@pytest.mark.parametrize("y", [[1.0, 2.0, 3.0], [4.0] * 6, [1.0, 2.0, np.nan, 4.0, 5.0, 6.0]])
def test_undefined_input_has_no_number_at_all(y: list[float]) -> None:
    x = np.arange(len(y), dtype=float)
    found = correlate(x, y)
    assert (found.srcc, found.plcc, found.krcc, found.rmse) == (None, None, None, None)
    assert found.mapping == "none"
    assert found.detail == statistics.why_undefined(x, y)
    with pytest.raises(ValueError, match=found.detail.split(":")[0]):
        fit_mapping(x, y)


def test_few_points_are_said() -> None:
    x = np.arange(7.0)
    assert correlate(x, x**2).detail.startswith("few_points: ")
    x = np.arange(8.0)
    assert correlate(x, x**2).detail == ""


def test_agrees_with_the_plain_published_fit() -> None:
    """Where the field's own start does well, ours gives the same PLCC."""
    draw = generator("published")
    x = draw.normal(0, 1, 150)
    y = written(x, 4.5, 1.5, 0.2, 0.5) + draw.normal(0, 0.3, 150)
    b, _ = optimize.curve_fit(written, x, y, [y.max(), y.min(), x.mean(), 0.5])
    want = np.corrcoef(written(x, *b), y)[0, 1]
    assert correlate(x, y).plcc == pytest.approx(want, abs=1e-7)
