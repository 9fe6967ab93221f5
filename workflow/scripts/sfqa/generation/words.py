"""The nearest right word, for messages about wrong ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggest(word: object, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown word: the nearest known one, else all.

    >>> suggest("procedurl", ["procedural", "command"])
    "did you mean 'procedural'?"
    >>> suggest("x", ["procedural", "command"])
    'the known ones are command, procedural'
    """
    words = sorted(known)
    near = difflib.get_close_matches(str(word), words, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"the known ones are {', '.join(words) or 'none'}"
