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
sfqa rate links crowd_study/ --crowd --url https://study.example.org
sfqa rate serve crowd_study/ --host 0.0.0.0 --port 443 --tls-cert cert.pem --tls-key key.pem
sfqa rate export results/demo/ratings/study
"""

_ACTIONS = ("serve", "links", "export")
_DEFAULT_PORT = 8765
#: Setting of a study with the port of the last ``serve`` or ``links``.
_PORT = "port"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add(
        "action", metavar="serve|links|export",
        help="serve: run the web server until Ctrl-C; links: create missing links of raters and of "
        "the organiser; export: write scores, details and raters as Parquet and CSV",
    )  # fmt: skip
    add(
        "folder", type=Path, metavar="STUDY",
        help="folder with study.yaml, plan.parquet and media.parquet",
    )  # fmt: skip
    add(
        "--host", default="127.0.0.1", metavar="ADDRESS",
        help="serve: address to listen on; the default 127.0.0.1 is this machine only, any other "
        "needs --tls-cert, or a reverse proxy with HTTPS in front, see docs/rating_screen.md",
    )  # fmt: skip
    add(
        "--port", type=int, metavar="N",
        help="port to listen on; serve and links keep it in the study and use it the next time "
        f"({_DEFAULT_PORT})",
    )  # fmt: skip
    add("--tls-cert", type=Path, metavar="FILE", help="serve: certificate (PEM) for HTTPS")
    add("--tls-key", type=Path, metavar="FILE", help="serve: private key of the certificate (PEM)")
    add("--url", metavar="URL", help="links: the server's URL as raters see it")
    add(
        "--crowd", action="store_true",
        help="links: create one link by which a crowd takes the places of the plan, instead of one "
        "link per rater",
    )  # fmt: skip
    add(
        "--renew", action="append", default=[], metavar="RATER",
        help="links: replace this rater's link (or that of 'organiser' or 'crowd'); the old one "
        "stops working",
    )  # fmt: skip
    add(
        "--finished", action="store_true",
        help="export: scores of raters who answered all of their videos only",
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

    from sfqa.ratings.screen.app import create_app
    from sfqa.ratings.screen.database import lock_study

    has_tls = _check_tls(args.tls_cert, args.tls_key)
    port = _choose_port(args.folder, args.port)
    with lock_study(args.folder), _open_socket(args.host, port) as listener:
        app = create_app(args.folder)
        _log_to(args.folder / "study.log")
        state = app.server.state
        host = f"[{args.host}]" if ":" in args.host else args.host
        port = listener.getsockname()[1]
        _print_message(
            f"{args.folder}: {sum(bool(r.order) for r in state.raters.values())} raters, "
            f"{len(state.presentations)} presentations, {len(state.scores)} answered; serving at "
            f"http{'s' if has_tls else ''}://{host}:{port} until Ctrl-C"
        )
        _print_missing_links(args.folder, app.server.reader, port)
        if not has_tls and not _is_loopback(args.host):
            _print_message(
                f"listening on {args.host} without encryption: anyone who can read the network "
                "can read the links; give --tls-cert and --tls-key, or put a reverse proxy with "
                "HTTPS in front (docs/rating_screen.md)"
            )
        # No access log: it would contain every secret link.
        config = uvicorn.Config(
            app, access_log=False, log_level="warning", server_header=False,
            timeout_keep_alive=75, h11_max_incomplete_event_size=16384,
            timeout_graceful_shutdown=5, lifespan="on", ws="none",
            # Set explicitly, so that the same limits apply if uvloop or httptools are installed.
            http="h11", loop="asyncio", ssl_certfile=args.tls_cert, ssl_keyfile=args.tls_key,
        )  # fmt: skip
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])
    return SUCCESS


def _check_tls(certificate: Path | None, key: Path | None) -> bool:
    """Return whether the server uses TLS; raises :class:`UserError` for files that do not fit."""
    import ssl

    if certificate is None and key is None:
        return False
    if certificate is None or key is None:
        raise UserError("--tls-cert and --tls-key: give both, the certificate and its private key")
    for option, path in (("--tls-cert", certificate), ("--tls-key", key)):
        if not path.is_file():
            raise UserError(f"{option} {path}: no such file; give a PEM file")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError) as error:
        raise UserError(
            f"--tls-cert {certificate}, --tls-key {key}: not a certificate with its private key in "
            f"PEM format ({error}); correct the files"
        ) from error
    return True


def _choose_port(folder: Path, port: int | None) -> int:
    """Return the port that was given, else the one kept in the study, else the default."""
    from sfqa.ratings.screen.database import get_setting, open_database
    from sfqa.ratings.screen.server import DATABASE

    if port is not None and not 0 <= port <= 65535:
        raise UserError(f"--port {port}: give one of 0 to 65535")
    if port is not None or not (folder / DATABASE).is_file():
        return _DEFAULT_PORT if port is None else port
    connection = open_database(folder / DATABASE)
    try:
        return int(get_setting(connection, _PORT) or _DEFAULT_PORT)
    finally:
        connection.close()


def _print_missing_links(folder: Path, connection: sqlite3.Connection, port: int) -> None:
    """Print who has no link yet, and whether links were created for another port; keep the port."""
    from sfqa.ratings.screen import links
    from sfqa.ratings.screen.database import get_setting, set_setting

    has_crowd = links.has_crowd_link(connection)
    unlinked = [] if has_crowd else links.list_unlinked_raters(connection)
    if unlinked or not links.has_organiser(connection):
        _print_message(
            f"{len(unlinked)} raters have no link yet; create them with: sfqa rate links {folder}"
        )
    previous_port = get_setting(connection, _PORT)
    if previous_port not in (None, str(port)) and (has_crowd or links.has_organiser(connection)):
        _print_message(
            f"this port is {port}, but the study used {previous_port} before: links that were "
            f"printed for that port need another port in their address"
        )
    set_setting(connection, _PORT, str(port))


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
    from sfqa.ratings.screen.database import open_database, set_setting, sync_plan
    from sfqa.ratings.screen.server import DATABASE
    from sfqa.ratings.screen.study import read_study
    from sfqa.ratings.screen.study_tables import read_media, read_plan

    study, plan = (
        read_study(args.folder / "study.yaml"),
        read_plan(args.folder / tables.PLAN.file_name),
    )
    read_media(args.folder, {row.sample_id for row in plan})
    if args.out and args.out.exists():
        raise UserError(f"{args.out}: exists already; give a new file, or move this one")
    port = _choose_port(args.folder, args.port)
    url = (args.url or f"http://127.0.0.1:{port}").rstrip("/")
    if not url.startswith(("https://", "http://")):
        raise UserError(f"--url {args.url}: not a URL; give one like https://study.example.org")
    connection = open_database(args.folder / DATABASE)
    try:
        added, removed = sync_plan(connection, plan)
        if added or removed:
            print(f"plan: {added} presentations added, {removed} removed", file=sys.stderr)
        new_links = _insert_links(connection, args.renew, args.crowd, url)
        if args.port or not args.url:
            set_setting(connection, _PORT, str(port))
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
    if any(who == "crowd" for who, _ in new_links):
        name = study.enrolment.person[0]
        print(
            "add the parameter that names a person to the crowd's link, on Prolific "
            f"?{name}={{{{%{name}%}}}} (docs/rating_screen.md, Crowds)",
            file=sys.stderr,
        )
    return SUCCESS


def _insert_links(
    connection: sqlite3.Connection, renew: list[str], crowd: bool, url: str
) -> list[tuple[str, str]]:
    """Store and return links for those in ``renew``, or if it is empty for all without one.

    In a study with a crowd link, raters get a personal link only by ``renew``: the others are
    places for the crowd.
    """
    from sfqa.ratings.screen import links

    needs_organiser = "organiser" in renew or (not renew and not links.has_organiser(connection))
    has_crowd = links.has_crowd_link(connection)
    needs_crowd = "crowd" in renew or (crowd and not renew and not has_crowd)
    if renew:
        names = [name for name in renew if name not in ("organiser", "crowd")]
    else:
        names = [] if crowd or has_crowd else links.list_unlinked_raters(connection)
    new_links = []
    connection.execute("BEGIN IMMEDIATE")
    try:
        if needs_organiser:
            new_links.append(("organiser", f"{url}/o/{links.create_organiser_link(connection)}"))
        if needs_crowd:
            new_links.append(("crowd", f"{url}/e/{links.create_crowd_link(connection)}"))
        for rater in names:
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
    from sfqa.ratings.screen.raters import read_expected_answers
    from sfqa.ratings.screen.server import DATABASE
    from sfqa.ratings.screen.study import read_study

    path, settings = args.folder / DATABASE, args.folder / "study.yaml"
    if not path.is_file():
        raise UserError(f"{path}: no such file; this study has no ratings yet")
    folder = args.out or args.folder
    study = read_study(settings) if settings.is_file() else None
    expected = read_expected_answers(args.folder)
    connection = open_database(path)
    try:
        counts = export.export_tables(connection, folder, study, expected, args.finished)
    finally:
        connection.close()
    names = [t.file_name for t in (tables.SCORES, tables.SCORE_DETAILS, tables.STUDY_RATERS)]
    scores, details, raters = (f"{counts[name]} {text} {folder / name}" for name, text in zip(
        names, ("scores in", "with their details in", "raters in"), strict=True
    ))  # fmt: skip
    print(f"{scores}, all {details}, {raters}; each also as .csv")
    return SUCCESS


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
