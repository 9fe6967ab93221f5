"""The registry of methods: entries of methods.yaml, checked, with the adapter that runs each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from sfqa.errors import UserError, hint
from sfqa.generation import adapters
from sfqa.options import Option, check_options
from sfqa.repositories import sources
from sfqa.yaml_entries import read_entries

#: Keys of each kind's entries beside those of all kinds: the required ones, then the optional ones.
KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "procedural": (("adapter",), ("options",)),
    "command": (
        (
            "adapter",
            "repository",
            "commit",
            "licence",
            "environment",
            "weights",
            "minutes",
            "memory_gb",
        ),
        ("options", "gpu_memory_gb", "pass_environment"),
    ),
    "import": ((), ("licence", "expect")),
}
_COMMON_KEYS = ("name", "year", "backbone", "kind", "version", "reproducible")
_TYPES: dict[str, tuple[type, ...]] = {
    "year": (int,),
    "version": (int,),
    "reproducible": (bool,),
    "options": (dict,),
    "weights": (dict,),
    "expect": (dict,),
    "pass_environment": (list,),
    "minutes": (int, float),
    "memory_gb": (int, float),
    "gpu_memory_gb": (int, float),
}
#: Keys of ``expect``: the form of an imported method's videos (:mod:`sfqa.generation.video_form`).
EXPECTED = ("fps", "width", "height", "seconds")
_LABEL = re.compile(r"[A-Za-z0-9_-]+")
_TYPE_NAMES = {
    (str,): "a text",
    (int,): "a whole number",
    (bool,): "true or false",
    (dict,): "keys and values",
    (list,): "a list",
    (int, float): "a number",
}


@dataclass(frozen=True)
class Method:
    """A generation method: its label, its description, and how it is run.

    ``adapter`` is empty for kind ``import``. ``source`` is the repository of a method of kind
    ``command``. ``minutes`` is the time limit of one pair, ``memory_gb`` the memory that is
    requested from a cluster. ``pass_environment``: variables of ours that the program gets beside
    those that every program gets (:func:`sfqa.repositories.process.select_variables`).
    """

    label: str
    name: str
    year: int
    backbone: str
    kind: str
    adapter: str
    version: int
    reproducible: bool
    options: Mapping[str, float | str] = field(default_factory=dict)
    source: sources.Source | None = None
    minutes: float = 2.0
    memory_gb: float = 2.0
    gpu_memory_gb: float | None = None
    pass_environment: tuple[str, ...] = ()
    expect: Mapping[str, float] = field(default_factory=dict)

    @property
    def adapter_version(self) -> int:
        """VERSION of the adapter, 0 if there is none."""
        return adapters.load(self.adapter).VERSION if self.adapter else 0

    @property
    def runs_command(self) -> bool:
        """Whether the method is a separate program, installed beside the workflow."""
        return self.kind == "command"

    def get_identity(self) -> dict[str, Any]:
        """Return everything that the method's pictures depend on, as a JSON-like value.

        Name, year and backbone are not part of it, so that correcting them makes no new videos.
        """
        return {
            "label": self.label,
            "version": self.version,
            "adapter": self.adapter,
            "adapter_version": self.adapter_version,
            "options": dict(self.options),
            **({"commit": self.source.commit} if self.source else {}),
        }


def load_methods(path: Path | str) -> dict[str, Method]:
    """Return the methods of a YAML file by label, in the file's order.

    The file maps each label to its entry. Raises :class:`UserError` for a file that is missing or
    not YAML, a label that occurs twice, and unknown or missing keys, kinds, adapters and options.
    """
    content = read_entries(path, "methods")
    return {str(label): _read_method(str(label), entry, path) for label, entry in content.items()}


def get_method(methods: Mapping[str, Method], label: str) -> Method:
    """Return the method with a label; raises :class:`UserError` that lists the known labels."""
    if label not in methods:
        labels = ", ".join(sorted(methods))
        nearest = hint(label, methods)
        near = f"{nearest} " if nearest.startswith("did") else ""
        raise UserError(f"no method {label!r}: {near}the known labels are {labels}")
    return methods[label]


def as_dict(method: Method) -> dict[str, Any]:
    """Return a method as JSON-like data, with the version of its adapter.

    A job receives it as a parameter, which changes when the method or its adapter does.
    """
    data = {f.name: getattr(method, f.name) for f in fields(Method)}
    data["source"] = sources.as_dict(method.source) if method.source else None
    data["options"], data["expect"] = dict(method.options), dict(method.expect)
    # A new key in the parameters of all jobs would make every video again.
    if not data.pop("pass_environment"):
        return {**data, "adapter_version": method.adapter_version}
    data["pass_environment"] = list(method.pass_environment)
    return {**data, "adapter_version": method.adapter_version}


def from_dict(data: Mapping[str, Any]) -> Method:
    """Return the method of the data of :func:`as_dict`."""
    values = {f.name: data[f.name] for f in fields(Method) if f.name in data}
    if values.get("source"):
        values["source"] = sources.from_dict(values["source"])
    values["pass_environment"] = tuple(values.get("pass_environment", ()))
    return Method(**values)


def _read_method(label: str, entry: object, path: Path | str) -> Method:
    where = f"{path}, method {label}"
    if not _LABEL.fullmatch(label):
        raise UserError(f"{where}: a label has only letters, digits, _ and -; rename it")
    if not isinstance(entry, dict):
        raise UserError(f"{where}: the entry is empty; write {', '.join(_COMMON_KEYS)}")
    method_kind = _read_kind(entry, where)
    required, optional = KINDS[method_kind]
    for key in entry:
        allowed = (*_COMMON_KEYS, *required, *optional)
        if key not in allowed:
            raise UserError(f"{where}: unknown key {key!r}; {hint(key, allowed)}")
    for key in (*_COMMON_KEYS, *required):
        if key not in entry:
            raise UserError(f"{where}: the key {key!r} is missing; add it")
    for key, value in entry.items():
        types = _TYPES.get(key, (str,))
        # YAML's true is also a Python int.
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise UserError(f"{where}: {key} is {value!r}; give {_TYPE_NAMES[types]}")
    if entry["version"] < 1:
        raise UserError(f"{where}: version is {entry['version']}; give 1 or more")
    values = {key: entry[key] for key in _COMMON_KEYS} | {"adapter": entry.get("adapter", "")}
    if method_kind != "import":
        values["options"] = _read_options(entry, where)
    if method_kind == "command":
        values["source"] = sources.read_source(entry, where)
        values["pass_environment"] = sources.read_variables(entry, where)
        for key in ("minutes", "memory_gb", "gpu_memory_gb"):
            if key in entry:
                if not entry[key] > 0:
                    raise UserError(f"{where}: {key} is {entry[key]}; give a number above 0")
                values[key] = float(entry[key])
    for key, value in entry.get("expect", {}).items():
        if key not in EXPECTED:
            raise UserError(f"{where}, expect: unknown key {key!r}; {hint(key, EXPECTED)}")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            raise UserError(f"{where}, expect: {key} is {value!r}; give a number above 0")
    values["expect"] = {k: float(v) for k, v in entry.get("expect", {}).items()}
    return Method(label, **values)


def _read_kind(entry: Mapping[str, Any], where: str) -> str:
    if "kind" not in entry:
        raise UserError(f"{where}: the key 'kind' is missing; add it, one of {', '.join(KINDS)}")
    method_kind = entry["kind"]
    if method_kind not in KINDS:
        raise UserError(f"{where}: unknown kind {method_kind!r}; {hint(method_kind, KINDS)}")
    return str(method_kind)


def _read_options(entry: Mapping[str, Any], where: str) -> dict[str, float | str]:
    """Return the options, checked by the adapter, which must exist and be of the entry's kind."""
    name = entry["adapter"]
    if name not in adapters.list_adapters():
        raise UserError(
            f"{where}: unknown adapter {name!r}; {hint(name, adapters.list_adapters())}"
        )
    adapter = adapters.load(name)
    if hasattr(adapter, "GENERATOR") != (entry["kind"] == "command"):
        other = "command" if entry["kind"] == "procedural" else "procedural"
        raise UserError(f"{where}: the adapter {name!r} is for kind {other}; choose another")
    declared = adapter.OPTIONS
    options = check_options(entry.get("options", {}), declared, f"{where}, options")
    # Numbers as floats: 1 and 1.0 are the same videos, so they have one identity.
    return {
        name: float(value) if isinstance(declared[name], Option) else value
        for name, value in sorted(options.items())
    }
