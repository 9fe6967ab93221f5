"""The fields of a sample that users give by name, in sheets, patterns and label files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sfqa.errors import UserError, hint

#: The names that a sheet's columns, a pattern's groups and a label file's fields may have, and
#: the column of each in ``tables.SAMPLES``.
FIELDS = {
    "sample_id": "sample_id",
    "method": "method",
    "image_id": "image_id",
    "image": "image_id",
    "clip_id": "clip_id",
    "clip": "clip_id",
    "image_source": "image_source",
    "image_category": "image_category",
    "style": "style",
    "language": "language",
    "prompt": "prompt",
    "split": "split",
}
_UNSAFE = re.compile(r"[^A-Za-z0-9_.+-]+")


def clean_name(name: str) -> str:
    """Return a name that is safe in every file system: other characters become '-'.

    >>> clean_name("a dog, Köln/1.mp4")
    'a-dog-K-ln-1.mp4'
    """
    return _UNSAFE.sub("-", name)


def compile_expression(text: str, key: str) -> re.Pattern[str]:
    """Return the regular expression under a key of the configuration, or raise ``UserError``."""
    try:
        return re.compile(text)
    except re.error as error:
        raise UserError(
            f"config, {key}: {text!r} is no regular expression ({error}); correct it"
        ) from error


def compile_pattern(source: Mapping[str, Any]) -> re.Pattern[str]:
    """Return ``import.pattern`` for paths of videos, its groups checked against :data:`FIELDS`.

    Raises :class:`UserError` for no pattern, an invalid one, and unknown or repeated fields.
    """
    if "pattern" not in source:
        raise UserError("videos: a folder needs a 'pattern' with a named group for the method")
    text = str(source["pattern"])
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UserError(
            f"videos: the pattern {text!r} is not a regular expression ({error})"
        ) from error
    for group in pattern.groupindex:
        if group not in FIELDS:
            raise UserError(f"videos: unknown group {group!r} in {text!r}; {hint(group, FIELDS)}")
    check_unique(f"videos, pattern {text!r}", "groups", [FIELDS[g] for g in pattern.groupindex])
    if source.get("unmatched", "error") not in ("error", "skip"):
        raise UserError(f"videos: unmatched is {source['unmatched']!r}; give 'error' or 'skip'")
    return pattern


def check_unique(where: str, what: str, columns: list[str]) -> None:
    """Raise :class:`UserError` if two names stand for one column."""
    for column in columns:
        if columns.count(column) > 1:
            raise UserError(f"{where}: two {what} for {column!r}; keep one")
