"""Read a configuration of the workflow for a subcommand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sfqa.errors import UserError
from sfqa.project_files import SCHEMA as SCHEMA  # beside the functions for their callers


def load_config(path: Path) -> dict[str, Any]:
    """Return the keys of a configuration file; raises :class:`UserError` if it is not one."""
    from sfqa.untrusted import limits
    from sfqa.untrusted.documents import load_yaml, read_limited
    from sfqa.untrusted.limits import RefusedError

    if not path.is_file():
        raise UserError(f"--config {path}: no such file; name a configuration")
    try:
        config = load_yaml(read_limited(path, limits.YAML_BYTES).decode("utf-8-sig"))
    except (RefusedError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not YAML ({error})") from None
    if not isinstance(config, dict):
        raise UserError(f"{path}: no configuration keys; see config/README.md")
    return config


def read_config(path: Path) -> dict[str, Any]:
    """Return the sections of a configuration with their defaults.

    The dataset's own files (sheets, scores) may be missing: only keys are checked, as the schema
    says. Raises :class:`UserError` for a file that is not a configuration.
    """
    from sfqa.configuration import complete_sections

    return complete_sections(load_config(path), SCHEMA)
