"""``sfqa rate``: serve a rating study in the browser, create secret links, export the scores."""

from __future__ import annotations

import argparse
from pathlib import Path

from sfqa.cli import SUCCESS
from sfqa.cli._rate_settings import DEFAULT_PORT
from sfqa.errors import UserError, hint
from sfqa.private_files import private_umask

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
        f"({DEFAULT_PORT})",
    )  # fmt: skip
    add("--tls-cert", type=Path, metavar="FILE", help="serve: certificate (PEM) for HTTPS")
    add("--tls-key", type=Path, metavar="FILE", help="serve: private key of the certificate (PEM)")
    add(
        "--url", metavar="URL",
        help="links and serve: the server's URL as raters see it; it is kept in the study, and the "
        "server refuses changes by pages from elsewhere",
    )  # fmt: skip
    add(
        "--proxy", action="append", default=[], metavar="ADDRESS",
        help="serve: address or network of a reverse proxy, such as 127.0.0.1, whose word on the "
        "addresses of raters is believed; repeat it for several",
    )  # fmt: skip
    add(
        "--media", type=Path, action="append", default=[], metavar="FOLDER",
        help="serve: a folder of videos outside of the study and its project; may be repeated",
    )  # fmt: skip
    add(
        "--connections-per-address", type=int, default=200, metavar="N",
        help="serve: most connections that one address may have open, proxies excepted (200)",
    )  # fmt: skip
    add(
        "--head-timeout", type=float, default=20.0, metavar="SECONDS",
        help="serve: a connection that has sent no complete request by then is closed (20)",
    )  # fmt: skip
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
    if args.action == "export":
        return _export(args)
    with private_umask():  # links and ratings are for the organiser only
        if args.action == "links":
            from sfqa.cli._rate_links import create_links

            return create_links(args)
        from sfqa.cli._rate_server import serve

        return serve(args)


def _export(args: argparse.Namespace) -> int:
    from sfqa import tables
    from sfqa.ratings.screen import export
    from sfqa.ratings.screen.database_errors import explain_database_errors
    from sfqa.ratings.screen.database_reading import read_database
    from sfqa.ratings.screen.raters import read_expected_answers
    from sfqa.ratings.screen.server import DATABASE
    from sfqa.ratings.screen.study import read_study

    path, settings = args.folder / DATABASE, args.folder / "study.yaml"
    if not path.is_file():
        raise UserError(f"{path}: no such file; this study has no ratings yet")
    folder = args.out or args.folder
    study = read_study(settings) if settings.is_file() else None
    expected = read_expected_answers(args.folder)
    connection = read_database(path)
    try:
        with explain_database_errors(path), private_umask():
            counts = export.export_tables(connection, folder, study, expected, args.finished)
    finally:
        connection.close()
    names = [t.file_name for t in (tables.SCORES, tables.SCORE_DETAILS, tables.STUDY_RATERS)]
    scores, details, raters = (f"{counts[name]} {text} {folder / name}" for name, text in zip(
        names, ("scores in", "with their details in", "raters in"), strict=True
    ))  # fmt: skip
    print(f"{scores}, all {details}, {raters}; each also as .csv")
    return SUCCESS
