"""The first weights of a head: those of a published checkpoint (``start: checkpoint``).

The checkpoint of FAST-VQA, DOVER and ImageReward holds the network of an extractor and the head on
its maps. A head that starts from it gets the tensors of its inputs' heads, from the same file as
the extractor, or with ``weights: random`` from the same untrained network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sfqa.arrays import AnyArray
from sfqa.errors import UserError
from sfqa.features.extractors import EXTRACTORS
from sfqa.features.official import add_digests
from sfqa.features.weights import Weights, read_state, resolve_weights
from sfqa.regression import heads
from sfqa.regression.fine_tuning import starts
from sfqa.regression.fine_tuning.language_base import add_question as add_question
from sfqa.regression.fine_tuning.language_base import find_base, is_language_model

if TYPE_CHECKING:
    from torch import nn

    from sfqa.features.weights_plan import WeightsPlan

#: Key of a job's metric: the configuration of the extractors whose weights hold its heads.
KEY = "first_weights"
#: The value of the option ``start`` of a head that starts from a published one.
CHECKPOINT = "checkpoint"
#: Where the head of a feature column is in the state of its extractor's network.
PREFIXES = {
    "fast_vqa.map": "vqa_head.",
    "dover.technical": "technical_head.",
    "dover.aesthetic": "aesthetic_head.",
    "blip.cls": "mlp.",
}
#: Width of the hidden layer of the published heads of maps.
PUBLISHED_WIDTH = 64
#: What an extractor depends on that decides the numbers of its network.
_SPEC_KEYS = ("weights", "weights_seed", "sha256", "options", "official", "parts")


def starts_from_checkpoint(metric: Mapping[str, Any]) -> bool:
    """Return whether a metric's head starts from a published head."""
    return (metric.get("options") or {}).get("start") == CHECKPOINT


def find_prefix(text: str) -> str:
    """Return where the head of an input is in its checkpoint, '' if it has none.

    >>> find_prefix("dover.technical"), find_prefix("fast_vqa-again.map"), find_prefix("clip.image")
    ('technical_head.', 'vqa_head.', '')
    """
    extractor, _, column = text.partition(".")
    return PREFIXES.get(f"{EXTRACTORS.drop_label(extractor)}.{column}", "")


def check_inputs(options: Mapping[str, Any], inputs: Sequence[str], where: str) -> None:
    """Raise :class:`UserError` if a head starts from a published one and an input has none.

    Also for another width than the published one, and for a backbone that reads other inputs.
    """
    if starts.trains_backbone(options):
        starts.check_start(options, inputs, where)
        return
    if not starts_from_checkpoint({"options": options}):
        return
    for text in inputs:
        if not find_prefix(text):
            raise UserError(
                f"{where}: no published head reads {text}; there are heads of "
                f"{', '.join(PREFIXES)}; write start: random"
            )
    if options.get("hidden", PUBLISHED_WIDTH) != PUBLISHED_WIDTH:
        raise UserError(
            f"{where}: the published heads have a hidden layer of {PUBLISHED_WIDTH}, and hidden is "
            f"{options['hidden']}; leave hidden out, or write start: random"
        )


def select_sources(
    metric: Mapping[str, Any], features: Mapping[str, Any], weights: WeightsPlan
) -> dict[str, Any]:
    """Return the key :data:`KEY` with where the first weights are, nothing if there are none.

    A job depends on it. ``features`` is that section of a complete configuration.
    """
    sources = {}
    if starts.trains_backbone(metric.get("options")):
        sources = starts.describe_file(metric["options"])
    for extractor in list_source_extractors(metric):
        spec = weights.add_official(features[extractor], extractor)
        sources[extractor] = {key: spec[key] for key in _SPEC_KEYS if key in spec}
    return {KEY: sources} if sources else {}


def draws_backbone(metric: Mapping[str, Any]) -> bool:
    """Return whether a metric trains a backbone from random weights.

    >>> draws_backbone({"options": {"backbone": "fast_vqa", "start": "random"}})
    True
    """
    options = metric.get("options") or {}
    return starts.trains_backbone(options) and options["start"] == starts.RANDOM


