"""A crowd by one link: places, drop-outs and who takes over, completion codes, the raters' table."""

from __future__ import annotations

import csv
import io
import json

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from screen_study import STUDY, Page, make, rows_of, stored, tokens
from starlette.testclient import TestClient

from sfqa import cli
from sfqa.ratings.screen import database, links
from sfqa.ratings.screen.app import create_app

CROWD = STUDY | {
    "enrolment": {"drop_out_minutes": 30},
    "completion": {
        "code_per_rater": True,
        "url": "https://crowd.example.org/done?cc={code}&session={SESSION_ID}",
    },
    "checks": ["headphones", "colour_vision"],
}
PLACES = ("r001", "r002", "r003")
GOOD = [["1", "1"]] * 6
POOR = [["1", "2"]] * 2 + [["1", "1"]] * 4


def crowd_link(folder):
    connection = database.open_database(folder / "study.db")
    try:
        return links.create_crowd_link(connection), links.create_organiser_link(connection)
    finally:
        connection.close()


@pytest.fixture
def crowd(tmp_path, clock):
    """Three places of a training video, two tests and a gold clip; answers.csv expects a 4."""
    plan = [row for place in PLACES for row in rows_of(place, "tTTG", 2.0)]
    folder = make(tmp_path / "study", plan, CROWD)
    (folder / "answers.csv").write_text(
        "sample_id,dimension,expected,tolerance\ngold_4,quality,4,0\ngold_4,consistency,5,1\n"
    )
    with TestClient(create_app(folder, clock)) as client:
        token, organiser = crowd_link(folder)
        client.app.server.reload()
        yield client, f"/e/{token}", f"/o/{organiser}", folder


def join(client, link, person, **ids):
    return client.post(f"{link}/join", json={"ids": {"PROLIFIC_PID": person, **ids}})


def enter(client, link, person, **ids):
    """Join, and do everything up to the first video."""
    page = Page(client, join(client, link, person, **ids).json()["path"].rpartition("/")[2])
    screen = {"screen_width": 1920, "screen_height": 1080, "pixel_ratio": 1.25, "touch": 0}
    page.post("/consent", {"language": "en", "profile": {"age": "18-29"}, "screen": screen})
    page.post("/check", {"check": "headphones", "tasks": GOOD})
    page.post("/check", {"check": "colour_vision", "tasks": POOR})
    page.post("/begin")
    return page


def finish(page, clock):
    while page.state()["stage"] != "finished":
        details = {"play_sec": 2.5, "answer_sec": 1.5}
        assert page.rate(clock, details=details, comment="slow").status_code == 200
    return page.state()["completion"]


def test_people_take_places_and_come_back_to_them(crowd, clock):
    client, link, _, folder = crowd
    assert client.get(link).text.count("enrol.js") == 1
    assert client.get(f"{link}/about").json()["person"][0] == "PROLIFIC_PID"
    first = join(client, link, "anna")
    page = Page(client, first.json()["path"].rpartition("/")[2])
    assert page.state()["stage"] == "welcome"
    # The same person again: the same place by a new link, and the old one stops working.
    again = Page(client, join(client, link, "anna").json()["path"].rpartition("/")[2])
    assert page.get("/state").status_code == 404
    again.post("/consent", {"language": "en"})
    assert again.state()["stage"] == "check"
    assert join(client, link, "ben").status_code == join(client, link, "cora").status_code == 200
    full = join(client, link, "dora")
    assert (full.status_code, full.json()["error"]) == (409, "full")
    enrolled = {row[2]: row[0] for row in stored(folder)["enrolments"]}
    assert enrolled == {
        "PROLIFIC_PID=anna": "r001", "PROLIFIC_PID=ben": "r002", "PROLIFIC_PID=cora": "r003",
    }  # fmt: skip
    # A page that is only loaded, as previews of messages do, takes no place.
    assert len(stored(folder)["enrolments"]) == 3
    del clock


