"""The first weights of a network that is trained from views: the option ``start``.

``checkpoint`` stands for the network of the extractor whose views are read, with its weights. Any
other text but ``random`` is the path of a file: a model file of the same backbone, or a checkpoint
in the form that the extractor loads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from sfqa.arrays import AnyArray
from sfqa.errors import UserError
from sfqa.features.extractors import EXTRACTORS
from sfqa.features.weights import OFFICIAL, Weights, resolve_weights
from sfqa.identity import read_stamp, sha256_file
from sfqa.regression.fine_tuning.language_base import (
    IDENTITY,
    LanguageBase,
    check_identity,
    is_language_model,
)
from sfqa.regression.fine_tuning.registry import (
    BACKBONES,
    check_branches,
    check_inputs,
    check_view_options,
    list_view_extractors,
    load_backbone,
)
from sfqa.regression.training_options import BASE

CHECKPOINT, RANDOM = "checkpoint", "random"
#: Key of the file among the sources of first weights; no extractor has such a name.
FILE = "file of start"
_MODEL_SUFFIX = ".sfqa"
_PREFIX = "0/network."


def trains_backbone(options: Mapping[str, Any] | None) -> bool:
    """Return whether these options are those of a head that trains a backbone."""
    return "backbone" in (options or {})


def check_start(options: Mapping[str, Any], inputs: Sequence[str], where: str) -> None:
    """Raise :class:`UserError` for what a backbone lacks or cannot do, and for a missing file.

    ``where`` is the place of the option in messages.
    """
    metric = where.removesuffix(".options.start")
    check_inputs(options["backbone"], list(inputs), metric)
    parts = [options["train"], *(stage["train"] for stage in options["stages"])]
    check_branches(options["backbone"], parts, f"{metric}.options, stages or train")
    check_view_options(options, metric)
    start = options["start"]
    is_model_file = Path(start).suffix == _MODEL_SUFFIX
    if is_language_model(options) and start != CHECKPOINT and not is_model_file:
        raise UserError(
            f"{where}: {start}; a language model is tuned from its published weights: write "
            f"{CHECKPOINT}, or the path of a model file, whose adapters learn on"
        )
    if start not in (CHECKPOINT, RANDOM) and not Path(start).is_file():
        raise UserError(
            f"{where}: there is no file {start}; write {CHECKPOINT}, {RANDOM}, or "
            "the path of a model file or checkpoint"
        )


def list_source_extractors(options: Mapping[str, Any], inputs: Sequence[str]) -> list[str]:
    """Return the extractors whose weights are the first ones, or the base of adapters."""
    if options["start"] != CHECKPOINT and not is_language_model(options):
        return []
    return list_view_extractors(options["backbone"], list(inputs))


def describe_file(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return path and sha256 of the file that ``start`` names, under :data:`FILE`; else nothing."""
    start = str(options["start"])
    if start in (CHECKPOINT, RANDOM):
        return {}
    return {FILE: {"weights": start, "sha256": _hash_file(start, tuple(read_stamp(start) or ()))}}


@cache
def _hash_file(path: str, _: tuple[int, ...]) -> str:
    return sha256_file(path)


