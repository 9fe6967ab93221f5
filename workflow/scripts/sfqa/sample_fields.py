"""The fields of a sample that users give by name, in sheets, patterns and label files."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from sfqa.errors import UserError, hint

#: The names that a sheet's columns, a pattern's groups and a label file's fields may have, and
#: the column of each in ``tables.SAMPLES``. Fields with other names are listed in ``import.keys``.
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
#: The dimension of a table of correlations that is the mean over the others.
MEAN_DIMENSION = "overall"
#: The protocol of metrics that learn nothing, over all rated samples: it is always there.
ALL_PROTOCOL = "all"
#: Names that ``import.keys`` cannot have: they mean something else in patterns and protocols.
_RESERVED = frozenset({*FIELDS, "pair", "pair_id", "video", "keys", "shard", "row", "name", "stem"})
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_UNSAFE = re.compile(r"[^A-Za-z0-9_.+-]+")


def check_dimensions(names: Collection[str], where: str) -> None:
    """Raise :class:`UserError` if one of several dimensions is called :data:`MEAN_DIMENSION`.

    >>> check_dimensions({"overall"}, "a.csv"), check_dimensions({"video", "audio"}, "a.csv")
    (None, None)
    """
    if len(names) > 1 and MEAN_DIMENSION in names:
        raise UserError(
            f"{where}: a dimension is called {MEAN_DIMENSION!r}, as the tables call the mean over "
            f"the dimensions; give it another name, such as {MEAN_DIMENSION}_quality"
        )


def clean_name(name: str) -> str:
    """Return a name that is safe in every file system: other characters become '-'.

    >>> clean_name("a dog, Köln/1.mp4")
    'a-dog-K-ln-1.mp4'
    """
    return _UNSAFE.sub("-", name)


def list_fields(source: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of samples by name: :data:`FIELDS` and the keys of ``import.keys``.

    >>> list_fields({"keys": ["scene"]})["scene"]
    'scene'
    """
    return {**FIELDS, **{str(name): str(name) for name in source.get("keys") or ()}}


def get_field_column(name: str) -> str:
    """Return the column of a field; a key of ``import.keys`` is stored under its own name."""
    return FIELDS.get(name, name)


def encode_keys(columns: Mapping[str, str | None], source: Mapping[str, Any]) -> str | None:
    """Return the filled keys of a sample as a JSON object, None if there are none.

    >>> encode_keys({"scene": "City", "method": "a"}, {"keys": ["scene", "speaker"]})
    '{"scene": "City"}'
    """
    filled = {name: columns[name] for name in source.get("keys") or () if columns.get(name)}
    return json.dumps(filled, sort_keys=True, ensure_ascii=False) if filled else None


def check_fields(source: Mapping[str, Any]) -> None:
    """Raise :class:`UserError` for unknown fields in ``import`` and keys without any source.

    A key of ``import.keys`` must be a group of the pattern, or named in ``columns``, ``constant``
    or ``lookups``. A sheet has a column for it, which is checked when the sheet is read.
    """
    keys = [str(name) for name in source.get("keys") or ()]
    for name in keys:
        if not _KEY.fullmatch(name) or name in _RESERVED or keys.count(name) > 1:
            raise UserError(
                f"config, import.keys: {name!r} cannot be a key; use letters, digits and _, and a "
                f"name that is there once and is none of {', '.join(sorted(_RESERVED))}"
            )
    fields = list_fields(source)
    used = {*_list_pattern_groups(source), *(source.get("columns") or ())}
    for option, names in _list_named_fields(source):
        for name in names:
            if name not in fields:
                raise UserError(
                    f"config, {option}: no field {name!r}; {hint(name, fields)} (fields with names "
                    "of your own are listed in import.keys)"
                )
            used.add(name)
    _check_samples_by(source)
    for name in keys:
        if name not in used and "sheet" not in source:
            raise UserError(
                f"config, import.keys: nothing gives the key {name!r}; name it in a group of the "
                "pattern, in columns, constant or lookups"
            )


def _check_samples_by(source: Mapping[str, Any]) -> None:
    """Raise :class:`UserError` unless a label file gives all fields of ``import.samples_by``."""
    names = [str(name) for name in source.get("samples_by") or ()]
    labels = source.get("labels") or []
    entries = [labels] if isinstance(labels, Mapping) else labels
    if names and not any({*names} <= {*(entry.get("columns") or ())} for entry in entries):
        raise UserError(
            f"config, import.samples_by: no label file gives {' and '.join(names)}; name their "
            "columns in import.labels.columns"
        )


def _list_pattern_groups(source: Mapping[str, Any]) -> list[str]:
    if not source.get("pattern"):
        return []
    return list(compile_expression(str(source["pattern"]), "import.pattern").groupindex)


def _list_named_fields(source: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Yield each option of the section ``import`` that names fields, and the names."""
    labels = source.get("labels") or []
    for entry in [labels] if isinstance(labels, Mapping) else labels:
        yield "import.labels.columns", list(entry.get("columns") or ())
    yield "import.constant", list(source.get("constant") or ())
    yield "import.names", list(source.get("names") or ())
    yield "import.samples_by", list(source.get("samples_by") or ())
    for lookup in source.get("lookups") or ():
        yield "import.lookups.columns", list(lookup.get("columns") or ())
        yield "import.lookups.field", [str(lookup["field"])]


def compile_expression(text: str, key: str) -> re.Pattern[str]:
    """Return the regular expression under a key of the configuration, or raise ``UserError``."""
    try:
        return re.compile(text)
    except re.error as error:
        raise UserError(
            f"config, {key}: {text!r} is no regular expression ({error}); correct it"
        ) from error


def compile_pattern(source: Mapping[str, Any]) -> re.Pattern[str]:
    """Return ``import.pattern`` for paths of videos, its groups checked by :func:`list_fields`.

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
    fields = list_fields(source)
    for group in pattern.groupindex:
        if group not in fields:
            raise UserError(
                f"videos: unknown group {group!r} in {text!r}; {hint(group, fields)} (groups with "
                "names of your own are listed in import.keys)"
            )
    check_unique(f"videos, pattern {text!r}", "groups", [fields[g] for g in pattern.groupindex])
    if source.get("unmatched", "error") not in ("error", "skip"):
        raise UserError(f"videos: unmatched is {source['unmatched']!r}; give 'error' or 'skip'")
    return pattern


def check_unique(where: str, what: str, columns: list[str]) -> None:
    """Raise :class:`UserError` if two names stand for one column."""
    for column in columns:
        if columns.count(column) > 1:
            raise UserError(f"{where}: two {what} for {column!r}; keep one")
