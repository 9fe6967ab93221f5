"""The rating server faces the internet: idle connections, foreign pages, links, clocks, disks."""

from __future__ import annotations

import csv
import http.client
import json
import logging
import os
import shutil
import socket
import sqlite3
import ssl
import sys
import time
from contextlib import suppress

import pytest
from screen_study import Clock, Page, make, rows_of, tokens
from served_study import ServedStudy
from starlette.testclient import TestClient

from certificates import make_certificate
from sfqa import cli
from sfqa.ratings.screen import database, database_reading
from sfqa.ratings.screen.app import create_app
from sfqa.ratings.screen.links import GuessLimiter
from sfqa.ratings.screen.origins import Origins
from sfqa.ratings.screen.study_log import StudyLog

needs_two_users = pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")


@pytest.fixture
def folder(tmp_path):
    return make(tmp_path / "study", rows_of("r001", "TTTT", 2.0) + rows_of("r002", "T", 0.1))


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server with room for few files, a short time limit, and a proxy on another address."""
    folder = make(tmp_path_factory.mktemp("served") / "study", rows_of("r001", "TTTT", 0.1))
    for video in (folder / "media").glob("*.mp4"):
        video.write_bytes(bytes(3_000_000))
    links = tokens(folder)
    options = ("--head-timeout", "0.5", "--connections-per-address", "60", "--proxy", "127.0.0.9",
               "--url", "https://study.example.org")  # fmt: skip
    with ServedStudy(folder, *options, files=300) as server:
        server.token = links["r001"]
        yield server


# Connections


def connect_idle(server, count, address, text=b""):
    """Open connections from a loopback address that send no complete request."""
    sockets = []
    for _ in range(count):
        connection = socket.create_connection(
            ("127.0.0.1", server.port), timeout=5, source_address=(address, 0)
        )
        connection.sendall(text)
        sockets.append(connection)
    return sockets


def count_open(sockets):
    """Count the connections that the server has not closed."""
    count = 0
    for connection in sockets:
        connection.setblocking(False)
        try:
            count += bool(connection.recv(1))
        except BlockingIOError:
            count += 1
        except OSError:
            pass
    return count


def test_idle_connections_shut_no_rater_out(served):
    """More than the server may open, from two addresses, with and without half a head."""
    rater = served.connect()
    rater.request("GET", f"/r/{served.token}/state")
    rater.getresponse().read()
    sockets = []
    for address in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
        sockets += connect_idle(served, 40, address)
        sockets += connect_idle(served, 40, address, b"GET /r/x HTTP/1.1\r\nHost: x\r\nX-a: ")
    assert served.request("GET", f"/r/{served.token}/state").status == 200
    rater.request("GET", f"/r/{served.token}/state")  # on its old connection
    assert b"stage" in rater.getresponse().read()
    assert 0 < count_open(sockets) <= 80
    time.sleep(0.8)
    assert count_open(sockets) == 0
    # Strangers who sent one complete request each, and keep silent.
    request = b"GET /static/icon.svg HTTP/1.1\r\nHost: x\r\n\r\n"
    for address in ("127.0.0.2", "127.0.0.3"):
        sockets += connect_idle(served, 50, address, request)
    rater.request("GET", f"/r/{served.token}/state")
    assert rater.getresponse().read()
    assert served.request("GET", f"/r/{served.token}/state").status == 200
    log = served.read_log()
    assert len(log) < 20_000
    assert "Traceback" not in log
    for connection in sockets:
        connection.close()


def test_a_head_that_never_ends_is_cut_after_the_first_request_too(served):
    connection = socket.create_connection(("127.0.0.1", served.port), timeout=10)
    connection.sendall(f"GET /r/{served.token}/state HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    assert b" 200 " in connection.recv(65536)
    start = time.monotonic()
    connection.sendall(b"GET / HTTP/1.1\r\nX-a: ")
    while connection.recv(65536):
        pass
    assert 0.3 < time.monotonic() - start < 8
    connection.close()
    # A kept connection that is silent is not cut.
    kept = served.connect()
    for pause in (0.8, 0):
        kept.request("GET", "/static/icon.svg")
        assert kept.getresponse().read()
        time.sleep(pause)
    kept.close()


def test_a_body_that_nobody_waits_for_is_cut(served):
    """The answer to a large body comes first; the rest must not keep the connection open."""
    connection = socket.create_connection(("127.0.0.1", served.port), timeout=10)
    connection.sendall(
        f"POST /r/{served.token}/settings HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999\r\n"
        "Content-Type: application/json\r\n\r\n{".encode()
    )
    assert b" 413 " in connection.recv(65536)
    start = time.monotonic()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        while time.monotonic() - start < 8:
            connection.sendall(b" ")
            time.sleep(0.1)
    connection.close()


def test_an_answer_is_not_held_back(served):
    """Nagle's algorithm with delayed acknowledgements costs 40 ms an answer."""
    connection = served.connect()
    for path in (f"/r/{served.token}/state", "/static/style.css", "/nothing"):
        durations = []
        for _ in range(25):
            start = time.perf_counter()
            connection.request("GET", path)
            connection.getresponse().read()
            durations.append(time.perf_counter() - start)
        # The shortest, so that a busy machine does not matter. A new connection is acknowledged
        # without a delay, so the first answers do not count.
        assert min(durations[10:]) < 0.02, path
    connection.close()


