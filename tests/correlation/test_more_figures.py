from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.image import imread
from scipy.stats import spearmanr

from sfqa import media
from sfqa.correlation.fits import fit_mapping
from sfqa.correlation.more_figures import (
    MOS,
    draw_failure_cases,
    draw_metric_matrix,
    draw_srcc_bars,
)
from sfqa.correlation.rank_figure import draw_ranks, find_equal_groups
from sfqa.identity import random_generator

V, A = "visual_quality", "av_consistency"


def correlations(intervals: bool = True) -> pd.DataFrame:
    rows = []
    for place, (name, kind, weights) in enumerate(
        [("a", "zero_shot", "none"), ("b", "regressor", "random"), ("c", "control", "none")]
    ):
        for dimension in (V, A):
            for pooling in ("pooled", "mean"):
                value = None if name == "c" else 0.8 - 0.3 * place + 0.1 * (pooling == "mean")
                rows.append(
                    {"metric": name, "kind": kind, "weights": weights, "dimension": dimension, "protocol": "random", "level": "video",
                     "pooling": pooling, "srcc": value, "synthetic_mos": False,
                     "srcc_low": value - 0.1 if value and intervals and pooling == "pooled" else None,
                     "srcc_high": value + 0.05 if value and intervals and pooling == "pooled" else None}
                )  # fmt: skip
    return pd.DataFrame(rows)


