"""What is known of one agreement: its status and its main score."""

from __future__ import annotations

import pytest

from sfqa.correlation.agreement import UNDEFINED, Correlation

VALUES = {"srcc": 0.5, "plcc": 0.5, "krcc": 0.4, "rmse": 1.0}


def test_status_follows_from_values_and_detail() -> None:
    assert Correlation(9, VALUES, "none").status == "ok"
    assert Correlation(9, VALUES, "none", "x: y").status == "flawed"
    assert Correlation(9, {**UNDEFINED, "rmse": 1.0}, "none", "x: y").status == "failed"


def test_the_main_score_of_ntire() -> None:
    """NTIRE 2025, track 3: the winner's .8036 and .8453 make .8245 (rounded there)."""
    values = {"srcc": 0.8036, "plcc": 0.8453, "krcc": 0.6, "rmse": 1.0}
    assert Correlation(9, values, "none").main_score == pytest.approx(0.8245, abs=6e-5)
    assert Correlation(9, {**values, "srcc": None}, "none").main_score is None
