"""Optional sections of ``study.yaml``: enrolment, completion, display and checks of raters."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sfqa.errors import UserError
from sfqa.ratings.screen.yaml_checks import (
    Json,
    check_boolean,
    check_integer,
    check_list,
    check_mapping,
    check_number,
    check_word,
)
from sfqa.shown_text import quote_value

#: Keys of the optional sections; docs/study_yaml.md explains each of them.
ENROLMENT_KEYS = ("person", "store", "drop_out_minutes", "next_session_hours")
COMPLETION_KEYS = ("code", "code_per_rater", "url")
DISPLAY_KEYS = ("max_zoom", "pixels", "surround", "theme", "window", "full_screen")
WINDOW_KEYS = ("width", "height")

#: Parameters of an address that name a person, and parameters that are only stored with them:
#: those of Prolific and Mechanical Turk, and a plain name.
PERSON_PARAMETERS = ("PROLIFIC_PID", "workerId", "rater")
STORED_PARAMETERS = ("STUDY_ID", "SESSION_ID", "assignmentId", "hitId")
PIXELS = ("css", "device")
THEMES = ("light", "dark", "choice")

_PARAMETER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")


@dataclass(frozen=True)
class Check:
    """A check of a rater's equipment: its number of tasks, and how many must be correct."""

    tasks: int
    needed: int


#: Checks before the first session. ``headphones``: which of three tones is the quietest, one of
#: them with opposite phase in the two channels (Woods et al. 2017: 6 tasks, 5 correct).
#: ``colour_vision``: digits in plates of coloured dots.
CHECKS: Mapping[str, Check] = {"headphones": Check(6, 5), "colour_vision": Check(6, 5)}


@dataclass(frozen=True)
class Enrolment:
    """How people from a crowd take places: parameters of the address, and when a place is free.

    ``drop_out_seconds``: how long a person may do nothing inside a session. ``return_seconds``: how
    long they may do nothing between two sessions.
    """

    person: tuple[str, ...] = PERSON_PARAMETERS
    store: tuple[str, ...] = STORED_PARAMETERS
    drop_out_seconds: float = 3600.0
    return_seconds: float = 72 * 3600.0


@dataclass(frozen=True)
class Completion:
    """What a rater gets after the last video: a code, the address to return to, or both."""

    code: str | None = None
    code_per_rater: bool = False
    url: str | None = None


def parse_enrolment(value: Any) -> Enrolment:
    """Return the rules of enrolment by one link.

    >>> parse_enrolment({"drop_out_minutes": 30}).drop_out_seconds
    1800.0
    """
    entry = check_mapping(value, "enrolment", ENROLMENT_KEYS)
    person = _parse_parameters(entry.get("person", list(PERSON_PARAMETERS)), "person")
    stored = _parse_parameters(entry.get("store", list(STORED_PARAMETERS)), "store")
    if not person:
        raise UserError("enrolment, person: give the parameter that names a person, such as rater")
    for name in person:
        if name in stored:
            raise UserError(
                f"enrolment: {quote_value(name)} is in person and in store; keep it in person"
            )
    minutes = check_number(entry.get("drop_out_minutes", 60), "enrolment, drop_out_minutes")
    hours = check_number(entry.get("next_session_hours", 72), "enrolment, next_session_hours")
    if minutes < 1:
        raise UserError(f"enrolment, drop_out_minutes: {minutes:g} is too short; give 1 or more")
    return Enrolment(person, stored, 60 * minutes, 3600 * hours)


def _parse_parameters(value: Any, name: str) -> tuple[str, ...]:
    parameters = check_list(value, f"enrolment, {name}")
    for parameter in parameters:
        if not isinstance(parameter, str) or not _PARAMETER.fullmatch(parameter):
            raise UserError(
                f"enrolment, {name}: {quote_value(parameter)} is not the name of a parameter of "
                "an address; "
                "use letters, digits and _"
            )
    return tuple(parameters)


def parse_completion(value: Any, enrolment: Enrolment) -> Completion:
    """Return what raters get at the end; the URL may name ``{code}``, ``{rater}`` and parameters.

    >>> parse_completion({"code": "C1", "url": "https://example.org/?cc={code}"}, Enrolment()).code
    'C1'
    """
    entry = check_mapping(value, "completion", COMPLETION_KEYS)
    code, url = entry.get("code"), entry.get("url")
    per_rater = check_boolean(entry.get("code_per_rater", False), "completion, code_per_rater")
    if code is not None and (not isinstance(code, str) or not code.strip()):
        raise UserError(f"completion, code: {quote_value(code)} is not a text; put it in quotes")
    if code and per_rater:
        raise UserError("completion: code and code_per_rater; keep one of the two")
    if url is None:
        return Completion(code, per_rater)
    if not isinstance(url, str) or not url.startswith(("https://", "http://")):
        raise UserError(
            f"completion, url: {quote_value(url)} is not an address; begin it with https://"
        )
    placeholders = {"code", "rater", *enrolment.person, *enrolment.store}
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(url) if name is not None}
    except ValueError as error:
        raise UserError(f"completion, url: {error}; write a brace as {{{{ or }}}}") from error
    for name in sorted(names - placeholders):
        raise UserError(
            f"completion, url: no value for {{{name}}}; there are {', '.join(sorted(placeholders))}"
        )
    if "code" in names and not (code or per_rater):
        raise UserError("completion, url: {code} needs code, or code_per_rater: true")
    return Completion(code, per_rater, url)


def parse_display(value: Any) -> Json:
    """Return how videos are shown; None for what is not fixed.

    >>> parse_display({"max_zoom": 1, "surround": 128})["surround"]
    128
    """
    entry = check_mapping(value, "display", DISPLAY_KEYS)
    zoom, surround = (
        entry.get("max_zoom"),
        check_integer(entry.get("surround"), "display, surround"),
    )
    if zoom is not None and check_number(zoom, "display, max_zoom") <= 0:
        raise UserError(
            f"display, max_zoom: {quote_value(zoom)} is not above 0; 1 shows videos 1:1"
        )
    if surround is not None and surround > 255:
        raise UserError(f"display, surround: {surround} is above 255; give a grey from 0 to 255")
    window = entry.get("window")
    if window is not None:
        sizes = check_mapping(window, "display, window", WINDOW_KEYS)
        window = {n: check_integer(sizes.get(n, 0), f"display, window, {n}") for n in WINDOW_KEYS}
    return {
        "max_zoom": zoom,
        "pixels": check_word(entry.get("pixels", "css"), "display, pixels", PIXELS),
        "surround": surround,
        "theme": check_word(entry.get("theme", "choice"), "display, theme", THEMES),
        "window": window,
        "full_screen": check_boolean(entry.get("full_screen", False), "display, full_screen"),
    }


def parse_checks(value: Any) -> tuple[str, ...]:
    """Return the checks that a rater does before the first session, in order.

    >>> parse_checks(["headphones"])
    ('headphones',)
    """
    names = check_list(value, "checks")
    for number, name in enumerate(names, 1):
        check_word(name, f"checks, entry {number}", CHECKS)
    if len(set(names)) != len(names):
        raise UserError("checks: a name occurs twice; keep one")
    return tuple(names)
