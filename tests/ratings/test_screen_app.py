"""The server as pages see it: what comes when, what is stored, what is served."""

from __future__ import annotations

import io
import json
import threading
import time

import pyarrow.parquet as pq
import pytest
from screen_study import SCORES, STUDY, Page, make, rows_of, stored, tokens, write_plan
from starlette.testclient import TestClient

from sfqa import cli
from sfqa.ratings.screen import database
from sfqa.ratings.screen.app import create_app


def test_a_whole_session_in_its_order(served, clock):
    client, links, folder = served
    page = Page(client, links["r001"])
    assert page.state()["stage"] == "welcome"
    state = page.post(
        "/consent", {"language": "zh", "profile": {"age": "18-29", "notes": ""}}
    ).json()
    assert (state["stage"], state["language"], state["training"]) == ("session", "zh", True)
    state = page.post("/begin").json()
    seen, breaks = [], 0
    while state["stage"] != "finished":
        if state["stage"] == "break":
            breaks += 1
            assert state["seconds"] == 60.0
            clock.pass_(60.0)
            state = page.state()
        shown = state["presentation"]
        seen.append((shown["id"], shown["training"], shown["counts_now"]))
        page.watch(shown["id"])
        clock.pass_(2.0)
        answer = page.send(shown["id"], {"quality": 1 + len(seen) % 5, "consistency": 3})
        assert (answer.status_code, answer.json()["repeated"]) == (200, False)
        state = answer.json()["state"]
    assert state["done"] == 8
    # Blocks of rows_of: the training, then 1 1, 2 2, 3 and all checks.
    assert breaks == 2
    assert [one[1:] for one in seen[:3]] == [(True, False), (False, True), (False, False)]
    assert len({identity for identity, *_ in seen}) == 8
    kept = stored(folder)
    assert len(kept["scores"]) == 16
    assert {row[2]: row[3] for row in kept["presentations"] if row[1] == "r001"}
    order = [
        row[0] for row in sorted(kept["presentations"], key=lambda r: r[3]) if row[1] == "r001"
    ]
    assert order == [identity for identity, *_ in seen]
    assert [row[2] for row in kept["raters"]] == ["zh", None]
    assert json.loads(kept["raters"][0][5]) == {"age": "18-29"}


def test_nothing_tells_a_file_a_method_or_a_check(served, clock):
    client, links, folder = served
    page = Page(client, links["r001"])
    page.begin()
    told = page.get("").text + page.get("/about").text
    for _ in range(8):
        answer = page.rate(clock)
        told += answer.text + page.get("/state").text
        for kind in ("video", "image", "clip"):
            shown = page.state().get("presentation")
            if shown:
                told += str(page.get(f"/media/{shown['id']}/{kind}").headers)
    secret = {row[4] for row in stored(folder)["presentations"]} | {
        "gold",
        "trap",
        '"repeat"',
        ".mp4",
        ".png",
    }
    assert not [word for word in secret if word in told]
    assert "set-cookie" not in told.lower()


def test_scoring_opens_when_the_video_can_have_been_seen(served, clock):
    client, links, folder = served
    page = Page(client, links["r001"])
    identity = page.begin()["presentation"]["id"]
    refused = page.send(identity)
    assert (refused.status_code, refused.json()["error"], refused.json()["wait"]) == (
        409,
        "too_early",
        None,
    )
    page.watch(identity)
    clock.pass_(1.0)
    refused = page.send(identity)
    assert refused.json()["error"] == "too_early"
    # 2 s of video, of which browsers' rounding may lack 2 % and 0.25 s.
    assert refused.json()["wait"] == pytest.approx(2 * 0.98 - 0.25 - 1.0, abs=1e-6)
    assert stored(folder)["answers"] == []
    clock.pass_(refused.json()["wait"])
    assert page.send(identity).status_code == 200


def test_a_video_that_was_fetched_ahead_is_not_seen_yet(served, clock):
    client, links, _ = served
    page = Page(client, links["r001"])
    first = page.begin()["presentation"]
    page.watch(first["id"])
    page.watch(first["next"])
    clock.pass_(100.0)
    assert page.send(first["id"]).status_code == 200
    assert page.send(first["next"]).json()["error"] == "too_early"
    clock.pass_(2.0)
    assert page.send(first["next"]).status_code == 200


def test_files_come_only_when_it_is_their_turn(served, clock):
    client, links, folder = served
    page = Page(client, links["r001"])
    ids = [
        r[0] for r in sorted(stored(folder)["presentations"], key=lambda r: r[3]) if r[1] == "r001"
    ]
    assert page.watch(ids[0]).status_code == 404
    page.post("/consent", {"language": "en"})
    assert page.watch(ids[0]).status_code == 404
    page.post("/begin")
    assert [page.watch(one).status_code for one in ids[:4]] == [200, 200, 404, 404]
    page.rate(clock)
    assert [page.watch(one).status_code for one in ids[:4]] == [404, 200, 200, 404]


