from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from scipy import optimize

from sfqa.correlation import curves
from sfqa.correlation.fits import (
    CUBIC,
    LINEAR,
    LINEAR5,
    LOGISTIC,
    LOGISTIC5,
    MAPPINGS,
    MEAN,
    RESCALED,
    correlate,
    correlate_with_mapping,
    fit_mapping,
    logistic4,
    logistic5,
    mapping_word,
)
from sfqa.correlation.sigmoid_search import SigmoidFit
from sfqa.errors import UserError
from sfqa.identity import random_generator
from sfqa.statistics import functions


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


def written5(x: np.ndarray, b1: float, b2: float, b3: float, b4: float, b5: float) -> np.ndarray:
    """The formula of VQEG as the field writes it."""
    return b1 * (0.5 - 1 / (1 + np.exp(b2 * (x - b3)))) + b4 * x + b5


def test_logistic5_is_the_written_formula() -> None:
    x = np.linspace(-5, 5, 41)
    for b in ((80, 2, 0.5, 0.7, 40), (-1, 0.5, -1, 2, 0), (3, -1, 0, -0.4, 5)):
        np.testing.assert_allclose(logistic5(x, *b), written5(x, *b), rtol=0, atol=1e-12)


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
    x = random_generator("recover").normal(size=200)
    y = written(x, *known)
    found = fit_mapping(scale * x + shift, y)
    assert found.name == LOGISTIC
    assert found.parameters == pytest.approx((b1, b2, scale * b3 + shift, scale * b4), rel=1e-6)
    assert found.detail == ""


def test_is_the_least_squares_fit_under_noise() -> None:
    draw = random_generator("noise")
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
    draw = random_generator("line", seed)
    n = int(draw.integers(4, 80))
    x = draw.normal(size=n) * 10.0 ** float(draw.integers(-6, 6))
    y = draw.normal() * x / np.std(x) + draw.normal(size=n)
    plain = functions.plcc(x, y)
    found = correlate(x, y)
    assert plain is not None
    assert found["plcc"] is not None
    assert found["plcc"] >= abs(plain) - 1e-5


def test_a_negative_relation_fits_and_keeps_the_ranks_negative() -> None:
    x = random_generator("negative").normal(size=100)
    found = correlate(x, written(x, 20, 80, 0.1, 0.6))
    assert found.mapping == LOGISTIC
    assert found["plcc"] == pytest.approx(1, abs=1e-9)
    assert found["rmse"] == pytest.approx(0, abs=1e-6)
    assert found["srcc"] == pytest.approx(-1)
    assert found["krcc"] == pytest.approx(-1)


@pytest.mark.parametrize("factor", [1.0, -1.0, 1e3, 1e-3])
def test_a_straight_line_is_a_limit_of_the_logistic(factor: float) -> None:
    y = random_generator("oracle").uniform(0, 100, 60)
    found = correlate(factor * y, y)
    assert found["plcc"] == pytest.approx(1, abs=1e-9)
    assert found.status == ("ok" if factor > 0 else "flawed")


@pytest.mark.parametrize("bend", [np.exp, lambda x: np.exp(2 * x), lambda x: -np.exp(-2 * x)])
def test_data_that_bend_one_way_only(bend: object) -> None:
    x = random_generator("bend").normal(size=200)
    y = bend(x)  # type: ignore[operator]
    found = correlate(x, y)
    assert found.mapping == LOGISTIC
    assert found["plcc"] is not None
    assert found["plcc"] > 1 - 1e-9
    assert (functions.plcc(x, y) or 0) < 0.95


def test_a_fit_worse_than_the_line_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = SigmoidFit(-1.0, 1.0, 0.0, 1e-9, 0.0, error=0.5, has_converged=True)
    monkeypatch.setattr(curves, "fit_sigmoid", lambda *_: bad)
    draw = random_generator("fallback")
    x = draw.normal(5, 2, 40)
    y = 3 * x + draw.normal(size=40)
    mapping = fit_mapping(x, y)
    assert mapping.name == LINEAR == "linear (logistic-4 did not converge)"
    np.testing.assert_allclose(mapping.parameters, np.polyfit(x, y, 1), rtol=1e-10)
    found = correlate(x, y)
    assert found.mapping == LINEAR
    assert found.status == "flawed"
    assert found.detail.startswith("no_convergence: ")
    assert found["plcc"] == pytest.approx(functions.plcc(x, y), abs=1e-12)
    assert fit_mapping(x, y, "logistic5").name == LINEAR5 == "linear (logistic-5 did not converge)"


