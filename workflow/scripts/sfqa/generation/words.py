"""The nearest right word, for messages about wrong ones."""

from __future__ import annotations

from collections.abc import Iterable

from sfqa.errors import hint


def suggest(word: object, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown word: the nearest known one, else all.

    >>> suggest("procedurl", ["procedural", "command"])
    "did you mean 'procedural'?"
    >>> suggest("x", ["procedural", "command"])
    'the known ones are command, procedural'
    """
    return hint(word, sorted(known), "the known ones are")
