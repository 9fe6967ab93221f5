"""The server as a process: what the organiser is told, raw requests, kill -9."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from screen_study import Page, make, rows_of, stored, tokens

from certificates import make_certificate
from sfqa import cli
from sfqa.ratings.screen import database

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "workflow" / "scripts")}


class Raw:
    """``get`` and ``post`` that send every path as it is: http.client tidies nothing up."""

    def __init__(self, port):
        self.port = port

    def get(self, path):
        return self.ask("GET", path)

    def post(self, path, json):
        import json as encoder

        return self.ask("POST", path, encoder.dumps(json), {"content-type": "application/json"})

    def ask(self, method, path, body=None, head=()):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request(method, path, body, dict(head))
        answer = connection.getresponse()
        answer.text = answer.read().decode("utf-8", "replace")
        answer.json = lambda: __import__("json").loads(answer.text)
        connection.close()
        return answer


@pytest.fixture
def start():
    """Start `sfqa rate serve` on a free port; returns the process, its first line and a client."""
    processes = []

    def begin(folder, *words):
        process = subprocess.Popen(
            [sys.executable, "-m", "sfqa", "rate", "serve", str(folder), "--port", "0", *words],
            env=ENVIRONMENT, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        processes.append(process)
        line = process.stderr.readline()
        port = int(re.search(r"http://127\.0\.0\.1:(\d+)", line)[1])
        # It listens before it says so: requests wait until it is ready.
        return process, line, Raw(port)

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def folder(tmp_path):
    return make(tmp_path / "study", rows_of("r001", "TT", 0.1) + rows_of("r002", "T", 0.1))


def test_serve_tells_where_and_stops_by_ctrl_c(folder, start, capsys):
    process, line, raw = start(folder)
    assert "2 raters, 3 presentations, 0 answered; serving at http://127.0.0.1:" in line
    assert "2 raters have no link yet" in process.stderr.readline()
    assert raw.get("/").status == 404
    # A second server would have a view of its own of who is where.
    assert cli.main(["rate", "serve", str(folder), "--port", "0"]) == 2
    assert "another server is serving this study" in capsys.readouterr().err
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in rest
    # Ended, it can be served again, and everything is in one file.
    with database.lock_study(folder):
        assert not (folder / "study.db-wal").exists()


def test_a_port_that_is_taken_and_one_that_is_none(folder, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert cli.main(["rate", "serve", str(folder), "--port", port]) == 2
        assert f"cannot listen on 127.0.0.1, port {port}" in capsys.readouterr().err
    assert cli.main(["rate", "serve", str(folder), "--port", "99999"]) == 2
    assert "give one of 0 to 65535" in capsys.readouterr().err
    assert cli.main(["rate", "links", str(folder), "--url", "study.example.org"]) == 2
    assert "give one like https://" in capsys.readouterr().err
    assert cli.main(["rate", "serve", str(folder / "none")]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_links_and_the_server_use_the_same_port(folder, start, capsys):
    assert cli.main(["rate", "links", str(folder), "--port", "9123"]) == 0
    assert "http://127.0.0.1:9123/r/" in capsys.readouterr().out
    assert cli.main(["rate", "links", str(folder), "--renew", "r001"]) == 0
    assert "http://127.0.0.1:9123/r/" in capsys.readouterr().out
    # Another port is kept, and said, because the links above name the old one.
    process, _, raw = start(folder)
    assert "the study used 9123 before" in process.stderr.readline()
    assert cli.main(["rate", "links", str(folder), "--crowd"]) == 0
    assert f"crowd\thttp://127.0.0.1:{raw.port}/e/" in capsys.readouterr().out
    assert cli.main(["rate", "links", str(folder), "--crowd"]) == 0
    assert "has a link" in capsys.readouterr().err


def test_https_by_certificate_files(folder, tmp_path, capsys):
    certificate, key = make_certificate(tmp_path)
    files = ["--tls-cert", str(certificate), "--tls-key", str(key)]
    process = subprocess.Popen(
        [sys.executable, "-m", "sfqa", "rate", "serve", str(folder), "--port", "0", *files],
        env=ENVIRONMENT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        port = int(re.search(r"https://127\.0\.0\.1:(\d+)", process.stderr.readline())[1])
        trusted = ssl.create_default_context(cafile=certificate)
        connection = http.client.HTTPSConnection("localhost", port, timeout=20, context=trusted)
        connection.request("GET", "/static/style.css")
        assert connection.getresponse().status == 200
        connection.close()
    finally:
        process.kill()
        process.communicate()
    serve = ["rate", "serve", str(folder), "--port", "0"]
    for words, sentence in (
        (files[:2], "give both, the certificate and its private key"),
        (["--tls-cert", str(certificate), "--tls-key", "none.pem"], "--tls-key none.pem: no such file"),
        (["--tls-cert", str(key), "--tls-key", str(certificate)], "not a certificate with its"),
    ):  # fmt: skip
        assert cli.main([*serve, *words]) == 2
        assert sentence in capsys.readouterr().err


def test_raw_requests_and_a_kill(folder, start):
    """Paths that tidy clients never send; then kill -9 after an acknowledged answer."""
    links = tokens(folder)
    process, _, raw = start(folder)
    page = Page(raw, links["r001"])
    identity = page.begin()["presentation"]["id"]
    before = stored(folder)
    for path in ("/../../study.yaml", f"/r/{links['r001']}/media/../../../study.db", f"/r/{links['r001']}/media/{identity}/../../../../study.yaml",
                 "/static/../store.py", "//etc/passwd", f"/r/{links['r001']}/media/{identity}/..%2f..%2fstudy.yaml", "/%00"):  # fmt: skip
        answer = raw.get(path)
        assert answer.status == 404, path
        assert "dimensions" not in answer.text
    with socket.create_connection(("127.0.0.1", raw.port), timeout=20) as broken:
        broken.sendall(b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n")
        assert b" 400 " in broken.recv(1000).splitlines()[0]
    assert stored(folder) == before
    assert page.watch(identity).status == 200
    assert page.send(identity).status == 200
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(stored(folder)["scores"]) == 2
    log = (folder / "study.log").read_text()
    assert log.count("refused 404") >= 7
    assert not [token for token in links.values() if token in log]
    _, line, raw = start(folder)
    assert "1 answered" in line
    page = Page(raw, links["r001"])
    assert page.send(identity).json()["repeated"] is True
    assert page.state()["progress"]["done"] == 1


def test_no_acknowledged_score_is_lost_or_there_twice():
    """The benchmark in its smallest form: 6 raters at once, the server killed three times."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "rating_load.py"), "--small"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 x kill -9" in done.stdout
    assert "ACKNOWLEDGED 150 of 150; exported 300 scores of 300; twice 0; wrong 0" in done.stdout