@pytest.mark.parametrize("word", ["logistic4", "logistic5"])
def test_a_search_that_is_cut_short_is_said(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random_generator("cut short")
    x = draw.normal(size=200)
    y = written(x, 4.5, 1.5, 0.2, 0.5) + draw.normal(0, 0.3, 200)
    assert "no_convergence" not in correlate(x, y, word).detail
    monkeypatch.setattr(curves, "EVALUATIONS", 1)
    found = correlate(x, y, word)
    assert found.mapping == MAPPINGS[word]
    assert found.status == "flawed"
    assert "no_convergence: " in found.detail


def test_constant_scores_map_to_the_mean() -> None:
    found = correlate([2.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found["srcc"], found["plcc"], found["krcc"]) == (None, None, None)
    assert found.mapping == MEAN
    assert found["rmse"] == pytest.approx(np.sqrt(2))
    assert found.status == "failed"
    assert found.detail == "constant_scores: all 5 scores are equal"


@pytest.mark.parametrize("y", [[1.0, 2.0, 3.0], [4.0] * 6, [1.0, 2.0, np.nan, 4.0, 5.0, 6.0]])
def test_undefined_input_has_no_number_at_all(y: list[float]) -> None:
    x = np.arange(len(y), dtype=float)
    found = correlate(x, y)
    assert (found["srcc"], found["plcc"], found["krcc"], found["rmse"]) == (None, None, None, None)
    assert found.mapping == "none"
    assert found.detail == functions.why_undefined(x, y)
    with pytest.raises(ValueError, match=found.detail.split(":")[0]):
        fit_mapping(x, y)


@pytest.mark.parametrize(("word", "least"), [("logistic4", 20), ("logistic5", 25), ("cubic", 20)])
def test_fewer_than_five_points_a_parameter_are_said(word: str, least: int) -> None:
    x = np.arange(least - 1.0)
    found = correlate(x, x**2, word)
    assert found.detail.startswith("few_points: ")
    assert found.status == "flawed"
    assert correlate(np.arange(float(least)), np.arange(float(least)) ** 2, word).detail == ""


def test_agrees_with_the_plain_published_fit() -> None:
    """Where the field's own start does well, ours gives the same PLCC."""
    draw = random_generator("published")
    x = draw.normal(0, 1, 150)
    y = written(x, 4.5, 1.5, 0.2, 0.5) + draw.normal(0, 0.3, 150)
    b, _ = optimize.curve_fit(written, x, y, [y.max(), y.min(), x.mean(), 0.5])
    want = np.corrcoef(written(x, *b), y)[0, 1]
    assert correlate(x, y)["plcc"] == pytest.approx(want, abs=1e-7)


@pytest.mark.parametrize("noise", [0.1, 0.3, 0.6])
def test_agrees_with_curve_fit_from_the_published_starts(noise: float) -> None:
    """scipy's curve_fit from the field's start, no slopes given: never better, else equal."""
    draw = random_generator("starts", str(noise))
    x = draw.normal(0, 1, 200)
    y = written(x, 4.5, 1.5, 0.2, 0.5) + draw.normal(0, noise, 200)
    starts = {
        LOGISTIC: (written, [y.max(), y.min(), x.mean(), 0.5]),
        LOGISTIC5: (written5, [y.max(), y.min(), x.mean(), 0.1, 0.1]),
    }
    for name, (formula, start) in starts.items():
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            b, _ = optimize.curve_fit(formula, x, y, start, maxfev=20000)
        want = float(np.mean((formula(x, *b) - y) ** 2))
        word = {v: k for k, v in MAPPINGS.items()}[name]
        made = fit_mapping(x, y, word)
        assert made.name == name
        got = float(np.mean((made(x) - y) ** 2))
        assert got <= want * (1 + 1e-9)
        if abs(got - want) < 1e-9 * want:
            assert correlate(x, y, word)["plcc"] == pytest.approx(
                np.corrcoef(formula(x, *b), y)[0, 1], abs=1e-6
            )


@pytest.mark.parametrize(("scale", "shift"), [(1, 0), (1e-5, 0), (1e4, 3e5), (40, 50)])
def test_recovers_the_five_parameter_curve_on_every_scale(scale: float, shift: float) -> None:
    x = random_generator("recover five").normal(size=300)
    y = written5(x, 40, 3, 0.4, 5, 50)
    found = fit_mapping(scale * x + shift, y, "logistic5")
    assert found.name == LOGISTIC5
    np.testing.assert_allclose(found(scale * x + shift), y, atol=1e-4)


def test_five_parameters_fit_at_least_as_well_as_four_and_both_as_a_line() -> None:
    for seed in range(8):
        draw = random_generator("five", seed)
        n = int(draw.integers(8, 90))
        x = draw.normal(size=n) * 10.0 ** float(draw.integers(-6, 6))
        y = draw.normal() * x / np.std(x) + draw.normal(size=n)
        error = {word: correlate(x, y, word)["rmse"] for word in MAPPINGS}
        slack = 1e-5 * float(np.std(y))
        line = float(np.sqrt(np.mean((np.polyval(np.polyfit(x, y, 1), x) - y) ** 2)))
        assert error["logistic5"] <= error["logistic4"] + slack
        assert error["logistic4"] <= line + slack
        assert error["cubic"] <= line + slack


def test_cubic_is_polyfit() -> None:
    draw = random_generator("cubic")
    x = draw.uniform(20, 80, 60)
    y = 1e-4 * (x - 50) ** 3 + x + draw.normal(size=60)
    found = fit_mapping(x, y, "cubic")
    assert found.name == CUBIC
    np.testing.assert_allclose(found(x), np.polyval(np.polyfit(x, y, 3), x), rtol=1e-9)
    assert found.detail == ""


def test_cubic_of_three_different_scores_passes_through_their_means() -> None:
    x, y = np.array([1.0, 1.0, 2.0, 2.0, 3.0, 3.0]), np.array([1.0, 3.0, 2.0, 4.0, 9.0, 11.0])
    np.testing.assert_allclose(fit_mapping(x, y, "cubic")(x), [2, 2, 3, 3, 10, 10], atol=1e-9)


def test_none_and_rescaling_leave_plcc_and_change_rmse() -> None:
    draw = random_generator("rescale")
    x = draw.normal(5, 2, 80)
    y = 40 + 8 * x + draw.normal(0, 10, 80)
    plain, moved = correlate(x, y, "none"), correlate(x, y, "rescale")
    assert plain["plcc"] == pytest.approx(functions.plcc(x, y), abs=1e-15)
    assert moved["plcc"] == pytest.approx(plain["plcc"], abs=1e-12)
    assert plain["rmse"] == pytest.approx(np.sqrt(np.mean((x - y) ** 2)))
    brought = fit_mapping(x, y, "rescale")(x)
    assert (brought.mean(), brought.std()) == pytest.approx((y.mean(), y.std()))
    assert moved["rmse"] == pytest.approx(np.sqrt(np.mean((brought - y) ** 2)))
    assert (plain.mapping, moved.mapping) == ("none", RESCALED)


def test_plcc_without_a_fitted_mapping_keeps_its_sign() -> None:
    x = np.arange(20.0)
    for word in ("none", "rescale"):
        assert correlate(x, -x, word)["plcc"] == pytest.approx(-1)


def test_four_points_are_too_few_for_five_parameters() -> None:
    found = correlate([1, 2, 3, 4], [1, 2, 4, 3], "logistic5")
    assert found.mapping == LINEAR5


def test_a_curve_that_turns_says_so() -> None:
    x = np.linspace(-1, 1, 60)
    assert correlate(x, x**2, "cubic").detail.startswith("not_monotone: ")
    assert correlate(x, x**3, "cubic").detail == ""


@pytest.mark.parametrize("word", MAPPINGS)
def test_every_mapping_has_its_name_and_its_reasons(word: str) -> None:
    x = random_generator("names").normal(size=40)
    assert correlate(x, x + x**3, word).mapping == MAPPINGS[word]
    assert mapping_word(MAPPINGS[word], "") == word
    assert correlate([2.0] * 5, [1.0, 2, 3, 4, 5], word).mapping == MEAN
    assert correlate([1.0, 2], [1.0, 2], word).detail.startswith("too_few: ")
    assert correlate_with_mapping([1.0, 2], [1.0, 2], word)[1] is None


def test_an_unknown_mapping_is_a_sentence() -> None:
    with pytest.raises(
        UserError, match="mapping: no mapping 'logistik4'; did you mean 'logistic4'"
    ):
        fit_mapping([1, 2, 3, 4], [1, 2, 4, 3], "logistik4")


@pytest.mark.parametrize("word", ["logistic4", "logistic5", "cubic"])
@pytest.mark.parametrize(
    "scores",
    [
        lambda draw: 1e-300 * draw.normal(size=60),
        lambda draw: 1e300 * draw.normal(size=60),
        lambda draw: 1e9 + draw.normal(size=60),
        lambda draw: np.append(draw.normal(size=59), 1e6),
        lambda draw: np.repeat(np.arange(30.0), 2) + 1e-15 * draw.normal(size=60),
        lambda draw: draw.integers(0, 2, 60).astype(float),
        lambda draw: draw.standard_cauchy(60),
        lambda draw: np.exp(8 * draw.normal(size=60)),
    ],
    ids=["tiny", "huge", "far", "outlier", "near ties", "two values", "heavy tails", "exponential"],
)
def test_scores_of_any_form_are_fitted_without_a_warning(scores: object, word: str) -> None:
    """Warnings are errors here; the best line is a limit of every curve."""
    draw = random_generator("forms")
    x = scores(draw)  # type: ignore[operator]
    y = draw.normal(size=60)
    found = correlate(x, y, word)
    assert "no_convergence" not in found.detail
    assert found["plcc"] is not None
    assert found["plcc"] >= abs(functions.plcc(x, y) or 0) - 1e-6
