"""The keys of each kind of protocol, and checks of their values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sfqa.errors import UserError, hint
from sfqa.sample_fields import ALL_PROTOCOL

TRAIN, VALIDATION, TEST = "train", "validation", "test"
PARTS = (TRAIN, VALIDATION, TEST)
#: The kind without training: models of another dataset are tested on every row.
CROSS = "cross_dataset"
#: The kind and the name of the protocol of metrics that learn nothing: every rated sample is a test
#: row. A configuration cannot name it, because a regressor would have no training rows.
ALL = ALL_PROTOCOL
ALL_SAMPLES: Mapping[str, str] = {"name": ALL, "kind": ALL}
_KEYS: dict[str, tuple[str, ...]] = {
    "fixed": ("groups", "validation", "allow_shared", "test"),
    "group_kfold": ("groups", "k", "repeats", "validation"),
    "random_kfold": ("k", "repeats", "validation"),
    "leave_one_method_out": ("validation",),
    "leave_one_group_out": ("groups", "validation"),
    "group_trials": ("groups", "trials", "parts"),
    "random_trials": ("trials", "parts", "stratify"),
    "listed_trials": ("lists", "groups", "validation", "allow_shared"),
    CROSS: ("model", "dimensions", "allow_shared"),
    ALL: (),
}
KINDS = tuple(name for name in _KEYS if name != ALL)
#: Defaults of ``parts`` (train : validation : test; UGVQ, section 6.1.1) and ``trials``.
_RATIO, TRIALS = (7.0, 1.0, 2.0), 10


def name_protocol(protocol: Mapping[str, Any]) -> str:
    """Return where a protocol is in the configuration, for the beginning of a message."""
    return f"config, regression.protocols {protocol.get('name')!r}"


def check_protocol(protocol: Mapping[str, Any], where: str) -> tuple[str, float]:
    """Return the kind and the share of validation rows of a protocol, all keys checked."""
    protocol_kind = protocol.get("kind")
    if protocol_kind not in _KEYS:
        raise UserError(f"{where}: no kind {protocol_kind!r}; {hint(str(protocol_kind), KINDS)}")
    for key in protocol:
        if key not in ("name", "kind", *_KEYS[protocol_kind]):
            raise UserError(
                f"{where}: unknown key {key!r}; kind {protocol_kind} has "
                f"{', '.join(_KEYS[protocol_kind])}"
            )
    if protocol_kind == CROSS:
        _check_cross(protocol, where)
    if protocol_kind == "listed_trials" and "files" not in protocol.get("lists", {}):
        raise UserError(
            f"{where}, lists.files: missing; write the files with the published trials, such as "
            "{train: 'train_{trial}.txt', test: 'test_{trial}.txt'}"
        )
    share = protocol.get("validation", 0.0 if protocol_kind in (CROSS, ALL) else 0.15)
    if not isinstance(share, (int, float)) or not 0 <= share < 1:
        raise UserError(f"{where}, validation: {share!r}; write a share from 0 to below 1")
    for key, minimum in (("k", 2), ("repeats", 1), ("trials", 1)):
        value = protocol.get(key, minimum)
        if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
            raise UserError(f"{where}, {key}: {value!r}; write a whole number, {minimum} or more")
    if "parts" in _KEYS[protocol_kind]:
        shares = read_ratio(protocol, where)
        share = shares[PARTS.index(VALIDATION)] / sum(shares)
    return str(protocol_kind), float(share)


def _check_cross(protocol: Mapping[str, Any], where: str) -> None:
    model, names = protocol.get("model"), protocol.get("dimensions", {})
    if not isinstance(model, str) or not model:
        raise UserError(
            f"{where}, model: {model!r}; write the results folder of the dataset whose models are "
            "tested here, such as results/thqa"
        )
    if not isinstance(names, Mapping) or not all(isinstance(v, str) for v in names.values()):
        raise UserError(
            f"{where}, dimensions: {names!r}; write the name of each dimension there, such as "
            "{visual_quality: quality}"
        )


def read_ratio(protocol: Mapping[str, Any], where: str) -> tuple[float, ...]:
    """Return the ratio train : validation : test of a protocol, checked."""
    ratio = protocol.get("parts", _RATIO)
    valid = isinstance(ratio, (list, tuple)) and len(ratio) == len(PARTS)
    valid = valid and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in ratio)
    if not valid or not all(math.isfinite(v) and v >= 0 for v in ratio):
        raise UserError(
            f"{where}, parts: {ratio!r}; write three numbers, 0 or more, for train, validation "
            "and test, such as [7, 1, 2]"
        )
    if not ratio[0] or not ratio[2]:
        raise UserError(f"{where}, parts: {list(ratio)!r}; only the second, validation, may be 0")
    return tuple(float(v) for v in ratio)


def validation_share(protocol: Mapping[str, Any]) -> float:
    """Return the share of rows to select models on: of train rows, or of all with ``parts``.

    Raises :class:`UserError` for an invalid protocol.

    >>> validation_share({"name": "t", "kind": "random_trials", "parts": [7, 1, 2]})
    0.1
    """
    return check_protocol(protocol, name_protocol(protocol))[1]
