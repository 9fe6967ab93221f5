"""A crowd study in a real browser: 12 people by one link, 3 drop out, others take their places.

With SFQA_AXE=path/to/axe.min.js (npm pack axe-core) the pages are searched for serious faults of
accessibility too.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import socket
import threading
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import uvicorn
import yaml
from screen_study import stored

from chromium import needs_chromium
from sfqa import cli, media
from sfqa.ratings.screen.app import create_app

pytestmark = [needs_chromium, pytest.mark.thorough]

PEOPLE = [f"p{n:02d}" for n in range(12)]
DROP_OUTS = ("p02", "p05", "p07")
REPLACEMENTS = ("q01", "q02", "q03")
AGES = ("18–24", "25–34", "35–44", "45–54", "55+")
SECONDS, FPS = 0.4, 25.0
VIDEOS = 4


class Clock:
    """The machine's clock, which a test can put forward."""

    def __init__(self):
        self.ahead = 0.0

    def __call__(self):
        return time.time() + self.ahead


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The folder of a study, planned by the command line from a table of own videos."""
    home = tmp_path_factory.mktemp("crowd")
    (home / "videos").mkdir()
    for n in range(VIDEOS + 2):
        frame = np.full((128, 160, 3), 40 + 30 * n, np.uint8)
        cv2.circle(frame, (80, 64), 40, (200, 170, 150), -1)
        media.write_video(home / "videos" / f"v{n}.mp4", [frame] * round(SECONDS * FPS), FPS)
    rows = "".join(f"videos/v{n}.mp4\n" for n in range(VIDEOS + 2))
    (home / "own.csv").write_text("video\n" + rows)
    folder = home / "study"
    words = ["--raters", "12", "--per-sample", "12", "--training", "v0", "--gold", "v1"]
    assert cli.main(["plan", str(home / "own.csv"), *words, "--out", str(folder)]) == 0
    settings = yaml.safe_load((folder / "study.yaml").read_text(encoding="utf-8"))
    settings |= {
        "languages": ["en"],
        "checks": ["colour_vision"],
        "display": {"max_zoom": 1, "surround": 128, "theme": "light", "window": {"width": 600, "height": 500}},
        "completion": {"code_per_rater": True, "url": "https://crowd.example.org/done?cc={code}&s={SESSION_ID}"},
    }  # fmt: skip
    settings["profile"][0]["required"] = True
    (folder / "study.yaml").write_text(yaml.safe_dump(settings, allow_unicode=True), "utf-8")
    (folder / "answers.csv").write_text(
        "sample_id,dimension,expected,tolerance\nv1,visual_quality,4,0\n"
    )
    return folder


@pytest.fixture(scope="module")
def served(study):
    """The server in this process, with a clock that can be put forward; its address and clock."""
    clock, listener = Clock(), socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(create_app(study, clock), log_level="warning", ws="none", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", clock
    server.should_exit = True
    thread.join(20)


class Person:
    """Someone with a fresh browser who follows the crowd link."""

    def __init__(self, browser, address, name, **context):
        size = {"viewport": {"width": 1024, "height": 700}, "locale": "en-US"} | context
        self.context = browser.new_context(reduced_motion="reduce", **size)
        self.context.set_default_timeout(30_000)
        self.page, self.problems, self.name = self.context.new_page(), [], name
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.goto(f"{address}?PROLIFIC_PID={name}&STUDY_ID=st&SESSION_ID=s-{name}")

    def start(self, age):
        page = self.page
        page.wait_for_selector("#agree")
        page.check("#agree")
        assert page.locator("button.main:disabled").count() == 1  # the age is required
        page.select_option("#p-age", age)
        page.click("button.main")
        for number in range(6):
            page.wait_for_selector(f"text=Picture {number + 1} of 6")
            assert page.locator("canvas").count() == 1
            page.click("text=I see no digit")
        page.wait_for_selector(".criteria")
        page.click("button.main")

    def rate(self, count):
        """Rate videos with keys: 4 on both scales."""
        for _ in range(count):
            self.page.wait_for_function("() => document.body.dataset.stage === 'rate'")
            if self.page.locator(".trial").count() == 0:  # the training is over
                self.page.click("#main > .sheet button.main")
            self.page.wait_for_selector(".player[data-state=play]")
            self.page.click(".cover")
            self.page.wait_for_selector(".trial.open")
            box = self.page.locator(".player video").bounding_box()
            assert (round(box["width"]), round(box["height"])) == (160, 128)  # 1:1
            for key in ("4", "4", "Enter"):
                self.page.keyboard.press(key)
            self.page.wait_for_function("() => document.querySelector('.trial.open') === null")

    def finish(self):
        """Return the code and the address on the last page."""
        self.page.wait_for_selector("body[data-stage=finished] #code")
        return self.page.inner_text("#code"), self.page.get_attribute("a.return", "href")

    def leave(self):
        assert self.problems == []
        self.context.close()


def find_faults(page):
    """Return the serious faults that axe-core finds on a page; none without SFQA_AXE."""
    if not (script := os.environ.get("SFQA_AXE")):
        return []
    session = page.context.new_cdp_session(page)
    session.send("Runtime.evaluate", {"expression": Path(script).read_text(encoding="utf-8")})
    run = "axe.run(document).then(r => JSON.stringify(r.violations.map(v => [v.impact, v.id, v.nodes[0].html])))"
    answer = session.send(
        "Runtime.evaluate", {"expression": run, "awaitPromise": True, "returnByValue": True}
    )
    faults = json.loads(answer["result"]["value"])
    return [fault for fault in faults if fault[0] in ("serious", "critical")]


def test_twelve_people_by_one_link(browser, study, served, shots, tmp_path, capsys):
    address, clock = served
    assert cli.main(["rate", "links", str(study), "--crowd", "--url", address]) == 0
    links = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert set(links) == {"organiser", "crowd"}
    time.sleep(1.5)  # the server looks for changes every second
    per_rater = VIDEOS + 2  # with the training video and the gold clip
    shown = {}
    for number, name in enumerate(PEOPLE):
        person = Person(browser, links["crowd"], name)
        person.start(AGES[number % 5])
        if name in DROP_OUTS:
            person.rate(1 + number % 3)
            person.leave()
            continue
        person.rate(per_rater)
        shown[name] = person.finish()
        if number == 0:
            person.page.screenshot(path=shots / "crowd_finished.png")
            assert find_faults(person.page) == []
        person.leave()
    # A 13th person finds no place, and a drop-out could still come back.
    late = Person(browser, links["crowd"], REPLACEMENTS[0])
    late.page.wait_for_selector("text=All places in this study are taken.")
    late.page.screenshot(path=shots / "crowd_full.png")
    late.leave()
    back = Person(browser, links["crowd"], DROP_OUTS[2])
    back.page.wait_for_selector("text=Welcome back")
    back.leave()
    clock.ahead += 61 * 60
    for number, name in enumerate(REPLACEMENTS):
        person = Person(browser, links["crowd"], name)
        person.start(AGES[number])
        person.rate(per_rater)
        shown[name] = person.finish()
        person.leave()
    gone = Person(browser, links["crowd"], DROP_OUTS[0])
    gone.page.wait_for_selector("text=Your place was given to someone else")
    gone.leave()

    assert cli.main(["rate", "export", str(study), "--out", str(tmp_path)]) == 0
    with open(tmp_path / "raters.csv", encoding="utf-8", newline="") as file:
        rows = {row["id_PROLIFIC_PID"]: row for row in csv.DictReader(file)}
    assert Counter(row["state"] for row in rows.values()) == {"finished": 12, "dropped_out": 3}
    assert {row["place"] for row in rows.values() if row["state"] == "finished"} == {
        f"r{n:03d}" for n in range(1, 13)
    }
    for name, (code, url) in shown.items():
        row = rows[name]
        assert row["completion_code"] == code
        assert url == f"https://crowd.example.org/done?cc={code}&s=s-{name}"
        assert (row["answered"], row["id_SESSION_ID"]) == (str(per_rater), f"s-{name}")
        assert (row["gold"], row["gold_passed"]) == ("1", "1")
        assert (row["colour_vision_tasks"], row["colour_vision_passed"]) == ("6", "false")
        assert row["consented_at"] < row["last_answer_at"]
        assert float(row["total_sec"]) > 0
        assert row["screen_width"] == "1024"
    assert len({code for code, _ in shown.values()}) == 12
    assert [rows[name]["profile_age"] for name in PEOPLE] == [AGES[n % 5] for n in range(12)]
    assert all(rows[name]["completion_code"] == "" for name in DROP_OUTS)

    assert cli.main(["rate", "export", str(study), "--out", str(tmp_path), "--finished"]) == 0
    with open(tmp_path / "scores.csv", encoding="utf-8", newline="") as file:
        counts = Counter((row["sample_id"], row["dimension"]) for row in csv.DictReader(file))
    assert len(counts) == VIDEOS * 2
    assert set(counts.values()) == {12}  # every place is complete
    with open(tmp_path / "score_details.csv", encoding="utf-8", newline="") as file:
        details = list(csv.DictReader(file))
    assert {(r["video_width"], r["native_width"]) for r in details} == {("160", "160")}
    assert len(stored(study)["answers"]) == len(details) / 2

    for size in ((1440, 900), (390, 844)):
        page = browser.new_page(viewport={"width": size[0], "height": size[1]})
        page.goto(links["organiser"])
        page.wait_for_selector("tbody tr")
        assert page.locator("tbody tr").count() == 15
        assert "3 dropped out" in page.inner_text(".numbers")
        # Nothing lies beside the window that has to be scrolled to.
        assert page.evaluate("() => document.documentElement.scrollWidth") == size[0]
        page.screenshot(path=shots / f"crowd_organiser_{size[0]}.png", full_page=True)
        assert find_faults(page) == []
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_person_without_an_id_a_small_window_and_headphones(
    browser, study, served, scheme, tmp_path
):
    """Not a place of the study above: a copy of it with one more place, and all checks."""
    import shutil

    import pyarrow as pa
    import pyarrow.parquet as pq

    from sfqa.ratings.screen import database, links
    from sfqa.ratings.screen.study_tables import read_plan

    folder = tmp_path / "videos" / "study"
    shutil.copytree(study.parent, tmp_path / "videos", ignore=shutil.ignore_patterns("study.*"))
    shutil.copy(study / "study.yaml", folder)
    settings = yaml.safe_load((folder / "study.yaml").read_text(encoding="utf-8"))
    settings["checks"] = ["headphones"]
    (folder / "study.yaml").write_text(yaml.safe_dump(settings, allow_unicode=True), "utf-8")
    rows = [
        row for row in pq.read_table(folder / "plan.parquet").to_pylist() if row["rater"] == "r001"
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "plan.parquet")
    connection = database.open_database(folder / "study.db")
    database.sync_plan(connection, read_plan(folder / "plan.parquet"))
    token = links.create_crowd_link(connection)
    connection.close()
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(folder), log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        page = browser.new_page(viewport={"width": 1024, "height": 700}, color_scheme=scheme)
        page.goto(f"http://127.0.0.1:{listener.getsockname()[1]}/e/{token}")
        page.wait_for_selector("#person")
        assert find_faults(page) == []
        page.fill("#person", "ann")
        page.keyboard.press("Enter")
        page.wait_for_selector("#agree")
        assert find_faults(page) == []
        page.check("#agree")
        page.select_option("#p-age", AGES[0])
        page.click("button.main")
        for number in range(6):
            page.wait_for_selector(f"text=Round {number + 1} of 6")
            assert find_faults(page) == []
            page.click("text=Play the tones")
            page.click("text=Tone 2", timeout=15_000)
        page.wait_for_selector(".criteria")
        page.click("button.main")
        page.wait_for_selector(".player[data-state=play]")
        assert find_faults(page) == []
        button = page.locator(".send .main").bounding_box()
        assert button["y"] + button["height"] <= 700  # without scrolling
        assert (
            page.evaluate("() => getComputedStyle(document.body).backgroundColor")
            == "rgb(128, 128, 128)"
        )
        page.set_viewport_size({"width": 500, "height": 700})
        page.wait_for_selector(".window-guard:not([hidden])")
        assert "at least 600 × 500; yours has 500 × 700" in page.inner_text(".window-guard")
        assert find_faults(page) == []
        page.set_viewport_size({"width": 1024, "height": 700})
        page.wait_for_selector(".window-guard[hidden]", state="attached")
        page.close()
    finally:
        with contextlib.suppress(RuntimeError):
            server.should_exit = True
        thread.join(20)
