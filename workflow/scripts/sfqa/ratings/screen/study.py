"""Settings of a study: ``study.yaml`` with its dimensions, scale, texts and optional sections."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sfqa.errors import UserError
from sfqa.ratings.screen import study_options
from sfqa.ratings.screen.study_options import Completion, Enrolment
from sfqa.ratings.screen.words import ORGANISER, read_words, select_words
from sfqa.ratings.screen.yaml_checks import (
    Json,
    check_boolean,
    check_integer,
    check_list,
    check_mapping,
    check_number,
    check_text,
)
from sfqa.shown_text import quote_value
from sfqa.untrusted.documents import read_yaml
from sfqa.yaml_names import check_keys, check_texts

#: Keys of ``study.yaml`` and of its sections; docs/study_yaml.md explains each of them.
KEYS = (
    "title", "languages", "scale", "dimensions", "breaks", "replays", "show", "welcome",
    "consent", "training", "finish", "contact", "profile", "enrolment", "completion", "display",
    "checks",
)  # fmt: skip
SCALE_KEYS = ("low", "high", "step")
DIMENSION_KEYS = ("name", "label", "question", "points")
POINT_KEYS = ("word", "text")
BREAK_KEYS = ("seconds",)
SHOW_KEYS = ("image", "clip", "prompt")
QUESTION_KEYS = ("name", "label", "choices", "required")

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")


@dataclass(frozen=True)
class Scale:
    """The rating scale: its ends and its step."""

    low: float
    high: float
    step: float

    def contains(self, score: float) -> bool:
        """Return whether a score is one of the steps of the scale.

        >>> Scale(1, 5, 0.1).contains(3.3), Scale(1, 5, 1).contains(3.3), Scale(1, 5, 1).contains(6)
        (True, False, False)
        """
        if not math.isfinite(score) or not self.low <= score <= self.high:
            return False
        steps = (score - self.low) / self.step
        return abs(steps - round(steps)) < 1e-6


@dataclass(frozen=True)
class Study:
    """Validated contents of ``study.yaml``; ``page`` is what is sent to the page.

    ``profile``: the choices of each question, None for free text. ``required``: the questions that
    must be answered. ``checks``: what raters do before the first session. ``organiser_words``: the
    words of the organiser's page, which raters do not get because they name gold and trap clips.
    """

    dimensions: tuple[str, ...]
    languages: tuple[str, ...]
    scale: Scale
    break_seconds: float
    profile: Mapping[str, frozenset[str] | None]
    required: frozenset[str]
    enrolment: Enrolment
    completion: Completion
    checks: tuple[str, ...]
    page: Json
    organiser_words: Json


def read_study(path: Path) -> Study:
    """Return a study's settings; raises :class:`UserError` naming the wrong entry of the file."""
    try:
        content = read_yaml(path)
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: no such file; a study's folder needs this file. sfqa plan writes it for "
            "videos of a table with the column video, see docs/rating_plan.md"
        ) from error
    try:
        return parse_study(content, path.parent)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def parse_study(content: Any, folder: Path | None = None) -> Study:
    """Return a study's settings from the content of its YAML file.

    ``folder``: the folder of the study, which may have files of words in further languages.

    >>> study = parse_study({"dimensions": [{"name": "quality", "label": "Quality"}]})
    >>> study.dimensions, study.scale, study.languages
    (('quality',), Scale(low=1.0, high=5.0, step=1.0), ('en',))
    """
    check_keys(content, "study.yaml")
    check_texts(content, "study.yaml", ("name", "languages", "choices", "options"))
    top = check_mapping(content, "study.yaml", KEYS)
    languages, words = _read_languages(top.get("languages", ["en"]), folder)
    scale = _parse_scale(check_mapping(top.get("scale", {}), "scale", SCALE_KEYS))
    dimensions = [
        _parse_dimension(entry, f"dimensions, entry {number}", words)
        for number, entry in enumerate(check_list(top.get("dimensions", []), "dimensions"), 1)
    ]
    names = [dimension["name"] for dimension in dimensions]
    if not names or len(set(names)) != len(names):
        raise UserError("dimensions: give at least one, each name once")
    breaks = check_mapping(top.get("breaks", {}), "breaks", BREAK_KEYS)
    show = check_mapping(top.get("show", {}), "show", SHOW_KEYS)
    for name, value in show.items():
        check_boolean(value, f"show, {name}")
    profile = [
        _parse_question(entry, f"profile, entry {number}", languages)
        for number, entry in enumerate(check_list(top.get("profile", []), "profile"), 1)
    ]
    enrolment = study_options.parse_enrolment(top.get("enrolment", {}))
    checks = study_options.parse_checks(top.get("checks", []))
    page = {
        "languages": list(languages),
        "words": select_words(words, "rater"),
        "scale": {"low": scale.low, "high": scale.high, "step": scale.step},
        "dimensions": dimensions,
        "replays": check_integer(top.get("replays"), "replays"),
        "show": dict.fromkeys(SHOW_KEYS, True) | show,
        "profile": profile,
        "display": study_options.parse_display(top.get("display", {})),
        "tasks": {name: study_options.CHECKS[name].tasks for name in checks},
        "contact": str(top.get("contact") or ""),
        "title": check_text(top.get("title", "SFQA"), "title", languages),
    }
    for name in ("welcome", "consent", "training", "finish"):
        page[name] = check_text(top[name], name, languages) if top.get(name) else None
    return Study(
        tuple(names),
        languages,
        scale,
        check_number(breaks.get("seconds", 60), "breaks, seconds"),
        {q["name"]: _list_values(q) for q in profile},
        frozenset(q["name"] for q in profile if q["required"]),
        enrolment,
        study_options.parse_completion(top.get("completion", {}), enrolment),
        checks,
        page,
        select_words(words, ORGANISER),
    )