def list_source_extractors(metric: Mapping[str, Any]) -> list[str]:
    """Return the extractors whose weights a metric starts from."""
    if starts.trains_backbone(metric.get("options")):
        return starts.list_source_extractors(metric["options"], metric["inputs"])
    return list(metric["extractors"]) if starts_from_checkpoint(metric) else []


def list_manifests(metric: Mapping[str, Any], weights: WeightsPlan) -> list[str]:
    """Return the manifests of the official weights that a metric starts from."""
    extractors = list_source_extractors(metric)
    return weights.list_manifests_of(extractors) if extractors else []


def add_manifests(metric: Mapping[str, Any], manifests: Sequence[str]) -> dict[str, Any]:
    """Return the metric of a job with the digests of the official weights that it starts from."""
    sources = metric.get(KEY) or {}
    if not sources:
        return dict(metric)
    digests = {name: add_digests(spec, manifests) for name, spec in sources.items()}
    return {**metric, KEY: digests}


def add_base(metric: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a fit, with the network that adapters are trained beside, if any are.

    ``metric`` is that of a job, ``options`` are all options of its head. Raises :class:`UserError`
    for a missing or wrong file.
    """
    if not is_language_model(options):
        return dict(options)
    where = f"metric {metric['name']}"
    return {**options, **find_base(options, metric["inputs"], metric.get(KEY) or {}, where)}


def load_first_weights(
    metric: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, AnyArray] | None:
    """Return the first weights of a metric's networks, by parameter; None to draw them.

    ``metric`` is that of a job, ``options`` are those of :func:`add_base`. The parameters of the
    head of a role are called 'heads.<role>.<name>' (:mod:`sfqa.regression.networks.branches`).
    Raises :class:`UserError` for a missing or wrong file, and for one without the head.
    """
    if starts.trains_backbone(options):
        sources = metric.get(KEY) or {}
        return starts.load_start(options, metric["inputs"], sources, str(metric["name"]))
    if not starts_from_checkpoint(metric):
        return None
    head_inputs = heads.load_head(str(metric["head"])).list_inputs(options, metric["inputs"])
    states: dict[str, Mapping[str, Any]] = {}
    first_weights: dict[str, AnyArray] = {}
    for text, head_input in zip(metric["inputs"], head_inputs, strict=True):
        extractor = text.partition(".")[0]
        if not head_input.used:
            continue
        if extractor not in states:
            states[extractor] = _read_network(extractor, metric[KEY][extractor])
        prefix = find_prefix(text)
        tensors = {k: v for k, v in states[extractor].items() if k.startswith(prefix)}
        if not tensors:
            raise UserError(
                f"metric {metric['name']}: the weights of {extractor} have no head {prefix}*, from "
                "which it starts; give the whole checkpoint, or write start: random"
            )
        for key, value in tensors.items():
            first_weights[f"heads.{head_input.role}.{key[len(prefix) :]}"] = value.float().numpy()
    return first_weights


def _read_network(extractor: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the state of an extractor's network, from its file or drawn as the extractor does."""
    weights = resolve_weights(spec, extractor)
    if weights.path is not None:
        return read_state(weights.path, weights.keys)
    name = EXTRACTORS.drop_label(extractor)
    options = EXTRACTORS.merge_options(name, spec.get("options") or {}, f"features.{extractor}")
    return _draw_network(name, options, weights)


def _draw_network(name: str, options: Mapping[str, Any], weights: Weights) -> Mapping[str, Any]:
    from sfqa.features.blip_net import ImageReward
    from sfqa.features.map_networks import Dover, FastVqa

    reduced = options.get("blocks") == "reduced"
    builders: dict[str, Callable[[], nn.Module]] = {
        "fast_vqa": lambda: FastVqa(reduced),
        "dover": lambda: Dover(reduced),
        "blip": ImageReward,
    }
    return weights.load(builders[name]).state_dict()
