"""What surrounds every answer: security headers, and a line in the log for what was refused."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sfqa.ratings.screen.answers import RefusedError
from sfqa.ratings.screen.pages import Pages

log = logging.getLogger("sfqa.rate")

_CSP = "; ".join(
    (
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'",
        "img-src 'self' blob:", "media-src 'self' blob:", "base-uri 'none'",
        "form-action 'none'", "frame-ancestors 'none'",
    )
)  # fmt: skip
_HEADERS = {
    "content-security-policy": _CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "x-robots-tag": "noindex, nofollow",
}

_WORDS = {404: "not_found", 405: "wrong_method"}


class Guard:
    """Adds the headers to every response and logs every refused request, never with its token."""

    def __init__(self, app: ASGIApp, server: Any = None) -> None:
        self.app, self.server = app, server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (or start and stop the server)."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
                if message["status"] >= 400:
                    _note(scope, message["status"])
            await send(message)

        await self.app(scope, receive, guarded)


def _note(scope: Scope, status: int) -> None:
    client = scope.get("client") or ("?", 0)
    log.warning(
        "refused %d %s %s from %s, rater %s: %s",
        status, scope["method"][:10], without_token(scope["path"]), client[0],
        scope.get("sfqa.rater", "unknown"), scope.get("sfqa.reason", "no such address"),
    )  # fmt: skip


def without_token(path: str) -> str:
    """Return an address as it may be written down: the secret part left out.

    >>> without_token("/r/secret/score"), without_token("/r/secret")
    ("'/r/*/score'", "'/r/*'")
    """
    parts = path.split("/")
    # Not only after /r and /o: a mistyped link (/R/..., //r/...) holds the secret elsewhere.
    kept = ["*" if len(part) > 30 or n == 2 else part for n, part in enumerate(parts)]
    return repr("/".join(kept)[:120])


def refusals(pages: Pages) -> Mapping[Any, Callable[[Request, Any], Response]]:
    """Return the handlers that turn exceptions into answers: a page for people, JSON for pages."""

    def respond(request: Request, status: int, word: str, sentence: str, **more: Any) -> Response:
        request.scope["sfqa.reason"] = f"{word}: {sentence}"
        accepts = request.headers.get("accept", "")
        if request.method == "GET" and "text/html" in accepts and status in (404, 429):
            return pages.answer(request, "missing.html", status)
        made = JSONResponse({"error": word, "reason": sentence, **more}, status)
        if status == 429:
            made.headers["retry-after"] = "60"
        return made

    def refused(request: Request, error: RefusedError) -> Response:
        return respond(request, error.status, error.word, error.sentence, **error.more)

    def http(request: Request, error: HTTPException) -> Response:
        word = _WORDS.get(error.status_code, "refused")
        made = respond(request, error.status_code, word, error.detail)
        for name, value in (error.headers or {}).items():
            made.headers[name] = value
        return made

    def not_stored(request: Request, error: sqlite3.Error) -> Response:
        log.error("the database refused a write: %s", error)
        return respond(request, 503, "not_stored", "nothing was stored; try again")

    def broken(request: Request, error: Exception) -> Response:
        log.error("a mistake in the server", exc_info=error)
        return respond(request, 500, "broken", "a mistake in the server")

    return {
        RefusedError: refused,
        HTTPException: http,
        sqlite3.Error: not_stored,
        Exception: broken,
    }
