"""The list of metrics that a configuration asks for, checked and filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sfqa import splits
from sfqa.errors import UserError, hint
from sfqa.plugins import read_version
from sfqa.regression import control_names, heads

KINDS = ("regressor", "zero_shot", "control", "imported")
_KEYS = (
    "kind", "group", "inputs", "head", "options", "loss", "direction", "dimensions", "published",
    "each", "directions",
)  # fmt: skip
#: What ``published`` says of a paper's figure: where it stands, for what, and the figures.
_WORDS, _FIGURES = ("source", "protocol", "dimension"), ("srcc", "plcc", "krcc", "rmse")
_OF_KIND = {
    "regressor": ("inputs", "head"),
    "zero_shot": ("inputs",),
    "imported": ("inputs",),
    "control": (),
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


def metric_list(
    metrics: Mapping[str, Mapping[str, Any]], columns: Mapping[str, Sequence[str] | None]
) -> list[dict[str, Any]]:
    """Return one dictionary per metric, in order, every key filled in.

    ``metrics`` maps a name to ``kind`` (regressor, zero_shot, control, imported), ``group``,
    ``inputs``, ``head``, ``options``, ``loss`` (short for the head's option of that name),
    ``direction`` (1 or -1), ``dimensions`` and ``published`` (a paper's figures, one mapping or a
    list of them: ``source``, maybe ``protocol`` and ``dimension``, and some of srcc, plcc, krcc,
    rmse; shown beside ours, and no part of what makes ours). ``columns`` maps every extractor to
    its numeric columns, or to None where they are not known yet. A control's head is its name by
    default. ``each: <extractor>`` (with ``directions``: {column: -1}) stands for one zero-shot
    metric per column of it, named as the column. ``imported`` is a zero-shot metric that is listed
    as such. Raises :class:`UserError`, with the nearest known word.

    >>> found = metric_list({"all": {"each": "imported"}}, {"imported": ["niqe", "pi"]})
    >>> [(m["name"], m["inputs"], m["direction"]) for m in found]
    [('niqe', ['imported.niqe'], 1), ('pi', ['imported.pi'], 1)]
    """
    found: list[dict[str, Any]] = []
    for name, entry in metrics.items():
        for key in entry:
            if key not in _KEYS:
                raise UserError(f"config, metrics.{name}: no key {key!r}; {hint(key, _KEYS)}")
        if "each" in entry:
            found += _each(name, entry, columns)
        elif "directions" in entry:
            raise UserError(f"config, metrics.{name}.directions: goes with each; write direction")
        else:
            found.append(_metric(name, entry, columns))
    seen: set[str] = set()
    for metric in found:
        if metric["name"].casefold() in seen:
            raise UserError(f"config, metrics: {metric['name']!r} is there twice; rename one")
        seen.add(metric["name"].casefold())
    return found


def versions(metric: Mapping[str, Any]) -> dict[str, int]:
    """Return the VERSION of every file that the numbers of a metric depend on.

    >>> sorted(versions({"kind": "control", "head": "oracle"}))
    ['controls', 'protocols']
    """
    files = ["protocols"]
    if metric["kind"] == "control":
        files += ["controls"]
    else:
        regressor = metric["kind"] == "regressor"
        files += [heads.design(str(metric["head"])) if regressor else "pooled"]
        files = [{"pooled": "design"}.get(name, name) for name in files]
        files += ["train", "engine"] if regressor else ["zero_shot"]
    # Read without an import, since the files themselves load torch and scipy.
    packages = {"protocols": Path(splits.__path__[0])}
    here = Path(__file__).parent
    found = {n: read_version(packages.get(n, here) / f"{n}.py") for n in files}
    if metric["kind"] == "regressor":
        own = heads.versions(str(metric["head"]), metric.get("options") or {})
        found |= {f"head {name}": version for name, version in own.items()}
    return found


def _each(
    name: str, entry: Mapping[str, Any], columns: Mapping[str, Sequence[str] | None]
) -> list[dict[str, Any]]:
    where, extractor = f"config, metrics.{name}", str(entry["each"])
    for key in ("inputs", "head", "direction", "published"):
        if key in entry:
            raise UserError(f"{where}.{key}: does not go with each; leave it out")
    if extractor not in columns:
        raise UserError(f"{where}.each: no features {extractor!r}; {hint(extractor, columns)}")
    names, directions = columns[extractor] or (), dict(entry.get("directions") or {})
    if not names:
        raise UserError(f"{where}.each: the columns of {extractor!r} are not known; name inputs")
    for column in directions:
        if column not in names:
            raise UserError(f"{where}.directions: no column {column!r}; {hint(column, names)}")
    rest = {k: v for k, v in entry.items() if k not in ("each", "directions")}
    made = []
    for column in names:
        one = {
            "kind": "zero_shot", **rest, "inputs": [f"{extractor}.{column}"],
            "direction": directions.get(column, 1),
        }  # fmt: skip
        made.append(_metric(re.sub(r"[^A-Za-z0-9_.+-]", "_", column), one, columns))
    return made


def _metric(
    name: str, entry: Mapping[str, Any], columns: Mapping[str, Sequence[str] | None]
) -> dict[str, Any]:
    where, kind = f"config, metrics.{name}", entry.get("kind")
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{where}: a metric's name becomes a folder; begin it with a letter or digit and use "
            "letters, digits and _ . + - only"
        )
    if kind not in KINDS:
        raise UserError(f"{where}.kind: no kind {kind!r}; {hint(str(kind), KINDS)}")
    for key in _OF_KIND[kind]:
        if not entry.get(key):
            raise UserError(f"{where}.{key}: missing; a {kind} metric needs it")
    inputs = entry.get("inputs") or []
    if isinstance(inputs, str) or not all(isinstance(i, str) for i in inputs):
        raise UserError(f"{where}.inputs: {inputs!r}; write a list, as [slowfast, lse.lse_c]")
    for text in inputs:
        _check_input(where, text, columns)
    direction = entry.get("direction", 1)
    if direction not in (1, -1) or isinstance(direction, bool):
        raise UserError(f"{where}.direction: {direction!r}; write 1 (higher is better) or -1")
    head, options = entry.get("head"), dict(entry.get("options") or {})
    if kind == "regressor":
        try:
            options = heads.merged_options(str(head), _with_loss(str(head), entry, options))
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
    else:
        for key in ("options", "loss"):
            if entry.get(key):
                raise UserError(f"{where}.{key}: a {kind} metric learns nothing; leave it out")
        if kind == "control":
            if inputs:
                raise UserError(f"{where}.inputs: a control has none; leave them out")
            head = control_names.known(str(head or name), name)
        elif head or len(inputs) != 1:
            raise UserError(
                f"{where}: a {kind} metric has one scalar column as its inputs, and no head"
            )
    return {
        "name": name,
        "kind": kind,
        "group": entry.get("group") or kind,
        "inputs": list(inputs),
        "head": head,
        "options": options,
        "direction": direction,
        "dimensions": list(entry["dimensions"]) if entry.get("dimensions") else None,
        "published": _published(f"{where}.published", entry.get("published")),
    }


def _with_loss(head: str, entry: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with the entry's own loss among them."""
    if "loss" not in entry:
        return dict(options)
    if "loss" in options:
        raise UserError("loss stands beside options and in them; keep one")
    if "loss" not in heads.merged_options(head, {}):
        able = [name for name in heads.names() if "loss" in heads.merged_options(name, {})]
        raise UserError(
            f"loss: head {head} has no loss to choose; leave it out, or take {', '.join(able)}"
        )
    return {**options, "loss": entry["loss"]}


def _published(where: str, given: Any) -> list[dict[str, Any]]:
    """A paper's figures as a list, checked; the empty list where none are given."""
    listed = [] if given is None else given if isinstance(given, list) else [given]
    for one in listed:
        if not isinstance(one, Mapping):
            raise UserError(f"{where}: {one!r}; write {{source: 'SFQA, Table 2', srcc: 0.7}}")
        for key, value in one.items():
            if key not in _WORDS + _FIGURES:
                raise UserError(f"{where}: no key {key!r}; {hint(key, _WORDS + _FIGURES)}")
            if key in _WORDS and not (isinstance(value, str) and value.strip()):
                raise UserError(f"{where}.{key}: {value!r}; write some words")
            if key in _FIGURES and not _is_figure(key, value):
                kind = "a number of 0 or more" if key == "rmse" else "a number from -1 to 1"
                raise UserError(f"{where}.{key}: {value!r}; write {kind}")
        if "source" not in one:
            raise UserError(f"{where}.source: missing; name the paper and its table")
        if not any(key in one for key in _FIGURES):
            raise UserError(f"{where}: no figure; add some of {', '.join(_FIGURES)}")
    return [dict(one) for one in listed]


def _is_figure(key: str, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return 0 <= value < float("inf") if key == "rmse" else -1 <= value <= 1


def _check_input(where: str, text: str, columns: Mapping[str, Sequence[str] | None]) -> None:
    extractor, _, column = text.partition(".")
    if extractor not in columns:
        raise UserError(f"{where}.inputs: no features {extractor!r}; {hint(extractor, columns)}")
    names = columns[extractor]
    if column and names is not None and column not in names:
        raise UserError(f"{where}.inputs: {extractor} has no {column!r}; {hint(column, names)}")