def test_a_client_that_leaves_is_no_mistake_of_the_server(served):
    path = f"/r/{served.token}/settings"
    for body in ("{", ""):
        with socket.create_connection(("127.0.0.1", served.port), timeout=5) as connection:
            connection.sendall(
                f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n"
                f"Content-Type: application/json\r\n\r\n{body}".encode()
            )
            time.sleep(0.1)
    own = f"/r/{served.token}"
    served.request("POST", f"{own}/consent", {"language": "en"})
    stage = json.loads(served.request("POST", f"{own}/begin", {}).text)
    media = f"{own}/media/{stage['presentation']['id']}/video"
    for path in (own, media):  # leaves while the answer is sent
        with socket.create_connection(("127.0.0.1", served.port), timeout=5) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            assert b" 200 " in connection.recv(1000)
    deadline = time.monotonic() + 5
    while served.read_log().count("gone: the connection broke") < 2:
        assert time.monotonic() < deadline, served.read_log()
        time.sleep(0.05)
    assert "bug in the server" not in served.read_log()
    assert "Traceback" not in served.read_log()


@pytest.mark.thorough
def test_a_handshake_that_never_ends_is_cut(tmp_path, folder):
    certificate, key = make_certificate(tmp_path)
    options = ("--tls-cert", str(certificate), "--tls-key", str(key), "--head-timeout", "1")
    trusted = ssl.create_default_context(cafile=certificate)
    with ServedStudy(folder, *options, "--connections-per-address", "20") as server:
        sockets = connect_idle(server, 40, "127.0.0.1")
        kept = http.client.HTTPSConnection("localhost", server.port, timeout=10, context=trusted)
        for pause in (2, 0):
            kept.request("GET", "/static/style.css")
            response = kept.getresponse()
            assert response.read()
            assert response.getheader("strict-transport-security")
            time.sleep(pause)
        assert count_open(sockets) == 0
        plain = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")  # not TLS
        assert not plain.recv(1000).startswith(b"HTTP")
        assert "Traceback" not in server.read_log()


# Links and foreign pages


def test_no_response_leads_elsewhere(served):
    for path in (f"/r/{served.token}/", f"/o/{served.token}/", f"/e/{served.token}/", "/r/x/",
                 f"/r/{served.token}/state/", "/static/style.css/", "//evil.example/", "/"):  # fmt: skip
        for host in ("study.example.org", "evil.example"):
            response = served.request("GET", path, host=host, x_forwarded_proto="http")
            assert response.status in (200, 404, 429), path
            assert response.getheader("location") is None
    assert served.request("GET", f"/r/{served.token}/").status == 200


