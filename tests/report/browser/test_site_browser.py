"""The site in a real browser, opened from a file: desktop and phone, light and dark.

The screenshots lie in pytest's temporary folder, or in SFQA_SCREENSHOTS where that is set.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from site_dataset import DIMENSIONS, list_metrics, make
from site_visit import SIZES, Visit

from chromium import needs_chromium
from sfqa import store, tables
from sfqa.correlation.levels import method_rows
from sfqa.correlation.marks import find_marks
from sfqa.correlation.significance import significance_rows
from sfqa.correlation.summarise import Settings, round_rows
from sfqa.identity import sha256_file
from sfqa.report.site import build_site
from sfqa.report.site_data import InitialView

pytestmark = needs_chromium

VIEWS = ("leaderboard", "samples", "compare", "extremes", "rejects", "provenance")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = make(tmp_path_factory.mktemp("browser") / "results" / "made", pairs=16, metrics=5)
    build_site(folder, folder / "report" / "site", InitialView("random", DIMENSIONS))
    return folder


@pytest.mark.parametrize("size", list(SIZES))
def test_every_view(browser, dataset, shots, size):
    visit = Visit(browser, dataset / "report" / "site" / "index.html", size)
    evil = next(
        n for n in store.read(tables.SAMPLES, dataset / "samples.parquet")["sample_id"] if "<" in n
    )
    for view, chosen in [*((name, {}) for name in VIEWS), ("sample", {"id": evil})]:
        visit.go(view, **chosen)
        page = visit.page
        page.wait_for_selector("main h1")
        page.screenshot(path=shots / f"{size}_{view}.png", full_page=view != "samples")
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), view
        assert page.locator("main .broken").count() == 0
        assert page.locator("video").count() <= 2
        # Every control has a name, every head of a table says what it heads.
        nameless = "() => [...document.querySelectorAll('button, select, input, video')].filter(n => !(n.innerText || n.ariaLabel || (n.labels && n.labels.length))).length"
        assert page.evaluate(nameless) == 0, view
        assert page.locator("thead th:not([scope])").count() == 0
    assert "Synthetic ratings" in visit.page.inner_text("#warnings")
    assert "LSE-D ran on untrained networks" in visit.page.inner_text("#warnings")
    assert visit.page.inner_text("main h1") == evil
    visit.leave()


def test_the_leaderboard_sorts_and_chooses(visit, dataset):
    page = visit.page
    table = store.read(tables.CORRELATION, dataset / "correlation/correlation.parquet")

    def expected(dimension, protocol, pooling="mean", level="video"):
        own = table.query(
            "dimension == @dimension and protocol == @protocol and pooling == @pooling and level == @level"
        )
        return own.set_index("metric")["srcc"]

    page.select_option("label:has-text('Dimension') select", DIMENSIONS[0])
    page.select_option("label:has-text('Protocol') select", "disjoint")
    page.wait_for_selector("caption:has-text('disjoint splits')")
    board = page.locator("table").first
    # By SRCC from the beginning; a press on another head and back again keeps it so.
    assert board.locator("[aria-sort=descending]").inner_text().startswith("SRCC")
    board.locator("thead button:has-text('PLCC')").click()
    assert board.locator("[aria-sort=descending]").inner_text().startswith("PLCC")
    board.locator("thead button:has-text('SRCC')").click()
    assert board.locator("[aria-sort=descending]").inner_text().startswith("SRCC")
    names = [
        text.split("\n")[0].removesuffix("random weights").strip()
        for text in board.locator("tbody th").all_inner_texts()
    ]
    srcc = expected(DIMENSIONS[0], "disjoint")
    known = srcc.dropna().sort_values(ascending=False)
    assert names[: len(known)] == list(known.index)
    # What is undefined stands last.
    assert set(names[len(known) :]) == set(srcc[srcc.isna()].index) == {"constant"}
    shown = board.locator("tbody tr").first.locator("td.begin").inner_text()
    assert shown.split("\n")[0] == f"{known.iloc[0]:.3f}"
    best = board.locator("td.begin .best").all_inner_texts()
    ours = known.drop("random")
    assert [text.split("\n")[0] for text in best] == [f"{ours.iloc[0]:.3f}"]
    # PLCC and RMSE after a curve that is a step or falls are neither best nor second.
    details = table.query(
        "dimension == @DIMENSIONS[0] and protocol == 'disjoint' and pooling == 'mean' and level == 'video'"
    ).set_index("metric")["detail"]
    marked = {name for name, detail in details.items() if find_marks(detail)}
    ranked = set()
    for row in board.locator("tbody tr").all():
        name = row.locator("th").inner_text().split("\n")[0].removesuffix("random weights").strip()
        for column in (3, 5):
            if row.locator("td").nth(column).locator(".best, .second").count():
                ranked.add(name)
    assert marked
    assert not ranked & marked
    # The choice stands in the address, and opens again.
    again = page.url
    page.goto("about:blank")
    page.goto(again)
    page.wait_for_selector("caption:has-text('disjoint splits')")
    assert (
        page.locator("table")
        .first.locator("[aria-sort=descending]")
        .inner_text()
        .startswith("SRCC")
    )
    visit.leave()


def test_a_number_says_where_it_comes_from(visit, dataset, shots):
    page = visit.page
    row = page.locator("table").first.locator("tbody tr", has=page.locator("th:has-text('LSE-D')"))
    cell = row.locator("button.cell").first
    cell.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")
    text = page.inner_text("dialog")
    for name in (
        "regression/LSE-D/predictions.parquet",
        "correlation/correlation.parquet",
        "ratings/mos.parquet",
    ):
        assert sha256_file(dataset / name) in text
    assert sha256_file(dataset / "features/signal/method00/0.parquet") in text
    assert "lower is better" in text
    assert "VERSION 1" in text
    assert "commit" in text
    page.screenshot(path=shots / "desktop_origin.png")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog:not([open])", state="attached")
    visit.leave()


def test_samples_are_filtered_and_sorted(visit, dataset):
    page = visit.page
    samples = store.read(tables.SAMPLES, dataset / "samples.parquet")
    visit.go("samples", metric="Sharpness", protocol="disjoint", dimension=DIMENSIONS[0])
    assert "64 samples of 64" in page.inner_text("main")
    assert len(visit.ids()) == 50
    page.click("button:has-text('Next')")
    assert len(visit.ids()) == 14
    page.select_option("label:has-text('Method') select", "method01")
    page.select_option("label:has-text('Side') select", "val")
    wanted = samples.query("method == 'method01' and split == 'val'")["sample_id"]
    assert sorted(visit.ids()) == sorted(wanted)
    page.click("thead button:has-text('MOS')")
    mos = (
        store.read(tables.MOS, dataset / "ratings/mos.parquet")
        .query("dimension == @DIMENSIONS[0]")
        .set_index("sample_id")["mos"]
    )
    assert visit.ids() == list(mos[wanted].sort_values(ascending=False).index)
    page.click("thead button:has-text('Error')")
    errors = [
        float(text.replace("−", "-"))
        for text in page.locator("tbody tr td:last-child").all_inner_texts()
        if text != "–"
    ]
    assert [abs(e) for e in errors] == sorted((abs(e) for e in errors), reverse=True)
    page.fill("input[type=search]", "FACE004")
    assert all("face004" in name for name in visit.ids())
    assert visit.ids()
    page.fill("input[type=search]", "nothing like it")
    assert "No sample matches" in page.inner_text("main")
    visit.leave()


def test_a_video_plays_and_is_let_go(visit, dataset):
    page = visit.page
    names = sorted(store.read(tables.SAMPLES, dataset / "samples.parquet")["sample_id"])
    there = [n for n in names if n.startswith("face000")]
    visit.go("sample", id=there[0])
    video = page.locator("video")
    assert video.get_attribute("preload") == "none"
    assert not [url for url in visit.asked if url.endswith(".mp4")]
    video.evaluate("node => node.play()")
    page.wait_for_function("() => SFQA.players[0].currentTime > 0.1")
    visit.go("compare", a=there[0], b=there[2])
    assert page.locator("video").count() == 2
    page.click("button:has-text('Play both')")
    page.wait_for_function("() => SFQA.players.every(node => node.currentTime > 0.1)")
    assert page.evaluate("() => SFQA.players.map(node => node.muted)") == [False, True]
    visit.go("rejects")
    assert page.evaluate("() => SFQA.players.some(node => node.hasAttribute('src'))") is False
    visit.leave()


def test_a_missing_video_is_said(visit, dataset):
    page = visit.page
    names = sorted(store.read(tables.SAMPLES, dataset / "samples.parquet")["sample_id"])
    visit.go("sample", id=names[-1])
    page.locator("video").evaluate("node => node.play().catch(() => {})")
    page.wait_for_selector(".trouble:not([hidden])")
    assert "cannot be played" in page.inner_text(".trouble")
    assert page.locator(".trouble code").count() == 1
    # Chromium itself notes the missing file.
    assert all("ERR_FILE_NOT_FOUND" in text for text in visit.problems)
    visit.context.close()


def test_side_by_side_walks_the_pairs(visit, dataset):
    page = visit.page
    visit.go("compare", a="face000__song000__method01", b="face000__song000__method03")
    page.click("button:has-text('Next pair')")
    page.wait_for_function("() => !location.hash.includes('face000')")
    chosen = page.locator(".side select").evaluate_all(
        "nodes => nodes.map(n => n.selectedOptions[0].text)"
    )
    assert chosen == ["method01", "method03"]
    visit.leave()


def test_disagreement_lists_the_largest_errors(visit, dataset):
    page = visit.page
    visit.go("extremes", metric="LSE-D", dimension=DIMENSIONS[1], protocol="random")
    frame = store.read(tables.PREDICTIONS, dataset / "regression/LSE-D/predictions.parquet")
    mos = store.read(tables.MOS, dataset / "ratings/mos.parquet")
    from sfqa.correlation.fits import fit_mapping

    own = frame.query(
        "protocol == 'random' and dimension == @DIMENSIONS[1] and part == 'test'"
    ).set_index("sample_id")["prediction"]
    goal = mos.query("dimension == @DIMENSIONS[1]").set_index("sample_id")["mos"].reindex(own.index)
    error = pd_series(fit_mapping(-own, goal)(-own) - goal, own.index).sort_values()
    tables_shown = page.locator("main table")
    assert tables_shown.nth(0).locator("tbody th").all_inner_texts() == list(error.index[::-1][:12])
    assert tables_shown.nth(1).locator("tbody th").all_inner_texts() == list(error.index[:12])
    assert "random weights" in page.inner_text("main .warning")
    # A press on the cloud opens the sample that is nearest.
    page.locator("canvas").scroll_into_view_if_needed()
    box = page.locator("canvas").bounding_box()
    for share in (0.5, 0.45, 0.55, 0.4, 0.6):
        page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] * (1 - share))
        name = page.inner_text("figure p")
        if not name.startswith("Press"):
            break
    page.mouse.down()
    page.mouse.up()
    page.wait_for_selector("h1.name")
    assert page.inner_text("h1.name") == name
    visit.leave()


def pd_series(values, index):
    import pandas as pd

    return pd.Series(values, index)


def test_rejects_are_chosen_by_reason(visit, dataset):
    page = visit.page
    visit.go("rejects")
    rejects = store.read(tables.REJECTS, dataset / "rejects.parquet")
    page.select_option("label:has-text('Reason') select", "silent")
    page.select_option("label:has-text('Method') select", "method02")
    assert f"{(rejects['method'] == 'method02').sum()} row" in page.inner_text("main")
    visit.leave()


def test_keyboard_alone(visit):
    page = visit.page
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("() => document.activeElement.id") == "main"
    page.locator("nav a", has_text="Samples").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("h1:has-text('Samples')")
    assert page.locator("nav [aria-current=page]").inner_text() == "Samples"
    page.locator("main tbody a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("h1.name")
    visit.leave()


def test_one_page_to_mail_works_anywhere(browser, dataset, tmp_path, shots):
    build_site(dataset, tmp_path / "out.html", InitialView("random", DIMENSIONS), sample=64)
    shutil.move(tmp_path / "out.html", tmp_path / "mailed é.html")
    visit = Visit(browser, tmp_path / "mailed é.html", "phone")
    for view in VIEWS:
        visit.go(view)
        visit.page.wait_for_selector("main h1")
        assert visit.page.locator("main .broken").count() == 0
    visit.go("sample", id="face000__song000__method00")
    visit.page.locator("video").evaluate("node => node.play()")
    visit.page.wait_for_function("() => SFQA.players[0].currentTime > 0.1")
    visit.leave()


def test_no_ratings_no_videos(browser, tmp_path, shots):
    folder = make(tmp_path / "results" / "bare", methods=2, pairs=2, metrics=3, evil=False)
    for name in ("ratings", "regression", "correlation", "conform"):
        shutil.rmtree(folder / name)
    build_site(folder, folder / "report" / "site")
    visit = Visit(browser, folder / "report" / "site" / "index.html")
    for view, chosen in [
        *((name, {}) for name in VIEWS),
        ("sample", {"id": "face000__song000__method00"}),
    ]:
        visit.go(view, **chosen)
        visit.page.wait_for_selector("main h1")
        assert visit.page.locator("main .broken").count() == 0, view
    assert "has no videos" in visit.page.inner_text("main")
    visit.leave()


def test_panels_without_numbers_are_sentences(browser, tmp_path):
    folder = make(tmp_path / "few", methods=2, pairs=2, metrics=5, protocols=2)
    frames = [
        store.read(tables.PREDICTIONS, sorted(folder.glob("regression/*/predictions.parquet"))),
        store.read(tables.MOS, folder / "ratings/mos.parquet"),
        store.read(tables.SAMPLES, folder / "samples.parquet"),
        list_metrics(5),
        Settings(bootstrap=20),
    ]
    for table, compute_rows in (
        (tables.SIGNIFICANCE, significance_rows),
        (tables.CORRELATION_BY_METHOD, method_rows),
    ):
        store.write(table, round_rows(compute_rows(*frames)), folder / table.path)
    build_site(folder, tmp_path / "site", InitialView("random", DIMENSIONS))
    visit = Visit(browser, tmp_path / "site" / "index.html")
    text = visit.page.inner_text("main")
    assert "No two metrics" in text
    assert "No metric has an SRCC within a method, visual quality" in text
    for title in ("Which metrics differ", "Within each method"):
        assert visit.page.locator(f"section:has(h2:has-text('{title}')) table").count() == 0
    visit.leave()


@pytest.mark.thorough
def test_the_benchmark_runs(tmp_path):
    """Its times are printed, never asserted."""
    script = Path(__file__).parents[3] / "benchmarks" / "report_site.py"
    words = [sys.executable, str(script), "--small", "--out", str(tmp_path / "figures.json")]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert json.loads((tmp_path / "figures.json").read_text())["samples"] == 12
    assert "12 samples, 5 metrics" in said
