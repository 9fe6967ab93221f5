"""Find an installed program: its repository, interpreter and weights."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sfqa.errors import UserError


@dataclass(frozen=True)
class Installation:
    """The parts of an installed program; ``weights`` is relative to the repository."""

    repo: Path
    python: Path
    weights: str


def find_installation(owner: str, home: Path, weights: str, remedy: str) -> Installation:
    """Return the installation in a folder: ``repo`` with the weights in it, and ``env``.

    ``owner`` is what messages call the program, such as 'method SadT'. Raises :class:`UserError`
    naming what is missing, with the ``remedy``.
    """
    installation = Installation(home / "repo", home / "env" / "bin" / "python", weights)
    missing = describe_missing_part(installation)
    if missing:
        raise UserError(f"{owner}: its {missing}; {remedy}")
    return installation


def describe_missing_part(installation: Installation) -> str:
    """Return 'repository is missing, there is no PATH' for the first missing part; '' if complete.

    >>> describe_missing_part(Installation(Path("no/repo"), Path("no/python"), "weights"))
    'repository is missing, there is no no/repo'
    """
    weights = installation.repo / installation.weights
    for part, path, exists in (
        ("repository", installation.repo, installation.repo.is_dir()),
        ("environment", installation.python, os.access(installation.python, os.X_OK)),
        ("weights folder", weights, weights.is_dir()),
    ):
        if not exists:
            return f"{part} is missing, there is no {path}"
    return ""