def test_foreign_pages_and_names_change_nothing(served):
    path = f"/r/{served.token}/settings"
    own = f"127.0.0.1:{served.port}"
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": f"http://127.0.0.1:{served.port + 1}"},
        {"origin": "https://study.example.org.evil.example"},
        {"origin": "http://study.example.org"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site", "origin": f"http://{own}"},
        {"host": "evil.example"},
        {"host": "evil.example", "origin": "https://evil.example"},
        {"host": "study.example.org.evil.example"},
        {"host": "[::1"},
        {"host": ""},
    ):
        response = served.request("POST", path, {"theme": "dark"}, **headers)
        assert (response.status, "foreign" in response.text) == (403, True), headers
        assert response.getheader("content-security-policy")
    for headers in (
        {},
        {"origin": f"http://{own}", "sec_fetch_site": "same-origin"},
        {"host": "study.example.org", "origin": "https://study.example.org"},
        {"host": "Study.Example.org:443", "origin": "https://study.example.org"},
        # A proxy that does not pass the name on, as nginx does by default.
        {"host": own, "origin": "https://study.example.org"},
        {"host": "localhost"},
        {"host": "[::1]:8765", "origin": "http://[::1]:8765"},
    ):
        assert served.request("POST", path, {"theme": "dark"}, **headers).status == 200, headers


def test_links_for_another_address_count_at_once(folder):
    """Another process creates the links while the server runs."""
    links = tokens(folder)
    with TestClient(create_app(folder)) as client:
        client.app.server.origins = Origins(any_host=False)
        path, headers = f"/r/{links['r001']}/settings", {"host": "study.example.org"}
        assert client.post(path, json={}, headers=headers).status_code == 403
        url = ["--url", "https://study.example.org", "--renew", "r002"]
        assert cli.main(["rate", "links", str(folder), *url]) == 0
        deadline = time.monotonic() + 10
        while client.post(path, json={}, headers=headers).status_code == 403:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_proxy_without_a_name_is_mentioned_once(folder, caplog):
    with TestClient(create_app(folder)) as client:
        client.app.server.has_named_proxy = False
        for _ in range(3):
            client.get("/", headers={"x-forwarded-for": "9.9.9.9"})
    assert caplog.text.count("name the proxy by --proxy") == 1


def test_only_a_named_proxy_is_believed(served):
    log_before = len(served.read_log())
    served.request("GET", "/r/guess/state", x_forwarded_for="9.9.9.9")
    connection = http.client.HTTPConnection(
        "127.0.0.1", served.port, timeout=5, source_address=("127.0.0.9", 0)
    )
    connection.request("GET", "/r/guess/state", headers={"x-forwarded-for": "1.1.1.1, 8.8.8.8"})
    assert connection.getresponse().status == 404
    connection.close()
    lines = served.read_log()[log_before:]
    assert "from 127.0.0.1" in lines
    assert "from 8.8.8.8" in lines
    assert "9.9.9.9" not in lines
    connection = http.client.HTTPConnection(
        "127.0.0.1", served.port, timeout=5, source_address=("127.0.0.9", 0)
    )
    connection.request("GET", "/", headers={"x-forwarded-proto": "https"})
    assert connection.getresponse().getheader("strict-transport-security") == "max-age=31536000"
    connection.close()
    assert served.request("GET", "/").getheader("strict-transport-security") is None


def test_options_of_the_server_that_are_wrong(folder, capsys):
    serve = ["rate", "serve", str(folder), "--port", "0"]
    for words, sentence in (
        (["--proxy", "*"], "--proxy *: not an address or a network"),
        (["--proxy", "127.0.0.1"], "give it by --url"),
        (["--head-timeout", "0"], "--head-timeout: give a number of seconds above 0"),
        (["--connections-per-address", "0"], "give a whole number above 0"),
        (["--url", "study.example.org"], "not a URL"),
    ):
        assert cli.main([*serve, *words]) == 2
        assert sentence in capsys.readouterr().err