def test_the_same_answer_twice_counts_once(served, clock):
    client, links, folder = served
    page = Page(client, links["r001"])
    identity = page.begin()["presentation"]["id"]
    page.watch(identity)
    clock.pass_(2.0)
    first, second = page.send(identity), page.send(identity)
    assert (first.json()["repeated"], second.json()["repeated"]) == (False, True)
    assert second.json()["state"] == first.json()["state"]
    other = page.send(identity, SCORES | {"quality": 5})
    assert (other.status_code, other.json()["error"]) == (409, "answered")
    assert sorted(row[1:] for row in stored(folder)["scores"]) == [
        ("consistency", 2.0),
        ("quality", 4.0),
    ]


def test_the_same_answer_from_many_threads_counts_once(served, clock):
    client, links, folder = served
    page = Page(client, links["r001"])
    identity = page.begin()["presentation"]["id"]
    page.watch(identity)
    clock.pass_(2.0)
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(page.send(identity))) for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.status_code for one in answers] == [200] * 12
    assert len(stored(folder)["answers"]) == 1
    assert len(stored(folder)["scores"]) == 2


def test_an_answer_is_on_the_disk_before_it_is_acknowledged(served, clock, monkeypatch):
    client, links, folder = served
    seen = []
    put = database.put_answer

    def spied(*given, **more):
        seen.append("stored")
        return put(*given, **more)

    monkeypatch.setattr(database, "put_answer", spied)
    commit = database.Writer._commit_batch

    def committed(self, batch):
        commit(self, batch)
        seen.append("committed")

    monkeypatch.setattr(database.Writer, "_commit_batch", committed)
    page = Page(client, links["r001"])
    page.begin()
    seen.clear()
    assert page.rate(clock).status_code == 200
    deadline = time.monotonic() + 5
    while "committed" not in seen and time.monotonic() < deadline:
        time.sleep(0.01)  # the answer is sent inside the commit's function, before it returns
    assert seen[-2:] == ["stored", "committed"]
    # Another connection, as after a crash of the server, sees it.
    assert len(stored(folder)["answers"]) == 1


def test_an_answer_that_cannot_be_written_is_not_acknowledged(served, clock, monkeypatch):
    client, links, folder = served
    page = Page(client, links["r001"])
    identity = page.begin()["presentation"]["id"]
    page.watch(identity)
    clock.pass_(2.0)

    def full(*given, **more):
        import sqlite3

        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(database, "put_answer", full)
    refused = page.send(identity)
    assert (refused.status_code, refused.json()["error"]) == (503, "not_stored")
    monkeypatch.undo()
    assert page.send(identity).json()["repeated"] is False
    assert len(stored(folder)["answers"]) == 1


def test_a_new_server_goes_on_where_the_old_one_stopped(study, clock):
    folder, links = study
    with TestClient(create_app(folder, clock)) as client:
        page = Page(client, links["r001"])
        page.begin()
        for _ in range(3):
            page.rate(clock)
        page.post("/settings", {"language": "zh", "theme": "dark"})
        watching = page.state()
        if watching["stage"] == "break":
            clock.pass_(60.0)
            watching = page.state()
        page.watch(watching["presentation"]["id"])
        clock.pass_(2.0)
    with TestClient(create_app(folder, clock)) as client:
        page = Page(client, links["r001"])
        assert page.state() == watching
        assert page.state()["language"] == "zh"
        # What was served before the stop still counts as seen.
        assert page.send(watching["presentation"]["id"]).status_code == 200


def test_details_come_back_from_the_export(served, clock):
    client, links, _ = served
    page = Page(client, links["r001"])
    page.begin()
    page.rate(clock)
    details = {"play_sec": 2.03, "plays": 2, "stalls": 1, "stall_sec": 0.4, "dropped_frames": 3, "total_frames": 50,
               "answer_sec": 4.25, "focus_losses": 1, "clip_plays": 1, "window_width": 1280, "window_height": 720,
               "video_width": 512, "pixel_ratio": 1.5}  # fmt: skip
    assert page.rate(clock, details=details, comment="lips < sound").status_code == 200
    own = f"/o/{links['organiser']}/export/"
    table = pq.read_table(io.BytesIO(client.get(own + "score_details.parquet").content)).to_pylist()
    last = [row for row in table if row["position"] == 2]
    assert len(last) == 2
    for row in last:
        assert {name: row[name] for name in details} == details
        assert (row["comment"], row["role"], row["since_served_sec"]) == (
            "lips < sound",
            "test",
            2.0,
        )
        assert (row["score"], row["video_sec"]) == (SCORES[row["dimension"]], 2.0)
    scores = pq.read_table(io.BytesIO(client.get(own + "scores.parquet").content)).to_pylist()
    assert {row["sample_id"] for row in scores} == {"s1_1"}


