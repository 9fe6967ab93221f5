"""A whole study in a real browser, at desktop and at phone size; Debian's chromium, driven.

The screenshots lie in pytest's temporary folder, or in SFQA_SCREENSHOTS where that is set.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from screen_study import STUDY, make, rows_of, stored, tokens

from chromium import needs_chromium
from sfqa import media
from sfqa.ratings.screen.study_tables import make_media_row

pytestmark = needs_chromium

SCRIPTS = Path(media.__file__).parents[1]
SECONDS, FPS, RATE = 0.6, 25.0, 16000
BREAK_SEC = 2.0
SIZES = {
    "desktop": {"viewport": {"width": 1280, "height": 800}, "locale": "en-US"},
    "phone": {"viewport": {"width": 390, "height": 844}, "locale": "zh-CN", "is_mobile": True, "has_touch": True,
              "device_scale_factor": 2},
}  # fmt: skip
#: Training 2, then 10 videos that count, a break in their middle.
ROLES = "ttTTTTTTTTTT"


def draw_video(path: Path, number: int) -> None:
    """A face-like drawing that opens its mouth, with a tone: every video has its own colour."""
    frames = []
    shade = np.array(
        [60 + 13 * number % 120, 90 + 37 * number % 120, 120 + 53 * number % 120], float
    )
    for n in range(round(SECONDS * FPS)):
        picture = np.full((256, 256, 3), shade, np.uint8)
        cv2.circle(picture, (128, 128), 90, (225, 195, 170), -1)
        for x in (95, 161):
            cv2.circle(picture, (x, 105), 9, (40, 40, 60), -1)
        cv2.ellipse(picture, (128, 170), (30, 3 + n % 12), 0, 0, 360, (150, 40, 60), -1)
        frames.append(picture)
    seconds = np.arange(round(SECONDS * RATE)) / RATE
    wave = path.with_suffix(".wav")
    media.write_wave(wave, 0.2 * np.sin(2 * np.pi * (220 + 20 * number) * seconds), RATE)
    media.write_video(path, frames, FPS, wave)
    cv2.imwrite(str(path.with_suffix(".png")), frames[5][..., ::-1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study of drawn videos for two raters, with blocks of five."""
    folder = tmp_path_factory.mktemp("browser") / "study"
    plan = []
    for rater in ("r001", "r002"):
        rows = rows_of(rater, ROLES, SECONDS)
        for row in rows[2:]:
            row["block"] = 1 if row["position"] <= 7 else 2
        plan += rows
    points = [
        {"word": {"en": word, "zh": zh}, "text": {"en": text, "zh": text_zh}}
        for word, zh, text, text_zh in [
            ("Bad", "很差", "Heavily distorted", "严重变形"), ("Poor", "较差", "Clear defects", "明显缺陷"),
            ("Fair", "一般", "Defects now and then", "时有缺陷"), ("Good", "良好", "Small defects", "轻微缺陷"),
            ("Excellent", "优秀", "No defects", "没有缺陷"),
        ]
    ]  # fmt: skip
    study = STUDY | {"breaks": {"seconds": BREAK_SEC}}
    study["dimensions"] = [one | {"points": points} for one in STUDY["dimensions"]]
    make(folder, plan, study)
    rows = []
    for number, sample in enumerate(sorted({row["sample_id"] for row in plan})):
        path = folder / "media" / f"{sample}.mp4"
        draw_video(path, number)
        rows.append(make_media_row(folder, sample, path, path.with_suffix(".png"), path.with_suffix(".wav"),
                              title=f"Song number {number}", language="zh", prompt=None))  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), folder / "media.parquet")
    return folder


