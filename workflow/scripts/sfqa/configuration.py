"""Read a configuration: fill in the defaults and report every mistake before any job runs."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from sfqa.errors import UserError, describe_nearest_file, hint
from sfqa.project_files import locate_default
from sfqa.raw_form import check_raw
from sfqa.sample_fields import ALL_PROTOCOL, check_dimensions, check_fields
from sfqa.schema_errors import describe_schema_error
from sfqa.tables import SCORES
from sfqa.yaml_names import check_keys, check_texts

#: Keys of earlier versions, with their present names.
_RENAMED_KEYS = {"door": "mode"}
#: Sheets of the demo's material, by their keys in the section ``materials``.
_DEMO_SHEETS = {"images": "resources/demo/images.csv", "clips": "resources/demo/clips.csv"}
#: Entries of a metric that are names.
_METRIC_TEXTS = ("group", "inputs", "head", "loss", "each", "dimensions", "protocol", "dimension")
#: What a protocol may group by, besides the keys of ``import.keys``: splits.grouping.GROUPS, which
#: is not imported here because planning a workflow needs no pandas.
GROUP_NAMES = (
    "image", "clip", "prompt", "method", "image_source", "image_category", "style", "language",
    "video",
)  # fmt: skip
#: Sections that a mode needs.
_NEEDED_SECTIONS = {
    "build": ("materials", "pairs", "generation"),
    "import_videos": ("import",),
    "import_features": ("import",),
}


def complete_config(
    config: Mapping[str, Any], schema_file: Path | str, needs_data: bool = True
) -> dict[str, Any]:
    """Return a checked copy of a configuration with the defaults of the schema.

    Paths in ``config`` start at the working directory. Defaults of format ``project-path`` are
    files of the project whose schema ``schema_file`` is, and start at its folder. Without
    ``needs_data`` only the schema is checked, and the user's files may be missing. Raises
    :class:`UserError` that names the wrong key and says what to write instead.
    """
    full = complete_sections(config, schema_file)
    if not needs_data:
        return full
    missing = list_missing_files(full)
    if len(missing) > 1:
        lines = [f"  {key}: {path}" for key, path in missing]
        raise UserError(
            "config: these files are missing (paths start at the working directory, "
            f"{Path.cwd()}):\n" + "\n".join(lines) + "\nPut them there or correct the paths; "
            "without them, sfqa models and sfqa weights --config FILE show the rest of the plan, "
            "and snakemake fetch_weights and fetch_generators run"
        )
    _check_config(full)
    return full


def complete_sections(config: Mapping[str, Any], schema_file: Path | str) -> dict[str, Any]:
    """Return a copy of a configuration with the defaults, checked by the schema only.

    The files that it names may be missing. Raises as :func:`complete_config`.
    """
    check_keys(config, "config")
    _reject_old_keys(config)
    schema = yaml.safe_load(Path(schema_file).read_text())
    full: dict[str, Any] = _parse_texts(copy.deepcopy(dict(config)), schema)
    errors = sorted(
        Draft202012Validator(schema).iter_errors(full), key=lambda e: list(map(str, e.path))
    )
    if errors:
        raise UserError(describe_schema_error(errors[0], schema["properties"]))
    if full["mode"] == "build":
        # A second configuration may turn one of imported videos into one that builds.
        full.pop("import", None)
    for section in (
        "generation",
        "weights",
        "conform",
        "ratings",
        "regression",
        "correlation",
        *_NEEDED_SECTIONS[full["mode"]],
    ):
        full.setdefault(section, {})
    # Of the keys in this section, all others are extractors.
    full["require_gpu"] = {
        "features": full.get("features", {}).pop("require_gpu", False),
        "regression": full["regression"].pop("require_gpu", False),
    }
    project = Path(schema_file).absolute().parents[2]
    _fill_defaults(full, schema, project)
    return full


def _reject_old_keys(config: Mapping[str, Any]) -> None:
    """Raise :class:`UserError` for a key or value of an earlier version and name its successor."""
    for old_key, new_key in _RENAMED_KEYS.items():
        if old_key in config:
            raise UserError(
                f"config: the key {old_key!r} is now called {new_key!r}; write "
                f"'{new_key}: {config[old_key]}'"
            )
    materials = config.get("materials")
    if not isinstance(materials, Mapping):
        return
    for key, sheet in _DEMO_SHEETS.items():
        if materials.get(key) == "synthetic":
            raise UserError(
                f"config, materials.{key}: 'synthetic' is no longer possible; write "
                f"'{key}: {sheet}' for the demo's material, or name a sheet of your own"
            )
    if "synthetic" in materials:
        raise UserError(
            "config, materials: the key 'synthetic' is no longer known; delete it and write "
            f"'images: {_DEMO_SHEETS['images']}' and 'clips: {_DEMO_SHEETS['clips']}' for the "
            "demo's material; for fewer of them copy the sheets' first rows"
        )


def _parse_texts(value: Any, schema: Mapping[str, Any]) -> Any:
    """Convert text to a number or boolean if the schema asks for one and the text is one.

    Values inside braces on the command line (``--config 'pairs={count: 4}'``) are always text.
    """
    expected_type = schema.get("type")
    if isinstance(value, str) and expected_type in ("integer", "number", "boolean"):
        parsed = yaml.safe_load(value) if value.strip() else value
        return parsed if isinstance(parsed, int | float) else value
    if isinstance(value, dict):
        parts, others = schema.get("properties", {}), schema.get("additionalProperties")
        rest = others if isinstance(others, dict) else {}
        return {k: _parse_texts(v, parts.get(k, rest)) for k, v in value.items()}
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [_parse_texts(item, schema["items"]) for item in value]
    return value


def _fill_defaults(value: dict[str, Any], schema: Mapping[str, Any], project: Path) -> None:
    """Fill in the defaults of a section and of the sections inside it."""
    for key, part in schema.get("properties", {}).items():
        if "default" in part and key not in value:
            value[key] = copy.deepcopy(part["default"])
            if part.get("format") == "project-path":
                value[key] = locate_default(project, part["default"])
        if part.get("type") == "object" and "properties" in part and key in value:
            _fill_defaults(value[key], part, project)
        extra = part.get("additionalProperties")
        if isinstance(extra, dict) and "properties" in extra and key in value:
            for entry in value[key].values():
                _fill_defaults(entry, extra, project)


def list_missing_files(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (key, path) of the missing files that a complete configuration names.

    Weights and files of the project (registries) are not among them.
    """
    sections = {
        "build": (("materials", "images"), ("materials", "clips"), ("pairs", "keep")),
        "import_videos": (("import", "sheet"), ("import", "folder")),
        "import_features": (("import", "table"),),
    }[config["mode"]]
    keys = [*sections, ("ratings", "tags"), ("ratings", "answers")]
    if config["ratings"]["source"] in ("table", "wide"):
        keys.append(("ratings", "path"))
    return [
        (f"{section}.{key}", path)
        for section, key in keys
        if (path := config.get(section, {}).get(key)) and not Path(path).exists()
    ]