# Links are written before they count


def test_links_that_cannot_be_written_are_not_stored(folder, tmp_path, capsys, monkeypatch):
    tokens(folder)
    shutil.copytree(folder, tmp_path / "new", ignore=shutil.ignore_patterns("study.db*"))
    for study in (folder, tmp_path / "new"):
        before = {p.name: p.read_bytes() for p in study.iterdir() if p.is_file()}
        for words in (["--renew", "r001"], []):
            out = str(tmp_path / "none" / "links.csv")
            assert cli.main(["rate", "links", str(study), *words, "--out", out]) == 2
            assert "there is no folder" in capsys.readouterr().err
        assert {p.name: p.read_bytes() for p in study.iterdir() if p.is_file()} == before
    study, out = tmp_path / "new", tmp_path / "links.csv"
    monkeypatch.setattr(os, "fsync", fail_to_write)
    assert cli.main(["rate", "links", str(study), "--out", str(out)]) == 2
    assert "none is stored and none of them works" in capsys.readouterr().err
    assert not out.exists()
    monkeypatch.undo()
    assert cli.main(["rate", "links", str(study), "--out", str(out)]) == 0
    with open(out) as file:
        rows = list(csv.reader(file))
    assert [row[0] for row in rows] == ["who", "organiser", "r001", "r002"]
    assert cli.main(["rate", "links", str(study), "--out", str(tmp_path / "no.csv")]) == 0
    assert not (tmp_path / "no.csv").exists()


def fail_to_write(_):
    raise OSError(28, "No space left on device")


def test_printed_links_are_stored_only_if_they_were_taken(folder, capsys, monkeypatch):
    full = open("/dev/full", "w")  # noqa: SIM115
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        assert cli.main(["rate", "links", str(folder)]) == 2
    with suppress(OSError):
        full.close()
    assert "the links could not be written (No space left on device)" in capsys.readouterr().err
    connection = database_reading.read_database(folder / "study.db")
    raters = connection.execute("SELECT count(token_sha256) FROM raters").fetchone()
    connection.close()
    assert raters == (0,)


# Clocks that go back


def test_raters_go_on_after_the_clock_was_set_back(folder):
    clock = Clock()
    links = tokens(folder)
    with TestClient(create_app(folder, clock)) as client:
        page = Page(client, links["r001"])
        page.begin()
        assert page.rate(clock).status_code == 200
        for back in (86400, 3650 * 86400):
            clock.pass_(-back)
            state = page.state()
            if state["stage"] == "break":
                assert state["seconds"] <= 60
                clock.pass_(state["seconds"])
            identity = page.state()["presentation"]["id"]
            page.watch(identity)
            clock.pass_(3.0)
            assert page.send(identity).json()["stored"] is True
        organiser = client.get(f"/o/{links['organiser']}/state").json()
        assert organiser["raters"][0]["done"] == 3
    # The database has times in the future when the server is started again.
    clock.pass_(-86400)
    with TestClient(create_app(folder, clock)) as client:
        page = Page(client, links["r001"])
        state = page.state()
        clock.pass_(state.get("seconds", 0))
        assert page.rate(clock).status_code == 200
    assert cli.main(["rate", "export", str(folder)]) == 0
    connection = database_reading.read_database(folder / "study.db")
    assert connection.execute("SELECT min(at - served_at) FROM answers").fetchone()[0] >= 0
    connection.close()


