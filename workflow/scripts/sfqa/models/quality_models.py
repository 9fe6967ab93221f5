"""The registry of quality models: entries of models.yaml, with strict keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sfqa.errors import UserError, hint
from sfqa.models import commands
from sfqa.models.weights_files import check_licence
from sfqa.published_figures import expand_record
from sfqa.yaml_entries import read_entries

#: Keys of an entry with their types; the first ones are required.
_REQUIRED: dict[str, type | tuple[type, ...]] = {
    "group": str, "paper": str, "year": int, "licences": dict, "features": dict,
    "inputs": (list, dict),
}  # fmt: skip
_OPTIONAL: dict[str, type | tuple[type, ...]] = {
    "weights": list, "head": str, "options": dict, "direction": int, "recipe": dict,
    "reading": list, "costs": dict, "published": list, "note": str, "reduced": dict,
}  # fmt: skip
_RECIPE = (
    "loss", "optimiser", "learning_rate", "weight_decay", "schedule", "epochs", "batch", "ema",
    "selection", "start",
)  # fmt: skip
#: What an entry may change for trials with ``regression.reduced``.
_REDUCED: dict[str, type] = {"features": dict, "options": dict, "inputs": list}
_COSTS = ("memory_gb", "seconds", "measured")
_TYPE_NAMES: dict[Any, str] = {
    str: "a text", int: "a whole number", dict: "keys and values", list: "a list",
    (list, dict): "a list, or a column for each dimension",
}  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


@dataclass(frozen=True)
class QualityModel:
    """A quality model of a paper: extractors, weights, head and recipe.

    ``features`` maps every extractor to the options that the model fixes. A model without ``head``
    is zero-shot: its one input is the score, or ``dimension_inputs`` names a column for each rated
    dimension. ``recipe`` is the published training, in words;
    ``options`` are those of the head, and ``reading`` says where they and the features differ
    from the paper or fill its gaps. ``costs`` are measured: GB and seconds for one video, and what
    was measured. ``command`` is the program of a model of kind ``command``. ``reduced`` makes the
    model small enough for trials: options of extractors and of the head, or other ``inputs``.
    """

    name: str
    group: str
    paper: str
    year: int
    licences: Mapping[str, str]
    features: Mapping[str, Mapping[str, Any]]
    inputs: tuple[str, ...]
    weights: tuple[str, ...] = ()
    head: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    direction: int = 1
    recipe: Mapping[str, str] = field(default_factory=dict)
    reading: tuple[str, ...] = ()
    costs: Mapping[str, Any] = field(default_factory=dict)
    published: tuple[Mapping[str, Any], ...] = ()
    note: str = ""
    dimension_inputs: Mapping[str, str] = field(default_factory=dict)
    command: commands.Command | None = None
    reduced: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def is_zero_shot(self) -> bool:
        """Whether the model scores a video without training on a dataset."""
        return not self.head

    def reduce(self) -> QualityModel:
        """Return the model with what the entry has for trials, no published model: no weights."""
        changes = self.reduced.get("features", {})
        # Other inputs are those of other extractors.
        names = changes if "inputs" in self.reduced else self.features
        return replace(
            self,
            features={n: {**self.features.get(n, {}), **changes.get(n, {})} for n in names},
            options={**self.options, **self.reduced.get("options", {})},
            inputs=tuple(self.reduced.get("inputs", self.inputs)),
            weights=(),
        )

    def make_metric(self) -> dict[str, Any]:
        """Return the metric of a configuration that computes this model."""
        metric: dict[str, Any] = {
            "kind": "zero_shot" if self.is_zero_shot else "regressor",
            "group": self.group,
            "inputs": dict(self.dimension_inputs) or list(self.inputs),
            "direction": self.direction,
        }
        if self.head:
            metric |= {"head": self.head, "options": dict(self.options)}
        if self.published:
            metric["published"] = [dict(record) for record in self.published]
        return metric


def load_models(path: Path | str) -> dict[str, QualityModel]:
    """Return the quality models of a registry by name, in the file's order.

    Raises :class:`UserError` for a file that cannot be read and for unknown, missing and wrong
    keys. Extractors, heads and weights are checked by :mod:`sfqa.regression.model_metrics`.
    """
    return {
        name: _read_model(name, entry, f"{path}, {name}")
        for name, entry in read_entries(path, "models").items()
    }


def get_model(models: Mapping[str, QualityModel], name: str, where: str) -> QualityModel:
    """Return a model by name; raises :class:`UserError` that suggests the nearest name."""
    if name not in models:
        raise UserError(f"{where}: no quality model {name!r}; {hint(name, models)}")
    return models[name]


def _read_model(name: str, entry: Any, where: str) -> QualityModel:
    if not _NAME.fullmatch(name):
        raise UserError(f"{where}: a name has only letters, digits and _ . + -; rename it")
    if not isinstance(entry, Mapping):
        raise UserError(f"{where}: the entry is empty; write {', '.join(_REQUIRED)}")
    types = {**_REQUIRED, **_OPTIONAL}
    # The weights of a program are those that its repository needs, not entries of weights.yaml.
    program = {
        key: value
        for key, value in entry.items()
        if key in commands.KEYS and (key != "weights" or "kind" in entry)
    }
    entry = {key: value for key, value in entry.items() if key not in program}
    for key, value in entry.items():
        if key not in types:
            raise UserError(f"{where}: unknown key {key!r}; {hint(key, [*types, *commands.KEYS])}")
        if not isinstance(value, types[key]) or isinstance(value, bool):
            raise UserError(f"{where}: {key} is {value!r}; give {_TYPE_NAMES[types[key]]}")
    for key in _REQUIRED:
        if not entry.get(key):
            raise UserError(f"{where}: the key {key!r} is missing; add it")
    _check_texts(entry["licences"], ("code", "weights"), f"{where}, licences", required=True)
    for key, licence in entry["licences"].items():
        check_licence(licence, f"{where}, licences: {key}")
    _check_texts(entry.get("recipe", {}), _RECIPE, f"{where}, recipe")
    columns = entry["inputs"] if isinstance(entry["inputs"], Mapping) else {}
    if columns:
        entry = {**entry, "inputs": list(dict.fromkeys(columns.values()))}
    for key in ("inputs", "weights", "reading"):
        if not all(isinstance(value, str) and value for value in entry.get(key, [])):
            raise UserError(f"{where}: {key} is {entry[key]!r}; give a list of texts")
    for extractor, options in entry["features"].items():
        if not isinstance(options, Mapping):
            raise UserError(
                f"{where}, features: {extractor} is {options!r}; give its options or {{}}"
            )
    if "head" not in entry:
        for key in ("options", "recipe"):
            if key in entry:
                raise UserError(f"{where}: {key} goes with a head; leave it out")
    elif "recipe" not in entry or "reading" not in entry:
        raise UserError(
            f"{where}: a model with a head needs recipe (its published training) and reading (what "
            "is ours); add them"
        )
    _check_costs(entry.get("costs", {}), f"{where}, costs")
    _check_reduced(entry, f"{where}, reduced")
    command = commands.read_command(name, {**entry, **program}, where)
    if "published" in entry:
        entry = {**entry, "published": _expand_published(name, entry["published"], where)}
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()
    }
    return QualityModel(name=name, dimension_inputs=columns, command=command, **values)


def _expand_published(name: str, published: list[Any], where: str) -> list[Any]:
    """Return the records, with the figures of those that name a table of resources/published."""
    try:
        return [
            expanded
            for record in published
            for expanded in (expand_record(record, name) if isinstance(record, dict) else [record])
        ]
    except UserError as error:
        raise UserError(f"{where}, {error}") from None


def _check_texts(
    section: Mapping[str, Any], keys: tuple[str, ...], where: str, required: bool = False
) -> None:
    for key, value in section.items():
        if key not in keys:
            raise UserError(f"{where}: unknown key {key!r}; {hint(key, keys)}")
        if not isinstance(value, str) or not value:
            raise UserError(f"{where}: {key} is {value!r}; give a text")
    for key in keys if required else ():
        if key not in section:
            raise UserError(f"{where}: the key {key!r} is missing; add it")


def _check_reduced(entry: Mapping[str, Any], where: str) -> None:
    """Raise :class:`UserError` for unknown keys and for options of what the entry does not have."""
    reduced = entry.get("reduced", {})
    for key, value in reduced.items():
        if key not in _REDUCED:
            raise UserError(f"{where}: unknown key {key!r}; {hint(key, _REDUCED)}")
        if not isinstance(value, _REDUCED[key]):
            raise UserError(f"{where}: {key} is {value!r}; give {_TYPE_NAMES[_REDUCED[key]]}")
    if "options" in reduced and "head" not in entry:
        raise UserError(f"{where}: options go with a head; leave them out")
    for name, options in reduced.get("features", {}).items():
        if name not in entry["features"] and "inputs" not in reduced:
            raise UserError(f"{where}: no features {name!r}; {hint(name, entry['features'])}")
        if not isinstance(options, Mapping):
            raise UserError(f"{where}: {name} is {options!r}; give its options or {{}}")


def _check_costs(costs: Mapping[str, Any], where: str) -> None:
    for key, value in costs.items():
        if key not in _COSTS:
            raise UserError(f"{where}: unknown key {key!r}; {hint(key, _COSTS)}")
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
        if key == "measured" and not isinstance(value, str):
            raise UserError(f"{where}: measured is {value!r}; say what was measured, and on what")
        if key != "measured" and not is_number:
            raise UserError(f"{where}: {key} is {value!r}; give a measured number above 0")
    if costs and "measured" not in costs:
        raise UserError(f"{where}: measured is missing; say what was measured, and on what")
