"""Methods as data: what stands in methods.yaml, checked, with the adapter that runs each."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from sfqa.errors import UserError
from sfqa.generation import adapters
from sfqa.generation.options import checked
from sfqa.generation.words import suggest

KINDS = ("procedural",)

_KEYS: dict[str, type] = {
    "name": str,
    "year": int,
    "backbone": str,
    "kind": str,
    "adapter": str,
    "version": int,
    "reproducible": bool,
    "options": dict,
}
_LABEL = re.compile(r"[A-Za-z0-9_-]+")
_WORDS = {str: "a text", int: "a whole number", bool: "true or false", dict: "a list of options"}


@dataclass(frozen=True)
class Method:
    """One generation method: a label, what is known about it, and how it is run."""

    label: str
    name: str
    year: int
    backbone: str
    kind: str
    adapter: str
    version: int
    reproducible: bool
    options: Mapping[str, float] = field(default_factory=dict)

    def identity(self) -> dict[str, Any]:
        """Return what the method's pictures depend on, as a JSON-like value.

        Name, year and backbone are not in it: to mend a typing error there makes no new video.
        """
        return {
            "label": self.label,
            "version": self.version,
            "adapter": self.adapter,
            "adapter_version": adapters.load(self.adapter).VERSION,
            "options": dict(self.options),
        }


def load_methods(path: Path | str) -> dict[str, Method]:
    """Return the methods of a YAML file by label, in the file's order.

    The file maps each label to its entry. Raises :class:`UserError` for a file that is missing or
    no YAML, a label given twice, and unknown or missing keys, kinds, adapters and options.
    """
    try:
        with open(path, encoding="utf-8") as handle:
            content = yaml.load(handle, Loader=_Loader)
    except OSError as error:
        raise UserError(
            f"{path}: the methods file cannot be read ({error.strerror}); give the right path"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML ({_one_line(error)}); mend it there") from error
    if not isinstance(content, dict) or not content:
        raise UserError(f"{path}: no methods in it; write one entry for each label")
    return {str(label): _method(str(label), entry, path) for label, entry in content.items()}


def method(methods: Mapping[str, Method], label: str) -> Method:
    """Return the method of that label; raise :class:`UserError` naming the known labels."""
    if label not in methods:
        known = ", ".join(sorted(methods))
        hint = suggest(label, methods)
        near = f"{hint} " if hint.startswith("did") else ""
        raise UserError(f"no method {label!r}: {near}the known labels are {known}")
    return methods[label]


def as_dict(method: Method) -> dict[str, Any]:
    """Return a method as JSON-like data, with the version of its adapter beside its own.

    What a job is given as its slice: it changes when the method or its adapter does.
    """
    return {**asdict(method), "adapter_version": adapters.load(method.adapter).VERSION}


def from_dict(data: Mapping[str, Any]) -> Method:
    """Return the method that :func:`as_dict` was given."""
    names = {field.name for field in fields(Method)}
    return Method(**{key: value for key, value in data.items() if key in names})


def _method(label: str, entry: object, path: Path | str) -> Method:
    where = f"{path}, method {label}"
    if not _LABEL.fullmatch(label):
        raise UserError(f"{where}: a label has only letters, digits, _ and -; rename it")
    if not isinstance(entry, dict):
        raise UserError(f"{where}: the entry is empty; write {', '.join(_KEYS)}")
    for key in entry:
        if key not in _KEYS:
            raise UserError(f"{where}: unknown key {key!r}; {suggest(key, _KEYS)}")
    for key, kind in _KEYS.items():
        if key not in entry and key != "options":
            raise UserError(f"{where}: the key {key!r} is missing; add it")
        value = entry.get(key, {})
        # YAML's true is a Python int as well
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise UserError(f"{where}: {key} is {value!r}; give {_WORDS[kind]}")
    if entry["kind"] not in KINDS:
        raise UserError(f"{where}: unknown kind {entry['kind']!r}; {suggest(entry['kind'], KINDS)}")
    if entry["adapter"] not in adapters.names():
        raise UserError(
            f"{where}: unknown adapter {entry['adapter']!r}; "
            f"{suggest(entry['adapter'], adapters.names())}"
        )
    if entry["version"] < 1:
        raise UserError(f"{where}: version is {entry['version']}; give 1 or more")
    known = adapters.load(entry["adapter"]).OPTIONS
    options = checked(entry.get("options", {}), known, where)
    return Method(label, **{**entry, "options": options})


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice, where YAML would let the last one win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            name = getattr(key, "value", None)
            if isinstance(name, str) and name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {name!r} is there twice", key.start_mark
                )
            seen.add(name if isinstance(name, str) else id(key))
        return super().construct_mapping(node, deep)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
