"""Where the files of the project are: beside the package in a checkout, inside it if installed.

``pip install`` puts the registries, the schema, the papers' tables and the demo's material into the
folder ``_project`` of the package, at the paths that they have in the project.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent
_CHECKOUT = PACKAGE.parents[2]
#: Whether the package is part of a checkout of the project, not installed.
IS_CHECKOUT = (_CHECKOUT / "workflow" / "schemas").is_dir()
#: The folder with ``config/``, ``resources/`` and ``workflow/schemas/``.
PROJECT = _CHECKOUT if IS_CHECKOUT else PACKAGE / "_project"
#: The schema of configurations.
SCHEMA = PROJECT / "workflow" / "schemas" / "config.schema.yaml"
#: The folder into which weights and repositories are fetched: that of the project, or of the
#: working directory if the package is installed.
FETCHED = PROJECT / "resources" if IS_CHECKOUT else Path("resources")


def locate_default(project: Path, name: str) -> str:
    """Return the path of a file of the project, as short as the working directory allows.

    ``name`` is its path below the folder ``project``. A relative path is a parameter of the jobs
    that stays the same if the project is moved. An installed package holds no fetched files: their
    folders start at the working directory.
    """
    is_fetched = project == PACKAGE / "_project" and not (project / name).exists()
    return name if is_fetched or project.resolve() == Path.cwd() else str(project / name)
