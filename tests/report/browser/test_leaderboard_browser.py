"""The leaderboard's ranks, search, columns, downloads and descriptions, and the overview."""

from __future__ import annotations

import csv
import io

import pytest
from site_dataset import DIMENSIONS, make
from site_visit import SIZES, Visit

from chromium import needs_chromium
from sfqa import store, tables
from sfqa.csv_text import defuse_cell
from sfqa.errors import UserError
from sfqa.report.metric_cards import Registries
from sfqa.report.site import build_site
from sfqa.report.site_data import InitialView

pytestmark = needs_chromium

#: A registry that describes the metric Sharpness of the drawn dataset.
REGISTRY = """
Sharpness:
  group: Signal
  paper: "A. Author: A <b>Sharp</b> Paper. arXiv 2101.00001"
  year: 2021
  licences: {code: MIT, weights: "CC BY-NC 4.0, non-commercial use only"}
  features: {signal: {}}
  inputs: [signal.sharpness]
  reading: ["Every second frame is read."]
  costs: {seconds: 2, memory_gb: 0.5, measured: "one video of 6 s"}
"""
#: The metrics without the controls.
METRICS = {"Sharpness", "LSE-D", "Regressor-00"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = make(tmp_path_factory.mktemp("board") / "results" / "made", metrics=5, evil=False)
    registry = folder.parents[1] / "models.yaml"
    registry.write_text(REGISTRY)
    view = InitialView("random", DIMENSIONS)
    build_site(folder, folder / "report" / "site", view, registries=Registries(registry))
    return folder


def read_names(page):
    return page.locator("main table").first.locator("tbody th .name-button").all_inner_texts()


def download(page, label):
    with page.expect_download() as saved:
        page.click(f".tools button:has-text('{label}')")
    return saved.value.suggested_filename, saved.value.path().read_text("utf-8")


def get_srcc(dataset, dimension):
    table = store.read(tables.CORRELATION, dataset / "correlation/correlation.parquet")
    rows = table.query(
        "dimension == @dimension and protocol == 'random' and pooling == 'mean' and level == 'video'"
    )
    return rows.set_index("metric")["srcc"]


@pytest.mark.thorough
def test_ranks_follow_the_sorted_statistic(visit, dataset):
    page = visit.page
    visit.go("leaderboard", dimension=DIMENSIONS[0])
    expected = get_srcc(dataset, DIMENSIONS[0])[list(METRICS)].rank(ascending=False, method="min")
    ranks = {}
    for row in page.locator("main table").first.locator("tbody tr").all():
        ranks[row.locator(".name-button").inner_text()] = row.locator("td.rank").inner_text()
    assert {name: int(ranks[name]) for name in METRICS} == expected.astype(int).to_dict()
    assert {ranks["random"], ranks["constant"]} == {"–"}
    visit.leave()


def test_search_and_columns_are_in_the_address(visit):
    page = visit.page
    page.fill("main input[type=search]", "sharp")
    assert read_names(page) == ["Sharpness"]
    page.click(".menu summary")
    for label in ("PLCC", "Type", "Intervals"):
        page.get_by_label(label, exact=True).uncheck()
    heads = page.locator("main table").first.locator("thead tr:last-child th").all_inner_texts()
    assert "PLCC" not in heads
    assert "Type" not in heads
    assert "KRCC" in heads
    assert page.locator("main table").first.locator("td small").count() == 0
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    page.wait_for_selector("main h1")
    assert read_names(page) == ["Sharpness"]
    heads = page.locator("main table").first.locator("thead tr:last-child th").all_inner_texts()
    assert "PLCC" not in heads
    page.fill("main input[type=search]", "nothing like it")
    assert "No metric matches the search" in page.inner_text("main")
    visit.leave()


def test_what_is_shown_is_downloaded(visit, dataset):
    page = visit.page
    visit.go("leaderboard", dimension=DIMENSIONS[0], hide="plcc,krcc,rmse")
    name, text = download(page, "CSV")
    assert name == "made_random_video.csv"
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["metric"] for row in rows] == read_names(page)
    srcc = get_srcc(dataset, DIMENSIONS[0])
    column = f"{DIMENSIONS[0]}_srcc"
    assert {row["metric"]: float(row[column]) for row in rows if row[column]} == dict(srcc.dropna())
    assert not any("plcc" in head for head in rows[0])
    assert {row["metric"]: row["weights"] for row in rows}["LSE-D"] == "random"
    assert {row["synthetic_mos"] for row in rows} == {"true"}
    page.fill("main input[type=search]", "LSE")
    name, text = download(page, "LaTeX")
    assert name == "made_random_video.tex"
    assert "LSE-D (random weights)" in text
    assert "Sharpness" not in text
    assert "The MOS come from simulated raters." in text
    # As many cells in each row as the table has columns.
    align = text.split(r"\begin{tabular}{")[1].split("}")[0]
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().split("\n")
    assert len(body) == 1
    assert body[0].count("&") == len(align) - 1
    visit.leave()


