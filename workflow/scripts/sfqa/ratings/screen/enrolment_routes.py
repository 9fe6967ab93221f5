"""The page behind the crowd link: it reads the ids in its address and takes a place."""

from __future__ import annotations

import hmac
import sqlite3
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sfqa.ratings.screen import enrolment, links, request_checks
from sfqa.ratings.screen.request_checks import RefusedError
from sfqa.ratings.screen.server import Server, read_body


class EnrolmentRoutes:
    """The handlers of the routes behind the crowd link."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def require_crowd_link(
        self, handler: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """Return a handler that checks the crowd link and then calls ``handler``."""

        async def handle(request: Request) -> Response:
            token_hash = links.hash_token(request.path_params["token"])
            stored_hash = self.server.state.crowd
            if stored_hash is None or not hmac.compare_digest(stored_hash, token_hash):
                self.server.refuse_link(request)
            request.scope["sfqa.rater"] = "crowd"
            return await handler(request)

        return handle

    async def send_page(self, request: Request) -> Response:
        """Send the page. It takes a place only when its script asks for one, not when loaded."""
        return self.server.pages.make_response(request, "enrol.html")

    async def send_study(self, request: Request) -> Response:
        """Send the title, the words, and the names of the parameters that the page reads."""
        page, rules = self.server.study.page, self.server.study.enrolment
        texts = {name: page[name] for name in ("title", "languages", "words", "contact", "display")}
        return JSONResponse(texts | {"person": rules.person, "store": rules.store})

    async def take_place(self, request: Request) -> Response:
        """Give the person a place and send the path of their page."""
        body = await read_body(request)
        request_checks.check_fields(body, "ids")
        rules, state, now = self.server.study.enrolment, self.server.state, self.server.clock()
        ids = request_checks.check_ids(body.get("ids"), (*rules.person, *rules.store))
        name = next((name for name in rules.person if name in ids), None)
        if name is None:
            raise RefusedError(
                422, "no_person", f"the address has none of {', '.join(rules.person)}"
            )
        if state.is_paused:
            raise RefusedError(409, "paused", "the study is paused")
        enrol = partial(
            enrolment.enrol_person, person=f"{name}={ids[name]}", ids=ids, rules=rules, now=now,
            open_since=state.open_since, seen=state.list_seen(),
        )  # fmt: skip

        def write(connection: sqlite3.Connection) -> tuple[str, str]:
            return enrol(connection)

        rater, token = await self.server.writer.write(write)
        self.server.reload()
        if rater in state.raters:
            state.raters[rater].seen_at = now
        return JSONResponse({"path": f"/r/{token}"})

    def list_routes(self) -> list[Route]:
        """Return the routes of the crowd link."""
        handlers: dict[tuple[str, str], Any] = {
            ("GET", ""): self.send_page,
            ("GET", "/"): self.send_page,
            ("GET", "/about"): self.send_study,
            ("POST", "/join"): self.take_place,
        }
        return [
            Route("/e/{token}" + path, self.require_crowd_link(handler), methods=[method])
            for (method, path), handler in handlers.items()
        ]
