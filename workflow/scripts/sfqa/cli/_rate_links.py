"""``sfqa rate links``: create the secret links of raters, of the organiser and of a crowd."""

from __future__ import annotations

import argparse
import os
import sqlite3
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from sfqa.cli import SUCCESS
from sfqa.cli._rate_settings import PORT, check_url, choose_port, print_message
from sfqa.csv_text import write_rows
from sfqa.errors import UserError, explain_unwritable, explain_write_errors
from sfqa.private_files import PRIVATE_MODE

#: Who has a link, and the link.
Link = tuple[str, str]


def create_links(args: argparse.Namespace) -> int:
    """Create the missing links, or those to renew, and write them once.

    The database changes only after the links are on the disk, or were printed: only their hashes
    are stored, so links that are lost cannot be written again.
    """
    from sfqa import tables
    from sfqa.ratings.screen.database import open_database, set_setting, sync_plan
    from sfqa.ratings.screen.database_errors import explain_database_errors
    from sfqa.ratings.screen.origins import add_url
    from sfqa.ratings.screen.server import DATABASE
    from sfqa.ratings.screen.study import read_study
    from sfqa.ratings.screen.study_tables import read_media, read_plan

    study, plan = (
        read_study(args.folder / "study.yaml"),
        read_plan(args.folder / tables.PLAN.file_name),
    )
    read_media(args.folder, {row.sample_id for row in plan})
    port = choose_port(args.folder, args.port)
    url = check_url(args.url or f"http://127.0.0.1:{port}")
    _warn_about_readers(args.out)
    path = args.folder / DATABASE
    with _open_out(args.out) as file, explain_database_errors(path):
        connection = open_database(path)
        try:
            added, removed = sync_plan(connection, plan)
            if added or removed:
                print_message(f"plan: {added} presentations added, {removed} removed")
            connection.execute("BEGIN IMMEDIATE")
            new_links = _insert_links(connection, args.renew, args.crowd, url)
            if args.port or not args.url:
                set_setting(connection, PORT, str(port))
            if args.url:
                add_url(connection, url)
            _write_links(new_links, file, args.out)
            connection.execute("COMMIT")
        finally:
            connection.close()  # without a COMMIT nothing has changed
    if not new_links:
        print_message("every rater has a link; --renew RATER replaces one")
        return SUCCESS
    if args.out:
        print_message(
            f"{len(new_links)} links in {args.out}; they are shown only once, keep the file"
        )
    print_message(f"{len(study.dimensions)} dimensions: {', '.join(study.dimensions)}")
    if any(who == "crowd" for who, _ in new_links):
        name = study.enrolment.person[0]
        print_message(
            "add the parameter that names a person to the crowd's link, on Prolific "
            f"?{name}={{{{%{name}%}}}} (docs/rating_screen.md, Crowds)"
        )
    return SUCCESS


@contextmanager
def _open_out(out: Path | None) -> Iterator[TextIO]:
    """Open the new file of the links, readable by this user only, or the standard output.

    The file is deleted again if the block fails, and if nothing was written to it.
    """
    if out is None:
        yield sys.stdout
        return
    if out.exists() or out.is_symlink():
        raise UserError(f"{out}: exists already; give a new file, or move this one")
    if not out.absolute().parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.absolute().parent}; create it first")
    if problem := explain_unwritable(out.absolute().parent):
        raise problem
    with explain_write_errors(out):
        handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE_MODE)
    try:
        with open(handle, "w", newline="", encoding="utf-8") as file:
            yield file
        is_empty = out.stat().st_size == 0
    except BaseException:
        out.unlink(missing_ok=True)
        raise
    if is_empty:
        out.unlink()


def _write_links(new_links: list[Link], file: TextIO, out: Path | None) -> None:
    """Write the links and wait until they are on the disk, or were taken by the reader."""
    if not new_links:
        return
    try:
        if out is not None:
            write_rows(file, ("who", "link"), new_links)
        else:
            file.writelines(f"{who}\t{link}\n" for who, link in new_links)
        file.flush()
        if _is_regular(file):
            os.fsync(file.fileno())
    except OSError as error:
        raise UserError(
            f"{out or 'the standard output'}: the links could not be written ({error.strerror}), "
            "so none is stored and none of them works; run the command again with --out FILE"
        ) from error


def _is_regular(file: TextIO) -> bool:
    """Return whether a stream is a file on a disk, not a terminal or a pipe."""
    try:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except (OSError, ValueError):
        return False


def _warn_about_readers(out: Path | None) -> None:
    """Say so if the links are printed into a file that other users may read."""
    with suppress(OSError, ValueError):
        mode = os.fstat(sys.stdout.fileno()).st_mode
        if out is None and stat.S_ISREG(mode) and mode & 0o077:
            print_message(
                "the links are secret, and other users may read the file that they are printed "
                "to; --out FILE writes a file that only you may read"
            )


def _insert_links(
    connection: sqlite3.Connection, renew: list[str], crowd: bool, url: str
) -> list[Link]:
    """Create and return links for those in ``renew``, or if it is empty for all without one.

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
    if needs_organiser:
        new_links.append(("organiser", f"{url}/o/{links.create_organiser_link(connection)}"))
    if needs_crowd:
        new_links.append(("crowd", f"{url}/e/{links.create_crowd_link(connection)}"))
    for rater in names:
        new_links.append((rater, f"{url}/r/{links.create_rater_link(connection, rater)}"))
    return new_links
