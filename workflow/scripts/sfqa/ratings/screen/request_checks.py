"""Checks of what a page sends: every field's name, type and range, before anything is stored."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any, NoReturn

from sfqa.ratings.screen.study import Scale, Study
from sfqa.ratings.screen.study_options import CHECKS
from sfqa.tables import MEASURED, SCREEN_MEASURED

Json = dict[str, Any]

MAX_BODY = 16 * 1024
MAX_COMMENT, MAX_PROFILE, MAX_ID, MAX_TASK = 500, 200, 200, 20
#: The start of an HTML tag, comment or processing instruction; "<3" and "a < b" are allowed.
_MARKUP = re.compile(r"<[A-Za-z/!?]")


class RefusedError(Exception):
    """A request that is refused: HTTP status, an error word for programs, and a sentence."""

    def __init__(self, status: int, word: str, sentence: str, **more: Any) -> None:
        super().__init__(sentence)
        self.status, self.word, self.sentence, self.more = status, word, sentence, more


def parse_body(body: bytes) -> Json:
    """Return the JSON object of a body; raises :class:`RefusedError` (400) for anything else.

    >>> parse_body(b'{"a": 1}')
    {'a': 1}
    """
    try:
        value = json.loads(body, parse_constant=_reject_constant, object_pairs_hook=_build_object)
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, "not_json", "the body is not JSON") from error
    if not isinstance(value, dict):
        raise RefusedError(422, "wrong_type", "the body is not a JSON object")
    return value


def _reject_constant(word: str) -> NoReturn:
    raise ValueError(word)


def _build_object(pairs: list[tuple[str, Any]]) -> Json:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key is repeated")
    return result


def check_fields(body: Mapping[str, Any], *names: str) -> None:
    """Raise :class:`RefusedError` (422) for a field that is not one of the names."""
    for name in body:
        if name not in names:
            raise RefusedError(422, "unknown_field", f"there is no field {name[:40]!r}")


def check_scores(value: Any, dimensions: tuple[str, ...], scale: Scale) -> dict[str, float]:
    """Return one score per dimension; raises :class:`RefusedError` (422) for anything else.

    >>> check_scores({"quality": 3}, ("quality",), Scale(1, 5, 1))
    {'quality': 3.0}
    """
    if not isinstance(value, dict):
        raise RefusedError(422, "wrong_type", "scores is not an object")
    for name in value:
        if name not in dimensions:
            raise RefusedError(422, "unknown_dimension", f"there is no dimension {name[:40]!r}")
    scores = {}
    for name in dimensions:
        if name not in value:
            raise RefusedError(422, "missing_dimension", f"there is no score for {name!r}")
        score = value[name]
        if isinstance(score, bool) or not isinstance(score, (int, float)):
            raise RefusedError(422, "wrong_type", f"the score for {name!r} is not a number")
        # JSON integers may be too large for a float, so the range is checked first.
        if not scale.low <= score <= scale.high or not scale.contains(float(score)):
            raise RefusedError(
                422, "out_of_range",
                f"the score for {name!r} is not on the scale of {scale.low:g} to {scale.high:g} "
                f"by {scale.step:g}",
            )  # fmt: skip
        steps = round((score - scale.low) / scale.step)
        scores[name] = round(float(scale.low + steps * scale.step), 9)
    return scores


def check_details(value: Any) -> Json:
    """Return the browser's measurements, None for missing ones; raises :class:`RefusedError` (422).

    >>> check_details({"plays": 1})["plays"], check_details({})["stalls"]
    (1, None)
    """
    if not isinstance(value, dict):
        raise RefusedError(422, "wrong_type", "details is not an object")
    check_fields(value, *(name for name, *_ in MEASURED))
    details = {}
    for name, _, _, low, high, is_integer in MEASURED:
        details[name] = _check_measurement(value.get(name), name, low, high, is_integer)
    return details


def check_screen(value: Any) -> Json:
    """Return the size of the rater's screen, None for what the browser did not measure.

    >>> check_screen({"screen_width": 1920})["screen_width"]
    1920
    """
    if not isinstance(value, dict):
        raise RefusedError(422, "wrong_type", "screen is not an object")
    check_fields(value, *(name for name, *_ in SCREEN_MEASURED))
    return {
        name: _check_measurement(value.get(name), name, low, high, is_integer)
        for name, low, high, is_integer in SCREEN_MEASURED
    }


def _check_measurement(
    number: Any, name: str, low: float, high: float, is_integer: bool
) -> float | None:
    """Return a number that a browser measured, None if it did not."""
    if number is None:
        return None
    is_number = isinstance(number, int) if is_integer else isinstance(number, (int, float))
    if isinstance(number, bool) or not is_number:
        raise RefusedError(
            422, "wrong_type", f"the detail {name!r} is not a number of the right type"
        )
    if not low <= number <= high or not math.isfinite(number):
        raise RefusedError(422, "out_of_range", f"the detail {name!r} is out of range")
    return float(number) if not is_integer else int(number)


def judge_tasks(check: str, value: Any) -> Json:
    """Return how many tasks of a check were answered correctly, and whether that is enough.

    ``value`` has one entry per task: the expected and the chosen answer.

    >>> judge_tasks("headphones", [["2", "2"]] * 5 + [["1", "3"]])["passed"]
    True
    """
    rules = CHECKS[check]
    if not isinstance(value, list) or len(value) != rules.tasks:
        raise RefusedError(422, "wrong_type", f"tasks is not a list of {rules.tasks} entries")
    for task in value:
        if not isinstance(task, list) or len(task) != 2:
            raise RefusedError(422, "wrong_type", "a task is not a pair of texts")
        for answer in task:
            if check_text(answer, "task", MAX_TASK) is None:
                raise RefusedError(422, "wrong_type", "a task is not a pair of texts")
    correct = sum(expected == chosen for expected, chosen in value)
    return {
        "tasks": len(value), "correct": correct, "passed": correct >= rules.needed,
        "answers": value,
    }  # fmt: skip


def check_ids(value: Any, names: tuple[str, ...]) -> dict[str, str]:
    """Return the parameters of an address that are not empty.

    >>> check_ids({"PROLIFIC_PID": " 5f3 ", "SESSION_ID": ""}, ("PROLIFIC_PID", "SESSION_ID"))
    {'PROLIFIC_PID': '5f3'}
    """
    if not isinstance(value, dict):
        raise RefusedError(422, "wrong_type", "ids is not an object")
    check_fields(value, *names)
    ids = {name: check_text(text, name, MAX_ID) for name, text in value.items()}
    return {name: text for name, text in ids.items() if text}


def check_text(value: Any, name: str, max_length: int) -> str | None:
    """Return a text without surrounding space; None for an empty one.

    Raises :class:`RefusedError` (422) for other types, more than ``max_length`` characters, control
    characters and markup, so that a program that opens the exported table runs no script.

    >>> check_text(" lips < sound <3 ", "comment", 40)
    'lips < sound <3'
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise RefusedError(422, "wrong_type", f"{name} is not a text")
    if len(value) > max_length:
        raise RefusedError(422, "too_long", f"{name} has more than {max_length} characters")
    for character in value:
        if character not in "\n\t" and unicodedata.category(character) in ("Cc", "Cs"):
            raise RefusedError(422, "wrong_text", f"{name} contains a control character")
    if _MARKUP.search(value):
        raise RefusedError(422, "markup", f"{name} contains markup")
    return value.strip() or None


def check_profile(value: Any, study: Study) -> dict[str, str]:
    """Return the rater's answers to the study's questions; unanswered questions are omitted."""
    if not isinstance(value, dict):
        raise RefusedError(422, "wrong_type", "profile is not an object")
    check_fields(value, *study.profile)
    profile = {}
    for name, choices in study.profile.items():
        answer = value.get(name)
        if choices is not None and answer not in (None, ""):
            if not isinstance(answer, str) or answer not in choices:
                raise RefusedError(422, "unknown_choice", f"{name!r} has no such choice")
            profile[name] = answer
            continue
        text = check_text(answer, name, MAX_PROFILE)
        if text:
            profile[name] = text
    for name in sorted(study.required - set(profile)):
        raise RefusedError(422, "missing_answer", f"{name!r} must be answered")
    return profile


def check_choice(value: Any, name: str, choices: tuple[str, ...]) -> str:
    """Return a value that is one of the choices; raises :class:`RefusedError` (422) for others."""
    if not isinstance(value, str) or value not in choices:
        raise RefusedError(422, "unknown_choice", f"{name} is not one of {', '.join(choices)}")
    return value
