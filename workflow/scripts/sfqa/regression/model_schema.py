"""The schema of ``model.json``, by which a model file from outside is checked before it is used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

from sfqa.project_files import SCHEMA
from sfqa.shown_text import quote_value
from sfqa.untrusted.documents import read_yaml
from sfqa.untrusted.limits import RefusedError

#: Numbers of one row of an input. The largest published one has 8 x 9216.
_ROW_NUMBERS = 2**24
_NEEDED_CONFORM = ["short_side", "fps", "sample_rate", "crf", "preset"]
_EXPECTED = {
    "required": "it lacks",
    "additionalProperties": "it has keys that are not allowed; allowed are",
    "type": "it is not of the type",
    "enum": "it is not one of",
    "minimum": "it is below",
    "maximum": "it is above",
    "exclusiveMinimum": "it is not above",
    "maxLength": "its characters are more than",
    "maxItems": "its entries are more than",
    "minItems": "its entries are fewer than",
    "maxProperties": "its keys are more than",
    "pattern": "it does not match",
    "multipleOf": "it is not a multiple of",
}


def check_metadata(metadata: Any) -> None:
    """Raise :class:`RefusedError` for the first entry that the schema does not allow.

    ``conform`` has the limits that the configuration has. Entries that refer to each other must
    fit: each dimension of a fit has a range of MOS, each input has an extractor.
    """
    from jsonschema.exceptions import best_match

    error = best_match(_make_validator().iter_errors(metadata))
    if error is not None:
        where = ".".join(str(part) for part in error.absolute_path)
        expected: Any = error.validator_value
        if error.validator == "required":
            expected = [key for key in expected if key not in error.instance]
        if error.validator == "additionalProperties":
            expected = list(error.schema.get("properties", {}))
        words = _EXPECTED.get(str(error.validator), f"it breaks the rule {error.validator}")
        value = f", {where[:80]}: {quote_value(error.instance, 40)}" if where else ""
        raise RefusedError(f"model.json{value}: {words} {quote_value(expected)}")
    _check_references(metadata)


def _check_references(metadata: Mapping[str, Any]) -> None:
    dimensions = [name for fit in metadata["fits"] for name in fit["dimensions"]]
    for name in dimensions:
        if name not in metadata["mos"]:
            raise RefusedError(f"model.json, mos: no entry for the dimension {quote_value(name)}")
    if len(set(dimensions)) < len(dimensions):
        raise RefusedError("model.json, fits: a dimension occurs twice")
    for fit in metadata["fits"]:
        for name in fit["dimensions"]:
            if name not in fit["validation_srcc"]:
                raise RefusedError(
                    f"model.json, fits: no validation_srcc for the dimension {quote_value(name)}"
                )
    if not metadata["extractors"]:
        raise RefusedError("model.json, extractors: there is none")
    for entry in metadata["inputs"]:
        if entry["input"].partition(".")[0] not in metadata["extractors"]:
            raise RefusedError(
                f"model.json, inputs: no extractor for the input {quote_value(entry['input'])}"
            )
        if math.prod(entry["shape"]) > _ROW_NUMBERS:
            raise RefusedError(
                f"model.json, inputs: the shape {entry['shape']} has more than "
                f"{_ROW_NUMBERS:,} numbers in a row"
            )


@cache
def _make_validator() -> Any:
    """Return the validator of model.json, with ``conform`` of the configuration's schema."""
    from jsonschema import Draft202012Validator

    schema = read_yaml(SCHEMA.with_name("model_file.schema.yaml"))
    conform = read_yaml(SCHEMA)["properties"]["conform"]
    # A copy for raters is not made for a new video.
    conform["properties"]["viewing_short_side"] = {"type": ["integer", "null"]}
    schema["properties"]["conform"] = {
        **conform, "type": ["object", "null"], "required": _NEEDED_CONFORM,
    }  # fmt: skip
    return Draft202012Validator(schema)
