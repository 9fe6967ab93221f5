"""Which official weights file an extractor uses, from the registry config/weights.yaml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sfqa.errors import UserError, hint
from sfqa.features.base import has_weights
from sfqa.features.extractors import EXTRACTORS
from sfqa.features.weights import OFFICIAL, list_official_parts
from sfqa.models.locating import FOLDER as FOLDER  # beside the registry for its callers
from sfqa.models.locating import read_manifest
from sfqa.models.weights_files import WeightsFile, as_dict, find_entry, load_weights_files
from sfqa.options import merge_options
from sfqa.project_files import PROJECT

#: The project's registry of weights files.
REGISTRY = PROJECT / "config" / "weights.yaml"


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
        parts = EXTRACTORS.read(entry.extractor, "WEIGHTS_PARTS", {})
        if entry.part and entry.part not in parts:
            raise UserError(
                f"{where}: the extractor {entry.extractor} has no part {entry.part!r}; "
                f"{hint(entry.part, parts)}"
            )
    return entries


def find_official_file(
    entries: Mapping[str, WeightsFile], extractor: str, options: Mapping[str, Any], part: str = ""
) -> WeightsFile:
    """Return the official weights file of an extractor with options of a configuration.

    ``part`` names one of its other networks. Raises :class:`UserError` if no file, or more than
    one, is registered for them.
    """
    where = f"config, features.{extractor}"
    merged = EXTRACTORS.merge_options(extractor, options, f"{where}.options")
    key = f"parts.{part}.weights" if part else "weights"
    return find_entry(entries, EXTRACTORS.drop_label(extractor), merged, f"{where}.{key}", part)


def find_official_files(
    entries: Mapping[str, WeightsFile], extractor: str, spec: Mapping[str, Any]
) -> dict[str, WeightsFile]:
    """Return the official weights files of ``features.<extractor>`` of a configuration.

    The keys are the names of its networks, '' for the main one. Raises as
    :func:`find_official_file`.
    """
    return {
        part: find_official_file(entries, extractor, spec.get("options") or {}, part)
        for part in list_official_parts(extractor, spec)
    }


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


def add_official_files(
    spec: Mapping[str, Any],
    files: Mapping[str, WeightsFile],
    folder: Path | str,
    mirrors: Sequence[str] = (),
) -> dict[str, Any]:
    """Return ``features.<name>`` of a configuration with the files of :func:`find_official_files`.

    Each is added as by :func:`add_official_file`.
    """
    added = dict(spec)
    parts = dict(spec.get("parts") or {})
    for part, entry in files.items():
        if part:
            parts[part] = add_official_file({"weights": OFFICIAL}, entry, folder, mirrors)
        else:
            added = add_official_file(spec, entry, folder, mirrors)
    return {**added, "parts": parts} if parts else added


def add_digests(spec: Mapping[str, Any], manifests: Sequence[Path | str]) -> dict[str, Any]:
    """Return what :func:`add_official_files` returned, with the digests that the dataset uses.

    ``manifests`` are those of the fetched files.
    """
    digests = {
        manifest["name"]: manifest["sha256"]
        for manifest in map(read_manifest, manifests)
        if "sha256" in manifest  # that of a repository has a digest for each of its files
    }

    def add_digest(network: Mapping[str, Any]) -> dict[str, Any]:
        name = network.get("official", {}).get("entry", {}).get("name")
        return {**network, "sha256": digests[name]} if name in digests else dict(network)

    parts = {part: add_digest(network) for part, network in (spec.get("parts") or {}).items()}
    return add_digest(spec) | ({"parts": parts} if parts else {})