def load_start(
    options: Mapping[str, Any], inputs: Sequence[str], sources: Mapping[str, Any], name: str
) -> dict[str, AnyArray] | None:
    """Return the first weights of a network by name, None if all are drawn.

    ``sources`` are those of the job: of the extractors, or of the file. ``name`` is the metric's.
    Raises :class:`UserError` for a missing or wrong file and for one of another network.
    """
    start, where = str(options["start"]), f"metric {name}, start"
    if is_language_model(options):
        return _load_adapters(options, sources, where)
    if start == RANDOM:
        return None
    if start == CHECKPOINT:
        weights = {}
        for extractor in list_view_extractors(options["backbone"], list(inputs)):
            _check_size(options, sources[extractor].get("options") or {}, extractor, where)
            name_without_label = EXTRACTORS.drop_label(extractor)
            weights[name_without_label] = resolve_weights(sources[extractor], extractor)
    else:
        path, expected = _find_file(sources, where), str(sources[FILE]["sha256"])
        if path.suffix == _MODEL_SUFFIX:
            return _read_model_file(path, options, where)
        extractors = BACKBONES[options["backbone"]].extractors
        if len(extractors) > 1:
            raise UserError(
                f"{where}: the backbone {options['backbone']} is in no single checkpoint; give a "
                f"model file, or write {CHECKPOINT}"
            )
        weights = {extractors[0]: Weights(OFFICIAL, expected, path)}
    state = load_backbone(options["backbone"]).load_published(weights, options)
    return {key: value.numpy() for key, value in state.items()}


def _find_file(sources: Mapping[str, Any], where: str) -> Path:
    """Return the path of the file that ``start`` names; it must be that of the plan."""
    path = Path(sources[FILE]["weights"])
    if not path.is_file() or sha256_file(path) != sources[FILE]["sha256"]:
        raise UserError(f"{where}: {path} is missing or was changed since the run was planned")
    return path


def _load_adapters(
    options: Mapping[str, Any], sources: Mapping[str, Any], where: str
) -> dict[str, AnyArray]:
    """Return the identity of a language model, and adapters if ``start`` names a model file."""
    base: LanguageBase = options[BASE]
    if options["start"] == CHECKPOINT:
        return {IDENTITY: base.compute_identity()}
    path = _find_file(sources, where)
    adapters = _read_model_file(path, options, where)
    _check_adapters(options, path, where)
    check_identity(adapters, base, f"{where}, {path}")
    return adapters


def _check_adapters(options: Mapping[str, Any], path: Path, where: str) -> None:
    """Raise :class:`UserError` if adapters of a model file would be of another size or scale."""
    from sfqa.regression import model_files

    trained = model_files.read(path).metadata["head"]["options"]
    for key in ("lora_rank", "lora_alpha"):
        if trained.get(key) != options[key]:
            raise UserError(
                f"{where}: the adapters of {path} were trained with {key}: {trained.get(key)}, and "
                f"the head has {key}: {options[key]}; give both the same"
            )


def _check_size(
    options: Mapping[str, Any], features: Mapping[str, Any], extractor: str, where: str
) -> None:
    """Raise :class:`UserError` if head and extractor build networks of different sizes."""
    merged = EXTRACTORS.merge_options(
        EXTRACTORS.drop_label(extractor), features, f"config, features.{extractor}.options"
    )
    for key in ("blocks", "model"):
        is_shared = key == "blocks" or options["backbone"] == "image"
        if is_shared and key in merged and merged[key] != options[key]:
            raise UserError(
                f"{where}: {extractor} has {key}: {merged[key]}, and the head {key}: "
                f"{options[key]}; give both the same"
            )
    if options["backbone"] == "valor" and merged["model"] != "base":
        raise UserError(
            f"{where}: {extractor} has model: {merged['model']}, and the backbone valor is that of "
            "VALOR-base; write model: base in its options"
        )


def _read_model_file(path: Path, options: Mapping[str, Any], where: str) -> dict[str, AnyArray]:
    """Return the network of the first dimension of a model file."""
    from sfqa.regression import model_files

    model = model_files.read(path)
    head = model.metadata["head"]
    theirs = {"head": head["name"], "backbone": head["options"].get("backbone")}
    if theirs != {"head": "fine_tuned", "backbone": options["backbone"]}:
        raise UserError(
            f"{where}: {path} holds the head {theirs['head']} with the backbone "
            f"{theirs['backbone']}; give a model of the backbone {options['backbone']}"
        )
    return {
        name.removeprefix("0/network."): values
        for name, values in model.arrays.items()
        if name.startswith(_PREFIX)
    }
