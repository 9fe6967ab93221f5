"""Find an installed generator: its repository, interpreter and weights."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sfqa.errors import UserError
from sfqa.generation.registry import Method


@dataclass(frozen=True)
class Installation:
    """The parts of an installed generator; ``weights`` is relative to the repository."""

    repo: Path
    python: Path
    weights: str


def find_installation(method: Method, generators: Path) -> Installation:
    """Return the installation of a method in ``{generators}/{label}``.

    Its repository, with the weights in it, is ``repo``, its environment is ``env``. Raises
    :class:`UserError` naming what is missing.
    """
    assert method.source is not None
    home = generators.absolute() / method.label
    repo, python = home / "repo", home / "env" / "bin" / "python"
    weights = method.source.weights.folder
    for part, path, exists in (
        ("repository", repo, repo.is_dir()),
        ("environment", python, os.access(python, os.X_OK)),
        ("weights folder", repo / weights, (repo / weights).is_dir()),
    ):
        if not exists:
            raise UserError(
                f"method {method.label}: its {part} is missing, there is no {path}; run "
                "`snakemake fetch_generators` or fill the folder by hand (docs/generation.md)"
            )
    return Installation(repo, python, weights)
