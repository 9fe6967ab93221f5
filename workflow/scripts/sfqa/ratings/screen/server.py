"""The server of a study: its state, and the page of each rater under a secret link."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sfqa.errors import UserError
from sfqa.ratings.screen import answers, links, media_files, store
from sfqa.ratings.screen.answers import RefusedError
from sfqa.ratings.screen.pages import Pages
from sfqa.ratings.screen.progress import Live, Rater
from sfqa.ratings.screen.study import read_media, read_plan, read_study
from sfqa.tables import PLAN

log = logging.getLogger("sfqa.rate")

DATABASE = "study.db"
_BODY_SEC = 20.0
_OPENED_EVERY_SEC = 10.0

Clock = Callable[[], float]
Handler = Callable[[Request, Rater], Awaitable[Response]]


class Server:
    """A study that is being served: its state, its writer, and the handlers of its routes."""

    def __init__(self, folder: Path, clock: Clock = time.time) -> None:
        self.folder, self.clock = folder, clock
        self.study = read_study(folder / "study.yaml")
        plan = read_plan(folder / PLAN.file_name)
        media = read_media(folder, {row.sample_id for row in plan})
        self.live = Live(self.study, media)
        self.reader = store.connect(folder / DATABASE)
        store.sync_plan(self.reader, plan)
        self.live.load(self.reader)
        self.pages = Pages()
        self.guesses = links.Guesses()
        self.writer: store.Writer

    @asynccontextmanager
    async def running(self, _: Starlette) -> AsyncIterator[None]:
        """Have the writer thread for as long as the server runs."""
        loop = asyncio.get_running_loop()

        def changed() -> None:
            loop.call_soon_threadsafe(self.reload)

        self.writer = store.Writer(self.folder / DATABASE, changed)
        try:
            yield
        finally:
            await asyncio.to_thread(self.writer.close)
            self.reader.close()

    def reload(self) -> None:
        """Take over what another process wrote (new links, a longer plan), or keep what is."""
        try:
            rows = self.reader.execute("SELECT DISTINCT sample_id FROM presentations")
            wanted = {row[0] for row in rows}
            if not wanted <= set(self.live.media):
                self.live.media = read_media(self.folder, wanted)
            self.live.load(self.reader)
        except (UserError, sqlite3.Error, OSError) as error:
            log.error("the study was changed and cannot be taken over: %s", error)

    # --- who asks ---------------------------------------------------------------------------

    def guessed(self, request: Request) -> NoReturn:
        """Refuse a link that is nobody's."""
        address = request.client.host if request.client else "?"
        if self.guesses.too_many(address, self.clock()):
            raise RefusedError(429, "too_many", "too many wrong links; wait a minute")
        raise RefusedError(404, "no_such_link", "there is no such link")

    def for_rater(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """Find the rater of the secret link before the handler runs."""

        async def run(request: Request) -> Response:
            name = links.owner(request.path_params["token"], self.live.tokens)
            if name is None:
                self.guessed(request)
            request.scope["sfqa.rater"] = name
            rater = self.live.raters[name]
            rater.seen_at = self.clock()
            return await handler(request, rater)

        return run

    def stage(self, name: str) -> Response:
        """The answer that tells a page what to show next."""
        return JSONResponse(self.live.stage(self.live.raters[name], self.clock()))

    # --- what a rater's page asks for ---------------------------------------------------------

    async def page(self, request: Request, rater: Rater) -> Response:
        """The page itself; that it was opened is noted, with the browser's name."""
        now = self.clock()
        if now - rater.opened_at > _OPENED_EVERY_SEC:
            rater.opened_at = now
            agent = "".join(c for c in request.headers.get("user-agent", "") if c.isprintable())
            add = partial(store.add_event, at=now, rater=rater.name, kind="opened")
            self.writer.submit(lambda c: add(c, data=agent[:300]))
        return self.pages.answer(request, "rater.html")

    async def about(self, request: Request, rater: Rater) -> Response:
        """What the study says (dimensions, words), and where the rater stands."""
        stage = self.live.stage(rater, self.clock())
        return JSONResponse({"study": self.study.page, "state": stage})

    async def state(self, request: Request, rater: Rater) -> Response:
        """Where the rater stands."""
        return self.stage(rater.name)

    async def consent(self, request: Request, rater: Rater) -> Response:
        """Take part: the language and the answers to the study's questions."""
        body = await read_body(request)
        answers.only(body, "language", "profile")
        language = answers.one_of(body.get("language"), "language", self.study.languages)
        profile = json.dumps(answers.profile(body.get("profile", {}), self.study))
        now, name = self.clock(), rater.name

        def write(connection: sqlite3.Connection) -> None:
            changed = connection.execute(
                "UPDATE raters SET language = ?, profile = ?, consented_at = ? "
                "WHERE rater = ? AND consented_at IS NULL",
                (language, profile, now, name),
            )
            if changed.rowcount:
                store.add_event(connection, now, name, "consented")

        await self.writer.write(write)
        self.live.raters[name].consented = True
        self.live.raters[name].language = language
        return self.stage(name)

    async def settings(self, request: Request, rater: Rater) -> Response:
        """Keep the language and the look of the page."""
        body = await read_body(request)
        answers.only(body, "language", "theme")
        chosen = {}
        if "language" in body:
            language = answers.one_of(body["language"], "language", self.study.languages)
            chosen["language"] = language
        if "theme" in body:
            chosen["theme"] = answers.one_of(body["theme"], "theme", ("light", "dark"))
        name = rater.name

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE raters SET language = coalesce(?, language), theme = coalesce(?, theme) "
                "WHERE rater = ?",
                (chosen.get("language"), chosen.get("theme"), name),
            )

        await self.writer.write(write)
        for key, value in chosen.items():
            setattr(self.live.raters[name], key, value)
        return self.stage(name)

    async def begin(self, request: Request, rater: Rater) -> Response:
        """Begin the session that is next; its videos can be fetched from now on."""
        answers.only(await read_body(request))
        one, now, name = rater.current, self.clock(), rater.name
        if not rater.consented or one is None or self.live.paused:
            raise RefusedError(409, "not_now", "no session can be begun now")
        session = one.session

        def write(connection: sqlite3.Connection) -> None:
            new = connection.execute(
                "INSERT OR IGNORE INTO sessions VALUES (?, ?, ?)", (name, session, now)
            )
            if new.rowcount:
                store.add_event(connection, now, name, "began", str(session))

        await self.writer.write(write)
        mine = self.live.raters[name]
        if session not in mine.sessions:
            mine.sessions.add(session)
            mine.begun_at = now
        return self.stage(name)

    async def score(self, request: Request, rater: Rater) -> Response:
        """Store an answer and, only when it is on the disk, say so and what comes next."""
        body = await read_body(request)
        rater = self.live.raters[rater.name]  # the study may have been read anew meanwhile
        answers.only(body, "presentation", "scores", "details", "comment")
        identity = body.get("presentation")
        if not isinstance(identity, str):
            raise RefusedError(422, "wrong_type", "presentation is not a text")
        one = self.live.presentations.get(identity)
        if one is None or one.rater != rater.name:
            raise RefusedError(404, "no_such_presentation", "there is no such presentation")
        scores = answers.scores(body.get("scores"), self.study.dimensions, self.study.scale)
        details = json.dumps(answers.details(body.get("details", {})))
        comment = answers.text(body.get("comment"), "comment", answers.MAX_COMMENT)
        now = self.clock()
        if identity in self.live.scores:
            self.same(self.live.scores[identity] == scores)
            return self.saved(rater.name, repeated=True)
        self.check_turn(rater, identity, now)
        served = self.live.served[identity]
        put = partial(store.put_answer, presentation=identity, at=now, served_at=served)
        outcome = await self.writer.write(
            lambda c: put(c, scores=scores, details=details, comment=comment)
        )
        self.same(outcome != store.CHANGED)
        self.live.answered(identity, scores, now)
        return self.saved(rater.name, repeated=outcome == store.REPEATED)

    def same(self, equal: bool) -> None:
        """Refuse an answer that differs from the one that is stored."""
        if not equal:
            raise RefusedError(409, "answered", "this video has an answer already, a different one")

    def check_turn(self, rater: Rater, identity: str, now: float) -> None:
        """Refuse answers out of turn: ahead of others, in a break, before the video's end."""
        current = rater.current
        begun = current is not None and current.session in rater.sessions
        if current is None or current.id != identity or not begun or not rater.consented:
            raise RefusedError(409, "not_its_turn", "another video is to be rated first")
        if self.live.held(rater):
            raise RefusedError(409, "paused", "the study is paused")
        wait = self.live.waits(rater, now)
        if wait is None or wait > 0:
            raise RefusedError(409, "too_early", "the video cannot have been seen yet", wait=wait)

    def saved(self, name: str, repeated: bool) -> Response:
        """The answer to a score that is on the disk."""
        stage = self.live.stage(self.live.raters[name], self.clock())
        return JSONResponse({"stored": True, "repeated": repeated, "state": stage})

    async def media(self, request: Request, rater: Rater) -> Response:
        """A video, reference image or clip under the id of a presentation whose turn it is."""
        identity, kind = request.path_params["id"], request.path_params["kind"]
        one = self.live.open_to(rater, identity)
        path = self.live.media[one.sample_id].files.get(kind) if one else None
        if one is None or path is None:
            raise RefusedError(404, "no_such_file", "there is no such file, or not now")
        if self.live.paused and identity not in self.live.served:
            raise RefusedError(409, "paused", "the study is paused")
        try:
            response = await asyncio.to_thread(media_files.answer, request, path, identity)
        except OSError as error:
            log.error("a file of sample %s cannot be read: %s", one.sample_id, error.strerror)
            raise RefusedError(503, "no_file", "the file cannot be read now") from error
        sends = request.method == "GET" and response.status_code in (200, 206)
        if kind == "video" and sends and identity not in self.live.served:
            # On the disk first: a server that is killed must still know what was seen.
            now = self.clock()
            await self.writer.write(partial(store.add_served, presentation=identity, at=now))
            self.live.served.setdefault(identity, now)
        return response

    def routes(self) -> list[Route]:
        """All addresses of raters."""
        own = "/r/{token}"
        gets = {"": self.page, "/about": self.about, "/state": self.state}
        gets["/media/{id}/{kind}"] = self.media
        posts = {"/consent": self.consent, "/settings": self.settings, "/begin": self.begin}
        posts["/score"] = self.score
        return [
            *(Route(own + at, self.for_rater(do), methods=["GET"]) for at, do in gets.items()),
            *(Route(own + at, self.for_rater(do), methods=["POST"]) for at, do in posts.items()),
            Route("/static/{name}", self.pages.static, methods=["GET"]),
        ]


async def read_body(request: Request) -> dict[str, Any]:
    """Return the JSON object of a request, never reading more than is allowed."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RefusedError(415, "not_json", "send JSON")
    length = request.headers.get("content-length", "0")
    body = bytearray()
    if (
        length.isascii()
        and length.isdigit()
        and len(length) < 10
        and int(length) <= answers.MAX_BODY
    ):
        try:
            async with asyncio.timeout(_BODY_SEC):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > answers.MAX_BODY:
                        break
        except TimeoutError as error:
            raise RefusedError(408, "too_slow", "the body did not arrive") from error
        if len(body) <= answers.MAX_BODY:
            return answers.parse(bytes(body))
    raise RefusedError(413, "too_large", f"a body has at most {answers.MAX_BODY} bytes")
