"""Recognise names that YAML read as truth values, numbers or dates because they had no quotes."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sfqa.errors import UserError
from sfqa.shown_text import quote_value


def describe_unquoted(value: Any) -> str:
    """Return how YAML read a name without quotes and what to write, '' for text and collections.

    >>> describe_unquoted(False)
    "YAML reads no, off and false as a truth value; if it is a name, put it in quotes, such as 'no'"
    >>> describe_unquoted("no")
    ''
    """
    if value is True or value is False:
        words, example = ("yes, on and true", "yes") if value else ("no, off and false", "no")
        reading = f"{words} as a truth value"
    elif isinstance(value, (int, float)):
        reading, example = f"{value} as a number", str(value)
    elif isinstance(value, (datetime.date, datetime.datetime)):
        reading, example = f"{value} as a date", str(value)
    elif value is None:
        reading, example = "null, ~ and nothing as an empty value", "null"
    else:
        return ""
    return (
        f"YAML reads {reading}; if it is a name, put it in quotes, such as {quote_value(example)}"
    )


def check_keys(content: Any, where: str) -> None:
    """Raise :class:`UserError` for the first key, at any depth, that is not text.

    >>> check_keys({"import": {"mos": {False: "mos"}}}, "config")
    Traceback (most recent call last):
    ...
    sfqa.errors.UserError: config, import.mos: the key False: YAML reads no, off and false as a \
truth value; if it is a name, put it in quotes, such as 'no'
    """
    for path, mapping in _iterate_mappings(content, ()):
        for key in mapping:
            if not isinstance(key, str):
                section = f"{where}, {'.'.join(path)}" if path else where
                raise UserError(f"{section}: the key {quote_value(key)}: {describe_unquoted(key)}")


def check_texts(content: Any, where: str, keys: Sequence[str]) -> None:
    """Raise :class:`UserError` if an entry called one of ``keys``, at any depth, is not text.

    The entry may also be a list or a mapping of texts.

    >>> check_texts({"inputs": ["clip", True]}, "config, regression.metrics.m", ["inputs"])
    Traceback (most recent call last):
    ...
    sfqa.errors.UserError: config, regression.metrics.m.inputs: YAML reads yes, on and true \
as a truth value; if it is a name, put it in quotes, such as 'yes'
    """
    for path, mapping in _iterate_mappings(content, ()):
        for key, entry in mapping.items():
            if key not in keys:
                continue
            values = entry if isinstance(entry, list) else [entry]
            values = list(entry.values()) if isinstance(entry, Mapping) else values
            for value in values:
                if description := describe_unquoted(value):
                    raise UserError(f"{'.'.join([where, *path, key])}: {description}")


def _iterate_mappings(
    content: Any, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Mapping[Any, Any]]]:
    """Yield every mapping in a content, with the keys that lead to it."""
    if isinstance(content, Mapping):
        yield path, content
        for key, value in content.items():
            yield from _iterate_mappings(value, (*path, str(key)))
    elif isinstance(content, list):
        for value in content:
            yield from _iterate_mappings(value, path)
