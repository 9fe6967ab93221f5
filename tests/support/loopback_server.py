"""A server on loopback that answers by a table of paths: what a publisher or a hub may do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers by the server's table of paths; notes each request with its range."""

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.seen.append((self.command, path, self.headers.get("Range")))  # type: ignore[attr-defined]
        answers: dict[str, list[Answer]] = self.server.answers  # type: ignore[attr-defined]
        queue = answers.get(path, [status(404)])
        (queue.pop(0) if len(queue) > 1 else queue[0])(self)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass

    def reply(self, body: bytes, code: int = 200, length: int | None = None, **more: str) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in more.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def status(code: int) -> Answer:
    return lambda handler: handler.reply(b"", code)


def whole(body: bytes) -> Answer:
    return lambda handler: handler.reply(body)


def ranged(body: bytes) -> Answer:
    def answer(handler: Handler) -> None:
        asked = handler.headers.get("Range")
        if not asked:
            return handler.reply(body)
        begin = int(asked.removeprefix("bytes=").rstrip("-"))
        if begin >= len(body):
            return handler.reply(b"", 416)
        span = f"bytes {begin}-{len(body) - 1}/{len(body)}"
        return handler.reply(body[begin:], 206, Content_Range=span)

    return answer


def cut(body: bytes, after: int) -> Answer:
    return lambda handler: handler.reply(body[:after], length=len(body))


def stalling(body: bytes, after: int, sec: float) -> Answer:
    def answer(handler: Handler) -> None:
        handler.reply(body[:after], length=len(body))
        time.sleep(sec)

    return answer


class Server:
    def __init__(self) -> None:
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.answers, self.http.seen = {}, []  # type: ignore[attr-defined]
        self.answers: dict[str, list[Answer]] = self.http.answers  # type: ignore[attr-defined]
        self.seen: list[tuple[str, str, str | None]] = self.http.seen  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")
    served = Server()
    yield served
    served.http.shutdown()
    served.http.server_close()
