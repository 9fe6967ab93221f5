from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.image import imread

from sfqa.correlation.figures import (
    FEW_POINTS,
    INSIDE,
    draw_mos_by_label,
    draw_scatter,
    estimate_density,
)
from sfqa.correlation.fits import MAPPINGS, fit_mapping
from sfqa.correlation.summarise import pool_points
from sfqa.errors import UserError
from sfqa.identity import random_generator

V, A = "visual_quality", "av_consistency"


def draw(world: Any, number: int, paths: list[Path], dimensions: tuple[str, ...] = (V, A)) -> None:
    draw_scatter(
        world.predictions,
        world.mos,
        world.samples,
        world.metrics[number],
        dimensions,
        "random",
        paths,
    )


def labels() -> pd.DataFrame:
    rows = []
    for kind, names in (("method", ("a", "b", "c")), ("language", ("en", "zh"))):
        for number, label in enumerate(names):
            for dimension in (V, A):
                mean = 40.0 + 10 * number
                alone = label == "c"
                rows.append(
                    {
                        "label_kind": kind,
                        "label": label,
                        "dimension": dimension,
                        "n": 1 if alone else 12,
                        "mean": mean,
                        "sd": np.nan if alone else 5.0,
                        "ci95_low": np.nan if alone else mean - 3,
                        "ci95_high": np.nan if alone else mean + 2,
                    }
                )
    return pd.DataFrame(rows)


def test_same_input_gives_the_same_bytes(world: Any, tmp_path: Path) -> None:
    for name in ("one", "two"):
        draw(world, 2, [tmp_path / f"{name}.svg", tmp_path / f"{name}.png"], (V,))
        draw_mos_by_label(labels(), [tmp_path / f"{name}_mos.svg"])
    for ending in (".svg", ".png", "_mos.svg"):
        one, two = ((tmp_path / f"{n}{ending}").read_bytes() for n in ("one", "two"))
        assert one == two
    assert not re.search(r"<dc:date>|\d{4}-\d\d-\d\dT", (tmp_path / "one.svg").read_text())
    assert imread(tmp_path / "one.png").shape[2] == 4


def test_scatter_shows_scores_as_given_and_a_falling_curve(
    world: Any, tmp_path: Path, drawn: list[Figure]
) -> None:
    draw(world, 2, [tmp_path / "s.svg"])
    left, right = drawn[0].axes
    assert [axes.get_title(loc="left") for axes in (left, right)] == [
        "visual quality",
        "av consistency",
    ]
    p = world.predictions
    own = p[(p["metric"] == "lse_d") & (p["dimension"] == V) & (p["protocol"] == "random")]
    clouds = [c for c in left.collections if isinstance(c, PathCollection)]
    points = np.vstack([c.get_offsets() for c in clouds])
    assert len(points) == 60
    assert sorted(points[:, 0]) == pytest.approx(
        sorted(own[own["part"] == "test"].groupby("sample_id")["prediction"].mean())
    )
    curve = left.lines[0].get_xydata()
    assert isinstance(curve, np.ndarray)
    order = np.argsort(curve[:, 0])
    assert (np.diff(curve[order, 1]) < 0).all()
    assert "lower is better" in left.get_xlabel()
    assert re.search(r"n = 60 +SRCC 0\.9", left.get_xlabel())
    assert len(clouds) == 5
    assert len({c.get_facecolor().tobytes() for c in clouds}) == 5


def test_lines_of_density_lie_over_the_points(
    world: Any, tmp_path: Path, drawn: list[Figure]
) -> None:
    draw(world, 2, [tmp_path / "d.svg"])
    for axes in drawn[0].axes:
        (lines,) = [c for c in axes.collections if isinstance(c, ContourSet)]
        assert len(lines.levels) == len(INSIDE)
        assert axes.lines[-1].get_label() == "25, 50, 90 % of the density"
        corners = np.concatenate([path.vertices for path in lines.get_paths()])
        low, high = np.array([axes.get_xlim(), axes.get_ylim()]).T
        assert (corners > low).all()
        assert (corners < high).all()
        # The view holds points and lines, and not the far empty cells of the grid.
        points = np.vstack([c.get_offsets() for c in axes.collections if c is not lines])
        seen = np.concatenate([corners, points])
        assert high - low == pytest.approx(np.ptp(seen, axis=0) * 1.1, rel=1e-6)
    names = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert names[-2:] == ["fit: logistic-4", "25, 50, 90 % of the density"]


def test_few_points_have_no_lines_of_density(
    world: Any, tmp_path: Path, drawn: list[Figure]
) -> None:
    ids = world.samples["sample_id"].iloc[: FEW_POINTS - 1]
    world.predictions = world.predictions[world.predictions["sample_id"].isin(ids)]
    draw(world, 2, [tmp_path / "d.svg"])
    for axes in drawn[0].axes:
        assert not [c for c in axes.collections if isinstance(c, ContourSet)]
        assert len(axes.lines) == 1


