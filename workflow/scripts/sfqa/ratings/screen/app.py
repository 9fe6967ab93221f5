"""The web application of the rating screen: routes of raters, organiser, crowd, and the guard."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from starlette.applications import Starlette

from sfqa.ratings.screen.enrolment_routes import EnrolmentRoutes
from sfqa.ratings.screen.guard import Guard, make_exception_handlers
from sfqa.ratings.screen.organiser import Organiser
from sfqa.ratings.screen.server import Clock, Server


def create_app(folder: Path, clock: Clock = time.time, media_folders: Sequence[Path] = ()) -> Guard:
    """Return the application that serves the study in a folder.

    ``media_folders``: folders outside of the study and its project whose videos may be shown.
    Raises :class:`UserError` if the study cannot be served: no plan, missing files.
    """
    server = Server(folder, clock, media_folders)
    routes = [
        *server.list_routes(),
        *Organiser(server).list_routes(),
        *EnrolmentRoutes(server).list_routes(),
    ]
    app = Starlette(
        routes=routes,
        lifespan=server.run_writer,
        exception_handlers=make_exception_handlers(server.pages),
    )
    # A redirect would have the secret link in its address, which may be that of plain HTTP.
    app.router.redirect_slashes = False
    return Guard(app, server)
