"""Security headers of every response, and a log line for every refused request."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sfqa.ratings.screen.database_errors import describe_database_error
from sfqa.ratings.screen.pages import Pages
from sfqa.ratings.screen.request_checks import RefusedError

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

_ERROR_WORDS = {404: "not_found", 405: "wrong_method"}


class Guard:
    """Middleware that adds the headers to every response and logs refusals without their token.

    Requests of pages from elsewhere must not change anything.
    """

    def __init__(self, app: ASGIApp, server: Any = None) -> None:
        self.app, self.server = app, server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or a start or stop of the server."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
                if scope.get("scheme") == "https":
                    headers["strict-transport-security"] = "max-age=31536000"
                if message["status"] >= 400:
                    _log_refusal(scope, message["status"])
            await send(message)

        self._mention_proxy(Headers(scope=scope))
        if scope["method"] not in ("GET", "HEAD"):
            reason = self._explain_foreign(Headers(scope=scope))
            if reason:
                scope["sfqa.reason"] = f"foreign: {reason}"
                response = JSONResponse({"error": "foreign", "reason": reason}, 403)
                await response(scope, receive, send_guarded)
                return
        await self.app(scope, receive, send_guarded)

    def _mention_proxy(self, headers: Headers) -> None:
        """Say once that a proxy has to be named, if there seems to be one."""
        if self.server is None or self.server.has_named_proxy or "x-forwarded-for" not in headers:
            return
        self.server.has_named_proxy = True
        log.warning(
            "a request has X-Forwarded-For, which is ignored; if a proxy sent it, name the proxy "
            "by --proxy, or wrong links are counted for all raters together"
        )

    def _explain_foreign(self, headers: Headers) -> str:
        return "" if self.server is None else self.server.origins.explain_foreign(headers)


def _log_refusal(scope: Scope, status: int) -> None:
    client = scope.get("client") or ("?", 0)
    log.warning(
        "refused %d %s %s from %s, rater %s: %s",
        status, scope["method"][:10], mask_token(scope["path"]), client[0],
        scope.get("sfqa.rater", "unknown"), scope.get("sfqa.reason", "no such address"),
    )  # fmt: skip


def mask_token(path: str) -> str:
    """Return a path quoted for the log, at most 120 characters, without secrets.

    The second part and every part over 30 characters are replaced by ``*``.

    >>> mask_token("/r/secret/score"), mask_token("/r/secret")
    ("'/r/*/score'", "'/r/*'")
    """
    parts = path.split("/")
    # Long parts are masked too: in a mistyped link (/R/..., //r/...) the secret is elsewhere.
    masked = ["*" if len(part) > 30 or n == 2 else part for n, part in enumerate(parts)]
    return repr("/".join(masked)[:120])


def make_exception_handlers(pages: Pages) -> Mapping[Any, Callable[[Request, Any], Response]]:
    """Return handlers that turn exceptions into responses: a page in the browser, else JSON."""

    def make_error_response(
        request: Request, status: int, word: str, sentence: str, **more: Any
    ) -> Response:
        """Return an error as JSON, or as a page to a browser; the log reads its reason."""
        request.scope["sfqa.reason"] = f"{word}: {sentence}"
        accepts = request.headers.get("accept", "")
        if request.method == "GET" and "text/html" in accepts and status in (404, 429):
            return pages.make_response(request, "missing.html", status)
        response = JSONResponse({"error": word, "reason": sentence, **more}, status)
        if status == 429:
            response.headers["retry-after"] = "60"
        return response

    def handle_refusal(request: Request, error: RefusedError) -> Response:
        return make_error_response(request, error.status, error.word, error.sentence, **error.more)

    def handle_http_error(request: Request, error: HTTPException) -> Response:
        word = _ERROR_WORDS.get(error.status_code, "refused")
        response = make_error_response(request, error.status_code, word, error.detail)
        for name, value in (error.headers or {}).items():
            response.headers[name] = value
        return response

    def handle_database_error(request: Request, error: sqlite3.Error) -> Response:
        log.error("the database refused a write: %s", describe_database_error(error))
        return make_error_response(request, 503, "not_stored", "nothing was stored; try again")

    def handle_bug(request: Request, error: Exception) -> Response:
        log.error("a bug in the server", exc_info=error)
        return make_error_response(request, 500, "broken", "a bug in the server")

    return {
        RefusedError: handle_refusal,
        HTTPException: handle_http_error,
        sqlite3.Error: handle_database_error,
        Exception: handle_bug,
    }
