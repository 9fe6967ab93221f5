"""The organiser's page: progress of raters, attention checks, remarks, pause, links, export."""

from __future__ import annotations

import asyncio
import hmac
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sfqa.errors import UserError
from sfqa.ratings.screen import (
    database,
    database_reading,
    export,
    links,
    monitoring,
    raters,
    request_checks,
)
from sfqa.ratings.screen.request_checks import RefusedError
from sfqa.ratings.screen.server import DATABASE, Server, read_body
from sfqa.tables import SCORE_DETAILS, SCORES, STUDY_RATERS

#: The snapshot of a large study takes a second; it is computed again after 10 s at the earliest,
#: and after 20 times as long as it took, so that raters do not wait for it.
_SNAPSHOT_SEC, _SNAPSHOT_FACTOR = 10.0, 20.0
_EXPORTS = {
    Path(table.file_name).with_suffix(suffix).name: media_type
    for table in (SCORES, SCORE_DETAILS, STUDY_RATERS)
    for suffix, media_type in (
        (".parquet", "application/vnd.apache.parquet"), (".csv", "text/csv; charset=utf-8"),
    )
}  # fmt: skip


class Organiser:
    """The handlers of the organiser's routes, behind the organiser's link."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._expected = raters.read_expected_answers(server.folder)
        self._snapshot = monitoring.Snapshot()
        self._valid_from = self._valid_until = float("-inf")
        self._lock = asyncio.Lock()

    def require_organiser(
        self, handler: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """Return a handler that checks the organiser's link and then calls ``handler``."""

        async def handle(request: Request) -> Response:
            token_hash = links.hash_token(request.path_params["token"])
            stored_hash = self.server.state.organiser
            if stored_hash is None or not hmac.compare_digest(stored_hash, token_hash):
                self.server.refuse_link(request)
            request.scope["sfqa.rater"] = "organiser"
            return await handler(request)

        return handle

    async def send_page(self, request: Request) -> Response:
        """Send the page."""
        return self.server.pages.make_response(request, "organiser.html")

    async def send_state(self, request: Request) -> Response:
        """Send the progress of every rater, results of checks, remarks and agreement."""
        return JSONResponse(await self._describe_state())

    async def _describe_state(self) -> dict[str, Any]:
        server = self.server
        study, state, now = server.study, server.state, server.clock()
        async with self._lock:
            if not self._valid_from <= now <= self._valid_until:  # the clock may be set back
                started_at = time.perf_counter()
                self._snapshot = await asyncio.to_thread(self._query, self._read_snapshot)
                duration = time.perf_counter() - started_at
                self._valid_from = server.clock()
                self._valid_until = self._valid_from + max(
                    _SNAPSHOT_SEC, _SNAPSHOT_FACTOR * duration
                )
        return {
            "title": study.page["title"],
            "languages": study.languages,
            "words": study.organiser_words,
            "dimensions": [
                {"name": d["name"], "label": d["label"]} for d in study.page["dimensions"]
            ],
            "paused": state.is_paused,
            "crowd": state.crowd is not None,
            "free_places": self._snapshot.free_places,
            "has_checks": bool(study.checks),
            "has_answers": self._expected is not None,
            "raters": monitoring.describe_raters(state, self._snapshot, now),
            "remarks": monitoring.list_remarks(self._snapshot, now),
        }

    def _read_snapshot(self, connection: sqlite3.Connection) -> monitoring.Snapshot:
        server = self.server
        return monitoring.read_snapshot(
            connection, self._expected, server.study.enrolment, server.clock(),
            server.state.open_since, server.state.list_seen(),
        )  # fmt: skip

    def _query(self, read: Callable[[sqlite3.Connection], Any]) -> Any:
        """Call ``read`` with a new connection, for use in another thread."""
        connection = database_reading.read_database(self.server.folder / DATABASE)
        try:
            return read(connection)
        finally:
            connection.close()

    async def store_pause(self, request: Request) -> Response:
        """Pause or resume the study. A video that was started may still be rated."""
        body = await read_body(request)
        request_checks.check_fields(body, "paused")
        paused = body.get("paused")
        if not isinstance(paused, bool):
            raise RefusedError(422, "wrong_type", "paused is not a boolean")
        now = self.server.clock()

        def write(connection: sqlite3.Connection) -> None:
            database.set_setting(connection, "paused_at", repr(now) if paused else "")
            database.add_event(connection, now, None, "paused" if paused else "went_on")

        await self.server.writer.write(write)
        self.server.state.paused_at = now if paused else None
        if not paused:  # nobody could rate during the pause
            self.server.state.open_since = now
        return JSONResponse(await self._describe_state())

    async def create_link(self, request: Request) -> Response:
        """Create a rater's link, which replaces an older one and is shown only once."""
        body = await read_body(request)
        request_checks.check_fields(body, "rater")
        rater, now = body.get("rater"), self.server.clock()
        if not isinstance(rater, str):
            raise RefusedError(422, "wrong_type", "rater is not a string")

        def write(connection: sqlite3.Connection) -> str:
            token = links.create_rater_link(connection, rater)
            database.add_event(connection, now, rater, "linked")
            return token

        try:
            token = await self.server.writer.write(write)
        except UserError as error:
            raise RefusedError(404, "no_such_rater", "the plan has no such rater") from error
        other_tokens = {k: v for k, v in self.server.state.tokens.items() if v != rater}
        self.server.state.tokens = other_tokens | {links.hash_token(token): rater}
        return JSONResponse({"rater": rater, "path": f"/r/{token}"})

    async def send_table(self, request: Request) -> Response:
        """Send a table of the study so far as Parquet or CSV."""
        name = request.path_params["table"]
        if name not in _EXPORTS:
            raise RefusedError(404, "no_such_table", "there is no such table")
        study = self.server.study

        def read_table(connection: sqlite3.Connection) -> bytes:
            with tempfile.TemporaryDirectory() as folder:
                export.export_tables(connection, Path(folder), study, self._expected)
                return (Path(folder) / name).read_bytes()

        data = await asyncio.to_thread(self._query, read_table)
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(data, headers=headers, media_type=_EXPORTS[name])

    def list_routes(self) -> list[Route]:
        """Return the routes of the organiser."""
        handlers: dict[tuple[str, str], Callable[[Request], Awaitable[Response]]] = {
            ("GET", ""): self.send_page,
            ("GET", "/state"): self.send_state,
            ("GET", "/export/{table}"): self.send_table,
            ("POST", "/pause"): self.store_pause,
            ("POST", "/link"): self.create_link,
        }
        return [
            Route("/o/{token}" + path, self.require_organiser(handler), methods=[method])
            for (method, path), handler in (handlers | {("GET", "/"): self.send_page}).items()
        ]