def test_a_place_is_free_again_when_its_rater_drops_out(crowd, clock):
    client, link, _, folder = crowd
    pages = {name: enter(client, link, name) for name in ("anna", "ben", "cora")}
    assert pages["ben"].rate(clock).status_code == 200
    clock.pass_(29 * 60)
    assert join(client, link, "dora").json()["error"] == "full"
    assert pages["anna"].rate(clock).status_code == 200
    clock.pass_(2 * 60)
    # Cora never rated, Ben's last answer is 31 minutes ago, Anna's 2: who waits longest goes first.
    dora = enter(client, link, "dora")
    assert pages["cora"].state()["stage"] == "replaced"
    assert pages["cora"].post("/begin").json()["error"] == "replaced"
    # Ben goes on where he stopped, as long as nobody needs his place.
    assert pages["ben"].rate(clock).status_code == 200
    assert join(client, link, "emil").json()["error"] == "full"
    clock.pass_(31 * 60)
    dora.rate(clock)
    emil = enter(client, link, "emil")
    shown = pages["ben"].state()
    assert shown["stage"] == "rate"  # Anna was idle for longer
    assert pages["anna"].state()["stage"] == "replaced"
    assert pages["anna"].send("x").json()["error"] == "no_such_presentation"
    assert join(client, link, "anna").json()["error"] == "replaced"
    finish(emil, clock)
    kept = stored(folder)
    enrolled = {row[2].partition("=")[2]: (row[0], row[1], row[5]) for row in kept["enrolments"]}
    assert enrolled["dora"][:2] == ("r003-2", "r003")
    assert enrolled["emil"][:2] == ("r001-2", "r001")
    assert [name for name, row in enrolled.items() if row[2] is not None] == ["anna", "cora"]
    by_rater = {}
    for row in sorted(kept["presentations"], key=lambda row: row[3]):
        by_rater.setdefault(row[1], []).append((row[0], row[4], row[5]))
    assert [p[1:] for p in by_rater["r001-2"]] == [p[1:] for p in by_rater["r001"]]
    assert not {p[0] for p in by_rater["r001-2"]} & {p[0] for p in by_rater["r001"]}
    answered = {row[0] for row in kept["answers"]}
    assert sum(p[0] in answered for p in by_rater["r001"]) == 1  # Anna's rating is still there


def test_a_person_who_comes_back_in_time_keeps_the_place(crowd, clock):
    client, link, _, _ = crowd
    for name in ("anna", "ben", "cora"):
        enter(client, link, name)
    clock.pass_(31 * 60)
    for name in ("anna", "ben", "cora"):  # nobody needed the places meanwhile
        assert join(client, link, name).status_code == 200
    clock.pass_(60)
    assert join(client, link, "dora").json()["error"] == "full"


def test_pauses_and_stops_of_the_server_are_no_idle_time(crowd, clock):
    client, link, organiser, folder = crowd
    for name in ("anna", "ben", "cora"):
        enter(client, link, name)
    client.post(f"{organiser}/pause", json={"paused": True})
    clock.pass_(5 * 3600)
    assert join(client, link, "dora").json()["error"] == "paused"
    client.post(f"{organiser}/pause", json={"paused": False})
    assert join(client, link, "dora").json()["error"] == "full"
    clock.pass_(5 * 3600)
    with TestClient(create_app(folder, clock)) as restarted:
        assert join(restarted, link, "dora").json()["error"] == "full"
        clock.pass_(31 * 60)
        assert join(restarted, link, "dora").status_code == 200


def test_between_two_sessions_people_have_more_time(tmp_path, clock):
    plan = rows_of("r001", "TT") + rows_of("r001", "TT", session=2)
    folder = make(tmp_path / "study", plan, STUDY | {"enrolment": {"next_session_hours": 48}})
    with TestClient(create_app(folder, clock)) as client:
        token, _ = crowd_link(folder)
        client.app.server.reload()
        page = Page(client, join(client, f"/e/{token}", "anna").json()["path"].rpartition("/")[2])
        page.begin()
        page.rate(clock)
        page.rate(clock)
        assert page.state()["stage"] == "session"
        clock.pass_(47 * 3600)
        assert join(client, f"/e/{token}", "ben").json()["error"] == "full"
        clock.pass_(2 * 3600)
        assert join(client, f"/e/{token}", "ben").status_code == 200


