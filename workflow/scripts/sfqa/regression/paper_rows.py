"""What the table in the layout of papers shows of each metric beside its statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sfqa.models.licences import list_restrictions
from sfqa.models.quality_models import QualityModel, load_models
from sfqa.regression.model_metrics import get_base, list_names

#: Note on every row of a trial.
REDUCED = "A reduced network, shortly trained, for a trial: no published model."


def describe_paper_rows(
    config: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]], protocol: str
) -> list[dict[str, Any]]:
    """Return the rows in order: ``name``, ``published`` figures and ``notes``.

    ``config`` is a complete configuration and ``metrics`` its metrics with all keys; controls are
    left out. Figures that a paper gives for another protocol than ``protocol`` are left out, too.
    Notes are what the licences forbid, and the ``reading`` that the configuration gives for a row.
    Metrics that are not in ``regression.models`` have none.
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
            "notes": _list_notes(metric["name"], names, models)
            + (
                [REDUCED] if metric["name"] in names and config["regression"].get("reduced") else []
            ),
        }
        for metric in metrics
        if metric["kind"] != "control"
    ]


def _list_notes(
    name: str, rows: Mapping[str, Mapping[str, Any]], models: Mapping[str, QualityModel]
) -> list[str]:
    if name not in rows:
        return []
    model = models[get_base(name, rows[name])]
    return [*list_restrictions(model.licences), *rows[name].get("reading", [])]