@pytest.mark.thorough
def test_density_of_a_normal_encloses_the_shares_at_the_known_radii() -> None:
    x, y = random_generator("density").normal(size=(2, 20_000))
    found = estimate_density(1e-9 * x + 4, 300 * y)
    assert found is not None
    across, up, heights, levels = found
    assert levels == sorted(levels)
    assert heights.max() == 1
    # Scott's kernel widens the normal; a share p lies inside the radius sqrt(-2 log(1 - p)).
    spread = np.sqrt(1 + 20_000 ** (-1 / 3))
    for share, level in zip(sorted(INSIDE, reverse=True), levels, strict=True):
        radius = spread * np.sqrt(-2 * np.log(1 - share))
        inside = (heights >= level).sum() * np.diff(across)[0] * np.diff(up)[0]
        assert inside == pytest.approx(np.pi * radius**2 * 1e-9 * 300, rel=0.04)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (np.arange(200.0), 3 * np.arange(200.0) + 1),
        (np.full(200, 0.1), np.arange(200.0)),
        (np.arange(200.0), np.zeros(200)),
        (np.arange(FEW_POINTS - 1.0), np.arange(FEW_POINTS - 1.0) ** 2),
    ],
)
def test_no_density_where_there_is_none(x: Any, y: Any) -> None:
    assert estimate_density(x, y) is None


def test_density_of_few_different_scores() -> None:
    draw = random_generator("steps").integers(0, 2, size=(2, 400)).astype(float)
    found = estimate_density(draw[0], draw[1])
    assert found is not None
    assert np.isfinite(found[2]).all()
    assert found[3] == sorted(set(found[3]))


def test_titles_warn(world: Any, tmp_path: Path, drawn: list[Figure]) -> None:
    draw(world, 3, [tmp_path / "a.png"], (V,))
    world.mos["synthetic"] = True
    world.metrics[3]["weights"] = "random"
    draw(world, 3, [tmp_path / "b.png"], (V,))
    titles = [figure.get_suptitle() for figure in drawn]
    assert titles == [
        "simplevqa, random splits",
        "simplevqa, random splits\nsynthetic ratings, random weights",
    ]


@pytest.mark.parametrize("number", [0, 1])
def test_scatter_of_controls(world: Any, tmp_path: Path, drawn: list[Figure], number: int) -> None:
    draw(world, number, [tmp_path / "c.png"], (V,))
    text = drawn[0].axes[0].get_xlabel()
    assert ("constant_scores" in text and "SRCC –" in text) == (number == 0)
    assert [str(line.get_label()) for line in drawn[0].axes[0].lines] == [
        "fit: logistic-4"
    ] * number


def test_scatter_without_points_says_so(world: Any, tmp_path: Path, drawn: list[Figure]) -> None:
    draw(world, 3, [tmp_path / "e.svg"], ("nothing",))
    assert [t.get_text() for t in drawn[0].axes[0].texts] == [
        "no test sample with a score and a MOS"
    ]


def test_name_and_direction_are_enough(world: Any, tmp_path: Path) -> None:
    draw_scatter(
        world.predictions,
        world.mos,
        world.samples,
        {"name": "simplevqa", "direction": 1},
        [V],
        "random",
        [tmp_path / "x.svg"],
    )
    assert (tmp_path / "x.svg").stat().st_size > 5000


def test_bars_are_the_means_and_arms_the_intervals(tmp_path: Path, drawn: list[Figure]) -> None:
    draw_mos_by_label(labels(), [tmp_path / "m.svg", tmp_path / "m.png"], synthetic=True)
    figure = drawn[0]
    assert figure.get_suptitle() == "synthetic ratings"
    assert len(figure.axes) == 4
    first = figure.axes[0]
    assert [t.get_text() for t in first.get_yticklabels()] == ["c", "b", "a"]
    assert [bar.get_width() for bar in first.patches] == [60, 50, 40]
    assert all(bar.get_x() == 0 for bar in first.patches)
    assert first.get_ylim()[0] > first.get_ylim()[1]
    arms = first.collections[0].get_segments()  # type: ignore[attr-defined]
    assert sorted(arm[:, 0].tolist() for arm in arms) == [[37, 42], [47, 52]]
    assert [t.get_text() for t in first.texts] == ["60.0, n=1", "50.0", "40.0"]


def test_a_label_missing_on_one_side_is_said(tmp_path: Path, drawn: list[Figure]) -> None:
    frame = labels()
    frame = frame[~((frame["label"] == "b") & (frame["dimension"] == A))]
    draw_mos_by_label(frame, [tmp_path / "m.png"])
    assert drawn[0].get_suptitle() == ""
    assert "no rating" in [t.get_text() for t in drawn[0].axes[1].texts]


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no row to draw"):
        draw_mos_by_label(labels()[:0], [tmp_path / "m.png"])
    with pytest.raises(ValueError, match=r"\.svg or \.png"):
        draw_mos_by_label(labels(), [tmp_path / "m.jpg"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("word", MAPPINGS)
def test_the_drawn_curve_is_the_mapping_of_the_tables(
    word: str, world: Any, drawn: list[Figure], tmp_path: Path
) -> None:
    metric = next(m for m in world.metrics if m["name"] == "simplevqa")
    tables = (world.predictions, world.mos, world.samples)
    draw_scatter(*tables, metric, (V,), "random", [tmp_path / "a.png"], word)
    points = pool_points(*tables, metric, V, "random")
    curve = fit_mapping(points["prediction"], points["mos"], word)
    lines = [line for line in drawn[0].axes[0].lines if str(line.get_label()).startswith("fit: ")]
    assert [line.get_label() for line in lines] == (
        [] if word == "none" else [f"fit: {MAPPINGS[word]}"]
    )
    for line in lines:
        x = metric["direction"] * np.asarray(line.get_xdata())
        np.testing.assert_allclose(line.get_ydata(), curve(x), rtol=1e-9)