def test_the_plan_and_new_videos_follow_the_person_who_took_over(crowd, clock, capsys):
    client, link, _, folder = crowd
    pages = [enter(client, link, name) for name in ("anna", "ben", "cora")]
    pages[0].rate(clock)
    clock.pass_(31 * 60)
    for page in pages[1:]:
        page.rate(clock)
    dora = enter(client, link, "dora")
    dora.rate(clock)
    before = stored(folder)
    longer = [row for place in PLACES for row in rows_of(place, "tTTG", 2.0)]
    make(folder, [*longer, *rows_of("r001", "TT", session=2)], CROWD)
    assert cli.main(["rate", "links", str(folder)]) == 0
    said = capsys.readouterr()
    assert "2 presentations added, 0 removed" in said.err
    assert said.out == ""  # no personal links: the places are for the crowd
    after = stored(folder)
    assert after["answers"] == before["answers"]
    assert set(before["presentations"]) < set(after["presentations"])
    new = set(after["presentations"]) - set(before["presentations"])
    assert {row[1] for row in new} == {"r001-2"}


def test_codes_profile_and_checks_are_exported(crowd, clock, tmp_path):
    client, link, organiser, _ = crowd
    anna = enter(client, link, "anna", SESSION_ID="s 1", STUDY_ID="st1")
    ben = enter(client, link, "ben")
    assert "completion" not in json.dumps(anna.state())
    done = finish(anna, clock)
    assert len(done["code"]) == 10
    assert done["url"] == f"https://crowd.example.org/done?cc={done['code']}&session=s%201"
    assert anna.state()["completion"] == done  # the same after a reload
    ben.rate(clock)
    state = client.get(f"{organiser}/state").json()
    rows = {row["rater"]: row for row in state["raters"]}
    assert (rows["r001"]["attention"], rows["r001"]["remarks"]) == ([1, 2], 4)
    assert rows["r001"]["equipment"] == {"headphones": [6, 6], "colour_vision": [4, 6]}
    assert rows["r001"]["video_sec"] == 4.0
    assert [row["consented"] for row in state["raters"]] == [True, True, False]
    assert (state["crowd"], state["free_places"], state["has_answers"]) == (True, 1, True)
    assert state["remarks"][0]["text"] == "slow"
    table = client.get(f"{organiser}/export/raters.csv")
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    rows = {row["rater"]: row for row in csv.DictReader(io.StringIO(table.text))}
    assert rows["r001"] | {
        "state": "finished", "place": "r001", "planned": "4", "answered": "4", "language": "en",
        "profile_age": "18-29", "profile_notes": "", "id_PROLIFIC_PID": "anna",
        "id_SESSION_ID": "s 1", "headphones_passed": "true", "colour_vision_correct": "4",
        "colour_vision_passed": "false", "screen_width": "1920", "pixel_ratio": "1.25",
        "completion_code": done["code"], "gold": "2", "gold_passed": "1", "remarks": "4",
        "video_sec_median": "4.0", "total_sec": "68.0", "session_sec": "68.0",  # with the break of 60 s
    } == rows["r001"]  # fmt: skip
    assert (rows["r002"]["state"], rows["r002"]["completion_code"]) == ("started", "")
    assert rows["r003"]["state"] == "not_started"
    parquet = client.get(f"{organiser}/export/raters.parquet").content
    assert pq.read_table(io.BytesIO(parquet)).column_names == list(rows["r001"])
    assert client.get(f"{organiser}/export/nothing.csv").status_code == 404


def test_the_export_is_the_same_twice_and_has_a_csv_beside_each_table(crowd, clock, tmp_path, capsys):  # fmt: skip
    client, link, _, folder = crowd
    finish(enter(client, link, "anna"), clock)
    enter(client, link, "ben").rate(clock)
    enter(client, link, "cora").rate(clock, comment="=HYPERLINK(1)")
    assert enter(client, link, "ben").rate(clock).status_code == 200
    contents = []
    for name in ("a", "b"):
        out = tmp_path / name
        out.mkdir()
        assert cli.main(["rate", "export", str(folder), "--out", str(out)]) == 0
        contents.append({path.name: path.read_bytes() for path in sorted(out.iterdir())})
    assert contents[0] == contents[1]
    names = ("raters", "score_details", "scores")
    assert list(contents[0]) == [f"{n}.{end}" for n in names for end in ("csv", "parquet")]
    said = capsys.readouterr().out.splitlines()[0]
    assert f"6 scores in {tmp_path / 'a' / 'scores.parquet'}" in said
    assert "3 raters in" in said
    text = contents[0]["score_details.csv"].decode()
    assert ",'=HYPERLINK(1)\n" in text  # no formula for a spreadsheet
    assert (
        cli.main(["rate", "export", str(folder), "--out", str(tmp_path / "a"), "--finished"]) == 0
    )
    finished = pq.read_table(tmp_path / "a" / "scores.parquet")
    assert set(finished["rater"].to_pylist()) == {"r001"}


