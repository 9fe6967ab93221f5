"""Turn errors of a schema's validation into sentences that say what to write instead."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from jsonschema.exceptions import ValidationError, best_match

from sfqa.errors import hint
from sfqa.shown_text import quote_value, shorten_message
from sfqa.yaml_names import describe_unquoted

#: What to write for a value of another type.
_TYPE_WORDS = {
    "integer": "write a whole number",
    "number": "write a number",
    "boolean": "write true or false",
    "array": "write a list, such as [a, b]",
    "object": "write keys with values, such as {key: value}",
}
_SCHEMA_TYPES = ("integer", "number", "boolean", "object", "array", "null")


def describe_schema_error(error: ValidationError, top_level_keys: Container[str] = ()) -> str:
    """Return an error of the schema's validation as a sentence that says what to write instead.

    ``top_level_keys``: the keys of the whole configuration, to recognise one in a section.
    """
    key = ".".join(str(p) for p in error.absolute_path)
    where = f"config, {key}" if key else "config"
    value: Any = error.instance
    expected: Any = error.validator_value
    for part in error.context or ():  # of anyOf: a name without quotes in a list of names
        if part.validator == "type" and _expects_text(part.validator_value):
            description = describe_unquoted(part.instance)
            if description:
                path = ".".join(str(p) for p in part.absolute_path)
                return f"config, {path}: {description}"
    schema: Any = error.schema
    nearest = best_match([error]) if error.validator == "anyOf" else None
    if nearest is not None and nearest is not error:
        is_inside = len(nearest.absolute_path) > len(error.absolute_path)
        if is_inside or nearest.validator in ("additionalProperties", "required", "pattern"):
            # Of the choice that the value's type tells.
            return describe_schema_error(nearest, top_level_keys)
    if error.validator == "additionalProperties":
        known_keys = list(schema.get("properties", {}))
        unknown_key = next(k for k in value if k not in known_keys)
        if key and unknown_key in top_level_keys:
            return (
                f"{where}: unknown key {quote_value(unknown_key)}; it belongs to no section: "
                "write it at the "
                "beginning of a line, as 'dataset' is"
            )
        return f"{where}: unknown key {quote_value(unknown_key)}; {hint(unknown_key, known_keys)}"
    if error.validator == "required":
        missing = next(k for k in expected if k not in value)
        description = schema["properties"][missing].get("description", "")
        return f"{where}: the key {quote_value(missing)} is missing; add it. {description}"
    if error.validator in ("type", "enum") and _expects_text(expected):
        description = describe_unquoted(value)
        if description:
            return f"{where}: {description}"
    if error.validator == "enum":
        suggestion = hint(value, map(str, expected), "write one of")
        return f"{where}: {quote_value(value)} is not possible; {suggestion}"
    if error.validator == "type":
        words = _TYPE_WORDS.get(str(expected), "correct it")
        return f"{where}: {quote_value(value)} is not of type {expected}; {words}"
    return (
        f"{where}: {shorten_message(error.message, 300)}; {schema.get('description', 'correct it')}"
    )


def _expects_text(expected: Any) -> bool:
    """Return whether a type or a list of choices of the schema is text."""
    choices = expected if isinstance(expected, list) else [expected]
    return "string" in choices or all(
        isinstance(choice, str) and choice not in _SCHEMA_TYPES for choice in choices
    )
