"""The Python environment of a program: used if it exists, else created with conda."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from sfqa.digests import Log
from sfqa.errors import UserError
from sfqa.identity import sha256_file
from sfqa.repositories.commands import get_error_line, run_command

CONDA_COMMANDS = ("micromamba", "mamba", "conda")
_LIMIT_SEC = 7200.0
_VERSION_CODE = "import platform; print(platform.python_version())"


def make_environment(
    owner: str, folder: Path, env_file: Path, log: Log, limit_sec: float = _LIMIT_SEC
) -> str:
    """Make sure that ``folder/env/bin/python`` runs, and return its version.

    An environment cannot be moved, so it is created in place beside a marker file. If the marker
    still exists, the creation was interrupted and starts again. Raises :class:`UserError` if the
    environment cannot be created.
    """
    env, marker, recipe = folder / "env", folder / ".env.making", folder / ".env.recipe"
    # conda creates neither a link nor a venv: the user did.
    made_by_user = env.is_symlink() or (env / "pyvenv.cfg").exists()
    if marker.exists() and env.is_dir() and not made_by_user:
        log(f"{owner}: the environment was left half made; it is made anew")
        shutil.rmtree(env)
    if (env / "bin" / "python").exists():
        version = query_python_version(owner, env)
        marker.unlink(missing_ok=True)
        recipe_sha256 = recipe.read_text() if recipe.is_file() else ""
        if recipe_sha256 and env_file.is_file() and recipe_sha256 != sha256_file(env_file):
            log(f"{owner}: {env_file} changed since {env} was made; delete it to have it made anew")
        return version
    if env.exists() or env.is_symlink():
        raise UserError(
            f"{owner}: {env} holds no bin/python. Delete it, so that it is made "
            f"from {env_file}, or {_describe_manual_way(env)}"
        )
    _create_environment(owner, env, marker, env_file, log, limit_sec)
    try:
        version = query_python_version(owner, env)
    except UserError:
        shutil.rmtree(env, ignore_errors=True)
        marker.unlink()
        raise
    recipe.write_text(sha256_file(env_file))
    marker.unlink()
    return version


def query_python_version(owner: str, env: Path) -> str:
    """Return the version of an environment's Python, such as ``3.10.14``, by running it."""
    python = env / "bin" / "python"
    try:
        completed = subprocess.run(
            [python.absolute(), "-I", "-c", _VERSION_CODE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        version = completed.stdout.strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        version = type(error).__name__
    if not re.fullmatch(r"\d+\.\d+\.\d+\S*", version):
        raise UserError(
            f"{owner}: {python} does not run ({version[:100] or 'no answer'}). "
            f"Delete {env}, so that it is made again, or {_describe_manual_way(env)}"
        )
    return version


def _create_environment(
    owner: str, env: Path, marker: Path, env_file: Path, log: Log, limit_sec: float
) -> None:
    if not env_file.is_file():
        raise UserError(
            f"{owner}: there is no environment file {env_file}; correct 'environment' of "
            f"its entry, or {_describe_manual_way(env)}"
        )
    conda = next((path for name in CONDA_COMMANDS if (path := shutil.which(name))), None)
    if conda is None:
        raise UserError(
            f"{owner}: {env} is not there, and none of {', '.join(CONDA_COMMANDS)} is "
            f"on the PATH to make it from {env_file}. Install one, or {_describe_manual_way(env)}"
        )
    marker.touch()
    log(f"{owner}: creating {env} from {env_file} with {Path(conda).name}")
    command: list[str | Path] = [conda, "env", "create", "--yes", "--prefix", env.absolute()]
    no_questions = {"PIP_NO_INPUT": "1", "PYTHONNOUSERSITE": "1", "CONDA_ALWAYS_YES": "true"}
    code, lines = run_command(
        [*command, "--file", env_file.absolute()],
        env.parent,
        log,
        limit_sec,
        {**os.environ, **no_questions},
    )
    if code != 0:
        shutil.rmtree(env, ignore_errors=True)
        marker.unlink(missing_ok=True)
        raise UserError(
            f"{owner}: {Path(conda).name} could not make {env} from {env_file} "
            f"({get_error_line(lines, code, limit_sec)}). Fix that, or {_describe_manual_way(env)}"
        )


def _describe_manual_way(env: Path) -> str:
    return f"fill it by hand: link any venv or conda environment of the program's as {env}"
