"""The language model that a training starts from: it stays frozen, and no model file holds it.

Where it is travels among the options of a fit, under the key ``BASE`` of
:mod:`sfqa.regression.training_options`; a digest of what it is belongs to the fit's first weights
and to every stored network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sfqa.arrays import AnyArray
from sfqa.errors import UserError
from sfqa.features.extractors import EXTRACTORS
from sfqa.features.lmm_options import DIMENSIONS, LEVEL_WORDS
from sfqa.features.qwen_omni_tokens import LEVEL_IDS
from sfqa.features.weights import Weights, resolve_weights
from sfqa.regression.fine_tuning.registry import BACKBONES, list_view_extractors
from sfqa.regression.training_options import BASE

if TYPE_CHECKING:
    from torch import Tensor, nn

#: Names of the buffers that say which network is the base, and which dimension is asked about.
IDENTITY, QUESTION = "base", "question"


@dataclass(frozen=True)
class LanguageBase:
    """A language model: the weights of its extractor, its size if they are random, its format."""

    weights: Weights
    size: str
    precision: str

    def compute_identity(self) -> AnyArray:
        """Return the sha256 of what decides the numbers of the network, as 32 bytes."""
        text = f"{self.weights.identity} {self.size} {self.precision}"
        return np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8).copy()

    def load(self) -> tuple[nn.Module, Tensor]:
        """Return the language model on the CPU, and the rows of its head for the level words."""
        from sfqa.features.qwen_omni_net import load_thinker

        thinker: Any = load_thinker(self.weights, self.size, self.precision, "cpu")
        level_ids = [LEVEL_IDS[f" {word}"] for word in LEVEL_WORDS]
        return thinker.model.language_model, thinker.lm_head.weight[level_ids].float()

    def build_empty(self) -> tuple[nn.Module, Tensor]:
        """Return what :meth:`load` returns, without numbers (on the device ``meta``)."""
        import torch
        from transformers import Qwen2_5OmniThinkerTextModel

        from sfqa.features.qwen_omni_net import read_text_settings

        settings = read_text_settings(self.weights, self.size)
        with torch.device("meta"):
            language: nn.Module = Qwen2_5OmniThinkerTextModel(settings)
            dtype = torch.float32 if self.precision == "fp32" else torch.bfloat16
            return language.to(dtype), torch.empty(len(LEVEL_WORDS), settings.hidden_size)


def is_language_model(options: Mapping[str, Any] | None) -> bool:
    """Return whether a head with these options trains a language model.

    >>> is_language_model({"backbone": "qwen_omni"}), is_language_model({"backbone": "dover"})
    (True, False)
    """
    backbone = BACKBONES.get(str((options or {}).get("backbone")))
    return backbone is not None and backbone.lora


def find_base(
    options: Mapping[str, Any], inputs: Sequence[str], sources: Mapping[str, Any], where: str
) -> dict[str, LanguageBase]:
    """Return the base of a language model under :data:`BASE`; nothing for other heads.

    ``sources`` maps the extractor of the views to its entry in the configuration. Raises
    :class:`UserError`, which begins with ``where``, for a missing or wrong file, for weights as
    whole numbers, beside which no adapters are trained here, and for reduced blocks of a whole one.
    """
    if not is_language_model(options):
        return {}
    (extractor,) = list_view_extractors(options["backbone"], list(inputs))
    if extractor not in sources:
        raise UserError(
            f"{where}: the weights of {extractor}, whose language model is tuned, are not known; "
            "name the extractor in 'features'"
        )
    spec = sources[extractor]
    features = EXTRACTORS.merge_options(
        EXTRACTORS.drop_label(extractor), spec.get("options") or {}, where
    )
    if features["precision"] == "int8":
        raise UserError(
            f"{where}: the language model of {extractor} with precision: int8 cannot be tuned; "
            f"write precision: bf16 in features.{extractor}.options"
        )
    weights = resolve_weights(spec, extractor)
    is_small = weights.path is None and features["size"] == "tiny"
    if options.get("blocks") == "reduced" and not is_small:
        raise UserError(
            f"{where}: blocks: reduced is for a small language model, and that of {extractor} is "
            f"whole; write blocks: official, or weights: random and size: tiny in features."
            f"{extractor}"
        )
    return {BASE: LanguageBase(weights, features["size"], features["precision"])}


def check_questions(
    options: Mapping[str, Any] | None, dimensions: Iterable[str], where: str
) -> None:
    """Raise :class:`UserError`, which begins with ``where``, for a dimension without a question.

    Heads that train no language model ask none.
    """
    if options is None or not is_language_model(options):
        return
    for dimension in dimensions:
        if dimension not in DIMENSIONS:
            raise UserError(
                f"{where}: {options['backbone']} asks about {' and '.join(DIMENSIONS)}, not about "
                f"{dimension!r}; name in 'dimensions' of the metric those that it shall score"
            )


def add_question(
    first_weights: Mapping[str, AnyArray] | None,
    options: Mapping[str, Any],
    dimensions: Sequence[str],
    metric: str,
) -> Mapping[str, AnyArray] | None:
    """Return the first weights of a network with the question for its dimension.

    They are returned as they are for heads that ask none. Raises :class:`UserError` for a dimension
    about which the extractor has no question. ``metric`` is the name of the metric.
    """
    if not is_language_model(options):
        return first_weights
    (dimension,) = dimensions
    check_questions(options, [dimension], f"metric {metric}")
    number = list(DIMENSIONS).index(dimension)
    return {**(first_weights or {}), QUESTION: np.array([number], np.int64)}


def check_identity(state: Mapping[str, Any], base: LanguageBase, where: str) -> None:
    """Raise :class:`UserError`, which begins with ``where``, unless a state is of this base."""
    stored = np.asarray(state[IDENTITY], np.uint8)
    if not np.array_equal(stored, base.compute_identity()):
        raise UserError(
            f"{where}: its adapters were trained beside another language model than the one here "
            f"({base.weights.identity}, {base.precision}); give the extractor the weights and the "
            "precision of that training"
        )
