"""The one exception that users see as a sentence, and the hint that many sentences end with."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Raised for anything that the user can mend: what is wrong, where, and what to do instead.

    >>> raise UserError("config/a.csv, row 3: no image file 'x.png'; add it or delete the row")
    Traceback (most recent call last):
    ...
    sfqa.errors.UserError: config/a.csv, row 3: no image file 'x.png'; add it or delete the row
    """


def hint(word: object, known: Iterable[str], lead: str = "there are", cutoff: float = 0.6) -> str:
    """Return the end of a sentence about an unknown word: the nearest known one, else all.

    >>> hint("procedurl", ["procedural", "command"])
    "did you mean 'procedural'?"
    >>> hint("x", ["procedural", "command"], lead="it has")
    'it has procedural, command'
    """
    words = list(known)
    near = get_close_matches(str(word), words, 1, cutoff)
    return f"did you mean {near[0]!r}?" if near else f"{lead} {', '.join(words) or 'none'}"