def _check_config(config: Mapping[str, Any]) -> None:
    """Check what the schema cannot express: files that must exist, keys that belong together."""
    if config["mode"] == "build":
        _check_build(config)
    source = config.get("import", {})
    if config["mode"] == "import_videos":
        _check_imported_videos(source)
        if "raw" in source and config["conform"]["mode"] == "none":
            raise UserError(
                "config, conform.mode: raw videos (import.raw) cannot be used as they are; write "
                "mode: encode"
            )
    if config["mode"] == "import_features":
        for key in ("table", "id", "mos"):
            if not source.get(key):
                raise UserError(f"config, import.{key}: missing; mode: import_features needs it")
        _require_file(source["table"], "import.table")
        check_fields(source)
        check_dimensions(source["mos"], "config, import.mos")
    _check_ratings(config)
    for name, spec in config.get("features", {}).items():
        for part, part_spec in spec.get("parts", {}).items():
            _require_file(
                part_spec["weights"], f"features.{name}.parts.{part}.weights", unless="official"
            )
        if spec["weights"] not in ("random", "none", "official"):
            _require_file(spec["weights"], f"features.{name}.weights", unless="random")
            if "sha256" not in spec:
                raise UserError(
                    f"config, features.{name}.sha256: missing; give the sha256 of "
                    f"{spec['weights']} (sha256sum prints it)"
                )
        elif "sha256" in spec:
            raise UserError(
                f"config, features.{name}.sha256: goes with the path of a file; with weights: "
                f"{spec['weights']} leave it out"
            )
    for name, entry in config["regression"]["metrics"].items():
        check_texts(entry, f"config, regression.metrics.{name}", _METRIC_TEXTS)
    _check_protocols(config)


def _check_build(config: Mapping[str, Any]) -> None:
    materials = config["materials"]
    for name in ("images", "clips"):
        _require_file(materials[name], f"materials.{name}")
    low, high = materials["clip_sec"]
    if low >= high:
        raise UserError(
            f"config, materials.clip_sec: {low} is not below {high}; give shortest, longest"
        )
    if "keep" in config["pairs"]:
        _require_file(config["pairs"]["keep"], "pairs.keep")
    if not config["generation"].get("methods"):
        raise UserError("config, generation.methods: missing; name at least one method")


