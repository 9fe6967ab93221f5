"""Curves that are steps or run against the metric's direction: marked, and never ranked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from sfqa.correlation.fits import correlate
from sfqa.correlation.marks import AGAINST, STEP, find_marks
from sfqa.correlation.summarise import correlation_rows
from sfqa.statistics import functions


def correlate_marks(x: np.ndarray, y: np.ndarray, word: str = "logistic4") -> list[str]:
    return find_marks(correlate(x, y, word).detail)


@pytest.mark.parametrize("scale", [1.0, 1e-5, 1e4])
@pytest.mark.parametrize("n", [8, 12, 60, 400])
def test_a_step_is_marked(n: int, scale: float) -> None:
    draw = np.random.default_rng(n)
    x = draw.normal(size=n)
    y = np.where(x > np.quantile(x, 0.7), 4.0, 2.0) + 0.1 * draw.normal(size=n)
    assert correlate_marks(scale * x, y) == [STEP]
    assert correlate_marks(scale * x, -y) == [STEP, AGAINST]


def test_metrics_with_one_step_in_common_have_one_plcc_and_all_are_marked() -> None:
    """Nine points of which two are good: any metric that ranks these two first gets the same PLCC."""
    y = np.array([1.0, 1.1, 0.9, 1.05, 0.95, 1.0, 1.02, 4.0, 4.1])
    values = []
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(7)
        x = np.append(order, [7.0, 8.0])
        found = correlate(x, y)
        assert STEP in find_marks(found.detail)
        assert "few_points" in found.detail
        values.append(found["plcc"])
    assert np.ptp(values) < 1e-3


@pytest.mark.parametrize(
    "relation",
    [
        lambda x: x,
        lambda x: np.tanh(3 * x),
        lambda x: np.exp(x),
        lambda x: 1 / (1 + np.exp(-(x - 1) / 0.2)),
    ],
    ids=["line", "logistic", "exponential", "steep"],
)
@pytest.mark.parametrize("n", [40, 400])
def test_a_smooth_curve_is_not_marked(relation: Callable[[np.ndarray], np.ndarray], n: int) -> None:
    draw = np.random.default_rng(n)
    x = draw.normal(size=n)
    for noise in (0.0, 0.1):
        assert correlate_marks(x, relation(x) + noise * draw.normal(size=n)) == []


def test_scores_with_few_values_are_not_marked_for_that() -> None:
    """A metric of two or three levels has no more to give than the means of its levels."""
    draw = np.random.default_rng(4)
    for levels in (2, 3, 5):
        x = draw.integers(0, levels, 200).astype(float)
        assert correlate_marks(x, x + 0.5 * draw.normal(size=200)) == []


@pytest.mark.parametrize("word", ["logistic4", "logistic5", "cubic"])
def test_a_relation_against_the_direction_is_marked(word: str) -> None:
    draw = np.random.default_rng(1)
    x = draw.normal(size=80)
    y = -np.tanh(x) + 0.3 * draw.normal(size=80)
    found = correlate(x, y, word)
    assert AGAINST in find_marks(found.detail)
    assert found.status == "flawed"
    assert (functions.srcc(x, y) or 0) < -0.7
    assert correlate_marks(-x, y, word) == []


@pytest.mark.parametrize("word", ["logistic5", "cubic"])
def test_a_curve_that_falls_over_half_the_scores_is_marked(word: str) -> None:
    x = np.random.default_rng(2).normal(size=80)
    assert AGAINST in correlate_marks(x, x**2, word)


@pytest.mark.parametrize("word", ["none", "rescale"])
def test_scores_as_given_are_not_marked(word: str) -> None:
    x = np.arange(20.0)
    assert correlate_marks(x, -x, word) == []


def make_tables(trials: int = 1) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Predictions of 'good' and, in dimension b, of 'reversed'; MOS and samples; 40 per trial."""
    draw = np.random.default_rng(0)
    names = [f"s{n:03d}" for n in range(40 * trials)]
    mos = {"a": draw.uniform(1, 5, len(names)), "b": draw.uniform(1, 5, len(names))}
    predictions = [
        {
            "metric": metric, "dimension": dimension, "protocol": "p", "trial": number // 40,
            "sample_id": name, "part": "test", "status": "ok", "detail": "",
            "prediction": sign * mos[dimension][number] + 0.3 * draw.normal(),
        }
        for metric, signs in (("good", {"a": 1, "b": 1}), ("reversed", {"a": 1, "b": -1}))
        for dimension, sign in signs.items()
        for number, name in enumerate(names)
    ]  # fmt: skip
    rated = [
        {"sample_id": n, "dimension": d, "mos": v, "status": "ok", "synthetic": False}
        for d in mos
        for n, v in zip(names, mos[d], strict=True)
    ]
    samples = pd.DataFrame({"sample_id": names, "method": "m"})
    return pd.DataFrame(predictions), pd.DataFrame(rated), samples


METRICS = [
    {"name": n, "group": "g", "kind": "zero_shot", "direction": 1, "weights": "none"}
    for n in ("good", "reversed")
]


def test_the_mean_over_dimensions_and_trials_keeps_the_mark() -> None:
    rows = pd.DataFrame(correlation_rows(*make_tables(3), METRICS))
    rows = rows[rows["level"] == "video"].set_index(["metric", "pooling", "dimension"])["detail"]
    for pooling in ("pooled", "mean", "median"):
        assert find_marks(rows["reversed", pooling, "b"]) == [AGAINST]
        assert find_marks(rows["reversed", pooling, "a"]) == []
        assert find_marks(rows["reversed", pooling, "overall"]) == [AGAINST]
        assert find_marks(rows["good", pooling, "overall"]) == []
    assert rows["reversed", "mean", "b"].startswith(f"{AGAINST}: in 3 of 3 trials")
    assert rows["reversed", "mean", "overall"].endswith(f"{AGAINST}: see b")