def test_wrong_requests_of_a_crowd(crowd):
    client, link, _, folder = crowd
    before = stored(folder)
    for path, body, status, word in (
        (link, {"ids": {"STUDY_ID": "x"}}, 422, "no_person"),
        (link, {"ids": {"PROLIFIC_PID": " "}}, 422, "no_person"),
        (link, {"ids": {"PROLIFIC_PID": "<b>x"}}, 422, "markup"),
        (link, {"ids": {"PROLIFIC_PID": "x" * 201}}, 422, "too_long"),
        (link, {"ids": {"other": "x"}}, 422, "unknown_field"),
        (link, {"ids": ["x"]}, 422, "wrong_type"),
        ("/e/guess", {"ids": {"PROLIFIC_PID": "x"}}, 404, "no_such_link"),
    ):
        answer = client.post(f"{path}/join", json=body)
        assert (answer.status_code, answer.json()["error"]) == (status, word)
    assert stored(folder) == before


def test_wrong_results_of_checks(crowd):
    client, link, _, folder = crowd
    page = Page(client, join(client, link, "anna").json()["path"].rpartition("/")[2])
    assert page.post("/check", {"check": "headphones", "tasks": GOOD}).json()["error"] == "not_now"
    page.post("/consent", {"language": "en"})
    assert page.post("/begin").json()["error"] == "not_now"  # the checks come first
    for body, word in (
        ({"check": "screen", "tasks": GOOD}, "unknown_choice"),
        ({"check": "headphones", "tasks": GOOD[:5]}, "wrong_type"),
        ({"check": "headphones", "tasks": [["1"]] * 6}, "wrong_type"),
        ({"check": "headphones", "tasks": [["1", 2]] * 6}, "wrong_type"),
        ({"check": "headphones", "tasks": [["1", "x" * 21]] * 6}, "too_long"),
        ({"check": "headphones", "tasks": GOOD, "passed": True}, "unknown_field"),
    ):
        answer = page.post("/check", body)
        assert (answer.status_code, answer.json()["error"]) == (422, word)
    assert page.post("/check", {"check": "headphones", "tasks": POOR}).status_code == 200
    page.post("/check", {"check": "headphones", "tasks": GOOD})  # the first result stays
    results = {row[1]: json.loads(row[3]) for row in stored(folder)["checks"]}
    assert (results["headphones"]["correct"], results["headphones"]["passed"]) == (4, False)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=9,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    ids=ANY | st.fixed_dictionaries({}, optional={"PROLIFIC_PID": st.none() | st.just(" ") | st.integers()}),
    tasks=ANY,
    screen=ANY,
)  # fmt: skip
def test_whatever_a_crowd_sends_is_refused_in_words(crowd, ids, tasks, screen):
    client, link, _, folder = crowd
    page = Page(client, join(client, link, "anna").json()["path"].rpartition("/")[2])
    before = stored(folder)
    head = {"content-type": "application/json"}
    bodies = (
        (f"{link}/join", {"ids": ids}),
        (f"{page.own}/check", {"check": "headphones", "tasks": tasks}),
        (f"{page.own}/consent", {"language": "xx", "screen": screen}),
    )
    for path, body in bodies:
        answer = client.post(path, content=json.dumps(body).encode(), headers=head)
        assert answer.status_code in (400, 409, 422), answer.text
        assert set(answer.json()) >= {"error", "reason"}
    after = stored(folder)
    assert [row[:4] for row in after["enrolments"]] == [row[:4] for row in before["enrolments"]]
    assert after["checks"] == []


def test_a_required_question_must_be_answered(tmp_path, clock):
    profile = [{"name": "age", "choices": ["18-29"], "required": True}]
    folder = make(tmp_path / "study", rows_of("r001", "T"), STUDY | {"profile": profile})
    own = tokens(folder)
    with TestClient(create_app(folder, clock)) as client:
        page = Page(client, own["r001"])
        refused = page.post("/consent", {"language": "en", "profile": {"age": ""}})
        assert (refused.status_code, refused.json()["error"]) == (422, "missing_answer")
        assert page.post("/consent", {"language": "en", "profile": {"age": "18-29"}}).json()[
            "stage"
        ] == "session"  # fmt: skip
