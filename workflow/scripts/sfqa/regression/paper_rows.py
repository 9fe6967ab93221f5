"""What the table in the layout of papers shows of each metric beside its statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sfqa.models.licences import list_restrictions
from sfqa.models.quality_models import load_models
from sfqa.regression.model_metrics import list_names


def describe_paper_rows(
    config: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]], protocol: str
) -> list[dict[str, Any]]:
    """Return the rows in order: ``name``, ``published`` figures, and ``notes`` on the licences.

    ``config`` is a complete configuration and ``metrics`` its metrics with all keys; controls are
    left out. Figures that a paper gives for another protocol than ``protocol`` are left out, too.
    Metrics that are not quality models of the registry have no notes.
    """
    names = list_names(config["regression"].get("models", []))
    models = load_models(config["regression"]["registry"]) if names else {}
    return [
        {
            "name": metric["name"],
            "published": [
                record
                for record in metric["published"]
                if record.get("protocol", protocol) == protocol
            ],
            "notes": list_restrictions(models[metric["name"]].licences)
            if metric["name"] in names
            else [],
        }
        for metric in metrics
        if metric["kind"] != "control"
    ]
