"""What ``sfqa models`` says about the repositories of models of kind ``command``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa.errors import format_count

if TYPE_CHECKING:
    from sfqa.models.commands import Command
    from sfqa.models.quality_models import QualityModel


def index_programs(models: Sequence[QualityModel]) -> dict[str, Command]:
    """Return the programs of models by the extractor that calls each."""
    from sfqa.models.commands import index_commands

    return index_commands([m.command for m in models if m.command], "models")


def find_program(model: QualityModel, programs: Mapping[str, Command]) -> Command | None:
    """Return the program that computes the features of a model, None if there is none."""
    return next((programs[name] for name in model.features if name in programs), None)


def get_folder(config: Mapping[str, Any] | None) -> Path:
    """Return the folder of repositories of a configuration, by default the project's."""
    from sfqa.models.commands import FOLDER

    return Path(config["weights"]["repositories"]) if config else FOLDER


def summarise_program(command: Command, folder: Path) -> str:
    """Return the state of a program in a cell: there, or what is missing."""
    from sfqa.models.commands import list_missing_parts

    parts = list_missing_parts(command, folder)
    words = list(dict.fromkeys(part.partition(" ")[0] for part in parts))
    return " ".join(f"{word}:missing" for word in words) or "repository:there"


def describe_program(command: Command, folder: Path) -> list[str]:
    """Return lines about a program: what is fetched, from where, and what is missing."""
    from sfqa.models.commands import list_missing_parts

    source = command.source
    missing = list_missing_parts(command, folder)
    lines = [
        f"repository: {source.repository} at {source.commit}, in {folder / command.model}",
        f"environment: {source.environment}",
        "weights of the repository:",
        *(f"  {name}" for name in source.weights.files),
        *(f"  downloaded from {d.hub or d.url}" for d in source.weights.downloads),
        f"  by hand: {source.weights.by_hand}",
        f"one video: at most {format_count(command.minutes, 'minute')}, "
        f"{command.memory_gb:g} GB of memory"
        + (f", {command.gpu_memory_gb:g} GB on a GPU" if command.gpu_memory_gb else ""),
    ]
    lines.append(f"missing: {', '.join(missing)}" if missing else "installed: all parts")
    if missing:
        lines.append("  snakemake fetch_models fetches them, for a configuration with the model")
    return lines
