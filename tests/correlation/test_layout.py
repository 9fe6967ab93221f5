from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest

from sfqa.correlation import layout
from sfqa.correlation.layout import (
    build_leakage_panel,
    render,
    render_leakage,
    select_rows,
)
from sfqa.errors import UserError
from sfqa.identity import digest

V, A = "visual_quality", "av_consistency"


def row(metric: str, srcc: float | None, dimension: str = V, **other: Any) -> dict[str, Any]:
    """A row of the correlation table; PLCC and KRCC follow from SRCC."""
    return {
        "metric": metric,
        "group": "VQA",
        "kind": "regressor",
        "dimension": dimension,
        "protocol": "random",
        "level": "video",
        "pooling": "pooled",
        "trials": 2,
        "n": 48,
        "srcc": srcc,
        "plcc": None if srcc is None else srcc + 0.05,
        "krcc": None if srcc is None else srcc - 0.05,
        "rmse": None if srcc is None else 9.0,
        "mapping": "logistic-4",
        "weights": "official",
        "synthetic_mos": False,
        "status": "ok" if srcc is not None else "failed",
        "detail": "" if srcc is not None else "constant_scores: all 48 scores are equal",
        **other,
    }


CONTROL = {"kind": "control", "group": "Controls", "weights": "none"}


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    found = []
    for dimension, move in ((A, 0.0), (V, 0.01), ("overall", 0.005)):
        found += [
            row("zeta", 0.6 + move, dimension),
            row("alpha", 0.7 + move, dimension),
            row("LSE-D", 0.3 + move, dimension, group="SyncNet", kind="zero_shot"),
            row("oracle", 0.95, dimension, **CONTROL),
            row("constant", None, dimension, **CONTROL),
        ]
    return found