def test_a_pause_and_the_organisers_page_after_the_clock_was_set_back(folder):
    clock = Clock()
    links = tokens(folder)
    with TestClient(create_app(folder, clock)) as client:
        page, own = Page(client, links["r001"]), f"/o/{links['organiser']}"
        page.begin()
        page.rate(clock)
        assert client.get(f"{own}/state").json()["raters"][0]["done"] == 1
        client.post(f"{own}/pause", json={"paused": True})
        clock.pass_(-86400)
        assert page.state()["stage"] == "paused"
        client.post(f"{own}/pause", json={"paused": False})
        page.rate(clock)
        clock.pass_(-86400)
        state = client.get(f"{own}/state").json()["raters"][0]
        assert (state["done"], state["seen_sec"] >= 0) == (2, True)


def test_wrong_links_after_the_clock_was_set_back():
    guesses = GuessLimiter(limit=2, seconds=60)
    assert [guesses.is_over_limit("a", at) for at in (100, 101, 102, 50, 51, 52)] == [
        False, False, True, False, False, True,
    ]  # fmt: skip


# Databases and disks


def test_a_locked_database_is_read_beside_the_writer(folder, capsys):
    tokens(folder)
    connection = sqlite3.connect(folder / "study.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    start = time.monotonic()
    assert cli.main(["rate", "export", str(folder)]) == 0
    assert time.monotonic() - start < 5
    connection.close()


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (5, "another program is writing to it"), (13, "the disk is full"),
        (8, "read-only"), (14, "it cannot be opened"), (10, "the disk failed"),
        (11, "not a study's database"), (26, "not a study's database"),
    ],
)  # fmt: skip
def test_each_error_of_the_database_is_told_as_what_it_is(
    folder, capsys, monkeypatch, code, sentence
):
    names = {5: "SQLITE_BUSY", 13: "SQLITE_FULL", 8: "SQLITE_READONLY", 14: "SQLITE_CANTOPEN",
             10: "SQLITE_IOERR_WRITE", 11: "SQLITE_CORRUPT", 26: "SQLITE_NOTADB"}  # fmt: skip

    def fail(*_):
        error = sqlite3.OperationalError("words of SQLite")
        error.sqlite_errorname = names[code]
        raise error

    monkeypatch.setattr(database, "migrate", fail)
    for action in ("links", "serve")[: 1 if code > 10 else 2]:
        assert cli.main(["rate", action, str(folder), "--port", "0"]) == 2
        error = capsys.readouterr().err
        assert sentence in error
        assert "words of SQLite" in error
        assert ("repair or move it" in error) == (code in (11, 26))


def test_an_archive_is_read_without_a_trace(folder, tmp_path, capsys):
    """A folder that may not be written to, as on a read-only disk."""
    tokens(folder)
    (folder / "study.db").chmod(0o400)
    before = sorted(path.name for path in folder.iterdir())
    connection = database_reading._connect_to_read(folder / "study.db")
    assert connection.execute("SELECT count(*) FROM raters").fetchone() == (2,)
    connection.close()
    out = tmp_path / "out"
    assert cli.main(["rate", "export", str(folder), "--out", str(out)]) == 0
    assert (out / "scores.csv").is_file()
    assert sorted(path.name for path in folder.iterdir()) == before
    (folder / "study.db").write_bytes(b"not a database at all" * 100)
    assert cli.main(["rate", "export", str(folder), "--out", str(out)]) == 2
    assert "not a study's database" in capsys.readouterr().err


def test_a_full_disk_is_said_once_by_the_log(tmp_path, capsys):
    log = StudyLog(tmp_path / "study.log")
    record = logging.makeLogRecord({"msg": "refused", "levelno": logging.WARNING})
    log.emit(record)
    stream = log.stream
    full = open("/dev/full", "w")  # noqa: SIM115
    log.stream = full
    for _ in range(60):
        log.emit(record)
    log.stream = stream
    log.emit(record)
    with suppress(OSError):
        full.close()
    error = capsys.readouterr().err
    assert error.splitlines() == [
        "study.log cannot be written (No space left on device); the server continues",
        "study.log is written again",
    ]
    log.close()