def test_the_organiser_sees_progress_pauses_and_gives_links(served, clock):
    client, links, _ = served
    own = f"/o/{links['organiser']}"
    page, other = Page(client, links["r001"]), Page(client, links["r002"])
    page.begin()
    page.rate(clock)
    state = client.get(f"{own}/state").json()
    assert [(r["rater"], r["done"], r["of"], r["consented"]) for r in state["raters"]] == [
        ("r001", 1, 8, True), ("r002", 0, 3, False),
    ]  # fmt: skip
    current = page.state()["presentation"]
    page.watch(current["id"])
    page.watch(current["next"])
    assert client.post(f"{own}/pause", json={"paused": True}).json()["paused"] is True
    assert other.post("/consent", {"language": "en"}).json()["stage"] == "paused"
    assert other.post("/begin").status_code == 409
    # What was begun may be rated; the next one, though fetched, may not.
    clock.pass_(2.0)
    done = page.send(current["id"]).json()
    assert done["state"]["stage"] == "paused"
    clock.pass_(2.0)
    assert page.send(current["next"]).json()["error"] == "paused"
    client.post(f"{own}/pause", json={"paused": False})
    assert page.state()["stage"] == "rate"
    made = client.post(f"{own}/link", json={"rater": "r002"}).json()
    assert client.get(f"/r/{links['r002']}/state").status_code == 404
    assert client.get(made["path"] + "/state").status_code == 200


def test_the_pause_outlives_the_server(study, clock):
    folder, links = study
    with TestClient(create_app(folder, clock)) as client:
        client.post(f"/o/{links['organiser']}/pause", json={"paused": True})
    with TestClient(create_app(folder, clock)) as client:
        assert Page(client, links["r001"]).state()["stage"] == "paused"


def test_a_running_server_takes_over_new_videos_and_links(served, clock, capsys):
    client, links, folder = served
    page = Page(client, links["r002"])
    page.begin()
    for _ in range(3):
        page.rate(clock)
    assert page.state()["stage"] == "finished"
    before = stored(folder)
    old = rows_of("r001", "tTTTTRGX") + rows_of("r002", "tTT")
    make(folder, [*old, *rows_of("r002", "TT", session=2), *rows_of("r003", "T")])
    assert cli.main(["rate", "links", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert "3 presentations added, 0 removed" in err
    token = dict(line.split("\t") for line in out.splitlines())["r003"].rpartition("/")[2]
    # The writer looks for other processes' changes after each batch and every second.
    page.post("/settings", {"theme": "dark"})
    for _ in range(50):
        if page.state()["stage"] == "session":
            break
        threading.Event().wait(0.1)
    assert page.state()["progress"] == {"session": 2, "sessions": 2, "done": 0, "of": 2}
    assert Page(client, token).state()["stage"] == "welcome"
    after = stored(folder)
    assert after["answers"] == before["answers"]
    assert set(before["presentations"]) <= set(after["presentations"])


def test_a_link_that_is_created_while_the_server_starts_works(study, clock):
    folder, _ = study
    app = create_app(folder, clock)
    renewed = tokens(folder)["organiser"]
    with TestClient(app) as client:
        assert client.get(f"/o/{renewed}/state").status_code == 200


def test_a_plan_that_cannot_be_taken_over_stops_no_server(served, clock, capsys):
    client, links, folder = served
    page = Page(client, links["r001"])
    page.begin()
    page.rate(clock)
    write_plan(folder, [dict(row, sample_id="s1_2") for row in rows_of("r001", "T")])
    assert cli.main(["rate", "links", str(folder)]) == 2
    assert "was rated as" in capsys.readouterr().err
    assert page.rate(clock).status_code == 200


def test_any_dimensions_and_steps(tmp_path, clock):
    names = ["spatial", "temporal", "alignment"]
    study = STUDY | {
        "dimensions": [{"name": n} for n in names],
        "scale": {"low": 0, "high": 100, "step": 0.5},
    }
    folder = make(tmp_path / "s", rows_of("r001", "TT"), study)
    links = tokens(folder)
    with TestClient(create_app(folder, clock)) as client:
        page = Page(client, links["r001"])
        page.begin()
        scores = {"spatial": 0, "temporal": 99.5, "alignment": 33.5}
        assert page.rate(clock, scores).status_code == 200
        assert page.rate(clock, scores | {"spatial": 0.25}).json()["error"] == "out_of_range"
    assert {row[1]: row[2] for row in stored(folder)["scores"]} == scores
