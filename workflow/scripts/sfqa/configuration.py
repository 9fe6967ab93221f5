"""The configuration: defaults filled in, every mistake told as a sentence before any job runs."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from sfqa.errors import UserError, hint
from sfqa.tables import SCORES

#: Keys of earlier versions, with their present names.
_RENAMED_KEYS = {"door": "mode"}
#: Sheets of the demo's material, by their keys in the section ``materials``.
_DEMO_SHEETS = {"images": "resources/demo/images.csv", "clips": "resources/demo/clips.csv"}
_NEEDED = {
    "build": ("materials", "pairs", "generation"),
    "import_videos": ("import",),
    "import_features": ("import",),
}


def complete(config: Mapping[str, Any], schema_file: Path | str) -> dict[str, Any]:
    """Return the configuration with the schema's defaults, checked.

    Raises :class:`UserError` that says which key is wrong and what to write instead.
    """
    _refuse_old_keys(config)
    schema = yaml.safe_load(Path(schema_file).read_text())
    full: dict[str, Any] = _typed(copy.deepcopy(dict(config)), schema)
    errors = sorted(
        Draft202012Validator(schema).iter_errors(full), key=lambda e: list(map(str, e.path))
    )
    if errors:
        raise UserError(_sentence(errors[0]))
    for section in (
        "generation",
        "conform",
        "ratings",
        "regression",
        "correlation",
        *_NEEDED[full["mode"]],
    ):
        full.setdefault(section, {})
    _fill(full, schema)
    _check(full)
    return full


def _refuse_old_keys(config: Mapping[str, Any]) -> None:
    """Raise :class:`UserError` for a key or value of an earlier version, with what replaces it."""
    for old_key, new_key in _RENAMED_KEYS.items():
        if old_key in config:
            raise UserError(
                f"config: the key {old_key!r} is now called {new_key!r}; write "
                f"'{new_key}: {config[old_key]}'"
            )
    materials = config.get("materials")
    if not isinstance(materials, Mapping):
        return
    for kind, sheet in _DEMO_SHEETS.items():
        if materials.get(kind) == "synthetic":
            raise UserError(
                f"config, materials.{kind}: 'synthetic' is no longer possible; write "
                f"'{kind}: {sheet}' for the demo's material, or name a sheet of your own"
            )
    if "synthetic" in materials:
        raise UserError(
            "config, materials: the key 'synthetic' is no longer known; delete it and write "
            f"'images: {_DEMO_SHEETS['images']}' and 'clips: {_DEMO_SHEETS['clips']}' for the "
            "demo's material; for fewer of them copy the sheets' first rows"
        )


def _typed(value: Any, schema: Mapping[str, Any]) -> Any:
    """Turn text into the number or truth value that the schema asks for, where it is one.

    On the command line (``--config 'pairs={count: 4}'``) everything inside braces is text.
    """
    kind = schema.get("type")
    if isinstance(value, str) and kind in ("integer", "number", "boolean"):
        read = yaml.safe_load(value) if value.strip() else value
        return read if isinstance(read, int | float) else value
    if isinstance(value, dict):
        parts, others = schema.get("properties", {}), schema.get("additionalProperties")
        rest = others if isinstance(others, dict) else {}
        return {k: _typed(v, parts.get(k, rest)) for k, v in value.items()}
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [_typed(item, schema["items"]) for item in value]
    return value


def _fill(value: dict[str, Any], schema: Mapping[str, Any]) -> None:
    """Fill in the defaults of a section and of the sections inside it."""
    for key, part in schema.get("properties", {}).items():
        if "default" in part and key not in value:
            value[key] = copy.deepcopy(part["default"])
        if part.get("type") == "object" and "properties" in part and key in value:
            _fill(value[key], part)
        extra = part.get("additionalProperties")
        if isinstance(extra, dict) and "properties" in extra and key in value:
            for entry in value[key].values():
                _fill(entry, extra)


def _check(config: Mapping[str, Any]) -> None:
    """What a schema cannot say: files that must be there, keys that go together."""
    mode = config["mode"]
    if mode == "build":
        materials = config["materials"]
        for kind in ("images", "clips"):
            _must_exist(materials[kind], f"materials.{kind}")
        low, high = materials["clip_sec"]
        if low >= high:
            raise UserError(
                f"config, materials.clip_sec: {low} is not below {high}; give shortest, longest"
            )
        if "keep" in config["pairs"]:
            _must_exist(config["pairs"]["keep"], "pairs.keep")
        if not config["generation"].get("methods"):
            raise UserError("config, generation.methods: missing; name at least one method")
    source = config.get("import", {})
    if mode == "import_videos":
        if ("sheet" in source) == ("folder" in source):
            raise UserError("config, import: give either a sheet or a folder of videos")
        _must_exist(source.get("sheet") or source.get("folder"), "import.sheet or import.folder")
        if "folder" in source and "pattern" not in source:
            raise UserError(
                "config, import.pattern: missing; a folder needs a regular expression with "
                r"a named group for the method, e.g. '(?P<method>[^/]+)/(?P<clip>.+)\.mp4'"
            )
    if mode == "import_features":
        for key in ("table", "id", "mos"):
            if not source.get(key):
                raise UserError(f"config, import.{key}: missing; mode: import_features needs it")
        _must_exist(source["table"], "import.table")
    ratings = config["ratings"]
    if ratings["source"] in ("table", "wide"):
        _must_exist(ratings.get("path"), "ratings.path")
    if ratings["source"] == "study":
        folder = Path(ratings.get("path") or f"results/{config['dataset']}/ratings/study")
        if not (folder / SCORES.file_name).is_file():
            raise UserError(
                f"config, ratings.source: the study {folder} has no {SCORES.file_name}; write it "
                f"with sfqa rate export {folder}"
            )
    for key in ("tags", "answers"):
        if key in ratings:
            _must_exist(ratings[key], f"ratings.{key}")
    if ratings["source"] == "simulated" and mode != "build":
        raise UserError(
            "config, ratings.source: 'simulated' knows the defects of procedural methods only; "
            "with imported videos give a table of scores, or none"
        )
    for name, spec in config.get("features", {}).items():
        if spec["weights"] not in ("random", "none"):
            _must_exist(spec["weights"], f"features.{name}.weights", unless="random")
            if "sha256" not in spec:
                raise UserError(
                    f"config, features.{name}.sha256: missing; give the sha256 of "
                    f"{spec['weights']} (sha256sum prints it)"
                )
    names = [p["name"] for p in config["regression"]["protocols"]]
    if len(set(names)) != len(names):
        raise UserError("config, regression.protocols: a name is there twice; rename one")
    main = config["correlation"].get("protocol", names[0] if names else None)
    if main is not None and main not in names:
        raise UserError(
            f"config, correlation.protocol: {main!r} is no protocol; "
            f"{hint(main, names)} (regression.protocols)"
        )


def _must_exist(path: str | None, key: str, unless: str = "") -> None:
    if path and path == unless:
        return
    if not path or not Path(path).exists():
        alternative = f", or write {unless!r}" if unless else ""
        raise UserError(
            f"config, {key}: there is no file {path!r} (paths start at the folder where "
            f"snakemake is run); put it there or correct the path{alternative}"
        )


def _sentence(error: ValidationError) -> str:
    where = ".".join(str(p) for p in error.absolute_path)
    place = f"config, {where}" if where else "config"
    value: Any = error.instance
    wanted: Any = error.validator_value
    schema: Any = error.schema
    if error.validator == "additionalProperties":
        known = list(schema.get("properties", {}))
        wrong = next(k for k in value if k not in known)
        return f"{place}: unknown key {wrong!r}; {hint(wrong, known)}"
    if error.validator == "required":
        missing = next(k for k in wanted if k not in value)
        about = schema["properties"][missing].get("description", "")
        return f"{place}: the key {missing!r} is missing; add it. {about}"
    if error.validator == "enum":
        return (
            f"{place}: {value!r} is not possible; {hint(value, map(str, wanted), 'write one of')}"
        )
    if error.validator == "type":
        return f"{place}: {value!r} is not of type {wanted}; correct it"
    return f"{place}: {error.message}; {schema.get('description', 'correct it')}"