@pytest.fixture(scope="module")
def server(folder):
    """The server as an organiser starts it, and the links."""
    links = tokens(folder)
    process = subprocess.Popen(
        [sys.executable, "-m", "sfqa", "rate", "serve", str(folder), "--port", "0"],
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        address = next(w for w in process.stderr.readline().split() if w.startswith("http://"))
        port = int(address.rpartition(":")[2])
        for _ in range(100):
            with contextlib.suppress(OSError):
                http.client.HTTPConnection("127.0.0.1", port, timeout=5).request(
                    "GET", "/static/icon.svg"
                )
                break
            time.sleep(0.1)
        yield address, links
    finally:
        process.terminate()
        process.communicate(timeout=20)


class Visit:
    """One opening of the page: a fresh browser profile, so nothing can live in a cookie."""

    def __init__(self, browser, size, address):
        self.context = browser.new_context(reduced_motion="reduce", **SIZES[size])
        self.context.set_default_timeout(20_000)
        self.page, self.problems = self.context.new_page(), []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on(
            "console", lambda m: m.type in ("error", "warning") and self.problems.append(m.text)
        )
        self.page.goto(address)

    def stage(self):
        return self.page.evaluate("() => document.body.dataset.stage")

    def wait(self, condition):
        # Arrow functions only: the page's Content-Security-Policy forbids eval.
        self.page.wait_for_function(condition)

    def watch(self):
        """Play the video to its end; until then nothing can be rated."""
        self.page.wait_for_selector(".player[data-state=play]")
        assert self.page.locator(".trial.open").count() == 0
        assert self.page.locator("input[type=range]:enabled").count() == 0
        # Empty means empty: no value is shown anywhere.
        assert self.page.locator("input[type=range].empty").count() == 2
        assert self.page.locator(".send .main:disabled").count() == 1
        self.page.click(".cover")
        self.page.keyboard.press("4")
        assert self.page.locator("input[type=range].empty").count() == 2
        self.page.wait_for_selector(".trial.open")

    def leave(self):
        self.context.close()


def rate_by_keys(visit, first, second):
    visit.page.keyboard.press(str(first))
    visit.page.keyboard.press(str(second))
    visit.page.keyboard.press("Enter")


def rate_by_pointer(visit, first, second):
    scales = visit.page.locator(".dimension")
    scales.nth(0).locator(".mark").nth(first - 1).click()
    # The slider itself, at the place of the score. The mouse reaches only what is in the window.
    scales.nth(1).locator("input").scroll_into_view_if_needed()
    box = scales.nth(1).locator("input").bounding_box()
    at = 14 + (box["width"] - 28) * (second - 1) / 4
    visit.page.mouse.click(box["x"] + at, box["y"] + box["height"] / 2)
    assert scales.nth(1).locator("input").evaluate("node => node.value") == str(second)
    visit.page.click(".send .main")


@pytest.mark.parametrize(("size", "rater"), [("desktop", "r001"), ("phone", "r002")])
def test_a_whole_study(browser, server, folder, shots, size, rater):
    address, links = server
    own = f"{address}/r/{links[rater]}"
    rate = rate_by_keys if size == "desktop" else rate_by_pointer
    visit = Visit(browser, size, own)

    def shot(name):
        visit.page.screenshot(path=shots / f"{size}_{name}.png")

    visit.page.wait_for_selector(".sheet")
    shot("1_welcome")
    assert visit.page.locator("button.main:disabled").count() == 1
    visit.page.check("#agree")
    visit.page.select_option("#p-age", "18-29")
    visit.page.click("button.main")
    visit.page.wait_for_selector(".criteria")
    shot("2_session")
    visit.page.click("button.main")
    given, asked, closed = [], set(), False
    visit.page.on("request", lambda request: asked.add(request.url))
    while True:
        visit.wait("() => document.querySelector('.trial, .sheet h1') !== null")
        if visit.stage() == "finished":
            break
        number = len(given)
        if number == 2:
            # After the training the page says that it counts from now on.
            assert visit.page.locator(".trial").count() == 0
            shot("5_counts")
            visit.page.click("button.main")
        if visit.stage() == "break":
            assert number == 7
            assert visit.page.locator("button.main:disabled").count() == 1
            shot("7_break")
            visit.page.wait_for_selector("button.main:enabled")
            visit.page.click("button.main")
        visit.page.wait_for_selector(".trial")
        visit.page.wait_for_selector(".player[data-state=play]")
        if number in (0, 3):
            shot("3_training" if number == 0 else "6_video")
        if number == 5 and not closed:
            # In the middle of the video the window is closed, without a word to the server.
            visit.page.click(".cover")
            visit.page.wait_for_selector(".player[data-state=none]")
            visit.leave()
            problems, closed = visit.problems, True
            visit = Visit(browser, size, own)
            visit.problems += problems
            visit.page.wait_for_selector(".sheet")
            shot("8_back")
            assert visit.page.inner_text("#top .progress b") == "5 / 12"
            visit.page.click("button.main")
            continue
        visit.watch()
        if number == 0:
            shot("4_open")
        first, second = 1 + number % 5, 1 + (number * 2) % 5
        rate(visit, first, second)
        given.append((first, second))
        visit.wait("() => document.querySelector('.trial.open') === null")
    shot("9_finished")
    assert visit.context.cookies() == []
    assert visit.page.evaluate("() => localStorage.length + sessionStorage.length") == 0
    visit.leave()
    assert closed
    assert visit.problems == []
    kept = stored(folder)
    order = [r for r in sorted(kept["presentations"], key=lambda r: r[3]) if r[1] == rater]
    scores = {(row[0], row[1]): row[2] for row in kept["scores"]}
    assert [(scores[r[0], "quality"], scores[r[0], "consistency"]) for r in order] == given
    assert not [url for url in asked if any(row[4] in url for row in order)]


def test_what_was_measured(folder):
    """Of the study above: play time, frames, window, time to answer."""
    from sfqa.ratings.screen import database, export

    connection = database.open_database(folder / "study.db")
    rows = export.read_details(connection)
    connection.close()
    assert len(rows) == 2 * 12 * 2
    for row in rows:
        assert row["plays"] == 1
        # The clock of the browser, over a busy machine.
        assert SECONDS * 0.5 <= row["play_sec"] < SECONDS + 10
        assert row["total_frames"] is not None
        assert 0 <= row["dropped_frames"] <= row["total_frames"]
        assert row["answer_sec"] > 0
        assert row["since_served_sec"] >= SECONDS * 0.9 - 0.3
        assert row["stalls"] is not None
        size = SIZES["desktop" if row["rater"] == "r001" else "phone"]["viewport"]
        assert (row["window_width"], row["window_height"]) == (size["width"], size["height"])
        assert row["pixel_ratio"] == (1.0 if row["rater"] == "r001" else 2.0)
        assert 100 < row["video_width"] <= size["width"]


def test_the_organiser(browser, server, shots):
    address, links = server
    visit = Visit(browser, "desktop", f"{address}/o/{links['organiser']}")
    visit.page.wait_for_selector("tbody tr")
    assert visit.page.locator("tbody tr").count() == 2
    # Both raters gave the same scores to the same videos.
    assert visit.page.locator("tbody tr").first.inner_text().count("1.00") == 2
    visit.page.click("text=Pause the study")
    visit.page.wait_for_selector(".state.paused")
    visit.page.screenshot(path=shots / "organiser_paused.png")
    visit.page.click("text=Resume the study")
    visit.page.wait_for_selector(".state:not(.paused)")
    with visit.page.expect_download() as download:
        visit.page.click("a[download='score_details.parquet']")
    assert pq.read_table(download.value.path()).num_rows == 2 * 12 * 2
    visit.page.on("dialog", lambda dialog: dialog.accept())
    visit.page.locator("tbody tr").first.locator("button").click()
    made = visit.page.inner_text(".fresh code")
    assert made.startswith(f"{address}/r/")
    visit.page.screenshot(path=shots / "organiser_link.png")
    assert visit.problems == []
    visit.leave()
    old = Visit(browser, "desktop", f"{address}/r/{links['r001']}")
    old.page.wait_for_selector(".sheet")
    assert "There is nothing at this address" in old.page.inner_text("body")
    old.leave()
    new = Visit(browser, "desktop", made)
    new.page.wait_for_selector("body[data-stage=finished]")
    new.leave()


def test_tones_and_plates_of_the_checks(browser, server):
    """What a browser would play and draw: opposite phase, 6 dB, colours that lack one cone each."""
    address, _ = server
    page = browser.new_page()
    page.goto(f"{address}/static/icon.svg")
    sound = page.evaluate(
        """async () => {
            const { scheduleTones, TONES_SEC } = await import("/static/checks.js");
            const context = new OfflineAudioContext(2, 8000 * TONES_SEC, 8000);
            scheduleTones(context, 0, 2);
            const buffer = await context.startRendering();
            return [0, 1].map(channel => Array.from(buffer.getChannelData(channel)));
        }"""
    )
    left, right = np.array(sound)
    tones = [slice(round(8000 * (0.3 + 1.5 * n)), round(8000 * (0.9 + 1.5 * n))) for n in range(3)]
    levels = [np.sqrt(np.mean(left[tone] ** 2)) for tone in tones]
    assert 20 * np.log10(levels[0] / levels[1]) == pytest.approx(-6, abs=0.05)
    assert levels[1] == pytest.approx(levels[2], rel=1e-3)
    for tone, sign in zip(tones, (1, 1, -1), strict=True):
        np.testing.assert_allclose(right[tone], sign * left[tone], atol=1e-6)
    assert np.abs(left[round(8000 * 1.2) : round(8000 * 1.5)]).max() < 1e-6  # silence between
    colours = page.evaluate(
        """async () => {
            const { findColours } = await import("/static/plates.js");
            return ["protan", "deutan", "plain"].map(findColours);
        }"""
    )
    # Responses of L, M and S cones to linear RGB (Vienot, Brettel and Mollon 1999).
    cones = np.array(
        [[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]]
    )
    for name, (digit, ground) in zip(("protan", "deutan", "plain"), colours, strict=True):
        assert 0 < min(*digit, *ground) < max(*digit, *ground) < 1 / 1.35  # the lightest dots too
        change = np.abs(cones @ digit - cones @ ground) / (cones @ ground)
        changed = {"protan": 0, "deutan": 1, "plain": 2}[name]
        assert change[changed] > 0.2
        if name != "plain":
            assert np.delete(change, changed).max() < 0.005
    page.close()


def test_a_lost_connection_loses_no_answer(browser, folder, server, shots):
    """The rating is kept on the page and sent again; markup in a remark is defused, not lost."""
    address, _ = server
    # A third rater, planned while the study runs.
    table = pq.read_table(folder / "plan.parquet").to_pylist()
    rows = rows_of("r003", "TT", SECONDS)
    for row, known in zip(rows, ["s1_1", "s1_2"], strict=True):
        row["sample_id"] = known
    pq.write_table(pa.Table.from_pylist([*table, *rows]), folder / "plan.parquet")
    words = [sys.executable, "-m", "sfqa", "rate", "links", str(folder), "--url", address]
    env = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=True)
    link = dict(line.split("\t") for line in done.stdout.splitlines())["r003"]
    time.sleep(1.5)  # the server looks every second
    visit = Visit(browser, "desktop", link)
    visit.page.check("#agree")
    visit.page.click("button.main")
    visit.page.wait_for_selector(".criteria")
    visit.page.click("button.main")
    visit.watch()
    visit.page.click(".problem summary")
    visit.page.fill(".problem textarea", "lips <b>late</b> & 3 < 4")
    visit.page.locator(".dimension").nth(0).locator(".mark").nth(4).click()
    visit.page.locator(".dimension").nth(1).locator(".mark").nth(0).click()
    visit.context.set_offline(True)
    visit.page.click(".send .main")
    visit.page.wait_for_selector(".send .trouble:not([hidden])")
    visit.page.screenshot(path=shots / "offline.png")
    visit.context.set_offline(False)
    visit.wait("() => document.querySelector('.trial.open') === null")
    visit.leave()
    kept = stored(folder)
    mine = {row[0] for row in kept["presentations"] if row[1] == "r003"}
    assert [row[4] for row in kept["answers"] if row[0] in mine] == ["lips < b>late< /b> & 3 < 4"]
    assert sorted(row[2] for row in kept["scores"] if row[0] in mine) == [1.0, 5.0]
