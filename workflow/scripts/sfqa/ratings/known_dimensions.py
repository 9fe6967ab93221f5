"""The rated dimensions, as far as a configuration names them before any score is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sfqa.generation.known_quality import compute_quality


def list_known_dimensions(config: Mapping[str, Any]) -> list[str]:
    """Return the rated dimensions of a complete configuration; empty if only the scores name them.

    >>> list_known_dimensions({"mode": "build", "ratings": {"source": "simulated"}})
    ['visual_quality', 'audio_visual_consistency']
    """
    ratings, source = config["ratings"], config.get("import", {})
    if config["mode"] == "import_features":
        return list(source.get("mos", ()))
    if ratings["source"] == "simulated":
        return list(compute_quality({}))
    if ratings["source"] == "labels":
        labels = source.get("labels", ())
        entries = [labels] if isinstance(labels, Mapping) else labels
        return list(dict.fromkeys(name for entry in entries for name in entry.get("mos", ())))
    return [ratings["dimension_name"]] if "dimension_name" in ratings else []
