"""What must be refused: with the right status, with a line in the log, and nothing stored."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from screen_study import SCORES, Clock, Page, make, rows_of, stored, tokens
from starlette.testclient import TestClient

from sfqa.ratings.screen.app import create_app
from sfqa.ratings.screen.request_checks import MAX_BODY


class Study:
    """A served study: r001 watches its first video and may rate it now."""

    def __init__(self, folder, client, clock, links):
        self.folder, self.client, self.clock, self.links = folder, client, clock, links
        self.page, self.other = Page(client, links["r001"]), Page(client, links["r002"])
        self.id = self.page.begin()["presentation"]["id"]
        self.others = self.other.begin()["presentation"]["id"]
        self.page.watch(self.id)
        clock.pass_(2.0)

    def refused(self, caplog, status, word, ask):
        """The answer is the refusal, the log has it once without a secret, nothing is stored."""
        before = stored(self.folder)
        caplog.clear()
        answer = ask()
        assert answer.status_code == status, answer.text
        assert answer.json()["error"] == word
        lines = [r.getMessage() for r in caplog.records if r.name == "sfqa.rate"]
        assert len(lines) == 1
        assert lines[0].startswith(f"refused {status} ")
        assert not [token for token in self.links.values() if token in lines[0]]
        assert stored(self.folder) == before
        return lines[0]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    clock = Clock()
    folder = make(tmp_path_factory.mktemp("secure") / "study", rows_of("r001") + rows_of("r002"))
    (folder / "secret.txt").write_text("secret")
    links = tokens(folder)
    with TestClient(create_app(folder, clock), raise_server_exceptions=False) as client:
        yield Study(folder, client, clock, links)


@pytest.mark.parametrize("path", ["", "/about", "/state", "/media/x/video"])
def test_guessed_links(study, caplog, path):
    study.clock.pass_(100.0)
    token = study.links["r001"]
    for guess in (
        "0",
        "r001",
        "x" * 43,
        token[:-1],
        token + "A",
        token.swapcase(),
        "é%00",
        "a" * 5000,
    ):
        study.refused(
            caplog, 404, "no_such_link", lambda g=guess: study.client.get(f"/r/{g}{path}")
        )


def test_guessed_organiser_links(study, caplog):
    study.clock.pass_(100.0)
    for path in ("", "/state", "/export/scores.parquet"):
        for guess in ("0", "organiser", study.links["r001"]):
            study.refused(
                caplog, 404, "no_such_link", lambda g=guess, p=path: study.client.get(f"/o/{g}{p}")
            )
    study.clock.pass_(100.0)
    for path, body in (("pause", {"paused": True}), ("link", {"rater": "r002"})):
        own = f"/o/{study.links['r001']}/{path}"
        study.refused(
            caplog, 404, "no_such_link", lambda o=own, b=body: study.client.post(o, json=b)
        )
    assert study.client.get(f"/r/{study.links['organiser']}").status_code == 404


def test_many_guesses_are_held_up_and_raters_are_not(study, caplog):
    study.clock.pass_(100.0)
    seen = [study.client.get(f"/r/guess{n}/state").status_code for n in range(30)]
    assert seen == [404] * 20 + [429] * 10
    study.refused(caplog, 429, "too_many", lambda: study.client.get("/r/x/state"))
    assert study.page.get("/state").status_code == 200
    study.clock.pass_(61.0)
    assert study.client.get("/r/guess/state").status_code == 404


def test_another_raters_presentation(study, caplog):
    line = study.refused(caplog, 404, "no_such_presentation", lambda: study.page.send(study.others))
    assert "rater r001" in line
    for kind in ("video", "image", "clip"):
        study.refused(
            caplog, 404, "no_such_file", lambda k=kind: study.page.get(f"/media/{study.others}/{k}")
        )
    assert study.links["r002"] not in json.dumps(study.page.state())


@pytest.mark.parametrize(
    "path",
    ["%2e%2e/secret.txt", "%2e%2e%2fsecret.txt", "..%5csecret.txt", "%2e%2e/%2e%2e/study.db", "{id}/%2e%2e%2f%2e%2e%2fsecret.txt",
     "{id}/..", "{id}/video/..%2fsecret.txt", "{id}/secret.txt", "{id}/media", "/etc/passwd", "%00/video", "{id}/video%00"],
)  # fmt: skip
def test_paths_out_of_the_media(study, caplog, path):
    own = f"/r/{study.links['r001']}/media/{path.format(id=study.id)}"
    before = stored(study.folder)
    caplog.clear()
    answer = study.client.get(own)
    assert answer.status_code == 404
    assert b"secret" not in answer.content
    assert [r for r in caplog.records if r.getMessage().startswith("refused 404 ")]
    assert stored(study.folder) == before


@pytest.mark.parametrize("path", ["/static/..%2fapp.py", "/static/%2e%2e%2f%2e%2e%2fapp.py", "/static/rater.html", "/static/__init__.py",
                                  "/static/", "/study.db", "/r/", "/o/"])  # fmt: skip
def test_other_addresses(study, caplog, path):
    study.refused(caplog, 404, "not_found", lambda: study.client.get(path))


def test_wrong_methods(study, caplog):
    own = f"/r/{study.links['r001']}"
    study.refused(caplog, 405, "wrong_method", lambda: study.client.get(f"{own}/score"))
    study.refused(caplog, 405, "wrong_method", lambda: study.client.put(f"{own}/score", json={}))
    study.refused(
        caplog, 405, "wrong_method", lambda: study.client.post(f"{own}/media/{study.id}/video")
    )


def test_bodies_that_are_too_large(study, caplog):
    own, head = f"/r/{study.links['r001']}/score", {"content-type": "application/json"}
    body = json.dumps(
        {"presentation": study.id, "scores": SCORES, "comment": "x" * MAX_BODY}
    ).encode()
    study.refused(
        caplog, 413, "too_large", lambda: study.client.post(own, content=body, headers=head)
    )

    def pieces():
        for _ in range(100):
            yield b" " * 1024

    study.refused(
        caplog, 413, "too_large", lambda: study.client.post(own, content=pieces(), headers=head)
    )
    for length in ("99999999999999999999", "-1", "²", "1e3"):
        more = {**head, "content-length": length.encode()}
        study.refused(
            caplog,
            413,
            "too_large",
            lambda m=more: study.client.post(own, content=b"{}", headers=m),
        )


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        (b"", 400, "not_json"), (b"{", 400, "not_json"), (b"\xff\xfe", 400, "not_json"), (b"[" * 9000, 400, "not_json"),
        (b'{"presentation": NaN}', 400, "not_json"), (b'{"presentation": "a", "presentation": "b"}', 400, "not_json"),
        (b"[]", 422, "wrong_type"), (b'"score"', 422, "wrong_type"), (b"null", 422, "wrong_type"),
        (b"{}", 422, "wrong_type"), (b'{"presentation": 1}', 422, "wrong_type"),
        (b'{"presentation": ["x"]}', 422, "wrong_type"), (b'{"role": "test"}', 422, "unknown_field"),
        (b'{"presentation": "x"}', 404, "no_such_presentation"),
    ],
)  # fmt: skip
def test_bodies_that_are_no_answer(study, caplog, body, status, word):
    own = f"/r/{study.links['r001']}/score"
    head = {"content-type": "application/json"}
    study.refused(caplog, status, word, lambda: study.client.post(own, content=body, headers=head))


def test_bodies_that_are_not_json(study, caplog):
    own = f"/r/{study.links['r001']}/score"
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        ask = lambda k=kind: study.client.post(own, content=b"{}", headers={"content-type": k})  # noqa: E731
        study.refused(caplog, 415, "not_json", ask)


@pytest.mark.parametrize(
    ("scores", "word"),
    [
        ({"quality": 0, "consistency": 3}, "out_of_range"), ({"quality": 6, "consistency": 3}, "out_of_range"),
        ({"quality": 3.5, "consistency": 3}, "out_of_range"), ({"quality": -1e308, "consistency": 3}, "out_of_range"),
        ({"quality": 10**400, "consistency": 3}, "out_of_range"), ({"quality": 3}, "missing_dimension"),
        ({}, "missing_dimension"), ({"quality": 3, "consistency": 3, "mos": 3}, "unknown_dimension"),
        ({"quality": "3", "consistency": 3}, "wrong_type"), ({"quality": True, "consistency": 3}, "wrong_type"),
        ({"quality": None, "consistency": 3}, "wrong_type"), ({"quality": [3], "consistency": 3}, "wrong_type"),
        ([3, 3], "wrong_type"), ("33", "wrong_type"), (3, "wrong_type"), (None, None),
    ],
)  # fmt: skip
def test_scores_that_are_none(study, caplog, scores, word):
    if word is None:
        ask = lambda: study.page.post("/score", {"presentation": study.id})  # noqa: E731
        study.refused(caplog, 422, "wrong_type", ask)
        return
    study.refused(caplog, 422, word, lambda: study.page.send(study.id, scores))


@pytest.mark.parametrize(
    ("details", "word"),
    [
        ([], "wrong_type"), ("x", "wrong_type"), ({"plays": "1"}, "wrong_type"), ({"plays": 1.5}, "wrong_type"),
        ({"plays": True}, "wrong_type"), ({"plays": -1}, "out_of_range"), ({"play_sec": 1e9}, "out_of_range"),
        ({"play_sec": 10**400}, "out_of_range"), ({"ip": "1.2.3.4"}, "unknown_field"),
    ],
)  # fmt: skip
def test_details_that_are_none(study, caplog, details, word):
    study.refused(caplog, 422, word, lambda: study.page.send(study.id, details=details))


@pytest.mark.parametrize(
    ("comment", "word"),
    [
        ("<script>alert(1)</script>", "markup"), ("ok <img src=x onerror=alert(1)>", "markup"),
        ("<!-- x", "markup"), ("</td>", "markup"), ("<?php", "markup"), ("x" * 501, "too_long"),
        ("a\x00b", "wrong_text"), ("\x1b[31m", "wrong_text"), ("\ud800", "wrong_text"),
        (7, "wrong_type"), ({"a": 1}, "wrong_type"),
    ],
)  # fmt: skip
def test_comments_that_are_none(study, caplog, comment, word):
    body = json.dumps({"presentation": study.id, "scores": SCORES, "comment": comment}).encode()
    own, head = f"/r/{study.links['r001']}/score", {"content-type": "application/json"}
    study.refused(caplog, 422, word, lambda: study.client.post(own, content=body, headers=head))


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("/consent", {"language": "fr"}, "unknown_choice"), ("/consent", {"language": 1}, "unknown_choice"),
        ("/consent", {}, "unknown_choice"), ("/consent", {"language": "en", "admin": True}, "unknown_field"),
        ("/consent", {"language": "en", "profile": []}, "wrong_type"),
        ("/consent", {"language": "en", "profile": {"age": "200"}}, "unknown_choice"),
        ("/consent", {"language": "en", "profile": {"name": "x"}}, "unknown_field"),
        ("/consent", {"language": "en", "profile": {"notes": "<script src=//x>"}}, "markup"),
        ("/consent", {"language": "en", "profile": {"notes": "x" * 201}}, "too_long"),
        ("/settings", {"theme": "pink"}, "unknown_choice"), ("/settings", {"language": None}, "unknown_choice"),
        ("/settings", {"paused": False}, "unknown_field"), ("/begin", {"session": 2}, "unknown_field"),
    ],
)  # fmt: skip
def test_other_answers_that_are_none(study, caplog, path, body, word):
    study.refused(caplog, 422, word, lambda: study.page.post(path, body))


@pytest.mark.parametrize(
    ("path", "body", "status", "word"),
    [
        ("pause", {}, 422, "wrong_type"), ("pause", {"paused": 1}, 422, "wrong_type"), ("pause", {"x": 1}, 422, "unknown_field"),
        ("link", {}, 422, "wrong_type"), ("link", {"rater": "r009"}, 404, "no_such_rater"),
    ],
)  # fmt: skip
def test_the_organisers_mistakes(study, caplog, path, body, status, word):
    own = f"/o/{study.links['organiser']}"
    study.refused(caplog, status, word, lambda: study.client.post(f"{own}/{path}", json=body))
    study.refused(caplog, 404, "no_such_table", lambda: study.client.get(f"{own}/export/study.db"))


def test_a_mistake_in_the_server_tells_nothing(study, caplog, monkeypatch):
    def wrong(*_):
        raise ValueError("secret inside")

    monkeypatch.setattr("sfqa.ratings.screen.progress.StudyState.describe_stage", wrong)
    answer = study.page.get("/state")
    assert (answer.status_code, answer.json()["error"]) == (500, "broken")
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    given=st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("scores", "details", "comment", "presentation", "x"), ANY)
    )
)
def test_whatever_is_sent_is_refused_in_words(study, given):
    """No JSON object gets a 500, and none of these is an answer: scores as SCORES are never drawn."""
    before = stored(study.folder)
    body = json.dumps({"presentation": study.id, **given}).encode()
    head = {"content-type": "application/json"}
    answer = study.client.post(f"/r/{study.links['r001']}/score", content=body, headers=head)
    assert answer.status_code in (400, 404, 422), answer.text
    assert set(answer.json()) >= {"error", "reason"}
    assert stored(study.folder) == before


def test_the_answer_itself_is_taken(study):
    """Else all of the above would be refused for another reason."""
    answer = study.page.send(study.id, comment="5 < 6, I <3 it", details={"plays": 1})
    assert answer.status_code == 200
    assert [row[4] for row in stored(study.folder)["answers"]] == ["5 < 6, I <3 it"]
