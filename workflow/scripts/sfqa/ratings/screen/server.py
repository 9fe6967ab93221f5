"""The server of a study: its state, and the page of each rater behind a secret link."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sfqa.errors import UserError
from sfqa.ratings.screen import completion, database, links, media_files, request_checks
from sfqa.ratings.screen.origins import Origins, read_urls
from sfqa.ratings.screen.pages import Pages
from sfqa.ratings.screen.progress import Rater, StudyState
from sfqa.ratings.screen.request_checks import RefusedError
from sfqa.ratings.screen.study import read_study
from sfqa.ratings.screen.study_tables import read_media, read_plan
from sfqa.shareable_files import list_dataset_folders
from sfqa.tables import PLAN

log = logging.getLogger("sfqa.rate")

DATABASE = "study.db"
_BODY_SEC = 20.0
_OPENED_EVERY_SEC = 10.0

Clock = Callable[[], float]
Handler = Callable[[Request, Rater], Awaitable[Response]]


class Server:
    """A running study: its state, its database writer, and the handlers of the raters' routes."""

    def __init__(
        self, folder: Path, clock: Clock = time.time, media_folders: Sequence[Path] = ()
    ) -> None:
        self.media_folders = [*list_dataset_folders(folder), *media_folders]
        self.folder, self._wall_clock, self._latest = folder, clock, float("-inf")
        self.study = read_study(folder / "study.yaml")
        plan = read_plan(folder / PLAN.file_name)
        media = read_media(folder, {row.sample_id for row in plan}, self.media_folders)
        self.state = StudyState(self.study, media)
        self.reader = database.open_database(folder / DATABASE)
        database.sync_plan(self.reader, plan)
        completion.ensure_key(self.reader)
        self.state.load(self.reader)
        self.state.limit_times(clock())
        self.state.open_since = clock()
        self.origins, self.has_named_proxy = Origins(), True
        self.pages = Pages()
        self.guess_limiter = links.GuessLimiter()
        self.writer: database.Writer

    @asynccontextmanager
    async def run_writer(self, _: Starlette) -> AsyncIterator[None]:
        """Run the writer thread while the server runs."""
        loop = asyncio.get_running_loop()

        def schedule_reload() -> None:
            loop.call_soon_threadsafe(self.reload)

        self.writer = database.Writer(self.folder / DATABASE, schedule_reload)
        # The writer notices later changes only, and links may have been created since the start.
        self.reload()
        try:
            yield
        finally:
            await asyncio.to_thread(self.writer.close)
            self.reader.close()

    def reload(self) -> None:
        """Read what another process wrote (new links, a longer plan); keep the state on errors."""
        try:
            rows = self.reader.execute("SELECT DISTINCT sample_id FROM presentations")
            sample_ids = {row[0] for row in rows}
            if not sample_ids <= set(self.state.media):
                self.state.media = read_media(self.folder, sample_ids, self.media_folders)
            self.state.load(self.reader)
            self.state.limit_times(self._wall_clock())
            self.origins = self.origins.add_urls(read_urls(self.reader))
        except (UserError, sqlite3.Error, OSError) as error:
            log.error("the changed study cannot be loaded: %s", error)

    def clock(self) -> float:
        """Return the time. If the clock was set back, no time in memory lies in the future."""
        now = self._wall_clock()
        if now < self._latest:
            self.state.limit_times(now)
        self._latest = now
        return now

    # --- authentication -----------------------------------------------------------------------

    def refuse_link(self, request: Request) -> NoReturn:
        """Refuse an unknown link, and limit the number of attempts per address."""
        address = request.client.host if request.client else "?"
        if self.guess_limiter.is_over_limit(address, self.clock()):
            raise RefusedError(429, "too_many", "too many wrong links; wait a minute")
        raise RefusedError(404, "no_such_link", "there is no such link")

    def require_rater(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """Return a handler that finds the rater of the secret link and then calls ``handler``."""

        async def handle(request: Request) -> Response:
            name = links.find_owner(request.path_params["token"], self.state.tokens)
            if name is None:
                self.refuse_link(request)
            request.scope["sfqa.rater"] = name
            rater = self.state.raters[name]
            rater.seen_at = self.clock()
            return await handler(request, rater)

        return handle

    def make_stage_response(self, name: str) -> Response:
        """Return the response that tells a rater's page what to show."""
        return JSONResponse(self.state.describe_stage(self.state.raters[name], self.clock()))

    # --- handlers -----------------------------------------------------------------------------

    async def send_page(self, request: Request, rater: Rater) -> Response:
        """Send the page, and log an event with the name of the browser."""
        now = self.clock()
        if now - rater.opened_at > _OPENED_EVERY_SEC:
            rater.opened_at = now
            agent = "".join(c for c in request.headers.get("user-agent", "") if c.isprintable())
            add = partial(database.add_event, at=now, rater=rater.name, kind="opened")
            self.writer.submit(lambda c: add(c, data=agent[:300]))
        return self.pages.make_response(request, "rater.html")

    async def send_study(self, request: Request, rater: Rater) -> Response:
        """Send the study's settings (dimensions, texts) and the rater's state."""
        stage = self.state.describe_stage(rater, self.clock())
        return JSONResponse({"study": self.study.page, "state": stage})

    async def send_state(self, request: Request, rater: Rater) -> Response:
        """Send the rater's state."""
        return self.make_stage_response(rater.name)

    async def store_consent(self, request: Request, rater: Rater) -> Response:
        """Store the consent, the language and the answers to the study's questions."""
        body = await read_body(request)
        request_checks.check_fields(body, "language", "profile", "screen")
        language = request_checks.check_choice(
            body.get("language"), "language", self.study.languages
        )
        profile = json.dumps(request_checks.check_profile(body.get("profile", {}), self.study))
        screen = json.dumps(request_checks.check_screen(body.get("screen", {})))
        self.refuse_replaced(rater)
        now, name = self.clock(), rater.name

        def write(connection: sqlite3.Connection) -> None:
            cursor = connection.execute(
                "UPDATE raters SET language = ?, profile = ?, consented_at = ? "
                "WHERE rater = ? AND consented_at IS NULL",
                (language, profile, now, name),
            )
            if cursor.rowcount:
                database.add_check(connection, name, database.SCREEN, now, screen)
                database.add_event(connection, now, name, "consented")

        await self.writer.write(write)
        self.state.raters[name].consented = True
        self.state.raters[name].language = language
        return self.make_stage_response(name)

    async def store_settings(self, request: Request, rater: Rater) -> Response:
        """Store the language and the theme of the page."""
        body = await read_body(request)
        request_checks.check_fields(body, "language", "theme")
        settings = {}
        if "language" in body:
            language = request_checks.check_choice(
                body["language"], "language", self.study.languages
            )
            settings["language"] = language
        if "theme" in body:
            settings["theme"] = request_checks.check_choice(
                body["theme"], "theme", ("light", "dark")
            )
        name = rater.name

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE raters SET language = coalesce(?, language), theme = coalesce(?, theme) "
                "WHERE rater = ?",
                (settings.get("language"), settings.get("theme"), name),
            )

        await self.writer.write(write)
        for key, value in settings.items():
            setattr(self.state.raters[name], key, value)
        return self.make_stage_response(name)

    async def store_check(self, request: Request, rater: Rater) -> Response:
        """Store the result of a check of the rater's equipment, once."""
        body = await read_body(request)
        request_checks.check_fields(body, "check", "tasks")
        check = request_checks.check_choice(body.get("check"), "check", self.study.checks)
        result = json.dumps(request_checks.judge_tasks(check, body.get("tasks")))
        now, name = self.clock(), rater.name
        if not rater.consented or rater.is_replaced:
            raise RefusedError(409, "not_now", "no check can be done now")

        def write(connection: sqlite3.Connection) -> None:
            database.add_check(connection, name, check, now, result)

        await self.writer.write(write)
        self.state.raters[name].checks.add(check)
        return self.make_stage_response(name)

    async def start_session(self, request: Request, rater: Rater) -> Response:
        """Start the next session, so that its videos can be fetched."""
        request_checks.check_fields(await read_body(request))
        current, now, name = rater.current, self.clock(), rater.name
        self.refuse_replaced(rater)
        is_checked = self.state.find_next_check(rater) is None
        if not rater.consented or current is None or self.state.is_paused or not is_checked:
            raise RefusedError(409, "not_now", "no session can be started now")
        session = current.session

        def write(connection: sqlite3.Connection) -> None:
            cursor = connection.execute(
                "INSERT OR IGNORE INTO sessions VALUES (?, ?, ?)", (name, session, now)
            )
            if cursor.rowcount:
                database.add_event(connection, now, name, "began", str(session))

        await self.writer.write(write)
        rater = self.state.raters[name]  # the state may have been reloaded meanwhile
        if session not in rater.sessions:
            rater.sessions.add(session)
            rater.begun_at = now
        return self.make_stage_response(name)

    async def store_score(self, request: Request, rater: Rater) -> Response:
        """Store an answer, and respond once it is on the disk."""
        body = await read_body(request)
        rater = self.state.raters[rater.name]  # the state may have been reloaded meanwhile
        request_checks.check_fields(body, "presentation", "scores", "details", "comment")
        identity = body.get("presentation")
        if not isinstance(identity, str):
            raise RefusedError(422, "wrong_type", "presentation is not a string")
        presentation = self.state.presentations.get(identity)
        if presentation is None or presentation.rater != rater.name:
            raise RefusedError(404, "no_such_presentation", "there is no such presentation")
        scores = request_checks.check_scores(
            body.get("scores"), self.study.dimensions, self.study.scale
        )
        details = json.dumps(request_checks.check_details(body.get("details", {})))
        comment = request_checks.check_text(
            body.get("comment"), "comment", request_checks.MAX_COMMENT
        )
        now = self.clock()
        if identity in self.state.scores:
            self.check_unchanged(self.state.scores[identity] == scores)
            return self.confirm_score(rater.name, repeated=True)
        self.check_turn(rater, identity, now)
        served = self.state.served[identity]
        put_answer = partial(database.put_answer, presentation=identity, at=now, served_at=served)
        outcome = await self.writer.write(
            lambda c: put_answer(c, scores=scores, details=details, comment=comment)
        )
        self.check_unchanged(outcome != database.CHANGED)
        self.state.add_answer(identity, scores, now)
        return self.confirm_score(rater.name, repeated=outcome == database.REPEATED)

    def refuse_replaced(self, rater: Rater) -> None:
        """Refuse a request of a rater whose place was given to someone else."""
        if rater.is_replaced:
            raise RefusedError(409, "replaced", "the place was given to someone else")

    def check_unchanged(self, is_equal: bool) -> None:
        """Refuse an answer that differs from the stored one."""
        if not is_equal:
            raise RefusedError(409, "answered", "this video already has a different answer")

    def check_turn(self, rater: Rater, identity: str, now: float) -> None:
        """Refuse an answer out of order, during a break or pause, or before the video's end."""
        self.refuse_replaced(rater)
        current = rater.current
        is_started = current is not None and current.session in rater.sessions
        if current is None or current.id != identity or not is_started or not rater.consented:
            raise RefusedError(409, "not_its_turn", "another video must be rated first")
        if self.state.is_held(rater):
            raise RefusedError(409, "paused", "the study is paused")
        wait = self.state.compute_wait(rater, now)
        if wait is None or wait > 0:
            raise RefusedError(409, "too_early", "the video cannot have ended yet", wait=wait)

    def confirm_score(self, name: str, repeated: bool) -> Response:
        """Return the response to a score that is on the disk."""
        stage = self.state.describe_stage(self.state.raters[name], self.clock())
        return JSONResponse({"stored": True, "repeated": repeated, "state": stage})

    async def send_media(self, request: Request, rater: Rater) -> Response:
        """Send the video, image or clip of a presentation that is accessible now."""
        identity, file_type = request.path_params["id"], request.path_params["kind"]
        presentation = self.state.find_accessible(rater, identity)
        path = None
        if presentation is not None:
            path = self.state.media[presentation.sample_id].files.get(file_type)
        if presentation is None or path is None:
            raise RefusedError(
                404, "no_such_file", "there is no such file, or it is not accessible now"
            )
        if self.state.is_paused and identity not in self.state.served:
            raise RefusedError(409, "paused", "the study is paused")
        try:
            response = await asyncio.to_thread(media_files.make_response, request, path, identity)
        except OSError as error:
            sample_id = presentation.sample_id
            log.error("a file of sample %s cannot be read: %s", sample_id, error.strerror)
            raise RefusedError(503, "no_file", "the file cannot be read now") from error
        is_sent = request.method == "GET" and response.status_code in (200, 206)
        if file_type == "video" and is_sent and identity not in self.state.served:
            # Stored before it is sent, so that a killed server still knows what was shown.
            now = self.clock()
            await self.writer.write(partial(database.add_served, presentation=identity, at=now))
            self.state.served.setdefault(identity, now)
        return response

    def list_routes(self) -> list[Route]:
        """Return the routes of raters."""
        handlers: dict[tuple[str, str], Handler] = {
            ("GET", ""): self.send_page,
            ("GET", "/about"): self.send_study,
            ("GET", "/state"): self.send_state,
            ("GET", "/media/{id}/{kind}"): self.send_media,
            ("POST", "/consent"): self.store_consent,
            ("POST", "/settings"): self.store_settings,
            ("POST", "/check"): self.store_check,
            ("POST", "/begin"): self.start_session,
            ("POST", "/score"): self.store_score,
        }
        return [
            *(
                Route("/r/{token}" + path, self.require_rater(handler), methods=[method])
                for (method, path), handler in (handlers | {("GET", "/"): self.send_page}).items()
            ),
            Route("/static/{name}", self.pages.send_static, methods=["GET"]),
        ]


async def read_body(request: Request) -> dict[str, Any]:
    """Return the JSON object of a request. At most ``MAX_BODY`` bytes are read."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise RefusedError(415, "not_json", "send JSON")
    length = request.headers.get("content-length", "0")
    body = bytearray()
    if (
        length.isascii()
        and length.isdigit()
        and len(length) < 10
        and int(length) <= request_checks.MAX_BODY
    ):
        try:
            async with asyncio.timeout(_BODY_SEC):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > request_checks.MAX_BODY:
                        break
        except ClientDisconnect as error:
            raise RefusedError(400, "gone", "the connection broke") from error
        except TimeoutError as error:
            raise RefusedError(408, "too_slow", "the body did not arrive in time") from error
        if len(body) <= request_checks.MAX_BODY:
            return request_checks.parse_body(bytes(body))
    raise RefusedError(413, "too_large", f"a body may have at most {request_checks.MAX_BODY} bytes")
