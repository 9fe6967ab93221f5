"""Secret links: one per rater and one for the organiser; only their sha256 is stored."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
from collections import deque
from collections.abc import Mapping

from sfqa.errors import UserError, hint
from sfqa.ratings.screen.store import set_setting, setting

ORGANISER = "organiser_sha256"

#: 32 bytes of randomness are 43 letters.
_TOKEN_LETTERS = 43


def new_token() -> str:
    """Return a fresh secret of 256 bits, fit for an address.

    >>> len(new_token())
    43
    """
    return secrets.token_urlsafe(32)


def hashed(token: str) -> str:
    """Return what is stored of a token: its sha256. A random token needs no salt."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def owner(token: str, known: Mapping[str, str]) -> str | None:
    """Return whose token this is, ``known`` being {sha256: owner}; None for nobody's.

    Every stored hash is compared, in constant time each, so that time tells nothing.

    >>> owner("secret", {hashed("secret"): "r001"}), owner("guess", {hashed("secret"): "r001"})
    ('r001', None)
    """
    given, found = hashed(token), None
    for stored, name in known.items():
        if hmac.compare_digest(stored, given):
            found = name
    return found if len(token) <= 2 * _TOKEN_LETTERS else None


def give_rater_link(connection: sqlite3.Connection, rater: str) -> str:
    """Make a rater's link anew and return its token; an older one stops working.

    Raises :class:`UserError` for a rater that the plan does not have.
    """
    token = new_token()
    changed = connection.execute(
        "UPDATE raters SET token_sha256 = ? WHERE rater = ?", (hashed(token), rater)
    )
    if not changed.rowcount:
        names = [row[0] for row in connection.execute("SELECT rater FROM raters")]
        raise UserError(f"no rater {rater!r} in the plan; {hint(rater, names)}")
    return token


def give_organiser_link(connection: sqlite3.Connection) -> str:
    """Make the organiser's link anew and return its token; an older one stops working."""
    token = new_token()
    set_setting(connection, ORGANISER, hashed(token))
    return token


def without_link(connection: sqlite3.Connection) -> list[str]:
    """Return the raters of the plan that have no link yet."""
    rows = connection.execute(
        "SELECT DISTINCT rater FROM raters JOIN presentations USING (rater) "
        "WHERE token_sha256 IS NULL ORDER BY rater"
    )
    return [row[0] for row in rows]


def has_organiser(connection: sqlite3.Connection) -> bool:
    """Return whether there is an organiser's link."""
    return setting(connection, ORGANISER) is not None


class Guesses:
    """Counts links that do not exist, per address: after ``most`` in ``seconds`` it is enough.

    Only wrong links are ever held up: raters behind the same address go on working.

    >>> guesses = Guesses(most=2, seconds=60)
    >>> [guesses.too_many("1.2.3.4", at) for at in (0, 1, 2, 63)]
    [False, False, True, False]
    """

    def __init__(self, most: int = 20, seconds: float = 60.0, addresses: int = 10000) -> None:
        self._most, self._seconds, self._addresses = most, seconds, addresses
        self._at: dict[str, deque[float]] = {}

    def too_many(self, address: str, now: float) -> bool:
        """Count one wrong link and return whether there were too many."""
        if address not in self._at and len(self._at) >= self._addresses:
            self._at.pop(next(iter(self._at)))
        times = self._at.setdefault(address, deque(maxlen=self._most + 1))
        while times and times[0] <= now - self._seconds:
            times.popleft()
        times.append(now)
        return len(times) > self._most