def _check_imported_videos(source: Mapping[str, Any]) -> None:
    if ("sheet" in source) == ("folder" in source):
        raise UserError("config, import: give either a sheet or a folder of videos")
    key = "sheet" if "sheet" in source else "folder"
    _require_file(source[key], f"import.{key}")
    if "labels" in source and "folder" not in source:
        raise UserError("config, import.labels: label files stand beside a folder; give the folder")
    for key in ("constant", "names", "lookups", "samples_by"):
        if source.get(key) and "labels" not in source:
            raise UserError(
                f"config, import.{key}: it is for label files; describe them in import.labels, or "
                "leave it out"
            )
    if "folder" in source and "pattern" not in source and "labels" not in source:
        raise UserError(
            "config, import.pattern: missing; a folder needs a regular expression with "
            r"a named group for the method, e.g. '(?P<method>[^/]+)/(?P<clip>.+)\.\w+'"
        )
    check_fields(source)
    if "raw" in source:
        check_raw(source["raw"])
    labels = source.get("labels", ())
    entries = [labels] if isinstance(labels, Mapping) else labels
    names = {name for entry in entries for name in entry.get("mos", ())}
    check_dimensions(names, "config, import.labels.mos")


def _check_ratings(config: Mapping[str, Any]) -> None:
    ratings = config["ratings"]
    if ratings["source"] == "labels" and "labels" not in config.get("import", {}):
        raise UserError(
            "config, ratings.source: labels needs the section import.labels, which describes the "
            "label files"
        )
    if ratings["source"] in ("table", "wide"):
        _require_file(ratings.get("path"), "ratings.path")
    if ratings["source"] == "study":
        folder = Path(ratings.get("path") or f"results/{config['dataset']}/ratings/study")
        if not (folder / SCORES.file_name).is_file():
            raise UserError(
                f"config, ratings.source: the study {folder} has no {SCORES.file_name}; write it "
                f"with sfqa rate export {folder}"
            )
    for key in ("tags", "answers"):
        if key in ratings:
            _require_file(ratings[key], f"ratings.{key}")
    if ratings["source"] == "simulated" and config["mode"] != "build":
        raise UserError(
            "config, ratings.source: 'simulated' knows the defects of procedural methods only; "
            "with imported videos give a table of scores, or none"
        )


def _check_protocols(config: Mapping[str, Any]) -> None:
    names = [p["name"] for p in config["regression"]["protocols"]]
    if len(set(names)) != len(names):
        raise UserError("config, regression.protocols: a name occurs twice; rename one")
    if ALL_PROTOCOL in names:
        raise UserError(
            f"config, regression.protocols {ALL_PROTOCOL!r}: this is the name of the protocol of "
            "zero-shot metrics over all rated videos, which is always there; give yours another "
            "name, such as random"
        )
    known_groups = [*GROUP_NAMES, *config.get("import", {}).get("keys", ())]
    for protocol in config["regression"]["protocols"]:
        named = [("groups", group) for group in protocol.get("groups", ())]
        if "stratify" in protocol:
            named.append(("stratify", protocol["stratify"]))
        for key, group in named:
            if group not in known_groups:
                raise UserError(
                    f"config, regression.protocols {protocol['name']!r}, {key}: no group "
                    f"{group!r}; {hint(group, known_groups)} (keys of your own are listed in "
                    "import.keys)"
                )
        if "lists" in protocol:
            if protocol["kind"] != "listed_trials":
                raise UserError(
                    f"config, regression.protocols {protocol['name']!r}: 'lists' is a key of kind "
                    "listed_trials; correct the kind, or leave it out"
                )
            protocol["lists"].setdefault("folder", config.get("import", {}).get("folder", "."))
    main = config["correlation"].get("protocol", names[0] if names else None)
    # Without protocols of its own, the plan chooses those that the samples allow.
    if names and main not in names:
        raise UserError(
            f"config, correlation.protocol: {main!r} is not a protocol; "
            f"{hint(main, names)} (regression.protocols)"
        )


def _require_file(path: str | None, key: str, unless: str = "") -> None:
    if path and path == unless:
        return
    if not path or not Path(path).exists():
        alternative = f", or write {unless!r}" if unless else ""
        nearest = describe_nearest_file(path) if path else ""
        raise UserError(
            f"config, {key}: there is no file {path!r} (paths start at the working directory, "
            f"{Path.cwd()}){nearest}; put it there or correct the path"
            f"{alternative}"
        )
