"""A generator's Python environment: accepted where it is there, else made by conda's family."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from sfqa.errors import UserError
from sfqa.generation.install.tools import Say, last_line, run_command
from sfqa.identity import sha256_file

MAKERS = ("micromamba", "mamba", "conda")
_LIMIT_SEC = 7200.0
_ASK = "import platform; print(platform.python_version())"


def make_environment(
    label: str, folder: Path, env_file: Path, say: Say, limit_sec: float = _LIMIT_SEC
) -> str:
    """Make sure that ``folder/env/bin/python`` runs, and return its version.

    An environment is not movable, so it is made in place beside a marker; one whose marker is
    still there was interrupted, and is made anew. Raises :class:`UserError` where none can be made.
    """
    env, marker, recipe = folder / "env", folder / ".env.making", folder / ".env.recipe"
    own = env.is_symlink() or (env / "pyvenv.cfg").exists()  # conda makes neither: the user did
    if marker.exists() and env.is_dir() and not own:
        say(f"{label}: the environment was left half made; it is made anew")
        shutil.rmtree(env)
    if (env / "bin" / "python").exists():
        version = python_version(label, env)
        marker.unlink(missing_ok=True)
        made_from = recipe.read_text() if recipe.is_file() else ""
        if made_from and env_file.is_file() and made_from != sha256_file(env_file):
            say(f"{label}: {env_file} changed since {env} was made; delete it to have it made anew")
        return version
    if env.exists() or env.is_symlink():
        raise UserError(
            f"method {label}: {env} holds no bin/python. Delete it, so that it is made "
            f"from {env_file}, or {_by_hand(env)}"
        )
    _create(label, env, marker, env_file, say, limit_sec)
    try:
        version = python_version(label, env)
    except UserError:
        shutil.rmtree(env, ignore_errors=True)
        marker.unlink()
        raise
    recipe.write_text(sha256_file(env_file))
    marker.unlink()
    return version


def python_version(label: str, env: Path) -> str:
    """Return the version of an environment's Python, such as ``3.10.14``, by running it."""
    python = env / "bin" / "python"
    try:
        done = subprocess.run(
            [python.absolute(), "-I", "-c", _ASK],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        answer = done.stdout.strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        answer = type(error).__name__
    if not re.fullmatch(r"\d+\.\d+\.\d+\S*", answer):
        raise UserError(
            f"method {label}: {python} does not run ({answer[:100] or 'no answer'}). "
            f"Delete {env}, so that it is made again, or {_by_hand(env)}"
        )
    return answer


def _create(
    label: str, env: Path, marker: Path, env_file: Path, say: Say, limit_sec: float
) -> None:
    if not env_file.is_file():
        raise UserError(
            f"method {label}: there is no environment file {env_file}; correct 'environment' in "
            f"the methods file, or {_by_hand(env)}"
        )
    maker = next((path for name in MAKERS if (path := shutil.which(name))), None)
    if maker is None:
        raise UserError(
            f"method {label}: {env} is not there, and none of {', '.join(MAKERS)} is on the PATH "
            f"to make it from {env_file}. Install one, or {_by_hand(env)}"
        )
    marker.touch()
    say(f"{label}: making {env} from {env_file} with {Path(maker).name}")
    command: list[str | Path] = [maker, "env", "create", "--yes", "--prefix", env.absolute()]
    quiet = {"PIP_NO_INPUT": "1", "PYTHONNOUSERSITE": "1", "CONDA_ALWAYS_YES": "true"}
    code, lines = run_command(
        [*command, "--file", env_file.absolute()],
        env.parent,
        say,
        limit_sec,
        {**os.environ, **quiet},
    )
    if code != 0:
        shutil.rmtree(env, ignore_errors=True)
        marker.unlink(missing_ok=True)
        raise UserError(
            f"method {label}: {Path(maker).name} could not make {env} from {env_file} "
            f"({last_line(lines, code, limit_sec)}). Mend that, or {_by_hand(env)}"
        )


def _by_hand(env: Path) -> str:
    return f"fill it by hand: link any venv or conda environment of the generator's as {env}"