FORMULAS = [
    "=1+1", "-2+3", "'@x", " =1", "\ufeff=1", "\u200b\u2800+1", "\uff1d1", "\U000e0041=1", "\t=1", "\n=1", "'\ta",
    "a;=1", "-1;=1", "a\n- b", "-1.5", "1;-2", "-.5 %", "-;+", " -1.5", "-inf", "−1", "a=1", "歌", "", "'a",
]  # fmt: skip


def test_a_downloaded_table_has_no_formulas(visit):
    text = visit.page.evaluate(
        "rows => SFQA.toCsv(rows)", [[text, -1.5, None] for text in FORMULAS]
    )
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows == [[defuse_cell(text), "-1.5", ""] for text in FORMULAS]
    visit.leave()


def test_a_metric_is_described(visit):
    page = visit.page
    row = page.locator("main table").first.locator("tbody tr", has_text="Sharpness")
    assert "non-commercial" in row.locator("th").inner_text()
    row.locator(".name-button").click()
    page.wait_for_selector("dialog[open]")
    text = page.inner_text("dialog")
    for phrase in (
        "A <b>Sharp</b> Paper",
        "Weights for non-commercial use only.",
        "2 s, 0.5 GB of memory for one video (one video of 6 s)",
    ):
        assert phrase in text
    link = page.locator("dialog a")
    assert link.get_attribute("href") == "https://arxiv.org/abs/2101.00001"
    page.keyboard.press("Escape")
    visit.leave()


def test_the_first_page_shows_the_dataset(visit):
    page = visit.page
    assert page.inner_text(".numbers").split("\n")[:3] == ["24 videos", "19 seconds", "4 methods"]
    assert "5 simulated raters" in page.inner_text(".numbers")
    section = page.locator("#about-dataset")
    assert section.locator("svg").count() == len(DIMENSIONS)
    assert "How to cite" in section.inner_text()
    assert "not stated" in section.inner_text()
    visit.leave()


def test_on_a_phone_the_table_begins_on_the_first_screen(browser, dataset):
    visit = Visit(browser, dataset / "report" / "site" / "index.html", "phone")
    board = visit.page.locator("main table").first
    row = board.locator("tbody tr").nth(1)
    box = row.bounding_box()
    assert box["y"] + box["height"] < SIZES["phone"]["viewport"]["height"]
    assert "Type" not in board.locator("thead").inner_text()
    # The names stay where they are as the table is scrolled sideways.
    scroller = visit.page.locator("main .scroll").first
    scroller.evaluate("node => { node.scrollLeft = 200; }")
    left = scroller.bounding_box()["x"]
    assert row.locator("th").bounding_box()["x"] == pytest.approx(left + 1, abs=1)
    visit.leave()


def test_heads_of_a_row_are_aligned(visit):
    heads = visit.page.locator("main table").first.locator("thead tr:last-child th")
    middles = [
        head.evaluate(
            "node => { const box = node.firstElementChild.getBoundingClientRect(); return box.y + box.height / 2; }"
        )
        for head in heads.all()
    ]
    assert max(middles) - min(middles) < 1
    visit.leave()


def test_two_runs_are_compared(browser, dataset, tmp_path):
    other = make(tmp_path / "results" / "other", pairs=4, metrics=4, protocols=1, videos=0)
    build_site(dataset, tmp_path / "site", InitialView("disjoint", DIMENSIONS), other=other)
    visit = Visit(browser, tmp_path / "site" / "index.html")
    visit.go("runs", dimension=DIMENSIONS[0], protocol="disjoint", pooling="mean")
    page = visit.page
    page.wait_for_selector("main h1")
    rows = {}
    for row in page.locator("main table tbody tr").all():
        rows[row.locator("th").inner_text()] = row.locator("td").all_inner_texts()
    values = []
    for folder in (dataset, other):
        table = store.read(tables.CORRELATION, folder / "correlation/correlation.parquet")
        chosen = table.query(
            "dimension == @DIMENSIONS[0] and protocol == 'disjoint' and pooling == 'mean'"
            " and level == 'video'"
        )
        values.append(chosen.set_index("metric")["srcc"])
    first, second = (own["Sharpness"] for own in values)
    expected = [f"{value:.3f}".replace("-", "−") for value in (first, second, second - first)]
    assert rows["Sharpness"][:3] == expected
    # The second run has one metric fewer.
    assert rows["Regressor-00"][1:3] == ["–", "–"]
    assert "1 metric is in one run only" in page.inner_text("main")
    visit.leave()


def test_a_second_run_must_have_correlations(dataset, tmp_path):
    with pytest.raises(UserError, match=r"--against .*: no correlation/correlation\.parquet there"):
        build_site(dataset, tmp_path / "site", other=tmp_path)
