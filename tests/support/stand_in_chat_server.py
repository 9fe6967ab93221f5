"""A stand-in for a server of language models: it plays answers in the OpenAI protocol, and failures."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

MODEL = "stand-in-omni"
#: What it answers unless a test plays something else.
ANSWER = "Visual quality: 62, audio-visual consistency: 48.5"
LOGPROBS = {" excellent": -2.0, " good": -0.5, " fair": -1.5, " poor": -3.0, " bad": -5.0}

Play = Callable[["Handler", dict[str, Any]], None]


class Handler(BaseHTTPRequestHandler):
    """Plays the next entry of the server's list, the last one again and again."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = json.loads(body)
        server: Any = self.server
        with server.lock:
            server.requests.append((self.path, dict(self.headers), request, time.monotonic()))
            play = server.plays.pop(0) if len(server.plays) > 1 else server.plays[0]
        play(self, request)

    def log_message(self, *_: object) -> None:
        pass

    def reply(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


def answer(
    text: str = ANSWER,
    model: str = MODEL,
    logprobs: dict[str, float] | None = LOGPROBS,
    finish_reason: str = "stop",
) -> Play:
    def play(handler: Handler, request: dict[str, Any]) -> None:
        message = {"role": "assistant", "content": text}
        choice: dict[str, Any] = {"message": message, "finish_reason": finish_reason}
        if request.get("logprobs") and logprobs is not None:
            top = [{"token": token, "logprob": value} for token, value in logprobs.items()]
            choice["logprobs"] = {"content": [{"token": " good", "top_logprobs": top}]}
        handler.reply(json.dumps({"model": model, "choices": [choice]}).encode())

    return play


def fail(status: int, body: bytes = b"busy", **headers: str) -> Play:
    return lambda handler, _: handler.reply(body, status, **headers)


def send(body: bytes) -> Play:
    return lambda handler, _: handler.reply(body)


def drop(body: bytes, missing: int) -> Play:
    """Send a body whose end is missing, and close the connection."""

    def play(handler: Handler, _: dict[str, Any]) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body) + missing))
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True

    return play


def echo_header(name: str) -> Play:
    """Answer with a header of the request."""
    return lambda handler, request: answer(f"You sent {handler.headers[name]}")(handler, request)


def hang(sec: float) -> Play:
    return lambda _handler, _request: time.sleep(sec)


class StandInChatServer:
    """The server; ``plays`` is what it does with the next requests, ``requests`` what it got."""

    def __init__(self) -> None:
        self.http: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.lock, self.http.requests, self.http.plays = threading.Lock(), [], [answer()]
        self.address = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def requests(self) -> list[tuple[str, dict[str, str], dict[str, Any], float]]:
        return list(self.http.requests)

    def play(self, *plays: Play) -> None:
        self.http.plays = list(plays)

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def chat_server() -> Iterator[StandInChatServer]:
    server = StandInChatServer()
    yield server
    server.close()