def markdown_table(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [cells[0], *cells[2:]]


def test_controls_come_first_and_groups_stay_together(rows: list[dict[str, Any]]) -> None:
    table = markdown_table(render(rows, "C.")["md"])
    assert [line[:2] for line in table[1:]] == [
        ["Controls", "constant"],
        ["", "oracle"],
        ["SyncNet", "LSE-D"],
        ["VQA", "alpha"],
        ["", "zeta"],
    ]
    table = markdown_table(render(rows, "C.", order=["zeta", "LSE-D", "alpha"])["md"])
    assert [line[1] for line in table[1:]] == ["constant", "oracle", "zeta", "alpha", "LSE-D"]


def test_dimensions_stand_as_told_with_overall_last(rows: list[dict[str, Any]]) -> None:
    by_name = markdown_table(render(rows, "C.")["md"])[0]
    assert by_name[2::4] == ["Av consistency SRCC", "Visual quality SRCC", "Overall Average SRCC"]
    told = markdown_table(render(rows, "C.", dimensions=[V, A])["md"])[0]
    assert told[2::4] == ["Visual quality SRCC", "Av consistency SRCC", "Overall Average SRCC"]


def test_best_and_second_leave_controls_aside(rows: list[dict[str, Any]]) -> None:
    table = {line[1]: line[2:5] for line in markdown_table(render(rows, "C.")["md"])[1:]}
    assert table["alpha"] == ["**0.7000**", "**0.7500**", "**0.6500**"]
    assert table["zeta"] == ["<u>0.6000</u>", "<u>0.6500</u>", "<u>0.5500</u>"]
    assert table["LSE-D"] == ["0.3000", "0.3500", "0.2500"]
    assert table["oracle"] == ["0.9500", "1.0000", "0.9000"]


def test_ties_as_shown_share_the_mark() -> None:
    rows = [row(n, v) for n, v in (("a", 0.70001), ("b", 0.69999), ("c", 0.5), ("d", 0.49999))]
    table = {line[1]: line[2] for line in markdown_table(render(rows, "C.")["md"])[1:]}
    assert table == {
        "a": "**0.7000**",
        "b": "**0.7000**",
        "c": "<u>0.5000</u>",
        "d": "<u>0.5000</u>",
    }


def test_undefined_is_a_dash_with_its_reason(rows: list[dict[str, Any]]) -> None:
    texts = render(rows, "C.")
    table = {line[1]: line[2:] for line in markdown_table(texts["md"])[1:]}
    assert set(table["constant"]) == {"–<sup>1</sup>"}
    assert "<sup>1</sup> constant\\_scores: all 48 scores are equal" in texts["md"]
    assert r"--\textsuperscript{1}" in texts["tex"]
    assert "<li>constant_scores: all 48 scores are equal</li>" in texts["html"]
    assert not any("nan" in text.lower().split() for text in texts.values())


def test_flaws_are_footnotes_of_the_metric(rows: list[dict[str, Any]]) -> None:
    note = "dropped: 3 of 48 test rows have no score (no_face 3)"
    for r in rows:
        if r["metric"] == "zeta" and r["dimension"] != "overall":
            r |= {"status": "flawed", "detail": note}
    text = render(rows, "C.")["md"]
    assert "| zeta<sup>2</sup> |" in text
    assert "<sup>2</sup> Av consistency, Visual quality: dropped: 3 of 48" in text
    assert text.count("dropped: 3") == 1


def test_random_weights_and_synthetic_mos_are_loud(rows: list[dict[str, Any]]) -> None:
    quiet = render(rows, "C.")
    for r in rows:
        r["synthetic_mos"] = True
        if r["metric"] == "zeta":
            r["weights"] = "random"
    loud = render(rows, "C.")
    for kind in ("md", "tex", "html"):
        assert "simulated raters" not in quiet[kind].lower()
        assert "random weights" not in quiet[kind].lower()
        assert "MOS from simulated raters" in loud[kind]
        assert "Random weights: the metrics so marked" in loud[kind]
    assert loud["md"].startswith("> **MOS from simulated raters")
    assert "zeta **(random weights)**" in loud["md"]
    assert "alpha **(random weights)**" not in loud["md"]
    assert 'zeta <span class="badge">random weights</span>' in loud["html"]
    assert r"zeta \textbf{(random weights)}" in loud["tex"]
    records = list(csv.DictReader(io.StringIO(loud["csv"])))
    assert {r["metric"] for r in records if r["weights"] == "random"} == {"zeta"}
    assert {r["synthetic_mos"] for r in records} == {"true"}


def test_caption_says_what_the_figures_are(rows: list[dict[str, Any]]) -> None:
    caption = render(rows, "My caption.")["md"]
    for words in ("My caption.", "48 test samples", "2 trials", "logistic-4", "sign was flipped"):
        assert words in caption


def test_csv_is_whole_and_plain(rows: list[dict[str, Any]]) -> None:
    records = {r["metric"]: r for r in csv.DictReader(io.StringIO(render(rows, "C.")["csv"]))}
    assert records["alpha"]["visual_quality_srcc"] == "0.710000"
    assert records["constant"]["overall_krcc"] == ""
    assert "constant_scores" in records["constant"]["notes"]
    assert records["alpha"]["notes"] == ""


def test_latex_is_balanced_booktabs(rows: list[dict[str, Any]]) -> None:
    rows[0]["metric"] = r"we&rd_100%{\x}"
    text = render(rows, "C_1 & 5 %.")["tex"]
    bare = re.sub(r"\\[\\{}]", "", text)
    assert bare.count("{") == bare.count("}")
    for rule in (r"\toprule", r"\bottomrule", r"\begin{tabular}", r"\end{table*}"):
        assert text.count(rule) == 1
    assert r"C\_1 \& 5 \%." in text
    assert r"we\&rd\_100\%\{\textbackslash{}x\}" in text
    lines = text.split(r"\midrule" + "\n", 1)[1].split(r"\bottomrule")[0].splitlines()
    body = [line for line in lines if line != r"\midrule"]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {13}


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_html_is_whole_and_needs_nothing_else(rows: list[dict[str, Any]]) -> None:
    for r in rows:
        r["metric"] = r["metric"].replace("zeta", "<script>x")
    text = render(rows, "a < b & c")["html"]
    page = _Page()
    page.feed(text)
    assert page.open == []
    assert not [a for _, a in page.attributes if {"src", "href"} & set(a)]
    assert "http" not in text
    assert "@import" not in text
    assert "a &lt; b &amp; c" in text
    assert "&lt;script&gt;x" in text
    columns = [a["data-column"] for _, a in page.attributes if "data-column" in a]
    assert columns == [str(n) for n in range(14)]
    cells = [a for tag, a in page.attributes if tag == "td"]
    assert len(cells) % 14 == 0
    assert sum(a["data-value"] == "" for a in cells) == 12  # the constant control


def test_mixed_rows_are_a_mistake_of_the_caller(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match="rows of one protocol"):
        render([*rows, row("alpha", 0.5, protocol="grouped")], "C.")
    with pytest.raises(UserError, match="no row to lay out"):
        render([], "C.")


def test_select_names_what_is_there(rows: list[dict[str, Any]]) -> None:
    assert len(select_rows(rows, "random")) == len(rows)
    with pytest.raises(UserError, match=r"no row of protocol 'x'.*random/video/pooled"):
        select_rows(rows, "x")


def panel_rows() -> list[dict[str, Any]]:
    found = []
    for protocol, value in (("grouped", 0.6), ("random", 0.8), ("leave_one_method_out", 0.1)):
        found.append(row("alpha", value, protocol=protocol))
        found.append(row("LSE-D", 0.3, protocol=protocol, kind="zero_shot"))
    found.append(row("beta", None, protocol="random", weights="random"))
    found.append(row("alpha", 0.2, protocol="random", pooling="mean"))
    return found


def test_leakage_panel_sets_protocols_side_by_side() -> None:
    panel = build_leakage_panel(panel_rows()).set_index("metric")
    assert list(panel.columns[3:]) == [
        "random",
        "grouped",
        "leave_one_method_out",
        "drop_grouped",
        "drop_leave_one_method_out",
    ]
    assert list(panel.index) == ["alpha", "beta"]
    assert panel.loc["alpha", "random"] == 0.8
    assert panel.loc["alpha", "drop_grouped"] == pytest.approx(0.2)
    assert panel.loc["alpha", "drop_leave_one_method_out"] == pytest.approx(0.7)
    assert panel.loc["beta"].drop(["group", "dimension", "weights"]).isna().all()


def test_leakage_renders_and_is_loud_too() -> None:
    texts = render_leakage(panel_rows(), "Leak.")
    assert "beta **(random weights)**" in texts["md"]
    line = next(x for x in texts["md"].splitlines() if "alpha" in x)
    assert "| 0.8000 | 0.6000 | 0.1000 | 0.2000 | 0.7000 |" in line
    page = _Page()
    page.feed(texts["html"])
    assert page.open == []
    assert pd.read_csv(io.StringIO(texts["csv"])).loc[0, "drop_grouped"] == pytest.approx(0.2)


def test_leakage_without_a_regressor_says_so() -> None:
    texts = render_leakage([row("LSE-D", 0.3, kind="zero_shot")], "Leak.")
    assert "There is no regressor." in texts["md"]


def with_intervals(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with the columns of 95 % intervals: .1 below and .05 above; none for RMSE."""
    found = []
    for r in rows:
        ends = {}
        for name in ("srcc", "plcc", "krcc"):
            value = r[name]
            ends[f"{name}_low"] = None if value is None else value - 0.1
            ends[f"{name}_high"] = None if value is None else value + 0.05
        found.append({**r, **ends})
    return found


def test_intervals_stand_behind_their_figures(rows: list[dict[str, Any]]) -> None:
    told = with_intervals(rows)
    table = {line[1]: line for line in markdown_table(render(told, "C.")["md"])[1:]}
    assert table["alpha"][2:6] == [
        r"**0.7000** \[0.600, 0.750\]",
        r"**0.7500** \[0.650, 0.800\]",
        r"**0.6500** \[0.550, 0.700\]",
        "**9.0000**",
    ]
    assert table["constant"][2] == "–<sup>1</sup>"
    short = {
        line[1]: line
        for line in markdown_table(render(told, "C.", intervals="plus_minus")["md"])[1:]
    }
    assert short["alpha"][2] == "**0.7000** ±0.075"
    assert "In brackets: 95 % intervals." in render(told, "C.")["md"]
    assert "Behind ±" in render(told, "C.", intervals="plus_minus")["md"]


def test_intervals_can_be_left_out_and_do_not_change_the_marks(rows: list[dict[str, Any]]) -> None:
    plain, told = render(rows, "C."), render(with_intervals(rows), "C.", intervals="none")
    assert [plain[k] for k in ("md", "tex", "html")] == [told[k] for k in ("md", "tex", "html")]
    record = next(r for r in csv.DictReader(io.StringIO(told["csv"])) if r["metric"] == "alpha")
    assert (record["overall_srcc_low"], record["overall_srcc_high"]) == ("0.605000", "0.755000")
    assert "overall_srcc_low" not in plain["csv"]
    with pytest.raises(ValueError, match="intervals 'x'"):
        render(rows, "C.", intervals="x")


def test_the_leakage_panel_has_the_intervals_of_every_protocol() -> None:
    told = with_intervals(panel_rows())
    panel = build_leakage_panel(told).set_index("metric")
    assert panel.loc["alpha", "low_grouped"] == pytest.approx(0.5)
    assert panel.loc["alpha", "high_random"] == pytest.approx(0.85)
    assert pd.isna(panel.loc["beta", "low_random"])
    same = build_leakage_panel(panel_rows())
    pd.testing.assert_frame_equal(build_leakage_panel(told)[list(same.columns)], same)
    line = next(x for x in render_leakage(told, "L.")["md"].splitlines() if "alpha" in x)
    assert r"| 0.8000 \[0.700, 0.850\] | 0.6000 \[0.500, 0.650\] |" in line
    assert line.endswith("| 0.2000 | 0.7000 |")


def test_the_sd_over_trials_can_stand_there_instead(rows: list[dict[str, Any]]) -> None:
    told = [
        {**r, "srcc_sd": None if r["srcc"] is None else 0.0312, "pooling": "mean"} for r in rows
    ]
    text = render(told, "C.", intervals="sd")["md"]
    table = {line[1]: line for line in markdown_table(text)[1:]}
    assert table["alpha"][2:4] == ["**0.7000** ±0.031", "**0.7500**"]
    assert "Behind ±: standard deviation over the trials." in text
    assert "±" not in render(told, "C.")["md"]
    panel = build_leakage_panel([{**r, "srcc_sd": 0.05} for r in panel_rows()])
    assert panel.loc[0, "sd_grouped"] == 0.05


def test_the_caption_names_the_mapping_and_how_intervals_were_made(
    rows: list[dict[str, Any]],
) -> None:
    told = [{**r, "interval": "bca of 9 resamples of images"} for r in with_intervals(rows)]
    assert "In brackets: 95 % intervals (bca of 9 resamples of images)." in render(told, "C.")["md"]
    told[0]["interval"] = "percentile of 9"
    assert "In brackets: 95 % intervals." in render(told, "C.")["md"]
    none = [
        {
            **r,
            "srcc_low": None,
            "plcc_low": None,
            "krcc_low": None,
            "srcc_high": None,
            "plcc_high": None,
            "krcc_high": None,
            "interval": "none: 2 images",
        }
        for r in told
    ]
    assert "controls aside. No 95 % intervals (2 images)." in render(none, "C.")["md"]
    asked = [{**r, "interval": "none: not asked for"} for r in none]
    assert "controls aside.\n" in render(asked, "C.")["md"]
    for name, words in (
        ("cubic", "PLCC after the mapping cubic"),
        ("none", "PLCC and RMSE of the scores as given"),
        ("z-rescaling", "PLCC (RMSE after z-rescaling) of the scores as given"),
    ):
        assert words in render([{**r, "mapping": name} for r in rows], "C.")["md"]


def test_the_least_rmse_is_the_best(rows: list[dict[str, Any]]) -> None:
    table = markdown_table(render(rows, "C.")["md"])
    place = table[0].index("Visual quality RMSE")
    values = {}
    for record in rows:
        wanted = record["dimension"] == V and record["kind"] != "control"
        if wanted and record["rmse"] is not None:
            values[record["metric"]] = record["rmse"]
    best = min(values.values())
    bold = [line for line in table[1:] if line[place].startswith("**")]
    assert {line[place] for line in bold} == {f"**{best:.4f}**"}


@pytest.mark.parametrize("mark", ["step_fit", "against_direction"])
def test_a_marked_curve_is_never_best_or_second(mark: str) -> None:
    """Only the statistics after the mapping: the ranks of the scores do not depend on the curve."""
    detail = f"few_points: 9 points; {mark}: the fitted curve says little"
    rows = [
        row("first", 0.9, status="flawed", detail=detail, rmse=1.0),
        row(
            "first",
            0.9,
            "overall",
            status="flawed",
            detail=f"flawed_dimension: see {V}; {mark}: see {V}",
        ),
        *(row(n, v, d) for n, v in (("b", 0.8), ("c", 0.7), ("d", 0.6)) for d in (V, "overall")),
    ]
    text = render(rows, "C.")["md"]
    table = {line[1].split("<")[0]: line[2:] for line in markdown_table(text)[1:]}
    assert table["first"][0] == "**0.9000**"
    for column in (1, 3, 5, 7):  # PLCC and RMSE of both dimensions
        assert "**" not in table["first"][column]
        assert "<u>" not in table["first"][column]
        assert "<sup>" in table["first"][column]
    assert table["b"][1] == "**0.8500**"
    assert table["c"][1] == "<u>0.7500</u>"
    assert table["b"][5] == "**0.8500**"
    assert "are not ranked: see their notes" in text
    assert "are not ranked" not in render([row("b", 0.8), row("c", 0.7)], "C.")["md"]


def test_version_is_raised_when_the_pages_change(rows: list[dict[str, Any]]) -> None:
    """Golden pages: an edit that changes them must raise layout.VERSION, and this digest."""
    plain = [render(rows, "C."), render_leakage(panel_rows(), "L.")]
    told = [render(with_intervals(rows), "C."), render_leakage(with_intervals(panel_rows()), "L.")]
    assert (layout.VERSION, digest([plain, told])[:16]) == (6, "5a1e5fa9bd52ea8c")


def test_the_leakage_panel_counts_its_drops_and_folds_without_numbers() -> None:
    text = render_leakage(panel_rows(), "L.")["md"]
    assert "higher under random splits than grouped ones for 1 of 1 regressors" in text
    worse = [{**r, "srcc": 0.1} if r["protocol"] == "random" else r for r in panel_rows()]
    text = render_leakage(worse, "L.")["md"]
    assert "for 0 of 1 regressors (mean drop -0.50)" in text
    none = [{**r, "srcc": None} for r in panel_rows()]
    texts = render_leakage(none, "L.")
    assert "No regressor has an SRCC under any protocol" in texts["md"]
    assert "|" not in texts["md"]
    assert "alpha" not in texts["html"]
    assert "alpha" in texts["csv"]
