"""The organiser's page: progress and agreement of the raters, pause, links, export."""

from __future__ import annotations

import asyncio
import hmac
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sfqa.errors import UserError
from sfqa.ratings.screen import answers, export, links, store
from sfqa.ratings.screen.answers import RefusedError
from sfqa.ratings.screen.server import DATABASE, Server, read_body
from sfqa.tables import SCORE_DETAILS, SCORES

_AGREEMENT_SEC = 10.0
_EXPORTS = (SCORES.file_name, SCORE_DETAILS.file_name)


class Organiser:
    """The handlers of the organiser's routes, behind the organiser's own link."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._agreement: dict[str, Any] = {}
        self._computed_at = float("-inf")
        self._lock = asyncio.Lock()

    def own(
        self, handler: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """Let only the organiser's link through."""

        async def run(request: Request) -> Response:
            given, stored = links.hashed(request.path_params["token"]), self.server.live.organiser
            if stored is None or not hmac.compare_digest(stored, given):
                self.server.guessed(request)
            request.scope["sfqa.rater"] = "organiser"
            return await handler(request)

        return run

    async def page(self, request: Request) -> Response:
        """The page itself."""
        return self.server.pages.answer(request, "organiser.html")

    async def state(self, request: Request) -> Response:
        """How far every rater is, and how well each agrees with the others."""
        return JSONResponse(await self._state())

    async def _state(self) -> dict[str, Any]:
        live, now = self.server.live, self.server.clock()
        async with self._lock:
            if now - self._computed_at > _AGREEMENT_SEC:
                self._agreement = await asyncio.to_thread(self._read, export_agreement)
                self._computed_at = self.server.clock()
        linked = set(live.tokens.values())
        raters = []
        for name in sorted(live.raters):
            rater = live.raters[name]
            if not rater.order:
                continue
            current = rater.current
            raters.append(
                {
                    "rater": name,
                    "done": rater.next,
                    "of": len(rater.order),
                    "session": rater.places[current.session][0] if current else None,
                    "sessions": len(rater.places),
                    "linked": name in linked,
                    "consented": rater.consented,
                    "seen_sec": now - rater.seen_at if rater.seen_at else None,
                    "answered_sec": now - rater.last_at if rater.last_at else None,
                    "agreement": {d: by.get(name) for d, by in self._agreement.items()},
                }
            )
        return {
            "title": self.server.study.page["title"],
            "languages": self.server.study.languages,
            "dimensions": [
                {"name": d["name"], "label": d["label"]}
                for d in self.server.study.page["dimensions"]
            ],
            "paused": live.paused,
            "raters": raters,
        }

    def _read(self, what: Callable[[sqlite3.Connection], Any]) -> Any:
        """Read in this thread, over a connection of its own."""
        connection = store.connect(self.server.folder / DATABASE)
        try:
            return what(connection)
        finally:
            connection.close()

    async def pause(self, request: Request) -> Response:
        """Pause the study or go on; a video that was begun may still be rated."""
        body = await read_body(request)
        answers.only(body, "paused")
        paused = body.get("paused")
        if not isinstance(paused, bool):
            raise RefusedError(422, "wrong_type", "paused is neither true nor false")
        now = self.server.clock()

        def write(connection: sqlite3.Connection) -> None:
            store.set_setting(connection, "paused_at", repr(now) if paused else "")
            store.add_event(connection, now, None, "paused" if paused else "went_on")

        await self.server.writer.write(write)
        self.server.live.paused_at = now if paused else None
        return JSONResponse(await self._state())

    async def link(self, request: Request) -> Response:
        """Make a rater's link, or a new one in place of a lost one; shown this once."""
        body = await read_body(request)
        answers.only(body, "rater")
        rater, now = body.get("rater"), self.server.clock()
        if not isinstance(rater, str):
            raise RefusedError(422, "wrong_type", "rater is not a text")

        def write(connection: sqlite3.Connection) -> str:
            token = links.give_rater_link(connection, rater)
            store.add_event(connection, now, rater, "linked")
            return token

        try:
            token = await self.server.writer.write(write)
        except UserError as error:
            raise RefusedError(404, "no_such_rater", "the plan has no such rater") from error
        known = {k: v for k, v in self.server.live.tokens.items() if v != rater}
        self.server.live.tokens = known | {links.hashed(token): rater}
        return JSONResponse({"rater": rater, "path": f"/r/{token}"})

    async def download(self, request: Request) -> Response:
        """A table of the scores so far, as Parquet."""
        name = request.path_params["table"]
        if name not in _EXPORTS:
            raise RefusedError(404, "no_such_table", "there is no such table")

        def made(connection: sqlite3.Connection) -> bytes:
            with tempfile.TemporaryDirectory() as folder:
                export.export(connection, Path(folder))
                return (Path(folder) / name).read_bytes()

        data = await asyncio.to_thread(self._read, made)
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(data, headers=headers, media_type="application/vnd.apache.parquet")

    def routes(self) -> list[Route]:
        """All addresses of the organiser."""
        own = "/o/{token}"
        gets = {"": self.page, "/state": self.state, "/export/{table}": self.download}
        posts = {"/pause": self.pause, "/link": self.link}
        return [
            *(Route(own + at, self.own(do), methods=["GET"]) for at, do in gets.items()),
            *(Route(own + at, self.own(do), methods=["POST"]) for at, do in posts.items()),
        ]


def export_agreement(connection: sqlite3.Connection) -> dict[str, Any]:
    """Return the live agreement of the raters from the database."""
    return export.agreement(export.scores(connection))
