"""``sfqa rate serve``: check the options, open the socket, and run the server of a study."""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import socket
import sqlite3
import ssl
from functools import partial
from pathlib import Path
from typing import Any, cast

from sfqa.cli import SUCCESS
from sfqa.cli._rate_settings import PORT, check_url, choose_port, print_message
from sfqa.errors import UserError

#: Connections that the system keeps until the server accepts them.
_QUEUE = 1024


def serve(args: argparse.Namespace) -> int:
    """Serve a study until Ctrl-C."""
    import uvicorn

    from sfqa.ratings.screen.app import create_app
    from sfqa.ratings.screen.connections import (
        ACCEPTED_AT_ONCE,
        Connections,
        FirstProtocol,
        raise_file_limit,
    )
    from sfqa.ratings.screen.database import lock_study
    from sfqa.ratings.screen.database_errors import explain_database_errors
    from sfqa.ratings.screen.server import DATABASE
    from sfqa.ratings.screen.study_log import start_log

    context = _load_certificate(args.tls_cert, args.tls_key)
    proxies = _parse_proxies(args.proxy)
    limits = _check_limits(args, raise_file_limit())
    port = choose_port(args.folder, args.port)
    _warn_about_writers(args.folder)
    with lock_study(args.folder), _open_socket(args.host, port) as listener:
        with explain_database_errors(args.folder / DATABASE):
            app = create_app(args.folder, media_folders=args.media)
            app.server.has_named_proxy = bool(proxies)
            app.server.origins = _choose_origins(args, app.server.reader)
        start_log(args.folder / "study.log")
        state = app.server.state
        host = f"[{args.host}]" if ":" in args.host else args.host
        port = listener.getsockname()[1]
        print_message(
            f"{args.folder}: {sum(bool(r.order) for r in state.raters.values())} raters, "
            f"{len(state.presentations)} presentations, {len(state.scores)} answered; serving at "
            f"http{'s' if context else ''}://{host}:{port} until Ctrl-C"
        )
        with explain_database_errors(args.folder / DATABASE):
            _print_missing_links(args.folder, app.server.reader, port)
        if not context and not _is_loopback(args.host):
            print_message(
                f"listening on {args.host} without encryption: anyone who can read the network "
                "can read the links; give --tls-cert and --tls-key, or put a reverse proxy with "
                "HTTPS in front (docs/rating_screen.md)"
            )
        # The protocol has the certificate, because uvicorn would not count handshakes.
        protocol = partial(FirstProtocol, Connections(limits, proxies), context)
        # No access log: it would contain every secret link.
        config = uvicorn.Config(
            app, access_log=False, log_config=None, log_level="warning", server_header=False,
            timeout_keep_alive=75, h11_max_incomplete_event_size=16384,
            timeout_graceful_shutdown=5, lifespan="on", ws="none", backlog=ACCEPTED_AT_ONCE,
            # Set explicitly, so that the same limits apply if uvloop or httptools are installed.
            http=cast(Any, protocol), loop="asyncio",
            proxy_headers=bool(proxies), forwarded_allow_ips=[str(n) for n in proxies],
        )  # fmt: skip
        with contextlib.suppress(KeyboardInterrupt):
            _make_server(config).run(sockets=[listener])
    return SUCCESS


def _make_server(config: Any) -> Any:
    import uvicorn

    class StudyServer(uvicorn.Server):
        """Accepts few connections at once, and lets many wait."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            """Start, and set the length of the queue, which asyncio uses for both numbers."""
            await super().startup(sockets)
            for listener in sockets or ():
                listener.listen(_QUEUE)

    return StudyServer(config)


def _load_certificate(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Return the settings of TLS, None without a certificate.

    Raises :class:`UserError` for files that do not fit.
    """
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise UserError("--tls-cert and --tls-key: give both, the certificate and its private key")
    for option, path in (("--tls-cert", certificate), ("--tls-key", key)):
        if not path.is_file():
            raise UserError(f"{option} {path}: no such file; give a PEM file")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError) as error:
        raise UserError(
            f"--tls-cert {certificate}, --tls-key {key}: not a certificate with its private key in "
            f"PEM format ({error}); correct the files"
        ) from error
    return context


def _parse_proxies(texts: list[str]) -> tuple[Any, ...]:
    from sfqa.ratings.screen.connections import parse_networks

    try:
        return parse_networks(texts)
    except ValueError as error:
        raise UserError(
            f"--proxy {', '.join(texts)}: not an address or a network ({error}); give one such as "
            "127.0.0.1 or 10.0.0.0/8"
        ) from error


def _check_limits(args: argparse.Namespace, total: int) -> Any:
    from sfqa.ratings.screen.connections import Limits

    if args.connections_per_address < 1:
        raise UserError("--connections-per-address: give a whole number above 0")
    if not args.head_timeout > 0:
        raise UserError("--head-timeout: give a number of seconds above 0")
    return Limits(head_sec=args.head_timeout, per_address=args.connections_per_address, total=total)


def _warn_about_writers(folder: Path) -> None:
    """Say so if other users may replace the files of the study."""
    mode = folder.stat().st_mode
    if mode & 0o022:
        print_message(
            f"{folder}: other users may write to this folder (mode {mode & 0o7777:04o}) and so "
            f"replace the study's files; chmod go-w {folder} forbids it"
        )


def _choose_origins(args: argparse.Namespace, connection: sqlite3.Connection) -> Any:
    """Return which addresses the server answers for: those of the links, and this machine's.

    If the study's address is not known, a server that listens for other machines answers for every
    name.
    """
    from sfqa.ratings.screen.origins import Origins, add_url, read_urls

    if args.url:
        add_url(connection, check_url(args.url))
    urls = read_urls(connection)
    if not urls and not _is_loopback(args.host):
        return Origins()
    if not urls and args.proxy:
        raise UserError(
            "--proxy: the address of the study is not known; give it by --url, such as "
            "--url https://study.example.org"
        )
    return Origins(urls, any_host=False)


def _print_missing_links(folder: Path, connection: sqlite3.Connection, port: int) -> None:
    """Print who has no link yet, and whether links were created for another port; keep the port."""
    from sfqa.ratings.screen import links
    from sfqa.ratings.screen.database import get_setting, set_setting

    has_crowd = links.has_crowd_link(connection)
    unlinked = [] if has_crowd else links.list_unlinked_raters(connection)
    if unlinked or not links.has_organiser(connection):
        print_message(
            f"{len(unlinked)} raters have no link yet; create them with: sfqa rate links {folder}"
        )
    previous_port = get_setting(connection, PORT)
    if previous_port not in (None, str(port)) and (has_crowd or links.has_organiser(connection)):
        print_message(
            f"this port is {port}, but the study used {previous_port} before: links that were "
            f"printed for that port need another port in their address"
        )
    set_setting(connection, PORT, str(port))


def _open_socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_QUEUE)
        # Accepted connections inherit it: head and body of an answer are sent apart, and the second
        # must not wait for the client's acknowledgement of the first, some 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        raise UserError(
            f"cannot listen on {host}, port {port} ({error.strerror}); give another --port"
        ) from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
