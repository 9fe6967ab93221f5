"""Quality models in a configuration: ``regression.models`` becomes features and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sfqa.errors import UserError, hint
from sfqa.features import base, official
from sfqa.features.extractors import EXTRACTORS
from sfqa.models.quality_models import QualityModel, get_model, load_models
from sfqa.models.weights_files import WeightsFile
from sfqa.project_files import PROJECT
from sfqa.regression.metrics import list_metrics

#: The project's registry of quality models.
REGISTRY = PROJECT / "config" / "models.yaml"
#: Keys of a metric that a configuration may set for a model.
OVERRIDES = (
    "group", "options", "loss", "dimensions", "published", "jobs", "model", "reading",
)  # fmt: skip
#: Keys of a row that say something about it and are no part of its metric.
_DESCRIPTIONS = ("model", "reading")


def load_checked_models(
    path: Path | str | None = None, weights: Mapping[str, WeightsFile] | None = None
) -> dict[str, QualityModel]:
    """Return the quality models of a registry, with extractors, heads and weights checked.

    By default both registries are the project's. Raises :class:`UserError` for any mistake.
    """
    path = path or REGISTRY
    entries = official.load_registry() if weights is None else weights
    models = load_models(path)
    for name, model in models.items():
        _check_model(model, entries, f"{path}, {name}")
        if model.reduced:
            _check_model(model.reduce(), None, f"{path}, {name}, reduced")
    return models


def list_names(models: Any) -> dict[str, dict[str, Any]]:
    """Return the overrides of every model in ``regression.models``, a list or a mapping.

    >>> list_names(["LSE-C"]), list_names({"LSE-C": {"group": "Sync"}})
    ({'LSE-C': {}}, {'LSE-C': {'group': 'Sync'}})
    """
    if isinstance(models, Mapping):
        return {name: dict(overrides or {}) for name, overrides in models.items()}
    return {name: {} for name in models}


def get_base(name: str, overrides: Mapping[str, Any]) -> str:
    """Return the model of the registry that a row of ``regression.models`` is made from.

    >>> get_base("LSE-C", {}), get_base("UGVQ-text", {"model": "UGVQ"})
    ('LSE-C', 'UGVQ')
    """
    return str(overrides.get("model", name))


def expand_models(config: dict[str, Any]) -> dict[str, Any]:
    """Return a complete configuration with the features and metrics of its quality models.

    Extractors that the configuration does not have are added with official weights (or those of
    ``weights.models``); those that it has keep their weights. Raises :class:`UserError` for an
    unknown model or override, for options of an extractor that a model does not allow, and for a
    name that a metric has, too.
    """
    names = list_names(config["regression"].get("models", []))
    if not names:
        return config
    if config["mode"] == "import_features":
        raise UserError(
            "config, regression.models: quality models are computed from videos, and the mode "
            "import_features has none; write metrics of the table's columns"
        )
    registry, is_reduced = (config["regression"][key] for key in ("registry", "reduced"))
    if is_reduced and config["weights"]["models"] != "random":
        raise UserError(
            "config, regression.reduced: published weights do not fit reduced networks; write "
            "weights: {models: random}"
        )
    weights = official.load_registry(config["weights"]["registry"])
    models = load_checked_models(registry, weights)
    features = {name: dict(spec) for name, spec in config.get("features", {}).items()}
    metrics: dict[str, Any] = {}
    fixed_by: dict[tuple[str, str], str] = {}
    for name, overrides in names.items():
        model = get_model(models, get_base(name, overrides), "config, regression.models")
        model = model.reduce() if is_reduced else model
        metrics[name] = _override(name, model, overrides)
        _add_features(features, model, fixed_by, config["weights"]["models"])
    own_metrics = config["regression"]["metrics"]
    for name in own_metrics:
        if name.casefold() in {model_name.casefold() for model_name in names}:
            raise UserError(
                f"config, regression.metrics.{name}: a quality model of regression.models has this "
                "name; rename the metric, or override the model there"
            )
    regression = {**config["regression"], "metrics": {**metrics, **own_metrics}}
    return {**config, "features": features, "regression": regression}


def _override(name: str, model: QualityModel, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metric of a row; a variant of a model does not have the model's figures."""
    where = f"config, regression.models.{name}"
    for key in overrides:
        if key not in OVERRIDES:
            raise UserError(f"{where}: {key!r} cannot be overridden; {hint(key, OVERRIDES)}")
    reading = overrides.get("reading", [])
    if not isinstance(reading, list) or not all(isinstance(s, str) and s for s in reading):
        raise UserError(f"{where}.reading: {reading!r}; write a list of sentences")
    metric = model.make_metric()
    if model.name != name:
        metric.pop("published", None)
    options = {**metric.get("options", {}), **(overrides.get("options") or {})}
    described = ("options", *_DESCRIPTIONS)
    metric |= {key: value for key, value in overrides.items() if key not in described}
    if overrides.get("loss"):  # short for the option of that name
        options.pop("loss", None)
    return {**metric, "options": options} if options else metric


def _add_features(
    features: dict[str, dict[str, Any]],
    model: QualityModel,
    fixed_by: dict[tuple[str, str], str],
    weights: str,
) -> None:
    """Add the extractors of a model to the section ``features``, with the options that it fixes.

    ``weights`` are those of the extractors that the section does not have: official or random.
    """
    for extractor, options in model.features.items():
        if extractor not in features:
            features[extractor] = {
                "weights": weights if base.has_weights(extractor) else "none",
                "weights_seed": 0,
                "options": {},
            }
        spec = features[extractor]
        present = EXTRACTORS.merge_options(
            extractor, spec["options"], f"config, features.{extractor}.options"
        )
        for key, value in options.items():
            if key in spec["options"] and present[key] != value:
                other = fixed_by.get((extractor, key))
                reason = f"the model {other} needs" if other else "the configuration has"
                raise UserError(
                    f"config, features.{extractor}.options.{key}: the model {model.name} needs "
                    f"{value!r}, and {reason} {present[key]!r}; leave one of them out, or write a "
                    "metric of your own"
                )
            fixed_by.setdefault((extractor, key), model.name)
        spec["options"] = {**spec["options"], **options}


def _check_model(
    model: QualityModel, entries: Mapping[str, WeightsFile] | None, where: str
) -> None:
    """Check a model; its list of weights only with the entries of the weights files."""
    needed = []
    for extractor, options in model.features.items():
        try:
            merged = EXTRACTORS.merge_options(extractor, options, f"features.{extractor}.options")
        except UserError as error:
            raise UserError(f"{where}, {error}".replace("config, features: ", "")) from None
        if entries and base.has_weights(extractor) and not base.is_command(extractor):
            spec = {"weights": "official", "options": merged}
            files = official.find_official_files(entries, extractor, spec)
            needed += [entry.name for entry in files.values()]
    if entries is not None and sorted(model.weights) != sorted(needed):
        raise UserError(
            f"{where}: weights is [{', '.join(model.weights)}], and its features need "
            f"[{', '.join(needed)}]; correct one of them"
        )
    try:
        list_metrics({model.name: model.make_metric()}, dict.fromkeys(model.features))
    except UserError as error:
        sentence = str(error).removeprefix(f"config, regression.metrics.{model.name}")
        raise UserError(f"{where}{sentence}") from None
