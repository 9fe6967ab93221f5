"""Enrolment by one link: people from a crowd take the places of the plan, drop-outs are replaced.

A *place* is a rater of the plan without a personal link. The first person who takes a place gets
its name; a person who takes it over from a drop-out gets a new name, such as ``r005-2``, and copies
of its presentations, so that nobody's ratings are mixed.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from sfqa.ratings.screen import links
from sfqa.ratings.screen.database import add_event
from sfqa.ratings.screen.request_checks import RefusedError
from sfqa.ratings.screen.study_options import Enrolment

#: Places that nobody has: planned, without a link, without an answer.
_UNUSED = """
SELECT r.rater FROM raters r
WHERE r.token_sha256 IS NULL AND r.rater NOT IN (SELECT rater FROM enrolments)
  AND EXISTS (SELECT 1 FROM presentations p WHERE p.rater = r.rater)
  AND NOT EXISTS (SELECT 1 FROM presentations p JOIN answers a ON a.presentation = p.id
                  WHERE p.rater = r.rater)
ORDER BY r.rater
"""

#: People who hold a place and have not finished, with the time of their last action, and whether
#: every session that they began is finished.
_UNFINISHED = """
SELECT e.rater, e.place,
  max(e.at, coalesce(r.consented_at, 0),
      coalesce((SELECT max(c.at) FROM checks c WHERE c.rater = e.rater), 0),
      coalesce((SELECT max(s.at) FROM sessions s WHERE s.rater = e.rater), 0),
      coalesce((SELECT max(a.at) FROM presentations p JOIN answers a ON a.presentation = p.id
                WHERE p.rater = e.rater), 0)),
  EXISTS (SELECT 1 FROM sessions s WHERE s.rater = e.rater) AND NOT EXISTS (
      SELECT 1 FROM presentations p JOIN sessions s USING (rater, session)
      LEFT JOIN answers a ON a.presentation = p.id
      WHERE p.rater = e.rater AND a.presentation IS NULL)
FROM enrolments e JOIN raters r USING (rater)
WHERE e.replaced_at IS NULL AND EXISTS (
    SELECT 1 FROM presentations p LEFT JOIN answers a ON a.presentation = p.id
    WHERE p.rater = e.rater AND a.presentation IS NULL)
ORDER BY 3, e.rater
"""


@dataclass(frozen=True)
class Holder:
    """A person who holds a place: name, place of the plan, and seconds since the last action."""

    rater: str
    place: str
    idle_sec: float
    is_overdue: bool


def list_unused_places(connection: sqlite3.Connection) -> list[str]:
    """Return the places that nobody has taken yet, in the order of their names."""
    return [row[0] for row in connection.execute(_UNUSED)]


def list_holders(
    connection: sqlite3.Connection,
    rules: Enrolment,
    now: float,
    open_since: float,
    seen: Mapping[str, float],
) -> list[Holder]:
    """Return the people who hold a place and have not finished, the longest idle first.

    ``open_since``: since when the study could be used; the time before does not count as idle.
    ``seen``: time of the last request of each rater since the server was started.
    """
    holders = []
    for rater, place_name, last_at, is_between in connection.execute(_UNFINISHED):
        # A time in the future was stored before the clock was set back; it states nothing.
        idle_sec = now - max(last_at if last_at <= now else 0.0, open_since, seen.get(rater, 0.0))
        limit = rules.return_seconds if is_between else rules.drop_out_seconds
        holders.append(Holder(rater, place_name, idle_sec, idle_sec > limit))
    return sorted(holders, key=lambda holder: (-holder.idle_sec, holder.rater))


def enrol_person(
    connection: sqlite3.Connection,
    person: str,
    ids: Mapping[str, str],
    rules: Enrolment,
    now: float,
    open_since: float,
    seen: Mapping[str, float],
) -> tuple[str, str]:
    """Give a person a place and return the rater's name and the token of a new link.

    A person who has a place already gets a new link to it, and the old link stops working. Unused
    places are taken first, then the place of the person who has been idle for longest, if longer
    than ``rules`` allow. Raises :class:`RefusedError` (409) if no place is free, and for a person
    whose place was given to someone else.
    """
    row = connection.execute(
        "SELECT rater, replaced_at FROM enrolments WHERE person = ?", (person,)
    ).fetchone()
    if row is not None:
        if row[1] is not None:
            raise RefusedError(409, "replaced", "the place was given to someone else")
        return row[0], links.create_rater_link(connection, row[0])
    unused = list_unused_places(connection)
    if unused:
        rater = place_name = unused[0]
    else:
        overdue = [
            h for h in list_holders(connection, rules, now, open_since, seen) if h.is_overdue
        ]
        if not overdue:
            raise RefusedError(409, "full", "no place is free")
        place_name = overdue[0].place
        rater = replace_holder(connection, overdue[0], now)
    connection.execute(
        "INSERT INTO enrolments VALUES (?, ?, ?, ?, ?, NULL)",
        (rater, place_name, person, json.dumps(dict(ids), sort_keys=True), now),
    )
    add_event(connection, now, rater, "enrolled", place_name)
    return rater, links.create_rater_link(connection, rater)


def replace_holder(connection: sqlite3.Connection, holder: Holder, now: float) -> str:
    """Mark the holder of a place as dropped out, and return the name of a rater for the place.

    The new rater gets copies of all presentations; the ratings of the drop-out stay as they are.
    """
    connection.execute("UPDATE enrolments SET replaced_at = ? WHERE rater = ?", (now, holder.rater))
    add_event(connection, now, holder.rater, "dropped_out", holder.place)
    names = {row[0] for row in connection.execute("SELECT rater FROM raters")}
    number = 2
    while f"{holder.place}-{number}" in names:
        number += 1
    rater = f"{holder.place}-{number}"
    connection.execute("INSERT INTO raters (rater) VALUES (?)", (rater,))
    rows = connection.execute(
        "SELECT session, position, sample_id, role, block, seconds FROM presentations "
        "WHERE rater = ?",
        (holder.rater,),
    ).fetchall()
    connection.executemany(
        "INSERT INTO presentations VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [(secrets.token_urlsafe(16), rater, *row) for row in rows],
    )
    return rater