def texts(figure: Figure) -> str:
    return "\n".join(t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text")))


def test_bars_stand_at_their_values_with_their_intervals(
    drawn: list[Figure], tmp_path: Path
) -> None:
    draw_srcc_bars(correlations(), "random", (V, A), [tmp_path / "bars.svg"])
    axes = drawn[0].axes[0]
    assert [b.get_width() for b in axes.patches] == [0.8, 0.5]
    ends = sorted(x for s in axes.collections[0].get_segments() for x in s[:, 0])
    np.testing.assert_allclose(ends, [0.4, 0.55, 0.7, 0.85])
    assert "undefined" in texts(drawn[0])
    assert "random weights" in texts(drawn[0])
    assert axes.patches[1].get_hatch()


def test_bars_without_intervals_show_the_mean_over_trials(
    drawn: list[Figure], tmp_path: Path
) -> None:
    draw_srcc_bars(correlations(intervals=False), "random", (V,), [tmp_path / "bars.png"])
    np.testing.assert_allclose([b.get_width() for b in drawn[0].axes[0].patches], [0.9, 0.6])
    assert "mean over the trials" in texts(drawn[0])
    assert imread(tmp_path / "bars.png").std() > 0


def test_the_matrix_is_spearmans(drawn: list[Figure], tmp_path: Path) -> None:
    draw = random_generator("matrix")
    frame = pd.DataFrame(draw.standard_normal((40, 3)), columns=[MOS, "x", "y"])
    frame["z"] = frame["x"] + 0.1 * frame["y"]
    frame.loc[3, "y"] = np.nan
    frame["flat"] = 1.0
    draw_metric_matrix({V: frame}, [tmp_path / "m.svg"], "Metric against metric")
    axes = drawn[0].axes[0]
    names = [t.get_text() for t in axes.get_yticklabels()]
    shown = np.asarray(axes.images[0].get_array().filled(np.nan), float)
    assert names[0] == MOS
    assert abs(names.index("x") - names.index("z")) == 1
    for i, a in enumerate(names):
        for j, b in enumerate(names):
            known = frame[[a, b]].dropna() if a != b else frame[[a]].dropna()
            if "flat" in (a, b):
                assert np.isnan(shown[i, j])
            elif a != b:
                assert shown[i, j] == pytest.approx(
                    spearmanr(known[a], known[b]).statistic, abs=1e-12
                )


def test_failures_are_the_largest_errors(drawn: list[Figure], tmp_path: Path) -> None:
    draw = random_generator("failures")
    goal = draw.uniform(20, 80, 60)
    points = pd.DataFrame(
        {"prediction": goal + draw.standard_normal(60), "mos": goal},
        index=[f"s{n:02d}" for n in range(60)],
    )
    points.loc["s07", "prediction"] += 25
    points.loc["s31", "prediction"] -= 25
    video = tmp_path / "results" / "made" / "conform" / "a.mp4"
    picture = np.full((48, 64, 3), 200, np.uint8)
    media.write_video(video, [picture] * 5, 25.0)
    found = draw_failure_cases(
        points,
        {"s07": "results/made/conform/a.mp4"},
        tmp_path / "results/made",
        "Errors",
        [tmp_path / "f.svg"],
        each=3,
    )
    assert found["side"].tolist() == ["high"] * 3 + ["low"] * 3
    assert found["sample_id"].iloc[0] == "s07"
    assert found["sample_id"].iloc[3] == "s31"
    np.testing.assert_allclose(found["error"], found["mapped"] - found["mos"])
    pictures = [np.asarray(i.get_array()) for a in drawn[0].axes for i in a.images]
    assert len(pictures) == 6
    assert abs(float(pictures[0][80, 80].mean()) - 200) < 12
    assert float(pictures[0][2, 80].mean()) < 12  # the frame keeps its shape: black above
    assert texts(drawn[0]).count("no video") == 5


@pytest.mark.parametrize("word", ["none", "logistic5", "cubic"])
def test_failures_are_measured_after_the_mapping_of_the_tables(word: str, tmp_path: Path) -> None:
    draw = random_generator("failures after the mapping")
    goal = draw.uniform(20, 80, 60)
    points = pd.DataFrame(
        {"prediction": (goal / 80) ** 3 + 0.05 * draw.standard_normal(60), "mos": goal},
        index=[f"s{n:02d}" for n in range(60)],
    )
    curve = fit_mapping(points["prediction"], points["mos"], word)
    cases = draw_failure_cases(
        points, {}, tmp_path, "Errors", [tmp_path / "f.png"], each=2, mapping=word
    )
    scores = points.loc[cases["sample_id"], "prediction"]
    np.testing.assert_allclose(cases["mapped"], curve(scores), rtol=1e-9)


def test_nothing_to_draw_is_said(drawn: list[Figure], tmp_path: Path) -> None:
    none = pd.DataFrame(columns=["prediction", "mos"])
    assert draw_failure_cases(none, {}, tmp_path, "No metric", [tmp_path / "f.png"]).empty
    draw_srcc_bars(correlations().iloc[:0], "random", (V,), [tmp_path / "b.png"])
    draw_ranks(pairs([]).iloc[:0], "random", (V,), [tmp_path / "r.png"])
    draw_metric_matrix({}, [tmp_path / "m.png"])
    for figure, words in zip(
        drawn, ("no sample", "no metric", "no pair", "no metric"), strict=True
    ):
        assert words in texts(figure)


def pairs(told: list[tuple[str, str]]) -> pd.DataFrame:
    values = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.1}
    rows = [
        {"dimension": V, "protocol": "random", "statistic": "srcc", "metric_a": x, "metric_b": y, "value_a": values[x], "value_b": values[y],
         "significant": (x, y) in told, "synthetic_mos": True}
        for x in values for y in values if x < y
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_ranks_are_joined_where_nothing_differs(drawn: list[Figure], tmp_path: Path) -> None:
    draw_ranks(
        pairs([("a", "c"), ("a", "d"), ("b", "d"), ("c", "d")]),
        "random",
        (V,),
        [tmp_path / "r.svg"],
    )
    axes = drawn[0].axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["1  a", "2  b", "3  c", "4  d"]
    np.testing.assert_allclose(axes.lines[0].get_xdata(), [0.9, 0.8, 0.7, 0.1])
    runs = [tuple(np.round(line.get_ydata()).astype(int)) for line in axes.lines[1:]]
    assert runs == [(0, 1), (1, 2)]
    assert "synthetic ratings" in texts(drawn[0])


@given(st.integers(1, 8), st.data())
def test_groups_hold_all_that_is_alike_and_nothing_else(count: int, data: Any) -> None:
    order = [f"m{n}" for n in range(count)]
    every = [frozenset((a, b)) for n, a in enumerate(order) for b in order[n + 1 :]]
    different = set(data.draw(st.lists(st.sampled_from(every))) if every else [])
    runs = find_equal_groups(order, different)

    def alike(first: int, last: int) -> bool:
        own = order[first : last + 1]
        return not any(frozenset((a, b)) in different for a in own for b in own if a != b)

    for first, last in runs:
        assert first < last
        assert alike(first, last)
        # Longest possible on either side.
        assert first == 0 or not alike(first - 1, last)
        assert last == count - 1 or not alike(first, last + 1)
    for n in range(count - 1):
        joined = any(first <= n and n + 1 <= last for first, last in runs)
        assert joined == alike(n, n + 1)


def test_same_input_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        draw_srcc_bars(
            correlations(), "random", (V, A), [tmp_path / f"{name}.svg", tmp_path / f"{name}.png"]
        )
        draw_ranks(pairs([("a", "d")]), "random", (V,), [tmp_path / f"{name}_r.svg"])
    for suffix in (".svg", ".png", "_r.svg"):
        one = (tmp_path / f"one{suffix}").read_bytes()
        assert one == (tmp_path / f"two{suffix}").read_bytes()
    assert not re.search(r"\d{4}-\d\d-\d\dT", (tmp_path / "one.svg").read_text())


def test_ranks_name_metrics_with_random_weights(drawn: list[Figure], tmp_path: Path) -> None:
    draw_ranks(pairs([("a", "d")]), "random", (V,), [tmp_path / "r.svg"], untrained=["b"])
    labels = [t.get_text() for t in drawn[0].axes[0].get_yticklabels()]
    assert labels == ["1  a", "2  b\n(random weights)", "3  c", "4  d"]
    assert "synthetic ratings, random weights" in texts(drawn[0])
    draw_ranks(pairs([("a", "d")]), "random", (V,), [tmp_path / "r.svg"], untrained=["x"])
    assert "random weights" not in texts(drawn[1])


def test_panels_without_numbers_are_left_out(drawn: list[Figure], tmp_path: Path) -> None:
    rows = correlations()
    rows.loc[rows["dimension"] == A, ["srcc", "srcc_low", "srcc_high"]] = None
    draw_srcc_bars(rows, "random", (V, A), [tmp_path / "b.svg"])
    empty = pairs([]).assign(dimension=A, value_a=np.nan, value_b=np.nan)
    draw_ranks(pd.concat([pairs([]), empty]), "random", (V, A), [tmp_path / "r.svg"])
    for figure in drawn:
        assert [axes.get_title(loc="left") for axes in figure.axes] == ["visual quality"]


def test_bars_of_folds_without_numbers_are_pooled(drawn: list[Figure], tmp_path: Path) -> None:
    rows = correlations(intervals=False)
    rows.loc[rows["pooling"] == "mean", "srcc"] = None
    draw_srcc_bars(rows, "random", (V,), [tmp_path / "b.svg"])
    np.testing.assert_allclose([b.get_width() for b in drawn[0].axes[0].patches], [0.8, 0.5])
    assert "random splits, all test samples" in texts(drawn[0])
    draw_srcc_bars(rows.assign(protocol="all"), "all", (V,), [tmp_path / "b.svg"])
    assert "SRCC, all rated videos, all test samples" in texts(drawn[1])


def test_pairs_without_a_test_are_not_called_equal(drawn: list[Figure], tmp_path: Path) -> None:
    draw_ranks(pairs([]).assign(p_holm=np.nan), "random", (V,), [tmp_path / "r.svg"])
    assert len(drawn[0].axes[0].lines) == 1
    assert "too few groups for a test" in texts(drawn[0])


def test_the_legend_says_what_hatched_bars_are(drawn: list[Figure], tmp_path: Path) -> None:
    draw_srcc_bars(correlations(), "random", (V,), [tmp_path / "b.svg"])
    labels = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert labels == ["zero shot", "regressor", "control", "random weights"]
    trained = correlations().assign(weights="official")
    draw_srcc_bars(trained, "random", (V,), [tmp_path / "b.svg"])
    assert "random weights" not in texts(drawn[1])
