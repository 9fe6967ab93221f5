"""Secret links of raters, of the organiser and of a crowd; only their sha256 is stored."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
from collections import deque
from collections.abc import Mapping

from sfqa.errors import UserError, hint
from sfqa.ratings.screen.database import get_setting, set_setting

ORGANISER, CROWD = "organiser_sha256", "crowd_sha256"

#: 32 random bytes are 43 characters.
_TOKEN_LENGTH = 43


def make_token() -> str:
    """Return a new random secret of 256 bits that is safe in a URL.

    >>> len(make_token())
    43
    """
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """Return the sha256 of a token, which is stored instead of it. A random token needs no salt."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def find_owner(token: str, owners: Mapping[str, str]) -> str | None:
    """Return the owner of a token, None if there is none. ``owners`` maps sha256 to owner.

    Every stored hash is compared in constant time, so that the duration reveals nothing.

    >>> owners = {hash_token("secret"): "r001"}
    >>> find_owner("secret", owners), find_owner("guess", owners)
    ('r001', None)
    """
    token_hash, owner = hash_token(token), None
    for stored_hash, name in owners.items():
        if hmac.compare_digest(stored_hash, token_hash):
            owner = name
    return owner if len(token) <= 2 * _TOKEN_LENGTH else None


def create_rater_link(connection: sqlite3.Connection, rater: str) -> str:
    """Create a rater's link and return its token; an older link stops working.

    Raises :class:`UserError` for a rater that is not in the plan.
    """
    token = make_token()
    changed = connection.execute(
        "UPDATE raters SET token_sha256 = ? WHERE rater = ?", (hash_token(token), rater)
    )
    if not changed.rowcount:
        names = [row[0] for row in connection.execute("SELECT rater FROM raters")]
        raise UserError(f"no rater {rater!r} in the plan; {hint(rater, names)}")
    return token


def create_organiser_link(connection: sqlite3.Connection) -> str:
    """Create the organiser's link and return its token; an older link stops working."""
    token = make_token()
    set_setting(connection, ORGANISER, hash_token(token))
    return token


def create_crowd_link(connection: sqlite3.Connection) -> str:
    """Create the link by which a crowd takes places; an older link stops working."""
    token = make_token()
    set_setting(connection, CROWD, hash_token(token))
    return token


def list_unlinked_raters(connection: sqlite3.Connection) -> list[str]:
    """Return the raters of the plan that have no link yet."""
    rows = connection.execute(
        "SELECT DISTINCT rater FROM raters JOIN presentations USING (rater) "
        "WHERE token_sha256 IS NULL ORDER BY rater"
    )
    return [row[0] for row in rows]


def has_organiser(connection: sqlite3.Connection) -> bool:
    """Return whether there is an organiser's link."""
    return get_setting(connection, ORGANISER) is not None


def has_crowd_link(connection: sqlite3.Connection) -> bool:
    """Return whether there is a link by which a crowd takes places."""
    return get_setting(connection, CROWD) is not None


class GuessLimiter:
    """Counts requests with unknown links per address, and limits them to ``limit`` in ``seconds``.

    Only unknown links are limited: raters behind the same address are not affected.

    >>> guesses = GuessLimiter(limit=2, seconds=60)
    >>> [guesses.is_over_limit("1.2.3.4", at) for at in (0, 1, 2, 63)]
    [False, False, True, False]
    """

    def __init__(self, limit: int = 20, seconds: float = 60.0, addresses: int = 10000) -> None:
        self._limit, self._seconds, self._addresses = limit, seconds, addresses
        self._times: dict[str, deque[float]] = {}

    def is_over_limit(self, address: str, now: float) -> bool:
        """Count one unknown link and return whether there were too many."""
        if address not in self._times and len(self._times) >= self._addresses:
            self._times.pop(next(iter(self._times)))
        times = self._times.setdefault(address, deque(maxlen=self._limit + 1))
        # A time in the future was stored before the clock was set back.
        while times and not now - self._seconds < times[0] <= now:
            times.popleft()
        times.append(now)
        return len(times) > self._limit
