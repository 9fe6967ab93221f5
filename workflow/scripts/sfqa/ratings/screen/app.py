"""The web application of the rating screen: routes of raters, organiser, crowd, and the guard."""

from __future__ import annotations

import time
from pathlib import Path

from starlette.applications import Starlette

from sfqa.ratings.screen.enrolment_routes import EnrolmentRoutes
from sfqa.ratings.screen.guard import Guard, make_exception_handlers
from sfqa.ratings.screen.organiser import Organiser
from sfqa.ratings.screen.server import Clock, Server


def create_app(folder: Path, clock: Clock = time.time) -> Guard:
    """Return the application that serves the study in a folder.

    Raises :class:`UserError` if the study cannot be served: no plan, missing files.
    """
    server = Server(folder, clock)
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
    return Guard(app, server)
