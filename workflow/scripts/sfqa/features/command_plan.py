"""The programs that a configuration's extractors call: quality models of kind ``command``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sfqa.errors import UserError
from sfqa.features.base import is_command
from sfqa.features.extractors import EXTRACTORS
from sfqa.features.weights import OFFICIAL, RANDOM
from sfqa.models.commands import Command, as_dict, get_manifest_path, index_commands
from sfqa.models.quality_models import load_models


class CommandPlan:
    """The programs of the extractors that call one, by extractor.

    ``config`` is a complete configuration. Raises :class:`UserError` for an extractor that no entry
    of the registry of models installs a repository for, and for weights that are given as a file.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.folder = Path(config["weights"].get("repositories", "resources/models"))
        specs = {
            name: spec
            for name, spec in config.get("features", {}).items()
            if name in EXTRACTORS and is_command(name)
        }
        registry = config["regression"]["registry"] if specs else ""
        commands = read_commands(registry) if specs else {}
        self.by_extractor: dict[str, Command] = {}
        for name, spec in specs.items():
            if spec["weights"] not in (OFFICIAL, RANDOM):
                raise UserError(
                    f"config, features.{name}.weights: {name} calls a repository, which has its "
                    f"own weights; say {OFFICIAL}, or {RANDOM} if those are untrained"
                )
            self.by_extractor[name] = find_command(commands, name, str(registry))

    def list_manifests(self, extractor: str | None = None) -> list[str]:
        """Return the manifests of the program of an extractor, of all extractors by default."""
        names = self.by_extractor if extractor is None else [extractor]
        return [
            get_manifest_path(self.by_extractor[name], self.folder)
            for name in names
            if name in self.by_extractor
        ]

    def add_program(self, spec: Mapping[str, Any], extractor: str) -> dict[str, Any]:
        """Return the configuration of an extractor with the program that it calls, if it does."""
        if extractor not in self.by_extractor:
            return dict(spec)
        return add_program(spec, self.by_extractor[extractor], self.folder)

    def get_source(self, model: str) -> dict[str, Any]:
        """Return what the job that fetches the program of a model needs, as data."""
        for command in self.by_extractor.values():
            if command.model == model:
                return as_dict(command)
        raise UserError(
            f"model {model}: no extractor of this configuration calls its repository; name the "
            "model in regression.models"
        )


def read_commands(registry: Path | str) -> dict[str, Command]:
    """Return the programs of a registry of quality models by the extractor that calls each."""
    models = load_models(registry).values()
    return index_commands([m.command for m in models if m.command], str(registry))


def find_command(commands: Mapping[str, Command], extractor: str, registry: str) -> Command:
    """Return the program that an extractor calls; raises :class:`UserError` if there is none."""
    if extractor not in commands:
        raise UserError(
            f"config, features.{extractor}: no entry of kind command in {registry} names this "
            "extractor in its features; add one (docs/adding_a_model.md)"
        )
    return commands[extractor]


def add_program(spec: Mapping[str, Any], command: Command, folder: Path | str) -> dict[str, Any]:
    """Return ``features.<name>`` of a configuration with the program that it calls.

    Jobs depend on it, so it has only what they need.
    """
    program = {
        "model": command.model,
        "home": str(Path(folder) / command.model),
        "commit": command.source.commit,
        "weights": command.source.weights.folder,
        "minutes": command.minutes,
    }
    if command.pass_environment:
        program["pass_environment"] = list(command.pass_environment)
    return {**spec, "command": program}
