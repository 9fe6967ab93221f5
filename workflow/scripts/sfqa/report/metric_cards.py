"""What the site says of each quality model: paper, licences, size and measured costs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from sfqa.models.licences import list_restrictions
from sfqa.models.quality_models import QualityModel, load_models
from sfqa.models.weights_files import WeightsFile, load_weights_files
from sfqa.project_files import PROJECT

_ARXIV = re.compile(r"\barXiv (\d{4}\.\d{4,5})\b")


@dataclass(frozen=True)
class Registries:
    """The registries that describe the quality models and their weights files."""

    models: Path = PROJECT / "config" / "models.yaml"
    weights: Path = PROJECT / "config" / "weights.yaml"


def add_cards(metrics: list[dict[str, Any]], registries: Registries) -> None:
    """Add a ``card`` to each metric that is a quality model of the registry.

    A metric with a model's name but another kind, head or other inputs has no card, since the
    registry does not describe it. Without such a metric no registry is read.
    """
    if all(metric["kind"] == "control" for metric in metrics):
        return
    models, weights = _load_registries(registries)
    for metric in metrics:
        model = models.get(metric["name"])
        if model is not None and _is_model(metric, model):
            metric["card"] = describe_model(model, weights)


@cache
def _load_registries(
    registries: Registries,
) -> tuple[Mapping[str, QualityModel], Mapping[str, WeightsFile]]:
    return load_models(registries.models), load_weights_files(registries.weights)


def describe_model(model: QualityModel, weights: Mapping[str, WeightsFile]) -> dict[str, Any]:
    """Return what the site shows of a quality model, as JSON values."""
    entries = {name: weights.get(name) for name in model.weights}
    sizes = [entry.size for entry in entries.values() if entry is not None and entry.size]
    form = "Zero-shot model" if model.is_zero_shot else f"Model with a trained head ({model.head})"
    direction = "higher" if model.direction == 1 else "lower"
    return {
        "summary": (
            f"{form} of {model.year}, {model.group}. Its score is {direction} for better quality."
        ),
        "paper": model.paper,
        "link": link_paper(model.paper),
        "licences": dict(model.licences),
        "restrictions": list_restrictions(model.licences),
        "weights": list(model.weights),
        "bytes": sum(sizes) if sizes else None,
        "sized": len(sizes),
        "costs": dict(model.costs),
        "reading": list(model.reading),
        "note": model.note,
    }


def link_paper(paper: str) -> list[str]:
    """Return a link for a paper and its text: the arXiv page, otherwise a search for the title.

    >>> link_paper("J. Xu et al.: Qwen2.5-Omni Technical Report. arXiv 2503.20215")
    ['https://arxiv.org/abs/2503.20215', 'arXiv 2503.20215']
    >>> link_paper("J. Ke et al.: MUSIQ: Multi-scale Image Quality Transformer. ICCV 2021")[1]
    'search for the paper'
    """
    match = _ARXIV.search(paper)
    if match:
        return [f"https://arxiv.org/abs/{match[1]}", match[0]]
    title = paper.partition(": ")[2] or paper
    return [
        f"https://scholar.google.com/scholar?q={quote_plus(title.partition('. ')[0])}",
        "search for the paper",
    ]


def _is_model(metric: Mapping[str, Any], model: QualityModel) -> bool:
    definition = metric["about"]
    if metric["kind"] != ("zero_shot" if model.is_zero_shot else "regressor"):
        return False
    return (definition.get("head") or "") == model.head and list(
        definition.get("inputs", [])
    ) == list(model.inputs)
