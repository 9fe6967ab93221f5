"""``sfqa rate``: serve a rating study in the browser, create secret links, export the scores."""

from __future__ import annotations

import argparse
import csv
import ipaddress
import logging
import logging.handlers
import os
import socket
import sqlite3
import sys
from contextlib import suppress
from pathlib import Path

from sfqa.cli import SUCCESS
from sfqa.errors import UserError, hint

SUMMARY = "serve a rating study in the browser, create its secret links, export its scores"
EXAMPLES = """
sfqa rate serve results/demo/ratings/study
sfqa rate links results/demo/ratings/study --url https://study.example.org
sfqa rate links results/demo/ratings/study --renew r003
sfqa rate export results/demo/ratings/study
"""

_ACTIONS = ("serve", "links", "export")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add(
        "action", metavar="serve|links|export",
        help="serve: run the web server until Ctrl-C; links: create missing links of raters and of "
        "the organiser; export: write the scores as Parquet",
    )  # fmt: skip
    add(
        "folder", type=Path, metavar="STUDY",
        help="folder with study.yaml, plan.parquet and media.parquet",
    )  # fmt: skip
    add(
        "--host", default="127.0.0.1", metavar="ADDRESS",
        help="serve: address to listen on; the default 127.0.0.1 is this machine only, any other "
        "needs a reverse proxy with HTTPS in front, see docs/rating_screen.md",
    )  # fmt: skip
    add("--port", type=int, default=8765, metavar="N", help="serve: port to listen on (8765)")
    add("--url", metavar="URL", help="links: the server's URL as raters see it")
    add(
        "--renew", action="append", default=[], metavar="RATER",
        help="links: replace this rater's link (or that of 'organiser'); the old one stops working",
    )  # fmt: skip
    add("--out", type=Path, metavar="PATH", help="links: a new CSV file; export: a folder")


def run(args: argparse.Namespace) -> int:
    """Serve, create links or export."""
    if args.action not in _ACTIONS:
        raise UserError(f"rate: no action {args.action!r}; {hint(args.action, _ACTIONS)}")
    if not args.folder.is_dir():
        raise UserError(f"{args.folder}: no such folder; give the folder of a study")
    return {"serve": _serve, "links": _create_links, "export": _export}[args.action](args)


def _serve(args: argparse.Namespace) -> int:
    import uvicorn

    from sfqa.ratings.screen import links
    from sfqa.ratings.screen.app import create_app
    from sfqa.ratings.screen.database import lock_study

    if not 0 <= args.port <= 65535:
        raise UserError(f"--port {args.port}: give one of 0 to 65535")
    with lock_study(args.folder), _open_socket(args.host, args.port) as listener:
        app = create_app(args.folder)
        _log_to(args.folder / "study.log")
        state = app.server.state
        host = f"[{args.host}]" if ":" in args.host else args.host
        _print_message(
            f"{args.folder}: {sum(bool(r.order) for r in state.raters.values())} raters, "
            f"{len(state.presentations)} presentations, {len(state.scores)} answered; serving at "
            f"http://{host}:{listener.getsockname()[1]} until Ctrl-C"
        )
        unlinked = links.list_unlinked_raters(app.server.reader)
        if unlinked or not links.has_organiser(app.server.reader):
            _print_message(
                f"{len(unlinked)} raters have no link yet; create them with: "
                f"sfqa rate links {args.folder}"
            )
        if not _is_loopback(args.host):
            _print_message(
                f"listening on {args.host} without encryption: anyone who can read the network "
                "can read the links; put a reverse proxy with HTTPS in front "
                "(docs/rating_screen.md)"
            )
        # No access log: it would contain every secret link.
        config = uvicorn.Config(
            app, access_log=False, log_level="warning", server_header=False,
            timeout_keep_alive=75, h11_max_incomplete_event_size=16384,
            timeout_graceful_shutdown=5, lifespan="on", ws="none",
            # Set explicitly, so that the same limits apply if uvloop or httptools are installed.
            http="h11", loop="asyncio",
        )  # fmt: skip
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])
    return SUCCESS


def _open_socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise UserError(
            f"cannot listen on {host}, port {port} ({error.strerror}); give another --port"
        ) from error


def _log_to(path: Path) -> None:
    log = logging.getLogger("sfqa.rate")
    log.setLevel(logging.INFO)
    for handler in (
        logging.StreamHandler(),
        logging.handlers.RotatingFileHandler(path, maxBytes=10**7, backupCount=3, encoding="utf-8"),
    ):
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(handler)


def _print_message(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _create_links(args: argparse.Namespace) -> int:
    from sfqa import tables
    from sfqa.ratings.screen.database import open_database, sync_plan
    from sfqa.ratings.screen.server import DATABASE
    from sfqa.ratings.screen.study import read_media, read_plan, read_study

    study, plan = (
        read_study(args.folder / "study.yaml"),
        read_plan(args.folder / tables.PLAN.file_name),
    )
    read_media(args.folder, {row.sample_id for row in plan})
    if args.out and args.out.exists():
        raise UserError(f"{args.out}: exists already; give a new file, or move this one")
    url = (args.url or f"http://127.0.0.1:{args.port}").rstrip("/")
    if not url.startswith(("https://", "http://")):
        raise UserError(f"--url {args.url}: not a URL; give one like https://study.example.org")
    connection = open_database(args.folder / DATABASE)
    try:
        added, removed = sync_plan(connection, plan)
        if added or removed:
            print(f"plan: {added} presentations added, {removed} removed", file=sys.stderr)
        new_links = _insert_links(connection, args.renew, url)
    finally:
        connection.close()
    if not new_links:
        print("every rater has a link; --renew RATER replaces one", file=sys.stderr)
        return SUCCESS
    if args.out:
        # Links are secrets: the file is readable by its owner only.
        handle = os.open(args.out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("who", "link"), *new_links])
        print(
            f"{len(new_links)} links in {args.out}; they are shown only once, keep the file",
            file=sys.stderr,
        )
    else:
        for who, link in new_links:
            print(f"{who}\t{link}")
    print(f"{len(study.dimensions)} dimensions: {', '.join(study.dimensions)}", file=sys.stderr)
    return SUCCESS


def _insert_links(
    connection: sqlite3.Connection, renew: list[str], url: str
) -> list[tuple[str, str]]:
    """Store and return links for the raters in ``renew``, or if it is empty for all without one."""
    from sfqa.ratings.screen import links

    organiser = "organiser" in renew or (not renew and not links.has_organiser(connection))
    names = [name for name in renew if name != "organiser"]
    new_links = []
    connection.execute("BEGIN IMMEDIATE")
    try:
        if organiser:
            new_links.append(("organiser", f"{url}/o/{links.create_organiser_link(connection)}"))
        for rater in names if renew else links.list_unlinked_raters(connection):
            new_links.append((rater, f"{url}/r/{links.create_rater_link(connection, rater)}"))
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return new_links


def _export(args: argparse.Namespace) -> int:
    from sfqa import tables
    from sfqa.ratings.screen import export
    from sfqa.ratings.screen.database import open_database
    from sfqa.ratings.screen.server import DATABASE

    path = args.folder / DATABASE
    if not path.is_file():
        raise UserError(f"{path}: no such file; this study has no ratings yet")
    folder = args.out or args.folder
    connection = open_database(path)
    try:
        valid, total = export.export_tables(connection, folder)
    finally:
        connection.close()
    scores, details = (folder / t.file_name for t in (tables.SCORES, tables.SCORE_DETAILS))
    print(f"{valid} scores in {scores}, all {total} with their details in {details}")
    return SUCCESS


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
