"""Which official weights file an extractor uses, from the registry config/weights.yaml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sfqa.errors import UserError
from sfqa.features.base import has_weights
from sfqa.features.extractors import EXTRACTORS
from sfqa.models.weights_files import WeightsFile, as_dict, find_entry, load_weights_files
from sfqa.options import merge_options

_PROJECT = Path(__file__).parents[4]
#: The project's registry of weights files, and the folder into which they are fetched.
REGISTRY, FOLDER = _PROJECT / "config" / "weights.yaml", _PROJECT / "resources" / "weights"


def load_registry(path: Path | str = REGISTRY) -> dict[str, WeightsFile]:
    """Return the weights files by name, with the options of their extractors checked.

    Raises :class:`UserError` for mistakes in the registry, also for an unknown extractor or option.
    """
    entries = load_weights_files(path)
    for name, entry in entries.items():
        where = f"{path}, {name}"
        if entry.extractor not in EXTRACTORS.names():
            EXTRACTORS.check_name(entry.extractor)
        if not has_weights(entry.extractor):
            raise UserError(f"{where}: the extractor {entry.extractor} loads no weights")
        declared = EXTRACTORS.options(entry.extractor)
        merge_options(entry.options, declared, f"{where}, options")
    return entries


def find_official_file(
    entries: Mapping[str, WeightsFile], extractor: str, options: Mapping[str, Any]
) -> WeightsFile:
    """Return the official weights file of an extractor with options of a configuration.

    Raises :class:`UserError` if none, or more than one, is registered for them.
    """
    where = f"config, features.{extractor}"
    merged = EXTRACTORS.merge_options(extractor, options, f"{where}.options")
    return find_entry(entries, EXTRACTORS.drop_label(extractor), merged, f"{where}.weights")


def add_official_file(
    spec: Mapping[str, Any], entry: WeightsFile, folder: Path | str, mirrors: Sequence[str] = ()
) -> dict[str, Any]:
    """Return ``features.<name>`` of a configuration with the file that ``official`` stands for.

    Jobs depend on it, so it has only how the file is found and read, not the publisher's words and
    address. Of ``mirrors`` it has those that are folders.
    """
    content = replace(entry, publisher="", licence="", url="", by_hand="", sha256_source="")
    folders = [mirror for mirror in mirrors if "://" not in mirror]
    source = {"entry": as_dict(content), "folder": str(folder), "mirrors": folders}
    return {**spec, "official": source}
