"""``sfqa rate``: serve a rating study to people, make their secret links, export what they gave."""

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

from sfqa.cli import FINE
from sfqa.errors import UserError, hint

SUMMARY = "serve a rating study in the browser, make its secret links, export its scores"
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
        help="serve: run the web server until Ctrl-C; links: make the links of raters and of the "
        "organiser that have none yet; export: write the scores as Parquet",
    )  # fmt: skip
    add(
        "folder", type=Path, metavar="STUDY",
        help="folder with study.yaml, plan.parquet and media.parquet",
    )  # fmt: skip
    add(
        "--host", default="127.0.0.1", metavar="ADDRESS",
        help="serve: address to listen on; 127.0.0.1, as it is without this, is this machine only; "
        "others need a reverse proxy with HTTPS before it, see docs/rating_screen.md",
    )  # fmt: skip
    add("--port", type=int, default=8765, metavar="N", help="serve: port to listen on (8765)")
    add("--url", metavar="URL", help="links: what the links start with, as raters reach the server")
    add(
        "--renew", action="append", default=[], metavar="RATER",
        help="links: make this rater's link anew (or 'organiser'); the old one stops working",
    )  # fmt: skip
    add("--out", type=Path, metavar="PATH", help="links: CSV file, new; export: folder")


def run(args: argparse.Namespace) -> int:
    """Carry out the action."""
    if args.action not in _ACTIONS:
        raise UserError(f"rate: no action {args.action!r}; {hint(args.action, _ACTIONS)}")
    if not args.folder.is_dir():
        raise UserError(f"{args.folder}: no such folder; give the folder of a study")
    return {"serve": _serve, "links": _links, "export": _export}[args.action](args)


def _serve(args: argparse.Namespace) -> int:
    import uvicorn

    from sfqa.ratings.screen import links, store
    from sfqa.ratings.screen.app import create_app

    if not 0 <= args.port <= 65535:
        raise UserError(f"--port {args.port}: give one of 0 to 65535")
    with store.only_server(args.folder), _listen(args.host, args.port) as listening:
        app = create_app(args.folder)
        _log_to(args.folder / "study.log")
        live = app.server.live
        shown = f"[{args.host}]" if ":" in args.host else args.host
        _tell(
            f"{args.folder}: {sum(bool(r.order) for r in live.raters.values())} raters, "
            f"{len(live.presentations)} presentations, {len(live.scores)} answered; serving at "
            f"http://{shown}:{listening.getsockname()[1]} until Ctrl-C"
        )
        lacking = links.without_link(app.server.reader)
        if lacking or not links.has_organiser(app.server.reader):
            _tell(
                f"{len(lacking)} raters have no link yet; make links with: "
                f"sfqa rate links {args.folder}"
            )
        if not _is_loopback(args.host):
            _tell(
                f"listening on {args.host} without encryption: whoever can read the network can "
                "read the links; put a reverse proxy with HTTPS before it "
                "(docs/rating_screen.md)"
            )
        # The access log of the server would write down every secret link.
        config = uvicorn.Config(
            app, access_log=False, log_level="warning", server_header=False,
            timeout_keep_alive=75, h11_max_incomplete_event_size=16384,
            timeout_graceful_shutdown=5, lifespan="on", ws="none",
            # Named, so that the same limits hold whatever else is installed beside it.
            http="h11", loop="asyncio",
        )  # fmt: skip
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])
    return FINE


def _listen(host: str, port: int) -> socket.socket:
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


def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _links(args: argparse.Namespace) -> int:
    from sfqa import tables
    from sfqa.ratings.screen import store
    from sfqa.ratings.screen.server import DATABASE
    from sfqa.ratings.screen.study import read_media, read_plan, read_study

    study, plan = (
        read_study(args.folder / "study.yaml"),
        read_plan(args.folder / tables.PLAN.file_name),
    )
    read_media(args.folder, {row.sample_id for row in plan})
    if args.out and args.out.exists():
        raise UserError(f"{args.out}: there already; give a new file, or move this one")
    url = (args.url or f"http://127.0.0.1:{args.port}").rstrip("/")
    if not url.startswith(("https://", "http://")):
        raise UserError(f"--url {args.url}: no address; give one as https://study.example.org")
    connection = store.connect(args.folder / DATABASE)
    try:
        added, removed = store.sync_plan(connection, plan)
        if added or removed:
            print(f"plan: {added} presentations added, {removed} removed", file=sys.stderr)
        made = _make_links(connection, args.renew, url)
    finally:
        connection.close()
    if not made:
        print("every rater has a link; --renew RATER makes one anew", file=sys.stderr)
        return FINE
    if args.out:
        # Links are secrets: readable by their owner only.
        handle = os.open(args.out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("who", "link"), *made])
        print(
            f"{len(made)} links in {args.out}; they are shown once, keep the file", file=sys.stderr
        )
    else:
        for who, link in made:
            print(f"{who}\t{link}")
    print(f"{len(study.dimensions)} dimensions: {', '.join(study.dimensions)}", file=sys.stderr)
    return FINE


def _make_links(
    connection: sqlite3.Connection, renew: list[str], url: str
) -> list[tuple[str, str]]:
    """Links for those that are named, or else for all that have none."""
    from sfqa.ratings.screen import links

    organiser = "organiser" in renew or (not renew and not links.has_organiser(connection))
    names = [name for name in renew if name != "organiser"]
    made = []
    connection.execute("BEGIN IMMEDIATE")
    try:
        if organiser:
            made.append(("organiser", f"{url}/o/{links.give_organiser_link(connection)}"))
        for rater in names if renew else links.without_link(connection):
            made.append((rater, f"{url}/r/{links.give_rater_link(connection, rater)}"))
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return made


def _export(args: argparse.Namespace) -> int:
    from sfqa import tables
    from sfqa.ratings.screen import export, store
    from sfqa.ratings.screen.server import DATABASE

    path = args.folder / DATABASE
    if not path.is_file():
        raise UserError(f"{path}: no such file; nothing was rated in this study yet")
    folder = args.out or args.folder
    connection = store.connect(path)
    try:
        counted, rows = export.export(connection, folder)
    finally:
        connection.close()
    scores, details = (folder / t.file_name for t in (tables.SCORES, tables.SCORE_DETAILS))
    print(f"{counted} scores in {scores}, all {rows} with what goes with them in {details}")
    return FINE


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
