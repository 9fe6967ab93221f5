"""Settings of a rating study that ``sfqa rate serve`` and ``sfqa rate links`` share."""

from __future__ import annotations

import sys
from pathlib import Path

from sfqa.errors import UserError

DEFAULT_PORT = 8765
#: Setting of a study with the port of the last ``serve`` or ``links``.
PORT = "port"


def choose_port(folder: Path, port: int | None) -> int:
    """Return the port that was given, else the one kept in the study, else the default."""
    from sfqa.ratings.screen.database import get_setting
    from sfqa.ratings.screen.database_reading import read_database
    from sfqa.ratings.screen.server import DATABASE

    if port is not None and not 0 <= port <= 65535:
        raise UserError(f"--port {port}: give one of 0 to 65535")
    if port is not None or not (folder / DATABASE).is_file():
        return DEFAULT_PORT if port is None else port
    connection = read_database(folder / DATABASE)
    try:
        return int(get_setting(connection, PORT) or DEFAULT_PORT)
    finally:
        connection.close()


def check_url(url: str) -> str:
    """Return a URL without a slash at its end; raises :class:`UserError` if it is none."""
    if not url.startswith(("https://", "http://")):
        raise UserError(f"--url {url}: not a URL; give one like https://study.example.org")
    return url.rstrip("/")


def print_message(message: str) -> None:
    """Print a message for the organiser."""
    print(message, file=sys.stderr, flush=True)
