from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from sfqa.correlation.learning_figure import draw_learning_curves
from sfqa.figure_style import COLOURS

V, A = "visual_quality", "av_consistency"
NAMES = ("ridge", "forest")


def table(**changed: Any) -> pd.DataFrame:
    rows = [
        {
            "metric": metric,
            "dimension": dimension,
            "protocol": "disjoint",
            "share": share,
            "rows": 90.0 * share,
            "trials": 1 if share == 1 else 5,
            "srcc": 0.4 + 0.3 * share + 0.1 * number,
            "srcc_sd": np.nan if share == 1 else 0.05,
            "weights": "none",
            "synthetic_mos": False,
        }
        for number, metric in enumerate(NAMES)
        for dimension in (V, A)
        for share in (1.0, 0.125, 0.5)
    ]
    return pd.DataFrame(rows).assign(**changed)


def draw(rows: pd.DataFrame, path: Path, dimensions: tuple[str, ...] = (V, A)) -> None:
    draw_learning_curves(rows, NAMES, dimensions, "disjoint", [path])


def test_lines_are_the_rows_in_order_of_the_rows_learnt_from(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    draw(table(), tmp_path / "l.png")
    left, right = drawn[0].axes
    assert [axes.get_title(loc="left") for axes in (left, right)] == [
        "visual quality",
        "av consistency",
    ]
    one, two = left.lines
    assert one.get_xydata() == pytest.approx(np.array([[11.25, 0.4375], [45, 0.55], [90, 0.7]]))
    assert two.get_xydata() == pytest.approx(np.array([[11.25, 0.5375], [45, 0.65], [90, 0.8]]))
    assert [line.get_color() for line in (one, two)] == list(COLOURS[:2])
    assert left.get_xscale() == "log"
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == list(NAMES)
    assert drawn[0].get_suptitle() == "Learning curves, disjoint splits"
    assert "1 to 5 fits" in left.get_xlabel()


def test_the_band_is_one_standard_deviation_and_ends_with_it(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    draw(table(), tmp_path / "l.png")
    bands = [c for c in drawn[0].axes[0].collections if isinstance(c, PolyCollection)]
    assert [to_hex(band.get_facecolor()[0]).upper() for band in bands] == list(COLOURS[:2])  # type: ignore[index]
    corners = bands[0].get_paths()[0].vertices
    wanted = {(11.25, 0.3875), (11.25, 0.4875), (45.0, 0.5), (45.0, 0.6)}
    assert {(round(x, 6), round(y, 6)) for x, y in corners.tolist()} == wanted


def test_a_share_without_srcc_has_no_point_and_a_panel_says_so(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    rows = table()
    rows.loc[rows["share"] == 0.125, "srcc"] = np.nan
    rows.loc[rows["dimension"] == A, "srcc"] = np.nan
    draw(rows, tmp_path / "l.png")
    left, right = drawn[0].axes
    assert [len(line.get_xydata()) for line in left.lines] == [2, 2]  # type: ignore[arg-type]
    assert [t.get_text() for t in right.texts] == ["no share has an SRCC"]


def test_other_protocols_and_metrics_are_left_out(tmp_path: Path, drawn: list[Figure]) -> None:
    draw_learning_curves(table(), ["forest"], [V, A], "disjoint", [tmp_path / "a.png"])
    draw_learning_curves(table(), NAMES, [V], "random", [tmp_path / "b.png"])
    assert [line.get_label() for line in drawn[0].axes[0].lines] == ["forest"]
    assert [t.get_text() for t in drawn[1].axes[0].texts] == ["no learning curve to draw"]


def test_titles_warn_and_untrained_features_are_dashed(tmp_path: Path, drawn: list[Figure]) -> None:
    rows = table(synthetic_mos=True)
    rows.loc[rows["metric"] == "forest", "weights"] = "random"
    draw(rows, tmp_path / "l.png")
    title = drawn[0].get_suptitle()
    assert title == "Learning curves, disjoint splits\nsynthetic ratings, random weights"
    assert [line.get_linestyle() for line in drawn[0].axes[0].lines] == ["-", "--"]


def test_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg"):
        draw(table(), tmp_path / name)
    text = (tmp_path / "one.svg").read_text()
    assert text == (tmp_path / "two.svg").read_text()
    assert not re.search(r"<dc:date>|\d{4}-\d\d-\d\dT", text)


@pytest.mark.parametrize("most", [10.0, 40.0, 700.0, 20000.0])
def test_two_ticks_or_more_are_in_sight(tmp_path: Path, drawn: list[Figure], most: float) -> None:
    rows = table()
    rows["rows"] = rows["share"] * most
    draw(rows, tmp_path / "l.png", (V,))
    axes = drawn[0].axes[0]
    low, high = axes.get_xlim()
    shown = [t for t in axes.get_xticks() if low <= t <= high]
    assert 2 <= len(shown) <= 12
