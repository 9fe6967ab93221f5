"""The official weights of a configuration: which files, where they are, what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sfqa.errors import UserError
from sfqa.features import official
from sfqa.features.base import is_command
from sfqa.features.command_plan import CommandPlan
from sfqa.features.weights import NONE, RANDOM
from sfqa.models.locating import (
    WRONG,
    WeightsStatus,
    find_weights,
    open_digests,
    save_digests,
)
from sfqa.models.lock import WeightsLock
from sfqa.models.weights_files import WeightsFile, as_dict


class WeightsPlan:
    """The official weights files of all extractors.

    ``by_extractor`` holds the files of each extractor by network, '' for the main one.

    ``config`` is a complete configuration, ``results`` the dataset's folder. Raises
    :class:`UserError` for an extractor without an official file and for mistakes in the registry.
    """

    def __init__(self, config: Mapping[str, Any], results: Path) -> None:
        self.folder = Path(config["weights"]["folder"])
        self.mirrors: list[str] = list(config["weights"]["mirrors"])
        self.results = results
        features = {
            name: spec
            for name, spec in config.get("features", {}).items()
            if spec["weights"] not in (RANDOM, NONE) and not is_command(name)
        }
        self.commands = CommandPlan(config)
        registry = Path(config["weights"]["registry"])
        entries = official.load_registry(registry) if features else {}
        self.by_extractor: dict[str, dict[str, WeightsFile]] = {
            name: official.find_official_files(entries, name, spec)
            for name, spec in features.items()
        }

    @property
    def lock_path(self) -> Path:
        """The lock file of the dataset."""
        return self.results / "weights" / "lock.json"

    def list_files(self) -> dict[str, WeightsFile]:
        """Return the weights files by the names of their entries."""
        return {e.name: e for files in self.by_extractor.values() for e in files.values()}

    def list_manifests(self, wildcards: Any = None) -> list[str]:
        """Return the manifests of the weights of a job's extractor, of all extractors by default.

        A manifest is the output of the job that finds or fetches a file, or a repository of a model
        of kind ``command``.
        """
        if wildcards is not None:
            name = wildcards.extractor
            return self.list_manifests_of([name]) + self.commands.list_manifests(name)
        return self.list_file_manifests() + self.commands.list_manifests()

    def list_file_manifests(self) -> list[str]:
        """Return the manifests of the weights files of all extractors."""
        return self.list_manifests_of(self.by_extractor)

    def list_manifests_of(self, extractors: Iterable[str]) -> list[str]:
        """Return the manifests of the weights of some extractors."""
        files = [file for name in extractors for file in self.by_extractor.get(name, {}).values()]
        names = sorted({file.name for file in files})
        return [f"{self.results}/weights/{name}.json" for name in names]

    def add_official(self, spec: dict[str, Any], extractor: str) -> dict[str, Any]:
        """Return the configuration of an extractor with the files that ``official`` stands for."""
        files = self.by_extractor.get(extractor, {})
        added = official.add_official_files(spec, files, self.folder, self.mirrors)
        return self.commands.add_program(added, extractor)

    def get_source(self, wildcards: Any) -> dict[str, Any]:
        """Return what the job that finds or fetches a file needs, as data."""
        entry = self.list_files()[wildcards.weights]
        source = {"entry": as_dict(entry), "folder": str(self.folder), "mirrors": self.mirrors}
        return {**source, "lock": str(self.lock_path)}

    def find_files(self) -> dict[str, WeightsStatus]:
        """Return where each file is, by the name of its entry; files are hashed once."""
        digests, lock = open_digests(self.folder), WeightsLock(self.lock_path)
        statuses = {
            name: find_weights(entry, self.folder, digests, self.mirrors, lock.get_pin(name))
            for name, entry in self.list_files().items()
        }
        save_digests(digests)
        return statuses

    def check_files(self) -> None:
        """Raise :class:`UserError` if a file is wrong; missing ones are fetched by their job."""
        wrong = [
            f"{name}: {status.reason}"
            for name, status in self.find_files().items()
            if status.state == WRONG
        ]
        if wrong:
            raise UserError(
                "official weights: " + "\n  ".join(wrong) + "\nPut the right files there, or "
                "delete them, so that they are fetched"
            )