def _read_languages(value: Any, folder: Path | None) -> tuple[tuple[str, ...], Json]:
    """Return the languages of the pages and the words of each."""
    languages = tuple(check_list(value, "languages"))
    if not languages:
        raise UserError("languages: none; give at least one, such as en or zh")
    for language in languages:
        if not _LANGUAGE.fullmatch(language):
            raise UserError(
                f"languages: {quote_value(language)} is not a language tag such as en or pt-BR"
            )
    return languages, {language: read_words(language, folder) for language in languages}


def _parse_scale(entry: Json) -> Scale:
    low, high, step = (
        check_number(entry.get(name, default), f"scale, {name}", negative=True)
        for name, default in (("low", 1), ("high", 5), ("step", 1))
    )
    scale = Scale(low, high, step)
    if high <= low or step <= 0 or step > high - low or not scale.contains(high):
        raise UserError(
            f"scale: no whole number of steps of {step:g} leads from {low:g} to {high:g}"
        )
    return scale


def _parse_dimension(value: Any, where: str, words: Json) -> Json:
    entry, languages = check_mapping(value, where, DIMENSION_KEYS), tuple(words)
    # Labels of absolute category rating (ITU-T P.910), from low to high.
    acr = [
        dict(zip(words, labels, strict=True))
        for labels in zip(*(texts["rater"]["acr"] for texts in words.values()), strict=True)
    ]
    name = _check_name(entry.get("name"), where)
    points = check_list(entry.get("points", [{"word": word} for word in acr]), f"{where}, points")
    if len(points) < 2:
        raise UserError(f"{where}, points: give one per point of the scale, from low to high")
    labels = []
    for number, value in enumerate(points, 1):
        at = f"{where}, points, entry {number}"
        point = check_mapping(value, at, POINT_KEYS)
        word = point.get("word", acr[number - 1] if len(points) == len(acr) else None)
        text = point.get("text")
        labels.append(
            {
                "word": check_text(word, f"{at}, word", languages),
                "text": check_text(text, f"{at}, text", languages) if text else None,
            }
        )
    question = entry.get("question")
    return {
        "name": name,
        "label": check_text(entry.get("label", name), f"{where}, label", languages),
        "question": check_text(question, f"{where}, question", languages) if question else None,
        "points": labels,
    }


def _parse_question(value: Any, where: str, languages: tuple[str, ...]) -> Json:
    entry = check_mapping(value, where, QUESTION_KEYS)
    name = _check_name(entry.get("name"), where)
    choices = [
        check_text(choice, f"{where}, choices", languages)
        for choice in check_list(entry.get("choices", []), f"{where}, choices")
    ]
    return {
        "name": name,
        "label": check_text(entry.get("label", name), f"{where}, label", languages),
        "choices": [{"value": next(iter(c.values())), "label": c} for c in choices],
        "required": check_boolean(entry.get("required", False), f"{where}, required"),
    }


def _check_name(name: Any, where: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UserError(
            f"{where}: {quote_value(name)} is not a valid name; use letters, digits and _"
        )
    return name


def _list_values(question: Json) -> frozenset[str] | None:
    return frozenset(c["value"] for c in question["choices"]) or None
