"""Compare the weights files of a configuration with their sha256, before the first job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sfqa.errors import UserError
from sfqa.features.weights import NONE, OFFICIAL, RANDOM
from sfqa.models.locating import open_digests, save_digests


def check_weight_files(features: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    """Raise :class:`UserError` if a weights file has another sha256 than the configuration says.

    ``features`` is that section. Files are hashed once; their digests are stored in ``folder``
    until they change. Official weights are checked by the plan of the weights.
    """
    digests = open_digests(folder)
    for where, spec in _list_files(features):
        path = Path(spec["weights"])
        sha256 = digests.get_sha256(path)
        if sha256 != spec["sha256"]:
            save_digests(digests)
            raise UserError(
                f"{where}.sha256: {path} has the sha256 {sha256}, not {spec['sha256']}; put the "
                "right file there or correct the sha256"
            )
    save_digests(digests)


def _list_files(
    features: Mapping[str, Mapping[str, Any]],
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each key of the configuration that names a weights file, with its entry."""
    for extractor, spec in features.items():
        parts = {f"parts.{name}": part for name, part in (spec.get("parts") or {}).items()}
        for key, entry in {"": spec, **parts}.items():
            if entry["weights"] not in (RANDOM, NONE, OFFICIAL) and "sha256" in entry:
                yield ".".join(filter(None, ("config, features", extractor, key))), entry
