"""What a page may send: every field checked for name, type and range before anything is stored."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any, NoReturn

from sfqa.ratings.screen.study import Scale, Study
from sfqa.tables import MEASURED

Json = dict[str, Any]

MAX_BODY = 16 * 1024
MAX_COMMENT, MAX_PROFILE = 500, 200
#: What HTML reads as a tag, a comment or a processing instruction. "<3" and "a < b" are texts.
_MARKUP = re.compile(r"<[A-Za-z/!?]")


class RefusedError(Exception):
    """A request that is not carried out: the HTTP status, a word for programs, a sentence."""

    def __init__(self, status: int, word: str, sentence: str, **more: Any) -> None:
        super().__init__(sentence)
        self.status, self.word, self.sentence, self.more = status, word, sentence, more


def parse(body: bytes) -> Json:
    """Return the JSON object of a body; raises :class:`RefusedError` (400) for anything else.

    >>> parse(b'{"a": 1}')
    {'a': 1}
    """
    try:
        value = json.loads(body, parse_constant=_no_constant, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, "not_json", "the body is not JSON") from error
    if not isinstance(value, dict):
        raise RefusedError(422, "wrong_type", "the body is not a JSON object")
    return value


def _no_constant(word: str) -> NoReturn:
    raise ValueError(word)


def _once(pairs: list[tuple[str, Any]]) -> Json:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key is there twice")
    return made


def only(body: Mapping[str, Any], *names: str) -> None:
    """Raise :class:`RefusedError` for a field that is none of the names."""
    for name in body:
        if name not in names:
            raise RefusedError(422, "unknown_field", f"there is no field {name[:40]!r}")


def scores(given: Any, dimensions: tuple[str, ...], scale: Scale) -> dict[str, float]:
    """Return one score per dimension; raises :class:`RefusedError` (422) for anything else.

    >>> scores({"quality": 3}, ("quality",), Scale(1, 5, 1))
    {'quality': 3.0}
    """
    if not isinstance(given, dict):
        raise RefusedError(422, "wrong_type", "scores is not an object")
    for name in given:
        if name not in dimensions:
            raise RefusedError(422, "unknown_dimension", f"there is no dimension {name[:40]!r}")
    made = {}
    for name in dimensions:
        if name not in given:
            raise RefusedError(422, "missing_dimension", f"there is no score for {name!r}")
        value = given[name]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise RefusedError(422, "wrong_type", f"the score for {name!r} is not a number")
        # A whole number of any length is legal JSON, and too large for a float.
        if not scale.low <= value <= scale.high or not scale.holds(float(value)):
            raise RefusedError(
                422, "out_of_range",
                f"the score for {name!r} is not on the scale of {scale.low:g} to {scale.high:g} "
                f"by {scale.step:g}",
            )  # fmt: skip
        steps = round((value - scale.low) / scale.step)
        made[name] = round(float(scale.low + steps * scale.step), 9)
    return made


def details(given: Any) -> Json:
    """Return what the browser measured, None where it did not; raises :class:`RefusedError` (422).

    >>> details({"plays": 1})["plays"], details({})["stalls"]
    (1, None)
    """
    if not isinstance(given, dict):
        raise RefusedError(422, "wrong_type", "details is not an object")
    only(given, *(name for name, *_ in MEASURED))
    made: Json = {}
    for name, _, _, low, high, whole in MEASURED:
        value = given.get(name)
        if value is None:
            made[name] = None
            continue
        fits = isinstance(value, int) if whole else isinstance(value, (int, float))
        if isinstance(value, bool) or not fits:
            raise RefusedError(
                422, "wrong_type", f"the detail {name!r} is not a number of its kind"
            )
        if not low <= value <= high or not math.isfinite(value):
            raise RefusedError(422, "out_of_range", f"the detail {name!r} is out of range")
        made[name] = value
    return made


def text(given: Any, name: str, most: int) -> str | None:
    """Return a text as it is stored, without spaces around it; None for an empty one.

    Raises :class:`RefusedError` (422) for other types, for more than ``most`` characters, for
    control characters and for markup: whoever opens the exported table shall run no script.

    >>> text(" lips < sound <3 ", "comment", 40)
    'lips < sound <3'
    """
    if given is None:
        return None
    if not isinstance(given, str):
        raise RefusedError(422, "wrong_type", f"{name} is not a text")
    if len(given) > most:
        raise RefusedError(422, "too_long", f"{name} has more than {most} characters")
    for letter in given:
        if letter not in "\n\t" and unicodedata.category(letter) in ("Cc", "Cs"):
            raise RefusedError(422, "wrong_text", f"{name} holds a control character")
    if _MARKUP.search(given):
        raise RefusedError(422, "markup", f"{name} holds markup")
    return given.strip() or None


def profile(given: Any, study: Study) -> dict[str, str]:
    """Return the answers to the study's questions about the rater, those that were given."""
    if not isinstance(given, dict):
        raise RefusedError(422, "wrong_type", "profile is not an object")
    only(given, *study.profile)
    made = {}
    for name, choices in study.profile.items():
        value = given.get(name)
        if choices is not None and value not in (None, ""):
            if not isinstance(value, str) or value not in choices:
                raise RefusedError(422, "unknown_choice", f"{name!r} has no such choice")
            made[name] = value
            continue
        written = text(value, name, MAX_PROFILE)
        if written:
            made[name] = written
    return made


def one_of(given: Any, name: str, choices: tuple[str, ...]) -> str:
    """Return a value that is one of the choices; raises :class:`RefusedError` (422) for others."""
    if not isinstance(given, str) or given not in choices:
        raise RefusedError(422, "unknown_choice", f"{name} is none of {', '.join(choices)}")
    return given
