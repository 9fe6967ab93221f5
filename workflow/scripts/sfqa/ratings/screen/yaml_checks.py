"""Checks of the entries of ``study.yaml``: type and range, with errors that name the entry."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from sfqa.errors import UserError, hint
from sfqa.shown_text import quote_value

Json = dict[str, Any]

#: A text by language.
Texts = dict[str, str]


def check_text(value: Any, where: str, languages: tuple[str, ...]) -> Texts:
    """Return a text in every language of the study; a plain string is used for all.

    >>> check_text("Age", "label", ("en", "zh"))
    {'en': 'Age', 'zh': 'Age'}
    """
    if isinstance(value, str) and value.strip():
        return dict.fromkeys(languages, value)
    if not isinstance(value, Mapping):
        raise UserError(f"{where}: give a text, or one per language ({', '.join(languages)})")
    for language in languages:
        if not isinstance(value.get(language), str) or not value[language].strip():
            raise UserError(f"{where}: no text in the language {language}; add it")
    return {language: value[language] for language in languages}


def check_mapping(value: Any, where: str, keys: Iterable[str]) -> Json:
    """Return a mapping whose keys are all among ``keys``."""
    names = list(keys)
    if not isinstance(value, Mapping):
        raise UserError(f"{where}: {quote_value(value)} is not a mapping; give {', '.join(names)}")
    for key in value:
        if key not in names:
            raise UserError(f"{where}: no key {quote_value(key)}; {hint(key, names)}")
    return dict(value)


def check_list(value: Any, where: str) -> list[Any]:
    """Return a list."""
    if not isinstance(value, list):
        raise UserError(f"{where}: {quote_value(value)} is not a list; give one")
    return value


def check_boolean(value: Any, where: str) -> bool:
    """Return a truth value."""
    if not isinstance(value, bool):
        raise UserError(f"{where}: {quote_value(value)} is neither true nor false")
    return value


def check_word(value: Any, where: str, words: Iterable[str]) -> str:
    """Return a text that is one of ``words``."""
    choices = list(words)
    if not isinstance(value, str) or value not in choices:
        raise UserError(f"{where}: {quote_value(value)} is not one of {', '.join(choices)}")
    return value


def check_number(value: Any, where: str, negative: bool = False) -> float:
    """Return a finite number, at least 0 unless ``negative``."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    # A whole number of hundreds of digits has no float.
    if not is_number or not -sys.float_info.max <= value <= sys.float_info.max:
        raise UserError(f"{where}: {quote_value(value)} is not a number; give one")
    if value < 0 and not negative:
        raise UserError(f"{where}: {quote_value(value)} is below 0; give 0 or more")
    return float(value)


def check_integer(value: Any, where: str) -> int | None:
    """Return a whole number of at least 0; None for None."""
    if value is None:
        return None
    number = check_number(value, where)
    if number != int(number):
        raise UserError(
            f"{where}: {quote_value(value)} is not a whole number; give one, or leave it out"
        )
    return int(number)
