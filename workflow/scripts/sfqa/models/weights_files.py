"""The registry of official weights files: entries of weights.yaml, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any

from sfqa.errors import UserError, hint
from sfqa.models.licences import is_non_commercial
from sfqa.web_address import is_web_address

_KEYS = (
    "file", "publisher", "licence", "extractor", "part", "options", "url", "hub", "revision",
    "path", "by_hand", "size", "sha256", "sha256_source", "keys",
)  # fmt: skip
_REQUIRED = ("file", "publisher", "licence", "extractor")
_TYPES: dict[str, type] = {"options": dict, "keys": dict, "size": int}
_TYPE_NAMES = {dict: "keys and values", int: "a whole number", str: "a text"}
_KEY_RULES = ("wrapper", "prefix", "ignore", "layout")
#: Layouts of checkpoints whose keys are renamed for the network.
LAYOUTS = ("transformers_clip",)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SHA256 = re.compile(r"[0-9a-f]{8,64}")
_OWNER_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9_][\w.-]*")


@dataclass(frozen=True)
class KeyRules:
    """How the keys of a checkpoint become the keys of the network.

    ``wrapper`` is the key of the state dict inside the file ('': the file is the state dict).
    ``prefix`` is removed from every key that begins with it. ``ignore`` are patterns
    (:mod:`fnmatch`) of keys, without the prefix, that the network does not have. ``layout``
    'transformers_clip': a ``CLIPModel`` of transformers, whose keys become open_clip's.
    """

    wrapper: str = ""
    prefix: str = ""
    ignore: tuple[str, ...] = ()
    layout: str = ""


@dataclass(frozen=True)
class WeightsFile:
    """An official weights file: what it belongs to, where it is published, how it is checked.

    It belongs to ``extractor`` with ``options``; ``part`` names the network if the extractor has
    several files ('': the main one). It is published at ``url`` or as ``path`` of the
    repository ``hub`` (OWNER/NAME) of the Hugging Face hub; if neither is given, ``by_hand`` says
    how to get it. ``sha256`` are the digits that the publisher states: all 64, the first ones, or
    none. ``size`` is in bytes, None if it is not stated.
    """

    name: str
    file: str
    publisher: str
    licence: str
    extractor: str
    options: Mapping[str, Any] = field(default_factory=dict)
    part: str = ""
    url: str = ""
    hub: str = ""
    revision: str = "main"
    path: str = ""
    by_hand: str = ""
    size: int | None = None
    sha256: str = ""
    sha256_source: str = ""
    keys: KeyRules = KeyRules()

    @property
    def source(self) -> str:
        """Where the file is published, for messages."""
        if self.hub:
            return f"hub {self.hub}, {self.path}"
        return self.url or self.by_hand

    @property
    def is_downloadable(self) -> bool:
        """Whether an address is known from which the file can be fetched."""
        return bool(self.url or self.hub)


def load_weights_files(path: Path | str) -> dict[str, WeightsFile]:
    """Return the entries of a registry of weights files by name, in the file's order.

    Raises :class:`UserError` for a file that cannot be read and for unknown, missing and wrong
    keys.
    """
    from sfqa.yaml_entries import read_entries  # here: jobs that load weights need no YAML

    return {
        name: read_weights_file(name, entry, f"{path}, {name}")
        for name, entry in read_entries(path, "weights").items()
    }


def read_weights_file(name: str, entry: Any, where: str) -> WeightsFile:
    """Return one checked entry; ``where`` begins the messages of :class:`UserError`."""
    if not _NAME.fullmatch(name):
        raise UserError(f"{where}: a name has only letters, digits and _ . -; rename it")
    if not isinstance(entry, Mapping):
        raise UserError(f"{where}: the entry is empty; write {', '.join(_REQUIRED)}")
    for key, value in entry.items():
        if key not in _KEYS:
            raise UserError(f"{where}: unknown key {key!r}; {hint(key, _KEYS)}")
        expected = _TYPES.get(key, str)
        if not isinstance(value, expected) or isinstance(value, bool) or value == "":
            raise UserError(f"{where}: {key} is {value!r}; give {_TYPE_NAMES[expected]}")
    for key in _REQUIRED:
        if key not in entry:
            raise UserError(f"{where}: the key {key!r} is missing; add it")
    check_licence(entry["licence"], f"{where}: licence")
    _check_source(entry, where)
    sha256 = entry.get("sha256", "")
    if sha256 and (not _SHA256.fullmatch(sha256) or not sha256.strip("0")):
        raise UserError(
            f"{where}: sha256 is {sha256!r}; give the hex digits that the publisher states, 8 at "
            "least, or leave it out: the first accepted file is then pinned"
        )
    if sha256 and "sha256_source" not in entry:
        raise UserError(f"{where}: sha256_source is missing; say where the publisher states it")
    if entry.get("size", 1) < 1:
        raise UserError(f"{where}: size is {entry['size']}; give the number of bytes")
    values = {key: value for key, value in entry.items() if key != "keys"}
    return WeightsFile(name=name, keys=_read_key_rules(entry.get("keys", {}), where), **values)


def as_dict(entry: WeightsFile) -> dict[str, Any]:
    """Return an entry as JSON-like data, which a job receives as a parameter."""
    data = {f.name: getattr(entry, f.name) for f in fields(WeightsFile)}
    rules = {f.name: getattr(entry.keys, f.name) for f in fields(KeyRules)}
    if not rules["layout"]:
        del rules["layout"]  # so that jobs of files without one have the parameters of before
    return {**data, "options": dict(entry.options), "keys": {**rules, "ignore": [*rules["ignore"]]}}


def from_dict(data: Mapping[str, Any]) -> WeightsFile:
    """Return the entry of the data of :func:`as_dict`.

    >>> entry = WeightsFile("net", "net.pth", "its authors", "MIT", "lse", by_hand="ask them")
    >>> from_dict(as_dict(entry)) == entry
    True
    """
    rules = data["keys"]
    keys = KeyRules(
        rules["wrapper"], rules["prefix"], tuple(rules["ignore"]), rules.get("layout", "")
    )
    return WeightsFile(**{**data, "keys": keys})


def find_entry(
    entries: Mapping[str, WeightsFile],
    extractor: str,
    options: Mapping[str, Any],
    where: str,
    part: str = "",
) -> WeightsFile:
    """Return the entry for an extractor with these options (all of them, with the defaults).

    ``part`` names its network if it has several files. Raises :class:`UserError`, which begins with
    ``where``, if there is no such entry or more than one.
    """
    of_extractor = [e for e in entries.values() if (e.extractor, e.part) == (extractor, part)]
    matches = [
        entry
        for entry in of_extractor
        if all(options.get(key) == value for key, value in entry.options.items())
    ]
    if len(matches) == 1:
        return matches[0]
    name = f"{extractor}, {part}," if part else extractor
    if not of_extractor:
        raise UserError(
            f"{where}: no official weights of {name} are registered; give a file and its "
            "sha256, or add an entry to config/weights.yaml (docs/weights.md)"
        )
    if matches:
        names = ", ".join(entry.name for entry in matches)
        raise UserError(f"{where}: several official weights fit ({names}); give them more options")
    choices = "; ".join(
        f"{entry.name} for {', '.join(f'{k}: {v}' for k, v in entry.options.items())}"
        for entry in of_extractor
    )
    raise UserError(
        f"{where}: no official weights of {name} are registered for these options (there "
        f"are {choices}); give a file and its sha256, or add an entry to config/weights.yaml"
    )


def check_licence(licence: str, where: str) -> None:
    """Raise :class:`UserError` if a non-commercial licence is not plainly called so.

    >>> check_licence("S-Lab License 1.0", "dover: licence")
    Traceback (most recent call last):
    ...
    sfqa.errors.UserError: dover: licence is 'S-Lab License 1.0'; add 'non-commercial use only'
    """
    if is_non_commercial(licence) and "non-commercial" not in licence:
        raise UserError(f"{where} is {licence!r}; add 'non-commercial use only'")


def _check_source(entry: Mapping[str, Any], where: str) -> None:
    if "url" in entry and "hub" in entry:
        raise UserError(f"{where}: both url and hub are given; leave one out")
    if not {"url", "hub", "by_hand"} & set(entry):
        raise UserError(f"{where}: give url, hub with path, or by_hand: how to get the file")
    if "url" in entry and not is_web_address(entry["url"]):
        raise UserError(f"{where}: url is {entry['url']!r}; give an https address")
    if "hub" in entry and not _OWNER_NAME.fullmatch(entry["hub"]):
        raise UserError(f"{where}: hub is {entry['hub']!r}; give OWNER/NAME")
    if "hub" in entry and "path" not in entry:
        raise UserError(f"{where}: path is missing; give the file's path in the hub repository")
    for key in ("path", "revision"):
        if key in entry and "hub" not in entry:
            raise UserError(f"{where}: {key} goes with hub; leave it out")
    for key in ("file", "path"):
        parts = PurePosixPath(entry.get(key, "x")).parts
        if ".." in parts or "/" in parts or (key == "file" and len(parts) != 1):
            raise UserError(f"{where}: {key} is {entry[key]!r}; give a plain name")


def _read_key_rules(rules: Mapping[str, Any], where: str) -> KeyRules:
    for key in rules:
        if key not in _KEY_RULES:
            raise UserError(f"{where}, keys: unknown key {key!r}; {hint(key, _KEY_RULES)}")
    for key in ("wrapper", "prefix", "layout"):
        if not isinstance(rules.get(key, ""), str):
            raise UserError(f"{where}, keys: {key} is {rules[key]!r}; give a text")
    ignore = rules.get("ignore", [])
    if not isinstance(ignore, list) or not all(isinstance(pattern, str) for pattern in ignore):
        raise UserError(f"{where}, keys: ignore is {ignore!r}; give a list of patterns")
    layout = rules.get("layout", "")
    if layout and layout not in LAYOUTS:
        raise UserError(f"{where}, keys: layout is {layout!r}; {hint(layout, LAYOUTS)}")
    return KeyRules(rules.get("wrapper", ""), rules.get("prefix", ""), tuple(ignore), layout)
