"""The main tables: which protocol leads, what each format shows, and never a table of dashes."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pandas as pd
import pytest

from sfqa.correlation.grid_reading import read_markdown
from sfqa.correlation.main_table import render_main_table
from sfqa.correlation.main_view import MainView, choose_view
from sfqa.errors import UserError

DIMENSIONS = ("visual_quality", "audio_visual_consistency", "overall")
MAIN = MainView("disjoint", "mean")
FEW = "too_few: 2 points where at least 4 are needed"


def make_rows(
    protocol: str, values: dict[str, float | None], pooling: str = "mean", n: int = 12
) -> list[dict[str, Any]]:
    """Rows of the correlation table for metrics of some kinds, with equal values in all dimensions."""
    kinds = {"oracle": "control", "Sharpness": "zero_shot", "ridge": "regressor"}
    return [
        {
            "metric": metric, "group": kinds[metric], "kind": kinds[metric], "protocol": protocol,
            "dimension": dimension, "level": "video", "pooling": pooling, "trials": 4, "n": n,
            "srcc": srcc, "plcc": srcc, "krcc": srcc, "rmse": None if srcc is None else 9.0,
            "srcc_low": None if srcc is None else srcc - 0.1,
            "srcc_high": None if srcc is None else srcc + 0.1,
            "mapping": "logistic-4", "interval": "percentile", "synthetic_mos": True,
            "weights": "random" if metric == "ridge" else "none",
            "status": "failed" if srcc is None else "ok", "detail": FEW if srcc is None else "",
        }
        for metric, srcc in values.items()
        for dimension in DIMENSIONS
    ]  # fmt: skip


ALL_ROWS = [
    *make_rows("all", {"oracle": 1.0, "Sharpness": 0.575}, "mean", 48),
    *make_rows("all", {"oracle": 1.0, "Sharpness": 0.575}, "pooled", 48),
]
GOOD = {"oracle": 1.0, "Sharpness": 0.4, "ridge": 0.8}
NONE: dict[str, float | None] = dict.fromkeys(GOOD)


def render(rows: list[dict[str, Any]], view: MainView = MAIN) -> dict[str, str]:
    return render_main_table(pd.DataFrame(rows), view, "C.", dimensions=DIMENSIONS, leaks="Leaks.")


def test_zero_shot_metrics_are_beside_the_regressors_and_over_all_videos() -> None:
    pages = render([*make_rows("disjoint", GOOD), *ALL_ROWS])
    test_rows, all_rows = read_markdown(pages["md"])
    assert [row[1].text for row in test_rows.rows] == ["oracle", "Sharpness", "ridge"]
    assert [row[1].text for row in all_rows.rows] == ["oracle", "Sharpness"]
    assert test_rows.rows[1][2].text == "0.4000"
    assert all_rows.rows[1][2].text == "0.5750"
    assert "Protocol disjoint; 12 test samples; 4 trials, means over the trials." in pages["md"]
    assert all_rows.title == "All rated videos, zero-shot metrics only"
    assert "no split limits them; 48 samples." in all_rows.caption
    assert pages["html"].count("<table>") == pages["tex"].count(r"\begin{tabular}") == 2
    assert "<h2>All rated videos, zero-shot metrics only</h2>" in pages["html"]


def test_the_csv_says_which_protocol_a_row_is_of() -> None:
    pages = render([*make_rows("disjoint", GOOD), *ALL_ROWS])
    rows = list(csv.DictReader(io.StringIO(pages["csv"])))
    assert [(r["protocol"], r["metric"], r["samples"]) for r in rows] == [
        ("disjoint", "oracle", "12"), ("disjoint", "Sharpness", "12"), ("disjoint", "ridge", "12"),
        ("all", "oracle", "48"), ("all", "Sharpness", "48"),
    ]  # fmt: skip


def test_six_columns_on_github_the_papers_in_latex_and_everything_elsewhere() -> None:
    pages = render([*make_rows("disjoint", GOOD), *ALL_ROWS])
    heads = read_markdown(pages["md"])[0].heads[2:]
    assert [head.name for head in heads] == ["SRCC", "PLCC"] * 3
    assert "SRCC & PLCC & KRCC & SRCC" in pages["tex"]
    assert "RMSE" not in re.sub(r"\\caption.*", "", pages["tex"])
    assert "0.300, 0.500" not in pages["md"]
    assert "[0.300, 0.500]" in pages["html"]
    assert ">RMSE<" in pages["html"]
    assert "visual_quality_srcc_low" in pages["csv"]
    one = [
        row
        for row in [*make_rows("disjoint", GOOD), *ALL_ROWS]
        if row["dimension"] == DIMENSIONS[0]
    ]
    heads = read_markdown(render(one)["md"])[0].heads[2:]
    assert [head.name for head in heads] == ["SRCC", "PLCC", "KRCC", "RMSE"]


def test_a_protocol_without_numbers_is_a_sentence_and_all_videos_lead() -> None:
    rows = [*make_rows("disjoint", NONE), *make_rows("disjoint", NONE, "pooled"), *ALL_ROWS]
    pages = render(rows)
    (grid,) = read_markdown(pages["md"])
    assert "No metric has a number under protocol disjoint: too_few: 2 points" in grid.caption
    assert [cell.text for cell in grid.rows[0][2:]] == ["1.0000"] * 6
    assert "–" not in pages["md"]
    assert "Leaks." not in pages["md"]  # the sentence is about a split that is not shown
    assert {r["protocol"] for r in csv.DictReader(io.StringIO(pages["csv"]))} == {"disjoint", "all"}


def test_trials_without_numbers_are_pooled() -> None:
    rows = [*make_rows("disjoint", NONE), *make_rows("disjoint", GOOD, "pooled", 8), *ALL_ROWS]
    pages = render(rows)
    assert "single trials test too few samples" in pages["md"]
    assert "8 test samples; 4 trials, all test samples at once." in pages["md"]
    assert read_markdown(pages["md"])[0].rows[2][2].text == "0.8000"


def test_equal_figures_are_shown_once() -> None:
    same = {"oracle": 1.0, "Sharpness": 0.575, "ridge": 0.8}
    pages = render(
        [*make_rows("disjoint", same, "pooled", 48), *ALL_ROWS], MainView("disjoint", "pooled")
    )
    assert len(read_markdown(pages["md"])) == 1
    assert "Every rated video is a test sample" in pages["md"]


def test_without_any_number_there_is_a_sentence_and_no_dash() -> None:
    rows = [
        row
        for protocol, names in (("disjoint", NONE), ("all", {"oracle": None, "Sharpness": None}))
        for pooling in ("mean", "pooled")
        for row in make_rows(protocol, names, pooling, 2)
    ]
    pages = render(rows)
    for protocol in ("disjoint", "all"):
        assert f"No metric has a number under protocol {protocol}: too\\_few" in pages["md"]
    assert "–" not in pages["md"]
    assert "too_few" in pages["csv"]


def test_nothing_is_bold_where_srcc_is_negative() -> None:
    rows = make_rows("disjoint", {"oracle": 1.0, "Sharpness": -0.7, "ridge": 0.2})
    for row in rows:
        if row["metric"] == "Sharpness":
            row |= {"plcc": 0.9, "rmse": 1.0}  # the curve falls: the best figures after it
    pages = render(rows)
    for grid in read_markdown(pages["md"]):
        assert not any(cell.rank for row in grid.rows if row[1].text == "Sharpness" for cell in row)
        assert all(
            cell.rank == "best" for row in grid.rows if row[1].text == "ridge" for cell in row[2:]
        )
    assert "Metrics with a negative SRCC are not ranked." in pages["md"]
    assert "negative SRCC" not in render(make_rows("disjoint", GOOD))["md"]


def test_warnings_are_once_on_a_page_and_in_each_table_of_latex() -> None:
    pages = render([*make_rows("disjoint", GOOD), *ALL_ROWS])
    assert pages["md"].count("MOS from simulated raters") == 1
    assert pages["html"].count("MOS from simulated raters") == 1
    assert pages["tex"].count("MOS from simulated raters") == 2
    assert "ridge **(random weights)**" in pages["md"]


def test_a_protocol_that_does_not_exist_is_named() -> None:
    with pytest.raises(
        UserError, match="no row of protocol 'x' at level 'video'; there are disjoint"
    ):
        render(make_rows("disjoint", NONE), MainView("x", "mean"))


@pytest.mark.parametrize(
    ("has_means", "has_pooled", "has_all", "expected"),
    [
        (True, True, True, MAIN),
        (False, True, True, MainView("disjoint", "pooled")),
        (False, False, True, MainView("all", "mean")),
        (False, False, False, MAIN),
    ],
)
def test_the_first_view_with_numbers(
    has_means: bool, has_pooled: bool, has_all: bool, expected: MainView
) -> None:
    rows = [
        *make_rows("disjoint", GOOD if has_means else NONE),
        *make_rows("disjoint", GOOD if has_pooled else NONE, "pooled"),
        *(ALL_ROWS if has_all else make_rows("all", {"oracle": 1.0, "Sharpness": None})),
    ]
    assert choose_view(pd.DataFrame(rows), MAIN) == expected
