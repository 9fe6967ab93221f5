"""Quality models that are somebody's repository: the entries of kind ``command`` in models.yaml."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sfqa.errors import UserError, hint
from sfqa.project_files import FETCHED
from sfqa.repositories import sources
from sfqa.repositories.fetch import MANIFEST, list_missing

#: The value of ``kind`` of such an entry.
COMMAND = "command"
#: The folder of the project into which repositories of models are fetched by default.
FOLDER = FETCHED / "models"

_REQUIRED = ("repository", "commit", "environment", "weights", "minutes", "memory_gb")
_OPTIONAL = ("gpu_memory_gb", "pass_environment")
#: Keys that only entries of this kind have.
KEYS = ("kind", *_REQUIRED, *_OPTIONAL)


@dataclass(frozen=True)
class Command:
    """The program of a quality model: where it is fetched from and what it may take.

    ``model`` is the name of its entry and of its folder, ``extractor`` the adapter that calls it,
    with its label if it has one. ``minutes`` is the time limit of one video, ``memory_gb`` the
    memory that is requested from a cluster. ``pass_environment``: further variables of ours that
    the program gets.
    """

    model: str
    extractor: str
    source: sources.Source
    minutes: float
    memory_gb: float
    gpu_memory_gb: float | None = None
    pass_environment: tuple[str, ...] = ()


def read_command(name: str, entry: Mapping[str, Any], where: str) -> Command | None:
    """Return the program of an entry of models.yaml, None if the entry has no ``kind``.

    ``where`` begins the messages. Raises :class:`UserError` for an unknown kind, and for missing
    and wrong keys.
    """
    if "kind" not in entry:
        for key in ("repository", "commit", "environment", "minutes", "memory_gb"):
            if key in entry:
                raise UserError(
                    f"{where}: {key} goes with kind: {COMMAND}; add it, or leave it out"
                )
        return None
    if entry["kind"] != COMMAND:
        raise UserError(
            f"{where}: unknown kind {entry['kind']!r}; {hint(entry['kind'], [COMMAND])}"
        )
    for key in _REQUIRED:
        if key not in entry:
            raise UserError(f"{where}: the key {key!r} is missing; add it")
    if len(entry["features"]) != 1:
        raise UserError(
            f"{where}: features names {len(entry['features'])} extractors; a model of kind "
            f"{COMMAND} has one, the adapter that calls its repository"
        )
    limits = {}
    for key in ("minutes", "memory_gb", "gpu_memory_gb"):
        value = entry.get(key)
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
        if key in entry and not is_number:
            raise UserError(f"{where}: {key} is {value!r}; give a number above 0")
        limits[key] = None if value is None else float(value)
    source = sources.read_source({**entry, "licence": entry["licences"]["code"]}, where)
    return Command(
        name, next(iter(entry["features"])), source, **limits,  # type: ignore[arg-type]
        pass_environment=sources.read_variables(entry, where),
    )  # fmt: skip


def index_commands(commands: Iterable[Command], where: str) -> dict[str, Command]:
    """Return programs by the extractor that calls each.

    Raises :class:`UserError`, which begins with ``where``, for two programs of one extractor.
    """
    by_extractor: dict[str, Command] = {}
    for command in commands:
        other = by_extractor.setdefault(command.extractor, command)
        if other is not command:
            raise UserError(
                f"{where}: {other.model} and {command.model} are two repositories of the extractor "
                f"{command.extractor}; give one of them a label, as {command.extractor}-second"
            )
    return by_extractor


def as_dict(command: Command) -> dict[str, Any]:
    """Return a program as JSON-like data, for the job that fetches it."""
    return {"model": command.model, "source": sources.as_dict(command.source)}


def list_missing_parts(command: Command, folder: Path) -> list[str]:
    """Return what an installation in ``folder/MODEL`` lacks, each part as a short text.

    >>> source = sources.Source("a/b", "0" * 40, "MIT", "e.yaml", sources.Weights("w", ("w/a",)))
    >>> list_missing_parts(Command("Net", "net", source, 1, 1), Path("no"))
    ['repository', 'environment', 'weights w/a']
    """
    home = folder / command.model
    missing = [
        part
        for part, path in (("repository", home / "repo"), ("environment", home / "env/bin/python"))
        if not path.exists()
    ]
    return missing + [f"weights {name}" for name in list_missing(command.source, home / "repo")]


def get_manifest_path(command: Command, folder: Path | str) -> str:
    """Return the manifest of an installation: the output of the job that fetches it."""
    return f"{folder}/{command.model}/{MANIFEST}"
